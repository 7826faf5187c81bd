"""Names, captions, links, cards and tables from anybody: shown, never obeyed, and nothing outside is read."""

import json
import os
import random
import re
import time
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tiny_wan
import torch
from safetensors.torch import save_file

from cinelib import show
from cinelib.evaluation import folder as scoring
from cinelib.evaluation.clips import ScoreError
from cinelib.files import hash_of
from cinelib.preparation import decoding
from cinelib.preparation.caption_editor import CaptionEditor
from cinelib.preparation.captions import Captions
from cinelib.preparation.dataset import DatasetError, VideoFolder
from cinelib.preparation.isolation import Child, ChildError
from cinelib.preparation.sources import FootageError, survey
from cinelib.style import lora, lora_export
from cinelib.style.adapter_card import METADATA, file_name, read_card
from cinelib.video import read_video, write_video
from cinelib.wan.layers import TARGETS, target_layers, target_pattern

ROOT = Path(__file__).resolve().parents[2]
SECRET = "the diary of the outside world"
CARD = {"rank": 4, "alpha": 8.0, "targets": "attn2"}
SLOW = 2.0  # seconds that no input may take
WORDS = [
    "<img src=x onerror=alert(1)>",
    "<script>alert('x')</script>",
    '" onmouseover="alert(1)',
    "' onfocus='alert(1)' autofocus='",
    "</figcaption></td></table><svg onload=alert(1)>",
    "<b>",
    "&lt;i&gt;",
    "{{ 7 * 7 }}",
    "{% raw %}",
    "$\\frac{$",
    "[/bold]",
    "__import__('os').system('true')",
    "=cmd|' /C calc'!A0",
    "..",
    "~",
    "%n%s",
    "\u202egnp.exe",
    "\x1b[2J",
    "a" * 60,
]


class Page(HTMLParser):
    """Every tag with its attributes."""

    def __init__(self, text):
        super().__init__()
        self.tags = []
        self.text = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, data):
        self.text += data


EXPECTED = {
    *("div", "figure", "figcaption", "video", "b"),
    *("style", "table", "thead", "tbody", "tr", "th", "td", "caption"),
}
ATTRIBUTES = {
    *("style", "src", "width", "autoplay", "loop", "muted", "playsinline", "controls"),
    *("class", "id", "type", "colspan", "rowspan"),
}


def harmless(text):
    """The page, after a look at every element and attribute in it."""
    page = Page(text)
    assert {tag for tag, _ in page.tags} <= EXPECTED, page.tags
    for tag, attributes in page.tags:
        assert attributes.keys() <= ATTRIBUTES, (tag, attributes)
        assert attributes.get("src", "data:").startswith("data:")
    return page


def words(seed):
    """A hostile text of a few of the words."""
    draw = random.Random(seed)
    return " ".join(draw.sample(WORDS, draw.randint(1, 3)))


def named(seed):
    """A hostile text that a file system takes as a name."""
    return words(seed).replace("/", "\u2215")[:80].strip(". ") or "x"


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    frames = np.random.default_rng(0).integers(0, 255, (5, 32, 48, 3), dtype=np.uint8)
    return write_video(tmp_path_factory.mktemp("film") / "a.mp4", frames, 16)


@pytest.fixture(scope="module")
def child():
    with Child() as process:
        yield process


def dataset(folder, film, names, texts):
    """A dataset folder of copies of one clip, under these names and captions."""
    rows = []
    for name, text in zip(names, texts, strict=True):
        (folder / name).write_bytes(film.read_bytes())
        shape = {"fps": 16, "num_frames": 5, "height": 32, "width": 48, "sha256": hash_of(film)}
        rows.append({"file_name": name, "text": text, **shape})
    (folder / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


# What is shown


@pytest.mark.parametrize("seed", range(60))
def test_tables_and_players_show_hostile_words_and_obey_none(film, seed):
    text = words(seed)
    frame = pd.DataFrame(
        {"file": [text, "plain"], text: [1.25, None], "notes": [(text,), None]}, index=[text, "b"]
    )
    for styler in (
        show.table(frame).format(precision=1, na_rep=""),
        show.table(frame.set_index("file")).hide(axis="columns"),
    ):
        assert text in harmless(styler.to_html()).text
    page = harmless(show.play({text: film, "other": film}).data)
    assert text in page.text


def test_a_table_keeps_its_numbers():
    frame = pd.DataFrame({"n": [1, 2], "x": [0.123, float("nan")], "sure": [True, False]}, index=[0, 1])
    assert show.table(frame).data.equals(frame)
    assert "0.12" in show.table(frame).format(precision=2).to_html()


def test_the_caption_editor_shows_hostile_names(tmp_path, film):
    names = [f"{number} {named(number)}.mp4".replace("\\", "") for number in range(20)]
    texts = [words(100 + number) for number in range(20)]
    editor = CaptionEditor(dataset(tmp_path, film, names, texts))
    for index, (name, text) in enumerate(zip(names, texts, strict=True)):
        editor.go(index)
        assert name in harmless(editor._title.value).text
        assert editor.text == text
        editor.write(" ")
        assert not editor.save()
        assert name in harmless(editor._status.value).text, "the refusal names the file"
        editor.write(text)


def test_a_picture_takes_a_name_with_dollars(film):
    frames, _ = read_video(film)
    for text in ("$\\frac{$", "a$_$b", "$$"):
        show.contact_sheet([frames[0]], [text]).canvas.draw()
        show.before_after([frames], [text]).canvas.draw()
        show.filmstrip(frames, n=2, marks={0: text}).canvas.draw()


@pytest.mark.parametrize("notebook", ["01_data_preparation", "02_style_stage", "05_evaluation"])
def test_notebooks_that_show_words_of_others_use_the_escaping_table(notebook):
    source = (ROOT / "notebooks" / "source" / f"{notebook}.py").read_text("utf-8")
    assert "show.table(" in source
    assert not re.findall(r"[\w)\]]\.style\.(?:format|hide|set_\w+)\(", source)
    assert not re.findall(r"\bHTML\(|\bMarkdown\(|to_html\(", source)


def test_html_is_made_of_words_only_where_it_is_escaped():
    """A module that writes a tag round a value imports the one function that escapes it."""
    for path in (ROOT / "cinelib").rglob("*.py"):
        source = path.read_text("utf-8")
        if re.search(r"f[\"'][^\"'\n]*<(?:b|i|td|th|p|div|span|img|figcaption)\b[^\n]*\{", source):
            assert "markup import escape" in source, path


# What is read


def outside(tmp_path, film):
    """A folder of footage, and beside it what it must not reach."""
    inside, secret = tmp_path / "footage", tmp_path / "secret"
    inside.mkdir()
    secret.mkdir()
    (secret / "diary.txt").write_text(SECRET)
    (secret / "film.mp4").write_bytes(film.read_bytes())
    (secret / "metadata.jsonl").write_text(json.dumps({"file_name": "real.mp4", "text": SECRET}))
    (inside / "real.mp4").write_bytes(film.read_bytes())
    return inside, secret


def test_links_are_followed_only_within_the_folder(tmp_path, film, child):
    folder, secret = outside(tmp_path, film)
    (folder / "within.mp4").symlink_to("real.mp4")
    (folder / "out.mp4").symlink_to(secret / "film.mp4")
    (folder / "out.txt").symlink_to(secret / "diary.txt")
    (folder / "real.txt").symlink_to(secret / "diary.txt")
    (folder / "loop.mp4").symlink_to("loop.mp4")
    (folder / "dead.mp4").symlink_to("nowhere.mp4")
    (folder / "all").symlink_to(secret)
    (folder / "self").symlink_to(".")
    (folder / "metadata.jsonl").symlink_to(secret / "metadata.jsonl")
    os.mkfifo(folder / "pipe.mp4")
    rows = {source.file: source.reason for source in survey(folder, child)}
    assert rows.pop("real.mp4") == rows.pop("within.mp4") == ""
    expected = {
        "out.mp4": "leads out",
        "out.txt": "leads out",
        "real.txt": "leads out",
        "metadata.jsonl": "leads out",
        "all": "leads out",
        "self": "link to a folder",
        "loop.mp4": "loop",
        "dead.mp4": "not there",
        "pipe.mp4": "pipe",
    }
    assert rows.keys() == expected.keys()
    for file, part in expected.items():
        assert rows[file].startswith("refused: ") and part in rows[file], (file, rows[file])

    book = Captions.open(folder)
    assert book.find("real.mp4", 0, 1) is None
    assert {"real.txt", "metadata.jsonl"} <= {file for file, _ in book.problems}
    assert all("leads out" in reason for _, reason in book.problems)
    with pytest.raises(DatasetError, match="leads out"):
        VideoFolder.open(folder)

    scored = scoring.find(folder, child)
    assert [source.file for source in scored.sources if not source.reason] == ["real.mp4", "within.mp4"]
    everything = {source.file for source in scored.sources} | scored.left_out.keys()
    assert everything == expected.keys() | {"real.mp4", "within.mp4"}


LISTS = {
    "ffconcat": "ffconcat version 1.0\nfile '{}'\n",
    "ffconcat-unsafe": "ffconcat version 1.0\noption safe 0\nfile {}\n",
    "hls": "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n{}\n#EXT-X-ENDLIST\n",
    "dash": '<?xml version="1.0"?><MPD><Period><AdaptationSet><Representation><BaseURL>{}</BaseURL>'
    "</Representation></AdaptationSet></Period></MPD>",
    "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns={}\nc=IN IP4 127.0.0.1\nm=video 5004 RTP/AVP 96\n",
    "svg": '<svg xmlns="http://www.w3.org/2000/svg"><image href="{}"/></svg>',
    "vobsub": "# VobSub index file, v7\nid: en, index: 0\n# {}\n",
}


@pytest.mark.parametrize("suffix", [".mp4", ".m3u8"])
@pytest.mark.parametrize("kind", LISTS)
def test_a_file_that_names_others_is_refused(tmp_path, film, child, kind, suffix):
    folder, secret = outside(tmp_path, film)
    (folder / "linked.mp4").symlink_to(secret / "film.mp4")
    for number, name in enumerate(("linked.mp4", str(secret / "film.mp4"), "real.mp4")):
        (folder / f"list{number}{suffix}").write_text(LISTS[kind].format(name))
    for path in folder.glob(f"list*{suffix}"):
        with pytest.raises(ChildError):
            child.call(decoding.probe, str(path))
        with pytest.raises(ChildError):  # and where the decoder is asked at once
            child.call(decoding.clip, str(path), [0.0], (0, 0, 48, 32), 32, 48)
        with pytest.raises(Exception):  # noqa: B017 (any: it only must not give frames)
            read_video(path)
    assert [s.file for s in survey(folder, child) if not s.reason] == ["real.mp4"]


def test_a_name_is_no_protocol(tmp_path, film, child, monkeypatch):
    (tmp_path / "a.mp4").write_bytes(film.read_bytes())
    monkeypatch.chdir(tmp_path)
    Path("concat:a.mp4").write_bytes(b"x" * 64)
    Path("file:a.mp4").write_bytes(b"x" * 64)
    with Child() as here:
        assert [source.file for source in survey(Path(), here) if not source.reason] == ["a.mp4"]


def test_a_tiny_file_is_read_and_no_error_shows_where_a_library_lies(tmp_path, child):
    frames = np.random.default_rng(0).integers(0, 255, (8, 16, 16, 3), dtype=np.uint8)
    path = write_video(tmp_path / "tiny.mp4", frames, 16)
    (source,) = survey(tmp_path, child)
    assert source.reason == "" and len(source.times) == 8
    assert child.call(decoding.clip, str(path), [0.0, 5 / 16], (0, 0, 16, 16), 16, 16).shape == (2, 16, 16, 3)
    with pytest.raises(ChildError) as caught:
        child.call(_fails_in_a_library)
    for text in (source.row()["remarks"], str(caught.value)):
        assert not re.search(r"site-packages|/workspace|\.cc:|\.py\b|/\w+/", text), text


def _fails_in_a_library():
    raise RuntimeError(
        "[12:00:00] /github/workspace/src/a.cc:171: Check failed in /x/site-packages/decord/a.so"
    )


# Cards


def adapter(folder, card, extra=None, tensors=None):
    metadata = {METADATA: json.dumps({"cinelib": card, **(extra or {})})}
    folder.mkdir(exist_ok=True)
    save_file(tensors or {"transformer.x.lora_A.weight": torch.zeros(1)}, folder / file_name(), metadata)
    return folder


EVIL = [
    "(a+)+$",
    "(.*)*x",
    "(blocks|blocks)*y",
    ".*.*.*.*.*.*x",
    "(?:.|.)(?:.|.)(?:.|.)" * 12,
    "a?" * 30 + "a" * 30,
    "(?:" * 2000 + ")" * 2000,
    "(?=.*.*.*x).*",
    r"(.)\1+\1+x",
    "[a-z]+" * 6,
    "x{1,1000}{1,1000}",
    "((((.*)*)*)*)*",
    "blocks.*" * 500,
    "(?:x*|y*)*z",
    "a" * 100_000,
]


@pytest.mark.parametrize("targets", EVIL, ids=range(len(EVIL)))
def test_a_pattern_cannot_hang_the_loader(tmp_path, targets):
    transformer = tiny_wan.transformer()
    begun = time.perf_counter()
    with pytest.raises(ValueError, match="targets"):
        target_layers(transformer, targets)
    assert time.perf_counter() - begun < SLOW
    folder = adapter(tmp_path, CARD, {"transformer.target_modules": targets})
    with pytest.raises(ValueError, match="target_modules"):  # peft would match with this one
        read_card(folder)


@pytest.mark.parametrize("targets", [*TARGETS.values(), r"blocks\.\d+\..*", r".*\.attn[12]\.(to_q|to_k)"])
def test_a_harmless_pattern_is_kept(targets):
    assert target_pattern(targets) == targets
    assert target_layers(tiny_wan.transformer(), targets)


@pytest.mark.parametrize(
    ("card", "part"),
    [
        ({**CARD, "onerror": 1, "seed": 2}, "'onerror'.*'seed'"),
        ({"rank": 4}, "no alpha; no targets"),
        ({**CARD, "rank": "4"}, "rank = '4' is no int"),
        ({**CARD, "rank": True}, "rank = True"),
        ({**CARD, "alpha": float("nan")}, "alpha = nan"),
        ({**CARD, "trigger": ["x"]}, "trigger"),
        ([], "no alpha"),
        ("text", "no alpha"),
    ],
)
def test_a_wrong_card_is_one_error_that_names_the_fields(tmp_path, card, part):
    with pytest.raises(ValueError, match=part) as caught:
        read_card(adapter(tmp_path, card))
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("text", ["[]", "{", "[" * 100_000, "3", '"x"'])
def test_a_card_that_is_no_object_is_one_error(tmp_path, text):
    save_file({"x": torch.zeros(1)}, tmp_path / file_name(), {METADATA: text})
    with pytest.raises(ValueError, match="damaged: not a JSON object"):
        read_card(tmp_path)


def test_an_odd_key_is_named_and_a_pickle_is_never_loaded(tmp_path):
    pipe = tiny_wan.pipeline()
    with pytest.raises(ValueError, match="no such adapter: it holds '__reduce__'"):
        lora.load(pipe, adapter(tmp_path / "odd", CARD, tensors={"__reduce__": torch.zeros(1)}))

    class Bomb:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "exploded",))

    (tmp_path / "bomb").mkdir()
    torch.save(Bomb(), tmp_path / "bomb" / file_name())
    with pytest.raises(ValueError, match="not a whole safetensors file"):
        lora.load(pipe, tmp_path / "bomb")
    assert not (tmp_path / "exploded").exists()


@pytest.mark.parametrize("seed", range(10))
def test_a_model_card_shows_the_trigger_and_obeys_none(tmp_path, seed):
    trigger = " ".join(words(seed).split())
    adapter(tmp_path, {**CARD, "trigger": trigger})
    text = lora_export.write_card(tmp_path, "A look", {}).read_text()
    assert Page(text.split("---", 2)[2]).tags == []


# All of it at random

VALUES = [
    *(None, True, -1, 0, 1e308, 10**400, "", "x", [], {}, [[1]], "1e400", "nan", "../secret/diary.txt"),
    *("/etc/passwd", "a\\b", "real.mp4\0", "linked.mp4", "x" * 5000, "real.mp4", "\ud800", ".", ".."),
    *("<img src=x onerror=alert(1)>", "real.mp4/..", "./real.mp4", "~/x", "CON", "real.mp4 "),
]
FIELDS = [
    "file_name",
    "text",
    "start",
    "end",
    "fps",
    "num_frames",
    "height",
    "width",
    "camera",
    "sha256",
    "on",
]


def rows(draw):
    """Lines of a table of captions: some values well, some hostile, some no JSON at all."""
    lines = []
    for _ in range(draw.randint(1, 6)):
        row = {"file_name": "real.mp4", "text": "t", "fps": 16, "num_frames": 5, "height": 32, "width": 48}
        row |= {draw.choice(FIELDS): draw.choice(VALUES) for _ in range(draw.randint(1, 4))}
        line = json.dumps(row)
        damage = draw.random()
        if damage < 0.1:
            line = line[: draw.randrange(len(line))]
        elif damage < 0.15:
            line = '{"text":' + "[" * 50_000
        elif damage < 0.2:
            line = '{"start": ' + "9" * 5000 + "}"
        lines.append(line)
    return "\n".join(lines).encode("utf-8", "replace")


@pytest.mark.parametrize("seed", range(120))
def test_any_table_of_captions_is_read_or_refused_in_words(tmp_path, film, seed):
    draw = random.Random(seed)
    folder, secret = outside(tmp_path, film)
    (folder / "linked.mp4").symlink_to(secret / "film.mp4")
    text = rows(draw)
    (folder / "metadata.jsonl").write_bytes(text)
    (folder / "metadata.csv").write_bytes(b"file_name,start,text\n" + text)
    sidecar = folder / f"{draw.choice(['real', named(seed)])}.txt"
    draw.choice([lambda: sidecar.symlink_to(secret / "diary.txt"), lambda: sidecar.write_bytes(text)])()
    begun = time.perf_counter()
    book = Captions.open(folder)
    found = book.find("real.mp4", 0.0, 1.0)
    assert SECRET not in repr(found) and SECRET not in repr(book.problems)
    assert all(row.file == "real.mp4" for row in book._rows if (folder / row.file).exists())
    try:
        clips = VideoFolder.open(folder)
    except DatasetError as error:
        assert str(error)
    else:
        assert all(clip.path.resolve().parent == folder.resolve() for clip in clips)
    assert time.perf_counter() - begun < SLOW


@pytest.mark.parametrize("seed", range(20))
def test_any_folder_is_surveyed_with_a_row_for_each_entry(tmp_path, film, child, seed):
    draw = random.Random(seed)
    folder, secret = outside(tmp_path, film)
    for number in range(6):
        name = (
            f"{number}{named(seed * 10 + number)}{draw.choice(['.mp4', '.mkv', '.txt', '', '.m3u8', '.png'])}"
        )
        kind = draw.choice(["link", "list", "bytes", "loop", "cut", "folder"])
        path = folder / name
        if kind == "link":
            path.symlink_to(
                draw.choice([secret / "film.mp4", secret / "diary.txt", secret, "/dev/zero", "gone"])
            )
        elif kind == "list":
            path.write_text(
                draw.choice(list(LISTS.values())).format(draw.choice(["real.mp4", secret / "film.mp4"]))
            )
        elif kind == "loop":
            path.symlink_to(name)
        elif kind == "folder":
            path.mkdir()
        else:
            content = bytearray(film.read_bytes()[: draw.randrange(2000) if kind == "cut" else None])
            for _ in range(20 if kind == "bytes" else 0):
                content[draw.randrange(len(content))] = draw.randrange(256)
            path.write_bytes(content)
    begun = time.perf_counter()
    sources = {source.file: source for source in survey(folder, child)}
    frame = show.table(pd.DataFrame([source.row() for source in sources.values()]))
    harmless(frame.format(precision=2, na_rep="").to_html())
    for path in folder.iterdir():
        plain_folder = path.is_dir() and not path.is_symlink() and path.suffix not in (".mp4", ".mkv")
        assert path.name in sources or plain_folder
        if path.is_symlink():
            assert sources[path.name].reason.startswith("refused")
    assert sources["real.mp4"].reason == ""
    try:
        assert {
            source.path.resolve().parent
            for source in scoring.find(folder, child).sources
            if not source.reason
        }
    except (ScoreError, FootageError) as error:
        assert str(error)
    assert time.perf_counter() - begun < 2 * SLOW * len(list(folder.iterdir())), "each file twice"


@pytest.mark.parametrize("seed", range(60))
def test_any_card_is_read_or_refused_in_one_line(tmp_path, seed):
    draw = random.Random(seed)
    names = [*CARD, "use_rslora", "base_model", "trigger", "steps", "__class__", "targets", words(seed)]
    card = {
        **CARD,
        **{draw.choice(names): draw.choice([*VALUES, *EVIL, 4]) for _ in range(draw.randint(1, 3))},
    }
    extra = {
        f"transformer.{draw.choice(['target_modules', 'rank_pattern', 'r'])}": draw.choice(
            [*EVIL, ["x"], None]
        )
    }
    begun = time.perf_counter()
    try:
        found = read_card(adapter(tmp_path, card, extra))
        target_layers(tiny_wan.transformer(), found.targets)
    except ValueError as error:
        assert len(str(error).splitlines()) == 1 and len(str(error)) < 1000
    assert time.perf_counter() - begun < SLOW
