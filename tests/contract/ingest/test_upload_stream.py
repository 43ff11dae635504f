"""The protocol of UploadImages, on the wire."""

from __future__ import annotations

import asyncio
import hashlib
import json
from pathlib import Path
from typing import Any

import grpc
import pytest

from services.ingest.intake import UPLOADS
from services.runtime import statuses
from services.runtime.blobs.keys import blob_key
from services.runtime.errors import Reason
from services.runtime.queue.port import WorkQueue
from sightmill.v1 import catalog_pb2, common_pb2
from tests.contract.ingest.conftest import MakeIngest
from tests.contract.ingest.uploads import (
    CHUNK_BYTES,
    FINISH,
    Answer,
    Image,
    Ingest,
    Request,
    broken_off,
    chunk,
    error_of,
    header,
    large_photo,
    photo,
    retry_of,
    whole,
)
from tests.servers.waiting import until


async def pending(queue: WorkQueue) -> int:
    state = await queue.lane_state(UPLOADS)
    assert state
    return state.pending


async def test_an_image_is_stored_catalogued_and_queued(api: Ingest, queue: WorkQueue) -> None:
    data = large_photo()
    assert len(data) > 2 * CHUNK_BYTES
    options = catalog_pb2.ProcessOptions(skip_caption=True)
    fields: dict[str, Any] = {
        "key": "k1",
        "display_name": "/home/me/b\n.bmp",
        "labels": {"album": "summer"},
        "size_bytes": len(data),
        "sha256": hashlib.sha256(data).hexdigest().upper(),
        "options": options,
    }
    (answer,) = await api.upload(whole(data, **fields), metadata=(("x-request-id", "edge-1"),))
    assert (answer.key, answer.index) == ("k1", 0)
    digest = hashlib.sha256(data).hexdigest()
    image = answer.image
    assert (image.state, image.sha256, image.blob_key) == (Image.PENDING, digest, blob_key(digest))
    assert (image.display_name, dict(image.labels), image.size_bytes) == (
        "b.bmp",
        {"album": "summer"},
        len(data),
    )
    assert (image.format, image.width, image.height) == (common_pb2.IMAGE_FORMAT_BMP, 2_000, 1_500)
    assert (image.frame_count, image.color_mode, image.process_options) == (1, "L", options)
    assert api.rooms.catalog.only() == image
    assert api.rooms.catalog.request_ids == ["edge-1"]
    assert await api.blobs.get(image.blob_key, max_bytes=len(data)) == data
    async with queue.lease([UPLOADS], 1) as puller:
        lease = await asyncio.wait_for(anext(puller), 10)
        assert json.loads(lease.payload) == {"image": image.name}
        assert lease.message_id == image.name
        assert lease.headers["x-request-id"] == "edge-1"


async def test_chunks_may_be_cut_anywhere_and_be_empty(api: Ingest) -> None:
    data = photo()
    messages = [header(), chunk(b""), *(chunk(data[at : at + 7]) for at in range(0, len(data), 7)), FINISH]
    (answer,) = await api.upload(messages)
    assert answer.image.sha256 == hashlib.sha256(data).hexdigest()


OUT_OF_ORDER: dict[str, list[Request]] = {
    "chunk first": [chunk(b"x")],
    "finish first": [FINISH],
    "nothing in it": [Request()],
    "header before finish": [header(), header()],
    "header after chunk": [header(), chunk(b"x"), header()],
    "nothing after chunk": [header(), chunk(b"x"), Request()],
    "chunk too large": [header(), chunk(bytes(CHUNK_BYTES + 1)), FINISH],
    "header while a refused image is skipped": [header(size_bytes=2**40), chunk(b"x"), header()],
    "chunk too large while skipping": [header(size_bytes=2**40), chunk(bytes(CHUNK_BYTES + 1)), FINISH],
}


@pytest.mark.parametrize("name", OUT_OF_ORDER)
async def test_messages_out_of_order_end_the_stream_after_what_is_stored_is_answered(
    api: Ingest, name: str
) -> None:
    answers: list[Answer] = []
    good = whole(photo(1), key="good")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await api.upload_into(answers, [*good, *OUT_OF_ORDER[name], *whole(photo(2))])
    error = statuses.from_rpc_error(caught.value)
    assert (caught.value.code(), error.reason) == (grpc.StatusCode.INVALID_ARGUMENT, Reason.INVALID_STREAM)
    (stored,) = [answer for answer in answers if not answer.HasField("error")]
    assert (stored.key, stored.image.state) == ("good", Image.PENDING)
    assert api.rooms.catalog.only().name == stored.image.name


async def test_the_largest_chunk_is_taken(api: Ingest) -> None:
    data = large_photo()[: 2 * CHUNK_BYTES]
    error = await api.refusal(whole(data))
    assert error.reason == Reason.IMAGE_UNDECODABLE, "all of it came; it is half an image"


async def test_a_stream_that_ends_in_an_image_says_so(api: Ingest) -> None:
    first, second = await api.upload([*whole(photo(1), key="a"), header(key="b"), chunk(photo(2)[:100])])
    assert first.image.state == Image.PENDING
    assert (second.key, second.index) == ("b", 1)
    assert error_of(second.error).reason == Reason.UPLOAD_INCOMPLETE
    assert len(api.rooms.catalog.images) == 1


async def test_an_empty_stream_is_fine(api: Ingest) -> None:
    assert await api.upload([]) == []


async def test_bad_images_among_good_ones_are_answered_each(api: Ingest) -> None:
    data = photo(7)
    cases: list[tuple[list[Request], int | None]] = [
        (whole(photo(1), key="good 1"), None),
        (whole(b"no image at all", key="text"), Reason.IMAGE_FORMAT_UNSUPPORTED),
        (whole(b"", key="empty"), Reason.IMAGE_EMPTY),
        (whole(photo(2, "PNG")[:60], key="half"), Reason.IMAGE_UNDECODABLE),
        (whole(photo(3), key="good 2", display_name="liar.png.exe"), None),
        (whole(data, key="size", size_bytes=len(data) + 1), Reason.IMAGE_CHECKSUM_MISMATCH),
        (whole(data, key="digest", sha256="0" * 64), Reason.IMAGE_CHECKSUM_MISMATCH),
        (whole(data, key="huge", size_bytes=2**40), Reason.IMAGE_TOO_LARGE),
        (whole(data, key="label", labels={"NOT OK": "x"}), Reason.INVALID_FIELD),
        (whole(data, key="id", request_id="not ok"), Reason.INVALID_FIELD),
        (whole(photo(4), key="good 3"), None),
    ]
    answers = await api.upload([message for messages, _ in cases for message in messages])
    assert [answer.index for answer in answers] == list(range(len(cases)))
    assert [answer.key for answer in answers] == [messages[0].header.key for messages, _ in cases]
    found = [error_of(answer.error).reason if answer.HasField("error") else None for answer in answers]
    assert found == [reason for _, reason in cases]
    assert len(api.rooms.catalog.images) == 3


async def test_a_key_that_is_too_long_is_refused_and_comes_back_cut(api: Ingest) -> None:
    (answer,) = await api.upload(whole(photo(), key="k" * 500))
    assert answer.key == "k" * 128
    assert error_of(answer.error).metadata == {"field": "key"}


async def test_an_announced_size_is_refused_before_the_bytes_come(make_ingest: MakeIngest) -> None:
    api = await make_ingest("api", ingest_max_bytes=10_000)
    call = api.open_upload()
    await call.write(header(key="large", size_bytes=10_001))
    answer = await asyncio.wait_for(call.read(), 10)
    error = error_of(answer.error)
    assert (error.reason, error.metadata["limit_bytes"]) == (Reason.IMAGE_TOO_LARGE, "10000")
    for message in [chunk(bytes(CHUNK_BYTES)), FINISH, *whole(photo(), key="next")]:
        await call.write(message)
    await call.done_writing()
    answer = await call.read()
    assert (answer.key, answer.index, answer.image.state) == ("next", 1, Image.PENDING)
    assert await call.read() == grpc.aio.EOF


async def test_more_bytes_than_allowed_are_refused_whatever_was_announced(make_ingest: MakeIngest) -> None:
    api = await make_ingest("api", ingest_max_bytes=10_000)
    for announced in (0, 5):
        error = await api.refusal(whole(bytes(10_001), size_bytes=announced))
        assert error.reason == Reason.IMAGE_TOO_LARGE
    data = photo()
    assert (await api.upload_one(data + bytes(10_000 - len(data)))).size_bytes == 10_000


async def test_a_request_id_makes_one_image_of_two_uploads(api: Ingest, queue: WorkQueue) -> None:
    messages = whole(photo(), request_id="again-1")
    first, second = await api.upload([*messages, *messages])
    assert first.image.name == second.image.name == api.rooms.catalog.only().name
    assert await pending(queue) == 1


async def test_what_is_only_stored_is_not_queued(api: Ingest, queue: WorkQueue) -> None:
    image = await api.upload_one(photo(), options=catalog_pb2.ProcessOptions(skip_analysis=True))
    assert image.state == Image.STORED
    assert await pending(queue) == 0


async def test_fifty_images_over_one_stream(api: Ingest, queue: WorkQueue) -> None:
    answers = await api.upload([message for n in range(50) for message in whole(photo(n), key=f"k{n}")])
    assert [(answer.index, answer.key) for answer in answers] == [(n, f"k{n}") for n in range(50)]
    digests = [hashlib.sha256(photo(n)).hexdigest() for n in range(50)]
    assert [answer.image.sha256 for answer in answers] == digests
    assert len({answer.image.name for answer in answers}) == 50
    assert await pending(queue) == 50


async def test_an_answer_comes_while_the_next_image_is_still_on_its_way(api: Ingest) -> None:
    call = api.open_upload()
    for message in [*whole(photo(1), key="first"), header(key="second"), chunk(photo(2)[:50])]:
        await call.write(message)
    assert (await asyncio.wait_for(call.read(), 10)).key == "first"
    call.cancel()


async def test_a_cancelled_stream_leaves_nothing_behind(make_ingest: MakeIngest) -> None:
    api = await make_ingest("api", ingest_spool_bytes=4_096, ingest_max_receiving=1, ingest_max_waiting=0)
    await api.upload_one(photo(1))
    before = len(asyncio.all_tasks())
    for _ in range(3):
        call = api.open_upload()
        await call.write(header(key="a"))
        await call.write(chunk(bytes(CHUNK_BYTES)))
        await until(lambda: spooled_files(api) == 1, "the image goes to disk while it comes in")
        call.cancel()
        await until(lambda: spooled_files(api) == 0, "the file is gone")
    await until(lambda: len(asyncio.all_tasks()) <= before, "no task is left")
    assert list((api.data_dir / "spool").iterdir()) == []
    assert (await api.upload_one(photo(2))).state == Image.PENDING, "the place is free again"


def spooled_files(api: Ingest) -> int:
    folder = str(api.data_dir / "spool")
    count = 0
    for link in Path("/proc/self/fd").iterdir():
        try:
            count += str(link.readlink()).startswith(folder)
        except OSError:  # the listing's own
            continue
    return count


async def test_too_many_at_once_are_refused_each_with_a_time_to_come_back(make_ingest: MakeIngest) -> None:
    api = await make_ingest("api", ingest_max_receiving=1, ingest_max_waiting=0)
    slow = api.open_upload()
    await slow.write(header(key="slow"))
    await slow.write(chunk(photo(1)))
    await until(lambda: api.running.metric("sightmill_rpc_in_flight") == 1, "the first one comes in")
    answers: list[Answer] = []

    async def refused() -> bool:
        answers[:] = await api.upload(whole(photo(2)))
        return answers[0].HasField("error")

    await until(refused, "the second one is refused")
    assert error_of(answers[0].error).reason == Reason.OVERLOADED
    assert retry_of(answers[0].error) > 0
    await slow.write(FINISH)
    await slow.done_writing()
    assert (await slow.read()).image.state == Image.PENDING
    assert (await api.upload_one(photo(3))).state == Image.PENDING


async def test_silence_in_the_middle_of_an_image_ends_the_stream(make_ingest: MakeIngest) -> None:
    api = await make_ingest("api", ingest_chunk_timeout_s=0.05)
    for opening in ([header()], [header(size_bytes=2**40)]):
        call = api.open_upload()
        for message in opening:
            await call.write(message)
        error = statuses.from_rpc_error(await broken_off(call))
        assert error.reason == Reason.INVALID_STREAM
        assert "Nothing came for 0.05 seconds" in error.message


async def test_a_decode_that_takes_too_long_is_given_up(make_ingest: MakeIngest) -> None:
    api = await make_ingest("api", ingest_decode_timeout_s=0.001)
    error = await api.refusal(whole(large_photo()))
    assert (error.reason, error.metadata) == (Reason.IMAGE_DECODE_TIMEOUT, {"limit_seconds": "0.001"})


async def test_a_process_that_drains_ends_idle_streams_and_finishes_images(api: Ingest) -> None:
    idle, busy = api.open_upload(), api.open_upload()
    for message in whole(photo(1)):
        await idle.write(message)
    assert (await idle.read()).image.state == Image.PENDING
    await busy.write(header(key="busy"))
    await busy.write(chunk(photo(2)))
    await until(
        lambda: api.running.metric("sightmill_uploads_in_hand") == 1, "the second image is on its way"
    )
    draining = asyncio.create_task(api.running.drain())
    error = statuses.from_rpc_error(await broken_off(idle))
    assert (error.reason, error.retry_after_s) == (Reason.DRAINING, 0.5)
    assert not draining.done()
    await busy.write(FINISH)
    answer = await busy.read()
    assert (answer.key, answer.image.state) == ("busy", Image.PENDING)
    assert statuses.from_rpc_error(await broken_off(busy)).reason == Reason.DRAINING
    await asyncio.wait_for(draining, 5)
