"""gRPC and gRPC-Web through the same port."""

from __future__ import annotations

import asyncio
import struct
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import httpx
import pytest

from services.runtime.statuses import from_rpc_error
from sightmill.v1 import (
    analyzer_pb2,
    analyzer_pb2_grpc,
    catalog_pb2,
    catalog_pb2_grpc,
    ingest_pb2,
    ingest_pb2_grpc,
)
from tests.contract.edge.envoy_process import Edge
from tests.contract.edge.upstreams import CATALOG, INGEST, Upstreams

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_unary_calls_reach_their_service(front: Edge) -> None:
    async with grpc.aio.insecure_channel(front.address) as channel:
        catalog = catalog_pb2_grpc.CatalogServiceStub(channel)
        answer = await catalog.GetImage(catalog_pb2.GetImageRequest(name="images/abc"), timeout=10)
        assert answer.image.number == 7


async def test_a_bidi_stream_answers_while_it_is_open(front: Edge) -> None:
    async with grpc.aio.insecure_channel(front.address) as channel, asyncio.timeout(20):
        call = ingest_pb2_grpc.IngestServiceStub(channel).UploadImages()
        for key in ("a", "b"):
            await call.write(ingest_pb2.UploadImagesRequest(header=ingest_pb2.UploadHeader(key=key)))
            answer = await call.read()
            assert isinstance(answer, ingest_pb2.UploadImagesResponse)
            assert answer.key == key
        await call.done_writing()
        assert await call.read() is grpc.aio.EOF


async def test_errors_keep_code_reason_and_facts(front: Edge) -> None:
    async with grpc.aio.insecure_channel(front.address) as channel:
        catalog = catalog_pb2_grpc.CatalogServiceStub(channel)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await catalog.GetImage(catalog_pb2.GetImageRequest(name="images/none"), timeout=10)
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND
    assert from_rpc_error(caught.value).metadata == {"name": "images/none"}


async def test_a_service_that_is_down_is_unavailable_and_not_json(front: Edge) -> None:
    async with grpc.aio.insecure_channel(front.address) as channel:
        analyzer = analyzer_pb2_grpc.AnalyzerServiceStub(channel)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await analyzer.GetAnalyzerInfo(analyzer_pb2.GetAnalyzerInfoRequest(), timeout=10)
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    assert "{" not in (caught.value.details() or "")


async def test_an_unknown_service_is_unimplemented(front: Edge) -> None:
    async with grpc.aio.insecure_channel(front.address) as channel:
        call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary("/other.v1.Service/Call")
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call(b"", timeout=10)
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_a_callers_own_deadline_stays(front: Edge, behind: Upstreams) -> None:
    async with grpc.aio.insecure_channel(front.address) as channel:
        catalog = catalog_pb2_grpc.CatalogServiceStub(channel)
        await catalog.GetImage(catalog_pb2.GetImageRequest(name="images/abc"), timeout=5)
    assert behind.seen.remaining_s is not None
    assert behind.seen.remaining_s < 10, "not the 30 s of a caller without one"


async def test_an_open_stream_has_no_deadline_of_ours(front: Edge, behind: Upstreams) -> None:
    async def headers() -> AsyncIterator[ingest_pb2.UploadImagesRequest]:
        yield ingest_pb2.UploadImagesRequest(header=ingest_pb2.UploadHeader(key="only"))

    async with grpc.aio.insecure_channel(front.address) as channel:
        call = ingest_pb2_grpc.IngestServiceStub(channel).UploadImages(headers())
        assert [answer.key async for answer in call] == ["only"]
        assert call.time_remaining() is None


async def test_reflection_lists_the_services(front: Edge) -> None:
    buf = Path(sys.executable).parent / "buf"
    if not buf.exists():
        pytest.skip("no buf here: install the wheel buf-bin")
    command = [
        str(buf),
        "curl",
        "--protocol",
        "grpc",
        "--http2-prior-knowledge",
        "--list-services",
        front.url,
    ]
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    listed, _ = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == 0
    assert {INGEST, CATALOG} <= set(listed.decode().split())


async def test_grpc_web_unary(web: httpx.AsyncClient) -> None:
    answer = await _post_web(web, catalog_pb2.GetImageRequest(name="images/abc"))
    assert answer.headers["content-type"] == "application/grpc-web+proto"
    frames = _frames(answer.content)
    assert catalog_pb2.GetImageResponse.FromString(frames[0x00]).image.number == 7
    assert b"grpc-status:0" in frames[0x80]


async def test_grpc_web_error_in_trailers(web: httpx.AsyncClient) -> None:
    answer = await _post_web(web, catalog_pb2.GetImageRequest(name="images/none"))
    assert answer.status_code == 200
    trailers = (
        _frames(answer.content).get(0x80, b"") + f"grpc-status:{answer.headers.get('grpc-status')}".encode()
    )
    assert b"grpc-status:5" in trailers, "in the trailers' frame, or in the headers when there is no message"


async def _post_web(web: httpx.AsyncClient, request: catalog_pb2.GetImageRequest) -> httpx.Response:
    message = request.SerializeToString()
    return await web.post(
        f"/{CATALOG}/GetImage",
        content=struct.pack(">BI", 0, len(message)) + message,
        headers={"content-type": "application/grpc-web+proto", "x-grpc-web": "1"},
    )


def _frames(body: bytes) -> dict[int, bytes]:
    """Frames of an answer by their flag: 0 a message, 0x80 the trailers."""
    frames = {}
    while body:
        flag, length = struct.unpack(">BI", body[:5])
        frames[flag] = body[5 : 5 + length]
        body = body[5 + length :]
    return frames
