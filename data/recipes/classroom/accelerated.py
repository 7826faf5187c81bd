"""Autoencoder, then transformer, on one accelerator within a given time, while clips are being rendered."""

import copy
import platform
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from classroom import architecture, calm, compiled, flow
from classroom.attention import short_text
from classroom.budget import BUDGETS
from classroom.clock import Clock, Often, Span
from classroom.keeping import Keeper, load_autoencoder
from classroom.masters import Masters
from classroom.muon import optimizers
from classroom.rushes import BLOCK, Crew
from classroom.store import Encoder, Library, encoded_once, to_pixels
from classroom.watched import Watched

CHECK = 10  # steps between two looks at the loss


def run(recipe: str, source: Path, out: Path, device: str, clock: Clock, **own: Any) -> None:
    """Train with the numbers of `recipe`, or its `own`, from `source` into `out`."""
    budget = replace(BUDGETS[recipe], **{name: value for name, value in own.items() if value is not None})
    keeper = Keeper(out, lambda: clock.seconds, lambda line: print(line, flush=True))
    shoot = Shoot(budget, torch.device(device), clock, keeper)
    with Crew(budget.workers, shoot.seeds, budget.shape, min(BLOCK, budget.held_out)) as shoot.crew:
        shoot.prepare(source)
        shoot.autoencoder()
        shoot.transformer()
    shoot.finish()


class Shoot(Watched):
    """The trainings of one run."""

    def prepare(self, source: Path) -> None:
        """Load the checkpoint, build the new transformer and wait for the first clips."""
        from diffusers import WanImageToVideoPipeline
        from transformers.utils.logging import disable_progress_bar

        disable_progress_bar()
        if self.device.type == "cuda":
            torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = True
            self.keeper.log("device", name=torch.cuda.get_device_name(self.device), torch=torch.__version__)
        self.keeper.log("settings", budget=asdict(self.budget), python=platform.python_version())
        torch.manual_seed(1)
        self.model = architecture.transformer(self.budget.size).to(self.device).train()
        self.shown = copy.deepcopy(self.model).eval()
        parts = {"vae": load_autoencoder(source / "vae"), "transformer": self.shown}
        self.pipe = WanImageToVideoPipeline.from_pretrained(source, **parts).to(self.device)
        self._quicken()
        self._choose_convolutions()
        while len(self.footage) < self.budget.first or sum(map(len, self.unseen)) < self.budget.held_out:
            self.collect()
            time.sleep(0.02)
            if not self.crew.working:
                raise RuntimeError(f"the render workers stopped at {len(self.footage)} clips")
        self.keeper.log("first clips", clips=len(self.footage))

    def _quicken(self) -> None:
        self._kept.enter_context(short_text(self.model))  # for good: this network only trains
        for block in self.model.blocks:
            block.attn2.processor.bias = block.attn2.processor.bias.to(self.device)
        if not self.budget.compile_seconds:
            return
        data = flow.made_up(self.budget, self.random)
        weights = torch.ones(1, 16, 1, 1, 1, device=self.device)

        def trial() -> None:
            for last in (False, True):
                with self._cast():
                    loss = flow.loss(self.model, data, self.random, weights, last)
                loss.backward()
            self.model.zero_grad(set_to_none=True)

        compiled.pays(self._compile, trial, self.device, self.budget.compile_seconds, self._say)

    def _choose_convolutions(self) -> None:
        if self.device.type != "cuda":
            return
        net = copy.deepcopy(self.pipe.vae).train().bfloat16()
        calm.channels_last(net)
        shape, budget = self.budget.shape, self.budget
        clips = torch.rand(
            budget.vae_batch, 3, shape.num_frames, shape.height, budget.crop, device=self.device
        ).contiguous(memory_format=torch.channels_last_3d)

        def trial() -> None:
            calm.loss(net, clips, self.random).backward()

        def switch(on: bool) -> None:
            torch.backends.cudnn.benchmark = on

        # trying every algorithm can take longer than it saves, so it is tried against the clock too
        self.tuned = compiled.pays(switch, trial, self.device, budget.tune_seconds, self._say)

    def _compile(self, on: bool) -> None:
        for block in self.model.blocks:
            block._compiled_call_impl = None
            if on:
                block.compile(dynamic=False)
        if not on:
            torch._dynamo.reset()

    def autoencoder(self) -> None:
        """Train the autoencoder, settle its statistics; what it learns from grows meanwhile."""
        budget, clock = self.budget, self.clock
        net = self.pipe.vae.train()
        calm.channels_last(net)
        shown = copy.deepcopy(net).eval()
        pixels = to_pixels(torch.from_numpy(self._held_out.frames).to(self.device))
        self._measure_autoencoder(shown, pixels, 0)
        masters = Masters(net, (0.995,), budget.half)
        optimizer = torch.optim.AdamW(masters.weights, betas=(0.9, 0.95), weight_decay=0.01, fused=True)
        begin = clock.seconds
        end = begin + budget.autoencoder * (budget.seconds - begin)
        span = Span(begin, end, budget.vae_rate)

        def step() -> Tensor:
            torch.backends.cudnn.benchmark = self.tuned
            clips = self._crops(span.done(clock.seconds))
            loss = calm.loss(net, clips, self.random)
            loss.backward()
            masters.step([optimizer], span.rate(clock.seconds))
            return loss.detach()

        def look() -> None:
            shown.load_state_dict(masters.averaged())
            self._measure_autoencoder(shown, pixels, masters.steps)

        self._follow("autoencoder", span, step, look, masters, [optimizer])
        look()
        self.pipe.vae = shown.requires_grad_(False)

    def _crops(self, done: float) -> Tensor:
        clips, crop = self.footage.draw(self.budget.vae_batch, self.random), self.budget.crop
        if done < self.budget.whole and crop < clips.shape[-1]:
            left = int(torch.randint(clips.shape[-1] - crop + 1, ()))
            clips = clips[..., left : left + crop]
        clips = calm.grey_inside(calm.graded(clips, self.random), self.random)
        return clips.contiguous(memory_format=torch.channels_last_3d)

    def _follow(
        self,
        name: str,
        span: Span,
        step: Callable[[], Tensor],
        look: Callable[[], None],
        masters: Masters,
        sides: list[torch.optim.Optimizer],
    ) -> None:
        often, budget = Often(self.clock, self.budget.save_seconds), self.budget
        while not span.over(self.clock.seconds):
            self.collect()
            loss = step()
            if masters.steps % CHECK == 0:
                value = loss.item()  # also keeps the queue of the device short: seconds are what count
                good = np.isfinite(value)
                masters.remember() if good else masters.restart(sides)
                if not good or masters.steps % budget.log_steps == 0:
                    row = {"step": masters.steps, "loss": round(value, 5), "clips": len(self.footage)}
                    self.keeper.log(f"{name} step", **row)
            if often.due():
                look()
        self.steps[name] = masters.steps

    def transformer(self) -> None:
        """Train the transformer on what is encoded by then, encoding more between its steps."""
        budget, clock = self.budget, self.clock
        half = copy.deepcopy(self.pipe.vae).bfloat16() if budget.half else self.pipe.vae
        library = Library(self.footage, Encoder(self.pipe, half))
        held_out = encoded_once(library.encoder, self._held_out)
        self.compared = flow.HeldOut.of(
            held_out, to_pixels(torch.from_numpy(self._held_out.frames)).to(self.device)
        )
        while library.waiting and library.clips < budget.begin:
            library.encode_next(budget.chunk)
        self.keeper.log("encoded", clips=library.clips)
        masters = Masters(self.model, budget.averages)
        sides = optimizers(self.model, budget.rate)
        weights = calm.channel_weights(self.pipe.vae, to_pixels(self.footage.frames[:4]))
        self.keeper.log("channel weights", weights=[round(float(value), 2) for value in weights.flatten()])
        span = Span(clock.seconds, budget.seconds - budget.reserve, budget.rate)

        def step() -> Tensor:
            if masters.steps % budget.chunk_steps == 0 and library.waiting >= budget.chunk:
                library.encode_next(budget.chunk)
            data = library.draw(budget.batch, self.random)
            with self._cast():
                loss = flow.loss(self.model, data, self.random, weights, flow.gives_last(masters.steps))
            loss.backward()
            masters.step(sides, span.rate(clock.seconds))
            return loss.detach()

        def look(every: bool = False) -> None:
            states = {"average": masters.averaged(0)}
            if every:
                states |= {"long average": masters.averaged(1), "plain": dict(self.model.named_parameters())}
            self._measure_transformer(states, masters.steps, library.clips)

        self._follow("transformer", span, step, look, masters, sides)
        look(every=True)

    def finish(self) -> None:
        """The last line: all files are written."""
        self.keeper.log("finished", clips=len(self.footage), steps=self.steps)
