"""Several processes: refusals, the shipped configurations, and equality with one process."""

import dataclasses
import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import psutil
import pytest
import tiny_training
import tiny_wan
import torch
from accelerate.commands.launch import _validate_launch_command, launch_command_parser
from accelerate.utils import FullyShardedDataParallelPlugin
from accelerate.utils.launch import prepare_multi_gpu_env
from tiny_training import CARD, RECIPE, changed, fit, fresh_transformer, same, weights

from cinelib.function_source import rebuilt
from cinelib.style import checks, launch, lora, training
from cinelib.style.checkpoints import CheckpointError, Checkpoints
from cinelib.style.parameters import Strategy
from cinelib.style.samples import SampleClips
from cinelib.style.training_job import JSON
from cinelib.wan import pipeline

TESTS = Path(__file__).resolve().parents[1] / "fixtures"
ONE_CLIP = changed(RECIPE, gradient_accumulation_steps=1, ema_decay=0.5)
TWO_CLIPS = changed(ONE_CLIP, gradient_accumulation_steps=2)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    base = tmp_path_factory.mktemp("launch")
    return base / "set", base / "cache"


@pytest.fixture(scope="module")
def encoded(folders):
    return tiny_training.encode(*folders)


@pytest.fixture(scope="module")
def one_process(encoded, tmp_path_factory):
    """History and weights of one process that accumulates two clips a step."""
    transformer = fresh_transformer()
    history = fit(transformer, encoded, tmp_path_factory.mktemp("one"), TWO_CLIPS)
    return history, weights(transformer)


def job(encoded=((), "null"), folder="checkpoints", **changes):
    values = {"recipe": ONE_CLIP, "processes": 2, "strategy": "ddp"}
    return tiny_training.job(encoded, folder, **{**values, **changes})


def assert_equal_runs(history, found, one_process, atol=1e-5):
    expected, end = one_process
    for curve in ("train", "validation"):
        a, b = ([row["loss"] for row in getattr(h, curve)] for h in (history, expected))
        assert a == pytest.approx(b, abs=1e-6)
    assert found.keys() == end.keys()
    for name in end:
        torch.testing.assert_close(found[name], end[name], rtol=0, atol=atol)


@pytest.mark.parametrize(
    "processes, strategy, kind, message",
    [
        (0, "single", "cpu", "processes is 0, this machine has 4 CPU cores"),
        (5, "ddp", "cpu", "processes is 5, this machine has 4 CPU cores"),
        (3, "ddp", "cuda", "processes is 3, this machine has 2 cuda devices"),
        (2, "single", "cpu", "strategy 'single' with processes 2"),
        (1, "ddp", "cpu", "strategy 'ddp' with processes 1"),
        (2, "fsdp2", "cpu", "fsdp2 does not run on a CPU: accelerate .* use ddp"),
    ],
)
def test_what_cannot_be_launched_is_refused(monkeypatch, processes, strategy, kind, message):
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    monkeypatch.setattr(torch.accelerator, "device_count", lambda: 2)
    with pytest.raises(ValueError, match=message):
        checks.check_processes(processes, strategy, device=torch.device(kind))


def test_a_low_precision_base_is_not_sharded_and_deepspeed_must_be_there(monkeypatch):
    monkeypatch.setattr(torch.accelerator, "device_count", lambda: 2)
    with pytest.raises(ValueError, match="base_precision 'fp8' cannot be sharded"):
        checks.check_processes(2, "fsdp2", "fp8", torch.device("cuda"))
    monkeypatch.setattr(checks.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match="pip install"):
        checks.check_processes(2, "deepspeed_zero2", device=torch.device("cuda"))


def parsed(strategy, processes=2):
    """What `accelerate launch` makes of the strategy's file."""
    command = ["--config_file", str(launch.config(strategy)), "--num_processes", str(processes), "-m", "x"]
    args, defaults, _ = _validate_launch_command(launch_command_parser().parse_args(command))
    return args, defaults


def test_accelerate_reads_the_shipped_configurations():
    kinds = {}
    for strategy in Strategy.__args__:
        args, defaults = parsed(strategy)
        assert args.mixed_precision == "no" and args.num_processes == 2
        kinds[strategy] = (args.multi_gpu, args.use_fsdp, args.use_deepspeed)
        assert defaults.compute_environment.value == "LOCAL_MACHINE"
    assert kinds == {
        "single": (False, False, False),
        "ddp": (True, False, False),
        "fsdp2": (False, True, False),
        "deepspeed_zero2": (False, False, True),
    }
    assert parsed("deepspeed_zero2")[0].zero_stage == 2


def test_the_fsdp2_file_becomes_a_plugin_that_wraps_the_blocks(monkeypatch):
    for name, value in prepare_multi_gpu_env(parsed("fsdp2")[0]).items():
        monkeypatch.setenv(name, value)
    assert os.environ["ACCELERATE_USE_FSDP"] == "true"
    plugin = FullyShardedDataParallelPlugin()
    transformer = fresh_transformer()
    plugin.set_auto_wrap_policy(transformer)
    assert plugin.fsdp_version == 2 and plugin.reshard_after_forward is True
    assert plugin.auto_wrap_policy.keywords["transformer_layer_cls"] == {type(transformer.blocks[0])}


def test_a_job_survives_the_journey_to_another_process(encoded):
    given = job(encoded, samples=SampleClips(16))
    assert JSON.validate_json(JSON.dump_json(given)) == given


@pytest.mark.slow
def test_two_processes_with_one_clip_each_equal_one_that_accumulates_two(encoded, tmp_path, one_process):
    lines = []
    clips = SampleClips(16, every=3, num_inference_steps=2)
    given = job(encoded, tmp_path / "ddp", board=tmp_path / "board", samples=clips)
    history, found = launch.train(given, lines.append)
    assert_equal_runs(history, found, one_process)
    assert sum(line.startswith("step 6/6") for line in lines) == 1  # one process speaks for all
    assert len(list((tmp_path / "board").iterdir())) == 1
    assert [row["step"] for row in history.samples] == [0, 3, 6]


@pytest.mark.slow
def test_all_that_a_job_names_reaches_its_processes(folders, tmp_path):
    """The second of two experts, in few bits, an adapter with a name and a seed of its own."""
    model = str(tiny_wan.save(tmp_path / "model", "two experts"))
    encoded = tiny_training.encode(folders[0], tmp_path / "cache", model)
    unused = ("transformer", "vae", "text_encoder")
    stored = {"dtype": torch.bfloat16, "base_precision": "fp8"}
    pipe = pipeline.load_pipeline(model, device="cpu", without=unused, **stored)
    lora.add(pipe.transformer_2, CARD, "second", seed=5)
    changes = {"seed": 5, "max_train_steps": 1, "precision": "bf16", "warmup_ratio": 0.0}
    named = {"adapter": "second", "component": "transformer_2"}
    history = fit(pipe.transformer_2, encoded, tmp_path / "one", changed(TWO_CLIPS, **changes), **named)
    given = job(encoded, tmp_path / "two", recipe=changed(ONE_CLIP, **changes), **named)
    given = dataclasses.replace(given, model=model, dtype="bfloat16", base_precision="fp8")
    assert_equal_runs(*launch.train(given, print), (history, lora.parameters(pipe.transformer_2, "second")))


EXPLOSIVE = """
from cinelib.style.flow_matching import flow_matching_loss

def explosive(*given):
    return flow_matching_loss(*given) * float("inf")
"""
LEFT_ALONE = """
import os
import torch
from cinelib.style.flow_matching import flow_matching_loss

def left_alone(*given):
    if os.environ["RANK"] == "1":
        raise RuntimeError(f"{torch.get_num_threads()} thread, {os.environ['WORLD_SIZE']} processes")
    return flow_matching_loss(*given)
"""


@pytest.mark.slow
def test_why_a_process_failed_is_told_here(encoded, tmp_path):
    explosive = rebuilt(EXPLOSIVE, "explosive")
    with pytest.raises(training.TrainingDiverged, match=r"step 1: the loss is inf"):
        launch.train(job(encoded, tmp_path / "a", loss=explosive), print)
    threads = torch.get_num_threads()
    torch.set_num_threads(2)  # which the two share
    try:
        with pytest.raises(launch.LaunchError, match="RuntimeError: 1 thread, 2 processes"):
            launch.train(job(encoded, tmp_path / "b", loss=rebuilt(LEFT_ALONE, "left_alone")), print)
    finally:
        torch.set_num_threads(threads)


@pytest.mark.slow
def test_an_interrupted_launch_leaves_no_process_behind(encoded, tmp_path):
    here, started = psutil.Process(), []
    older = set(here.children(recursive=True))  # of tests before this one, such as a resource tracker

    def interrupt(_line):
        started.extend(set(here.children(recursive=True)) - older)
        raise KeyboardInterrupt

    endless = changed(ONE_CLIP, max_train_steps=10_000, log_every=1)
    with pytest.raises(KeyboardInterrupt):
        launch.train(job(encoded, tmp_path, recipe=endless), interrupt)
    _, alive = psutil.wait_procs(started, timeout=20)
    assert len(started) >= 3 and not alive  # the launcher and its two processes


ALONE = """
    import sys
    from pathlib import Path
    from cinelib.style import launch
    from cinelib.style.training_job import JSON
    launch.train(JSON.validate_json(Path(sys.argv[1]).read_bytes()))
"""


@pytest.mark.slow
def test_a_killed_launch_takes_its_processes_along_and_a_rerun_ends_with_the_same_bits(encoded, tmp_path):
    quiet = {"validation_every": 150, "log_every": 150}  # who prints would notice that nobody reads
    recipe = changed(ONE_CLIP, max_train_steps=150, **quiet)
    given = job(encoded, tmp_path / "cut", recipe=recipe)
    (tmp_path / "job.json").write_bytes(JSON.dump_json(given))
    command = [sys.executable, "-c", textwrap.dedent(ALONE), str(tmp_path / "job.json")]
    parent = psutil.Popen(command, cwd=TESTS.parents[1], stdout=subprocess.DEVNULL)
    try:
        while not list(given.folder.glob("step-*.pt")):
            assert parent.poll() is None
            time.sleep(0.01)
        children = parent.children(recursive=True)
    finally:
        parent.kill()
        parent.wait()
    _, alive = psutil.wait_procs(children, timeout=10)
    assert len(children) >= 3 and not alive  # the launcher and its two processes
    written = max(given.folder.glob("step-*.pt")).name
    assert written < "step-00000150"
    history, found = launch.train(given, print)
    assert history.resumed_at == [int(written[5:13])]
    whole, expected = launch.train(dataclasses.replace(given, folder=tmp_path / "whole"), print)
    assert same(found, expected) and history.validation == whole.validation


@pytest.mark.slow
def test_a_folder_in_use_is_told_as_itself(encoded, tmp_path):
    given = job(encoded, tmp_path)
    with (
        Checkpoints(tmp_path, {}).reserved(),
        pytest.raises(CheckpointError, match="another training writes checkpoints into"),
    ):
        launch.train(given, print)


@pytest.mark.slow
def test_deepspeed_zero2_on_two_cpu_processes_equals_one_process(encoded, tmp_path):
    pytest.importorskip("deepspeed", reason="an optional package: pip install -e '.[accelerator]'")
    transformer, four = fresh_transformer(), changed(ONE_CLIP, gradient_accumulation_steps=4)
    history = fit(transformer, encoded, tmp_path / "one", four)
    given = job(encoded, tmp_path / "zero2", recipe=TWO_CLIPS, strategy="deepspeed_zero2")
    theirs, found = launch.train(given, print)
    # Four clips are added up in another order: rounding, which Adam blows up where a gradient is tiny.
    assert_equal_runs(theirs, found, (history, weights(transformer)), atol=1e-4)
    assert len(list(given.folder.glob("step-00000006.deepspeed/*optim_states.pt"))) == 2  # a share each
    again, same_weights = launch.train(given, print)
    assert again.resumed_at == [6] and same(found, same_weights)
    share = next(given.folder.glob("step-00000006.deepspeed/*rank_1*optim_states.pt"))
    share.write_bytes(share.read_bytes()[:-1] + b"?")
    lines = []
    again, same_weights = launch.train(given, lines.append)
    assert again.resumed_at == [4] and same(found, same_weights)
    assert sum("skipped the checkpoint step-00000006-" in line for line in lines) == 1


# accelerate leaves FSDP out on a CPU, torch's fully_shard does not mind: the plugin is put in by hand here.
SHARDED = """
    import os
    import sys
    from pathlib import Path
    sys.path[:0] = {tests!r}
    import torch
    torch.set_num_threads(1)
    import test_launch as t
    import tiny_training
    from accelerate.utils import DistributedType, FullyShardedDataParallelPlugin
    from torch.distributed.tensor import DTensor
    from cinelib.style import distributed, lora
    plain = distributed.Accelerator

    def sharding(**named):
        found = plain(**named)
        assert found.distributed_type == DistributedType.MULTI_CPU
        found.state.fsdp_plugin = FullyShardedDataParallelPlugin()
        found.state.distributed_type = DistributedType.FSDP
        return found

    class Stop(Exception):
        pass

    def stop(step, total):
        if step == 3:
            raise Stop

    distributed.Accelerator = sharding
    encoded = tiny_training.encode({dataset!r}, {store!r})
    out = Path({out!r})
    for name, progress in (("whole", None), ("cut", stop), ("cut", None)):
        transformer = tiny_training.fresh_transformer()
        try:
            history = tiny_training.fit(transformer, encoded, out / name, t.ONE_CLIP, progress=progress)
        except Stop:
            continue
        sharded = lora.parameters(transformer)
        assert all(isinstance(value, DTensor) for value in sharded.values())
        found = distributed.copy(sharded)
        if torch.distributed.get_rank() == 0:
            torch.save({{"weights": found, "history": vars(history)}}, out / (name + ".result"))
    torch.distributed.destroy_process_group()
    os._exit(0)  # as cinelib.style.launch does
"""


@pytest.mark.slow
def test_sharded_by_fsdp2_two_processes_equal_one_and_resume(folders, encoded, tmp_path, one_process):
    tests = [str(TESTS), str(Path(__file__).parent)]
    values = {"tests": tests, "dataset": str(folders[0]), "store": str(folders[1])}
    script = tmp_path / "sharded.py"
    script.write_text(textwrap.dedent(SHARDED).format(**values, out=str(tmp_path)))
    environment = {**os.environ, **prepare_multi_gpu_env(parsed("fsdp2")[0]), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    answer = subprocess.run(
        [*command, str(script)], env=environment, cwd=TESTS.parents[1], capture_output=True, text=True
    )
    assert answer.returncode == 0, answer.stderr[-3000:]
    whole, cut = (torch.load(tmp_path / f"{name}.result") for name in ("whole", "cut"))
    assert_equal_runs(training.History(**whole["history"]), whole["weights"], one_process)
    assert cut["history"]["resumed_at"] == [2] and same(cut["weights"], whole["weights"])
    assert lora.parameters(fresh_transformer()).keys() == whole["weights"].keys()
