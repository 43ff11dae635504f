"""Something that failed is left alone, and then tried by one."""

from __future__ import annotations

import asyncio

import pytest

from services.captioner.records.port import RecordsAwayError
from services.captioner.records.rest import FIRST_REST_S, REST_S, Rest
from tests.unit.captioner.warp import run_warped


def test_after_failures_one_may_try_at_a_time() -> None:
    async def work() -> None:
        rest = Rest()
        rest.enter()
        for _ in range(10):
            rest.begin()
        await asyncio.sleep(REST_S - 0.1)
        with pytest.raises(RecordsAwayError):
            rest.enter()
        await asyncio.sleep(0.2)
        rest.enter()
        with pytest.raises(RecordsAwayError):
            rest.enter()
        rest.end()
        rest.enter()
        rest.enter()

    run_warped(work())


def test_a_short_absence_is_over_soon_and_a_long_one_is_known() -> None:
    async def work() -> None:
        rest = Rest()
        rest.begin()
        with pytest.raises(RecordsAwayError):
            rest.enter()
        await asyncio.sleep(FIRST_REST_S)
        rest.enter()
        rest.begin()
        await asyncio.sleep(FIRST_REST_S)
        with pytest.raises(RecordsAwayError):
            rest.enter()
        assert rest.away_s == 2 * FIRST_REST_S
        rest.end()
        assert rest.away_s == 0.0

    run_warped(work())
