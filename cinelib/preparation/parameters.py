"""Notebooks 00 and 01: the machine, and the footage that becomes a dataset."""

from typing import ClassVar, Self

from pydantic import Field, model_validator

from cinelib.parameters import FolderPath, OptionalModelPath, Profile, VideoShape
from cinelib.preparation.caption_edits import path_of


class DataPreparation(VideoShape):
    """Notebook 01: raw footage becomes captioned clips."""

    stage: ClassVar[str] = "01_data_preparation"
    profiles: ClassVar[Profile] = {"smoke": {"max_clips": 4}}

    footage: FolderPath = Field("data/dailies", description="folder of video files")
    min_seconds: float = Field(2.0, gt=0, le=60, description="shorter takes are dropped")
    max_seconds: float = Field(5.0, gt=0, le=60, description="longer takes are split")
    max_clips: int = Field(40, ge=1, le=10000, description="clips kept, spread over the takes")
    min_activity: float = Field(
        0.01,
        ge=0,
        le=1,
        description="takes where less of the picture changes within half a second are static",
    )
    trigger: str = Field(
        "emberfall film", max_length=100, description="phrase that opens every caption, empty for none"
    )
    captioner: OptionalModelPath = Field(
        "", description="folder or hub id of a local vision-language model, empty for none"
    )

    @property
    def caption_edits(self) -> str:
        """File of the captions that a person edited for this footage."""
        return path_of(self.footage)

    def own_files(self) -> tuple[str, ...]:
        """Edited captions decide what is trained."""
        return (self.caption_edits,)

    @model_validator(mode="after")
    def _span(self) -> Self:
        if self.max_seconds < self.min_seconds:
            raise ValueError(f"max_seconds {self.max_seconds} is below min_seconds {self.min_seconds}")
        if int(self.max_seconds * self.fps) + 1 < self.num_frames:
            raise ValueError(
                f"max_seconds {self.max_seconds} at {self.fps} fps is shorter than num_frames "
                f"{self.num_frames}; raise it to {(self.num_frames - 1) / self.fps:g}"
            )
        return self
