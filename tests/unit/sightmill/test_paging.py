"""Pages and pauses: the parts of the client that need no server."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from sightmill.errors import SightmillError
from sightmill.paging import pages
from sightmill.retries import delay_s


async def test_a_token_that_leads_back_to_itself_ends_the_list_with_an_error() -> None:
    async def fetch(token: str) -> tuple[Sequence[int], str]:
        return [1], "again"

    items = pages(fetch)
    assert [await anext(items), await anext(items)] == [1, 1]
    with pytest.raises(SightmillError, match="page token"):
        await anext(items)


async def test_the_next_page_is_fetched_only_when_it_is_needed() -> None:
    fetched: list[str] = []

    async def fetch(token: str) -> tuple[Sequence[int], str]:
        fetched.append(token)
        return [1, 2], "next"

    async for item in pages(fetch):
        if item == 2:
            break
    assert fetched == [""]


def test_pauses_double_to_a_bound_and_half_of_them_is_chance() -> None:
    longest = [delay_s(attempt, None, lambda: 1.0) for attempt in range(8)]
    assert longest == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.6, 2.0, 2.0, 2.0])
    assert delay_s(2, None, lambda: 0.0) == pytest.approx(0.2)
    assert delay_s(10_000, None, lambda: 1.0) == 2.0


def test_a_pause_is_never_shorter_than_the_server_asked_for() -> None:
    assert delay_s(0, 3.0) == 3.0
