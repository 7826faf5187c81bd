import json

import numpy as np
import pytest

from cinelib.preparation.captions import Captions, sentence, with_trigger


def write_rows(folder, rows, name="metadata.jsonl"):
    (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.fixture
def folder(tmp_path):
    for name in ("reel.mp4", "solo.mov", "bare.mkv"):
        (tmp_path / name).write_bytes(b"x")
    return tmp_path


def test_rows_with_times_are_matched_by_overlap(folder):
    write_rows(
        folder,
        [
            {"file_name": "reel.mp4", "start": 0.0, "end": 4.0, "text": "first"},
            {"file_name": "reel.mp4", "start": 4.0, "end": 9.0, "text": "second"},
            {"file_name": "reel.mp4", "text": "whole reel"},
        ],
    )
    book = Captions.open(folder)
    assert not book.problems
    assert book.find("reel.mp4", 0.5, 3.5).text == "first"
    assert book.find("reel.mp4", 3.5, 6.0).text == "second"
    assert book.find("reel.mp4", 8.5, 12.0).text == "whole reel", "no timed row covers half of it"
    assert book.find("solo.mov", 0, 3) is None


def test_metadata_wins_over_csv_and_text_beside_the_file(folder):
    (folder / "solo.txt").write_text("beside\n the file ")
    (folder / "bare.txt").write_text("only beside")
    (folder / "metadata.csv").write_text(
        'file_name,start,end,text\nsolo.mov,1,5,"from, csv"\nreel.mp4,,,all of it\n'
    )
    book = Captions.open(folder)
    assert book.find("solo.mov", 1, 4).text == "from, csv"
    assert book.find("solo.mov", 6, 9).text == "beside the file"
    assert book.find("bare.mkv", 0, 3).text == "only beside"
    assert book.find("reel.mp4", 0, 3).text == "all of it"
    write_rows(folder, [{"file_name": "solo.mov", "start": 1, "end": 5, "text": "from jsonl"}])
    assert Captions.open(folder).find("solo.mov", 1, 4).text == "from jsonl"


def test_structured_fields_become_a_sentence_and_are_kept(folder):
    fields = {
        "camera": "pans left",
        "action": "a knight walks through a courtyard",
        "costume": "crimson cloak",
        "lighting": "torch light",
        "color_grading": "warm teal and orange",
    }
    write_rows(folder, [{"file_name": "solo.mov", **fields}])
    found = Captions.open(folder).find("solo.mov", 0, 3)
    assert found.text == (
        "a knight walks through a courtyard, crimson cloak, torch light, warm teal and orange, "
        "camera pans left"
    )
    assert dict(found.fields) == fields
    named = {"action": "a monk in a red robe walks", "costume": "red robe", "camera": "handheld"}
    assert sentence(named) == "a monk in a red robe walks, handheld camera"
    assert sentence({"camera": "static"}) == "static camera" and sentence({}) == ""


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"file_name": "gone.mp4", "text": "t"}, "'gone.mp4' does not exist"),
        ({"file_name": "../../x.mp4", "text": "t"}, "escapes the folder"),
        ({"file_name": "/etc/passwd", "text": "t"}, "relative path"),
        ({"file_name": "link.mp4", "text": "t"}, "leads out of the folder"),
        ({"text": "t"}, "file_name is missing"),
        ({"file_name": "reel.mp4"}, "no text and none of action"),
        ({"file_name": "reel.mp4", "text": "t", "start": "soon"}, "'soon' is not a number of seconds"),
        ({"file_name": "reel.mp4", "text": "t", "start": 5, "end": 2}, "start 5 is not before end 2"),
    ],
)
def test_bad_rows_are_named_and_good_ones_stay(folder, tmp_path_factory, row, words):
    outside = tmp_path_factory.mktemp("outside") / "film.mp4"
    outside.write_bytes(b"x")
    (folder / "link.mp4").symlink_to(outside)
    write_rows(folder, [row, {"file_name": "solo.mov", "text": "good"}])
    book = Captions.open(folder)
    ((file, reason),) = book.problems
    assert words in reason and "metadata.jsonl, line 1" in reason
    assert file == row.get("file_name", "metadata.jsonl")
    assert book.find("solo.mov", 0, 3).text == "good"


def test_damaged_files_are_named(folder):
    (folder / "metadata.jsonl").write_bytes(b'{"file_name": \n[1]\n\xff\xfe\n')
    (folder / "orphan.txt").write_text("nobody's")
    (folder / "solo.txt").write_bytes(b"\xff\xfe\xfa")
    reasons = dict(Captions.open(folder).problems)
    assert "no video of that name" in reasons["orphan.txt"]
    assert "solo.txt" in reasons
    assert len([1 for file, _ in Captions.open(folder).problems if file == "metadata.jsonl"]) == 3


def test_trigger_stands_once():
    assert with_trigger("emberfall film", "a knight") == "emberfall film, a knight"
    assert with_trigger("emberfall film", "Emberfall film, a knight") == "Emberfall film, a knight"
    assert with_trigger("emberfall film,", "") == "emberfall film"
    assert with_trigger("", "a knight") == "a knight"


def tiny_vision_model(folder):
    """LLaVA's classes at the smallest size, random weights, a vocabulary of 11 words."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import (
        CLIPImageProcessor,
        CLIPVisionConfig,
        LlamaConfig,
        LlavaConfig,
        LlavaForConditionalGeneration,
        LlavaProcessor,
        PreTrainedTokenizerFast,
    )

    words = ["<unk>", "<pad>", "<s>", "</s>", "<image>", "a", "knight", "walks", "torch", "light", "camera"]
    vocabulary = {word: index for index, word in enumerate(words)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        unk_token="<unk>",
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        additional_special_tokens=["<image>"],
    )
    template = (
        "{% for m in messages %}{% for c in m['content'] %}"
        "{% if c['type'] == 'image' %} <image> {% else %}{{ c['text'] }}{% endif %}"
        "{% endfor %}{% endfor %}"
    )
    LlavaProcessor(
        CLIPImageProcessor(size={"shortest_edge": 28}, crop_size={"height": 28, "width": 28}),
        fast,
        patch_size=14,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=template,
    ).save_pretrained(folder)
    torch.manual_seed(0)
    small = {"hidden_size": 16, "intermediate_size": 16, "num_attention_heads": 2}
    vision = CLIPVisionConfig(**small, num_hidden_layers=2, image_size=28, patch_size=14, projection_dim=16)
    text = LlamaConfig(
        **small,
        num_hidden_layers=1,
        num_key_value_heads=2,
        vocab_size=len(words),
        bos_token_id=2,
        eos_token_id=3,
        pad_token_id=1,
    )
    config = LlavaConfig(vision_config=vision, text_config=text, image_token_id=4, image_seq_length=4)
    model = LlavaForConditionalGeneration(config)
    with torch.no_grad():
        model.lm_head.weight[:5] = 0  # random weights would end every sentence at once
    model.save_pretrained(folder)
    return words[5:]


def test_vision_model_captions_a_clip(tmp_path):
    from cinelib.preparation.captioner import CaptionerError, VisionCaptioner

    words = tiny_vision_model(tmp_path / "model")
    captioner = VisionCaptioner(str(tmp_path / "model"), max_new_tokens=5)
    clip = np.random.default_rng(0).integers(0, 256, (9, 64, 112, 3), dtype=np.uint8)
    text = captioner(clip)
    assert text and set(text.split()) <= set(words)
    assert captioner(clip) == text, "greedy: the same clip gets the same caption"
    (tmp_path / "empty").mkdir()
    with pytest.raises(CaptionerError, match="this folder is not a vision-language model"):
        VisionCaptioner(str(tmp_path / "empty"))
