"""The ledger of batches in MongoDB. The port's docstrings are the spec.

What changes a batch writes its record, so that the server lets only one of two such transactions through; the
other one is run again.
"""

from __future__ import annotations

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
from services.catalog.mongo import ledger_batches as batches
from services.catalog.mongo import ledger_items as items_of
from services.catalog.mongo.database import MongoDatabase, Session
from services.catalog.names import NameSource

INDEXES = (*batches.INDEXES, *items_of.INDEXES)


class MongoLedger:
    """``LedgerStore`` on the database that the catalog's stores share."""

    def __init__(self, database: MongoDatabase) -> None:
        self._database = database
        self._names = NameSource()

    async def create_batch(self, new: NewBatch, request_id: str) -> tuple[BatchRecord, bool]:
        """See ``LedgerStore``."""
        check_new_batch(new, request_id)
        database = self._database

        async def change(session: Session) -> tuple[BatchRecord, bool]:
            if known := await batches.find_request(database, session, request_id):
                check_same_request(new, known)
                return known, False
            if new.parent:
                parent = await batches.read_batch(database, session, new.parent)
                parts = await batches.count_parts(database, session, new.parent)
                namesakes = await batches.count_parts(database, session, new.parent, new.part_number)
                check_part(new, parent, parts, namesakes)
            now_us = database.now_us()
            record = books.open_batch(new, request_id, self._names.next_uuid(now_us), now_us)
            await batches.insert_batch(database, session, record)
            return record, True

        return await database.change(change)

    async def append_items(
        self, batch: uuid.UUID, items: Sequence[NewItem], first_row: int | None = None
    ) -> BatchRecord:
        """See ``LedgerStore``."""
        check_items(items)
        database = self._database

        async def change(session: Session) -> BatchRecord:
            record = await batches.read_batch(database, session, batch)
            if appends_again(record, len(items), first_row):
                return record
            now_us, next_row = database.now_us(), record.progress.total + 1
            chunks = await items_of.insert_items(database, session, batch, next_row, items, now_us)
            return await self._write(session, record, books.grow(record, len(items), chunks))

        return await database.change(change)

    async def get_batch(self, batch: uuid.UUID) -> BatchRecord:
        """See ``LedgerStore``."""
        return await self._database.run(lambda: batches.read_batch(self._database, None, batch))

    async def list_batches(self, query: BatchQuery, size: int, after: uuid.UUID | None = None) -> BatchPage:
        """See ``LedgerStore``."""
        check_page(size)
        found = await self._database.run(lambda: batches.list_batches(self._database, query, size + 1, after))
        return BatchPage(tuple(found[:size]), found[size - 1].uuid if len(found) > size else None)

    async def get_item(self, batch: uuid.UUID, row: int) -> ItemRecord:
        """See ``LedgerStore``."""

        async def read() -> ItemRecord:
            state = (await batches.read_batch(self._database, None, batch)).state
            for item in await items_of.read_items(self._database, None, batch, [row], state):
                return item
            raise item_not_found(batch, row)

        return await self._database.run(read)

    async def list_items(
        self, batch: uuid.UUID, states: frozenset[ItemState], size: int, after: int = 0
    ) -> ItemPage:
        """See ``LedgerStore``."""
        check_page(size)

        async def read() -> list[ItemRecord]:
            state = (await batches.read_batch(self._database, None, batch)).state
            kept = stored(states, state) if states else None
            return await items_of.list_items(self._database, batch, kept, size + 1, after, state)

        found = await self._database.run(read)
        return ItemPage(tuple(found[:size]), found[size - 1].row if len(found) > size else None)

    async def change_batch(self, batch: uuid.UUID, change: BatchChange, revision: int | None) -> BatchRecord:
        """See ``LedgerStore``."""
        check_change(change)

        async def apply(session: Session) -> BatchRecord:
            record = await batches.read_batch(self._database, session, batch)
            check_revision(record, revision)
            return await self._write(session, record, books.edit(record, change))

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

        async def read() -> tuple[ChunkRecord, list[ItemRecord]]:
            state = (await batches.read_batch(self._database, None, batch)).state
            chunk = await items_of.find_chunk(self._database, None, batch, number)
            if chunk is None:
                raise chunk_not_found(batch, number)
            return chunk, await items_of.read_items(self._database, None, batch, chunk.rows, state)

        return await self._database.run(read)

    async def list_missing_chunks(
        self, batch: uuid.UUID, before_us: int, size: int, after: int = 0
    ) -> list[ChunkRecord]:
        """See ``LedgerStore``."""
        check_page(size)

        async def read() -> list[ChunkRecord]:
            if not (await batches.read_batch(self._database, None, batch)).state.is_active:
                return []
            return await items_of.list_missing(self._database, batch, before_us, size, after)

        return await self._database.run(read)

    async def apply_chunk(
        self, batch: uuid.UUID, chunk: int, generation: int, outcomes: Sequence[ItemOutcome]
    ) -> Applied:
        """See ``LedgerStore``."""
        check_outcomes(outcomes)

        async def change(session: Session) -> Applied:
            record = await batches.find_batch(self._database, session, batch)
            if record is None:
                return Applied(Verdict.STALE, None)
            known = await items_of.find_chunk(self._database, session, batch, chunk)
            verdict = books.judge_chunk(record, known, generation)
            if known is None or verdict is not Verdict.APPLIED:
                return Applied(verdict, record, await self._open_successor(session, batch, known, verdict))
            check_rows(outcomes, known)
            return await self._apply(session, record, known, outcomes)

        return await self._database.change(change)

    async def _parts(self, batch: uuid.UUID) -> list[BatchRecord]:
        return await self._database.run(lambda: batches.read_parts(self._database, None, batch))

    async def _write(self, session: Session, before: BatchRecord, after: BatchRecord) -> BatchRecord:
        return await batches.write_batch(self._database, session, (before, after), self._database.now_us())

    async def _move(self, batch: uuid.UUID, verb: books.Verb) -> BatchRecord:
        database = self._database

        async def change(session: Session) -> BatchRecord:
            record = await batches.read_batch(database, session, batch)
            if not record.batch.part_count:
                return await self._write(session, record, verb(record))
            moves = books.move_parts(record, await batches.read_parts(database, session, batch), verb)
            return await batches.write_parts(database, session, record, moves, database.now_us())

        return await database.change(change)

    async def _retry(
        self, batch: uuid.UUID, rows: Sequence[int], kinds: frozenset[ItemState]
    ) -> tuple[BatchRecord, int]:
        database = self._database

        async def change(session: Session) -> tuple[BatchRecord, int]:
            record = await batches.read_batch(database, session, batch)
            check_retry(record.state, kinds)
            now_us, revived = database.now_us(), 0
            if record.state is BatchState.CANCELLED:
                revived = await items_of.revive_chunks(database, session, batch, now_us)
            ended: dict[ItemState, list[int]] = {
                state: await items_of.reopen_items(database, session, batch, rows, state, now_us)
                for state in (ItemState.SUCCEEDED, ItemState.FAILED)
                if state in kinds
            }
            again = books.run_again(record, ended, revived, now_us)
            await items_of.insert_chunks(database, session, batch, again.chunks)
            return await self._write(session, record, again.record) if again.count else record, again.count

        return await database.change(change)

    async def _delete(self, batch: uuid.UUID) -> None:
        database = self._database

        async def change(session: Session) -> None:
            record = await batches.read_batch(database, session, batch)
            books.check_delete(record)
            await items_of.drop_items(database, session, batch)
            await batches.drop_batch(database, session, record, database.now_us())

        await database.change(change)

    async def _apply(
        self, session: Session, record: BatchRecord, chunk: ChunkRecord, outcomes: Sequence[ItemOutcome]
    ) -> Applied:
        database, batch, now_us = self._database, record.uuid, self._database.now_us()
        after, successor = books.add_outcomes(record, chunk, outcomes, now_us)
        number = successor.number if successor else 0
        await items_of.mark_done(database, session, batch, chunk, number, now_us)
        await items_of.write_outcomes(database, session, batch, outcomes, now_us)
        await items_of.insert_chunks(database, session, batch, [successor] if successor else [])
        return Applied(Verdict.APPLIED, await self._write(session, record, after), successor)

    async def _open_successor(
        self, session: Session, batch: uuid.UUID, chunk: ChunkRecord | None, verdict: Verdict
    ) -> ChunkRecord | None:
        if chunk is None or verdict is not Verdict.DUPLICATE:
            return None
        successor = await items_of.find_chunk(self._database, session, batch, chunk.successor)
        return successor if successor and successor.done_time_us is None else None
