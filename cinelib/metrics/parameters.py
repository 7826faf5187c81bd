"""Notebook 10: with which networks the metrics look; notebook 05 uses the same ones."""

from typing import ClassVar, Self

from pydantic import Field, model_validator

from cinelib.parameters import OptionalModelPath, Profile, VideoShape

# The course's own network knows nothing but the backlot.
REAL_FOOTAGE = {"clip_model": "openai/clip-vit-base-patch32", "features": ""}


class MetricNetworks(VideoShape):
    """Which networks see the clips; a published metric's name needs the published weights."""

    clip_model: OptionalModelPath = Field(
        "data/nano-clip", description="CLIPModel folder or hub id, empty to leave CLIP-SIM out"
    )
    features: OptionalModelPath = Field(
        "data/nano-viewer", description="video network for FD[...], empty for ImageNet features of frames"
    )
    i3d: str = Field("", description="path of the I3D torchscript file for FVD, empty for FD[...]")
    i3d_sha256: str = Field("", description="SHA-256 of that file")
    alexnet: str = Field("", description="path of AlexNet weights for LPIPS, empty for the stand-in")

    @model_validator(mode="after")
    def _weights(self) -> Self:
        if bool(self.i3d) != bool(self.i3d_sha256):
            raise ValueError("i3d and i3d_sha256 go together: FVD is only computed with known weights")
        return self


class MetricsTakenApart(MetricNetworks):
    """Notebook 10, an appendix: what does each metric see, and what is it blind to?"""

    stage: ClassVar[str] = "10_metrics_taken_apart"
    profiles: ClassVar[Profile] = {"a100": REAL_FOOTAGE, "paper": REAL_FOOTAGE}
    needs: ClassVar[tuple[str, ...]] = ("01_data_preparation",)
