"""POST /v1/images:upload: streamed, in order, with an answer for every file."""

from __future__ import annotations

import asyncio
import hashlib
import json

import httpx
import pytest

from services.runtime.errors import InvalidArgumentError, Reason, ResourceExhaustedError, UnavailableError
from tests.contract.gateway.conftest import Start
from tests.contract.gateway.stand_in import World
from tests.contract.gateway.wire import (
    BOUNDARY,
    FORM_TYPE,
    connected,
    field_part,
    file_part,
    form,
    head,
    post_form,
)
from tests.servers.waiting import until

PATH = "/v1/images:upload"
UNDECODABLE = InvalidArgumentError(Reason.IMAGE_UNDECODABLE, "It does not decode.")


async def test_files_arrive_whole_in_one_stream_in_blocks_of_at_most_256_kib(
    client: httpx.AsyncClient, world: World
) -> None:
    big = bytes(range(256)) * 3_000
    answer = await post_form(client, PATH, file_part("a", "big.png", big), file_part("b", "small.png", b"x"))
    assert answer.status_code == 200
    assert world.streams == 1
    assert [received.digest.hexdigest() for received in world.received] == [
        hashlib.sha256(big).hexdigest(),
        hashlib.sha256(b"x").hexdigest(),
    ]
    assert world.received[0].chunk_sizes == [262_144, 262_144, 768_000 - 2 * 262_144]
    results = answer.json()["results"]
    assert [(result["key"], result["file_name"]) for result in results] == [
        ("a", "big.png"),
        ("b", "small.png"),
    ]
    # 64-bit numbers are text, enums names, empty fields present: as the edge prints them.
    assert results[0]["image"]["size_bytes"] == "768000"
    assert results[0]["image"]["state"] == "PENDING"
    assert results[0]["image"]["batch"] == ""


async def test_fields_hold_for_the_files_after_them(client: httpx.AsyncClient, world: World) -> None:
    await post_form(
        client,
        PATH,
        file_part("f", "plain.png", b"1"),
        field_part("label.album", "Meer"),
        field_part("skip_caption", "true"),
        field_part("request_id", "r-1"),
        file_part("f", "second.png", b"2"),
        field_part("skip_analysis", "1"),
        file_part("f", "third.png", b"3"),
    )
    first, second, third = (received.header for received in world.received)
    assert (dict(first.labels), first.request_id, first.options.skip_caption) == ({}, "", False)
    assert (dict(second.labels), second.request_id, second.options.skip_caption) == (
        {"album": "Meer"},
        "r-1",
        True,
    )
    assert (third.request_id, third.options.skip_caption, third.options.skip_analysis) == ("", True, True)


async def test_a_bad_file_among_good_ones_gets_an_error_of_its_own(
    client: httpx.AsyncClient, world: World
) -> None:
    world.refused["bad.png"] = UNDECODABLE
    answer = await post_form(
        client, PATH, file_part("f", "bad.png", b"no"), file_part("f", "good.png", b"yes")
    )
    assert answer.status_code == 200
    bad, good = answer.json()["results"]
    assert bad["error"]["reason"] == "IMAGE_UNDECODABLE"
    assert bad["error"]["code"] == 3
    assert bad["error"]["http_status"] == 422
    assert bad["error"]["message"] == "It does not decode."
    assert good["image"]["display_name"] == "good.png"


async def test_when_all_fail_the_status_is_that_of_the_first(client: httpx.AsyncClient, world: World) -> None:
    world.refused["a.png"] = InvalidArgumentError(Reason.IMAGE_FORMAT_UNSUPPORTED, "No.")
    world.refused["b.png"] = UNDECODABLE
    answer = await post_form(client, PATH, file_part("f", "a.png", b"1"), file_part("f", "b.png", b"2"))
    assert answer.status_code == 415
    assert len(answer.json()["results"]) == 2


async def test_lines_come_while_the_body_is_still_on_its_way(client: httpx.AsyncClient) -> None:
    one, two = file_part("f", "1.png", b"one"), file_part("f", "2.png", b"two")
    rest = two + f"--{BOUNDARY}--\r\n".encode()
    async with connected(client) as (reader, writer):
        writer.write(
            head(
                "POST",
                PATH,
                f"Content-Length: {len(one) + len(rest)}",
                "Accept: application/x-ndjson",
                f"Content-Type: {FORM_TYPE['Content-Type']}",
            )
            + one
            + rest[:20]
        )
        answered = await asyncio.wait_for(reader.readuntil(b'"1.png"'), 10)
        assert b"200 OK" in answered
        assert b"content-type: application/x-ndjson" in answered.lower()
        writer.write(rest[20:])
        assert b'"2.png"' in await asyncio.wait_for(reader.readuntil(b"\r\n0\r\n\r\n"), 10)


async def test_lines_end_with_the_fault_of_a_broken_body(client: httpx.AsyncClient) -> None:
    body = file_part("f", "1.png", b"one") + b"--frontier\r\nrubbish"
    headers = FORM_TYPE | {"Accept": "application/x-ndjson"}
    answer = await client.post(PATH, content=body, headers=headers)
    lines = [json.loads(line) for line in answer.text.splitlines()]
    assert lines[0]["image"]["display_name"] == "1.png"
    assert lines[1]["error"]["code"] == 3


async def test_lines_for_no_file_say_so(client: httpx.AsyncClient) -> None:
    answer = await post_form(client, PATH, headers={"Accept": "application/x-ndjson"})
    assert "No file" in json.loads(answer.text)["error"]["message"]


async def test_a_fault_of_the_gateway_is_500_and_no_silence(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("in /secret/path")

    monkeypatch.setattr("gateway.multipart.Part.blocks", broken)
    for path in (PATH, "/submit"):
        answer = await post_form(client, path, file_part("file", "a.png", b"1"))
        assert answer.status_code == 500
        assert "secret" not in answer.text


@pytest.mark.parametrize(
    ("body", "content_type", "says"),
    [
        (b"x", "application/json", "boundary"),
        (b"x", "multipart/form-data", "boundary"),
        (b"rubbish", FORM_TYPE["Content-Type"], "not multipart"),
        (b"", FORM_TYPE["Content-Type"], "No file"),
        (form(field_part("label.a", "b")), FORM_TYPE["Content-Type"], "No file"),
        (form(field_part("skip_captions", "true")), FORM_TYPE["Content-Type"], "Unknown field"),
        (form(field_part("skip_caption", "maybe")), FORM_TYPE["Content-Type"], "true or false"),
        (form(field_part("label.a", "b" * 65_537)), FORM_TYPE["Content-Type"], "65536"),
        (form(field_part("label.a" * 1_000, "b")), FORM_TYPE["Content-Type"], "header size"),
        (form(b"--frontier\r\n" + b"A: b\r\n" * 9 + b"\r\nx\r\n"), FORM_TYPE["Content-Type"], "header count"),
        (form(b"--frontier\r\nA: b\r\n\r\nx\r\n"), FORM_TYPE["Content-Type"], "Content-Disposition"),
        (b"x", f"multipart/form-data; boundary={'b' * 300}", "256"),
    ],
)
async def test_a_broken_body_is_a_clear_400(
    client: httpx.AsyncClient, body: bytes, content_type: str, says: str
) -> None:
    answer = await client.post(PATH, content=body, headers={"Content-Type": content_type})
    assert answer.status_code == 400
    assert says in answer.json()["message"]
    assert answer.json()["details"][0]["metadata"]["request_id"] == answer.headers["x-request-id"]


async def test_a_cut_body_keeps_what_was_whole(client: httpx.AsyncClient, world: World) -> None:
    whole, cut = file_part("f", "whole.png", b"w" * 500_000), file_part("f", "cut.png", b"c" * 500_000)
    answer = await client.post(PATH, content=whole + cut[:400_000], headers=FORM_TYPE)
    assert answer.status_code == 400
    assert answer.json()["details"][0]["reason"] == "UPLOAD_INCOMPLETE"
    first, second = answer.json()["results"]
    assert first["image"]["display_name"] == "whole.png"
    assert second["error"]["reason"] == "UPLOAD_INCOMPLETE"
    assert not world.received[1].finished


async def test_ten_thousand_parts_are_refused(client: httpx.AsyncClient, world: World) -> None:
    parts = [field_part("label.a", "b")] * 10_000
    answer = await post_form(client, PATH, *parts)
    assert answer.status_code == 400
    assert "More than 1000 parts" in answer.json()["message"]


async def test_a_file_over_the_bound_ends_the_upload_and_is_never_finished(
    start: Start, world: World
) -> None:
    client = await start(gateway_max_file_bytes=300_000)
    answer = await post_form(
        client, PATH, file_part("f", "ok.png", b"o" * 300_000), file_part("f", "big.png", b"b" * 300_001)
    )
    assert answer.status_code == 413
    assert answer.json()["details"][0]["reason"] == "IMAGE_TOO_LARGE"
    assert answer.json()["results"][0]["image"]["display_name"] == "ok.png"
    assert [received.finished for received in world.received] == [True, False]


async def test_a_body_over_the_bound_is_413(start: Start) -> None:
    client = await start(gateway_max_body_bytes=1_000)
    answer = await post_form(client, PATH, *[file_part("f", "a.png", b"a" * 300)] * 4)
    assert answer.status_code == 413


async def test_the_rest_of_a_refused_file_does_not_travel(client: httpx.AsyncClient, world: World) -> None:
    world.refuse_at_once = True
    world.refused["big.png"] = InvalidArgumentError(Reason.IMAGE_TOO_LARGE, "Too large.")
    body = file_part("f", "big.png", b"b" * 40_000_000)
    answer = await post_form(client, PATH, body)
    assert answer.status_code == 413
    assert world.received[0].finished
    assert world.received[0].size_bytes < 30_000_000


async def test_a_sender_that_goes_away_cancels_the_call(client: httpx.AsyncClient, world: World) -> None:
    async with connected(client) as (_, writer):
        writer.write(
            head("POST", PATH, "Content-Length: 9000000", f"Content-Type: {FORM_TYPE['Content-Type']}")
            + file_part("f", "gone.png", b"g" * 600_000)
        )
        await until(lambda: bool(world.received and world.received[0].chunk_sizes), "the first chunk")
    await asyncio.wait_for(world.cancelled.wait(), 10)
    assert not world.images


async def test_a_silent_sender_is_given_up(start: Start, world: World) -> None:
    client = await start(gateway_idle_timeout_s=0.2)
    async with connected(client) as (reader, writer):
        writer.write(
            head("POST", PATH, "Content-Length: 9000000", f"Content-Type: {FORM_TYPE['Content-Type']}")
            + file_part("f", "slow.png", b"g" * 100)[:-2]
        )
        assert b" 400 " in await asyncio.wait_for(reader.readline(), 10)
    await until(lambda: bool(world.received), "the header")
    assert not world.received[0].finished


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (UnavailableError(Reason.DRAINING, "Going.", retry_after_s=2.5), 503),
        (ResourceExhaustedError(Reason.OVERLOADED, "Full.", retry_after_s=2.5), 429),
    ],
)
async def test_when_ingest_refuses_the_call_everything_is_to_be_sent_again(
    client: httpx.AsyncClient, world: World, error: UnavailableError, status: int
) -> None:
    world.failures["UploadImages"] = error
    answer = await post_form(client, PATH, file_part("f", "a.png", b"1"))
    # grpc.aio loses the status when a write meets it on its way: then it is the general 503.
    known = (answer.status_code, answer.headers["retry-after"]) == (status, "3")
    assert known or (answer.status_code, answer.headers["retry-after"]) == (503, "1")


async def test_without_ingest_the_answer_is_503(start: Start) -> None:
    client = await start(ingest_address="127.0.0.1:1")
    answer = await post_form(client, PATH, file_part("f", "a.png", b"1"))
    assert answer.status_code == 503
    assert answer.json()["details"][0]["reason"] == "SERVICE_UNAVAILABLE"


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("C:\\Bilder\\meer.png", "meer.png"),
        ("../../etc/passwd", "passwd"),
        ("a.png/../../shadow", "shadow"),
        ("nul\x00\x01.png", "nul.png"),
        ("x" * 300 + ".png", "x" * 255),
        ("..", ".."),
    ],
)
async def test_names_are_data(client: httpx.AsyncClient, world: World, sent: str, kept: str) -> None:
    await post_form(client, PATH, file_part("f", sent, b"1"))
    assert world.received[0].header.display_name == kept


async def test_a_name_that_is_not_utf8_is_mended(client: httpx.AsyncClient, world: World) -> None:
    part = file_part("f", "XX.png", b"1").replace(b"XX", b"\xff\xfe")
    assert (await post_form(client, PATH, part)).status_code == 200
    assert world.received[0].header.display_name == "\ufffd\ufffd.png"
