"""The end of an edge: what has begun is finished."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx

from sightmill.launcher.probes import EnvoyDrain, HttpProbe
from tests.contract.edge.envoy_process import edge
from tests.contract.edge.upstreams import upstreams


async def test_a_call_in_flight_is_finished_before_the_drain_is_over(tmp_path: Path) -> None:
    async with upstreams() as behind:
        ports = {"gateway": behind.gateway, "ingest": behind.ingest, "catalog": behind.catalog}
        async with (
            edge(tmp_path, **ports) as front,
            httpx.AsyncClient(base_url=front.url) as web,
            asyncio.timeout(30),
        ):
            async with web.stream("GET", "/v1/images/abc:watch") as answer:
                lines = answer.aiter_lines()
                await anext(lines)
                drain = asyncio.create_task(EnvoyDrain(front.admin, timeout_s=20).drain())
                await asyncio.wait([drain], timeout=0.5)
                assert not drain.done(), "a watch is still open"
                behind.seen.release.set()
                assert '"final":true' in await anext(lines)
            await drain


async def test_a_watch_that_never_ends_does_not_hold_the_drain_up(tmp_path: Path) -> None:
    async with upstreams() as behind:
        ports = {"gateway": behind.gateway, "ingest": behind.ingest, "catalog": behind.catalog}
        async with edge(tmp_path, **ports) as front, httpx.AsyncClient(base_url=front.url) as web:
            assert (await HttpProbe(front.admin, "/ready").ask({})).is_ready
            async with web.stream("GET", "/v1/images/abc:watch"), asyncio.timeout(10):
                await EnvoyDrain(front.admin, timeout_s=0.5).drain()
            behind.seen.release.set()


async def test_an_envoy_that_is_gone_is_no_problem() -> None:
    await EnvoyDrain("127.0.0.1:1", timeout_s=5).drain()
    report = await HttpProbe("127.0.0.1:1", "/ready").ask({})
    assert (report.is_ready, report.problems) == (False, ("not listening yet",))
