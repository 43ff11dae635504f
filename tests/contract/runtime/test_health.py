"""Health over gRPC and HTTP, from the start of a service to its end."""

from __future__ import annotations

import asyncio
import json
import urllib.error
import urllib.request
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from services.runtime.process import App
from services.runtime.settings import RuntimeSettings
from services.runtime.status_page import status_page
from tests.contract.runtime.shapes import SERVICE, Shapes
from tests.servers.running_app import RunningApp, running_app
from tests.servers.waiting import until

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


class Dependency:
    """Is there or not."""

    def __init__(self) -> None:
        self.there = False

    async def check(self) -> None:
        if not self.there:
            raise ConnectionError("refused")


@pytest.fixture
def dependency() -> Dependency:
    return Dependency()


@pytest.fixture
async def running(dependency: Dependency) -> AsyncIterator[RunningApp]:
    async def start(app: App[Any]) -> str:
        app.serve(Shapes().register, SERVICE)
        app.reflect("sightmill.v1.CatalogService")
        app.health.add_check("store", dependency.check)
        return "127.0.0.1:0"

    values: dict[str, Any] = {"drain_delay_s": 0, "drain_timeout_s": 5}
    async with running_app("test", RuntimeSettings(**values), start, serving=False) as app:
        yield app


async def state(running: RunningApp, service: str = SERVICE) -> int:
    health = health_pb2_grpc.HealthStub(running.channel)
    return int((await health.Check(health_pb2.HealthCheckRequest(service=service), timeout=5)).status)


async def fetch(url: str) -> tuple[int, str, bytes]:
    def get() -> tuple[int, str, bytes]:
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310  our own server
                return answer.status, answer.headers["Content-Type"], answer.read()
        except urllib.error.HTTPError as refused:
            with refused:
                return refused.code, refused.headers["Content-Type"], refused.read()

    return await asyncio.to_thread(get)


async def test_not_serving_then_serving_then_draining(running: RunningApp, dependency: Dependency) -> None:
    assert await state(running) == await state(running, "") == NOT_SERVING
    dependency.there = True

    async def serves() -> bool:
        return {await state(running), await state(running, "")} == {SERVING}

    await until(serves, "the service serves")
    await running.app.health.drain()
    assert await state(running) == await state(running, "") == NOT_SERVING


async def test_each_dependency_has_a_name_of_its_own(running: RunningApp, dependency: Dependency) -> None:
    async def told() -> bool:
        return bool(
            await state(running, "dependency/store") == (SERVING if dependency.there else NOT_SERVING)
        )

    for dependency.there in (False, True):
        await until(told, f"the store is {'there' if dependency.there else 'away'}")


async def test_who_watches_health_is_told(running: RunningApp, dependency: Dependency) -> None:
    health = health_pb2_grpc.HealthStub(running.channel)
    watching = health.Watch(health_pb2.HealthCheckRequest(service=SERVICE), timeout=10)
    states = aiter(watching)
    assert (await anext(states)).status == NOT_SERVING
    dependency.there = True
    assert (await anext(states)).status == SERVING
    watching.cancel()


async def test_health_of_a_service_that_is_not_here_is_not_found(running: RunningApp) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await state(running, "other.Service")
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND


async def test_reflection_lists_our_services_and_those_of_others(running: RunningApp) -> None:
    async def ask() -> AsyncIterator[Any]:
        yield reflection_pb2.ServerReflectionRequest(list_services="")

    stub = reflection_pb2_grpc.ServerReflectionStub(running.channel)
    (answer,) = [each async for each in stub.ServerReflectionInfo(ask(), timeout=5)]
    names = {service.name for service in answer.list_services_response.service}
    assert {SERVICE, "sightmill.v1.CatalogService", "grpc.health.v1.Health"} <= names


async def test_the_status_page_tells_the_same_over_http(running: RunningApp, dependency: Dependency) -> None:
    with status_page("127.0.0.1:0", running.app.health) as address:
        assert int(address.rpartition(":")[2]) > 0
        await until(lambda: "refused" in json.dumps(running.app.health.report()), "the check has run")
        code, media_type, body = await fetch(f"http://{address}/readyz")
        assert (code, media_type) == (503, "application/json")
        assert json.loads(body)["dependencies"] == {"store": "ConnectionError: refused"}
        assert (await fetch(f"http://{address}/healthz"))[0] == 200, "it lives, although it cannot work"
        dependency.there = True
        await until(lambda: running.app.health.serving, "the service serves")
        assert (await fetch(f"http://{address}/readyz"))[0] == 200
        assert json.loads((await fetch(f"http://{address}/healthz"))[2])["status"] == "serving"
        running.app.health.add_fallback("faces", "Haar")
        assert json.loads((await fetch(f"http://{address}/readyz"))[2])["status"] == "degraded"
        code, media_type, body = await fetch(f"http://{address}/metrics")
        assert code == 200
        assert media_type.startswith("text/plain")
        assert b'sightmill_dependency_up{dependency="store"} 1.0' in body
        assert b"process_resident_memory_bytes" in body
        assert (await fetch(f"http://{address}/nothing"))[0] == 404
    with pytest.raises(urllib.error.URLError):
        await fetch(f"http://{address}/healthz")
