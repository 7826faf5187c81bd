import ctypes
import os
import random
import subprocess
import sys
import time
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import corpus
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scanned import scanned

from cinelib.preparation import decoding
from cinelib.preparation.clips import cut
from cinelib.preparation.isolation import Child, ChildError
from cinelib.preparation.selection import Decision, Rules, decide, faults, floor_4k1, frames_available, spans
from cinelib.preparation.sources import FootageError, cover_box, sample_indices, survey
from cinelib.preparation.takes import find_takes

SPEED = 40.0  # pixels a second in the source


def variable_times(seconds=3.2, seed=3):
    """Irregular frame times between 1/60 and 1/10 s, on a millisecond grid that every container holds."""
    gaps = np.random.default_rng(seed).integers(17, 100, 300) / 1000
    times = np.concatenate([[0], np.cumsum(gaps)])
    return times[times < seconds].tolist()


FILES = {
    "h264_24.mp4": {},
    "h264_ntsc.mp4": {"times": corpus.even_times(3.2, corpus.NTSC_FILM), "declared_fps": corpus.NTSC_FILM},
    "h264_25.mkv": {"times": corpus.even_times(3.2, 25)},
    "h264_30.mov": {"times": corpus.even_times(3.2, 30), "audio": True},
    "h264_60.mp4": {"times": corpus.even_times(3.2, 60)},
    "h264_vfr.mp4": {"times": variable_times()},
    "h264_vfr.mkv": {"times": variable_times(seed=4)},
    "h264_lying_header.mkv": {"declared_fps": 60},
    "h264_no_timestamps.avi": {},
    "h265_30.mp4": {"times": corpus.even_times(3.2, 30), "codec": "libx265"},
    "h265_10bit.mkv": {"codec": "libx265", "pix_fmt": "yuv420p10le"},
    "vp9_25.webm": {
        "times": corpus.even_times(3.2, 25),
        "codec": "libvpx-vp9",
        "audio": True,
        "options": {"deadline": "realtime", "cpu-used": "8", "crf": "20"},
    },
    "mjpeg.avi": {"codec": "mjpeg", "pix_fmt": "yuvj420p"},
    "prores.mov": {"codec": "prores_ks", "pix_fmt": "yuv422p10le"},
    "odd_size.mov": {"codec": "prores_ks", "pix_fmt": "yuv422p10le", "size": (97, 161)},
}


def make(folder, name, times=None, size=(96, 160), **options):
    times = times or corpus.even_times(3.2, 24)
    return corpus.write(folder / name, corpus.moving_square(times, SPEED, *size), times, **options)


def only(folder, child):
    (source,) = survey(folder, child)
    return source


@pytest.mark.parametrize("name", FILES)
def test_speed_and_duration_survive_resampling(tmp_path, child, name):
    options = dict(FILES[name])
    make(tmp_path, name, **options)
    source, (take,) = find_takes(only(tmp_path, child), child)
    times = options.get("times") or corpus.even_times(3.2, 24)
    assert source.audio is options.get("audio", False)
    # Matroska rounds times to a millisecond.
    np.testing.assert_allclose(source.times, times, atol=1.1e-3)
    assert source.variable_rate == ("vfr" in name)

    (decision,) = decide([source], [take], Rules())
    frames = cut(decision, child, 48, 80, 16)
    assert frames.shape == (decision.num_frames, 48, 80, 3)
    assert decision.num_frames % 4 == 1
    # To one frame: as many frames of 4k+1 as the take's time holds.
    assert decision.num_frames == floor_4k1(int(3.2 * 16) + 1 - (3.2 * 16 % 1 == 0))
    wanted = decision.start + np.arange(decision.num_frames) / 16
    seen = np.array([corpus.square_position(frame) for frame in frames])
    slope = np.polyfit(wanted, seen, 1)[0]
    assert slope == pytest.approx(SPEED * 48 / 96, rel=0.02)
    # No frame is farther off than half the longest gap between two source frames.
    gap = max(np.diff(times))
    truth = (16 + SPEED * wanted) / 2
    if "odd" not in name:
        assert np.abs(seen - truth).max() <= 0.5 * gap * SPEED / 2 + 0.35


def test_header_rate_would_fail_the_speed_test(tmp_path, child):
    """The negative control: resampled by the header's rate, the same file moves at another speed."""
    make(tmp_path, "h264_lying_header.mkv", declared_fps=60)
    source = only(tmp_path, child)
    assert source.declared_fps == pytest.approx(60)
    assert source.measured_fps == pytest.approx(24, rel=1e-3)
    by_header = np.round(np.arange(17) / 16 * source.declared_fps).astype(int)
    by_header = source.times[by_header].tolist()
    frames = child.call(decoding.clip, str(source.path), by_header, (0, 0, 160, 96), 48, 80)
    seen = np.array([corpus.square_position(frame) for frame in frames])
    assert np.polyfit(np.arange(17) / 16, seen, 1)[0] == pytest.approx(SPEED / 2 * 60 / 24, rel=0.02)


@given(
    gaps=st.lists(st.floats(0.005, 0.2), min_size=20, max_size=200),
    fps=st.sampled_from([8.0, 16.0, 24.0, 30.0]),
)
@settings(max_examples=60, deadline=None)
def test_every_sample_is_the_nearest_frame(gaps, fps):
    times = np.concatenate([[0.0], np.cumsum(gaps)])
    count = int(times[-1] * fps) + 1
    indices = sample_indices(times, 0.0, count, fps)
    wanted = np.arange(count) / fps
    best = np.abs(times[None] - wanted[:, None]).min(axis=1)
    np.testing.assert_allclose(np.abs(times[indices] - wanted), best, atol=1e-9)
    assert (np.diff(indices) >= 0).all()


def test_samples_outside_of_the_footage_are_refused():
    with pytest.raises(ValueError, match="the footage has"):
        sample_indices(np.arange(24) / 24, 0.0, 33, 16)


@pytest.mark.parametrize(
    ("name", "rotation"),
    [("a.mp4", 90), ("a.mov", -90), ("a.mp4", 180), ("a.mkv", 90), ("a.mkv", 180), ("a.mkv", 270)],
)
def test_rotation_is_applied_once(tmp_path, child, name, rotation):
    times = corpus.even_times(0.5, 24)
    upright = corpus.panning_shot(len(times), 5, 96, 160)
    stored = np.rot90(upright, -rotation // 90, axes=(1, 2))  # what a tilted camera records
    corpus.write(tmp_path / name, stored, times, rotation=rotation)
    source = only(tmp_path, child)
    assert (source.height, source.width) == (96, 160)
    (seen,) = child.call(decoding.clip, str(source.path), [source.times[3]], (0, 0, 160, 96), 96, 160)
    assert np.abs(seen.astype(int) - upright[3]).mean() < 6
    assert np.abs(seen.astype(int) - upright[3][::-1, ::-1]).mean() > 20  # the measure can tell


def test_anamorphic_and_vertical_footage_keeps_its_shape():
    # 2:1 pixels: a 160x90 file is shown 320x90, so a 16:9 crop takes only the middle half of its columns.
    assert cover_box((0, 0, 160, 90), 90, 160, pixel_aspect=2.0) == (40, 0, 120, 90)
    left, top, right, bottom = cover_box((0, 0, 90, 160), 64, 112)
    assert (left, right) == (0, 90) and (bottom - top) == pytest.approx(90 * 64 / 112)
    assert top == pytest.approx(160 - bottom)


def test_resizing_is_antialiased(tmp_path, child):
    """One-pixel stripes average to grey; a plain subsampling would keep black or white."""
    stripes = np.zeros((12, 96, 160, 3), np.uint8)
    stripes[:, :, ::2] = 255
    corpus.write(tmp_path / "s.mov", stripes, corpus.even_times(0.5, 24), "prores_ks", "yuv444p10le")
    frames = child.call(decoding.clip, str(tmp_path / "s.mov"), [0.0], (0, 0, 160, 96), 24, 40)
    assert np.abs(frames[..., 4:-4, :].astype(int) - 127).max() < 20


def test_reel_is_told_apart_and_every_part_has_a_decision(tmp_path, child):
    frames, truth = corpus.rough_cut()
    corpus.write(tmp_path / "reel.mp4", frames, corpus.even_times(len(frames) / 24, 24))
    source, takes = find_takes(only(tmp_path, child), child)
    decisions = decide([source], takes, Rules(num_frames=17))

    def verdicts(part):
        first, last = (edge / 24 for edge in truth[part])
        inside = [d for d in decisions if d.take.start < last - 0.2 and d.take.end > first + 0.2]
        return inside, {d.decision for d in inside}, " ".join(d.reason + d.note for d in inside)

    for part, reason in [("leader", "black"), ("gap", "black"), ("slate", "static"), ("candle", "static")]:
        _, verdict, words = verdicts(part)
        assert verdict == {"dropped"} and reason in words, (part, words)
    assert verdicts("short")[1] == {"dropped"} and "too short" in verdicts("short")[2]
    (pan,), verdict, _ = verdicts("pan")
    assert verdict == {"kept"}
    assert (pan.take.first, pan.take.last) == truth["pan"]

    (faded,), verdict, words = verdicts("fade")
    assert verdict == {"kept"} and "fade" in words
    dark = truth["fade"][1] - faded.take.last
    assert 15 <= dark <= 24, "the ramp is a second long: most of it goes"

    (boxed,), verdict, words = verdicts("letterbox")
    assert verdict == {"kept"} and "bars cropped" in words
    assert boxed.take.box[0::2] == (0, 160)
    assert 12 <= boxed.take.box[1] <= 14 and 76 <= boxed.take.box[3] <= 78

    pieces, verdict, _ = verdicts("long")
    assert verdict == {"kept"} and len(pieces) == 3
    for before, after in pairwise(pieces):
        assert before.end <= after.start + 1e-9
    assert all(2.0 <= (d.num_frames - 1) / 16 <= 5.0 for d in decisions if d.decision == "kept")


def test_dark_floor_is_no_letterbox(tmp_path, child):
    frames = corpus.panning_shot(60, 9)
    frames[:, -30:] = 3
    corpus.write(tmp_path / "floor.mp4", frames, corpus.even_times(2.5, 24))
    _, (take,) = find_takes(only(tmp_path, child), child)
    assert take.box == (0, 0, 160, 90)


def test_locked_camera_with_an_acting_subject_is_not_static(tmp_path, child):
    make(tmp_path, "actor.mp4")
    _, (take,) = find_takes(only(tmp_path, child), child)
    assert not faults(take, Rules())


@given(
    seconds=st.floats(1.0, 40.0),
    min_seconds=st.floats(0.5, 4.0),
    extra=st.floats(0.0, 6.0),
    num_frames=st.sampled_from([5, 17, 33]),
)
@settings(max_examples=100, deadline=None)
def test_spans_fit_the_rules_and_the_take(seconds, min_seconds, extra, num_frames):
    rules = Rules(min_seconds=min_seconds, max_seconds=min_seconds + extra, num_frames=num_frames)
    take = fake_take(seconds)
    if any("too short" in fault for fault in faults(take, rules)):
        assert floor_4k1(frames_available(take, rules)) < rules.shortest
        return
    for start, frames in spans(take, rules):
        assert frames % 4 == 1 and rules.shortest <= frames <= rules.longest
        indices = sample_indices(take.source.times, start, frames, 16)
        wanted = start + np.arange(frames) / 16
        late = np.abs(take.source.times[indices] - wanted)
        assert late[:-1].max() <= 0.5 / 24 + 1e-6 and late[-1] <= 1 / 24 + 1e-3


def fake_take(seconds, file="a.mp4", number=1):
    from cinelib.preparation.sources import Source
    from cinelib.preparation.takes import Take

    times = np.arange(max(2, round(seconds * 24))) / 24
    source = Source(file, Path(file), times=times)
    box = (0, 0, 160, 90)
    return Take(source, number, 0, len(times), 0.0, len(times) / 24, box, 100.0, 0.5, False)


def test_quota_visits_every_take_before_any_twice_and_follows_the_seed():
    takes = [fake_take(20.0, "a.mp4", 1), fake_take(20.0, "a.mp4", 2), fake_take(20.0, "b.mp4", 1)]
    sources = list({take.source.file: take.source for take in takes}.values())

    def kept(seed):
        chosen = decide(sources, takes, Rules(max_clips=3), seed)
        over = [d for d in chosen if d.decision == "dropped"]
        assert all("quota: 12 clips" in d.reason for d in over) and len(over) == 9
        return [(d.file, d.take.number, d.start) for d in chosen if d.decision == "kept"]

    assert {entry[:2] for entry in kept(0)} == {("a.mp4", 1), ("a.mp4", 2), ("b.mp4", 1)}
    assert kept(0) == kept(0)
    assert any(kept(0) != kept(seed) for seed in range(1, 6))


def test_bad_files_are_named_and_good_ones_unaffected(tmp_path, child):
    good = make(tmp_path, "good.mp4").read_bytes()
    make(tmp_path, "one_frame.mp4", times=[0.0])
    (tmp_path / "zero.mp4").touch()
    (tmp_path / "truncated.mp4").write_bytes(good[: len(good) // 2])
    (tmp_path / "letter.mp4").write_text("Dear editor, the rushes are late.\n" * 50)
    (tmp_path / "noise.mkv").write_bytes(random.Random(0).randbytes(30_000))
    (tmp_path / "folder.mov").mkdir()
    (tmp_path / "notes.txt").write_text("shot list")
    (tmp_path / "SHA256SUMS").write_text("0" * 64 + "  good.mp4")
    (tmp_path / "outside.mp4").symlink_to(sys.executable)
    hurt = bytearray(good)
    hurt[len(hurt) // 3 : 2 * len(hurt) // 3] = random.Random(1).randbytes(
        2 * len(hurt) // 3 - len(hurt) // 3
    )
    (tmp_path / "scratched.mp4").write_bytes(bytes(hurt))

    sources, takes = scanned(tmp_path, child)
    decisions = {d.file: d for d in decide(sources, takes, Rules())}
    assert len(decisions) == len(list(tmp_path.iterdir())), "every entry of the folder has a row"
    assert decisions["good.mp4"].decision == "kept"
    for file, words in {
        "zero.mp4": "zero bytes",
        "truncated.mp4": "truncated, or not a video: Invalid data found when processing input (moov atom",
        "letter.mp4": "undecodable: truncated, or not a video",
        "noise.mkv": "undecodable: truncated, or not a video",
        "folder.mov": "a folder",
        "one_frame.mp4": "too short",
        "scratched.mp4": "damaged: the decoder patched a broken frame",
        "outside.mp4": "out of the folder",
    }.items():
        assert decisions[file].decision == "dropped" and words in decisions[file].reason, decisions[file]
    assert decisions["notes.txt"].decision == decisions["SHA256SUMS"].decision == "ignored"


def test_unreadable_file_is_named(tmp_path, child, monkeypatch):
    path = make(tmp_path, "locked.mp4")
    if os.geteuid() == 0:  # root reads everything: ask the function that would be refused
        monkeypatch.setattr(decoding.os, "access", lambda *_: False)
        with pytest.raises(PermissionError, match="permission denied"):
            decoding.probe(str(path))
    else:
        path.chmod(0)
        assert only(tmp_path, child).reason == "undecodable: permission denied"


def test_unusable_folders_are_refused(tmp_path, child):
    with pytest.raises(FootageError, match="does not exist"):
        survey(tmp_path / "nowhere", child)
    with pytest.raises(FootageError, match="is empty"):
        survey(tmp_path, child)
    (tmp_path / "film.mp4").touch()
    with pytest.raises(FootageError, match="is a file"):
        survey(tmp_path / "film.mp4", child)


class Booby(Child):
    """A decoder process that really crashes on one file and really hangs on another."""

    def call(self, function, path, *args, **kwargs):
        if Path(path).name == "crash.mp4":
            return super().call(ctypes.string_at, 0)
        if Path(path).name == "hang.mp4":
            patience, self.silence = self.silence, 1.5
            try:
                return super().call(time.sleep, 600)
            finally:
                self.silence = patience
        return super().call(function, path, *args, **kwargs)


def test_crash_and_hang_cost_one_file_each(tmp_path):
    for name in ("a.mp4", "crash.mp4", "hang.mp4", "z.mp4"):
        make(tmp_path, name, times=corpus.even_times(0.5, 24))
    with Booby() as booby:
        rows = {source.file: source for source in survey(tmp_path, booby)}
    assert rows["crash.mp4"].reason == "undecodable: the decoder process died of SIGSEGV"
    assert "no sign of life for 1.5 s" in rows["hang.mp4"].reason
    assert not rows["a.mp4"].reason and not rows["z.mp4"].reason


def test_a_slow_job_that_shows_life_is_no_hang():
    with Child() as child:
        assert child.call(corpus.slow_count, 1) == 1  # imports may take longer than the patience below
        child.silence = 2.0
        assert child.call(corpus.slow_count, 8) == 8, "3.2 s in all, 0.4 s between two signs"
        child.silence = 60.0
        with pytest.raises(ChildError, match="exit code 3"):
            child.call(os._exit, 3)
        with pytest.raises(ChildError, match="KeyError"):
            child.call({}.__getitem__, "x")
        assert child.call(max, 1, 2) == 2


def test_child_ends_with_its_parent():
    code = (
        "import time\nfrom cinelib.preparation.isolation import Child\nchild = Child()\n"
        "print(child.call(__import__('os').getpid), flush=True)\nchild.call(time.sleep, 600)"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    pid = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    parent.stdout.close()
    for _ in range(40):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return
        if open(f"/proc/{pid}/stat").read().split()[2] == "Z":  # noqa: PTH123, SIM115
            return
        time.sleep(0.1)
    pytest.fail("the decoder process outlives its parent")


def test_decoders_stay_out_of_the_kernel(tmp_path):
    make(tmp_path, "a.mp4", times=corpus.even_times(0.5, 24))
    code = (
        "import sys\nfrom cinelib.preparation.sources import survey\n"
        "from cinelib.preparation.takes import find_takes\n"
        "from cinelib.preparation.isolation import Child\nchild = Child()\n"
        f"source, takes = find_takes(survey({str(tmp_path)!r}, child)[0], child)\n"
        "assert len(takes) == 1\n"
        "print(sorted({'av', 'cv2', 'torch', 'scenedetect'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_damage_that_the_decoder_hides_is_found(tmp_path, child):
    """A hole in the middle: the decoder returns every frame, half of them wrong, and raises nothing."""
    times = corpus.even_times(5.0, 24)
    path = corpus.write(
        tmp_path / "hole.mp4", corpus.moving_square(times, 20), times, options={"crf": "12", "g": "48"}
    )
    _, (take,) = find_takes(only(tmp_path, child), child)
    assert take.damaged_at is None
    whole = path.read_bytes()
    middle = whole.rfind(b"mdat") + (len(whole) - whole.rfind(b"mdat")) // 2
    seen = set()
    for offset in range(0, 8000, 400):  # somewhere in there a slice is hit
        data = bytearray(whole)
        data[middle + offset : middle + offset + 40] = bytes(40)
        path.write_bytes(bytes(data))
        source, takes = find_takes(only(tmp_path, child), child)
        seen |= {decision.reason.split(":")[0] for decision in decide([source], takes, Rules())}
        if "damaged" in seen:
            break
    assert "damaged" in seen


def test_missing_end_of_a_file_is_remarked(tmp_path, child):
    data = make(tmp_path, "cut_off.mkv").read_bytes()
    (tmp_path / "cut_off.mkv").write_bytes(data[: int(len(data) * 0.6)])
    source = only(tmp_path, child)
    assert source.reason or "the header promises" in source.notes[0]


def test_decision_times_are_playing_time():
    (decision,) = decide([fake_take(3.2).source], [fake_take(3.2)], Rules())
    assert isinstance(decision, Decision)
    assert Fraction(decision.end - decision.start) == Fraction(decision.num_frames, 16)
