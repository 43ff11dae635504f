"""Backup of a catalog file while it is in use, and restore of one while it is not.

A backup is a plain SQLite file of the same version: whole or absent, checked, and good to be restored by this
version or a later one. The bytes of images are in the blob store, which has backups of its own.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path

from services.catalog.sqlite.faults import typed_fault
from services.catalog.sqlite.schema import open_reader, read_number, refuse_unsound
from services.runtime.errors import FailedPreconditionError, NotFoundError, Reason

Progress = Callable[[int, int], None]
"""Takes the pages that are left, and all of them."""
_PAGES_A_STEP = 4_096


def back_up(source: Path, target: Path, progress: Progress) -> None:
    """Writes the catalog as it is at this moment to a new file.

    Writers go on meanwhile. Raises ``NotFoundError`` where there is no catalog, ``FailedPreconditionError``
    where the target exists, ``DataLossError(DATA_DAMAGED)`` when the copy does not pass the check.
    """
    if not source.is_file():
        raise NotFoundError(Reason.STORE_UNAVAILABLE, f"There is no catalog at {source}; nothing to back up.")
    if target.exists():
        raise _wrong_state(f"{target} exists; a backup never overwrites. Name another file.", "exists")
    temporary = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        with _typed_faults(), closing(open_reader(source)) as reader, closing(_open_copy(temporary)) as copy:
            # One view for all steps: without it every write to the catalog would start the copy anew.
            reader.execute("BEGIN")
            read_number(reader, "SELECT count(*) FROM sqlite_schema")
            _copy(reader, copy, progress)
        _check(temporary)
        _keep(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


def restore(backup: Path, target: Path, progress: Progress) -> Path | None:
    """Puts a backup in the place of the catalog; returns where the former one is kept, if there was one.

    Raises ``FailedPreconditionError`` while a process has the catalog open, ``NotFoundError`` where there is
    no backup, and what ``refuse_unsound`` says of one that is damaged, foreign or of a later version.
    """
    if not backup.is_file():
        raise NotFoundError(Reason.STORE_UNAVAILABLE, f"There is no file {backup}; nothing to restore.")
    _check(backup)
    if target.is_file():
        refuse_in_use(target)
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        with _typed_faults(), closing(open_reader(backup)) as reader, closing(_open_copy(temporary)) as copy:
            _copy(reader, copy, progress)
        former = _move_aside(target)
        _keep(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)
    return former


def _check(path: Path) -> None:
    with _typed_faults(), closing(open_reader(path)) as reader:
        refuse_unsound(reader, path)


@contextmanager
def _typed_faults() -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as fault:
        raise typed_fault(fault) or fault from fault


def _copy(reader: sqlite3.Connection, copy: sqlite3.Connection, progress: Progress) -> None:
    reader.backup(copy, pages=_PAGES_A_STEP, progress=lambda _, left, total: progress(left, total))
    # The copy stands alone: no log beside it.
    copy.execute("PRAGMA journal_mode = DELETE")


def _open_copy(path: Path) -> sqlite3.Connection:
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    return sqlite3.connect(path, isolation_level=None)


def _keep(temporary: Path, target: Path) -> None:
    """Gives a finished file its name, durably."""
    with temporary.open("rb") as file:
        os.fsync(file.fileno())
    temporary.replace(target)
    folder = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def refuse_in_use(target: Path) -> None:
    """Raises ``FailedPreconditionError(WRONG_STATE)`` while a process has the file open."""
    # Leaving the write-ahead log takes a lock that no other connection may share. It also folds the log in,
    # so that the file that is kept is whole.
    with closing(sqlite3.connect(target, isolation_level=None, timeout=0)) as connection:
        try:
            mode = connection.execute("PRAGMA journal_mode = DELETE").fetchone()[0]
        except sqlite3.OperationalError:
            mode = "in use"
        except sqlite3.DatabaseError:
            return  # damaged: the more reason to restore
    if mode != "delete":
        raise _wrong_state(f"{target} is in use; stop the suite first (sightmill down).", "in use")


def _move_aside(target: Path) -> Path | None:
    if not target.exists():
        return None
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%f")
    former = target.with_name(f"{target.name}.before-{stamp}")
    target.replace(former)
    for suffix in ("-wal", "-shm"):
        log = target.with_name(target.name + suffix)
        if log.exists():
            log.replace(former.with_name(former.name + suffix))
    return former


def _wrong_state(message: str, state: str) -> FailedPreconditionError:
    return FailedPreconditionError(Reason.WRONG_STATE, message, state=state)
