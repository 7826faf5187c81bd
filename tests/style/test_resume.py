"""Checkpoints and continuing: whole or not at all, damaged ones skipped, bit-identical after any SIGKILL."""

import itertools
import os
import resource
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from types import SimpleNamespace

import pytest
import tiny_training
import torch
from tiny_training import RECIPE, changed, fit, fresh_transformer, same, uphill, weights

from cinelib.style import cache, distributed, flow_matching, lora, training
from cinelib.style.checkpoints import CheckpointError, Checkpoints, shares_folder
from cinelib.style.distributed import fill
from cinelib.style.training_state import TrainingState

TESTS = Path(__file__).resolve().parents[1] / "fixtures"
AVERAGED = changed(RECIPE, patience=50, ema_decay=0.9)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    base = tmp_path_factory.mktemp("resume")
    return base / "set", base / "cache"


@pytest.fixture(scope="module")
def encoded(folders):
    return tiny_training.encode(*folders)


@pytest.fixture
def transformer():
    return fresh_transformer()


class Interrupted(Exception):
    pass


def stop_at(wanted):
    def progress(step, _total):
        if step == wanted:
            raise Interrupted

    return progress


def rewind(transformer, start):
    """As a new process starts: from the fresh adapter."""
    fill(lora.parameters(transformer), start)


@pytest.mark.parametrize(
    ("recipe", "stop"),
    [(RECIPE, 3), (AVERAGED, 1), (AVERAGED, 5)],
    ids=["plain-3", "averaged-1", "averaged-5"],
)
def test_resuming_is_bit_identical(transformer, encoded, tmp_path, stop, recipe):
    start = weights(transformer)
    whole = fit(transformer, encoded, tmp_path / "whole", recipe)
    expected = weights(transformer)
    rewind(transformer, start)
    with pytest.raises(Interrupted):
        fit(transformer, encoded, tmp_path / "cut", recipe, progress=stop_at(stop))
    rewind(transformer, start)
    torch.manual_seed(123)
    history = fit(transformer, encoded, tmp_path / "cut", recipe)
    assert same(expected, weights(transformer))
    assert [row["loss"] for row in history.train] == [row["loss"] for row in whole.train]
    assert history.validation == whole.validation
    assert history.resumed_at == ([] if stop == 1 else [stop // 2 * 2])


def test_the_seconds_of_both_parts_are_counted(transformer, encoded, tmp_path, monkeypatch):
    ticks = itertools.count()
    monkeypatch.setattr(training, "time", SimpleNamespace(monotonic=lambda: float(next(ticks))))
    whole = fit(transformer, encoded, tmp_path / "whole")
    with pytest.raises(Interrupted):
        fit(fresh_transformer(), encoded, tmp_path / "cut", progress=stop_at(5))
    assert fit(fresh_transformer(), encoded, tmp_path / "cut").seconds == pytest.approx(whole.seconds, abs=1)


def test_early_stopping_goes_on_counting_and_keeps_its_best_after_a_resume(transformer, encoded, tmp_path):
    start = weights(transformer)
    recipe = changed(RECIPE, max_train_steps=40, validation_every=2, patience=3, warmup_ratio=0.5)
    with pytest.raises(Interrupted):
        fit(transformer, encoded, tmp_path, recipe, loss=uphill, progress=stop_at(5))
    rewind(transformer, start)
    history = fit(transformer, encoded, tmp_path, recipe, loss=uphill)
    assert history.resumed_at == [4] and history.step == 6
    assert "(step 0) in 3 measurements" in history.stopped
    assert same(start, weights(transformer))


def test_a_finished_training_that_is_asked_for_again_ships_the_same(transformer, encoded, tmp_path):
    start = weights(transformer)
    recipe = changed(AVERAGED, max_train_steps=5)  # between two checkpoints
    fit(transformer, encoded, tmp_path, recipe)
    expected = weights(transformer)
    rewind(transformer, start)
    assert fit(transformer, encoded, tmp_path, recipe).resumed_at == [5]
    assert same(expected, weights(transformer))


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty"])
def test_a_damaged_checkpoint_is_skipped_with_a_warning(transformer, encoded, tmp_path, damage):
    start, lines = weights(transformer), []
    fit(transformer, encoded, tmp_path, AVERAGED)
    expected = weights(transformer)
    files = sorted(tmp_path.glob("step-*.pt"))
    assert [path.name[:13] for path in files] == ["step-00000004", "step-00000006"]
    content = bytearray(files[-1].read_bytes())
    content[len(content) // 3] ^= 0xFF
    broken = {"cut": bytes(content[:-200]), "flipped": bytes(content), "empty": b""}[damage]
    files[-1].write_bytes(broken)
    rewind(transformer, start)
    history = fit(transformer, encoded, tmp_path, AVERAGED, log=lines.append)
    assert "skipped the damaged checkpoint step-00000006-" in lines[0]
    assert history.resumed_at == [4] and same(expected, weights(transformer))


@pytest.mark.parametrize(
    "change", [{"learning_rate": 1e-3}, {"seed": 1}, {"max_train_steps": 8}, {"ema_decay": 0.5}]
)
def test_checkpoints_of_another_training_are_refused(transformer, encoded, tmp_path, change):
    start = weights(transformer)
    fit(transformer, encoded, tmp_path)
    rewind(transformer, start)
    with pytest.raises(ValueError, match=next(iter(change))):
        fit(transformer, encoded, tmp_path, changed(RECIPE, **change))


def test_checkpoints_of_other_clips_weights_or_processes_are_refused(transformer, encoded, tmp_path):
    start = weights(transformer)
    fit(transformer, encoded, tmp_path)
    rewind(transformer, start)
    with pytest.raises(ValueError, match=r"examples .* there"):
        fit(transformer, encoded, tmp_path, examples=tuple(encoded[0][2:]))
    rewind(transformer, {name: value + 0.1 for name, value in start.items()})
    with pytest.raises(ValueError, match=r"adapter .* there"):
        fit(transformer, encoded, tmp_path)
    (newest,) = tmp_path.glob("step-00000006-*.pt")
    kept = torch.load(newest, weights_only=True)
    fingerprint = {**kept.pop("fingerprint"), "processes": 2, "strategy": "MULTI_CPU"}
    Checkpoints(tmp_path, fingerprint).save(6, {name: kept[name] for name in kept.keys() - {"shares"}})
    rewind(transformer, start)
    with pytest.raises(ValueError, match=r"processes 2 there, 1 here; strategy MULTI_CPU there, NO here"):
        fit(transformer, encoded, tmp_path)


def test_a_setting_that_was_not_written_down_differs_too(tmp_path):
    Checkpoints(tmp_path, {"seed": 0}).save(1, {})
    with pytest.raises(ValueError, match=r"decay None there, 0\.9 here"):
        Checkpoints(tmp_path, {"seed": 0, "decay": 0.9}).newest()


@pytest.fixture
def small_files():
    """The kernel refuses to let any file grow beyond 4 KB, as a full disk would."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_leaves_nothing_half_written(tmp_path, small_files):
    box = Checkpoints(tmp_path, {"seed": 0})
    box.save(3, {"weights": torch.ones(2)})
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(CheckpointError, match=r"step-00000005-.* could not .* step-00000003-.* is whole"):
        box.save(5, {"weights": torch.ones(10_000)})
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    assert torch.equal(box.newest()["weights"], torch.ones(2))
    with pytest.raises(CheckpointError, match="there is no other"):
        Checkpoints(tmp_path / "empty", {}).save(1, {"weights": torch.ones(10_000)})


def test_a_full_disk_leaves_no_half_adapter_and_no_half_entry(transformer, tmp_path, small_files):
    box = cache.Cache(tmp_path / "cache")
    kept = box.entry("latents", {"k": 1}, lambda: {"x": torch.ones(2)})
    with pytest.raises(OSError, match=r"cache/latents/\w+\.safetensors could not be written"):
        box.entry("latents", {"k": 2}, lambda: {"x": torch.ones(10_000)})
    assert box.report.encoded == {"latents": 1}
    with pytest.raises(OSError, match=r"lora/pytorch_lora_weights\.safetensors could not be written"):
        lora.save(tmp_path / "lora", transformer, tiny_training.CARD)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [kept]


def test_a_step_that_is_saved_again_replaces_itself_and_the_last_two_steps_stay(tmp_path):
    box = Checkpoints(tmp_path, {})
    for step, value in ((1, 0.0), (2, 0.0), (3, 0.0), (3, 1.0)):
        box.save(step, {"weights": torch.tensor(value)})
    assert sorted(path.name[:13] for path in tmp_path.iterdir()) == ["step-00000002", "step-00000003"]
    killed = tmp_path / ".step-00000004-0123456789abcdef.77-88.partial.pt"  # while it was written
    killed.write_bytes(b"half")
    assert box.newest()["weights"] == 1 and not killed.exists()


def test_shares_go_with_the_checkpoint_that_they_belong_to(tmp_path):
    box = Checkpoints(tmp_path, {})
    for step in (1, 2, 3):
        with_shares(box, step)
    assert sorted(path.name for path in tmp_path.glob("*.deepspeed")) == [
        "step-00000002.deepspeed",
        "step-00000003.deepspeed",
    ]


def test_as_many_checkpoints_stay_as_asked_for(transformer, encoded, tmp_path):
    fit(transformer, encoded, tmp_path, changed(RECIPE, checkpoint_every=1, checkpoints_kept=4))
    assert [path.name[:13] for path in sorted(tmp_path.glob("step-*"))] == [
        f"step-0000000{step}" for step in (3, 4, 5, 6)
    ]
    with pytest.raises(ValueError, match="checkpoints_kept"):
        changed(RECIPE, checkpoints_kept=0)


def test_two_trainings_never_share_a_folder(transformer, encoded, tmp_path):
    def meanwhile(step, _total):
        with pytest.raises(CheckpointError, match="another training writes checkpoints into"):
            fit(fresh_transformer(), encoded, tmp_path)
        raise Interrupted

    with pytest.raises(Interrupted):
        fit(transformer, encoded, tmp_path, progress=meanwhile)
    assert fit(fresh_transformer(), encoded, tmp_path).step == 6  # free again


def with_shares(box, step, content=b"moments"):
    """A checkpoint as DeepSpeed's processes leave it: their shares first, then the file."""
    place = shares_folder(box.folder, step)
    place.mkdir(parents=True)
    (place / "zero_pp_rank_0_optim_states.pt").write_bytes(content)
    (place / "zero_pp_rank_1_optim_states.pt").write_bytes(content)
    box.save(step, {"weights": torch.tensor(float(step))})
    return place / "zero_pp_rank_1_optim_states.pt"


@pytest.mark.parametrize("damage", ["flipped", "cut", "gone"])
def test_a_checkpoint_whose_share_is_damaged_is_skipped_with_a_warning(tmp_path, damage):
    lines = []
    box = Checkpoints(tmp_path, {}, lines.append)
    with_shares(box, 1)
    share = with_shares(box, 2)
    assert box.newest()["weights"] == 2 and not lines
    share.write_bytes({"flipped": b"momenta", "cut": b"mom", "gone": b""}[damage])
    if damage == "gone":
        share.unlink()
    assert box.newest()["weights"] == 1
    assert "skipped the checkpoint step-00000002-" in lines[0] and str(share) in lines[0]


def test_a_full_disk_leaves_no_half_share(transformer, tmp_path, small_files, monkeypatch):
    state = TrainingState(transformer, "style", RECIPE, distributed.accelerator(RECIPE, transformer.device))
    box = Checkpoints(tmp_path, {})
    box.save(1, {})
    monkeypatch.setattr(distributed, "sharded_by_deepspeed", lambda accelerator: True)

    def save_checkpoint(folder, tag, **_options):  # as DeepSpeed's engine does it
        (Path(folder) / tag).mkdir()
        torch.save(torch.ones(10_000), Path(folder) / tag / "zero_pp_rank_0_optim_states.pt")

    state.transformer.save_checkpoint = save_checkpoint
    with pytest.raises(
        CheckpointError, match=r"step-00000002.deepspeed could not .* step-00000001-.* is whole"
    ):
        state.save(box, 2)
    assert [path.name[:13] for path in tmp_path.iterdir()] == ["step-00000001"]


def test_a_disk_that_fills_up_stops_the_training_which_continues_when_there_is_room(
    transformer, encoded, tmp_path, monkeypatch
):
    start = weights(transformer)
    fit(transformer, encoded, tmp_path / "whole")
    expected, sync = weights(transformer), os.fsync

    def full(descriptor):
        if list((tmp_path / "cut").glob("step-00000002-*.pt")):
            raise OSError(28, "No space left on device")
        sync(descriptor)

    rewind(transformer, start)
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CheckpointError, match=r"No space left.*step-00000002-.* is whole"):
        fit(transformer, encoded, tmp_path / "cut")
    assert [path.name[:13] for path in (tmp_path / "cut").glob("*step-*")] == ["step-00000002"]
    monkeypatch.setattr(os, "fsync", sync)
    rewind(transformer, start)
    assert fit(transformer, encoded, tmp_path / "cut").resumed_at == [2]
    assert same(expected, weights(transformer))


def nowhere(loss):
    return loss * float("nan")


def cliff(loss):
    """The same value, and a gradient of 0 times infinity."""
    return loss + (0 * loss).sqrt()


@pytest.mark.parametrize(
    ("poison", "message"), [(nowhere, "the loss is nan on clips/"), (cliff, "the gradient's norm is nan on")]
)
def test_what_is_not_finite_stops_and_keeps_the_last_good_weights(
    transformer, encoded, tmp_path, poison, message
):
    calls = []

    def poisoned(model, batch, sigma, noise):
        loss = flow_matching.flow_matching_loss(model, batch, sigma, noise)
        calls.append(batch.names[0])
        return poison(loss) if len(calls) == 7 else loss  # the first micro-batch of step 4

    recipe = changed(RECIPE, validation_every=100, checkpoint_every=100)
    with pytest.raises(training.TrainingDiverged, match=f"step 4: {message}") as error:
        given = {"examples": tuple(encoded[0]), "validation": (), "loss": poisoned}
        fit(transformer, encoded, tmp_path, recipe, **given)
    assert calls[6] in str(error.value)
    assert str(error.value).count("clips/") == (1 if poison is nowhere else 2)  # a gradient is made of all
    (kept,) = tmp_path.glob("step-00000003-*.pt")
    kept = torch.load(kept, weights_only=True)["state"]["weights"]
    assert same(kept, weights(transformer))
    assert all(torch.isfinite(value).all() for value in kept.values())
    assert fit(transformer, encoded, tmp_path / "anew").step == 6  # no poison is left in the gradients


# One process imports and encodes; each attempt is a fork of it, so that 22 trainings take seconds.
KILLS = """
    import os, random, signal, sys, time
    from pathlib import Path
    sys.path.insert(0, {tests!r})
    import torch
    torch.set_num_threads(1)
    import tiny_training as t
    encoded = t.encode({dataset!r}, {store!r})
    transformer = t.fresh_transformer()
    often = {{"validation_every": 3, "checkpoint_every": 2}}
    recipe = t.changed(t.RECIPE, max_train_steps=80, patience=60, ema_decay=0.9, **often)
    moments = random.Random(7)
    pace = 0.05  # seconds of a step, as seen last: a fast machine must not be done before the last kill

    def attempt(folder, kill):
        '''Train in a fork; with `kill`, SIGKILL it some steps and a random fraction of a step later.'''
        global pace
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            mark = lambda step, total: os.write(writing, b".")
            t.fit(transformer, encoded, Path(folder), recipe, progress=mark)
            torch.save(t.weights(transformer), folder + ".final")
            os._exit(0)
        os.close(writing)
        if kill:
            last = None
            for _ in range(moments.randint(0, 5)):
                os.read(reading, 1)
                now = time.monotonic()
                pace, last = now - last if last else pace, now
            time.sleep(moments.uniform(0, pace))
            os.kill(child, signal.SIGKILL)
        status = os.waitpid(child, 0)[1]
        os.close(reading)
        return os.WTERMSIG(status) if os.WIFSIGNALED(status) else -os.WEXITSTATUS(status)

    ends = [attempt({cut!r}, True) for _ in range(20)]
    ends += [attempt({cut!r}, False), attempt({whole!r}, False)]
    print(*ends)
"""


@pytest.mark.slow
def test_twenty_random_kills_end_bit_identical(folders, encoded, tmp_path):
    cut, whole = str(tmp_path / "cut"), str(tmp_path / "whole")
    values = {"tests": str(TESTS), "dataset": str(folders[0]), "store": str(folders[1])}
    code = textwrap.dedent(KILLS).format(**values, cut=cut, whole=whole)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    answer = subprocess.run(
        [sys.executable, "-c", code], env=environment, cwd=TESTS.parents[1], capture_output=True, text=True
    )
    assert answer.returncode == 0, answer.stderr[-2000:]
    assert answer.stdout.split() == [str(int(signal.SIGKILL))] * 20 + ["0", "0"]
    assert same(torch.load(f"{cut}.final"), torch.load(f"{whole}.final"))
    a, b = (torch.load(sorted(Path(folder).glob("step-*.pt"))[-1]) for folder in (cut, whole))
    assert a["history"].pop("resumed_at") and not b["history"].pop("resumed_at")
    for history in (a["history"], b["history"]):
        history.pop("seconds")
        for row in history["train"]:
            row.pop("seconds")
    assert_identical(a, b)
    assert len(a["history"]["train"]) == 80 and a["stopping"]["validation"]["weights"]
    assert not list(Path(cut).glob(".*.partial*"))


def assert_identical(a, b, place="checkpoint"):
    assert type(a) is type(b), place
    if isinstance(a, dict):
        assert a.keys() == b.keys(), place
        for key in a:
            assert_identical(a[key], b[key], f"{place}[{key!r}]")
    elif isinstance(a, list | tuple):
        assert len(a) == len(b), place
        for number, pair in enumerate(zip(a, b, strict=True)):
            assert_identical(*pair, f"{place}[{number}]")
    else:
        assert torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b, place
