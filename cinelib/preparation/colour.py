"""Colour: any decoded frame as BT.709 pictures. HDR is tone-mapped, wide colour converted, untagged HD
BT.709.

Linear light is relative to a display's white. SDR uses gamma 2.4 (BT.1886); white of HDR is 203 nits
(BT.2408). PQ states nits. HLG is shown on a 1000-nit display with its gamma of 1.2 on each channel, as
displays of SDR have theirs; BT.2100 puts it on luminance, which makes saturated colours paler. Up to `KNEE`
of white nothing changes. Above it `rolled_off` presses highlights together, by one factor for all channels
so that hues stay.
"""

from functools import cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import av

GAMMA = 2.4
WHITE = 203.0  # nits
KNEE = 0.9  # of white, in linear light
PQ, HLG = 16, 18  # numbers of ITU-T H.273, as in every file
BT709, UNSPECIFIED, BT2020 = 1, 2, 9
_BILINEAR, _AREA, _EXACT = 2, 32, 2 | 0x40000  # flags of FFmpeg's scaler; the last: bilinear, rounded exactly
_PEAK = 1000.0  # nits of the display that HLG is made for
# Linear RGB of other primaries to that of BT.709: BT.2020 (BT.2087), DCI-P3 with a D65 white.
_TO_709 = {
    9: [[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]],
    12: [[1.2249, -0.2247, 0.0], [-0.0420, 1.0419, 0.0], [-0.0197, -0.0786, 1.0979]],
}


def to_rgb(frame: "av.VideoFrame", height: int = 0, width: int = 0) -> np.ndarray:
    """(H, W, 3) uint8 as a BT.709 display shows the frame, not yet rotated; averaged to a size if given."""
    wide = _is_wide(frame)
    kernel = _AREA if height else _EXACT if wide else _BILINEAR
    pixels = _scaled(
        frame, "rgb48le" if wide else "rgb24", kernel, height or frame.height, width or frame.width
    )
    return _shown(pixels, int(frame.color_trc), int(frame.color_primaries)) if wide else pixels


def to_grey(frame: "av.VideoFrame") -> np.ndarray:
    """(H, W) uint8 levels as stored, not yet rotated."""
    return _scaled(frame, "gray", _BILINEAR, frame.height, frame.width)


def _scaled(frame: "av.VideoFrame", kind: str, kernel: int, height: int, width: int) -> np.ndarray:
    size = {"width": width, "height": height, "format": kind, "src_colorspace": matrix_of(frame)}
    return _scaler(kind, kernel).reformat(frame, **size, interpolation=kernel, threads=1).to_ndarray()


@cache
def _scaler(kind: str, kernel: int) -> "av.video.reformatter.VideoReformatter":
    """Kept: to set one up takes longer than to scale a frame."""
    from av.video.reformatter import VideoReformatter

    return VideoReformatter()


def matrix_of(frame: "av.VideoFrame") -> int:
    """Which matrix made Y, Cb, Cr: as tagged, else BT.709 from 720 lines or 1280 columns on, like players."""
    if int(frame.colorspace) != UNSPECIFIED:
        return int(frame.colorspace)
    large = frame.height >= 720 or frame.width >= 1280
    return BT709 if large else 5  # 5: BT.601


def remarks(frame: "av.VideoFrame") -> list[str]:
    """What was done to a file's colours, for people; empty for plain BT.709 or BT.601."""
    curve = {PQ: "PQ", HLG: "HLG"}.get(int(frame.color_trc))
    if curve:
        return [f"HDR ({curve}): tone-mapped to BT.709, white at {WHITE:g} nits"]
    if _is_wide(frame):
        return ["wide colour (BT.2020 or P3): converted to BT.709"]
    untagged = int(frame.colorspace) == UNSPECIFIED and "rgb" not in frame.format.name
    if untagged and matrix_of(frame) == BT709 and not frame.format.name.startswith(("gbr", "gray", "pal")):
        return ["no colour tags: read as BT.709, as players do from 720 lines on"]
    return []


def _is_wide(frame: "av.VideoFrame") -> bool:
    return int(frame.color_trc) in (PQ, HLG) or int(frame.color_primaries) in _TO_709


def _shown(deep: np.ndarray, curve: int, primaries: int) -> np.ndarray:
    """RGB (H, W, 3) uint16 under a transfer curve and primaries -> BT.709 uint8."""
    import cv2

    light = _linear(curve)[deep]
    if primaries in _TO_709:
        light = cv2.transform(light, np.array(_TO_709[primaries], np.float32))
    if curve in (PQ, HLG):
        most = light.max(axis=-1, keepdims=True)
        light *= rolled_off(most) / np.maximum(most, 1e-6)
    return _encoded()[(light.clip(0, 1) * 65535 + 0.5).astype(np.uint16)]


def rolled_off(light: np.ndarray) -> np.ndarray:
    """The tone curve: up to k = KNEE nothing changes, then k + (1 - k) x / (1 + x) with x = (light - k) /
    (1 - k)."""
    over = np.maximum(light - KNEE, 0) / (1 - KNEE)
    return np.where(light > KNEE, KNEE + (1 - KNEE) * over / (1 + over), light).astype(np.float32)


@cache
def _linear(curve: int) -> np.ndarray:
    """Linear light of all 65536 code values; 1 is white."""
    value = np.arange(65536) / 65535
    if curve == PQ:  # SMPTE ST 2084
        power = value ** (1 / 78.84375)
        nits = 10000 * (np.maximum(power - 0.8359375, 0) / (18.8515625 - 18.6875 * power)) ** (
            1 / 0.1593017578125
        )
        return (nits / WHITE).astype(np.float32)
    if curve == HLG:  # ARIB STD-B67
        high = (np.exp((value - 0.55991073) / 0.17883277) + 0.28466892) / 12
        scene = np.where(value <= 0.5, value**2 / 3, high)
        return (_PEAK / WHITE * scene**1.2).astype(np.float32)
    return (value**GAMMA).astype(np.float32)


@cache
def _encoded() -> np.ndarray:
    """Code values (uint8) of 65536 steps of linear light."""
    return np.round(255 * (np.arange(65536) / 65535) ** (1 / GAMMA)).astype(np.uint8)
