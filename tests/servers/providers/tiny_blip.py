"""BLIP models of the smallest shape with random weights, made in a second and read like real ones."""

from __future__ import annotations

from importlib import import_module
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

THINGS = ("bird", "cat", "dog", "sky", "tree")
WORDS = ("a", "photo", "of", "two", "red", *(f"{thing}{number}" for thing in THINGS for number in range(10)))
MARKS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
EDGE_PX = 64
_TEXT = {"num_hidden_layers": 2, "num_attention_heads": 4, "hidden_size": 64, "initializer_range": 0.3}
# The library's own value is so small that every picture looks the same to the model.
_VISION = {
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "hidden_size": 64,
    "intermediate_size": 128,
    "image_size": EDGE_PX,
    "patch_size": 16,
    "initializer_range": 0.5,
}


def save_tiny_blip(folder: Path, seed: int = 7) -> None:
    """A BLIP model with a vocabulary of a few words; its begin mark is unknown to the tokenizer, as usual."""
    torch, transformers = import_module("torch"), import_module("transformers")
    vocabulary = {word: number for number, word in enumerate((*MARKS, *WORDS))}
    count = len(vocabulary)
    text = _TEXT | {
        "vocab_size": count + 1,
        "encoder_hidden_size": 64,
        "intermediate_size": 128,
        "max_position_embeddings": 160,
        "bos_token_id": count,
        "sep_token_id": 3,
        "eos_token_id": 3,
        "pad_token_id": 0,
    }
    torch.manual_seed(seed)
    config = transformers.BlipConfig(text_config=text, vision_config=_VISION, projection_dim=32)
    transformers.BlipForConditionalGeneration(config).save_pretrained(folder)
    tokenizer = transformers.BertTokenizer(vocab=vocabulary)
    transformers.BlipProcessor(_image_processor(), tokenizer).save_pretrained(folder)


def save_tiny_blip2(folder: Path, seed: int = 7) -> None:
    """A BLIP-2 model over a tiny OPT."""
    torch, transformers, tokenizers = (
        import_module(name) for name in ("torch", "transformers", "tokenizers")
    )
    names = ("pad", "bos", "eos", "unk", "image")
    marks = {f"{name}_token": f"<{name}>" for name in names}
    vocabulary = {word: number for number, word in enumerate((*marks.values(), *WORDS))}
    words = tokenizers.Tokenizer(tokenizers.models.WordLevel(vocabulary, marks["unk_token"]))
    words.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    image = {"image_token": marks.pop("image_token")}
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=words, **marks, extra_special_tokens=image
    )
    text = {
        "model_type": "opt",
        "vocab_size": len(vocabulary),
        "hidden_size": 64,
        "ffn_dim": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "word_embed_proj_dim": 64,
        "init_std": 0.3,
        "max_position_embeddings": 160,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "pad_token_id": 0,
    }
    query = _TEXT | {"intermediate_size": 128, "encoder_hidden_size": 64, "vocab_size": len(vocabulary)}
    torch.manual_seed(seed)
    config = transformers.Blip2Config(
        vision_config=_VISION, qformer_config=query, text_config=text, num_query_tokens=4, image_token_index=4
    )
    transformers.Blip2ForConditionalGeneration(config).save_pretrained(folder)
    transformers.Blip2Processor(_image_processor(), tokenizer, num_query_tokens=4).save_pretrained(folder)


def noise_photo(seed: int) -> bytes:
    """A JPEG of coarse coloured noise, of a size of its own."""
    noise = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), np.uint8)
    target = BytesIO()
    Image.fromarray(noise).resize((96 + 8 * seed, 160 - 4 * seed)).save(target, "JPEG", quality=90)
    return target.getvalue()


def _image_processor() -> Any:
    pil = import_module("transformers.models.blip.image_processing_pil_blip")
    return pil.BlipImageProcessorPil(size={"height": EDGE_PX, "width": EDGE_PX})
