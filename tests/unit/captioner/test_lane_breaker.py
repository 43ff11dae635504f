"""When a lane is left alone, for how long, and what brings it back."""

from __future__ import annotations

import pytest

from services.captioner.lanes.adaptive_cap import AdaptiveCap
from services.captioner.lanes.breaker import Breaker, State
from services.captioner.provider import (
    AnswerError,
    BadPictureError,
    ConfigError,
    ExhaustedError,
    FormRefusedError,
    PassedByError,
    ProviderError,
    RefusedError,
    SlowAnswerError,
    ThrottledError,
    TransientError,
)


def opened(now: float = 100.0) -> Breaker:
    breaker = Breaker()
    for _ in range(5):
        breaker.failed(TransientError("HTTP 502"), now)
    assert breaker.state is State.OPEN
    return breaker


def probe(breaker: Breaker, now: float, error: ProviderError | None) -> None:
    assert breaker.lets_pass(now)
    is_probe = breaker.enter()
    assert is_probe
    assert not breaker.lets_pass(now)
    if error:
        breaker.failed(error, now, is_probe=True)
    else:
        breaker.succeeded(now, is_probe=True)


@pytest.mark.parametrize("error", [TransientError("502"), SlowAnswerError("slow"), AnswerError("nonsense")])
def test_five_failures_in_a_row_open_it(error: ProviderError) -> None:
    breaker = Breaker()
    for _ in range(4):
        breaker.failed(error, 100.0)
    breaker.succeeded(100.0)
    for _ in range(4):
        breaker.failed(error, 100.0)
    assert breaker.lets_pass(100.0)

    breaker.failed(error, 100.0)

    assert (breaker.state, breaker.message) == (State.OPEN, error.message)


def test_more_failures_than_answers_within_half_a_minute_open_it() -> None:
    breaker = Breaker()
    for index in range(19):
        if index % 2:
            breaker.succeeded(100.0 + index)
        else:
            breaker.failed(TransientError("502"), 100.0 + index)
    assert breaker.lets_pass(119.0)

    breaker.failed(TransientError("502"), 119.0)

    assert breaker.state is State.OPEN


def test_failures_of_long_ago_do_not_count() -> None:
    breaker = Breaker()
    for index in range(40):
        if index % 2:
            breaker.succeeded(100.0 + 2 * index)
        else:
            breaker.failed(TransientError("502"), 100.0 + 2 * index)
    breaker.failed(TransientError("502"), 180.0)

    assert breaker.state is State.READY


@pytest.mark.parametrize(
    "error",
    [
        ThrottledError("429"),
        RefusedError("no"),
        BadPictureError("413"),
        FormRefusedError("422"),
        PassedByError("late"),
    ],
)
def test_what_says_nothing_about_the_provider_does_not_count(error: ProviderError) -> None:
    breaker = Breaker()
    for _ in range(50):
        breaker.failed(error, 100.0)

    assert breaker.state is State.READY


def test_probes_come_less_and_less_often_until_one_succeeds() -> None:
    breaker = opened(100.0)
    now, waits = 100.0, []
    for _ in range(7):
        waits.append(breaker.until - now)
        now = breaker.until
        assert not breaker.lets_pass(now - 0.1)
        probe(breaker, now, TransientError("HTTP 502"))
    probe(breaker, breaker.until, None)

    assert waits == [15.0, 30.0, 60.0, 120.0, 240.0, 300.0, 300.0]
    assert (breaker.state, breaker.message) == (State.READY, "")
    for _ in range(5):
        breaker.failed(TransientError("HTTP 502"), now)
    assert breaker.until == now + 15.0


@pytest.mark.parametrize("error", [ThrottledError("429"), RefusedError("no"), FormRefusedError("422")])
def test_a_probe_that_is_refused_found_somebody_there(error: ProviderError) -> None:
    breaker = opened(100.0)

    probe(breaker, 115.0, error)

    assert breaker.state is State.READY


def test_a_probe_that_is_given_up_lets_the_next_one_through() -> None:
    breaker = opened(100.0)
    assert breaker.enter()
    breaker.abandoned(is_probe=True)

    assert breaker.lets_pass(115.0)


def test_calls_that_end_late_neither_prolong_it_nor_count_as_probe() -> None:
    breaker = opened(100.0)
    assert breaker.enter()
    breaker.failed(TransientError("HTTP 502"), 116.0)
    breaker.abandoned(is_probe=False)

    assert breaker.until == 115.0
    assert not breaker.lets_pass(116.0)
    breaker.failed(TransientError("HTTP 502"), 117.0, is_probe=True)
    assert breaker.until == 147.0


def test_a_probe_before_its_time_mends_and_never_prolongs() -> None:
    breaker = opened(100.0)

    assert breaker.enter()
    breaker.failed(TransientError("HTTP 502"), 102.0, is_probe=True)
    assert (breaker.state, breaker.until) == (State.OPEN, 115.0)
    assert breaker.enter()
    breaker.succeeded(103.0, is_probe=True)
    assert breaker.lets_pass(103.0)


def test_answers_from_before_do_not_fill_a_used_up_quota() -> None:
    breaker = Breaker()
    breaker.failed(ExhaustedError("no credit"), 100.0)
    breaker.succeeded(101.0)
    breaker.failed(ThrottledError("429"), 101.0)

    assert breaker.state is State.EXHAUSTED


def test_answers_from_before_show_that_the_key_is_right() -> None:
    breaker = Breaker()
    breaker.failed(ConfigError("HTTP 400"), 100.0)
    breaker.succeeded(101.0)

    assert breaker.state is State.READY


def test_a_wrong_key_opens_it_for_a_minute() -> None:
    breaker = Breaker()
    breaker.failed(ConfigError("HTTP 401"), 100.0)

    assert (breaker.state, breaker.until) == (State.OPEN, 160.0)
    probe(breaker, 160.0, ConfigError("HTTP 401"))
    assert breaker.until == 220.0


@pytest.mark.parametrize(("retry_after_s", "until"), [(None, 3_700.0), (90.0, 190.0)])
def test_a_used_up_quota_closes_it_for_an_hour_or_as_long_as_it_says(
    retry_after_s: float | None, until: float
) -> None:
    breaker = Breaker()
    breaker.failed(ExhaustedError("no credit", retry_after_s=retry_after_s), 100.0)

    assert (breaker.state, breaker.until) == (State.EXHAUSTED, until)


def test_calls_in_flight_are_halved_once_a_second_and_grow_one_by_one() -> None:
    cap = AdaptiveCap(8)
    for now in (10.0, 10.5, 10.9):
        cap.overloaded(now)
    assert cap.value == 4
    cap.overloaded(11.0)
    assert cap.value == 2
    for _ in range(2):
        cap.answered()
    assert cap.value == 3
    for _ in range(3 + 4 + 5 + 6 + 7 - 1):
        cap.answered()
    assert cap.value == 7
    for _ in range(100):
        cap.answered()
    assert cap.value == 8
    for second in range(20, 30):
        cap.overloaded(float(second))
    assert cap.value == 1
