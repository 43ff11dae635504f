"""When gathered calls depart, on a clock that jumps."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from services.captioner.blip.blip_answer import BlipCaption, BlipOutcome
from services.captioner.blip.blip_batches import MAX_BATCH, MAX_WAIT_S, Batches
from tests.unit.captioner.warp import run_warped

TRAVEL_S = 2.0


class Service:
    """Takes two seconds for any number of pictures; notes when it was asked for how many."""

    def __init__(self) -> None:
        self.asked: list[tuple[float, int]] = []
        self._began = asyncio.get_running_loop().time()

    async def send(self, _base_url: str, jpegs: Sequence[bytes]) -> list[BlipOutcome]:
        self.asked.append((asyncio.get_running_loop().time() - self._began, len(jpegs)))
        await asyncio.sleep(TRAVEL_S)
        return [BlipCaption(jpeg.decode()) for jpeg in jpegs]


def depart(*groups: tuple[float, int]) -> list[tuple[float, int]]:
    """Departures as (seconds, pictures) when groups of calls begin at given seconds."""

    async def work() -> list[tuple[float, int]]:
        service = Service()
        batches = Batches(service.send)

        async def call(after_s: float, number: int) -> None:
            await asyncio.sleep(after_s)
            caption = await batches.caption("http://blip", str(number).encode())
            assert caption == BlipCaption(str(number))

        calls = [(after_s, number) for after_s, count in groups for number in range(count)]
        await asyncio.gather(*(call(after_s, number) for after_s, number in calls))
        return [(round(at_s, 4), count) for at_s, count in service.asked]

    return run_warped(work())


def test_a_lone_call_waits_for_company_but_briefly() -> None:
    assert depart((0, 1)) == [(MAX_WAIT_S, 1)]
    assert depart((0, 1), (MAX_WAIT_S / 2, 3)) == [(MAX_WAIT_S, 4)]


def test_a_full_batch_waits_for_nobody() -> None:
    assert depart((0, MAX_BATCH)) == [(0, MAX_BATCH)]


def test_after_an_answer_the_next_batch_departs_at_once() -> None:
    assert depart((0, MAX_BATCH), (1, 2)) == [(0, MAX_BATCH), (TRAVEL_S, 2)]
    assert depart((0, 2 * MAX_BATCH + 1)) == [(0, 16), (TRAVEL_S, 16), (2 * TRAVEL_S, 1)]


def test_an_idle_line_waits_for_company_again() -> None:
    assert depart((0, 2 * MAX_BATCH), (10, 1)) == [(0, 16), (TRAVEL_S, 16), (10 + MAX_WAIT_S, 1)]
