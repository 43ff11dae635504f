"""The ledger of batches in SQLite. The port's docstrings are the spec."""

from __future__ import annotations

import sqlite3
import uuid
from collections.abc import Sequence

from services.catalog.ledger import books
from services.catalog.ledger.model import (
    Applied,
    BatchChange,
    BatchPage,
    BatchQuery,
    BatchRecord,
    ChunkRecord,
    ItemOutcome,
    ItemPage,
    ItemRecord,
    NewBatch,
    NewItem,
    chunk_not_found,
    item_not_found,
)
from services.catalog.ledger.rules import (
    appends_again,
    check_change,
    check_items,
    check_kinds,
    check_new_batch,
    check_outcomes,
    check_page,
    check_part,
    check_revision,
    check_rows,
    check_same_request,
)
from services.catalog.ledger.states import BatchState, ItemState, Verdict, check_retry, stored
from services.catalog.ledger.store import ONLY_FAILED
from services.catalog.names import NameSource
from services.catalog.sqlite import ledger_batches as batches
from services.catalog.sqlite import ledger_items as items_of
from services.catalog.sqlite.database import SqliteDatabase


class SqliteLedger:
    """``LedgerStore`` on the database that the catalog's stores share."""

    def __init__(self, database: SqliteDatabase) -> None:
        self._database = database
        self._names = NameSource()

    async def create_batch(self, new: NewBatch, request_id: str) -> tuple[BatchRecord, bool]:
        """See ``LedgerStore``."""
        check_new_batch(new, request_id)

        def change(connection: sqlite3.Connection) -> tuple[BatchRecord, bool]:
            if known := batches.find_request(connection, request_id):
                check_same_request(new, known)
                return known, False
            if new.parent:
                parent = batches.read_batch(connection, new.parent)
                parts = batches.count_parts(connection, new.parent)
                check_part(new, parent, parts, batches.count_parts(connection, new.parent, new.part_number))
            now_us = self._database.now_us()
            record = books.open_batch(new, request_id, self._names.next_uuid(now_us), now_us)
            batches.insert_batch(connection, record)
            return record, True

        return await self._database.change(change)

    async def append_items(
        self, batch: uuid.UUID, items: Sequence[NewItem], first_row: int | None = None
    ) -> BatchRecord:
        """See ``LedgerStore``."""
        check_items(items)

        def change(connection: sqlite3.Connection) -> BatchRecord:
            record = batches.read_batch(connection, batch)
            if appends_again(record, len(items), first_row):
                return record
            now_us, number = self._database.now_us(), batches.number_of(connection, batch)
            chunks = items_of.insert_items(connection, number, record.progress.total + 1, items, now_us)
            return batches.write_batch(connection, (record, books.grow(record, len(items), chunks)), now_us)

        return await self._database.change(change)

    async def get_batch(self, batch: uuid.UUID) -> BatchRecord:
        """See ``LedgerStore``."""
        return await self._database.read(lambda connection: batches.read_batch(connection, batch))

    async def list_batches(self, query: BatchQuery, size: int, after: uuid.UUID | None = None) -> BatchPage:
        """See ``LedgerStore``."""
        check_page(size)
        found = await self._database.read(
            lambda connection: batches.list_batches(connection, query, size + 1, after)
        )
        return BatchPage(tuple(found[:size]), found[size - 1].uuid if len(found) > size else None)

    async def get_item(self, batch: uuid.UUID, row: int) -> ItemRecord:
        """See ``LedgerStore``."""

        def read(connection: sqlite3.Connection) -> ItemRecord:
            state, number = batches.read_batch(connection, batch).state, batches.number_of(connection, batch)
            for item in items_of.read_items(connection, number, [row], state):
                return item
            raise item_not_found(batch, row)

        return await self._database.read(read)

    async def list_items(
        self, batch: uuid.UUID, states: frozenset[ItemState], size: int, after: int = 0
    ) -> ItemPage:
        """See ``LedgerStore``."""
        check_page(size)

        def read(connection: sqlite3.Connection) -> list[ItemRecord]:
            state, number = batches.read_batch(connection, batch).state, batches.number_of(connection, batch)
            kept = stored(states, state) if states else None
            return items_of.list_items(connection, number, kept, size + 1, after, state)

        found = await self._database.read(read)
        return ItemPage(tuple(found[:size]), found[size - 1].row if len(found) > size else None)

    async def change_batch(self, batch: uuid.UUID, change: BatchChange, revision: int | None) -> BatchRecord:
        """See ``LedgerStore``."""
        check_change(change)

        def apply(connection: sqlite3.Connection) -> BatchRecord:
            record = batches.read_batch(connection, batch)
            check_revision(record, revision)
            return self._write(connection, record, books.edit(record, change))

        return await self._database.change(apply)

    async def start_batch(self, batch: uuid.UUID) -> BatchRecord:
        """See ``LedgerStore``."""
        return await self._move(batch, books.start)

    async def pause_batch(self, batch: uuid.UUID) -> BatchRecord:
        """See ``LedgerStore``."""
        return await self._move(batch, books.pause)

    async def resume_batch(self, batch: uuid.UUID) -> BatchRecord:
        """See ``LedgerStore``."""
        return await self._move(batch, books.resume)

    async def cancel_batch(self, batch: uuid.UUID) -> BatchRecord:
        """See ``LedgerStore``."""
        return await self._move(batch, books.cancel)

    async def retry_batch(
        self, batch: uuid.UUID, rows: Sequence[int] = (), kinds: frozenset[ItemState] = ONLY_FAILED
    ) -> tuple[BatchRecord, int]:
        """See ``LedgerStore``."""
        check_kinds(rows, kinds)
        record = await self.get_batch(batch)
        if not record.batch.part_count:
            return await self._retry(batch, rows, kinds)
        count = 0
        for part in books.parts_to_retry(record, await self._parts(batch), rows, kinds):
            count += (await self._retry(part.uuid, (), kinds))[1]
        return await self.get_batch(batch), count

    async def delete_batch(self, batch: uuid.UUID) -> None:
        """See ``LedgerStore``."""
        parts = await self._parts(batch)
        for part in parts:
            books.check_delete(part)
        for part in parts:
            await self._delete(part.uuid)
        await self._delete(batch)

    async def get_chunk(self, batch: uuid.UUID, number: int) -> tuple[ChunkRecord, list[ItemRecord]]:
        """See ``LedgerStore``."""

        def read(connection: sqlite3.Connection) -> tuple[ChunkRecord, list[ItemRecord]]:
            state, owner = batches.read_batch(connection, batch).state, batches.number_of(connection, batch)
            chunk = items_of.find_chunk(connection, owner, number)
            if chunk is None:
                raise chunk_not_found(batch, number)
            return chunk, items_of.read_items(connection, owner, chunk.rows, state)

        return await self._database.read(read)

    async def list_missing_chunks(
        self, batch: uuid.UUID, before_us: int, size: int, after: int = 0
    ) -> list[ChunkRecord]:
        """See ``LedgerStore``."""
        check_page(size)

        def read(connection: sqlite3.Connection) -> list[ChunkRecord]:
            if not batches.read_batch(connection, batch).state.is_active:
                return []
            number = batches.number_of(connection, batch)
            return items_of.list_missing(connection, number, before_us, size, after)

        return await self._database.read(read)

    async def apply_chunk(
        self, batch: uuid.UUID, chunk: int, generation: int, outcomes: Sequence[ItemOutcome]
    ) -> Applied:
        """See ``LedgerStore``."""
        check_outcomes(outcomes)

        def change(connection: sqlite3.Connection) -> Applied:
            record = batches.find_batch(connection, batch)
            if record is None:
                return Applied(Verdict.STALE, None)
            number = batches.number_of(connection, batch)
            known = items_of.find_chunk(connection, number, chunk)
            verdict = books.judge_chunk(record, known, generation)
            if known is None or verdict is not Verdict.APPLIED:
                return Applied(verdict, record, _open_successor(connection, number, known, verdict))
            check_rows(outcomes, known)
            return self._apply(connection, record, number, known, outcomes)

        return await self._database.change(change)

    async def _parts(self, batch: uuid.UUID) -> list[BatchRecord]:
        return await self._database.read(lambda connection: batches.read_parts(connection, batch))

    def _write(self, connection: sqlite3.Connection, before: BatchRecord, after: BatchRecord) -> BatchRecord:
        return batches.write_batch(connection, (before, after), self._database.now_us())

    async def _move(self, batch: uuid.UUID, verb: books.Verb) -> BatchRecord:
        def change(connection: sqlite3.Connection) -> BatchRecord:
            record = batches.read_batch(connection, batch)
            if not record.batch.part_count:
                return self._write(connection, record, verb(record))
            moves = books.move_parts(record, batches.read_parts(connection, batch), verb)
            return batches.write_parts(connection, record, moves, self._database.now_us())

        return await self._database.change(change)

    async def _retry(
        self, batch: uuid.UUID, rows: Sequence[int], kinds: frozenset[ItemState]
    ) -> tuple[BatchRecord, int]:
        def change(connection: sqlite3.Connection) -> tuple[BatchRecord, int]:
            record = batches.read_batch(connection, batch)
            check_retry(record.state, kinds)
            number, now_us = batches.number_of(connection, batch), self._database.now_us()
            revived = 0
            if record.state is BatchState.CANCELLED:
                revived = items_of.revive_chunks(connection, number, now_us)
            ended: dict[ItemState, list[int]] = {
                state: items_of.reopen_items(connection, number, rows, state, now_us)
                for state in (ItemState.SUCCEEDED, ItemState.FAILED)
                if state in kinds
            }
            again = books.run_again(record, ended, revived, now_us)
            for chunk in again.chunks:
                items_of.insert_chunk(connection, number, chunk)
            return self._write(connection, record, again.record) if again.count else record, again.count

        return await self._database.change(change)

    async def _delete(self, batch: uuid.UUID) -> None:
        def change(connection: sqlite3.Connection) -> None:
            record = batches.read_batch(connection, batch)
            books.check_delete(record)
            items_of.drop_items(connection, batches.number_of(connection, batch))
            batches.drop_batch(connection, record, self._database.now_us())

        await self._database.change(change)

    def _apply(
        self,
        connection: sqlite3.Connection,
        record: BatchRecord,
        number: int,
        chunk: ChunkRecord,
        outcomes: Sequence[ItemOutcome],
    ) -> Applied:
        now_us = self._database.now_us()
        after, successor = books.add_outcomes(record, chunk, outcomes, now_us)
        items_of.mark_done(connection, number, chunk, successor.number if successor else 0, now_us)
        items_of.write_outcomes(connection, number, outcomes, now_us)
        if successor:
            items_of.insert_chunk(connection, number, successor)
        return Applied(Verdict.APPLIED, self._write(connection, record, after), successor)


def _open_successor(
    connection: sqlite3.Connection, batch: int, chunk: ChunkRecord | None, verdict: Verdict
) -> ChunkRecord | None:
    if chunk is None or verdict is not Verdict.DUPLICATE:
        return None
    successor = items_of.find_chunk(connection, batch, chunk.successor)
    return successor if successor and successor.done_time_us is None else None
