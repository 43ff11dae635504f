"""Spans of a real process reach a collector, and belong to the caller's trace."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc

from sightmill.v1 import captioner_pb2, captioner_pb2_grpc
from tests.servers.waiting import until

ROOT = Path(__file__).parents[3]
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
METHOD = "/sightmill.v1.CaptionerService/ListProviders"


class Collector(trace_service_pb2_grpc.TraceServiceServicer):
    """Keeps what is exported to it."""

    def __init__(self) -> None:
        self.spans: list[Any] = []
        self.services: set[str] = set()

    async def Export(self, request: Any, _context: Any) -> Any:
        for resource in request.resource_spans:
            self.services |= {
                item.value.string_value for item in resource.resource.attributes if item.key == "service.name"
            }
            self.spans += [span for scope in resource.scope_spans for span in scope.spans]
        return trace_service_pb2.ExportTraceServiceResponse()


@pytest.fixture
async def collector() -> AsyncIterator[tuple[Collector, str]]:
    kept, server = Collector(), grpc.aio.server()
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(kept, server)  # type: ignore[no-untyped-call]
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    yield kept, f"127.0.0.1:{port}"
    await server.stop(None)


async def test_a_span_continues_the_callers_trace(collector: tuple[Collector, str], tmp_path: Path) -> None:
    kept, endpoint = collector
    settings = {
        "SIGHTMILL_OTLP_ENDPOINT": endpoint,
        "SIGHTMILL_DATA_DIR": str(tmp_path),
        "SIGHTMILL_CAPTIONER_LISTEN": "127.0.0.1:0",
        "SIGHTMILL_DRAIN_DELAY_S": "0",
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "services.captioner"),
        env={**os.environ, **settings},
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert process.stdout
    try:
        async with asyncio.timeout(30):
            ready = (await process.stdout.readline()).decode()
        address = ready.split("grpc=")[1].split()[0]
        async with grpc.aio.insecure_channel(address) as channel:
            stub: captioner_pb2_grpc.CaptionerServiceAsyncStub = captioner_pb2_grpc.CaptionerServiceStub(
                channel
            )
            traceparent = ("traceparent", f"00-{TRACE}-00f067aa0ba902b7-01")
            await stub.ListProviders(
                captioner_pb2.ListProvidersRequest(), timeout=10, metadata=(traceparent,)
            )
        process.send_signal(signal.SIGTERM)
        await until(lambda: bool(kept.spans), "the spans are exported, at the latest at the end", 20)
        async with asyncio.timeout(20):
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    spans = [span for span in kept.spans if span.name == METHOD]
    assert [span.trace_id.hex() for span in spans] == [TRACE]
    assert kept.services == {"sightmill-captioner"}
