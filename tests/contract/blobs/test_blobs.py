"""What every blob store does."""

from __future__ import annotations

import asyncio
import hashlib
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil
import pytest

from services.runtime.blobs.keys import blob_key
from services.runtime.blobs.port import Blobs
from services.runtime.errors import InvalidArgumentError, NotFoundError, Reason

_MB = 1_000_000


async def _keys(blobs: Blobs, prefix: str = "") -> set[str]:
    return {info.key async for info in blobs.list(prefix)}


async def _streamed(blobs: Blobs, key: str, *args: int) -> list[bytes]:
    return [piece async for piece in blobs.stream(key, *args)]


@pytest.mark.parametrize("size_bytes", [0, 1, 300_000, 9 * _MB])
async def test_what_is_put_comes_back(blobs: Blobs, size_bytes: int) -> None:
    data = (b"0123456789" * (size_bytes // 10 + 1))[:size_bytes]
    key = blob_key(hashlib.sha256(data).hexdigest())
    assert await blobs.put(key, data)
    assert await blobs.get(key, size_bytes) == data
    assert b"".join(await _streamed(blobs, key)) == data
    info = await blobs.head(key)
    assert info
    assert (info.key, info.size_bytes) == (key, size_bytes)
    assert abs(info.modified - datetime.now(UTC)) < timedelta(minutes=1)


async def test_a_put_again_changes_nothing_unless_it_is_told_to(blobs: Blobs, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_bytes(b"other")
    assert await blobs.put("a/b", b"first")
    assert not await blobs.put("a/b", b"second")
    assert not await blobs.put_file("a/b", other)
    assert await blobs.get("a/b", 10) == b"first"
    assert await blobs.put("a/b", b"third", overwrite=True)
    assert await blobs.get("a/b", 10) == b"third"
    assert await blobs.put_file("a/b", other, overwrite=True)
    assert await blobs.get("a/b", 10) == b"other"


async def test_of_many_writers_of_one_key_one_stores_it(blobs: Blobs) -> None:
    new = await asyncio.gather(*(blobs.put("same/key", b"%02d" % n * 1000) for n in range(20)))
    assert new.count(True) == 1
    winner = new.index(True)
    assert await blobs.get("same/key", 2000) == b"%02d" % winner * 1000
    assert await _keys(blobs) == {"same/key"}


async def test_a_file_is_stored_in_bounded_memory(blobs: Blobs, tmp_path: Path) -> None:
    path = tmp_path / "huge.bin"
    with path.open("wb") as file:
        file.truncate(300 * _MB)
    process, peak, done = psutil.Process(), [0], threading.Event()
    before = process.memory_info().rss

    def watch() -> None:
        while not done.wait(0.01):
            peak[0] = max(peak[0], process.memory_info().rss)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        assert await blobs.put_file("huge", path)
    finally:
        done.set()
        watcher.join()
    assert peak[0] - before < 120 * _MB
    info = await blobs.head("huge")
    assert info
    assert info.size_bytes == 300 * _MB


async def test_a_big_file_streams_in_even_pieces(blobs: Blobs, big_file: Path) -> None:
    assert await blobs.put_file("big", big_file)
    data = await asyncio.to_thread(big_file.read_bytes)
    pieces = await _streamed(blobs, "big")
    assert b"".join(pieces) == data
    assert {len(piece) for piece in pieces[:-1]} == {262_144}
    assert 0 < len(pieces[-1]) <= 262_144


@pytest.mark.parametrize(
    ("chunk_bytes", "start", "end"),
    [(1000, 0, 1), (1000, 4_194_000, 4_195_000), (262_144, 19_999_999, 30_000_000), (5_000_000, 3, None)],
)
async def test_a_range_streams_exactly(
    blobs: Blobs, big_file: Path, chunk_bytes: int, start: int, end: int | None
) -> None:
    await blobs.put_file("big", big_file)
    pieces = [piece async for piece in blobs.stream("big", chunk_bytes, start, end)]
    assert b"".join(pieces) == (await asyncio.to_thread(big_file.read_bytes))[start:end]
    assert all(len(piece) <= chunk_bytes for piece in pieces)


async def test_a_range_past_the_end_is_empty(blobs: Blobs) -> None:
    await blobs.put("a", b"abc")
    assert await _streamed(blobs, "a", 10, 3) == []
    assert await _streamed(blobs, "a", 10, 2, 2) == []


async def test_what_is_not_there_is_named(blobs: Blobs) -> None:
    await blobs.put("folder/x", b"x")
    for key in ("missing", "folder", "folder/x/y"):
        assert await blobs.head(key) is None
        with pytest.raises(NotFoundError) as caught:
            await blobs.get(key, 10)
        assert caught.value.reason == Reason.BLOB_NOT_FOUND
        assert caught.value.metadata["key"] == key
        with pytest.raises(NotFoundError):
            await _streamed(blobs, key)


async def test_a_blob_larger_than_the_caller_takes_is_refused(blobs: Blobs) -> None:
    await blobs.put("a", bytes(11))
    with pytest.raises(InvalidArgumentError) as caught:
        await blobs.get("a", 10)
    assert caught.value.metadata["limit_bytes"] == "10"


async def test_deleting_takes_what_is_there(blobs: Blobs) -> None:
    keys = [f"d/{n}" for n in range(1100)]
    await asyncio.gather(*(blobs.put(key, b"x") for key in keys[:30]))
    await blobs.delete([*keys, "never/there", "d/1/deeper", "d"])
    await blobs.delete([])
    assert await _keys(blobs) == set()
    assert await blobs.put("d/1", b"again")


async def test_a_list_goes_by_whole_segments(blobs: Blobs) -> None:
    for key in ("ab/1", "ab/c/2", "abc/3", "x"):
        await blobs.put(key, key.encode())
    assert await _keys(blobs) == {"ab/1", "ab/c/2", "abc/3", "x"}
    assert await _keys(blobs, "ab") == await _keys(blobs, "ab/") == {"ab/1", "ab/c/2"}
    assert await _keys(blobs, "nothing") == set()
    sizes = {info.key: info.size_bytes async for info in blobs.list("x")}
    assert sizes in ({}, {"x": 1})


async def test_a_list_of_more_than_a_page_is_whole(blobs: Blobs) -> None:
    keys = {f"l/{n:04}" for n in range(1205)}
    for start in range(0, 1205, 64):
        await asyncio.gather(*(blobs.put(key, b"") for key in sorted(keys)[start : start + 64]))
    assert await _keys(blobs, "l") == keys


@pytest.mark.parametrize(
    "key",
    ["", "/a", "a/", "a//b", "..", "a/../b", "a/./b", ".incoming/x", "A", "a b", "a\\b", "a%2e", "ä", "a\n",
     "a?x=1", "a#1", "x" * 201, "/".join(["abcdefg"] * 70)],
)  # fmt: skip
async def test_a_key_that_is_none_is_refused_everywhere(blobs: Blobs, key: str, tmp_path: Path) -> None:
    calls = [
        blobs.put(key, b""),
        blobs.put_file(key, tmp_path),
        blobs.get(key, 1),
        blobs.head(key),
        blobs.delete([key]),
        anext(aiter(blobs.stream(key))),
    ]
    for call in calls:
        with pytest.raises(InvalidArgumentError) as caught:
            await call
        assert caught.value.reason == Reason.INVALID_NAME
    with pytest.raises(InvalidArgumentError):
        blobs.local_path(key)
    if key:
        with pytest.raises(InvalidArgumentError):
            await _keys(blobs, key.rstrip("/") + "/../x")


async def test_a_source_that_is_missing_is_no_missing_blob(blobs: Blobs, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        await blobs.put_file("a", tmp_path / "missing")


async def test_ping_answers(blobs: Blobs) -> None:
    await blobs.ping()
    await blobs.put("a", b"x")
    await blobs.ping()
