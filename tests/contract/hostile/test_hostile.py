"""No file takes a service with it: each gets an answer in time and within memory, and the next one, too."""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.contract.hostile.bombs import ANSWERED, REFUSED
from tests.contract.hostile.rooms import MIB, Room
from tests.unit.ingest import pictures

LONGEST_S = 5.0
# What this process may take for one plain image of 50 megapixels, above what it has.
MOST_HERE_BYTES = 640 * MIB
# The limit of the operator, and what a child has before it begins.
MOST_IN_A_CHILD_BYTES = (1_024 + 160) * MIB
HOSTILE = Path(__file__).parents[4] / "shared" / "data" / "hostile"

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux bounds the memory of a child")


@contextmanager
def bounded(room: Room) -> Iterator[None]:
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")
    before_bytes, started_s = _peak_bytes(), time.monotonic()
    yield
    assert time.monotonic() - started_s < LONGEST_S
    assert _peak_bytes() - before_bytes < MOST_HERE_BYTES
    assert room.peak_bytes() < MOST_IN_A_CHILD_BYTES


def _peak_bytes() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) * 1024


@pytest.fixture(scope="module", autouse=True)
def fresh() -> Iterator[None]:
    """What tests before these have loaded (a model library: millions of objects) is not looked through."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(scope="module", autouse=True)
def warm(room: Room) -> None:
    """The start of a child is no part of a decode."""
    assert room.answer(pictures.good("gif")) == (pictures.WIDTH, pictures.HEIGHT)


@pytest.mark.parametrize("name", REFUSED)
def test_bombs_are_refused(name: str, room: Room) -> None:
    data = REFUSED[name]()
    with bounded(room):
        assert isinstance(room.answer(data), str)
    assert room.answer(pictures.good("gif")) == (pictures.WIDTH, pictures.HEIGHT)


@pytest.mark.parametrize("name", ANSWERED)
def test_costly_files_get_an_answer(name: str, room: Room) -> None:
    data = ANSWERED[name]()
    with bounded(room):
        room.answer(data)


@pytest.mark.parametrize("name", pictures.GOOD)
def test_good_files_pass(name: str, room: Room) -> None:
    assert room.answer(pictures.good(name)) == (pictures.WIDTH, pictures.HEIGHT)


@pytest.mark.skipif(not HOSTILE.is_dir(), reason="the collection of hostile files is not here")
def test_hostile_files_get_an_answer_each(room: Room) -> None:
    files = sorted(path for path in HOSTILE.rglob("*") if path.is_file())
    accepted = 0
    for path in files:
        with bounded(room):
            accepted += not isinstance(room.answer(path.read_bytes()), str)
    assert 100 < accepted < len(files) - 50
