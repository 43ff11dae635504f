"""SIGTERM: what is in hand is finished or handed back, and the exit is clean."""

from __future__ import annotations

import asyncio
import os
import signal

import psutil
import pytest

from sightmill.client import Client
from sightmill.v1 import catalog_pb2
from tests.servers.suite import Suite
from tests.servers.waiting import until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]


@pytest.mark.parametrize("name", ["ingest", "worker", "analyzer", "captioner", "catalog"])
async def test_a_process_drains_and_its_successor_goes_on(
    suite: Suite, many_photos: list[bytes], name: str
) -> None:
    photos = [photo + name.encode() for photo in many_photos[:20]]
    async with Client(suite.address, timeout_s=60) as client:
        images = [result.unwrap() async for result in client.upload(photos)]
        old = suite.pid(name)
        os.kill(old, signal.SIGTERM)
        await until(lambda: not psutil.pid_exists(old), f"{name} is gone", 30)
        finished = await asyncio.gather(*(client.wait(image, timeout_s=60) for image in images))
        await until(lambda: suite.state.state in {"healthy", "degraded"}, "the suite is whole again", 30)
    assert {image.state for image in finished} == {catalog_pb2.Image.PROCESSED}
    log = (suite.data_dir / "logs" / f"{name}.log").read_text()
    assert '"event": "stopped"' in log, "it ended by itself"
    assert '"event": "cut off"' not in log, "nothing had to be cut off"
