"""A BLIP or BLIP-2 model in this process. Blocking; one thread at a time may ask it for captions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from services.captioner.blip.blip_local_folder import BlipFolder, BlipModelError, inspect_folder
from services.captioner.provider import BadPictureError

MAX_PROMPT_TOKENS = 64
MISSING = (
    "a local BLIP model needs torch, transformers and safetensors: pip install 'sightmill[blip]', "
    "or leave SIGHTMILL_CAPTIONER_BLIP_MODEL out"
)
Pixels = NDArray[np.uint8]
_CLASSES = {"blip": "BlipForConditionalGeneration", "blip-2": "Blip2ForConditionalGeneration"}


class StepAbandonedError(Exception):
    """Nobody waits for this step any more."""


@dataclass(frozen=True, slots=True)
class Wording:
    """How a caption begins, and how many tokens it may take; only equal ones share a step."""

    prompt: str
    max_tokens: int


class BlipLocalModel:
    """Greedy captions in English. ``name`` changes with the weights."""

    def __init__(self, folder: BlipFolder, torch: Any, parts: _Parts) -> None:
        self.name = folder.model
        self._torch = torch
        self._parts = parts
        self._takes_prompt = folder.model_type == "blip"
        self._is_over: Callable[[], bool] = bool
        for module in parts.model.modules():
            if isinstance(module, torch.nn.ModuleList):
                for layer in module:
                    layer.register_forward_pre_hook(self._before_layer)

    def pixels(self, jpeg: bytes) -> Pixels:
        """A picture as the model sees it: height x width x 3. Safe in any thread; raises BadPictureError."""
        size = self._parts.processor.size
        try:
            with Image.open(BytesIO(jpeg), formats=("JPEG",)) as image:
                # The decoder leaves out what the scaling would throw away.
                image.draft("RGB", (size.width, size.height))
                small = image.convert("RGB").resize((size.width, size.height), self._parts.processor.resample)
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            raise BadPictureError("The picture does not decode.") from error
        return np.asarray(small)

    def caption(
        self, pictures: Sequence[Pixels], wording: Wording, is_over: Callable[[], bool] = bool
    ) -> list[str]:
        """One caption each, in order.

        Raises MemoryError when so many do not fit, and StepAbandonedError between two layers once
        ``is_over()``.
        """
        self._is_over = is_over
        try:
            with self._torch.inference_mode():
                tokens = self._parts.model.generate(
                    pixel_values=self._normalised(pictures),
                    **self._prompt(wording.prompt, len(pictures)),
                    max_new_tokens=wording.max_tokens,
                    do_sample=False,
                    num_beams=1,
                )
        except self._torch.OutOfMemoryError as error:
            self._torch.cuda.empty_cache()
            raise MemoryError(str(error)) from None
        except RuntimeError as error:
            # On a processor torch has no class of its own for it.
            if "DefaultCPUAllocator" in str(error):
                raise MemoryError(str(error)) from None
            raise
        captions: list[str] = self._parts.tokenizer.batch_decode(tokens, skip_special_tokens=True)
        return captions

    def _before_layer(self, *_: object) -> None:
        if self._is_over():
            raise StepAbandonedError

    def _normalised(self, pictures: Sequence[Pixels]) -> Any:
        torch, processor, model = self._torch, self._parts.processor, self._parts.model
        # On the device: there it costs next to nothing, and a quarter of the bytes travels.
        whole = torch.from_numpy(np.stack(pictures)).to(model.device).permute(0, 3, 1, 2).float()
        mean, deviation = (
            torch.tensor(values, device=model.device).view(1, 3, 1, 1)
            for values in (processor.image_mean, processor.image_std)
        )
        return ((whole * processor.rescale_factor - mean) / deviation).to(model.dtype)

    def _prompt(self, prompt: str, count: int) -> dict[str, Any]:
        if not prompt or not self._takes_prompt:
            return {}
        tokens = self._parts.tokenizer(
            prompt, truncation=True, max_length=MAX_PROMPT_TOKENS, return_tensors="pt"
        )
        return {"input_ids": tokens.input_ids.repeat(count, 1).to(self._parts.model.device)}


@dataclass(frozen=True, slots=True)
class _Parts:
    model: Any
    processor: Any
    tokenizer: Any


def load_blip(path: Path, device: str, threads: int) -> BlipLocalModel:
    """The model in ``path``, from files alone: no network, no code of the folder, no pickles.

    ``device`` is ``auto``, ``cpu``, ``cuda`` or ``cuda:N``; ``threads`` counts those of a processor. Raises
    BlipModelError.
    """
    folder = inspect_folder(path)
    torch, transformers = _libraries()
    place = _device(torch, device)
    torch.set_num_threads(threads)
    try:
        parts = _load_parts(folder, torch, transformers, place)
    except BlipModelError:
        raise
    except Exception as error:
        raise BlipModelError(
            f"the model in {path} cannot be loaded ({type(error).__name__}): {error}"
        ) from error
    return BlipLocalModel(folder, torch, parts)


def _libraries() -> tuple[Any, Any]:
    try:
        import_module("safetensors")
        torch, transformers = import_module("torch"), import_module("transformers")
    except ImportError as error:
        raise BlipModelError(f"{MISSING} ({error})") from error
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    return torch, transformers


def _device(torch: Any, wanted: str) -> Any:
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    device = torch.device(("cuda" if count else "cpu") if wanted == "auto" else wanted)
    if device.type == "cuda" and (device.index or 0) >= count:
        raise BlipModelError(
            f"{wanted}: torch sees {count} GPUs here; set SIGHTMILL_CAPTIONER_BLIP_DEVICE to auto or cpu"
        )
    return device


def _load_parts(folder: BlipFolder, torch: Any, transformers: Any, device: Any) -> _Parts:
    pil = import_module("transformers.models.blip.image_processing_pil_blip")
    safe = {"local_files_only": True, "trust_remote_code": False}
    model, report = getattr(transformers, _CLASSES[folder.model_type]).from_pretrained(
        folder.path,
        **safe,
        use_safetensors=True,
        attn_implementation="eager",
        dtype=_dtype(torch, device),
        output_loading_info=True,
    )
    # The library fills them with noise and goes on.
    if missing := sorted(report["missing_keys"]):
        raise BlipModelError(f"{folder.path} lacks {len(missing)} weights, {missing[0]} among them")
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder.path, **safe)
    # It also goes on without any words.
    if len(tokenizer) < model.config.text_config.vocab_size // 2:
        raise BlipModelError(
            f"{folder.path} lacks the vocabulary: tokenizer.json, or vocab.txt and what goes with it"
        )
    processor = pil.BlipImageProcessorPil.from_pretrained(folder.path, local_files_only=True)
    return _Parts(model.to(device).eval(), processor, tokenizer)


def _dtype(torch: Any, device: Any) -> Any:
    if device.type == "cpu":
        return torch.float32
    return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
