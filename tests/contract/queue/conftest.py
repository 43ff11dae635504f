"""A real broker and a queue on it, for each test."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from services.runtime.queue.jetstream_queue import open_queue
from services.runtime.queue.options import QueueOptions
from services.runtime.queue.port import WorkQueue
from tests.servers.nats_server import NatsServer, nats_server


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[NatsServer]:
    async with nats_server(tmp_path) as running:
        yield running


@pytest.fixture
def options(server: NatsServer) -> QueueOptions:
    return QueueOptions(servers=(server.url,), token=SecretStr(server.token), attempt_s=1.0)


@pytest.fixture
async def queue(options: QueueOptions) -> AsyncIterator[WorkQueue]:
    before = {task.get_name() for task in asyncio.all_tasks()}
    opened = open_queue(options)
    await opened.ping(5.0)
    yield opened
    await opened.close()
    left = asyncio.all_tasks() - {asyncio.current_task()}
    assert not {task for task in left if task.get_name() not in before}, "The queue left tasks behind."


@pytest.fixture
async def other(options: QueueOptions) -> AsyncIterator[WorkQueue]:
    """A second process's view of the same broker."""
    opened = open_queue(options)
    await opened.ping(5.0)
    yield opened
    await opened.close()
