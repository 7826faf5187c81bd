"""What the pages say can be done: commands parse, parameters and files exist, links lead somewhere."""

import re
import shlex
from pathlib import Path

import pytest
import typer
import yaml
from test_layers import LAYERS

from cinelib.cli.app import app
from cinelib.runs import selection
from cinelib.runs.workbook import Workbook
from cinelib.stages import PROFILES, STAGES

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text("utf-8")
BOOK = Workbook(ROOT)

fenced = re.findall(r"^```sh\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
inline = re.findall(r"`([^`\n]+)`", README)
lines = [shlex.split(line, comments=True) for block in fenced for line in block.splitlines()]
lines += [shlex.split(text) for text in inline if text.startswith(("cinelib ", "make "))]
COMMANDS = [words for words in lines if words]


def test_the_commands_were_found():
    assert ["make", "run"] in COMMANDS and ["make", "test"] in COMMANDS
    assert sum(words[0] == "cinelib" for words in COMMANDS) >= 8


@pytest.mark.parametrize("words", [w for w in COMMANDS if w[0] == "cinelib"], ids=" ".join)
def test_cinelib_commands_parse_and_name_real_parameters(words):
    group = typer.main.get_command(app)
    if len(words) == 2 and words[1] not in group.commands:
        pytest.fail(f"no such command: {words}")
    command = group.commands[words[1]]
    with command.make_context(words[1], words[2:]) as context:
        given = context.params
    named = [text for text in given.get("notebooks") or [] if text != "NOTEBOOK"]
    stages = [selection.find_stage(BOOK, text) for text in named]
    for values in selection.overrides_from_options(BOOK, stages, given.get("parameter") or []).items():
        stage, chosen = values
        assert set(chosen) <= set(STAGES[stage].model_fields)
    assert given.get("profile") in {None, *PROFILES}


@pytest.mark.parametrize("words", [w for w in COMMANDS if w[0] == "make"], ids=" ".join)
def test_make_targets_exist(words):
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    assert {word for word in words[1:] if "=" not in word} <= targets


def test_example_files_name_real_parameters():
    (example,) = re.findall(r"^```yaml\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    content = yaml.safe_load(example)
    assert content["profile"] in PROFILES
    for stage, values in content["parameters"].items():
        assert set(values) <= set(STAGES[selection.find_stage(BOOK, stage)].model_fields)


def test_every_notebook_has_a_row():
    rows = re.findall(r"^\| \[.*?\]\(notebooks/(\w+)\.ipynb\)", README, re.MULTILINE)
    assert rows == list(STAGES), "python notebooks/source/reference.py pages"


def test_the_first_screen_can_be_read_at_a_glance():
    """What a stranger sees before the first heading: two sentences, a picture, two commands, five roads."""
    screen = README.split("\n## ")[0]
    paragraphs = screen.split("\n\n")
    assert len(re.findall(r"[.!?](?=\s|$)", paragraphs[1])) == 2
    assert screen.count("](papermill_runs/reference/cover.jpg)") == screen.count("![") == 1
    (caption,) = [text for text in paragraphs if text.startswith("*")]
    assert len(caption) < 130 and "\n" not in caption and len(re.findall(r"\d+", caption)) <= 1
    assert not re.search(r"\bp [=<]|%|\[[-−\d.]+, |interval", screen)
    roads = re.findall(r"^- \*\*(.*?):\*\*.*\]\(", screen, re.MULTILINE)
    assert len(roads) == 5
    assert len(re.sub(r"!\[.*?\)|(?<=\])\(.*?\)", "", screen).split()) < 200


def headings(page: Path) -> set[str]:
    """Anchors of a page, as GitHub makes them."""
    titles = re.findall(r"^#+ (.*)", page.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^a-z0-9 -]", "", title.lower()).replace(" ", "-") for title in titles}


PAGES = [
    "README.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "cinelib/README.md",
    "notebooks/source/README.md",
    "papermill_runs/README.md",
    "data/dailies/README.md",
    "data/storyboard/README.md",
]


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    text = re.sub(r"```.*?```|`[^`]*`", "", (ROOT / page).read_text("utf-8"), flags=re.DOTALL)
    for target, anchor in re.findall(r"\]\(([^)#\s]*)#?([^)]*)\)", text):
        if not target.startswith("http"):
            found = (ROOT / page).parent / target if target else ROOT / page
            assert found.exists(), target
            assert not anchor or anchor in headings(found), f"{target}#{anchor}"


@pytest.mark.parametrize("page", PAGES)
def test_files_that_a_page_names_exist(page):
    """Paths in backquotes and of scripts, from the root; those with NN or NAME are to be filled in."""
    text = (ROOT / page).read_text("utf-8")
    paths = re.findall(r"`([a-z._]+(?:/[\w.-]+)*/?)`", text) + re.findall(r"python (\S+\.py)", text)
    for path in paths:
        known = path.split("/")[0] in {"cinelib", "data", "notebooks", "tests", ".ci"}
        if known and "/" in path and not re.search(r"NN|NAME", path):
            assert (ROOT / path).exists(), path


def test_modules_that_a_page_runs_exist():
    for page in PAGES:
        for module in re.findall(r"python -m ([\w.]+)", (ROOT / page).read_text("utf-8")):
            folders = (ROOT / "data" / "recipes", ROOT)
            path = module.replace(".", "/")
            names = (f"{path}.py", f"{path}/__main__.py")
            assert any((folder / name).is_file() for folder in folders for name in names), module


def test_the_map_names_every_folder_in_the_order_of_the_layers():
    text = (ROOT / "cinelib" / "README.md").read_text("utf-8").split("## What to touch")[0]
    rows = [re.findall(r"`(\w+)`", cell) for cell in re.findall(r"^\| (`.*?) \|", text, re.MULTILINE)]
    modules = {path.stem for path in (ROOT / "cinelib").glob("*.py")} - {"__init__"}
    packages = {path.parent.name for path in (ROOT / "cinelib").glob("*/__init__.py")}
    assert sorted(name for row in rows for name in row) == sorted(modules | packages)
    assert [set(row) for row in reversed(rows)] == [set(names) for names in LAYERS]
