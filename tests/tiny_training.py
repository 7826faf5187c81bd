"""What tests of the training loop share: the smoke checkpoint, four tiny encoded clips, a short recipe."""

from pathlib import Path

import style_dataset

from cinelib import cache, examples, lora, training, wan
from cinelib.dataset import VideoFolder
from cinelib.flow_matching import Recipe

ROOT = Path(__file__).resolve().parents[1]
MODEL = str(ROOT / "data" / "smoke-wan")
CARD = lora.AdapterCard(rank=2, alpha=4.0, targets="attn2")
ENCODING = examples.Encoding(32, 48, 9, 16, variants=2, trigger="emberfall film, ")
RECIPE = Recipe(
    learning_rate=1e-2,
    max_train_steps=6,
    precision="fp32",
    validation_every=3,
    checkpoint_every=2,
    log_every=100,
)


def encode(dataset, store):
    """Examples of the clips in `dataset`, and the empty prompt's entry, cached in `store`."""
    if not Path(dataset).exists():
        style_dataset.write(Path(dataset))
    encoders, box = examples.Encoders(MODEL, device="cpu"), cache.Cache(store)
    found = examples.encode_clips(VideoFolder.open(dataset), ENCODING, encoders, box)
    return found, examples.encode_text("", encoders, box)


def fresh_transformer(card=CARD, base_precision=""):
    encoders = ("vae", "text_encoder", "image_encoder")
    pipe = wan.load_pipeline(MODEL, device="cpu", without=encoders, base_precision=base_precision)
    lora.add(pipe.transformer, card)
    return pipe.transformer


def quiet(_line):
    pass


def fit(transformer, encoded, folder, recipe=RECIPE, **more):
    found, null = encoded
    return training.train(transformer, found[1:], found[:1], null, recipe, folder, **{"log": quiet, **more})


def weights(transformer):
    return {name: value.detach().clone() for name, value in lora.parameters(transformer).items()}


def same(a, b):
    import torch

    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)
