"""Something that failed is left alone, and then tried by one."""

from __future__ import annotations

import asyncio

import pytest

from services.captioner.records.port import RecordsAwayError
from services.captioner.records.rest import REST_S, Rest
from tests.unit.captioner.warp import run_warped


def test_after_a_failure_one_may_try_at_a_time() -> None:
    async def work() -> None:
        rest = Rest()
        rest.enter()
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
