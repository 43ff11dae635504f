"""How much of a minute a key has left, by our own count and by what answers say."""

from __future__ import annotations

from services.captioner.lanes.rate_window import MAX_ENTRIES, RateLimit, RateWindow, Slot
from services.captioner.provider import Limits


def call(
    window: RateWindow, start: float, end: float, tokens: int = 10, limits: Limits | None = None
) -> None:
    slot = window.take(tokens, start)
    window.keep(slot, tokens, end)
    window.learn(slot, limits or Limits(), end)


def test_a_slot_is_free_a_minute_after_the_answer() -> None:
    window = RateWindow(RateLimit(requests=2))
    call(window, 100.0, 103.0)
    in_flight = window.take(10, 104.0)

    assert window.used(110.0) == (2, 20)
    assert window.opens_at(10, 110.0) == 163.0
    assert window.opens_at(10, 162.9) == 163.0
    assert window.opens_at(10, 163.0) == 163.0
    assert window.used(163.0) == (1, 10)
    window.keep(in_flight, 10, 400.0)
    assert window.used(459.9) == (1, 10)
    assert window.used(460.0) == (0, 0)


def test_a_window_full_of_calls_in_flight_waits_for_them() -> None:
    window = RateWindow(RateLimit(requests=1))
    slot = window.take(10, 100.0)

    assert window.opens_at(10, 100.0) is None
    window.give_back(slot)
    assert window.opens_at(10, 100.0) == 100.0


def test_tokens_are_estimated_in_flight_and_corrected_afterwards() -> None:
    window = RateWindow(RateLimit(tokens=1_000))
    slot = window.take(900, 100.0)

    assert window.opens_at(200, 100.0) is None
    window.keep(slot, 300, 101.0)
    assert window.used(101.0) == (1, 300)
    assert window.opens_at(700, 101.0) == 101.0
    assert window.opens_at(701, 101.0) == 161.0


def test_several_calls_must_end_before_a_large_one_fits() -> None:
    window = RateWindow(RateLimit(tokens=1_000))
    for end in (101.0, 102.0, 103.0):
        call(window, 100.0, end, tokens=300)

    assert window.opens_at(100, 110.0) == 110.0
    assert window.opens_at(400, 110.0) == 161.0
    assert window.opens_at(500, 110.0) == 162.0


def test_a_call_larger_than_the_limit_fits_when_nothing_else_is_there() -> None:
    window = RateWindow(RateLimit(tokens=1_000))

    assert window.opens_at(5_000, 100.0) == 100.0
    call(window, 100.0, 101.0, tokens=5_000)
    assert window.opens_at(5_000, 120.0) == 161.0
    assert window.opens_at(1, 120.0) == 161.0


def test_limits_are_learnt_and_the_lower_one_holds() -> None:
    told = Limits(requests=60, requests_left=59, tokens=50_000, tokens_left=49_990)
    free, bound = RateWindow(RateLimit()), RateWindow(RateLimit(requests=30, tokens=90_000))
    call(free, 100.0, 101.0, limits=told)
    call(bound, 100.0, 101.0, limits=told)
    call(free, 102.0, 103.0)

    assert free.limit == RateLimit(60, 50_000)
    assert bound.limit == RateLimit(30, 50_000)


def test_what_others_use_of_the_key_is_subtracted_for_a_minute() -> None:
    window = RateWindow(RateLimit())
    call(window, 100.0, 101.0, limits=Limits(requests=60, requests_left=19))

    assert window.used(101.0)[0] == 41
    call(window, 110.0, 111.0, limits=Limits(requests=60, requests_left=18))
    assert window.used(111.0)[0] == 42
    assert window.used(161.0)[0] == 1


def test_tokens_of_others_are_subtracted_too() -> None:
    window = RateWindow(RateLimit())
    call(window, 100.0, 101.0, tokens=1_000, limits=Limits(tokens=50_000, tokens_left=9_000))

    assert window.used(101.0)[1] == 41_000
    assert window.opens_at(10_000, 101.0) == 161.0


def test_calls_at_the_same_time_are_not_taken_for_those_of_others() -> None:
    window = RateWindow(RateLimit())
    slots = [window.take(10, 100.0) for _ in range(4)]
    # The last one was counted first by the provider, and each answer says what was left at that moment.
    for index, left in ((3, 59), (0, 56), (2, 57), (1, 58)):
        window.keep(slots[index], 10, 101.0 + index)
        window.learn(slots[index], Limits(requests=60, requests_left=left), 101.0 + index)

    assert window.used(105.0)[0] == 4


def test_others_are_counted_once_by_answers_that_arrive_together() -> None:
    window = RateWindow(RateLimit())
    slots = [window.take(10, 100.0) for _ in range(3)]
    for slot in slots:
        window.keep(slot, 10, 101.0)
        window.learn(slot, Limits(requests=60, requests_left=37), 101.0)

    assert window.used(102.0)[0] == 23


def test_calls_that_ceased_to_count_on_the_way_are_not_taken_for_those_of_others() -> None:
    window = RateWindow(RateLimit(requests=60))
    call(window, 40.0, 41.0)
    slot = window.take(10, 100.5)
    window.keep(slot, 10, 102.0)
    # The provider still counted the first call when this one arrived; here it is gone by now.
    window.learn(slot, Limits(requests=60, requests_left=58), 102.0)

    assert window.used(102.0)[0] == 1


def test_tokens_beyond_the_estimate_are_not_taken_for_those_of_others() -> None:
    window = RateWindow(RateLimit())
    slot = window.take(100, 100.0)
    window.keep(slot, 700, 101.0)
    window.learn(slot, Limits(tokens=50_000, tokens_left=49_300), 101.0)

    assert window.used(101.0)[1] == 700


def test_a_refusal_without_words_lets_the_limit_be_guessed() -> None:
    window = RateWindow(RateLimit())
    slots = [window.take(10, 100.0) for _ in range(12)]
    for slot in slots[:8]:
        window.keep(slot, 10, 101.0)
    window.give_back(slots[8])
    window.refused(101.0)

    assert window.limit.requests == 8
    for slot in slots[9:]:
        window.keep(slot, 10, 101.5)
    assert window.limit.requests == 11


def test_a_guess_is_tried_out_upwards_once_a_minute() -> None:
    window = RateWindow(RateLimit())
    for _ in range(40):
        call(window, 100.0, 100.5)
    window.refused(101.0)
    limits = []
    for minute in range(3):
        now = 101.0 + 61.0 * (minute + 1)
        while window.opens_at(10, now) == now:
            call(window, now, now)
        limits.append(window.limit.requests)

    assert limits == [44, 52, 72]


def test_what_the_settings_or_the_headers_say_is_not_guessed_over() -> None:
    bound, told = RateWindow(RateLimit(requests=60)), RateWindow(RateLimit())
    for window in (bound, told):
        call(window, 100.0, 101.0, limits=Limits(requests=60, requests_left=59))
        window.refused(101.0)

    assert bound.limit.requests == told.limit.requests == 60


def test_memory_is_bounded_without_a_limit() -> None:
    window = RateWindow(RateLimit())
    for _ in range(MAX_ENTRIES + 500):
        call(window, 100.0, 100.0)

    assert window.used(100.0) == (MAX_ENTRIES, 10 * MAX_ENTRIES)


def test_a_slot_says_what_was_in_use_when_it_was_taken() -> None:
    window = RateWindow(RateLimit())

    assert window.take(7, 1.0) == Slot(7, 0, 0)


def test_what_others_used_is_free_again_when_the_provider_says_so() -> None:
    window = RateWindow(RateLimit())
    call(window, 100.0, 101.0)
    call(window, 110.0, 111.0, limits=Limits(requests=60, requests_left=10, requests_reset_s=20.0))

    assert window.used(111.0)[0] == 50
    assert window.used(131.0)[0] == 2
    assert window.used(161.0)[0] == 1
