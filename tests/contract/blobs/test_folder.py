"""What only a folder does."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from services.runtime.blobs.obstore_blobs import open_blobs
from services.runtime.blobs.options import BlobOptions
from services.runtime.errors import InvalidArgumentError, Reason, ResourceExhaustedError, UnavailableError

_PUT_TWO = """
import asyncio, pathlib, sys
from services.runtime.blobs.obstore_blobs import open_blobs
async def main():
    blobs = open_blobs(pathlib.Path(sys.argv[1]).as_uri())
    await blobs.put("sha256/aa/bb/one", b"1")
    await blobs.put("sha256/aa/bb/one", b"1")
    await blobs.close()
asyncio.run(main())
"""


def _files(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}


async def test_a_process_may_read_the_file_itself(tmp_path: Path) -> None:
    blobs = open_blobs(tmp_path.as_uri())
    path = blobs.local_path("a/b")
    await blobs.put("a/b", b"bytes")
    assert path
    assert path.read_bytes() == b"bytes"
    assert _files(tmp_path) == {"a/b"}
    await blobs.close()


async def test_a_full_disk_is_named_and_leaves_nothing(tmp_path: Path) -> None:
    blobs = open_blobs(tmp_path.as_uri())
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(ResourceExhaustedError) as caught:
            await blobs.put("big", bytes(1_000_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert caught.value.reason == Reason.STORAGE_FULL
    assert _files(tmp_path) == set()
    assert await blobs.put("big", bytes(1_000_000))
    await blobs.close()


async def test_a_folder_that_went_away_is_unavailable(tmp_path: Path) -> None:
    blobs = open_blobs((tmp_path / "store").as_uri())
    await blobs.ping()
    shutil.rmtree(tmp_path / "store")
    for call in (blobs.ping(), blobs.put("a", b"x")):
        with pytest.raises(UnavailableError) as caught:
            await call
        assert caught.value.reason == Reason.BLOBS_UNAVAILABLE
    assert not (tmp_path / "store").exists()  # an unmounted disk is not replaced by a folder
    await blobs.close()


async def test_a_write_that_hangs_ends_by_its_deadline(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    blobs = open_blobs((tmp_path / "store").as_uri(), BlobOptions(timeout_s=0.3))
    start_s = time.monotonic()
    with pytest.raises(UnavailableError):
        await blobs.put_file("a", pipe)
    assert time.monotonic() - start_s < 1.5
    os.close(os.open(pipe, os.O_WRONLY))  # lets the thread end
    await blobs.close()


async def test_what_killed_writers_left_is_cleared_and_never_listed(tmp_path: Path) -> None:
    await open_blobs(tmp_path.as_uri()).close()
    old, young = tmp_path / ".incoming" / "old#0", tmp_path / ".incoming" / "young#0"
    for left in (old, young):
        left.write_bytes(b"x")
    os.utime(old, (0, 0))
    blobs = open_blobs(tmp_path.as_uri())
    assert (old.exists(), young.exists()) == (False, True)
    assert [info async for info in blobs.list()] == []
    await blobs.close()


@pytest.mark.parametrize("key", ["a/b/c", "a"])
async def test_a_key_that_is_the_folder_of_another_is_refused(tmp_path: Path, key: str) -> None:
    blobs = open_blobs(tmp_path.as_uri())
    await blobs.put("a/b", b"x")
    for overwrite in (False, True):
        with pytest.raises(InvalidArgumentError) as caught:
            await blobs.put(key, b"y", overwrite=overwrite)
        assert caught.value.reason == Reason.INVALID_NAME
    assert _files(tmp_path) == {"a/b"}
    await blobs.close()


@pytest.mark.skipif(not shutil.which("strace"), reason="strace is not installed")
def test_a_put_is_synced_before_it_returns(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    command = [
        "strace",
        "-f",
        "-y",
        "-e",
        "trace=fsync,link,linkat",
        "-o",
        str(trace),
        sys.executable,
        "-c",
        _PUT_TWO,
    ]
    subprocess.run([*command, str(tmp_path / "store")], check=True, timeout=60)
    calls = [line for line in trace.read_text().splitlines() if str(tmp_path) in line]
    kinds = [
        "file" if ".incoming" in line and "fsync" in line else "link" if "link" in line else "folder"
        for line in calls
    ]
    # Three new folders in their parents, the file, its name, the folder; then the folder for the second put.
    assert kinds == ["folder"] * 3 + ["file", "link", "folder", "folder"]


@pytest.mark.parametrize(
    "url",
    ["file:relative", "file://host/x", "file:///x?y=1", "/plain", "s3:///x", "s3://key:secret@bucket", "gs://x",
     "s3://bucket?access_key_id=x"],
)  # fmt: skip
def test_a_url_that_is_none_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(ValueError, match="A blob URL is") as caught:
        open_blobs(url)
    assert url not in str(caught.value)
