"""Calls over real sockets: forms, pools, bounds, and nothing of a key or an address in an error."""

from __future__ import annotations

import asyncio
import gzip
import shutil
import ssl
import subprocess
import tracemalloc
from pathlib import Path

import pytest

from services.captioner.http_client import HttpClient, Part, open_http_client
from services.captioner.provider import (
    AnswerError,
    ConfigError,
    ProviderError,
    SlowAnswerError,
    TransientError,
)
from tests.contract.captioner.asking import KEY
from tests.servers.providers.fake_provider import Connection, FakeProvider, Received, fake_provider
from tests.servers.providers.replies import holds, sends
from tests.servers.waiting import until


async def test_json_goes_out_as_it_is_and_asks_for_no_compression(
    fake: FakeProvider, http: HttpClient
) -> None:
    fake.script(sends(200, b"{}", X_Limit="7"))

    answer = await http.post_json(fake.url, b'{"a":1}', {"Authorization": f"Bearer {KEY}"}, 20)

    [request] = fake.received
    assert (request.method, request.body) == ("POST", b'{"a":1}')
    assert request.headers["content-type"] == "application/json"
    assert request.headers["accept-encoding"] == "identity"
    assert request.headers["authorization"] == f"Bearer {KEY}"
    assert "cookie" not in request.headers
    assert (answer.status, answer.body, answer.headers["x-limit"]) == (200, b"{}", "7")


async def test_a_form_has_fields_and_several_files(fake: FakeProvider, http: HttpClient) -> None:
    fake.script(sends(200))
    parts = [Part("image", f"{n}.jpg", "image/jpeg", bytes([0xFF, n])) for n in range(2)]

    await http.post_form(fake.url, {"text": "Gr\u00fc\u00dfe"}, parts, {"User-Agent": "other"}, 20)

    [request] = fake.received
    assert request.headers["content-type"].startswith("multipart/form-data; boundary=")
    assert request.headers["user-agent"] == "other"
    assert 'name="text"\r\n\r\nGr\u00fc\u00dfe\r\n'.encode() in request.body
    for part in parts:
        head = f'name="image"; filename="{part.file_name}"\r\nContent-Type: image/jpeg\r\n\r\n'
        assert head.encode() + part.content + b"\r\n" in request.body


async def test_a_form_without_files_is_url_encoded(fake: FakeProvider, http: HttpClient) -> None:
    fake.script(sends(200))

    await http.post_form(fake.url, {"text": "a b&c"}, [], {}, 20)

    assert fake.received[0].headers["content-type"] == "application/x-www-form-urlencoded"
    assert fake.received[0].body == b"text=a+b%26c"


async def test_things_can_be_asked_for(fake: FakeProvider, http: HttpClient) -> None:
    fake.script(sends(404, b"none"))

    answer = await http.get(f"{fake.url}/status/1", {"A": "b"}, 20)

    assert (fake.received[0].method, fake.received[0].path) == ("GET", "/status/1")
    assert (answer.status, answer.body) == (404, b"none")


async def test_neither_redirects_nor_cookies_are_followed(fake: FakeProvider, http: HttpClient) -> None:
    fake.script(sends(307, b"", Location=f"{fake.url}/elsewhere", Set_Cookie="a=b"))

    for _ in range(2):
        assert (await http.post_json(fake.url, b"{}", {}, 20)).status == 307

    assert [request.path for request in fake.received] == ["/", "/"]
    assert "cookie" not in fake.received[1].headers


async def test_pools_hold_as_many_calls_as_were_asked_for(fake: FakeProvider) -> None:
    release = asyncio.Event()
    fake.script(holds(release, sends(200)))
    async with open_http_client(calls=256) as client:
        answers = asyncio.gather(*(client.post_json(fake.url, b"{}", {}, 60) for _ in range(256)))
        await until(lambda: fake.in_flight == 256, "all calls are in flight", timeout_s=30)
        release.set()
        assert {answer.status for answer in await answers} == {200}


async def test_a_bomb_does_not_unfold(fake: FakeProvider, http: HttpClient) -> None:
    fake.script(sends(200, gzip.compress(b" " * 64_000_000), Content_Encoding="gzip"))
    tracemalloc.start()
    try:
        with pytest.raises(AnswerError, match="larger than 2048 KiB") as failed:
            await http.get(fake.url, {}, 20)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert failed.value.may_be_billed
    assert peak_bytes < 16_000_000


async def test_a_proxy_is_asked_instead(fake: FakeProvider) -> None:
    fake.script(sends(200, b"by proxy"))
    async with open_http_client(calls=1, proxy=fake.url) as client:
        answer = await client.get("http://provider.invalid/v1", {}, 20)

    assert answer.body == b"by proxy"
    assert fake.received[0].path == "http://provider.invalid/v1"


async def test_connections_are_used_again(fake: FakeProvider, http: HttpClient) -> None:
    fake.script(sends(200))

    for _ in range(5):
        await http.post_json(fake.url, b"{}", {}, 20)

    assert fake.connections == 1


async def test_an_answer_that_takes_too_long_is_slow_and_may_cost(
    fake: FakeProvider, http: HttpClient
) -> None:
    fake.script(holds(asyncio.Event(), sends(200)))

    with pytest.raises(SlowAnswerError) as failed:
        await http.post_json(fake.url, b"{}", {}, read_timeout_s=0.1)

    assert failed.value.may_be_billed


async def test_a_broken_connection_costs_nothing_once_the_status_was_bad(
    fake: FakeProvider, http: HttpClient
) -> None:
    async def breaks(connection: Connection, _request: Received) -> None:
        connection.writer.write(b"HTTP/1.1 503 x\r\nContent-Length: 99\r\n\r\n{")
        await connection.writer.drain()
        connection.writer.transport.abort()

    fake.script(breaks)

    with pytest.raises(TransientError) as failed:
        await http.post_json(fake.url, b"{}", {}, 20)

    assert not failed.value.may_be_billed


@pytest.mark.parametrize("key", [f"{KEY}\n", f"{KEY}\u00fc", f"{KEY}\r\nX-Other: 1"])
async def test_a_key_that_cannot_be_sent_is_not_quoted(
    key: str, fake: FakeProvider, http: HttpClient
) -> None:
    fake.script(sends(200))

    with pytest.raises(ConfigError) as failed:
        await http.post_json(fake.url, b"{}", {"Authorization": f"Bearer {key}"}, read_timeout_s=5)

    assert KEY not in str(failed.value)
    assert failed.value.__suppress_context__
    assert not fake.received


@pytest.mark.parametrize("url", ["ftp://host/", "http://[::1", "nowhere", "http://127.0.0.1:1/"])
async def test_addresses_are_not_quoted(url: str, http: HttpClient) -> None:
    with pytest.raises(ProviderError) as failed:
        await http.get(url, {}, 5)

    assert "127.0.0.1" not in failed.value.message
    assert url not in failed.value.message
    assert not failed.value.may_be_billed


async def test_only_certificates_of_trust_are_talked_to(tmp_path: Path) -> None:
    certificate, server = _certificate(tmp_path)
    async with fake_provider(server) as fake:
        fake.script(sends(200))
        async with open_http_client(calls=1) as stranger:
            with pytest.raises(TransientError):
                await stranger.post_json(fake.url, b"{}", {"Authorization": f"Bearer {KEY}"}, 20)
        assert not fake.received

        async with open_http_client(calls=1, ca_file=certificate) as friend:
            assert (await friend.post_json(fake.url, b"{}", {}, 20)).status == 200


def _certificate(folder: Path) -> tuple[Path, ssl.SSLContext]:
    """A certificate that signs itself, and a server's context that shows it."""
    if not shutil.which("openssl"):
        pytest.skip("needs the openssl program")
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    names = ["-subj", "/CN=fake", "-addext", "subjectAltName=IP:127.0.0.1"]
    files = ["-keyout", str(key), "-out", str(certificate)]
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *names, *files]
    subprocess.run(command, check=True, capture_output=True, timeout=30)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return certificate, context


async def test_calls_that_are_broken_off_at_any_moment_cost_no_connection(fake: FakeProvider) -> None:
    fake.script(sends(200, b"{}"))
    async with open_http_client(calls=8) as http:
        for steps in range(400):
            call = asyncio.create_task(http.post_json(fake.url, b"{}", {}, 20))
            # Anywhere between the first look at the pool and the end of the answer.
            for _ in range(steps % 40):
                await asyncio.sleep(0)
            call.cancel()
            await asyncio.gather(call, return_exceptions=True)

        answers = await asyncio.gather(*(http.post_json(fake.url, b"{}", {}, 20) for _ in range(8)))

    assert [answer.status for answer in answers] == [200] * 8
