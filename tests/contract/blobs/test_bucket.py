"""What only a bucket does."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable

import pytest

from services.runtime.blobs.obstore_blobs import open_blobs
from services.runtime.blobs.port import Blobs
from services.runtime.errors import Reason, UnavailableError
from tests.contract.blobs.conftest import s3_options
from tests.servers.s3_server import S3Server

_CALLS: dict[str, Callable[[Blobs], Awaitable[object]]] = {
    "ping": lambda blobs: blobs.ping(),
    "put": lambda blobs: blobs.put("a", b"x"),
    "overwrite": lambda blobs: blobs.put("a", b"x", overwrite=True),
    "get": lambda blobs: blobs.get("a", 10),
    "head": lambda blobs: blobs.head("a"),
    "delete": lambda blobs: blobs.delete(["a"]),
    "list": lambda blobs: anext(aiter(blobs.list())),
}


async def _fails(call: Callable[[Blobs], Awaitable[object]], blobs: Blobs, within_s: float) -> str:
    start_s = time.monotonic()
    with pytest.raises(UnavailableError) as caught:
        await call(blobs)
    assert time.monotonic() - start_s < within_s
    assert caught.value.reason == Reason.BLOBS_UNAVAILABLE
    assert caught.value.retry_after_s
    return str(caught.value)


@pytest.mark.parametrize("name", _CALLS)
async def test_a_server_that_is_away_is_unavailable_and_found_again(s3: S3Server, name: str) -> None:
    blobs = open_blobs(f"s3://{s3.bucket}?endpoint={s3.url}", s3_options(s3, timeout_s=2.0))
    await blobs.put("a", b"x")
    s3.kill()
    text = await _fails(_CALLS[name], blobs, 3.0)
    assert "127.0.0.1" not in text
    await s3.start()
    await _CALLS[name](blobs)


async def test_wrong_credentials_are_not_taken_and_not_shown(s3: S3Server) -> None:
    blobs = open_blobs(f"s3://{s3.bucket}?endpoint={s3.url}", s3_options(s3, "not-the-secret"))
    for name in ("ping", "put", "get", "list"):
        text = await _fails(_CALLS[name], blobs, 5.0)
        assert "not-the-secret" not in text
        assert s3.access_key_id not in text


async def test_a_missing_bucket_does_not_pass_for_an_empty_one(s3: S3Server) -> None:
    blobs = open_blobs(f"s3://missing?endpoint={s3.url}", s3_options(s3))
    for name in ("ping", "put"):
        await _fails(_CALLS[name], blobs, 5.0)


async def test_a_bucket_has_no_files(s3: S3Server) -> None:
    assert open_blobs(f"s3://{s3.bucket}?endpoint={s3.url}", s3_options(s3)).local_path("a") is None


def test_options_never_show_their_secrets(s3: S3Server) -> None:
    assert s3.secret_access_key not in repr(s3_options(s3))
    assert s3.access_key_id not in repr(s3_options(s3))
