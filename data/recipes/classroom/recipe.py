"""The whole recipe: render, words, pictures and words, autoencoder, encoding, transformer, export.

Every stage can be interrupted at any moment; running it again continues. Under `torchrun` the processes
share each batch (two processes of one thread beat one process of two threads on a busy machine).
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import torch
import torch.distributed as dist

from classroom import (
    architecture,
    checkpoint,
    contrast,
    denoiser,
    encoding,
    language,
    scenes,
    text,
    vae,
    viewer,
)
from classroom.loop import Log, Training, rank, world
from classroom.settings import Settings

if TYPE_CHECKING:
    from diffusers import AutoencoderKLWan, WanImageToVideoPipeline
    from transformers import CLIPModel, CLIPTokenizer

PANS = 2.0  # how much oftener the transformer sees a pan, the move that it learns last
STAGES = ("render", "language", "contrast", "vae", "encode", "denoise", "view")


@dataclass
class Recipe:
    """One training in `folder`. Its stages run in the order of STAGES; each loads what earlier ones left."""

    settings: Settings
    folder: Path
    device: str = "cpu"
    log: Log = print
    after_save: Callable[["Recipe", Training], None] | None = field(default=None, repr=False)

    @cached_property
    def seeds(self) -> range:
        """Seeds of the training scenes."""
        return scenes.training_seeds(self.settings.clips)

    @cached_property
    def spoken(self) -> list[language.Spoken]:
        """Captions that teach the tokenizers and the text encoder."""
        return language.drawn_captions(scenes.training_seeds(self.settings.captions))

    @cached_property
    def clips(self) -> scenes.Clips:
        """The rendered clips."""
        return scenes.load(self.folder / "scenes", self.seeds, self.settings.shape)

    @property
    def net_clips(self) -> scenes.Clips:
        """The first of them, which the image-text model and the video feature net learn from."""
        count = self.settings.net_clips
        return scenes.Clips(
            self.clips.frames[:count], self.clips.captions[:count], self.clips.attributes[:count]
        )

    @cached_property
    def pipe(self) -> "WanImageToVideoPipeline":
        """The checkpoint in the making, with random weights where no stage has run yet."""
        captions = [spoken.text for spoken in self.spoken]
        pipe = checkpoint.build(self.settings.size, captions, self.settings.seed)
        return pipe.to(self.device)

    @cached_property
    def clip_tokenizer(self) -> "CLIPTokenizer":
        """CLIP's tokenizer with the grammar's vocabulary."""
        return text.clip_tokenizer([spoken.text for spoken in self.spoken], self.settings.size.vocabulary)

    @cached_property
    def clip(self) -> "CLIPModel":
        """The image-text model; its image tower becomes the image encoder."""
        torch.manual_seed(self.settings.seed + 1)
        return architecture.clip(self.settings.size, self.clip_tokenizer).to(self.device)

    @cached_property
    def feature_net(self) -> viewer.Viewer:
        """The video feature net with its classifiers."""
        torch.manual_seed(self.settings.seed + 2)
        shape = self.settings.shape
        even = shape.num_frames // 2 * 2
        backbone = architecture.video_features(self.settings.size, even, shape.height, shape.width)
        return viewer.viewer(backbone, self.net_clips.attributes).to(self.device)

    def run(self, *stages: str) -> None:
        """Run `stages` (default: all), each from where it stopped."""
        unknown = set(stages) - set(STAGES)
        if unknown:
            raise ValueError(f"unknown stage {sorted(unknown)[0]!r}; known: {', '.join(STAGES)}")
        for stage in stages or STAGES:
            getattr(self, stage)()
            if world() > 1:
                dist.barrier()

    def render(self) -> None:
        """Render the training clips."""
        if rank() == 0:
            for done in scenes.render_to(self.folder / "scenes", self.seeds, self.settings.shape, workers=2):
                self.log(f"render: {done}/{len(self.seeds)} clips")

    def language(self) -> None:
        """Train the text encoder, then freeze it."""
        encoder = self.pipe.text_encoder.train()
        reader = language.reader(encoder, self.spoken).to(self.device)
        plan, batch = self.settings.language, self.settings.text_batch
        self._follow(
            language.train(reader, self.pipe.tokenizer, self.spoken, self.folder, plan, batch, self.log)
        )
        encoder.eval()

    def contrast(self) -> None:
        """Train CLIP and give its image tower to the checkpoint."""
        clips, plan, batch = self.net_clips, self.settings.contrast, self.settings.text_batch
        spoken = [
            language.Spoken(caption, {name: values[name] for name in language.ATTRIBUTES})
            for caption, values in zip(clips.captions, clips.attributes, strict=True)
        ]
        self._follow(
            contrast.train(
                self.clip, self.clip_tokenizer, self.pipe.image_processor, clips.frames, spoken, self.folder,
                plan, batch, self.log,
            )
        )  # fmt: skip
        self._load_average(self.clip, "clip.pt")
        self.pipe.image_encoder.load_state_dict(_vision_state(self.clip, self.pipe.image_encoder))

    def vae(self) -> None:
        """Train the autoencoder and measure its latents' statistics."""
        settings = self.settings
        frames, phases = self.clips.frames, settings.vae_phases
        self._follow(vae.train(self.pipe.vae, frames, self.folder, phases, settings.vae, self.log))
        self._normalise_latents()

    def encode(self) -> None:
        """Encode every clip once."""
        clips = replace(self.clips, captions=text.with_strangers(self.clips.captions))
        encoding.encode_to(self._encoded, self.encoders, clips, rank(), world())

    def denoise(self) -> None:
        """Train the transformer; its moving average is what ships."""
        data = encoding.load(self._encoded, self.encoders, self.device)
        self.log(f"denoiser: {len(data)} clips")
        plan, batch, weights = self.settings.denoiser, self.settings.batch, self._channel_weights()
        emphasis = torch.tensor([PANS if "pans" in caption else 1.0 for caption in self.clips.captions])
        self._follow(
            denoiser.train(self.pipe.transformer, data, self.folder, plan, batch, weights, emphasis, self.log)
        )
        self._load_average(self.pipe.transformer, "denoiser.pt")

    def view(self) -> None:
        """Train the video feature net."""
        clips, plan, batch = self.net_clips, self.settings.viewer, self.settings.batch
        self._follow(
            viewer.train(self.feature_net, clips.frames, clips.attributes, self.folder, plan, batch, self.log)
        )
        self._load_average(self.feature_net, "viewer.pt")

    def _normalise_latents(self) -> None:
        # kept with the hash of the weights they belong to, so that every process and every export agrees
        path = self.folder / f"latents-{encoding.weights_hash(self.pipe.vae)}.json"
        if not path.exists():
            statistics = vae.latent_statistics(self.pipe.vae, encoding.to_pixels(self.clips.frames[:64]))
            draft = path.with_suffix(f".partial{rank()}")
            draft.write_text(json.dumps(statistics), encoding="utf-8")
            draft.replace(path)
        self.pipe.vae.register_to_config(**json.loads(path.read_text(encoding="utf-8")))

    def _channel_weights(self) -> torch.Tensor:
        # half way between counting all channels alike and counting what they do to the pixels
        clips = encoding.to_pixels(self.clips.frames[:2, :9])
        weights = vae.channel_effects(self.pipe.vae, clips).sqrt()
        self.log(f"denoiser: channel weights {[round(float(weight), 2) for weight in weights]}")
        return weights / weights.mean()

    @cached_property
    def encoders(self) -> "WanImageToVideoPipeline":
        """`pipe` with what the stages before `encode` have left in `folder`."""
        language_weights = _prefixed(_weights(self.folder / "language.pt"), "encoder.")
        self.pipe.text_encoder.load_state_dict(language_weights, strict=False)
        self._load_average(self.clip, "clip.pt")
        self.pipe.image_encoder.load_state_dict(_vision_state(self.clip, self.pipe.image_encoder))
        self._load_average(self.pipe.vae, vae.finished(self.folder, self.settings.vae_phases)[-1].name)
        self._normalise_latents()
        return self.pipe

    def restore(self) -> "WanImageToVideoPipeline":
        """The pipeline as trained so far, for export or evaluation, without training anything."""
        pipe = self.encoders
        if (self.folder / "denoiser.pt").exists():
            self._load_average(pipe.transformer, "denoiser.pt")
        return pipe

    def autoencoder_of(self, path: Path) -> "AutoencoderKLWan":
        """The autoencoder as the checkpoint at `path` holds it."""
        net = architecture.vae(self.settings.size).eval()
        net.load_state_dict(_weights(path))
        return net

    def trained_viewer(self) -> viewer.Viewer:
        """The video feature net as trained so far."""
        self._load_average(self.feature_net, "viewer.pt")
        return self.feature_net.eval()

    @property
    def _encoded(self) -> Path:
        return self.folder / "encoded" / encoding.fingerprint(self.encoders)

    def _follow(self, saves: "object") -> None:
        for training in saves:
            if self.after_save and rank() == 0:
                self.after_save(self, training)

    def _load_average(self, model: torch.nn.Module, name: str) -> None:
        model.load_state_dict(_weights(self.folder / name))


def _weights(path: Path) -> dict[str, torch.Tensor]:
    state = torch.load(path, map_location="cpu", weights_only=True)
    return state["model"] | state["average"]


def _prefixed(state: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}


def _vision_state(clip: "CLIPModel", tower: torch.nn.Module) -> dict[str, torch.Tensor]:
    source = clip.state_dict()
    names = tower.state_dict()
    wanted = {name: name if name.startswith("vision_model.") else f"vision_model.{name}" for name in names}
    return {name: source[full] for name, full in wanted.items()}
