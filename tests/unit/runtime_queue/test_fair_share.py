"""Weighted turns."""

from __future__ import annotations

from collections import Counter

from services.runtime.queue.fair_share import FairShare


def _share(**weights: int) -> FairShare:
    share = FairShare()
    for name, weight in weights.items():
        share.set(name, weight)
    return share


def test_turns_follow_the_weights_at_every_moment() -> None:
    share = _share(a=10, b=3, c=1)
    taken: Counter[str] = Counter()
    for turn in range(1, 1401):
        taken[share.take("abc")] += 1
        for name, weight in (("a", 10), ("b", 3), ("c", 1)):
            assert abs(taken[name] - turn * weight / 14) <= 2
    assert taken == {"a": 1000, "b": 300, "c": 100}


def test_a_name_that_was_idle_is_neither_owed_nor_late() -> None:
    share = _share(big=1, small=1)
    for _ in range(500):
        share.take(["big"])
    turns = [share.take(["big", "small"]) for _ in range(20)]
    assert "small" in turns[:2]
    assert turns.count("small") in {10, 11}


def test_a_name_that_comes_later_starts_level() -> None:
    share = _share(a=1, b=1)
    for _ in range(100):
        share.take("ab")
    share.set("c", 1)
    turns = Counter(share.take("abc") for _ in range(30))
    assert turns == {"a": 10, "b": 10, "c": 10}


def test_of_level_names_the_heavier_goes_first() -> None:
    assert _share(bulk=1, interactive=10).take(["bulk", "interactive"]) == "interactive"


def test_turns_that_brought_nothing_are_not_counted() -> None:
    share = _share(a=1, b=1)
    for _ in range(40):
        if share.take("ab") == "a":
            share.give_back("a")
    turns = Counter(share.take("ab") for _ in range(20))
    assert abs(turns["a"] - turns["b"]) <= 2


def test_a_name_that_was_removed_may_still_be_given_back() -> None:
    share = _share(a=1, b=1)
    share.take("a")
    share.remove("a")
    share.give_back("a")
    assert share.take("b") == "b"


def test_a_weight_changes_while_turns_go_on() -> None:
    share = _share(a=1, b=1)
    for _ in range(10):
        share.take("ab")
    share.set("a", 4)
    turns = Counter(share.take("ab") for _ in range(50))
    assert turns["a"] in {39, 40, 41}
