"""The filter language: what it means, what it refuses, and that no text is too much for it."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.catalog.conditions import (
    EVERYTHING,
    All,
    AnyOf,
    ColorNear,
    Condition,
    NameContains,
    Not,
    SameBytes,
    Term,
    Within,
    all_of,
    any_of,
)
from services.catalog.requests.filter_language import MAX_CHARS, parse_filter
from services.runtime.errors import InvalidArgumentError, Reason

DIGEST = "ab" * 32
A, B, C = Term("tag", "a"), Term("tag", "b"), Term("tag", "c")


def refused(text: str) -> InvalidArgumentError:
    with pytest.raises(InvalidArgumentError) as refusal:
        parse_filter(text)
    assert refusal.value.reason == Reason.INVALID_FILTER
    return refusal.value


@pytest.mark.parametrize(
    ("text", "condition"),
    [
        ("", EVERYTHING),
        (" \n\t ", EVERYTHING),
        ("state = PROCESSED", Term("state", "3")),
        ("state=processed", Term("state", "3")),
        ("state != FAILED", Not(Term("state", "4"))),
        ("format:JPEG", Term("format", "1")),
        ("format = IMAGE_FORMAT_AVIF", Term("format", "8")),
        ("blur_level = HIGH", Term("blur", "3")),
        ("scene = OUTDOOR", Term("scene", "2")),
        ("has_text = true", Term("has_text", "1")),
        ("has_text != true", Not(Term("has_text", "1"))),
        ("has_text:*", AnyOf((Term("has_text", "1"), Term("has_text", "0")))),
        ('tag = " Fishing Boat "', Term("tag", "fishing boat")),
        ('color = "#4682B4"', ColorNear(0x46, 0x82, 0xB4)),
        ("color = #000000", ColorNear(0, 0, 0)),
        ("camera = 'Canon EOS R5'", Term("camera", "Canon EOS R5")),
        ("provider = openai", Term("provider", "openai")),
        ("batch = batches/1", Term("batch", "batches/1")),
        ("labels.album = sea", Term("label", "album=sea")),
        ('labels.a-b.c = ""', Term("label", "a-b.c=")),
        (r'labels.x = "a \"b\" \\ \'c\' *"', Term("label", "x=a \"b\" \\ 'c' *")),
        (f"sha256 = {DIGEST}", SameBytes(DIGEST)),
        ('display_name:"ÄPFEL"', NameContains("apfel")),
        ("width > 1000", Within("width", 1_001, None)),
        ("width >= 1000", Within("width", 1_000, None)),
        ("height < 10.5", Within("height", None, 10)),
        ("height <= 10", Within("height", None, 10)),
        ("size_bytes = 7", Within("size_bytes", 7, 7)),
        ("size_bytes != 7", Not(Within("size_bytes", 7, 7))),
        ("face_count:*", Within("face_count", 0, None)),
        ("quality_score = 72.35", Within("quality", 7_235, 7_235)),
        ("quality_score > 72.35", Within("quality", 7_236, None)),
        ("quality_score > 72.345", Within("quality", 7_235, None)),
        ("quality_score < 72.345", Within("quality", None, 7_234)),
        # Nothing is less than zero, and what was not measured is no number.
        ("quality_score > -5", Within("quality", 0, None)),
        ("quality_score < 0", Within("quality", 1, 0)),
        ("width < 999999999999999999", Within("width", None, 999_999_999_999_999_998)),
        (
            "create_time >= 1970-01-01T00:00:01.000000001Z",
            Within("create_time_us", 1_000_001, None),
        ),
        ('create_time < "1970-01-01t02:00:01+02:00"', Within("create_time_us", None, 999_999)),
    ],
)
def test_comparisons(text: str, condition: Condition) -> None:
    assert parse_filter(text) == condition


@pytest.mark.parametrize(
    ("text", "condition"),
    [
        ("tag:a AND tag:b", All((A, B))),
        ("tag:a tag:b", All((A, B))),
        ("tag:a OR tag:b", AnyOf((A, B))),
        # OR binds tighter than AND, unlike in most languages.
        ("tag:a AND tag:b OR tag:c", All((A, AnyOf((B, C))))),
        ("tag:a OR tag:b AND tag:c", All((AnyOf((A, B)), C))),
        ("tag:a tag:b OR tag:c", All((A, AnyOf((B, C))))),
        ("(tag:a AND tag:b) OR tag:c", AnyOf((All((A, B)), C))),
        ("NOT tag:a", Not(A)),
        ("-tag:a", Not(A)),
        ("NOT(tag:a OR tag:b) tag:c", All((Not(AnyOf((A, B))), C))),
        ("-tag:a OR tag:b", AnyOf((Not(A), B))),
        ("((tag:a))", A),
        ("tag:a AND(tag:b)OR(tag:c)", All((A, AnyOf((B, C))))),
        ('tag:"AND" OR tag:"a"', AnyOf((Term("tag", "and"), A))),
    ],
)
def test_how_comparisons_are_joined(text: str, condition: Condition) -> None:
    assert parse_filter(text) == condition


@pytest.mark.parametrize(
    ("text", "position", "says"),
    [
        ("boat", 5, "the search"),
        ("tag:a and tag:b", 11, "capitals"),
        ("colour = x", 1, "there are state, format,"),
        ("labels = x", 1, "labels.album"),
        ("labels.ALBUM = x", 1, "labels.album"),
        ("tag:a AND state = DONE", 19, "one of PENDING"),
        ("state > PENDING", 7, "= != :"),
        ("width : 5", 7, "<="),
        ("width > wide", 9, "width >= 1920"),
        ("width > 1e3", 9, "a number"),
        ("display_name = sea.jpg", 14, 'display_name:"sea"'),
        ("tag = boa*", 7, "quotes"),
        ("tag:*", 5, "quotes"),
        ('tag = ""', 7, "a tag"),
        ("create_time > 2024-05-01", 15, "zone"),
        ("create_time > 2024-13-01T00:00:00Z", 15, "zone"),
        ("color = red", 9, "#4682b4"),
        ("sha256 = AB", 10, "lower case"),
        ("has_text = 1", 12, "true or false"),
        ('tag:"a', 5, "a value"),
        ("tag:", 5, "a value"),
        ("tag:OR", 5, "a value"),
        (r'tag:"a\n"', 7, "a backslash"),
        ("tag:a AND", 10, "a comparison"),
        ("tag:a OR OR tag:b", 10, "a comparison"),
        ("NOT NOT tag:a", 5, "a comparison"),
        ("()", 2, "a comparison"),
        ("(tag:a", 1, "not closed"),
        ("tag:a)", 6, "closes nothing"),
        ("tag:a, tag:b", 6, "a comparison"),
        ("(" * 21 + "tag:a" + ")" * 21, 21, "20 deep"),
        (" ".join(["tag:a"] * 101), 601, "100 comparisons"),
        ("x" * (MAX_CHARS + 1), MAX_CHARS + 1, "2,000"),
        ("tag:\0", 5, "a tag"),
    ],
)
def test_refusals_say_where_and_what(text: str, position: int, says: str) -> None:
    refusal = refused(text)
    assert refusal.metadata == {"position": str(position)}
    assert says in refusal.message


def test_bounds_are_inclusive() -> None:
    assert parse_filter("(" * 20 + "tag:a" + ")" * 20) == A
    assert parse_filter(" ".join(["tag:a"] * 100)) == All((A,) * 100)
    assert parse_filter("tag:a".ljust(MAX_CHARS)) == A


SIGNS = "( ) AND OR NOT - = != < : * tag width labels.a state 9 -9 \" ' \\ x #ff0000 PENDING create_time é"
PIECES = st.sampled_from([*SIGNS.split(), " ", "\n", "\0", "2024-05-01T00:00:00Z"])


def refusal_of(text: str) -> InvalidArgumentError | None:
    try:
        parse_filter(text)
    except InvalidArgumentError as refusal:
        return refusal
    return None


@settings(deadline=None, max_examples=400)
@given(st.one_of(st.text(max_size=200), st.lists(PIECES, max_size=60).map("".join)))
def test_any_text_is_understood_or_refused(text: str) -> None:
    if refusal := refusal_of(text):
        assert refusal.reason == Reason.INVALID_FILTER
        assert 1 <= int(refusal.metadata["position"]) <= len(text) + 1


@pytest.mark.parametrize(
    "text",
    [
        "(" * MAX_CHARS,
        "-" * MAX_CHARS,
        '"' * MAX_CHARS,
        'tag:"' + "\\" * 1_990,
        "tag:a OR " * 222,
        "a." * 999,
    ],
)
def test_no_text_takes_long(text: str) -> None:
    started = time.thread_time()
    refused(text)
    assert time.thread_time() - started < 0.05


EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
TIMES = st.integers(0, 2**50).map(lambda us: EPOCH + timedelta(microseconds=us))
TEXTS = st.text(st.characters(exclude_characters="\0", codec="utf-8"), min_size=1, max_size=8)


def quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


LEAVES: st.SearchStrategy[tuple[str, Condition]] = st.one_of(
    TEXTS.map(lambda text: (f"camera = {quoted(text)}", Term("camera", text))),
    TEXTS.map(lambda text: (f"labels.k:{quoted(text)}", Term("label", f"k={text}"))),
    st.integers(0, 2**59).map(lambda number: (f"width>={number}", Within("width", number, None))),
    st.integers(0, 9_999).map(
        lambda number: (f"quality_score <= {number / 100:.2f}", Within("quality", None, number))
    ),
    TIMES.map(
        lambda moment: (
            f"create_time >= {moment.isoformat()}",
            Within("create_time_us", (moment - EPOCH) // timedelta(microseconds=1), None),
        )
    ),
)


def joined(parts: list[tuple[str, Condition]], word: str) -> tuple[str, Condition]:
    texts = [text for text, _ in parts]
    conditions = [condition for _, condition in parts]
    if word == "OR":
        return "(" + " OR ".join(texts) + ")", any_of(conditions)
    return "(" + f" {word} ".join(texts) + ")", all_of(conditions)


def negated(part: tuple[str, Condition], sign: str) -> tuple[str, Condition]:
    text = part[0] if part[0].startswith("(") else f"({part[0]})"
    return f"({sign}{text})", Not(part[1])


TREES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.builds(joined, st.lists(inner, min_size=1, max_size=4), st.sampled_from(["OR", "AND", ""])),
        st.builds(negated, inner, st.sampled_from(["-", "NOT ", "NOT"])),
    ),
    max_leaves=12,
)


@settings(deadline=None, max_examples=200)
@given(TREES)
def test_what_is_printed_is_parsed_to_the_same(tree: tuple[str, Condition]) -> None:
    text, condition = tree
    if len(text) <= MAX_CHARS and text.count("(") <= 20:
        assert parse_filter(text) == condition
