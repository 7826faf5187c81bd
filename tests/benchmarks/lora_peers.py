"""From video files to a LoRA: the cached trainer against loops as others have them, side by side.

python tests/benchmarks/lora_peers.py [--rounds 3] [--steps 200] [--json FILE]

Arms, each with the same clips, rank, targets, steps and transformer, one clip a step, in fp32:
  ours       examples, cache and training.train, with checkpoints
  reencode   decodes and encodes video, frames and caption at every step (in the first round only)
  plain      diffusers + peft: encodes once into memory, then a bare loop
  diffsynth  DiffSynth-Studio's transformer, adapter and loop, if it is installed (see peer_diffsynth.py)
and the floor: forward and backward of one batch, nothing else. Arms take turns, round after round;
medians and ratios are printed. What each learned is told by its loss on some of the clips at fixed noise
levels with fixed noise, before and after. Without --dataset the clips are rendered from the backlot first.
"""

import argparse
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import peer_diffsynth
import torch
from peer_plain import bare_loop, encode
from yardstick import Yardstick

from cinelib.preparation.dataset import VideoFolder
from cinelib.style import cache, encoded_clips, flow_matching, grading, lora, training
from cinelib.style.parameters import Recipe
from cinelib.style.training_job import TrainingJob
from cinelib.wan import pipeline

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "fixtures"))
import style_dataset  # noqa: E402

ENCODERS = ("vae", "text_encoder", "image_encoder")


@dataclass(frozen=True)
class Task:
    """What every arm does."""

    model: str
    dataset: Path
    encoding: encoded_clips.Encoding
    steps: int
    rank: int
    learning_rate: float = 3e-3

    @property
    def card(self) -> lora.AdapterCard:
        return lora.AdapterCard(self.rank, 2.0 * self.rank, "attn2")


@dataclass(frozen=True)
class Measured:
    """Seconds of one arm in one round; `step` is the median of its steps. `loss` is its yardstick's."""

    total: float
    encoding: float
    step: float
    loss: float


def ours(task: Task, folder: Path, yardstick: Yardstick) -> Measured:
    """As notebook 02 does it, from an empty cache."""
    started = time.perf_counter()
    encoders, store = encoded_clips.Encoders(task.model), cache.Cache(folder / "cache")
    found = encoded_clips.encode_clips(VideoFolder.open(task.dataset), task.encoding, encoders, store)
    null = encoded_clips.encode_text("", encoders, store)
    encoders.close()
    encoded = time.perf_counter()
    transformer = pipeline.load_pipeline(task.model, dtype=torch.float32, without=ENCODERS).transformer
    lora.add(transformer, task.card)
    recipe = Recipe(
        learning_rate=task.learning_rate,
        max_train_steps=task.steps,
        gradient_accumulation_steps=1,
        precision="fp32",
        caption_dropout=0.0,
    )
    job = TrainingJob(task.model, task.card, recipe, tuple(found), (), null, folder / "checkpoints")
    history = training.train(transformer, job, log=lambda line: None)
    lora.save(folder / "lora", transformer, task.card)
    ended = time.perf_counter()
    step = statistics.median(row["seconds"] for row in history.train)
    return Measured(ended - started, encoded - started, step, yardstick(transformer))


def reencode(task: Task, folder: Path, yardstick: Yardstick) -> Measured:
    """Video, frames and caption are encoded anew for each step."""
    started = time.perf_counter()
    pipe, clips = pipeline.load_pipeline(task.model, dtype=torch.float32), VideoFolder.open(task.dataset)
    batch_of = lambda step: encode(pipe, clips[step % len(clips)], task.encoding)  # noqa: E731
    seconds = bare_loop(pipe.transformer, task.rank, task.steps, task.learning_rate, batch_of, folder)
    ended = time.perf_counter()
    return Measured(ended - started, 0.0, statistics.median(seconds), yardstick(pipe.transformer))


def plain(task: Task, folder: Path, yardstick: Yardstick) -> Measured:
    """Each clip is encoded once and kept in memory."""
    started = time.perf_counter()
    pipe = pipeline.load_pipeline(task.model, dtype=torch.float32)
    batches = [encode(pipe, clip, task.encoding) for clip in VideoFolder.open(task.dataset)]
    encoded = time.perf_counter()
    batch_of = lambda step: batches[step % len(batches)]  # noqa: E731
    seconds = bare_loop(pipe.transformer, task.rank, task.steps, task.learning_rate, batch_of, folder)
    ended, step = time.perf_counter(), statistics.median(seconds)
    return Measured(ended - started, encoded - started, step, yardstick(pipe.transformer))


def diffsynth(task: Task, folder: Path, yardstick: Yardstick) -> Measured:
    """DiffSynth-Studio's training on our latents, conditions and captions, encoded once."""
    started = time.perf_counter()
    pipe = pipeline.load_pipeline(task.model, dtype=torch.float32)
    batches = [encode(pipe, clip, task.encoding) for clip in VideoFolder.open(task.dataset)]
    encoded = time.perf_counter()
    dit = peer_diffsynth.build(pipe.transformer)
    seconds = peer_diffsynth.train(dit, batches, task.rank, task.steps, task.learning_rate, folder)
    ended, step = time.perf_counter(), statistics.median(seconds)
    return Measured(ended - started, encoded - started, step, yardstick(peer_diffsynth.called_as_ours(dit)))


def floor(task: Task) -> float:
    """Median seconds of forward and backward alone."""
    pipe = pipeline.load_pipeline(task.model, dtype=torch.float32)
    batch = encode(pipe, VideoFolder.open(task.dataset)[0], task.encoding)
    lora.add(pipe.transformer, task.card)
    sigma, noise, seconds = torch.tensor([0.5]), torch.randn_like(batch.latents), []
    for _ in range(max(5, task.steps // 4)):
        for parameter in pipe.transformer.parameters():
            parameter.grad = None
        started = time.perf_counter()
        flow_matching.flow_matching_loss(pipe.transformer, batch, sigma, noise).mean().backward()
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds)


def compare(task: Task, rounds: int) -> dict:
    """All arms in turn, another one first in each round; `reencode`, by far the slowest, once."""
    arms = {"ours": ours, "plain": plain, "reencode": reencode}
    absent = peer_diffsynth.absent()
    if absent is None:
        arms["diffsynth"] = diffsynth
    clips = VideoFolder.open(task.dataset)
    yardstick = Yardstick(task.model, [clips[k] for k in range(min(4, len(clips)))], task.encoding)
    measured: dict[str, list[Measured]] = {name: [] for name in arms}
    floors = []
    for number in range(rounds):
        first = number % len(arms)
        for name in [*arms][first:] + [*arms][:first]:
            if name == "reencode" and number:
                continue
            with tempfile.TemporaryDirectory() as folder:
                torch.manual_seed(number)
                measured[name].append(arms[name](task, Path(folder), yardstick))
            print(f"round {number + 1}, {name}: {measured[name][-1]}", flush=True)
        floors.append(floor(task))
    medians = {
        name: {key: statistics.median(vars(m)[key] for m in found) for key in vars(found[0])}
        for name, found in measured.items()
    }
    return {
        "rounds": {name: [vars(m) for m in found] for name, found in measured.items()},
        "floor": floors,
        "loss_before": yardstick.before(),
        "medians": medians,
        "total_over_ours": {n: m["total"] / medians["ours"]["total"] for n, m in medians.items()},
        "step_over_floor": {n: m["step"] / statistics.median(floors) for n, m in medians.items()},
        "not_run": {"diffsynth": absent} if absent else {},
        "diffsynth_conditions": peer_diffsynth.CONDITIONS,
    }


def show(conditions: dict, result: dict) -> None:
    """Everything that one reads, to the terminal."""
    for name, value in conditions.items():
        print(f"{name}: {value}")
    for name, row in result["medians"].items():
        print(
            f"{name:10} {row['total']:8.2f} s ({result['total_over_ours'][name]:.2f} x ours, "
            f"{len(result['rounds'][name])} rounds), encoding {row['encoding']:.2f} s, "
            f"step {row['step'] * 1000:.1f} ms ({result['step_over_floor'][name]:.3f} x floor), "
            f"loss {result['loss_before'][name]:.4f} -> {row['loss']:.4f}"
        )
    for name, reason in result["not_run"].items():
        print(f"{name}: not run: {reason}")
    print(peer_diffsynth.CONDITIONS)


def main() -> None:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--model", default=str(ROOT / "data" / "nano-wan"))
    options.add_argument("--dataset", type=Path, help="folder of notebook 01 [default: rendered]")
    options.add_argument("--clips", type=int, default=40)
    options.add_argument("--size", type=int, nargs=3, default=(64, 112, 17), metavar=("H", "W", "T"))
    options.add_argument("--steps", type=int, default=200)
    options.add_argument("--rank", type=int, default=8)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--json", type=Path, help="write all numbers here")
    given = options.parse_args()
    height, width, frames = given.size
    load = os.getloadavg()  # before the arms make their own
    with tempfile.TemporaryDirectory() as folder:
        dataset = given.dataset or style_dataset.write(
            Path(folder) / "set", given.clips, height, width, frames + 16
        )
        encoding = encoded_clips.Encoding(height, width, frames, 16, grading.draw(0), variants=0)
        task = Task(given.model, dataset, encoding, given.steps, given.rank)
        result = compare(task, given.rounds)
        count = len(VideoFolder.open(dataset))
    conditions = {
        "what": f"{count} files of {height}x{width}, {frames} frames; {given.steps} steps, rank {given.rank}",
        "model": Path(given.model).name,
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, {torch.get_num_threads()} threads",
        "load average before": load,
        "versions": f"Python {platform.python_version()}, torch {torch.__version__}",
    }
    show(conditions, result)
    if given.json:
        given.json.write_text(json.dumps({"conditions": conditions, **result}, indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    main()
