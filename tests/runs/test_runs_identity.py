"""Which sources a stage depends on, and the hashes of files."""

import os
import shutil

import pytest
import toy_film
from toy_film.parameters import Cut

from cinelib import provenance
from cinelib.files import Hashes, read_json, write_json, write_text
from cinelib.parameters import resolve
from cinelib.provenance import code_digest, module_files
from cinelib.runs import identity
from cinelib.runs.identity import identify
from cinelib.runs.workbook import Workbook, find_root


@pytest.fixture
def package(tmp_path):
    folder = tmp_path / "film"
    (folder / "metrics").mkdir(parents=True)
    (folder / "runs").mkdir()
    sources = {
        "__init__.py": "",
        "a.py": "import os\nfrom film import b\n",
        "b.py": "from .c import thing\n",
        "c.py": "def thing():\n    from film.metrics import flow\n",
        "d.py": "",
        "launched.py": "",
        "metrics/__init__.py": "from . import base\n",
        "metrics/base.py": "from ..d import x\n",
        "metrics/flow.py": "",
        "metrics/unused.py": "",
        "runs/__init__.py": "",
        "runs/stage.py": "import film.metrics.unused\n",
        "metrics/parameters.py": "import film.launched\n",
        "loop.py": "import film.pool\n",
        "pool.py": "import film.loop\n",
    }
    for name, text in sources.items():
        (folder / name).write_text(text)
    return folder


def names(package, *code):
    return {name.removeprefix("film.") for name in module_files(package, code)}


def test_imports_are_followed_through_packages_and_relative_names(package):
    assert names(package, "import film.a") == {
        "film",
        "a",
        "b",
        "c",
        "d",
        "metrics",
        "metrics.base",
        "metrics.flow",
    }


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("import os", set()),
        ("import film", {"film"}),
        ("import film.metrics.unused as u", {"film", "metrics", "metrics.base", "metrics.unused", "d"}),
        ("from film.d import anything", {"film", "d"}),
        ("from film import d, launched", {"film", "d", "launched"}),
        ("import filmography, filmy.d", set()),
        ("run(['-m', 'film.launched'])", {"film", "launched"}),
        ("'a text about film.d'", set()),
        ("import film.loop", {"film", "loop", "pool"}),
        ("%matplotlib inline\n!ls\nimport film.d", {"film", "d"}),
        ("if True:\n    def f():\n        import film.d", {"film", "d"}),
        ("from film.runs.stage import open_stage", set()),
        ("import film.missing", {"film"}),
        ("from film.metrics.parameters import Model", {"film", "metrics", "metrics.base", "d"}),
    ],
)
def test_references(package, code, expected):
    assert names(package, code) == expected


def test_what_runs_a_stage_is_all_that_stands_above_the_stages():
    """What imports the stages can be imported by none, so a change to it changes nothing that they make."""
    package = find_root() / "cinelib"
    above = {"stages", "runs"}
    for path in package.rglob("*.py"):
        text = path.read_text("utf-8")
        if "from cinelib.stages import" in text or "from cinelib.runs" in text:
            above.add(path.relative_to(package).parts[0])
    assert above == set(provenance._RUNS_A_STAGE)


@pytest.fixture
def course(tmp_path):
    """The real notebooks and package, and recipes of its own to change."""
    root = find_root()
    for name in ("notebooks", "cinelib"):
        (tmp_path / name).symlink_to(root / name)
    without = shutil.ignore_patterns("__pycache__")
    shutil.copytree(root / "data" / "recipes", tmp_path / "data" / "recipes", ignore=without)
    return Workbook(tmp_path, package=tmp_path / "cinelib")


def ids(course, *stages):
    """By the stage's number, without upstream: what its own code and parameters make."""
    models = [resolve(course.stages[stage], "nano", {}) for stage in stages]
    return {params.stage[:2]: identify(course, params, {}, Hashes()).id for params in models}


@pytest.mark.parametrize(
    ("module", "concerned"),
    [
        ("backlot/palette.py", {"02", "05", "09"}),
        ("classroom/likeness.py", {"09"}),
        ("dailies/production.py", set()),
    ],
)
def test_a_changed_film_set_reruns_the_stages_that_film_with_it(course, module, concerned):
    stages = [name for name in course.stages if name[:2] in ("02", "04", "05", "09")]
    before = ids(course, *stages)
    path = course.root / "data" / "recipes" / module
    path.write_text(path.read_text("utf-8") + "\nREPAINTED = True\n")
    after = ids(course, *stages)
    assert {number for number in before if before[number] != after[number]} == concerned


SOURCE = '"""Doc."""\ndef f(x):\n    """What."""\n    return x + 1\n'


@pytest.mark.parametrize(
    ("other", "same"),
    [
        ('"""Reworded."""\n\n\ndef f(x):  # why\n    """How."""\n    return (x + 1)\n', True),
        (SOURCE.replace("+ 1", "+ 2"), False),
        (SOURCE.replace("def f", "def g"), False),
        (SOURCE + "TEXT = 'a'\n", False),
    ],
)
def test_wording_and_layout_are_not_code(other, same):
    assert (code_digest(SOURCE) == code_digest(other)) is same


def test_a_text_that_is_not_a_docstring_is_code():
    assert code_digest("TEXT = 'a'") != code_digest("TEXT = 'b'")


def test_file_hash_is_sha256_and_remembered_by_size_and_time(tmp_path):
    path = tmp_path / "f.txt"
    path.write_text("abc")
    abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    memory = tmp_path / "memory" / "hashes.json"
    hashes = Hashes(memory)
    assert hashes.file(path) == abc
    hashes.save()
    stamp = path.stat().st_mtime_ns
    path.write_text("xyz")
    assert Hashes(memory).file(path) != abc
    os.utime(path, ns=(stamp, stamp))  # what the memory trusts: same size, same time stamp
    assert Hashes(memory).file(path) == abc
    assert Hashes().file(path) != abc


def test_a_damaged_memory_is_ignored(tmp_path):
    memory = tmp_path / "hashes.json"
    path = tmp_path / "f.txt"
    path.write_text("abc")
    for damage in ("{", "[]", '{"x": 3}', f'{{"{path}": 7}}'):
        memory.write_text(damage)
        assert Hashes(memory).file(path).startswith("ba7816bf")


def test_tree_hash_follows_names_and_contents_and_skips_hidden_files(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a").write_text("1")
    first = Hashes().tree(tmp_path)
    (tmp_path / ".DS_Store").write_text("x")
    assert Hashes().tree(tmp_path) == first
    (tmp_path / "sub" / "a").rename(tmp_path / "sub" / "b")
    renamed = Hashes().tree(tmp_path)
    (tmp_path / "sub" / "b").write_text("2")
    assert len({first, renamed, Hashes().tree(tmp_path)}) == 3


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_an_unreadable_file_does_not_stop_the_hash(tmp_path):
    path = tmp_path / "a"
    path.write_text("1")
    before = Hashes().tree(tmp_path)
    path.chmod(0)
    assert Hashes().tree(tmp_path) != before


def test_hub_blobs_are_known_by_their_names(tmp_path):
    name = "0" * 64
    (tmp_path / "blobs").mkdir()
    (tmp_path / "blobs" / name).write_text("sixty gigabytes")
    (tmp_path / "model.safetensors").symlink_to(tmp_path / "blobs" / name)
    assert Hashes().file(tmp_path / "model.safetensors") == name


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path):
    path = write_text(tmp_path / "x.json", "old")
    with pytest.raises(ValueError, match="JSON"):
        write_json(path, float("nan"))
    assert path.read_text() == "old"
    path.chmod(0o644)
    with pytest.raises(UnicodeEncodeError):
        write_text(path, "\ud800")
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["x.json"]


def test_a_redefined_parameter_is_another_stage(tmp_path, monkeypatch):
    workbook = toy_film.make(tmp_path / "film")
    params = Cut(profile="nano")
    before = identity.identify(workbook, params, {}, Hashes())
    assert identity.identify(workbook, params, {}, Hashes()).id == before.id
    source = identity.inspect.getsource
    monkeypatch.setattr(identity.inspect, "getsource", lambda model: source(model) + "    more = 1\n")
    after = identity.identify(workbook, params, {}, Hashes())
    assert after.id != before.id
    assert identity.changes(after.parts, before.parts) == ["its parameters were redefined"]


def test_an_answer_to_an_exercise_changes_no_stage_and_a_line_of_the_lesson_does(tmp_path):
    shutil.copytree(find_root() / "notebooks", tmp_path / "notebooks")
    (tmp_path / "cinelib").symlink_to(find_root() / "cinelib")
    workbook = Workbook(tmp_path, package=tmp_path / "cinelib")
    for stage in ("03_motion_stage", "04_inference_acceleration", "05_evaluation"):
        before = ids(workbook, stage)
        path = workbook.notebook(stage)
        content = read_json(path)
        code = [cell for cell in content["cells"] if cell["cell_type"] == "code"]
        for cell in code:
            if "exercise" in cell["metadata"].get("tags", []):
                cell["source"] = "import cinelib.metrics.frechet\nanswer = 42"
        content["cells"].append({**content["cells"][0], "cell_type": "markdown", "source": ["My notes."]})
        write_json(path, content)
        assert ids(workbook, stage) == before
        code[-1]["source"] = [*code[-1]["source"], "\nanswer = 43"]
        write_json(path, content)
        assert ids(workbook, stage) != before
