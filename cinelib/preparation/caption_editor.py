"""A widget to read and mend the captions of a dataset, clip by clip."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ipywidgets
import numpy as np
from PIL import Image

from cinelib.preparation.caption_edits import ORIGIN, CaptionEdits, without_trigger
from cinelib.preparation.captions import with_trigger
from cinelib.preparation.clips import write_metadata
from cinelib.preparation.dataset import METADATA, VideoFolder
from cinelib.show.markup import escape

STRIP = 5  # frames of the film strip


class CaptionEditor(ipywidgets.VBox):
    """Film strip, caption, previous / next / save.

    Saving writes what was changed to the file `edits`, from which every later preparation of this footage
    takes it, and replaces `metadata.jsonl` in one step; then it calls `saved`. Each caption opens with
    `trigger`. Without a front end it shows the first clip and waits for nobody. `go(index)`, `write(text)`
    and `save()` do what the buttons do.

    Raises:
        DatasetError: the folder is no valid dataset.
        ValueError: `edits` is no table of captions.
    """

    def __init__(
        self,
        folder: str | Path,
        index: int = 0,
        edits: str | Path | None = None,
        trigger: str = "",
        saved: Callable[[], None] = lambda: None,
    ) -> None:
        self._folder = VideoFolder.open(folder)
        self._edits = Path(edits).absolute() if edits else None
        self._trigger, self._saved = trigger, saved
        self._texts = [clip.text for clip in self._folder]
        self.index = index
        self._strip = ipywidgets.Image(format="jpeg", layout={"max_width": "100%"})
        self._title = ipywidgets.HTML()
        self._text = ipywidgets.Textarea(layout={"width": "100%", "height": "4.5em"})
        self._status = ipywidgets.HTML()
        buttons = []
        for label, icon, action in (
            ("Previous", "arrow-left", lambda _: self.go(self.index - 1)),
            ("Next", "arrow-right", lambda _: self.go(self.index + 1)),
            ("Save", "check", lambda _: self.save()),
        ):
            button = ipywidgets.Button(description=label, icon=icon)
            button.on_click(action)
            buttons.append(button)
        self._text.observe(lambda change: self.write(change["new"]), names="value")
        super().__init__([self._title, self._strip, self._text, ipywidgets.HBox([*buttons, self._status])])
        self.go(index)

    @property
    def text(self) -> str:
        """The caption on screen."""
        return self._texts[self.index]

    @property
    def unsaved(self) -> int:
        """How many captions differ from the file."""
        return sum(text != clip.text for text, clip in zip(self._texts, self._folder, strict=True))

    def go(self, index: int) -> None:
        """Show clip `index`; past either end it goes round."""
        self.index = index % len(self._folder)
        clip = self._folder[self.index]
        self._title.value = f"<b>{self.index + 1} of {len(self._folder)}</b> &nbsp; {escape(clip.file_name)}"
        self._strip.value = _strip(clip.frames())
        self._text.value = self._texts[self.index]
        self._say()

    def write(self, text: str) -> None:
        """Change the caption on screen (not yet the file)."""
        self._texts[self.index] = text
        if self._text.value != text:
            self._text.value = text
        self._say()

    def save(self) -> bool:
        """Write all captions; an empty one is refused and nothing is written. True when saved."""
        try:
            return self._save()
        except (OSError, ValueError) as error:
            self._say(f"not saved: {error}")
            return False

    def _save(self) -> bool:
        empty = [
            clip.file_name for clip, text in zip(self._folder, self._texts, strict=True) if not text.strip()
        ]
        if empty:
            self._say(f"not saved: {empty[0]} has no caption")
            return False
        path = self._folder.path / METADATA
        rows: list[dict[str, Any]] = [
            json.loads(line) for line in path.read_text("utf-8").splitlines() if line
        ]
        new = {
            clip.file_name: with_trigger(self._trigger, " ".join(text.split()))
            for clip, text in zip(self._folder, self._texts, strict=True)
        }
        changed = [row for row in rows if row["text"] != new[row["file_name"]]]
        for row in changed:
            row.update(text=new[row["file_name"]], caption_origin=ORIGIN)
        if self._edits and changed:
            edits = CaptionEdits.open(self._edits)  # anew: another tab may have saved too
            for row in changed:
                text = without_trigger(self._trigger, row["text"])
                edits.record(row["source"], row["start"], row["end"], text)
            edits.save()
        write_metadata(self._folder.path, rows)
        self._saved()
        self._folder = VideoFolder.open(self._folder.path)
        self._texts = [clip.text for clip in self._folder]
        self._text.value = self.text
        self._say(f"saved, also in {self._edits}" if self._edits else "saved")
        return True

    def _say(self, text: str = "") -> None:
        self._status.value = escape(text or (f"{self.unsaved} unsaved" if self.unsaved else ""))


def _strip(frames: np.ndarray, width: int = 150) -> bytes:
    chosen = np.linspace(0, len(frames) - 1, STRIP).round().astype(int)
    height = round(width * frames.shape[1] / frames.shape[2])
    tiles = [np.asarray(Image.fromarray(frames[index]).resize((width, height))) for index in chosen]
    buffer = io.BytesIO()
    Image.fromarray(np.concatenate(tiles, axis=1)).save(buffer, "JPEG", quality=88)
    return buffer.getvalue()
