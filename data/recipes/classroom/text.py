"""Vocabularies learned from the caption grammar.

Both tokenizers are byte-level: a word that the grammar never used is spelled in bytes and never lost.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from transformers import CLIPTokenizer, PreTrainedTokenizerFast


def tokenizer(captions: Iterable[str], vocabulary: int) -> "PreTrainedTokenizerFast":
    """Tokenizer for the UMT5 encoder: `<pad>` = 0 and `</s>` = 1 as in UMT5; lower-cased, byte-level BPE.

    Raises:
        ValueError: if `vocabulary` cannot hold the 256 bytes and the special tokens.
    """
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    special = ["<pad>", "</s>", "<unk>"]
    if vocabulary < 256 + len(special):
        raise ValueError(
            f"a byte-level vocabulary needs at least {256 + len(special)} entries, not {vocabulary}"
        )
    backend = Tokenizer(models.BPE())
    backend.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator(captions, trainer)
    backend.post_processor = processors.TemplateProcessing(
        single="$A </s>", pair="$A </s> $B </s>", special_tokens=[("</s>", 1)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        pad_token="<pad>",
        eos_token="</s>",
        unk_token="<unk>",
        model_max_length=512,
        padding_side="right",
        clean_up_tokenization_spaces=False,
    )


def with_strangers(captions: Iterable[str], share: float = 0.25, seed: int = 0) -> list[str]:
    """`captions`, a `share` of them behind a made-up phrase such as "kolva film, ".

    A LoRA's trigger is a phrase that the model has never seen; this teaches it that such a phrase, alone,
    changes nothing.
    """
    rng, opened = np.random.default_rng([seed, 5]), []
    for caption in captions:
        name = "".join(str(rng.choice(list(part))) for part in (*("bdklmprtvz", "aeiou") * 3, "lnrs"))
        name = name[: int(rng.integers(4, 8))]
        stranger = f"{name} {rng.choice(['film', 'picture', 'look', 'style'])}, "
        opened.append(stranger + caption if rng.random() < share else caption)
    return opened


def clip_tokenizer(captions: Iterable[str], vocabulary: int) -> "CLIPTokenizer":
    """CLIP's own tokenizer class (77 tokens, `</w>` word ends) with a vocabulary learned from `captions`."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers
    from transformers import CLIPTokenizer

    pattern = CLIPTokenizer().backend_tokenizer
    scratch = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    scratch.normalizer, scratch.pre_tokenizer = pattern.normalizer, pattern.pre_tokenizer
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    special = ["<|startoftext|>", "<|endoftext|>"]
    both_forms = [*alphabet, *(f"{letter}</w>" for letter in alphabet)]
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        # Named beforehand, or a word's last letters get numbers in the order of a hash map, which is another
        # one each time; of two pairs that are equally common the lower numbers are merged first.
        special_tokens=[*special, *both_forms],
        end_of_word_suffix="</w>",
        show_progress=False,
    )
    scratch.train_from_iterator(captions, trainer)
    merges = _merges(scratch)
    pieces = [*special, *both_forms, *("".join(pair) for pair in merges)]
    ids = {piece: index for index, piece in enumerate(dict.fromkeys(pieces))}
    return CLIPTokenizer(vocab=ids, merges=merges, model_max_length=77)


def _merges(backend: object) -> list[tuple[str, str]]:
    import json

    return [tuple(pair) for pair in json.loads(backend.to_str())["model"]["merges"]]
