"""Kept decisions become files: frames at the model's rate and size, captioned, as one dataset folder."""

import json
import os
import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from cinelib.files import hash_of, write_text
from cinelib.preparation import decoding
from cinelib.preparation.caption_edits import ORIGIN, CaptionEdits
from cinelib.preparation.captions import Caption, Captions, with_trigger
from cinelib.preparation.dataset import METADATA, DatasetError, VideoFolder
from cinelib.preparation.isolation import Child, ChildError
from cinelib.preparation.report import remarks_on_size
from cinelib.preparation.selection import Decision, name_clips
from cinelib.preparation.sources import Source, cover_box, sample_indices
from cinelib.video import write_video


class Captioner(Protocol):
    """Anything that describes frames (T, H, W, 3) uint8 in one sentence."""

    def __call__(self, frames: np.ndarray) -> str:
        """The sentence."""


def cut(decision: Decision, child: Child, height: int, width: int, fps: float) -> np.ndarray:
    """Frames of one kept span: (T, height, width, 3) uint8, one every `1 / fps` seconds of true time.

    Raises:
        ChildError: the file no longer decodes.
    """
    source, take = decision.take.source, decision.take
    times = source.times[take.first : take.last]
    chosen = times[sample_indices(times, decision.start, decision.num_frames, fps, take.end)]
    box = cover_box(take.box, height, width, source.pixel_aspect)
    return frames_of(source, child, chosen, box, height, width)


def frames_of(
    source: Source,
    child: Child,
    instants: np.ndarray,
    box: tuple[float, float, float, float],
    height: int,
    width: int,
) -> np.ndarray:
    """The frames of `source` at `instants` (T,), some of its `times`: (T, height, width, 3) uint8.

    Raises:
        ChildError: the file no longer decodes.
    """
    size = (source.height, source.width)
    return child.call(
        decoding.clip, str(source.path), instants.tolist(), box, height, width, size, source.seekable
    )


def poster(decision: Decision, child: Child, width: int = 192) -> np.ndarray:
    """The middle frame of a decision's span, whole, bars included: (H, width, 3) uint8; grey without one."""
    take = decision.take
    grey = np.full((round(width * 9 / 16), width, 3), 225, np.uint8)
    if take is None:
        return grey
    source = take.source
    middle = int(np.abs(source.times - (decision.start + decision.end) / 2).argmin())
    middle = min(max(middle, take.first), take.last - 1)
    height = max(2, round(width * source.height / (source.width * source.pixel_aspect)))
    whole = (0, 0, source.width, source.height)
    try:
        (frame,) = frames_of(source, child, source.times[[middle]], whole, height, width)
    except ChildError:
        return grey
    return frame


def write_dataset(
    folder: str | Path,
    decisions: Sequence[Decision],
    captions: Captions,
    child: Child,
    *,
    height: int,
    width: int,
    fps: float,
    trigger: str = "",
    edits: CaptionEdits | None = None,
    captioner: Captioner | None = None,
    log: Callable[[str], None] = lambda line: None,
) -> tuple[VideoFolder | None, list[Decision]]:
    """Cut, caption and write every kept clip; `folder` appears only when all of them are there.

    Returns the dataset (None when no clip is left) and the decisions with clip names; a clip that fails
    to decode now is dropped with its reason, and the others go on.
    """
    folder = Path(folder)
    partial = _fresh_neighbour(folder)
    rows, final = [], []
    try:
        for decision in name_clips(decisions):
            if decision.decision == "kept":
                try:
                    frames = cut(decision, child, height, width, fps)
                except Exception as error:  # whatever it is, it costs this clip only
                    words = (
                        str(error) if isinstance(error, ChildError) else f"{type(error).__name__}: {error}"
                    )
                    decision = replace(decision, decision="dropped", reason=f"undecodable: {words}", clip="")
                else:
                    caption = _caption(decision, captions, captioner, frames, edits)
                    notes = (decision.note, remarks_on_size(decision, height, width), _remark(caption))
                    decision = replace(decision, note="; ".join(filter(None, notes)))
                    path = write_video(partial / decision.clip, frames, fps, crf=12)
                    rows.append(_row(decision, caption, trigger, frames.shape, fps, hash_of(path)))
                    if len(rows) % 10 == 0:
                        log(f"{len(rows)} clips written, the last from {decision.file}")
            final.append(decision)
        if not rows:
            return None, final
        write_metadata(partial, rows)
        _swap(partial, folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return VideoFolder.open(folder), final


def _caption(
    decision: Decision,
    captions: Captions,
    captioner: Captioner | None,
    frames: np.ndarray,
    edits: CaptionEdits | None,
) -> Caption:
    span = decision.file, decision.start, decision.end
    found = captions.find(*span)
    if edited := edits and edits.find(*span):
        return replace(edited, fields=found.fields if found else {})
    if found is None and captioner is not None:
        return Caption(captioner(frames), {}, "captioner")
    return found or Caption("")


def _remark(caption: Caption) -> str:
    if caption.origin == ORIGIN:
        return "caption edited by hand"
    silent = "the captioner answered with nothing" if caption.origin else "no caption found"
    return "" if caption.text else f"{silent}: the trigger phrase stands alone"


def _row(
    decision: Decision, caption: Caption, trigger: str, shape: tuple[int, ...], fps: float, sha256: str
) -> dict[str, Any]:
    text = with_trigger(trigger, caption.text)
    if not text:
        raise DatasetError(
            f"{decision.clip} (from {decision.file}, {decision.start:.2f} s) would have no caption at all: "
            "put a text file beside the footage, set `captioner`, or give a `trigger` phrase"
        )
    num_frames, height, width, _ = shape
    return {
        "file_name": decision.clip,
        "text": text,
        "fps": fps,
        "num_frames": num_frames,
        "height": height,
        "width": width,
        "source": decision.file,
        "take": decision.take.number,
        "start": round(decision.start, 6),
        "end": round(decision.end, 6),
        "sha256": sha256,
        "caption_origin": caption.origin,
        **caption.fields,
    }


def write_metadata(folder: Path, rows: Iterable[dict[str, Any]]) -> None:
    """`metadata.jsonl` in one piece: a reader sees the old file or the new one."""
    write_text(folder / METADATA, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))


def _fresh_neighbour(folder: Path) -> Path:
    """An empty folder beside `folder`; what a killed process left there goes first."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    for stale in folder.parent.glob(f".{folder.name}.partial*"):
        shutil.rmtree(stale, ignore_errors=True)
    partial = folder.with_name(f".{folder.name}.partial-{os.getpid()}")
    partial.mkdir()
    return partial


def _swap(partial: Path, folder: Path) -> None:
    """Put the finished folder in place. A folder cannot replace a full one in one step: step aside first."""
    aside = folder.with_name(f".{folder.name}.partial-old-{os.getpid()}")
    if folder.exists():
        folder.rename(aside)
    partial.rename(folder)
    shutil.rmtree(aside, ignore_errors=True)
