"""Tokens by the vendors' formulas, against figures that were published or recorded."""

from __future__ import annotations

import pytest

from services.captioner.chat.image_tokens import expected_tokens, mistral_tokens, openai_tokens, text_tokens
from services.captioner.picture import Upload
from services.captioner.provider import Ask, Detail


@pytest.mark.parametrize(
    ("width", "height", "tokens"),
    [
        (597, 566, 483),
        (4032, 3024, 2352),
        (1540, 1155, 2352),
        (1024, 768, 1064),
        (768, 576, 609),
        (512, 384, 280),
        (1, 1, 2),
        (20_000, 1, 56),
    ],
)
def test_mistral_counts_a_grid_of_28_pixels(width: int, height: int, tokens: int) -> None:
    assert mistral_tokens(width, height) == tokens


@pytest.mark.parametrize(
    ("model", "size", "detail", "tokens"),
    [
        ("gpt-4o", (1024, 1024), "high", 765),
        ("gpt-4o", (2048, 4096), "high", 1105),
        ("gpt-4o", (4096, 8192), "low", 85),
        ("gpt-4.1", (512, 384), "high", 255),
        ("gpt-4o-mini", (512, 384), "high", 8_500),
        ("gpt-4o-mini", (512, 384), "low", 2_833),
        ("gpt-5.4-mini", (597, 566), "high", 555),
        ("gpt-5.4-mini", (1024, 1024), "high", 1_659),
        ("gpt-4.1-mini", (9_000, 9_000), "high", 2_489),
        ("gpt-5.4", (9_000, 9_000), "high", 4_051),
        ("gpt-5-nano", (1024, 1024), "high", 2_520),
        ("o4-mini", (1024, 1024), "high", 1_762),
    ],
)
def test_openai_counts_tiles_or_patches(
    model: str, size: tuple[int, int], detail: Detail, tokens: int
) -> None:
    assert openai_tokens(model, *size, detail) == tokens


def test_texts_and_the_longest_answer_count_too() -> None:
    upload = Upload(b"", 1024, 768)
    short = expected_tokens("mistral", "mistral-small-latest", upload, Ask(max_output_tokens=99))
    long = expected_tokens("mistral", "mistral-small-latest", upload, Ask(prompt="word " * 600))

    assert 1_064 + 150 < short.input < 1_064 + 500
    assert (short.output, long.output) == (99, 400)
    assert long.input > short.input + 700


def test_a_model_that_nobody_knows_is_taken_for_a_dear_one() -> None:
    small = expected_tokens("other", "qwen", Upload(b"", 64, 64), Ask())
    large = expected_tokens("other", "qwen", Upload(b"", 1540, 1540), Ask())

    assert small.input > 1_100
    assert large.input > 3_080


def test_a_chinese_letter_is_a_token() -> None:
    assert text_tokens("\u4e2d" * 30) == 30
    assert text_tokens("abc" * 30) == 30
    assert text_tokens("\ud800") == 1
