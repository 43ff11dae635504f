"""Groups of what pairs connect."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from services.catalog.looks.connected import connect

PAIRS = st.lists(st.tuples(st.integers(1, 40), st.integers(1, 40)), max_size=60)


def walk(pairs: list[tuple[int, int]]) -> list[list[int]]:
    """The same, one group after the other."""
    groups: dict[int, set[int]] = {}
    for one, other in pairs:
        merged = groups.get(one, {one}) | groups.get(other, {other})
        for member in merged:
            groups[member] = merged
    return sorted(
        (sorted(group) for group in {id(group): group for group in groups.values()}.values()), key=max
    )


@settings(deadline=None)
@given(PAIRS)
def test_groups_are_disjoint_whole_and_newest_first(pairs: list[tuple[int, int]]) -> None:
    found = connect(np.array([p[0] for p in pairs], np.int64), np.array([p[1] for p in pairs], np.int64))
    expected = walk(pairs)[::-1]
    assert [found[place] for place in range(len(found))] == expected
    assert found.highest.tolist() == [max(group) for group in expected]


@settings(deadline=None)
@given(PAIRS, st.integers(0, 45))
def test_a_place_is_found_by_the_number_above_it(pairs: list[tuple[int, int]], number: int) -> None:
    found = connect(np.array([p[0] for p in pairs], np.int64), np.array([p[1] for p in pairs], np.int64))
    assert found.place_below(number) == sum(max(group) >= number for group in walk(pairs))


def test_a_long_chain_in_any_order_is_one_group() -> None:
    order = np.random.default_rng(5).permutation(np.arange(1, 20_000))
    groups = connect(order, order + 1)
    assert len(groups) == 1
    assert groups[0] == list(range(1, 20_001))
