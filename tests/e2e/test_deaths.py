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
    suite: Suite, many_small_photos: list[bytes], victim: str
) -> None:
    # What follows the end of a JPEG is no part of the picture, but makes other bytes of it.
    photos = [photo + victim.encode() for photo in many_small_photos]
    async with Client(suite.address, timeout_s=60) as client:
        before = await counts(client)
        uploading = asyncio.create_task(upload_all(client, photos))
        await until(lambda: _finished(client, before, 20), "the first photos are processed", DEADLINE_S)
        old = suite.pid(victim)
        os.kill(old, signal.SIGKILL)
        images = await uploading
        await until(lambda: _finished(client, before, len(photos)), "all are processed", DEADLINE_S)
        after = await counts(client)
        digests = [image.sha256 async for image in client.list_images()]
    assert len({image.name for image in images}) == len(photos)
    for image in images:
        assert digests.count(image.sha256) == 1, "none lost, none doubled"
    assert after["PROCESSED"] - before.get("PROCESSED", 0) == len(photos)
    assert after["analyses"] - before["analyses"] == 2 * len(photos), "insights and a caption each, once"
    await until(lambda: suite.process(victim).state == "ready", f"{victim} is back", 30)
    assert suite.pid(victim) != old, "the launcher started it again"


async def _finished(client: Client, before: dict[str, int], count: int) -> bool:
    found = await counts(client)
    done = sum(found.get(state, 0) - before.get(state, 0) for state in ("PROCESSED", "FAILED"))
    return done >= count
