"""A crash loses no acknowledged chunk, applies none by half, and puts no counter off."""

from __future__ import annotations

import asyncio
import random
import sys
import uuid
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from services.catalog.ledger.model import BatchQuery, BatchRecord, ItemRecord, Progress
from services.catalog.ledger.states import ItemState
from services.catalog.ledger.store import LedgerStore
from services.runtime.errors import Reason, ServiceError
from tests.contract.catalog.ledger_adapters import LETTERS
from tests.contract.catalog.ledger_child import open_place
from tests.servers.mongo_server import MongoServer, mongo_server

# A round ends after at most so many acknowledgements; the test server of "mongo" is slow.
MOST_ACKS = {"sqlite": 40, "mongo": 12}
# More than a worker gets to with so many acknowledgements.
NEWEST = 12
ROUND_TIMEOUT_S = 120.0
_ROOT = Path(__file__).parents[3]
Acks = dict[tuple[uuid.UUID, int], str]


@pytest.mark.timeout(600)
@pytest.mark.parametrize(("kind", "rounds"), [("sqlite", 5), ("mongo", 2)])
async def test_a_crash_leaves_whole_chunks(kind: str, rounds: int, tmp_path: Path) -> None:
    assert await kill_rounds(kind, rounds, tmp_path) > 0


async def kill_rounds(store_kind: str, rounds: int, folder: Path, seed: int = 5) -> int:
    """Kills a process that works on a ledger (and the server of "mongo"), looks at what is left; how many
    chunks were acknowledged in all."""
    chance = random.Random(seed)  # noqa: S311  no secret
    acks: Acks = {}
    async with deployment(store_kind, folder) as (place, server):
        for turn in range(rounds):
            acks |= await crash(store_kind, place, server, chance)
            if server:
                await server.start()
            async with open_place(store_kind, place) as ledger:
                await check(ledger, acks, everything=turn == rounds - 1)
    return len(acks)


@asynccontextmanager
async def deployment(kind: str, folder: Path) -> AsyncIterator[tuple[str, MongoServer | None]]:
    """Where the ledger is, and the server that it needs."""
    if kind == "sqlite":
        yield str(folder), None
    else:
        async with mongo_server(folder) as server:
            yield server.url, server


async def crash(kind: str, place: str, server: MongoServer | None, chance: random.Random) -> Acks:
    """Starts a worker, ends it as a power cut would after some acknowledgements; what it acknowledged."""
    last = chance.randint(1, MOST_ACKS[kind])
    arguments = ("-m", "tests.contract.catalog.ledger_child", kind, place, str(chance.getrandbits(32)))
    process = await asyncio.create_subprocess_exec(
        sys.executable, *arguments, cwd=_ROOT, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    assert process.stdout
    lines: list[bytes] = []
    try:
        async with asyncio.timeout(ROUND_TIMEOUT_S):
            while len(lines) < last and (line := await process.stdout.readline()):
                lines.append(line)
        assert len(lines) == last, process.returncode
    finally:
        if server:
            server.kill()
        if process.returncode is None:
            process.kill()
        rest, errors = await process.communicate()
    assert len(lines) == last, errors.decode()
    return dict(parse(line) for line in [*lines, *rest.splitlines(keepends=True)] if line.endswith(b"\n"))


def parse(line: bytes) -> tuple[tuple[uuid.UUID, int], str]:
    """What an acknowledgement says."""
    _, batch, chunk, letters = line.decode().split()
    return (uuid.UUID(batch), int(chunk)), letters


async def check(ledger: LedgerStore, acks: Acks, *, everything: bool) -> None:
    """Compares batches with their parts, chunks and items: all, or those of the last crash."""
    seen = 0
    after: uuid.UUID | None = None
    while True:
        page = await ledger.list_batches(BatchQuery(), NEWEST, after)
        for record in page.batches:
            if record.batch.part_count:
                await check_parent(ledger, record)
            else:
                seen += await check_items(ledger, record, acks)
        after = page.next
        if after is None or not everything:
            break
    assert seen == len(acks) or not everything


async def check_parent(ledger: LedgerStore, parent: BatchRecord) -> None:
    """A parent is the sum of its parts."""
    page = await ledger.list_batches(BatchQuery(parent=parent.uuid), 10)
    total = Progress()
    for part in page.batches:
        total = total.plus(part.progress)
    assert parent.progress == total


async def check_items(ledger: LedgerStore, record: BatchRecord, acks: Acks) -> int:
    """Counters are what items say, and chunks are whole; how many were acknowledged."""
    found = (await ledger.list_items(record.uuid, frozenset(), 1_000)).items
    states = Counter(item.state for item in found)
    progress = record.progress
    assert progress.total == len(found)
    assert progress.succeeded == states[ItemState.SUCCEEDED]
    assert progress.failed == states[ItemState.FAILED]
    assert progress.retrying == states[ItemState.RETRYING]
    # Each result cost ten tokens, and each item counts its results.
    assert progress.usage.input_tokens == 10 * sum(item.attempt_count for item in found)
    tries: Counter[int] = Counter()
    covered: Counter[int] = Counter()
    last: dict[int, str] = {}
    for number in range(1, record.chunk_count + 1):
        chunk, _ = await ledger.get_chunk(record.uuid, number)
        letters = acks.get((record.uuid, number))
        assert chunk.done_time_us or not letters, f"chunk {number} was acknowledged and is not there"
        (tries if chunk.done_time_us else covered).update(chunk.rows)
        if chunk.done_time_us:
            last |= zip(chunk.rows, letters or "?" * len(chunk.rows), strict=True)
    for item in found:
        assert item.attempt_count == tries[item.row]
        check_item(item, last.get(item.row, "p"))
    waiting = [item.row for item in found if item.state in {ItemState.PENDING, ItemState.RETRYING}]
    assert covered == Counter(waiting)
    with pytest.raises(ServiceError) as refusal:
        await ledger.get_chunk(record.uuid, record.chunk_count + 1)
    assert refusal.value.reason == Reason.BATCH_NOT_FOUND
    return sum(batch == record.uuid for batch, _ in acks)


def check_item(item: ItemRecord, letter: str) -> None:
    """An item has the result that was acknowledged last; p: there was none, ?: nobody heard of it."""
    if letter == "p":
        assert (item.state, item.error) == (ItemState.PENDING, b"")
    elif letter != "?":
        # One that failed may have been opened again.
        again = ItemState.RETRYING if letter == "f" else LETTERS[letter]
        assert item.state in {LETTERS[letter], again}
        assert item.error == (b"" if letter == "s" else f"{letter} {item.row}".encode())
