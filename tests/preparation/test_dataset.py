import csv
import json

import corpus
import numpy as np
import pytest
from scanned import scanned

from cinelib.files import hash_of
from cinelib.preparation import clips
from cinelib.preparation.captions import Captions
from cinelib.preparation.clips import write_dataset
from cinelib.preparation.dataset import DatasetError, VideoFolder
from cinelib.preparation.isolation import Child, ChildError
from cinelib.preparation.report import COLUMNS, write_report
from cinelib.preparation.selection import Rules, decide
from cinelib.video import read_video, write_video

SIZE = {"height": 32, "width": 48, "fps": 16}


@pytest.fixture(scope="module")
def footage(tmp_path_factory):
    """Two films with captions, a broken one, and captions that are wrong."""
    folder = tmp_path_factory.mktemp("footage")
    for name, seed in (("castle.mp4", 1), ("market.mkv", 2)):
        shots = [corpus.panning_shot(80, seed), corpus.panning_shot(80, seed + 10)]
        frames = np.concatenate(shots)
        corpus.write(folder / name, frames, corpus.even_times(len(frames) / 24, 24))
    (folder / "zero.mp4").touch()
    rows = [
        {"file_name": "castle.mp4", "start": 0, "end": 3.3, "text": "a gate", "camera": "pans left"},
        {"file_name": "castle.mp4", "start": 3.3, "end": 6.7, "text": "Emberfall film, a hall"},
        {"file_name": "../../x.mp4", "text": "elsewhere"},
    ]
    (folder / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def prepare(footage, child, **rules):
    sources, takes = scanned(footage, child)
    return decide(sources, takes, Rules(**rules), seed=0)


def write(footage, child, out, decisions=None, **options):
    decisions = decisions or prepare(footage, child)
    options = {**SIZE, "trigger": "emberfall film", **options}
    return write_dataset(out, decisions, Captions.open(footage), child, **options)


def test_dataset_holds_what_its_metadata_says(tmp_path, footage, child):
    folder, decisions = write(footage, child, tmp_path / "dataset")
    kept = [decision for decision in decisions if decision.decision == "kept"]
    assert len(folder) == len(kept) == 4
    assert [clip.text for clip in folder] == [
        "emberfall film, a gate",
        "Emberfall film, a hall",
        "emberfall film",
        "emberfall film",
    ]
    assert folder[0].fields == {"camera": "pans left"}
    for clip, decision in zip(folder, kept, strict=True):
        frames = clip.frames()
        assert frames.shape == (clip.num_frames, 32, 48, 3) and clip.num_frames % 4 == 1
        assert read_video(clip.path)[1] == pytest.approx(16)
        assert clip.end - clip.start == pytest.approx(clip.num_frames / 16, abs=1e-5)
        assert decision.clip == clip.file_name and hash_of(clip.path) == clip.sha256
        # High quality: what was cut is what was written (compared in grey: 4:2:0 halves the colour's size).
        written, wanted = frames.mean(-1), clips.cut(decision, child, 32, 48, 16).mean(-1)
        assert np.abs(written - wanted).mean() < 3
    assert all("trigger phrase stands alone" in decision.note for decision in kept[2:])
    assert VideoFolder.open(tmp_path / "dataset", verify=True).sha256 == folder.sha256


def test_same_footage_and_seed_give_the_same_dataset(tmp_path, footage, child):
    first, _ = write(footage, child, tmp_path / "a")
    second, _ = write(footage, child, tmp_path / "b")
    assert first.sha256 == second.sha256


def test_report_names_every_file_and_take(tmp_path, footage, child):
    _, decisions = write(footage, child, tmp_path / "dataset", prepare(footage, child, max_clips=3))
    write_report(tmp_path / "decisions.csv", decisions)
    with (tmp_path / "decisions.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert tuple(rows[0]) == COLUMNS
    assert {row["file"] for row in rows} == {"castle.mp4", "market.mkv", "metadata.jsonl", "zero.mp4"}
    by_decision = [row["decision"] for row in rows]
    assert by_decision.count("kept") == 3 and by_decision.count("ignored") == 1
    assert all(row["reason"] for row in rows if row["decision"] != "kept")
    assert all((row["clip"] != "") == (row["decision"] == "kept") for row in rows)


def test_captioner_speaks_only_where_nobody_else_did(tmp_path, footage, child):
    seen = []

    def captioner(frames):
        seen.append(frames.shape)
        return "a stall in the sun"

    folder, _ = write(footage, child, tmp_path / "dataset", captioner=captioner)
    assert [clip.text for clip in folder][2:] == ["emberfall film, a stall in the sun"] * 2
    assert len(seen) == 2 and seen[0][1:] == (32, 48, 3)


def test_clip_without_any_caption_is_refused(tmp_path, footage, child):
    with pytest.raises(DatasetError, match="no caption at all"):
        write(footage, child, tmp_path / "dataset", trigger="")
    assert not list(tmp_path.iterdir())


def test_a_clip_that_fails_now_is_dropped_and_the_others_stay(tmp_path, footage, child):
    class Flaky(Child):
        def call(self, function, path, *args, **kwargs):
            if path.endswith("castle.mp4"):
                raise ChildError("the decoder process died of SIGSEGV")
            return child.call(function, path, *args, **kwargs)

    folder, decisions = write(footage, Flaky(), tmp_path / "dataset", prepare(footage, child))
    assert len(folder) == 2
    failed = [d for d in decisions if d.file == "castle.mp4"]
    assert all(d.decision == "dropped" and "SIGSEGV" in d.reason and not d.clip for d in failed)


def test_nothing_half_written(tmp_path, footage, child, monkeypatch):
    old, _ = write(footage, child, tmp_path / "dataset")
    (tmp_path / ".dataset.partial-1").mkdir()  # a killed process left it

    def full_disk(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(clips, "write_metadata", full_disk)
    with pytest.raises(OSError, match="No space left"):
        write(footage, child, tmp_path / "dataset")
    assert VideoFolder.open(tmp_path / "dataset", verify=True).sha256 == old.sha256
    assert [path.name for path in tmp_path.iterdir()] == ["dataset"]


def test_no_good_clip_gives_no_dataset_but_a_report(tmp_path, footage, child):
    decisions = prepare(footage, child, min_seconds=8.0, max_seconds=9.0)
    folder, decisions = write(footage, child, tmp_path / "dataset", decisions)
    assert folder is None and not (tmp_path / "dataset").exists()
    assert {d.decision for d in decisions} == {"dropped", "ignored"}


@pytest.fixture
def handmade(tmp_path):
    """A valid dataset of two clips whose metadata tests may spoil."""
    rows = []
    for name in ("a.mp4", "b.mp4"):
        write_video(tmp_path / "clips" / name, np.full((5, 32, 48, 3), 90, np.uint8), 16)
        rows.append(
            {
                "file_name": f"clips/{name}",
                "text": name,
                "fps": 16,
                "num_frames": 5,
                "height": 32,
                "width": 48,
            }
        )

    def save(rows):
        (tmp_path / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        return tmp_path

    save(rows)
    return tmp_path, rows, save


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"file_name": "clips/gone.mp4"}, "line 2: file_name 'clips/gone.mp4' does not exist"),
        ({"file_name": "../../x.mp4"}, "line 2: file_name '../../x.mp4' escapes the folder"),
        ({"file_name": "/etc/hostname"}, "relative path"),
        ({"file_name": "clips/link.mp4"}, "leads out of the folder"),
        ({"file_name": "clips/a.mp4"}, "names clips/a.mp4 twice"),
        ({"file_name": "clips/./a.mp4"}, "twice"),
        ({"text": "  "}, "clips/b.mp4 has no text"),
        ({"height": 64}, "mixed shape: clips/a.mp4 is 32x48 at 16 fps, clips/b.mp4 is 64x48"),
        ({"fps": 24}, "mixed shape"),
        ({"num_frames": "many"}, "num_frames = 'many'"),
    ],
)
def test_loader_gives_one_clear_error(handmade, tmp_path_factory, change, words):
    folder, rows, save = handmade
    outside = tmp_path_factory.mktemp("outside") / "film.mp4"
    outside.write_bytes(b"x")
    (folder / "clips" / "link.mp4").symlink_to(outside)
    save([rows[0], {**rows[1], **change}])
    with pytest.raises(DatasetError, match=words.replace("(", r"\(").replace(".", r"\.")):
        VideoFolder.open(folder)


def test_loader_refuses_damage(handmade, tmp_path):
    folder, rows, save = handmade
    assert [clip.text for clip in VideoFolder.open(folder)] == ["a.mp4", "b.mp4"]
    with pytest.raises(DatasetError, match=r"no metadata\.jsonl"):
        VideoFolder.open(tmp_path / "clips")
    save([])
    with pytest.raises(DatasetError, match="lists no clip"):
        VideoFolder.open(folder)
    (folder / "metadata.jsonl").write_text('{"file_name": ')
    with pytest.raises(DatasetError, match="line 1: not JSON"):
        VideoFolder.open(folder)
    save([{**rows[0], "num_frames": 9}, {**rows[1], "num_frames": 9}])
    with pytest.raises(DatasetError, match=r"holds \(5, 32, 48, 3\), its metadata promises \(9,"):
        VideoFolder.open(folder)[0].frames()
    save([{**row, "sha256": "0" * 64} for row in rows])
    with pytest.raises(DatasetError, match="not the file that"):
        VideoFolder.open(folder, verify=True)
    (folder / "clips" / "a.mp4").write_bytes(b"not a film")
    save(rows)
    with pytest.raises(DatasetError, match="cannot be read"):
        VideoFolder.open(folder)[0].frames()


def test_caption_editor_mends_and_saves(handmade):
    from cinelib.preparation.caption_editor import CaptionEditor

    folder, rows, save = handmade
    save([{**rows[0], "lighting": "torch"}, rows[1]])
    editor = CaptionEditor(folder)
    assert editor.text == "a.mp4" and editor.children[1].value[:2] == b"\xff\xd8"  # a JPEG strip
    previous, following, saving = editor.children[-1].children[:3]
    following.click()
    assert editor.text == "b.mp4"
    editor.children[2].value = "a bell\n tower"
    assert editor.unsaved == 1
    saving.click()
    assert [clip.text for clip in VideoFolder.open(folder)] == ["a.mp4", "a bell tower"]
    assert VideoFolder.open(folder)[0].fields == {"lighting": "torch"}, "other columns survive"
    assert editor.unsaved == 0
    following.click()  # round to the first
    assert editor.text == "a.mp4"
    editor.write(" ")
    before = (folder / "metadata.jsonl").read_bytes()
    assert not editor.save() and (folder / "metadata.jsonl").read_bytes() == before
    previous.click()
    assert editor.text == "a bell tower"
    assert not list(folder.glob("*metadata.jsonl.*"))


def test_the_editor_keeps_edits_in_a_file_of_the_persons_and_puts_the_trigger_back(handmade, tmp_path):
    from cinelib.preparation.caption_editor import CaptionEditor
    from cinelib.preparation.caption_edits import CaptionEdits

    folder, rows, save = handmade
    save(
        [
            {**row, "text": f"my film, {row['text']}", "source": "roll.mov", "start": 0, "end": 2}
            for row in rows[:1]
        ]
    )
    path, told = tmp_path / "mine" / "roll.csv", []
    editor = CaptionEditor(folder, edits=path, trigger="my film", saved=lambda: told.append(1))
    editor.write("a bell tower")
    assert not path.exists() and editor.save() and told == [1]
    assert editor.text == VideoFolder.open(folder)[0].text == "my film, a bell tower"
    assert CaptionEdits.open(path).find("roll.mov", 0, 2).text == "a bell tower"
    assert path.parent.name in editor.children[-1].children[-1].value  # where it was saved is said

    path.write_text("something else")
    editor.write("a well")
    before = (folder / "metadata.jsonl").read_bytes()
    assert not editor.save() and (folder / "metadata.jsonl").read_bytes() == before
    assert path.read_text() == "something else" and "not saved" in editor.children[-1].children[-1].value
