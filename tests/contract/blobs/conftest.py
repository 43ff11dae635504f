"""The same suite over a folder and over a real S3 server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from services.runtime.blobs.obstore_blobs import open_blobs
from services.runtime.blobs.options import BlobOptions
from services.runtime.blobs.port import Blobs
from tests.servers.s3_server import S3Server, s3_server


@pytest.fixture
async def s3(tmp_path: Path) -> AsyncIterator[S3Server]:
    async with s3_server(tmp_path) as running:
        yield running


@pytest.fixture(params=["folder", "bucket"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "folder":
        return (tmp_path / "a folder").as_uri()
    server: S3Server = request.getfixturevalue("s3")
    return f"s3://{server.bucket}/a-prefix?endpoint={server.url}"


@pytest.fixture
def options(url: str, request: pytest.FixtureRequest) -> BlobOptions:
    if url.startswith("file:"):
        return BlobOptions(timeout_s=10.0)
    return s3_options(request.getfixturevalue("s3"))


def s3_options(server: S3Server, secret: str = "", timeout_s: float = 10.0) -> BlobOptions:
    return BlobOptions(
        timeout_s=timeout_s,
        access_key_id=SecretStr(server.access_key_id),
        secret_access_key=SecretStr(secret or server.secret_access_key),
        allow_http=True,
    )


@pytest.fixture
async def blobs(url: str, options: BlobOptions) -> AsyncIterator[Blobs]:
    opened = open_blobs(url, options)
    yield opened
    await opened.close()


@pytest.fixture
def big_file(tmp_path: Path) -> Path:
    """20 MB whose every piece is different."""
    path = tmp_path / "big.bin"
    path.write_bytes(b"".join(n.to_bytes(4, "big") for n in range(5_000_000)))
    return path
