"""One Envoy and its upstreams for all tests of the edge."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator

import httpx
import pytest
import pytest_asyncio

from tests.contract.edge.envoy_process import Edge, edge
from tests.contract.edge.upstreams import Upstreams, upstreams


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def behind() -> AsyncIterator[Upstreams]:
    """The servers behind the edge."""
    async with upstreams() as servers:
        yield servers


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def front(behind: Upstreams, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Edge]:
    """The edge; analyzer and captioner are down, and stay down."""
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))  # bound, never listening: a connection is refused
        closed = reserved.getsockname()[1]
        ports = {"gateway": behind.gateway, "ingest": behind.ingest, "catalog": behind.catalog}
        folder = tmp_path_factory.mktemp("edge")
        async with edge(folder, **ports, analyzer=closed, captioner=closed) as envoy:
            yield envoy


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def web(front: Edge) -> AsyncIterator[httpx.AsyncClient]:
    """An HTTP client of the edge."""
    async with httpx.AsyncClient(base_url=front.url, timeout=30) as client:
        yield client
