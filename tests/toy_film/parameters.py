"""Parameters of the toy stages: 00 stands alone, 01 -> 02 -> 03."""

from typing import ClassVar

from pydantic import Field

from cinelib.parameters import FolderPath, StageParameters


class Sound(StageParameters):
    """Needs nothing."""

    stage: ClassVar[str] = "00_sound"


class Cut(StageParameters):
    """Reads a folder."""

    stage: ClassVar[str] = "01_cut"

    footage: FolderPath = "footage"
    width: int = Field(1, ge=1, le=9)


class Grade(StageParameters):
    """May be slow, or fail."""

    stage: ClassVar[str] = "02_grade"
    needs: ClassVar[tuple[str, ...]] = ("01_cut",)

    strength: int = Field(1, ge=1, le=9)
    gamma: float = Field(1.0, gt=0)
    label: str = ""
    seconds: float = Field(0.0, ge=0)
    fail: bool = False


class Prints(StageParameters):
    """The last one."""

    stage: ClassVar[str] = "03_prints"
    needs: ClassVar[tuple[str, ...]] = ("02_grade",)
