"""Processes die in the middle of 200 photos: every photo ends PROCESSED, each analysed once in effect."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest

from sightmill.client import Client
from sightmill.v1 import catalog_pb2
from tests.servers.suite import PROCESSES, Suite
from tests.servers.waiting import until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]
# A dead worker's leases lapse after 15 s; the rest is analysing 200 photos on a busy machine.
DEADLINE_S = 150


async def counts(client: Client) -> dict[str, int]:
    stats = await client.stats()
    return {count.value: count.count for count in stats.states} | {"analyses": stats.analysis_count}


async def upload_all(client: Client, photos: list[bytes]) -> list[catalog_pb2.Image]:
    """Uploads with a client that sends again what was not answered, as ours does."""
    results = [result async for result in client.upload(photos)]
    return [result.unwrap() for result in results]


@pytest.mark.parametrize("victim", PROCESSES)
async def test_one_process_dies_and_nothing_is_lost(
    fresh_suite: Suite, many_photos: list[bytes], victim: str
) -> None:
    suite = fresh_suite
    async with Client(suite.address, timeout_s=60) as client:
        uploading = asyncio.create_task(upload_all(client, many_photos))
        await until(lambda: _some_processed(client), "the first photos are processed", DEADLINE_S)
        old = suite.pid(victim)
        os.kill(old, signal.SIGKILL)
        images = await uploading
        await until(lambda: _all_processed(client, len(images)), "all are processed", DEADLINE_S)
        after = await counts(client)
        listed = [image.name async for image in client.list_images()]
    assert len({image.name for image in images}) == len(many_photos)
    assert sorted(listed) == sorted(image.name for image in images), "none lost, none doubled"
    assert after["PROCESSED"] == len(many_photos)
    assert after["analyses"] == 2 * len(many_photos), "insights and a caption each, once"
    assert suite.pid(victim) != old, "the launcher started it again"


async def _some_processed(client: Client) -> bool:
    return (await counts(client)).get("PROCESSED", 0) >= 20


async def _all_processed(client: Client, total: int) -> bool:
    found = await counts(client)
    return found.get("PROCESSED", 0) + found.get("FAILED", 0) >= total
