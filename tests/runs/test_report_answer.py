"""The report opens with the answer: two sentences, clips that move, the claims with their verdicts."""

import json
import re
import shutil
import subprocess

import numpy as np
import pytest
import toy_film
import yaml

from cinelib.files import write_json, write_text
from cinelib.runs import findings, manifest, report
from cinelib.video import write_video

SURE, OPEN = {"p_holm": 0.02}, {"p_holm": 0.4}
METRICS = {
    "grade LoRA minus base": {"value": -6.77, "interval": [-11.5, -2.1], "n": 8, **SURE},
    "drift LoRA minus base": {"value": 4.5, "interval": [1.5, 7.0], "n": 8, **SURE},
    "clip_text LoRA minus base": {"value": 0.3, "interval": [0.1, 0.5], "n": 8, **SURE},
    "costume LoRA minus base": {"value": -2.0, "interval": [-5.0, 1.0], "n": 8, **OPEN},
    "lighting LoRA minus base": {"value": -2.0, "interval": [-5.0, -1.0], "n": 8, **OPEN},
    "claim_09": {"value": 2.8, "verdict": "contradicts itself"},
    "claim_15": {"value": 1.0, "verdict": "not shown here"},
    "claim_99": {"value": 1.0, "verdict": "unknown to the table"},
    "claim_12": {"value": 1.0},
}
CLAIMS = """number,text,kind
9,One <setting> takes 187 seconds.,speed
12,It is split.,result
15,"Measurable improvements, in fidelity.",result
"""


@pytest.fixture
def workbook(tmp_path):
    """A finished run of files alone, with the stages that compare models."""
    workbook = toy_film.make(tmp_path / "film")
    (workbook.root / "data").mkdir()
    (workbook.root / "data" / "claims.csv").write_text(CLAIMS)
    prepared = _stage(workbook, "01_data_preparation", {"spans_kept": 40, "files": 17})
    for number in range(3):
        _clip(prepared / "dataset" / "clips" / f"{number}.mp4")
    rows = [{"file_name": f"clips/{n}.mp4", "text": f"a monk rings bell {n}"} for n in range(3)]
    (prepared / "dataset" / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)))
    _finish(prepared, "01_data_preparation", {"profile": "nano"})

    judged = _stage(workbook, "05_evaluation", METRICS)
    for arm in ("base", "lora", "control", "lora_no_trigger"):
        for scene in ("00_old_mill", "03_ford", "09_neon_city"):
            if arm != "lora_no_trigger" or scene == "09_neon_city":
                _clip(judged / "clips" / arm / f"{scene}.mp4")
    board = workbook.root / "board"
    board.mkdir()
    (board / "metadata.jsonl").write_text(
        json.dumps({"scene": "00_old_mill", "text": "a mill turns & turns"})
    )
    _finish(judged, "05_evaluation", {"profile": "nano", "storyboard": "board"})
    stages = {
        "a": {"notebook": "01_data_preparation", "folder": f"stages/{prepared.name}", "given": []},
        "b": {"notebook": "05_evaluation", "folder": f"stages/{judged.name}", "given": []},
    }
    (workbook.runs / "nano").mkdir()
    text = yaml.safe_dump({"name": "nano", "profile": "nano", "stages": stages})
    write_text(workbook.runs / "nano" / "run.yaml", text)
    return workbook


def _stage(workbook, name, metrics):
    folder = workbook.stage_folder(name, "a" * 64)
    folder.mkdir(parents=True)
    write_json(folder / "metrics.json", metrics)
    return folder


def _finish(folder, name, parameters):
    kernel = {"seconds": 1, "peak_rss_bytes": 2**20, "peak_tree_rss_bytes": 3 * 2**30, "device": "cpu"}
    manifest.write(folder, name, "a" * 64, parameters, identity={}, seconds=66.0, kernel=kernel)


def _clip(path):
    write_video(path, np.random.default_rng(0).integers(0, 255, (17, 32, 48, 3), dtype=np.uint8), 16)


@pytest.fixture
def text(workbook):
    return report.write(workbook, "nano").read_text()


def test_two_sentences_say_what_was_done_and_what_is_sure(text):
    answer = re.search(r'<div class="answer">(.*?)</div>', text, re.DOTALL)[1]
    first, second = re.findall(r"<p>(.*?)</p>", answer)
    assert "learned from 40 clips" in first and "the same 8 stills" in first
    assert second == (
        "Against the base model the LoRA is surely better in colour grade and fit to the prompt "
        "and surely worse in colours that hold within a clip; no difference is sure in lighting and "
        "the costume&#39;s colour (colour grade: 6.8 CIELAB units nearer to the film, "
        "95 % interval of the change -12 to -2.1)."
    )


def test_without_anything_sure_it_says_so():
    entry = {"value": 0.5, "interval": [-1, 2], "n": 2, **OPEN}
    said = findings._compared({"grade": entry, "drift": entry})
    assert said.startswith(
        "No difference from the base model is sure, be it in colour grade or colours that hold"
    )
    assert "0.5 CIELAB units farther from the film" in said


def test_film_base_lora_and_control_stand_side_by_side_and_say_what_is_seen(text):
    head = text[: text.index("</header>")]
    labels = re.findall(r'aria-label="([^"]*)" title', head)
    assert labels[:4] == [
        "the film: a monk rings bell 0",
        "base model: a mill turns &amp; turns",
        "with the LoRA: a mill turns &amp; turns",
        "with the control: a mill turns &amp; turns",
    ]
    assert labels[4:6] == ["the film: a monk rings bell 2", "base model: neon city"]
    assert len(labels) == 8 and len(set(re.findall(r"<video ([^>]*)>", head))) == 8
    assert all("loop muted playsinline" in video for video in re.findall(r"<video ([^>]*)>", text))


def test_claims_are_told_in_words_results_first_and_only_those_with_a_verdict(text):
    said = re.findall(r'<li><span>(.*?)</span><span class="verdict (\w+)">(.*?)</span></li>', text)
    assert said == [
        ("15. Measurable improvements, in fidelity.", "open", "? not shown here"),
        ("9. One &lt;setting&gt; takes 187 seconds.", "no", "✗ contradicts itself"),
    ]


def test_hashes_versions_and_raw_keys_are_folded_away(text):
    folded = re.compile(r"<details(?: open)?>(?:(?!<details).)*?</details>", re.DOTALL)
    while folded.search(text):
        text = folded.sub("", text)
    visible = re.sub(r'<style>.*?</style>|src="[^"]*"|(?:id|href)="[^"]*"', "", text, flags=re.DOTALL)
    for hidden in ("a" * 12, "sha256", "torch", "LoRA minus base", "peak_rss_bytes"):
        assert hidden not in visible, hidden
    assert "It took 1 min 06 s and 3.0 GiB of memory." in visible


def test_words_are_only_said_of_what_was_measured():
    kept = {"spans_kept": 40, "files": 17, "seconds_kept": 100.0, "spans_dropped": {"value": 3}}
    content = {"seconds": 5.0, "kernel": {}}
    said = findings.words("01_data_preparation", kept, content)
    assert said[0].startswith("40 clips were kept from 17 files, 100 s in all; 3 spans were left out")
    assert said[1:] == ["It took 5.0 s."]
    assert findings.words("01_data_preparation", {}, content) == ["It took 5.0 s."]


PROBE = """<script>setTimeout(() => {
const all = [...document.querySelectorAll("video")], found = {
  over: document.documentElement.scrollWidth - innerWidth, high: innerHeight,
  claims: document.querySelector(".claims").getBoundingClientRect().bottom,
  playing: all.filter((clip) => !clip.paused).length, failed: all.filter((clip) => clip.error).length,
  unnamed: all.filter((clip) => !clip.getAttribute("aria-label") || clip.tabIndex !== 0).length,
  paper: getComputedStyle(document.body).backgroundColor };
document.title = JSON.stringify(found); }, 1500)</script></body>"""


@pytest.mark.skipif(not shutil.which("chromium"), reason="needs Chromium")
@pytest.mark.parametrize(
    ("width", "options", "moves"),
    [
        (1400, [], True),
        (500, ["--force-prefers-reduced-motion", "--blink-settings=preferredColorScheme=0"], False),
    ],
)
def test_in_a_browser_without_a_network_the_answer_is_on_the_first_screens(
    tmp_path, text, width, options, moves
):
    page = tmp_path / "page.html"
    page.write_text(text.replace("</body>", PROBE))
    command = ["chromium", "--headless=new", "--no-sandbox", "--disable-gpu", f"--window-size={width},900"]
    command += [
        "--virtual-time-budget=5000",
        "--dump-dom",
        f"--user-data-dir={tmp_path / 'profile'}",
        *options,
    ]
    shown = subprocess.run([*command, page.as_uri()], capture_output=True, text=True, timeout=120).stdout
    found = json.loads(re.search(r"<title>(\{.*?\})</title>", shown)[1])
    assert found["over"] <= 0 and found["failed"] == 0 and found["unnamed"] == 0
    assert found["claims"] < 1.5 * found["high"]
    assert (found["playing"] > 3) == moves
    assert (found["paper"] == "rgb(23, 22, 20)") == (not moves)
