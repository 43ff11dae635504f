"""Bytes of an upload: counted, digested, bounded, and gone afterwards."""

from __future__ import annotations

import hashlib
import resource
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.ingest.spool import Spool
from services.runtime.errors import InvalidArgumentError, Reason, ResourceExhaustedError

LIMIT_BYTES = 10_000
MEMORY_BYTES = 100


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    with Spool(tmp_path, LIMIT_BYTES, MEMORY_BYTES) as opened:
        yield opened


@contextmanager
def full_disk(room_bytes: int) -> Iterator[None]:
    """No file of this process may be larger."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(chunks=st.lists(st.binary(max_size=300), max_size=10))
def test_what_comes_in_comes_out(tmp_path: Path, chunks: list[bytes]) -> None:
    with Spool(tmp_path, LIMIT_BYTES, MEMORY_BYTES) as spool:
        for chunk in chunks:
            spool.write(chunk)
        whole = b"".join(chunks)
        assert spool.size_bytes == len(whole)
        assert spool.sha256 == hashlib.sha256(whole).hexdigest()
        assert spool.read() == spool.read() == whole


def test_the_limit_is_inclusive_and_named(spool: Spool) -> None:
    spool.write(bytes(LIMIT_BYTES - 1))
    spool.write(b"x")
    with pytest.raises(InvalidArgumentError) as caught:
        spool.write(b"x")
    assert caught.value.reason == Reason.IMAGE_TOO_LARGE
    assert caught.value.metadata == {"limit_bytes": str(LIMIT_BYTES)}
    assert spool.size_bytes == LIMIT_BYTES, "what is over the limit is not kept"


def test_an_announced_size_over_the_limit_is_refused_before_the_bytes(spool: Spool) -> None:
    spool.announce(LIMIT_BYTES)
    with pytest.raises(InvalidArgumentError) as caught:
        spool.announce(LIMIT_BYTES + 1)
    assert caught.value.reason == Reason.IMAGE_TOO_LARGE


def open_files_in(folder: Path) -> list[str]:
    found = []
    for link in Path("/proc/self/fd").iterdir():
        with suppress(OSError):  # the listing's own
            found.append(str(link.readlink()))
    return [target for target in found if target.startswith(str(folder))]


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="open files are read from /proc")
def test_many_bytes_go_to_a_file_without_a_name_that_goes_away(tmp_path: Path) -> None:
    spool = Spool(tmp_path, LIMIT_BYTES, MEMORY_BYTES)
    spool.write(bytes(MEMORY_BYTES))
    assert open_files_in(tmp_path) == [], "few bytes stay in memory"
    spool.write(b"x")
    assert len(open_files_in(tmp_path)) == 1
    assert list(tmp_path.iterdir()) == [], "nobody can open it by name"
    assert spool.read() == bytes(MEMORY_BYTES) + b"x"
    spool.close()
    assert open_files_in(tmp_path) == []


def test_an_error_while_it_is_open_closes_it(tmp_path: Path) -> None:
    def fail(spool: Spool) -> None:
        with spool:
            spool.write(bytes(500))
            raise KeyError

    spool = Spool(tmp_path, LIMIT_BYTES, MEMORY_BYTES)
    with pytest.raises(KeyError):
        fail(spool)
    with pytest.raises(ValueError, match="closed"):
        spool.read()


def test_a_full_disk_is_said_and_leaves_nothing(tmp_path: Path) -> None:
    def fill(spool: Spool) -> bytes:
        spool.write(bytes(1_000_000))
        return spool.read()

    spool = Spool(tmp_path, 10_000_000, MEMORY_BYTES)
    with full_disk(4_096), pytest.raises(ResourceExhaustedError) as caught:
        fill(spool)
    assert caught.value.reason == Reason.STORAGE_FULL
    assert caught.value.retry_after_s
    spool.close()
    assert list(tmp_path.iterdir()) == []


def test_bytes_that_nobody_wants_need_no_room(tmp_path: Path) -> None:
    spool = Spool(tmp_path, LIMIT_BYTES, MEMORY_BYTES)
    spool.write(bytes(MEMORY_BYTES + 1))
    spool.write(bytes(500))
    with full_disk(MEMORY_BYTES + 1):
        spool.close()
    assert list(tmp_path.iterdir()) == []
