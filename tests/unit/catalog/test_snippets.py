"""The words around a match."""

from __future__ import annotations

import uuid

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.catalog.model import ImageRecord, NewImage, SearchWords
from services.catalog.requests.snippets import MAX_CHARS, is_in_names, make_snippet
from services.catalog.words import words_of
from sightmill.v1 import analyzer_pb2, captioner_pb2, catalog_pb2


def record(
    name: str = "",
    corrections: catalog_pb2.Corrections | None = None,
    caption: captioner_pb2.Caption | None = None,
    text: str = "",
) -> ImageRecord:
    return ImageRecord(
        uuid=uuid.UUID(int=1),
        number=1,
        image=NewImage("ab" * 32, "key", 1, 1, 1, 1, display_name=name),
        error=b"",
        create_time_us=0,
        update_time_us=0,
        process_time_us=None,
        delete_time_us=None,
        revision=1,
        corrections=corrections.SerializeToString() if corrections else b"",
        insights=analyzer_pb2.Insights(text=analyzer_pb2.TextInsight(text=text)).SerializeToString(),
        caption=caption.SerializeToString() if caption else None,
    )


FULL = record(
    name="Boat_at_sea.jpg",
    corrections=catalog_pb2.Corrections(
        title="Évening", caption="People said harbour.", added_tags=["Pier"], removed_tags=["fog"]
    ),
    caption=captioner_pb2.Caption(
        text="Unseen words.", tags=["fog", "pier lights"], objects=["crane", "fog"]
    ),
    text="SHIP CHANDLER since 1921",
)


@pytest.mark.parametrize(
    ("words", "snippet"),
    [
        (SearchWords(("evening",)), "Évening Boat_at_sea.jpg"),
        (SearchWords(prefixes=("pie",)), "Pier, pier lights"),
        (SearchWords(phrases=(("pier", "lights"),)), "Pier, pier lights"),
        (SearchWords(("harbour",)), "People said harbour."),
        (SearchWords(("fog",)), "crane, fog"),
        (SearchWords(("chandler",)), "SHIP CHANDLER since 1921"),
        # What a correction replaced is not searched, and so not shown.
        (SearchWords(("unseen",)), ""),
        # The best part of all clauses, not of the first.
        (SearchWords(("chandler", "crane")), "crane, fog"),
        (SearchWords(phrases=(("chandler", "ship"),)), ""),
    ],
)
def test_the_best_part_is_shown(words: SearchWords, snippet: str) -> None:
    assert make_snippet(FULL, words) == snippet
    assert is_in_names(FULL, words) is snippet.startswith("Évening")


def test_a_long_text_is_cut_at_words_around_the_match() -> None:
    text = " ".join(f"word{index}" for index in range(500))
    snippet = make_snippet(record(text=text), SearchWords(("word250",)))
    assert snippet.startswith("…word2")
    assert snippet.endswith("…")
    assert " word250 " in snippet
    assert len(snippet) <= MAX_CHARS
    shown = snippet.strip("…").split()
    assert shown == [f"word{index}" for index in range(int(shown[0][4:]), int(shown[-1][4:]) + 1)]
    assert make_snippet(record(text=text), SearchWords(("word0",))).startswith("word0 ")
    assert make_snippet(record(text=text), SearchWords(("word499",))).endswith(" word499")


def test_a_script_without_spaces_is_cut_anywhere() -> None:
    text = "\u8fba" * 400 + "\u6d77" + "\u8fba" * 400
    snippet = make_snippet(record(text=text), SearchWords(("\u6d77",)))
    assert "\u6d77" in snippet
    assert len(snippet) <= MAX_CHARS


@pytest.mark.parametrize("lead", ["", "Straße ﬁn Å \u212b e\u0301e\u0301 ㍿ ", "ﷺ " * 9])
def test_letters_that_fold_to_more_or_fewer_do_not_move_the_match(lead: str) -> None:
    text = lead * 40 + "TARGET"
    snippet = make_snippet(record(text=text), SearchWords(("target",)))
    assert snippet.endswith("TARGET")


def test_space_and_breaks_become_single_spaces() -> None:
    assert make_snippet(record(text="a\n\n  b\tc"), SearchWords(("b",))) == "a b c"


@settings(deadline=None)
@given(st.text(max_size=400), st.data())
def test_every_word_of_a_text_is_found_and_shown(text: str, data: st.DataObject) -> None:
    words = words_of(text)
    if words:
        word = data.draw(st.sampled_from(words))
        snippet = make_snippet(record(text=text), SearchWords((word,)))
        assert 0 < len(snippet) <= MAX_CHARS
        assert word in words_of(snippet) or len(word) > 30
