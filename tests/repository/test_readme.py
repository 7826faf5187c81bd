"""What README says can be done: its commands parse, its parameters exist, its links lead somewhere."""

import re
import shlex
from pathlib import Path

import pytest
import typer
import yaml

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


def test_links_lead_somewhere():
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        if not target.startswith("http"):
            assert (ROOT / target).exists(), target


def test_every_notebook_has_a_row():
    rows = re.findall(r"^\| \[.*?\]\(notebooks/(\w+)\.ipynb\)", README, re.MULTILINE)
    assert rows == list(STAGES)
