"""Uploads over a real connection: nothing lost, nothing doubled, whatever the stream goes through."""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from collections.abc import AsyncGenerator, Iterable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from sightmill.client import Client
from sightmill.errors import SightmillError
from sightmill.photo import Photo
from sightmill.upload import MAX_TRIES, UploadProgress, UploadResult
from sightmill.v1 import ingest_pb2_grpc
from tests.contract.client.scripted_server import Ingest, ScriptedServer, build_status
from tests.servers.waiting import until

BIG_BYTES = 3 * 1024 * 1024 + 17


def make_files(folder: Path, count: int, size_bytes: int = 300_000) -> list[Path]:
    paths = [folder / f"{index}.jpg" for index in range(count)]
    for index, path in enumerate(paths):
        path.write_bytes(bytes([index]) * size_bytes)
    return paths


async def collect(client: Client, photos: Iterable[Photo | Path | str | bytes]) -> list[UploadResult]:
    results = [result async for result in client.upload(photos)]
    return sorted(results, key=lambda result: result.index)


async def test_files_and_bytes_arrive_whole_in_small_chunks(
    client: Client, server: ScriptedServer, tmp_path: Path
) -> None:
    big = tmp_path / "big.png"
    big.write_bytes(bytes(range(256)) * (BIG_BYTES // 256) + b"x" * (BIG_BYTES % 256))
    seen: list[UploadProgress] = []
    sources: list[Photo | Path | str | bytes] = [
        big,
        b"encoded",
        Photo(b"named", display_name="n.png", labels={"a": "b"}),
    ]
    results = [result async for result in client.upload(sources, on_progress=seen.append)]
    assert sorted(result.index for result in results) == [0, 1, 2]
    assert sorted(server.ingest.contents.values()) == sorted([big.read_bytes(), b"encoded", b"named"])
    assert server.ingest.largest_chunk == 262_144
    named = next(result for result in results if result.index == 2)
    assert named.unwrap().display_name == "n.png"
    assert dict(named.unwrap().labels) == {"a": "b"}
    assert seen[-1] == UploadProgress(BIG_BYTES + 7 + 5, 3)
    assert [step.bytes_sent for step in seen] == sorted(step.bytes_sent for step in seen)


async def test_a_stream_that_breaks_in_the_middle_resumes_without_doubling(
    client: Client, server: ScriptedServer, tmp_path: Path
) -> None:
    paths = make_files(tmp_path, 6)
    server.ingest.break_after = deque([6, 2, 9])
    results = await collect(client, paths)
    assert [result.unwrap().display_name for result in results] == [path.name for path in paths]
    assert len(server.ingest.images) == 6
    assert sorted(server.ingest.contents.values()) == sorted(path.read_bytes() for path in paths)
    assert server.ingest.streams == 4


async def test_an_image_that_was_stored_but_not_answered_is_not_stored_again(
    client: Client, server: ScriptedServer
) -> None:
    server.ingest.break_before_answer = deque([2])
    results = await collect(client, [b"one", b"two", b"three"])
    assert len({result.unwrap().name for result in results}) == 3
    assert len(server.ingest.images) == 3
    assert server.ingest.streams == 2


async def test_a_server_that_answered_and_is_being_restarted_is_waited_for() -> None:
    ingest, streams = Ingest(), 0
    ingest.end_early = deque([1])
    first, port = await started(ingest, 0)
    async with Client(f"127.0.0.1:{port}", timeout_s=30) as client:
        open_stream = client._ingest.UploadImages

        def counted(*arguments: Any, **options: Any) -> Any:
            nonlocal streams
            streams += 1
            return open_stream(*arguments, **options)

        client._ingest.UploadImages = counted  # type: ignore[assignment]
        uploading = client.upload([b"one", b"two", b"three"], max_in_flight=1)
        names = {(await anext(uploading)).unwrap().name}
        await first.stop(None)
        rest = asyncio.create_task(collect_rest(uploading))
        # Each is refused by the machine itself: nobody listens.
        await until(lambda: streams > 2 + MAX_TRIES, "the client keeps trying", 30)
        second, _ = await started(ingest, port)
        names |= {result.unwrap().name for result in await rest}
        await second.stop(None)
    assert len(names) == 3
    assert len(ingest.images) == 3


async def started(ingest: Ingest, port: int) -> tuple[grpc.aio.Server, int]:
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    ingest_pb2_grpc.add_IngestServiceServicer_to_server(ingest, server)
    bound = server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    return server, bound


async def collect_rest(uploading: AsyncGenerator[UploadResult, None]) -> list[UploadResult]:
    return [result async for result in uploading]


async def test_a_stream_that_ends_politely_but_early_is_resumed(
    client: Client, server: ScriptedServer
) -> None:
    server.ingest.end_early = deque([1])
    results = await collect(client, [b"one", b"two", b"three"])
    assert len(results) == 3
    assert server.ingest.streams == 2


async def test_a_bad_image_and_a_missing_file_leave_the_others_alone(
    client: Client, server: ScriptedServer, tmp_path: Path
) -> None:
    bad = build_status(
        grpc.StatusCode.INVALID_ARGUMENT, "IMAGE_UNDECODABLE", "Does not decode; save it again.", limit="5"
    )
    server.ingest.answers["1.jpg"] = deque([bad])
    good, wrong = make_files(tmp_path, 2)
    results = await collect(client, [tmp_path / "gone.jpg", good, wrong, tmp_path])
    missing, stored, refused, folder = results
    assert missing.error is not None
    assert missing.error.reason == "FILE_UNREADABLE"
    assert "No such file" in missing.error.message
    assert stored.unwrap().display_name == "0.jpg"
    assert refused.error is not None
    assert (refused.error.reason, refused.error.metadata) == ("IMAGE_UNDECODABLE", {"limit": "5"})
    assert refused.error.message == "Does not decode; save it again."
    assert folder.error is not None
    assert folder.error.reason == "FILE_UNREADABLE"


async def test_an_image_that_is_refused_at_its_header_is_not_sent_to_the_end(
    client: Client, server: ScriptedServer, tmp_path: Path
) -> None:
    large = tmp_path / "large.tif"
    with large.open("wb") as file:
        file.truncate(400 * 1024 * 1024)
    server.ingest.refuse_at_header.add("large.tif")
    server.ingest.answers["large.tif"] = deque(
        [build_status(grpc.StatusCode.INVALID_ARGUMENT, "IMAGE_TOO_LARGE", "At most 32 MiB.")]
    )
    refused, stored = await collect(client, [large, b"small"])
    assert refused.error is not None
    assert refused.error.reason == "IMAGE_TOO_LARGE"
    assert stored.unwrap().size_bytes == 5
    assert server.ingest.received_bytes < 200 * 1024 * 1024


async def test_a_full_server_gets_the_image_again_when_it_asked_for_it(
    client: Client, server: ScriptedServer
) -> None:
    full = build_status(grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED", "Full.", retry_after_s=0.05)
    server.ingest.answers["a"] = deque([full, full])
    results = await collect(client, [Photo(b"1", "a"), Photo(b"2", "b")])
    assert [result.unwrap().display_name for result in results] == ["a", "b"]
    assert server.ingest.streams == 1
    assert server.ingest.headers == 4


async def test_a_server_that_stays_full_is_given_up(client: Client, server: ScriptedServer) -> None:
    full = build_status(grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED", "Full.", retry_after_s=0.01)
    server.ingest.answers["a"] = deque([full] * 9)
    (result,) = await collect(client, [Photo(b"1", "a")])
    assert result.error is not None
    assert (result.error.reason, result.error.retry_after_s) == ("OVERLOADED", 0.01)
    assert server.ingest.headers == 5


async def test_the_window_bounds_what_is_taken_from_the_caller(
    client: Client, server: ScriptedServer
) -> None:
    server.ingest.released.clear()
    taken: list[int] = []

    def photos() -> Iterator[bytes]:
        for index in range(20):
            taken.append(index)
            yield b"%d" % index

    uploading = asyncio.create_task(_drain(client, photos()))
    async with asyncio.timeout(10):
        while len(taken) < 4 or not server.ingest.images:  # noqa: ASYNC110  two parties, no common event
            await asyncio.sleep(0.01)
    for _ in range(50):
        await asyncio.sleep(0)
    assert len(taken) == 4
    server.ingest.released.set()
    assert await uploading == 20


async def _drain(client: Client, photos: Iterator[bytes]) -> int:
    return len([result async for result in client.upload(photos, max_in_flight=4)])


async def test_nobody_there_is_one_clear_error() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{unused.getsockname()[1]}"
        async with Client(address) as client:
            with pytest.raises(SightmillError) as raised:
                await client.upload_image(b"x")
    assert raised.value.code is grpc.StatusCode.UNAVAILABLE
    assert address in raised.value.message
    assert "sightmill up" in raised.value.message


async def test_a_server_that_never_answers_is_given_up(server: ScriptedServer) -> None:
    server.ingest.released.clear()
    async with Client(server.address, timeout_s=0.2) as client:
        with pytest.raises(SightmillError) as raised:
            await client.upload_image(b"x")
    assert raised.value.code is grpc.StatusCode.DEADLINE_EXCEEDED
    assert len(server.ingest.images) == 1


async def test_the_callers_own_faults_come_back_to_the_caller(client: Client) -> None:
    def photos() -> Iterator[bytes]:
        yield b"one"
        raise LookupError("no more")

    with pytest.raises(LookupError, match="no more"):
        await collect(client, photos())

    def complain(progress: UploadProgress) -> None:
        raise LookupError("no bar")

    with pytest.raises(LookupError, match="no bar"):
        _ = [result async for result in client.upload([b"one"], on_progress=complain)]


async def test_nothing_to_upload_is_no_error(client: Client) -> None:
    assert await collect(client, []) == []
