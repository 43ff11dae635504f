"""Captions of a local BLIP model: many calls at the same time against the library, picture by picture.

Random weights of the real base shape, so both say the same nonsense and work as hard as for real words.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image

from bench.figures import Figure
from bench.photos import small_photos
from services.captioner.blip.blip_local_provider import EDGE_PX, open_blip_local
from services.captioner.picture import Upload
from services.captioner.provider import Access, Ask
from services.captioner.upload_picture import scale_for_upload

CONCURRENT = 64
MAX_TOKENS = 20
# A processor takes seconds for one caption, a GPU milliseconds.
PHOTOS = {"cpu": 16, "cuda": 512}
ONE_BY_ONE = {"cpu": 8, "cuda": 64}
BATCH = {"cpu": 8, "cuda": 64}
# What else runs takes nothing from a GPU, but from a processor; so there its own seconds count.
CLOCKS = {"cpu": time.process_time, "cuda": time.perf_counter}


def run() -> dict[str, Figure]:
    """Figures of a GPU where there is one, else of a processor's thread; none without the libraries."""
    if missing := [name for name in ("torch", "transformers", "safetensors") if find_spec(name) is None]:
        print(f"blip: left out, for {', '.join(missing)} is missing; scripts/setup blip installs it")
        return {}
    torch = import_module("torch")
    kind = "cuda" if torch.cuda.is_available() else "cpu"
    uploads = [scale_for_upload(photo, EDGE_PX, 10**8) for photo in small_photos(PHOTOS[kind])]
    with tempfile.TemporaryDirectory() as name:
        _save_base_shape(Path(name), torch)
        one_by_one = _one_by_one(Path(name), torch, kind, uploads[: ONE_BY_ONE[kind]])
        batched = asyncio.run(_batched(Path(name), kind, uploads))
    device = (
        f"{torch.cuda.get_device_name()}, bf16" if kind == "cuda" else "CPU, fp32, one thread, by CPU seconds"
    )
    model = f"BLIP base shape, random weights, {MAX_TOKENS} tokens at most, {device}"
    calls = f"{min(CONCURRENT, len(uploads))} calls at the same time, batches of up to {BATCH[kind]}"
    return {
        "captions_per_s": Figure(
            batched, "/s", "higher", f"{len(uploads)} uploads of {EDGE_PX} px, {calls}; {model}"
        ),
        "one_by_one_per_s": Figure(
            one_by_one,
            "/s",
            "higher",
            f"the library's own processor and generate, one after the other; {model}",
        ),
        "ratio": Figure(batched / one_by_one, "", "higher", "the first over the second"),
    }


async def _batched(folder: Path, kind: str, uploads: Sequence[Upload]) -> float:
    places = asyncio.Semaphore(CONCURRENT)
    async with open_blip_local(folder, kind, BATCH[kind], threads=1) as provider:

        async def describe(upload: Upload) -> None:
            async with places:
                await provider.describe(upload, Ask(max_output_tokens=MAX_TOKENS), Access())

        # The first steps of a GPU choose its kernels.
        await asyncio.gather(*map(describe, uploads[: 1 if kind == "cpu" else 2 * CONCURRENT]))
        began_s = CLOCKS[kind]()
        await asyncio.gather(*map(describe, uploads))
        return len(uploads) / (CLOCKS[kind]() - began_s)


def _one_by_one(folder: Path, torch: Any, kind: str, uploads: Sequence[Upload]) -> float:
    blip, processor = _library(folder, torch, kind)

    def describe(upload: Upload) -> str:
        image = Image.open(BytesIO(upload.jpeg))
        inputs = processor(images=image, return_tensors="pt").to(blip.device, blip.dtype)
        said: str = processor.decode(
            blip.generate(**inputs, max_new_tokens=MAX_TOKENS, do_sample=False)[0], skip_special_tokens=True
        )
        return said

    with torch.inference_mode():
        describe(uploads[0])
        began_s = CLOCKS[kind]()
        for upload in uploads:
            describe(upload)
        return len(uploads) / (CLOCKS[kind]() - began_s)


def _library(folder: Path, torch: Any, kind: str) -> tuple[Any, Any]:
    """The model and its processor as the library's own examples load them."""
    transformers = import_module("transformers")
    pil = import_module("transformers.models.blip.image_processing_pil_blip")
    torch.set_num_threads(1)
    dtype = torch.bfloat16 if kind == "cuda" else torch.float32
    blip = transformers.BlipForConditionalGeneration.from_pretrained(folder, dtype=dtype).to(kind).eval()
    images = pil.BlipImageProcessorPil.from_pretrained(folder)
    return blip, transformers.BlipProcessor(images, transformers.BertTokenizer.from_pretrained(folder))


def _save_base_shape(folder: Path, torch: Any) -> None:
    transformers = import_module("transformers")
    pil = import_module("transformers.models.blip.image_processing_pil_blip")
    torch.manual_seed(1)
    # The library's own value for the picture is so small that every picture looks the same to the model.
    config = transformers.BlipConfig(vision_config={"image_size": 384, "initializer_range": 0.02})
    transformers.BlipForConditionalGeneration(config).save_pretrained(folder)
    marks = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
    words = [*marks, *(f"word{number}" for number in range(config.text_config.vocab_size - len(marks)))]
    tokenizer = transformers.BertTokenizer(vocab={word: number for number, word in enumerate(words)})
    transformers.BlipProcessor(pil.BlipImageProcessorPil(), tokenizer).save_pretrained(folder)
