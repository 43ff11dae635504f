"""What a picture and a text cost in tokens, by the formulas that the vendors publish.

Where a formula is disputed the dearer reading counts: the figures are upper bounds for holding money back.
"""

from __future__ import annotations

import re
from math import ceil
from typing import Literal

from services.captioner.picture import Upload
from services.captioner.prompt import ANSWER_SCHEMA, SYSTEM, instruction
from services.captioner.provider import Ask, Detail, Tokens

Vendor = Literal["mistral", "openai", "other"]

_MISTRAL_EDGE_PX = 1540
_MISTRAL_GRID_PX = 28
_PATCH_PX = 32
_TILE_PX = 512
_TILE_FIT_PX = 2048
_TILE_SHORT_PX = 768
# A picture costs Gemini 3 this much, whatever its size.
_OTHER_LEAST = 1_100
_CHAT_FRAME = 50
_TILED = re.compile(
    r"gpt-4o|chatgpt-4o|gpt-4\.[15](?!-mini|-nano)|gpt-5(?:\.1)?(?!\.|-mini|-nano)|o[13](?!-mini)"
)
_SMALL_CAP = re.compile(r".*-(?:mini|nano)|gpt-5\.2")


def expected_tokens(vendor: Vendor, model: str, upload: Upload, ask: Ask) -> Tokens:
    """Tokens of a call at most: picture, texts and schema, and the longest answer allowed."""
    width, height = upload.width, upload.height
    if vendor == "mistral":
        picture = mistral_tokens(width, height)
    elif vendor == "openai":
        picture = openai_tokens(model, width, height, ask.detail)
    else:
        picture = max(_OTHER_LEAST, mistral_tokens(width, height))
    text = text_tokens(SYSTEM) + text_tokens(instruction(ask)) + text_tokens(str(ANSWER_SCHEMA))
    return Tokens(picture + text + _CHAT_FRAME, ask.max_output_tokens)


def text_tokens(text: str) -> int:
    """A third of the text's UTF-8 bytes: some more than a token a letter in Chinese, a word in English."""
    return ceil(len(text.encode(errors="replace")) / 3)


def mistral_tokens(width: int, height: int) -> int:
    """One token for each begun square of 28 pixels, and one to end each row, fitted into 1540 pixels.

    Source: ``ImageEncoder`` of mistral-common; 597 x 566 pixels give 483.
    """
    ratio = max(1.0, width / _MISTRAL_EDGE_PX, height / _MISTRAL_EDGE_PX)
    columns, rows = (ceil(max(1, round(edge / ratio)) / _MISTRAL_GRID_PX) for edge in (width, height))
    return columns * rows + rows


def openai_tokens(model: str, width: int, height: int, detail: Detail) -> int:
    """Tiles for the 4o family and its kin, patches for all others.

    Source: OpenAI's guide to images. Patches are squares of 32 pixels, capped, times a factor of the model.
    """
    if _TILED.match(model):
        base, each = (2_833, 5_667) if model.startswith("gpt-4o-mini") else (85, 170)
        return base if detail == "low" else base + each * _tiles(width, height)
    cap = 1_536 if _SMALL_CAP.match(model) else 2_500
    factor = 2.46 if "-nano" in model else 1.72 if model.startswith("o4-mini") else 1.62
    return ceil(min(cap, ceil(width / _PATCH_PX) * ceil(height / _PATCH_PX)) * factor)


def _tiles(width: int, height: int) -> int:
    """Squares of 512 pixels, once the picture fits 2048 pixels and its shorter side 768."""
    ratio = max(1.0, max(width, height) / _TILE_FIT_PX)
    ratio = max(ratio, min(width, height) / _TILE_SHORT_PX)
    return ceil(width / ratio / _TILE_PX) * ceil(height / ratio / _TILE_PX)
