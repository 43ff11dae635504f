"""Whatever a model says, its caption is found, or it is said that there is none."""

from __future__ import annotations

import json
import time
from contextlib import suppress

import pytest

from services.captioner.answers.answer_parser import parse_answer
from services.captioner.provider import AnswerError, ParseMode, RefusedError

GOOD = '{"caption": "A red bus crosses a bridge.", "tags": ["bus", "bridge"], "objects": ["bus", "bridge"]}'
CAPTION = "A red bus crosses a bridge."
OTHER_KEYS = (
    '{"Description": "A red bus crosses a bridge.", "keywords": "bus, bridge", '
    '"objects": [{"name": "Bus"}, {"label": "bridge"}]}'
)


@pytest.mark.parametrize(
    ("answer", "mode"),
    [
        (GOOD, ParseMode.JSON),
        (f"<think>A bus? {{yes}}</think>\n{GOOD}", ParseMode.JSON),
        (f"I should answer now.</think>{GOOD}", ParseMode.JSON),
        (f"```json\n{GOOD}\n```", ParseMode.REPAIRED),
        (f"Here you are:\n{GOOD}\nAnything else?", ParseMode.REPAIRED),
        (f"[{GOOD}]", ParseMode.REPAIRED),
        (json.dumps({"result": json.loads(GOOD)}), ParseMode.REPAIRED),
        (GOOD.replace('"', "'"), ParseMode.REPAIRED),
        (GOOD.replace("]}", ",],}"), ParseMode.REPAIRED),
        (GOOD.replace("}", ""), ParseMode.REPAIRED),
        (f"**Caption:** {CAPTION}\n**Tags:** Bus, Bridge\n**Objects:**\n- bus\n- bridge", ParseMode.SECTIONS),
        (f"# Caption\ncaption: {CAPTION}\ntags: bus, bridge\nobjects: bus, bridge", ParseMode.SECTIONS),
        (OTHER_KEYS, ParseMode.JSON),
    ],
)  # fmt: skip
def test_structured_answers_give_caption_tags_and_objects(answer: str, mode: ParseMode) -> None:
    parsed = parse_answer(answer)

    assert parsed.caption == CAPTION
    assert parsed.tags == ("bus", "bridge")
    assert parsed.objects == ("bus", "bridge")
    assert parsed.mode is mode


@pytest.mark.parametrize(
    ("answer", "caption"),
    [
        ("This image shows a dog on a beach. It runs. The sea is calm.", "A dog on a beach. It runs."),
        ("Sure! Here is a description: **A dog** on a beach.", "A dog on a beach."),
        ("\u4e00\u8f86\u7ea2\u8272\u516c\u5171\u6c7d\u8f66\u3002", None),
        ("A dog\x07 on\n\na   beach", "A dog on a beach"),
        ("I cannot identify the people, but two women walk a dog.", None),
    ],
)
def test_prose_gives_the_caption_alone(answer: str, caption: str | None) -> None:
    parsed = parse_answer(answer)

    assert parsed.caption == (caption or answer)
    assert (parsed.tags, parsed.objects, parsed.mode) == ((), (), ParseMode.PROSE)


def test_a_cut_answer_keeps_its_caption_and_loses_the_word_that_was_cut() -> None:
    cut = '{"caption": "A red bus crosses a bridge.", "tags": ["bus", "bridge", "riv'

    parsed = parse_answer(cut, truncated=True)

    assert parsed.caption == CAPTION
    assert parsed.tags == ("bus", "bridge")
    assert parsed.objects == ()


def test_words_are_lower_case_without_marks_and_repetition() -> None:
    answer = {"caption": "x", "tags": [" #Red Bus. ", "red bus", "", 7, "a" * 100, None], "objects": None}

    assert parse_answer(json.dumps(answer)).tags == ("red bus",)


def test_lists_and_captions_are_bounded() -> None:
    answer = {"caption": "word " * 1_000, "tags": [f"t{n}" for n in range(500)], "objects": []}

    parsed = parse_answer(json.dumps(answer))

    assert len(parsed.caption) <= 1_000
    assert len(parsed.tags) == 20


def test_what_else_a_model_says_is_kept_as_it_is() -> None:
    extra = {"mood": "calm", "People": 0, "colours": [{"name": "red", "share": 0.5}], "indoors": False}

    parsed = parse_answer(json.dumps({**json.loads(GOOD), **extra, "summary": "A bus."}))

    assert parsed.caption == CAPTION
    assert parsed.attributes == {**extra, "summary": "A bus."}
    assert parse_answer(GOOD).attributes == {}
    assert parse_answer(f"```json\n{json.dumps({**json.loads(GOOD), **extra})}\n```").attributes == extra


@pytest.mark.parametrize(
    "value",
    [
        "NaN", "Infinity", "-Infinity", "1e999", "9" * 400, "[NaN]", '"\\ud800"', '{"\\ud800": 1}',
        "[[[[1]]]]", '{"a": {"b": {"c": {}}}}', json.dumps("x" * 16_384), '"' + "\u00e9" * 9_000 + '"',
    ],
)  # fmt: skip
def test_what_no_store_could_hold_is_left_out(value: str) -> None:
    parsed = parse_answer(f'{GOOD[:-1]}, "odd": {value}, "sound": [[[1]]]}}')

    assert parsed.caption == CAPTION
    assert parsed.attributes == {"sound": [[[1]]]}


def test_attributes_are_bounded_altogether() -> None:
    extra = {f"key{n}": "x" * 1_000 for n in range(20)}

    kept = parse_answer(json.dumps({**json.loads(GOOD), **extra})).attributes

    assert list(kept) == [f"key{n}" for n in range(16)]
    assert len(json.dumps(dict(kept))) <= 16 * 1024


@pytest.mark.parametrize(
    "answer",
    [
        "I'm sorry, but I can't help with that.",
        "I\u2019m sorry, I cannot describe this picture.",
        "Sorry, I am unable to assist.",
        '{"caption": "I can\'t help with this image.", "tags": [], "objects": []}',
    ],
)
def test_a_refusal_is_no_caption(answer: str) -> None:
    with pytest.raises(RefusedError):
        parse_answer(answer)


@pytest.mark.parametrize(
    "answer",
    [
        "",
        "  \n",
        "<think>only thoughts",
        "{}",
        "[]",
        "null",
        "- - -",
        '{"tags": ["a"]}',
        "<html><body>502</body></html>",
        "{\x00",
        'Here you go:\n```json\n{"store": "some words here"}\n```',
        '```\n["some words here"]\n```',
    ],
)
def test_an_answer_without_words_is_an_error(answer: str) -> None:
    with pytest.raises(AnswerError):
        parse_answer(answer)


@pytest.mark.parametrize(
    "answer",
    [
        "{" * 200_000,
        "[" * 200_000,
        '{"a":' * 50_000,
        "<think>" * 30_000,
        "```" + "a" * 32_000,
        "x" + "\n" * 31_000 + "x",
        "x" + "\n" * 31_000 + "{",
        "```" * 10_000,
        "- \n" * 10_000 + "-",
        "* " * 60_000,
        "{" + "{'" * 15_000,
        '{"a":' + "{a:b " * 5_000,
        '{"tags":["' + 'x"y"z' * 6_000,
        "{" + " {" * 15_000,
        "{" + "{ " * 49 + '"' * 540,
    ],
)
def test_hostile_answers_end_soon(answer: str) -> None:
    started = time.process_time()

    with suppress(AnswerError):
        parse_answer(answer)

    assert time.process_time() - started < 1.5
