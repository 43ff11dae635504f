"""The text of a search."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.catalog.model import SearchWords
from services.catalog.requests.search_words import MAX_CHARS, parse_search_words
from services.runtime.errors import InvalidArgumentError, Reason


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("boat", SearchWords(("boat",))),
        ("  Boat  ÄPFEL boat ", SearchWords(("boat", "apfel"))),
        ("boa*", SearchWords(prefixes=("boa",))),
        ('"Red boat"', SearchWords(phrases=(("red", "boat"),))),
        ('"boat"', SearchWords(("boat",))),
        ('"boa*"', SearchWords(("boa",))),
        ('sea"red boat"sky', SearchWords(("sea", "sky"), (), (("red", "boat"),))),
        ('"red boat', SearchWords(phrases=(("red", "boat"),))),
        ("half-timbered", SearchWords(phrases=(("half", "timbered"),))),
        ("half-tim*", SearchWords(("half",), ("tim",))),
        ("a-half-tim*", SearchWords((), ("tim",), (("a", "half"),))),
        ("\u6d77\u8fba", SearchWords(phrases=(("\u6d77", "\u8fba"),))),
        ("\u6d77", SearchWords(("\u6d77",))),
        # A character of a script without spaces is a whole word, so that nothing can follow it.
        ("\u6d77*", SearchWords(("\u6d77",))),
        ("\u6d77\u8fba*", SearchWords(phrases=(("\u6d77", "\u8fba"),))),
        ("sea ... * ** -", SearchWords(("sea",))),
        ("a 7", SearchWords(("a", "7"))),
        ("!!*boat*", SearchWords(prefixes=("boat",))),
    ],
)
def test_clauses(text: str, words: SearchWords) -> None:
    assert parse_search_words(text) == words


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "1 to 16"),
        (' * "" ...', "letters or digits"),
        ("b*", "three letters"),
        ("bo*", "three letters"),
        ("red b*", "b*"),
        (" ".join(f"w{index}" for index in range(17)), "17"),
        ("x" * (MAX_CHARS + 1), "1,000"),
    ],
)
def test_refusals_show_the_way_out(text: str, says: str) -> None:
    with pytest.raises(InvalidArgumentError) as refusal:
        parse_search_words(text)
    assert refusal.value.reason == Reason.INVALID_FIELD
    assert refusal.value.metadata["field"] == "text"
    assert says in refusal.value.message


@settings(deadline=None)
@given(st.text(max_size=300))
def test_any_text_gives_clauses_or_a_refusal(text: str) -> None:
    with suppress(InvalidArgumentError):
        words = parse_search_words(text)
        assert 1 <= len(words.words) + len(words.prefixes) + len(words.phrases) <= 16
        assert all(len(prefix) > 1 for prefix in words.prefixes)
        assert all(len(phrase) > 1 for phrase in words.phrases)
