"""Footage as cameras, recorders and people make it: what each kind must give."""

import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import corpus
import cv2
import numpy as np
import pytest
from scanned import scanned

from cinelib.evaluation.clips import decode
from cinelib.preparation import decoding
from cinelib.preparation.captions import Captions
from cinelib.preparation.clips import cut, write_dataset
from cinelib.preparation.colour import rolled_off
from cinelib.preparation.dataset import Clip, hold_out
from cinelib.preparation.isolation import Child
from cinelib.preparation.report import remarks
from cinelib.preparation.selection import Rules, decide
from cinelib.preparation.sources import survey
from cinelib.video import read_video, write_video

HEIGHT, WIDTH = 90, 160


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    """150 numbered frames at 25 a second, a key frame every 2 s."""
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    frames = np.stack([corpus.numbered(k, HEIGHT, WIDTH) for k in range(150)])
    return corpus.write(path, frames, corpus.even_times(6, 25), options={"crf": "14", "g": "50"})


def prepared(folder, child, **rules):
    sources, takes = scanned(folder, child)
    return sources, takes, decide(sources, takes, Rules(**rules))


def numbers(source, child):
    """The numbers on all frames, as a clip at the file's own times has them."""
    box = (0, 0, source.width, source.height)
    size = (source.height, source.width)
    frames = child.call(
        decoding.clip, str(source.path), source.times.tolist(), box, *size, size, source.seekable
    )
    return [corpus.number_on(frame) for frame in frames]


def copied(path, film, keep=lambda packet: True, shift=0, **options):
    """`film` remuxed without encoding it again, as recorders and editors do."""
    with av.open(str(film)) as given, av.open(str(path), "w", options=options) as made:
        stream = made.add_stream_from_template(given.streams.video[0])
        for packet in given.demux(video=0):
            if packet.size and keep(packet):
                packet.pts, packet.dts = packet.pts + shift, packet.dts + shift
                packet.stream = stream
                made.mux(packet)
    return path


def test_an_edit_list_hides_what_it_hides(tmp_path, film, child):
    """Cut without encoding, from 1.3 s on: the file still holds the frames from the key frame before."""
    with av.open(str(film)) as given:
        shift = -round(Fraction(13, 10) / given.streams.video[0].time_base)
    copied(tmp_path / "trim.mp4", film, shift=shift, avoid_negative_ts="disabled", use_editlist="1")
    (source,), _, _ = prepared(tmp_path, child)
    seen = numbers(source, child)
    assert seen[0] in (32, 33) and seen == list(range(seen[0], 150))
    assert source.seconds == pytest.approx(len(seen) / 25, abs=0.021)


@pytest.mark.parametrize("name", ["a.ts", "a.m2ts", "a.mkv", "a.mov"])
def test_every_container_gives_all_frames_in_order(tmp_path, film, child, name):
    copied(tmp_path / name, film)
    (source,), _, _ = prepared(tmp_path, child)
    assert numbers(source, child) == list(range(150))
    assert source.times == pytest.approx(np.arange(150) / 25, abs=1.1e-3)


def test_score_sees_the_same_pictures_in_every_container(tmp_path, film, child):
    copied(tmp_path / "a.ts", film)
    copied(tmp_path / "b.mp4", film)
    one, other = (decode(source, 10.0, child) for source in survey(tmp_path, child))
    assert np.array_equal(one.frames, other.frames) and len(one.frames) == 150
    np.testing.assert_allclose(one.times, other.times, atol=1e-6)


def test_recordings_one_behind_the_other_play_on(tmp_path, film, child):
    piece = copied(tmp_path.parent / "piece.ts", film).read_bytes()
    (tmp_path / "two.ts").write_bytes(piece + piece)
    (source,), _, _ = prepared(tmp_path, child)
    seen = numbers(source, child)
    assert seen == [*range(150), *range(150)]
    assert (np.diff(source.times) > 0).all() and source.seconds == pytest.approx(12, abs=0.1)
    assert "its timestamps start anew" in source.row()["remarks"]
    assert len(decode(source, 20.0, child).frames) == 300


def test_a_change_of_size_is_a_border_and_keeps_the_picture(tmp_path, film, child):
    small = np.stack([corpus.numbered(k, 44, 80) for k in range(75)])
    corpus.write(tmp_path.parent / "small.ts", small, corpus.even_times(3, 25))
    large = copied(tmp_path.parent / "large.ts", film).read_bytes()
    (tmp_path / "both.ts").write_bytes(large + (tmp_path.parent / "small.ts").read_bytes())
    (source,), takes, _ = prepared(tmp_path, child)
    assert 150 in {take.first for take in takes} & {take.last for take in takes}
    assert numbers(source, child) == [*range(150), *range(75)]


def test_a_frame_found_by_its_stamp_is_the_frame_decoded_in_turn(tmp_path, child):
    frames = np.stack([corpus.numbered(k, HEIGHT, WIDTH) for k in range(500)])
    path = corpus.write(tmp_path / "long.mp4", frames, corpus.even_times(20, 25), options={"g": "50"})
    (source,), _, _ = prepared(tmp_path, child)
    assert source.seekable
    late = source.times[[400, 401, 460]].tolist()
    for seekable in (True, False):
        got = child.call(decoding.clip, str(path), late, (0, 0, WIDTH, HEIGHT), HEIGHT, WIDTH, None, seekable)
        assert [corpus.number_on(frame) for frame in got] == [400, 401, 460]
    with pytest.raises(Exception, match=r"no frame at 3\.333 s"):
        child.call(decoding.clip, str(path), [3.333], (0, 0, WIDTH, HEIGHT), HEIGHT, WIDTH)


def test_a_recorder_that_waits_while_nothing_moves(tmp_path, film, child):
    """A gap of 3 s before a cut: the last frame stays on screen, and every take gets a decision."""
    times = [*(np.arange(50) / 25), *(5 + np.arange(75) / 25)]
    walls = [corpus.panning_shot(50, 1), corpus.panning_shot(75, 2)]
    corpus.write(tmp_path / "screen.mp4", np.concatenate(walls), times)
    copied(tmp_path / "good.mp4", film)
    sources, takes, decisions = prepared(tmp_path, child, num_frames=17)
    assert not any(source.reason for source in sources)
    assert {(d.file, d.take.number) for d in decisions} == {(t.source.file, t.number) for t in takes}
    assert {d.decision for d in decisions if d.file == "good.mp4"} == {"kept"}
    for decision in decisions:
        if decision.decision == "kept":
            assert len(cut(decision, child, 32, 48, 16)) == decision.num_frames


PATCHES = np.array(
    [(200, 30, 30), (30, 170, 40), (30, 50, 190), (210, 160, 130), (235, 235, 235), (128, 128, 128)]
)
TO_2020 = np.array([[0.6274, 0.3293, 0.0433], [0.0691, 0.9195, 0.0114], [0.0164, 0.0880, 0.8956]])


def pq(nits):
    power = (nits / 10000) ** 0.1593017578125
    return ((0.8359375 + 18.8515625 * power) / (1 + 18.6875 * power)) ** 78.84375


def hlg(nits):
    scene = (nits / 1000) ** (1 / 1.2)
    return np.where(
        scene <= 1 / 12, np.sqrt(3 * scene), 0.17883277 * np.log(12 * scene - 0.28466892) + 0.55991073
    )


def wide_film(path, curve, encode, patches=PATCHES, range_=1):
    """Patches 32 pixels wide in BT.2020, 10 bits, one second, lossless."""
    light = (patches / 255) ** 2.4 @ TO_2020.T
    red, green, blue = encode(light).T
    luma = 0.2627 * red + 0.6780 * green + 0.0593 * blue
    planes = [luma, (blue - luma) / 1.8814, (red - luma) / 1.4746]
    codes = [64 + 876 * planes[0], 512 + 896 * planes[1], 512 + 896 * planes[2]]
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=24)
        stream.width, stream.height, stream.pix_fmt = 32 * len(patches), 64, "yuv420p10le"
        context = stream.codec_context
        context.color_trc, context.color_primaries, context.colorspace, context.color_range = curve, 9, 9, 1
        for _ in range(24):
            frame = av.VideoFrame(stream.width, 64, "yuv420p10le")
            frame.color_trc, frame.color_primaries, frame.colorspace, frame.color_range = curve, 9, 9, 1
            for plane, code in zip(frame.planes, codes, strict=True):
                row = np.repeat(code.round().astype("<u2"), plane.width // len(patches))
                rows = np.zeros((plane.height, plane.line_size // 2), "<u2")
                rows[:, : plane.width] = row
                plane.update(rows.tobytes())
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


@pytest.mark.parametrize(
    ("curve", "encode", "words"),
    [
        (16, lambda light: pq(203 * light), "HDR (PQ)"),
        (18, lambda light: hlg(203 * light), "HDR (HLG)"),
        (1, lambda light: light ** (1 / 2.4), "wide colour"),
    ],
    ids=["pq", "hlg", "sdr"],
)
def test_hdr_and_wide_colour_arrive_as_bt709(tmp_path, child, curve, encode, words):
    wide_film(tmp_path / "hdr.mkv", curve, encode)
    (source,) = survey(tmp_path, child)
    assert words in source.row()["remarks"]
    frames = decode(source, 1.0, child).frames
    seen = np.array([frames[0][32, 32 * k + 16] for k in range(len(PATCHES))]).astype(int)
    assert np.abs(seen - PATCHES).max() <= 3, seen


def test_highlights_are_rolled_off_and_never_turn_round():
    light = np.linspace(0, 40, 4000)
    shown = rolled_off(light)
    assert (np.diff(shown) > -1e-7).all() and shown.max() <= 1
    np.testing.assert_allclose(shown[light <= 0.9], light[light <= 0.9], rtol=1e-6)


def untagged(path, height, width, matrix):
    """One flat red, (200, 30, 30), written by one matrix and tagged with none."""
    kr, kb = {"709": (0.2126, 0.0722), "601": (0.299, 0.114)}[matrix]
    red, green, blue = np.array([200, 30, 30]) / 255
    luma = kr * red + (1 - kr - kb) * green + kb * blue
    codes = (16 + 219 * luma, 128 + 112 * (blue - luma) / (1 - kb), 128 + 112 * (red - luma) / (1 - kr))
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=24)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for _ in range(3):
            frame = av.VideoFrame(width, height, "yuv420p")
            for plane, code in zip(frame.planes, codes, strict=True):
                plane.update(bytes([round(code)]) * (plane.line_size * plane.height))
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def test_untagged_hd_is_bt709_and_small_pictures_bt601(tmp_path, child):
    untagged(tmp_path / "hd.mkv", 720, 1280, "709")
    untagged(tmp_path / "sd.mkv", 576, 720, "601")
    for source in survey(tmp_path, child):
        frame = decode(source, 1.0, child).frames[0]
        assert np.abs(frame[64, 64].astype(int) - [200, 30, 30]).max() <= 3, source.file
        assert ("no colour tags" in source.row()["remarks"]) == (source.file == "hd.mkv")


@pytest.mark.parametrize("fps", [16, 24, 25, 30])
def test_five_seconds_are_81_frames_at_any_rate(tmp_path, child, fps):
    frames = corpus.panning_shot(5 * fps, 3, step=36 / fps)
    corpus.write(tmp_path / "five.mp4", frames, corpus.even_times(5, fps))
    _, _, (decision,) = prepared(tmp_path, child, num_frames=81)
    assert (decision.decision, decision.num_frames) == ("kept", 81), decision.reason
    assert cut(decision, child, 32, 48, 16).shape == (81, 32, 48, 3)
    short = corpus.panning_shot(int(4.9 * fps), 3)
    corpus.write(tmp_path / "five.mp4", short, corpus.even_times(4.9, fps)[: len(short)])
    _, _, (decision,) = prepared(tmp_path, child, num_frames=81)
    assert "too short" in decision.reason


@pytest.mark.parametrize("fps", [2, 5, 10])
def test_few_pictures_a_second_are_said(tmp_path, child, fps):
    frames = corpus.panning_shot(6 * fps, 3, step=9)
    corpus.write(tmp_path / "slow.mp4", frames, corpus.even_times(6, fps))
    _, _, decisions = prepared(tmp_path, child, num_frames=17)
    words = [decision.reason + decision.note for decision in decisions]
    assert all("repeat the one before" in text for text in words), words
    assert {decision.decision for decision in decisions} == {"dropped" if fps <= 5 else "kept"}


def shots(*seeds, frames=72, step=0.4):
    return [corpus.panning_shot(frames, seed, step=step).astype(np.float32) for seed in seeds]


def joined(kind, length):
    """Two shots of 72 frames that overlap in a transition of `length`: (frames, first, last)."""
    old, new = shots(21, 22)
    share = (np.arange(length) + 1)[:, None, None, None] / (length + 1)
    before, after = old[-length:], new[:length]
    if kind == "dissolve":
        mixed = (1 - share) * before + share * after
    elif kind == "wipe":
        mixed = np.where(np.arange(160)[None, None, :, None] / 160 < share, after, before)
    else:
        near = np.abs(2 * share - 1)
        mixed = np.where(share < 0.5, before, after) * near + 255 * (1 - near)
    return np.concatenate([old[:-length], mixed, new[length:]]).astype(np.uint8), 72 - length, 72


@pytest.mark.parametrize(
    ("kind", "length"), [("dissolve", 12), ("dissolve", 24), ("wipe", 16), ("dip to white", 20)]
)
def test_a_slow_border_is_cut_from_both_takes(tmp_path, child, kind, length):
    frames, first, last = joined(kind, length)
    corpus.write(tmp_path / "film.mp4", frames, corpus.even_times(len(frames) / 24, 24))
    _, takes, _ = prepared(tmp_path, child)
    assert len(takes) == 2, [(take.first, take.last) for take in takes]
    assert first - 8 <= takes[0].last <= first + 1 and last - 1 <= takes[1].first <= last + 8
    assert all(f"{kind} " in take.notes[0] and "cut off" in take.notes[0] for take in takes)


@pytest.mark.parametrize("length", [1, 2, 3])
def test_a_flash_is_no_border(tmp_path, child, length):
    (shot,) = shots(31, frames=120)
    for place in (40, 80):
        shot[place : place + length] = 255 - (255 - shot[place : place + length]) * 0.05
    corpus.write(tmp_path / "flash.mp4", shot.astype(np.uint8), corpus.even_times(5, 24))
    _, takes, decisions = prepared(tmp_path, child)
    assert [(take.first, take.last) for take in takes] == [(0, 120)]
    assert decisions[0].decision == "kept" and "flash" in decisions[0].note


def test_a_cut_beside_a_flash_stays_one(tmp_path, child):
    old, new = shots(41, 42)
    old[-30:-28] = 255
    frames = np.concatenate([old, new]).astype(np.uint8)
    corpus.write(tmp_path / "cut.mp4", frames, corpus.even_times(6, 24))
    _, takes, _ = prepared(tmp_path, child)
    assert [(take.first, take.last) for take in takes] == [(0, 72), (72, 144)]


def test_interlaced_footage_loses_its_combs(tmp_path, child):
    """Two fields of a square that moves fast: lines of one frame show two instants."""
    times = corpus.even_times(2, 50)
    fields = np.full((100, 96, 320, 3), 90, np.uint8)
    for k, field in enumerate(fields):
        field[:, 20 + 2 * k : 60 + 2 * k] = 200
    woven = fields[0::2].copy()
    woven[:, 1::2] = fields[1::2, 1::2]
    path = tmp_path / "i.mp4"
    options = {"crf": "8", "x264-params": "tff=1:interlaced=1"}
    corpus.write(path, woven, times[::2], options=options)
    (source,) = survey(tmp_path, child)
    assert "interlaced" in source.row()["remarks"]

    def combs(frames):
        grey = frames.astype(np.float32).mean(-1)
        return np.abs(grey[:, 1:-1] - (grey[:, :-2] + grey[:, 2:]) / 2).mean()

    seen = decode(source, 3.0, child).frames
    assert len(seen) == len(woven)
    assert combs(seen) < 0.5 * combs(read_video(path)[0])


def test_copies_and_proxies_are_named(tmp_path, film, child):
    for name in ("take.mp4", "take (1).mp4"):
        (tmp_path / name).write_bytes(film.read_bytes())
    frames = [corpus.numbered(k, HEIGHT, WIDTH) for k in range(150)]
    small = np.stack([cv2.resize(frame, (80, 44), interpolation=cv2.INTER_AREA) for frame in frames])
    corpus.write(tmp_path / "take.mov", small, corpus.even_times(6, 25))
    (tmp_path / "take.mov").rename(tmp_path / "take.LRV")
    _, _, decisions = prepared(tmp_path, child, num_frames=17)
    by_file = {decision.file: decision for decision in decisions}
    assert {d.file for d in decisions if d.decision == "kept"} == {"take (1).mp4"}
    for file in ("take.mp4", "take.LRV"):
        assert by_file[file].reason.startswith("duplicate: the pictures of take (1).mp4")


def test_held_out_clips_share_no_take_with_the_training():
    def clip(name, source, take, sha256=""):
        return Clip(name, Path(name), "t", 16, 33, 64, 112, sha256, source, take)

    film = [clip(f"{k}.mp4", "reel.mp4", 1 + k // 3) for k in range(9)]  # three takes of three clips
    assert hold_out(film, 4) == ([0, 1, 2, 3, 4, 5], [6, 7, 8])
    single = [clip(f"{k}.mp4", f"{k}.mov", 1) for k in range(6)]
    assert hold_out(single, 2) == ([0, 1, 2, 3], [4, 5])
    copy = [clip("a.mp4", "a.mov", 1, "x"), clip("b.mp4", "b.mov", 1), clip("c.mp4", "c.mov", 1, "x")]
    assert hold_out(copy, 1) == ([0, 2], [1]), "the same file under two names is one take"
    one = [clip(f"{k}.mp4", "reel.mp4", 1) for k in range(4)]
    assert hold_out(one, 1) == ([0, 1, 2], [3])


def test_captions_are_read_as_people_and_systems_write_them(tmp_path, film, child):
    names = ("bom.mp4", "upper.mp4", "cafe\u0301.mp4", "semicolon.mp4")
    for name in names:
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "bom.txt").write_bytes(b"\xef\xbb\xbfa knight rides")
    (tmp_path / "upper.TXT").write_text("a monk walks")
    (tmp_path / "metadata.jsonl").write_bytes(
        b"\xef\xbb\xbf" + '{"file_name": "caf\u00e9.mp4", "text": "a caf\u00e9"}\n'.encode()
    )
    (tmp_path / "metadata.csv").write_text(
        "file_name;text\nsemicolon.mp4;a queen, and her page\ngone.mp4;x\n"
    )
    book = Captions.open(tmp_path)
    found = [book.find(name, 0, 3) for name in names]
    expected = ["a knight rides", "a monk walks", "a café", "a queen, and her page"]
    assert [caption and caption.text for caption in found] == expected
    assert [file for file, _ in book.problems] == ["gone.mp4"]
    sources = survey(tmp_path, child)
    assert "0 of 0 files have a caption; 1 refused\n  gone.mp4: " in book.summary(sources)


def test_a_name_that_is_no_text_costs_nobody(tmp_path, film, child):
    bad = Path(str(tmp_path).encode().decode()) / "Jaime\udce9.mp4"
    bad.write_bytes(film.read_bytes())
    corpus.write(tmp_path / "good.mp4", corpus.panning_shot(72, 1), corpus.even_times(3, 24))
    sources, _, decisions = prepared(tmp_path, child, num_frames=17)
    assert [source.file for source in sources] == ["Jaime\\xe9.mp4", "good.mp4"]
    assert all(decision.file.encode() for decision in decisions)
    assert "kept" in {decision.decision for decision in decisions if decision.file == "good.mp4"}


def test_a_recording_that_was_cut_off_keeps_what_is_there(tmp_path, film, child):
    whole = copied(tmp_path / "cut.mp4", film, movflags="frag_keyframe+empty_moov").read_bytes()
    second = whole.index(b"mdat", whole.index(b"mdat") + 4)  # cut among pictures: half an index opens nowhere
    (tmp_path / "cut.mp4").write_bytes(whole[: second + 4000])
    (source,), _, decisions = prepared(tmp_path, child, num_frames=17)
    assert not source.reason and 50 <= len(source.times) < 150
    assert "kept" in {decision.decision for decision in decisions}


def test_numbered_pictures_are_one_row_and_a_moving_webp_is_refused(tmp_path, film, child):
    from PIL import Image

    pictures = [Image.fromarray(corpus.numbered(k, 32, 48)) for k in range(5)]
    for k, picture in enumerate(pictures):
        picture.save(tmp_path / f"shot_{k:04d}.png")
    pictures[0].save(tmp_path / "moving.webp", save_all=True, append_images=pictures[1:])
    reasons = {source.file: source.reason for source in survey(tmp_path, child)}
    assert "animated WebP" in reasons.pop("moving.webp")
    assert list(reasons) == ["shot_0000.png"] and "image sequence shot_#.png of 5" in reasons["shot_0000.png"]


class Faulty(Child):
    """A child whose answer is of a kind that nobody thought of."""

    def call(self, function, path, *args, **kwargs):
        if "odd" in path:
            raise KeyError("surprise")
        return super().call(function, path, *args, **kwargs)


def test_whatever_is_raised_costs_one_file(tmp_path, film):
    for name in ("good.mp4", "odd.mp4"):
        copied(tmp_path / name, film)
    with Faulty() as child:
        sources, _, decisions = prepared(tmp_path, child, num_frames=17)
        assert "KeyError" in {source.file: source.reason for source in sources}["odd.mp4"]
        book = Captions.open(tmp_path)
        options = {"height": 32, "width": 48, "fps": 16, "trigger": "t"}
        dataset, final = write_dataset(tmp_path / "out", decisions, book, child, **options)
    assert {clip.source for clip in dataset} == {"good.mp4"}
    assert any("upscaled" in line or "cropped" in line for line in remarks(final)) or remarks(final)


def test_a_decoder_that_was_killed_says_why():
    import os
    import signal

    with Child() as child, pytest.raises(Exception, match=r"killed: out of memory\?"):
        child.call(os.kill, child.call(os.getpid), signal.SIGKILL)


def test_memory_stays_small_at_any_length(tmp_path):
    """Half a minute of 720p decoded in a process of its own: 250 MB above what it takes to start."""
    frames = np.stack([np.full((720, 1280, 3), level, np.uint8) for level in (60, 90)])
    with av.open(str(tmp_path / "long.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=30)
        stream.width, stream.height, stream.pix_fmt = 1280, 720, "yuv420p"
        stream.options = {"preset": "ultrafast", "crf": "30"}
        pictures = [av.VideoFrame.from_ndarray(frame, "rgb24").reformat(format="yuv420p") for frame in frames]
        for k in range(900):
            picture = pictures[k // 45 % 2]
            picture.pts = k
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
    code = (
        "import re, cv2, scenedetect\nfrom pathlib import Path\nfrom cinelib.preparation.shots import scan\n"
        "state = Path('/proc/self/status')\n"
        "size = lambda name: int(re.search(name + r':\\s+(\\d+)', state.read_text())[1])\n"
        f"before = size('VmRSS')\nfor _ in scan({str(tmp_path / 'long.mp4')!r}): pass\n"
        "print(size('VmHWM') - before)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert 1000 < int(done.stdout) < 250_000, "kilobytes"


def test_decord_agrees_on_clips_that_we_wrote(tmp_path):
    """An independent reader as a witness, where it is right: constant rate, and a width that it can copy.

    At 48 pixels it fails with an error of its own, so it reads nothing for cinelib.
    """
    import decord

    frames = corpus.panning_shot(33, 5, 64, 112)
    path = write_video(tmp_path / "clip.mp4", frames, 16, crf=12)
    video = decord.VideoReader(str(path))
    assert np.array_equal(video.get_batch(range(len(video))).asnumpy(), read_video(path)[0])
