"""Words for the full-text search."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.catalog.words import joined_words, words_of


@given(st.text(st.characters(max_codepoint=127)) | st.text())
def test_joined_words_are_the_words(text: str) -> None:
    assert joined_words(text) == " ".join(words_of(text))


@pytest.mark.parametrize(
    "text", ["x" * 70 + " y", "ab " * 400, "w " * 20_000, "Äpfel ÄPFEL", "漢字 x", "a_b-C\x7f9"]
)
def test_joined_words_are_cut_as_words_are(text: str) -> None:
    assert joined_words(text) == " ".join(words_of(text))
