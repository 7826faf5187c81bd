"""Video files: frames in memory to H.264 and back, by the frame's true timestamps' average rate."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.container import InputContainer
from av.video.reformatter import ColorRange, Colorspace

from cinelib.files import replacing

# Containers that hold their own pictures. Others name files to read: ffconcat, HLS, DASH, image2, SDP.
CONTAINERS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mxf,mpeg,mpegts,mpegvideo,m4v,asf,flv,ogg,dv,gxf,nut,ivf,rm,"
    "h264,hevc,mjpeg,wav,mp3,aac,flac,gif,apng,png_pipe,jpeg_pipe,webp_pipe,bmp_pipe,tiff_pipe"
)


def opened(path: str | Path) -> InputContainer:
    """An open container that reads this one file and none that it names.

    Raises:
        av.error.FFmpegError: no media, or not one of `CONTAINERS`.
    """
    only = {"format_whitelist": CONTAINERS, "protocol_whitelist": "file"}
    return av.open(str(Path(path).absolute()), options=only)  # a bare `concat:a|b` would be a protocol


def write_video(path: str | Path, frames: np.ndarray, fps: float, crf: int = 16) -> Path:
    """Write `frames` (T, H, W, 3) uint8 RGB as H.264 yuv420p, atomically. H and W must be even.

    Raises:
        ValueError: wrong dtype, shape or fps.
    """
    frames = np.asarray(frames)
    if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[-1] != 3 or len(frames) == 0:
        raise ValueError(f"frames must be uint8 (T, H, W, 3) with T >= 1, got {frames.dtype} {frames.shape}")
    if frames.shape[1] % 2 or frames.shape[2] % 2:
        raise ValueError(f"H.264 4:2:0 needs even sizes, got {frames.shape[1]}x{frames.shape[2]}")
    if not fps > 0:
        raise ValueError(f"fps must be positive, got {fps}")
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    options = {"movflags": "faststart"}
    with replacing(path) as partial, av.open(str(partial), "w", format="mp4", options=options) as container:
        stream = container.add_stream("libx264", rate=Fraction(fps).limit_denominator(1001))
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv420p"
        # x264's fast paths depend on where memory lies: without this, equal frames give unequal files
        independent = {"x264-params": "cpu-independent=1"}
        stream.options = {"crf": str(crf), "preset": "veryfast", **independent}
        # What the conversion from RGB does, said in the file: untagged 720p is shown as BT.709.
        stream.codec_context.colorspace = Colorspace.ITU601
        stream.codec_context.color_range = ColorRange.MPEG
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), "rgb24")))
        container.mux(stream.encode())
    return path


def read_video(path: str | Path) -> tuple[np.ndarray, float]:
    """All frames (T, H, W, 3) uint8 RGB and the average frame rate of a file that cinelib wrote."""
    with opened(path) as container:
        stream = container.streams.video[0]
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(stream)]
        rate = float(stream.average_rate)
    return np.stack(frames), rate
