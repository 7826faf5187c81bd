"""A local vision-language model writes the captions that nobody else wrote."""

from pathlib import Path

import numpy as np

PROMPT = (
    "These are frames of one film shot, in order. Describe the shot in one sentence: who is seen and what "
    "they do, costume, place, lighting, and how the camera moves. No introduction."
)


class CaptionerError(ValueError):
    """The model cannot be loaded."""


class VisionCaptioner:
    """Describes frames (T, H, W, 3) uint8 in one sentence, greedily: the same clip gets the same caption.

    `model` is a folder or hub id of any image-text-to-text model in transformers whose processor has a chat
    template (SmolVLM, Qwen2.5-VL, LLaVA ...).

    Raises:
        CaptionerError: from the constructor.
    """

    def __init__(
        self, model: str, num_frames: int = 4, max_new_tokens: int = 80, prompt: str = PROMPT
    ) -> None:
        import torch
        from transformers import AutoModelForImageTextToText, AutoProcessor

        device = "cuda" if torch.cuda.is_available() else "cpu"
        dtype = torch.bfloat16 if device == "cuda" else torch.float32
        try:
            self._processor = AutoProcessor.from_pretrained(model)
            self._model = AutoModelForImageTextToText.from_pretrained(model, dtype=dtype).to(device).eval()
        except (OSError, ValueError, KeyError) as error:
            place = "folder" if Path(model).is_dir() else "hub id"
            raise CaptionerError(
                f"captioner {model!r}: this {place} is not a vision-language model that transformers can "
                f"load: {' '.join(str(error).split())[:200]}"
            ) from None
        self.model, self._num_frames, self._max_new_tokens = model, num_frames, max_new_tokens
        self._prompt = prompt

    def __call__(self, frames: np.ndarray) -> str:
        """One sentence about the clip, without a full stop; empty when the model answers with nothing."""
        import torch
        from PIL import Image

        chosen = np.linspace(0, len(frames) - 1, min(self._num_frames, len(frames))).round().astype(int)
        content = [{"type": "image", "image": Image.fromarray(frames[index])} for index in chosen]
        messages = [{"role": "user", "content": [*content, {"type": "text", "text": self._prompt}]}]
        inputs = self._processor.apply_chat_template(
            messages, add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt"
        ).to(self._model.device, self._model.dtype)
        with torch.inference_mode():
            tokens = self._model.generate(**inputs, max_new_tokens=self._max_new_tokens, do_sample=False)
        answer = self._processor.batch_decode(
            tokens[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True
        )[0]
        return " ".join(answer.split()).rstrip(".").strip()
