"""The report: self-contained, escaped, complete, and honest about what it left out."""

import base64
import re
from html.parser import HTMLParser

import numpy as np
import pytest
import toy_film
import yaml
from hypothesis import given
from hypothesis import strategies as st

from cinelib.files import write_json, write_text
from cinelib.runs import manifest, report
from cinelib.units import number, readable_bytes, readable_seconds
from cinelib.video import read_video, write_video

NASTY = "<script>alert('&')</script>"


@pytest.fixture
def workbook(tmp_path):
    """A run made of files alone: one done stage with everything a stage can have, one that never ran."""
    workbook = toy_film.make(tmp_path / "film")
    folder = workbook.stage_folder("01_cut", "a" * 64)
    (folder / "figures").mkdir(parents=True)
    for name in ("zebra", "signature"):
        _png(folder / "figures" / f"{name}.png", name)
    for arm in ("base", "lora"):
        for scene in ("s1", "s2"):
            _clip(folder / "clips" / arm / f"{scene}.mp4")
    _clip(folder / "dataset" / "clips" / "take.mp4")
    (folder / "table.csv").write_text("arm,score\n" + "".join(f"{NASTY},{i / 3}\n" for i in range(80)))
    (folder / "log.txt").write_text("\n".join(f"line {i} {NASTY}" for i in range(100)))
    metrics = {
        "plain": 0.123456,
        "many": 1234567,
        "mean": {"value": 2.5, "interval": [2, 3], "n": 12, "unit": "dB"},
    }
    metrics["none"] = {"value": None, "reason": NASTY}
    write_json(folder / "metrics.json", metrics)
    parameters = {"profile": "nano", "seed": 0, "label": NASTY}
    kernel = {"seconds": 1, "peak_rss_bytes": 2**20, "peak_tree_rss_bytes": 3 * 2**30, "device": "cpu"}
    manifest.write(folder, "01_cut", "a" * 64, parameters, identity={}, seconds=125.0, kernel=kernel)
    content = {
        "name": "nano",
        "profile": "nano",
        "stages": {
            "01_cut": {
                "id": "a" * 64,
                "folder": folder.relative_to(workbook.runs).as_posix(),
                "given": [NASTY],
            },
            "02_grade": {"id": "b" * 64, "folder": "stages/02_grade-bbb", "given": []},
        },
    }
    (workbook.runs / "nano").mkdir()
    write_text(workbook.runs / "nano" / "run.yaml", yaml.safe_dump(content))
    return workbook


def _png(path, text):
    from matplotlib.figure import Figure

    figure = Figure(figsize=(2, 1))
    figure.text(0.1, 0.5, text)
    figure.savefig(path)


def _clip(path):
    rng = np.random.default_rng(0)
    write_video(path, rng.integers(0, 255, (5, 32, 48, 3), dtype=np.uint8), 16)


class Page(HTMLParser):
    """Tags with their attributes, and all text outside of scripts and styles."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.text, self._skip = [], [], False
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        self._skip = tag in ("script", "style")

    def handle_endtag(self, tag):
        self._skip = False

    def handle_data(self, data):
        if not self._skip:
            self.text.append(data)

    def all(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture
def page(workbook):
    return Page(report.write(workbook, "nano").read_text())


def test_nothing_is_loaded_from_elsewhere(page):
    links = [
        value for _, attributes in page.tags for key, value in attributes.items() if key in ("src", "href")
    ]
    assert links
    assert all(link.startswith(("data:", "#")) for link in links)


def test_figures_are_embedded_signature_first(page, workbook):
    sources = [image["src"] for image in page.all("img")]
    assert len(sources) == 2
    png = base64.b64decode(sources[0].removeprefix("data:image/png;base64,"))
    folder = workbook.stage_folder("01_cut", "a" * 64)
    assert png == (folder / "figures" / "signature.png").read_bytes()
    assert all(image["alt"] for image in page.all("img"))


def test_clips_are_playable_and_arms_stand_side_by_side(page, tmp_path):
    videos = [video["src"].partition("#")[0] for video in page.all("video")]
    assert len(videos) == 5
    path = tmp_path / "back.mp4"
    path.write_bytes(base64.b64decode(videos[0].removeprefix("data:video/mp4;base64,")))
    frames, fps = read_video(path)
    assert frames.shape == (5, 32, 48, 3)
    assert fps == 16
    text = " ".join(page.text)
    assert text.index("base") < text.index("lora")


def test_metrics_parameters_manifest_timings_are_there(page):
    text = " ".join(" ".join(page.text).split())
    for part in (
        "0.1235",
        "1,234,567",
        "[2, 3]",
        "12",
        "dB",
        "undefined",
        "2 min 05 s",
        "3.0 GiB",
        "artefacts_sha256",
    ):
        assert part in text, part
    assert "20 more rows are in the file" in text
    assert "60 lines before" in text


def test_text_from_files_is_escaped(page):
    assert len(page.all("script")) == 1, "the page's own"
    assert "".join(page.text).count(NASTY) > 60


def test_a_stage_that_did_not_run_is_shown_as_such(page):
    text = " ".join(" ".join(page.text).split())
    assert "1 of 2 stages done" in text
    assert "to do" in text


def test_what_does_not_fit_is_left_out_and_named(workbook):
    folder = workbook.stage_folder("01_cut", "a" * 64)
    size = (folder / "clips" / "base" / "s1.mp4").stat().st_size
    text = report.write(workbook, "nano", max_clip_bytes=int(2.5 * size)).read_text()
    assert len(Page(text).all("video")) == 2
    assert "Left out to keep this file small: 3 clips" in text


def test_an_unchanged_report_is_not_written_again(workbook):
    path = report.write(workbook, "nano")
    stamp = path.stat().st_mtime_ns
    assert report.write(workbook, "nano").stat().st_mtime_ns == stamp


def test_long_galleries_are_thinned_and_say_so(workbook):
    folder = workbook.stage_folder("01_cut", "a" * 64)
    clips = [folder / "dataset" / "clips" / f"{i:02d}.mp4" for i in range(40)]
    for clip in clips:
        clip.write_bytes(b"x")
    (grid,) = report.clip_grids(folder, clips, report.Budget())
    assert grid["total"] == 40
    assert 6 <= len(grid["rows"]) <= 12
    assert "00" in grid["rows"]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.123456, "0.1235"),
        (12, "12"),
        (1234567, "1,234,567"),
        (None, ""),
        (True, "True"),
        (1e-7, "1e-07"),
        ("x", "x"),
    ],
)
def test_numbers_as_people_read_them(value, text):
    assert number(value) == text


@given(st.floats(0, 1e15))
def test_sizes_keep_their_value(count):
    amount, unit = readable_bytes(count).split()
    power = ["B", "KiB", "MiB", "GiB", "TiB"].index(unit)
    assert float(amount) * 1024**power == pytest.approx(count, rel=0.06, abs=0.51)


@given(st.floats(0, 1e6))
def test_durations_keep_their_value(seconds):
    units = {"h": 3600, "min": 60, "s": 1}
    total = sum(
        float(amount) * units[unit]
        for amount, unit in re.findall(r"([\d.]+) (h|min|s)", readable_seconds(seconds))
    )
    assert total == pytest.approx(seconds, abs=0.51)
