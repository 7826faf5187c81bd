"""Notebook 00: what may be set."""

from typing import ClassVar

from cinelib.parameters import ModelPath, VideoShape


class StartHere(VideoShape):
    """Notebook 00: the machine, the plan, the source's claims."""

    stage: ClassVar[str] = "00_start_here"
    measures_time: ClassVar[bool] = True

    model: ModelPath = "data/nano-wan"
