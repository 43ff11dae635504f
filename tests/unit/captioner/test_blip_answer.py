"""Answers of BLIP services: whatever comes, each picture gets its own words or an error, and nothing else."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.captioner.blip.blip_answer import (
    BlipCaption,
    BlipTask,
    TaskState,
    read_batch,
    read_caption,
    read_task,
    read_task_id,
)
from services.captioner.provider import AnswerError, ProviderError

NAMES = ("a.jpg", "b.jpg", "c.jpg")
KEYS = ("caption", "tags", "error", "image_path", "result", "results", "status", "task_id")
WORDS = (*NAMES, "x/a.jpg", "COMPLETED", "failed", "a dog", "", "\x00", "../..", "not found")
leaves = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(WORDS) | st.text(max_size=5)
)
values = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=5),
    max_leaves=20,
)
bodies = st.binary(max_size=40) | values.map(lambda value: json.dumps(value).encode())


@given(bodies)
def test_any_body_gives_an_outcome_for_each_picture_or_a_providers_error(body: bytes) -> None:
    for read in (read_batch, read_task):
        try:
            found = read(body, NAMES)
        except ProviderError:
            continue
        outcomes = found.outcomes if isinstance(found, BlipTask) else found
        is_running = isinstance(found, BlipTask) and found.state is not TaskState.COMPLETED
        assert len(outcomes) == (0 if is_running else len(NAMES))
        for outcome in outcomes:
            _check(outcome)


@given(bodies)
def test_any_body_is_a_caption_or_a_providers_error(body: bytes) -> None:
    with suppress(ProviderError):
        _check(read_caption(body))


@given(bodies | st.text(max_size=150).map(lambda text: json.dumps({"task_id": text}).encode()))
def test_a_task_id_is_harmless_in_a_path(body: bytes) -> None:
    try:
        task_id = read_task_id(body)
    except AnswerError:
        return
    assert re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9._~-]*", task_id)
    assert len(task_id) <= 128


@given(st.permutations(NAMES), st.sampled_from(["", "/srv/up/", "C:\\up\\", "../"]), st.booleans())
def test_echoed_names_decide(order: list[str], folder: str, is_bare: bool) -> None:
    items = [{"image_path": folder + name, "caption": f"about {name}"} for name in order]

    outcomes = read_batch(json.dumps(items if is_bare else {"results": items}).encode(), NAMES)

    assert outcomes == tuple(BlipCaption(f"about {name}") for name in NAMES)


@given(st.lists(st.sampled_from(NAMES), min_size=3, max_size=3))
def test_an_item_of_one_picture_is_never_given_to_another(echoed: list[str]) -> None:
    items = [{"image_path": name, "caption": f"about {name}"} for name in echoed]

    outcomes = read_batch(json.dumps(items).encode(), NAMES)

    for name, outcome in zip(NAMES, outcomes, strict=True):
        assert (outcome == BlipCaption(f"about {name}")) is (name in echoed)


@pytest.mark.parametrize(
    ("status", "state"),
    [
        ("COMPLETED", TaskState.COMPLETED),
        ("completed", TaskState.COMPLETED),
        ("in_progress", TaskState.RUNNING),
        ("PENDING", TaskState.RUNNING),
        ("", TaskState.RUNNING),
        ("Failed", TaskState.FAILED),
    ],
)
@pytest.mark.parametrize("key", ["result", "results"])
def test_states_are_told_without_case(status: str, state: TaskState, key: str) -> None:
    task: dict[str, Any] = {"task_id": "1", "status": status, key: [{"caption": "a dog"}]}

    read = read_task(json.dumps(task).encode(), ["a.jpg"])

    assert read.state is state
    assert read.outcomes == ((BlipCaption("a dog"),) if state is TaskState.COMPLETED else ())


def _check(outcome: BlipCaption | ProviderError) -> None:
    if isinstance(outcome, BlipCaption):
        assert outcome.text.strip()
        assert outcome.text.isprintable()
        assert all(tag == tag.lower() for tag in outcome.tags)
    else:
        assert isinstance(outcome, ProviderError)
