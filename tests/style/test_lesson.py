"""The loss in notebook 02's cell is the one that is trained, and code that made a file is in its name."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import peft
import pytest
import tiny_training
import torch
from course import read_source
from tiny_training import ENCODING, MODEL, RECIPE, changed, fit, fresh_transformer, quiet, same, weights

from cinelib import provenance
from cinelib.function_source import rebuilt, standalone
from cinelib.preparation.dataset import VideoFolder
from cinelib.style import cache, encoded_clips, launch, training
from cinelib.style.flow_matching import flow_matching_loss

PACKAGE = Path(provenance.__file__).parent
CELL = """
import torch
from cinelib.style import flow_matching
SCALE = 1.0

def times(number):
    return SCALE * number

def loss_of_the_notebook(transformer, batch, sigma: torch.Tensor, noise: torch.Tensor):
    'One number a clip.'
    return times(flow_matching.flow_matching_loss(transformer, batch, sigma, noise))
"""


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    base = tmp_path_factory.mktemp("lesson")
    return base / "set", base / "cache"


@pytest.fixture(scope="module")
def encoded(folders):
    return tiny_training.encode(*folders)


def cell(*edit):
    """The loss as a notebook's cell defines it, after an edit."""
    return rebuilt(CELL.replace(*edit) if edit else CELL, "loss_of_the_notebook")


def job(encoded, loss, **more):
    return tiny_training.job(encoded, loss=loss, **more)


def name(encoded, loss=flow_matching_loss, **more):
    return job(encoded, loss, **more).placed(Path("cache")).folder


def trained(encoded, loss, root):
    transformer = fresh_transformer()
    return training.train(transformer, job(encoded, loss).placed(root), log=quiet), weights(transformer)


def test_an_edited_loss_is_trained_anew_and_a_comment_is_not(encoded, tmp_path):
    history, first = trained(encoded, cell(), tmp_path)
    again, same_weights = trained(encoded, cell("    return times", "    # why\n    return times"), tmp_path)
    assert again.resumed_at == [6] and same(first, same_weights)
    edited, other = trained(encoded, cell("return times(", "return times(2 * "), tmp_path)
    assert edited.resumed_at == [] and not same(first, other)
    assert edited.validation[0]["loss"] == pytest.approx(2 * history.validation[0]["loss"])


def test_checkpoints_of_another_loss_are_refused(encoded, tmp_path):
    fit(fresh_transformer(), encoded, tmp_path, loss=cell())
    with pytest.raises(ValueError, match=r"made by another training .*loss"):
        fit(fresh_transformer(), encoded, tmp_path, loss=cell("SCALE = 1.0", "SCALE = 2.0"))


@pytest.mark.parametrize(
    "edit, same_name",
    [
        (("return SCALE", "return 2 * SCALE"), False),
        (("SCALE = 1.0", "SCALE = 2.0"), False),
        (
            ("flow_matching.flow_matching_loss(", "flow_matching.flow_matching_loss(  # as in the library\n"),
            True,
        ),
        (("'One number a clip.'", "'A number for every clip.'"), True),
    ],
)
def test_what_the_loss_uses_of_the_notebook_is_in_the_name_and_wording_is_not(encoded, edit, same_name):
    assert (name(encoded, cell()) == name(encoded, cell(*edit))) == same_name


@pytest.mark.parametrize(
    "edit, message",
    [
        (("SCALE = 1.0", "SCALE = torch.ones(1)"), "times uses SCALE, a Tensor: nobody can tell when"),
        (("SCALE = 1.0", "pass"), "times uses SCALE, which is not defined"),
    ],
)
def test_a_loss_that_cannot_be_written_down_is_refused_with_the_reason(encoded, edit, message):
    with pytest.raises(ValueError, match=message):
        name(encoded, cell(*edit))
    with pytest.raises(ValueError, match=message):
        launch.train(replace(job(encoded, cell(*edit)), processes=2, strategy="ddp"), quiet)


def test_a_function_without_a_name_is_refused():
    with pytest.raises(ValueError, match="<lambda> is a function, no plain function"):
        standalone(lambda *given: given)


def test_a_loss_that_was_written_down_gives_the_same_numbers():
    again = rebuilt(standalone(cell()), "loss_of_the_notebook")
    model = lambda hidden_states, **rest: (hidden_states[:, :16],)  # noqa: E731
    batch = encoded_clips.Batch(
        ("x",), torch.ones(1, 16, 1, 2, 2), torch.ones(1, 20, 1, 2, 2), torch.zeros(1, 512, 4)
    )
    given = batch, torch.tensor([0.5]), torch.randn(1, 16, 1, 2, 2)
    assert torch.equal(again(model, *given), flow_matching_loss(model, *given))
    assert standalone(again) == standalone(cell())
    assert standalone(flow_matching_loss).startswith("from cinelib.style.flow_matching import")


@pytest.mark.slow
def test_several_processes_train_with_the_notebooks_loss(encoded, tmp_path):
    found = []
    for loss in (cell(), cell("SCALE = 1.0", "SCALE = 2.0")):
        shared = {"processes": 2, "strategy": "ddp"}
        given = replace(job(encoded, loss, **shared), recipe=changed(RECIPE, max_train_steps=2))
        found.append(launch.train(given.placed(tmp_path), quiet))
    (history, first), (doubled, other) = found
    for plain, twice in zip(history.train[:1], doubled.train[:1], strict=True):
        assert twice["loss"] == pytest.approx(2 * plain["loss"])
    assert doubled.resumed_at == [] and not same(first, other)


# --- the cells themselves --------------------------------------------------------------------------


def source_of(text):
    """The code cell of notebook 02 that holds `text`."""
    cells = read_source(PACKAGE.parent / "notebooks" / "source" / "02_style_stage.py")
    (found,) = [cell.text for cell in cells if cell.kind == "code" and text in cell.text]
    return found


def run_cells(*cells, **names):
    for cell in cells:
        exec(compile(cell, "cell", "exec"), names)
    return names


@pytest.mark.parametrize("rank, alpha", [(8, 16.0), (3, 1.0)])
def test_the_notebooks_lora_layer_equals_pefts(rank, alpha):
    own, comparison = source_of("class LoRALinear"), source_of("peft.inject_adapter_in_model")
    params = SimpleNamespace(rank=rank, lora_alpha=alpha)
    run_cells(own, comparison, torch=torch, peft=peft, params=params)
    for wrong in (own.replace("alpha / rank", "alpha"), own.replace("self.layer(x) +", "self.layer(x) -")):
        assert wrong != own
        with pytest.raises(AssertionError, match="peft's layer must be the one above"):
            run_cells(wrong, comparison, torch=torch, peft=peft, params=params)


def test_the_notebooks_loss_is_the_librarys(encoded):
    batch, transformer = encoded_clips.read_batch(encoded[0][:2], 1), fresh_transformer()
    own = run_cells(source_of("def flow_matching_loss("), torch=torch)["flow_matching_loss"]
    given = transformer, batch, torch.tensor([0.2, 0.7]), torch.randn_like(batch.latents)
    with torch.no_grad():
        assert torch.equal(own(*given), flow_matching_loss(*given))


# --- code in names ---------------------------------------------------------------------------------


@pytest.fixture
def edited(monkeypatch):
    """As if a file of cinelib were another."""
    real = provenance.code_digest

    def edit(path):
        text = (PACKAGE / path).read_text("utf-8")
        monkeypatch.setattr(provenance, "code_digest", lambda s: "edited" if s == text else real(s))
        provenance.code_of.cache_clear()

    yield edit
    provenance.code_of.cache_clear()


def entries(folders):
    """Names of the cache's entries for the clips, by kind; nothing is encoded, so the encoders stay away."""
    encoders, store = encoded_clips.Encoders(MODEL, device="cpu"), cache.Cache(folders[1])
    examples = encoded_clips.encode_clips(VideoFolder.open(folders[0]), ENCODING, encoders, store)
    return [example.entries for example in examples]


@pytest.mark.parametrize(
    "file", ["training", "training_state", "distributed", "encoded_clips", "lora", "checkpoints"]
)
def test_a_checkpoint_is_named_by_all_of_the_trainings_code(encoded, edited, file):
    before = name(encoded)
    edited(f"style/{file}.py")
    assert name(encoded) != before


def test_a_checkpoint_is_named_by_the_models_side_and_by_the_launcher_where_it_is_used(encoded, edited):
    several = {"processes": 2, "strategy": "ddp"}
    alone, shared = name(encoded), name(encoded, **several)
    edited("style/launch/__main__.py")
    assert name(encoded) == alone and name(encoded, **several) != shared
    edited("wan/conditioning.py")
    assert name(encoded) != alone
    edited("style/lora_export.py")  # what becomes of the adapter afterwards
    assert name(encoded) == alone


@pytest.mark.parametrize(
    "file, other",
    [
        ("wan/conditioning.py", True),
        ("style/encoded_clips.py", True),
        ("style/grading.py", True),
        ("style/training.py", False),
        ("style/flow_matching.py", False),
        ("style/training_state.py", False),
    ],
)
def test_an_entry_of_the_cache_is_named_by_the_code_that_made_it_and_no_other(
    folders, encoded, edited, file, other
):
    before = {name for example in encoded[0] for name in example.entries}
    edited(file)
    kept = before & {name for names in entries(folders) for name in names}
    assert kept == (set() if other else before)
