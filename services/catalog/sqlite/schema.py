"""Opens the database file: refuses what is not a sound catalog of a known version, migrates older ones."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from services.catalog.sqlite.faults import damaged, typed_fault
from services.catalog.sqlite.functions import prepare_reader
from services.catalog.sqlite.rebuild import rebuild_findings
from services.runtime.errors import (
    DataLossError,
    FailedPreconditionError,
    Reason,
    UnavailableError,
)

# "Sigm"; tells a catalog from other SQLite files.
APPLICATION_ID = 0x5369676D
BUSY_TIMEOUT_MS = 5_000
_MIGRATIONS = Path(__file__).parent / "migrations"
# Up to this size the whole file is checked at every start, in about half a second.
_ALWAYS_CHECKED_BYTES = 100_000_000


def open_database(path: Path, max_bytes: int) -> sqlite3.Connection:
    """The writer's connection: migrated, checked, write-ahead log, every commit synced to disk.

    ``max_bytes`` bounds the file, 0 for no bound. Creates the folder for the owner alone when it is missing.
    Raises ``DataLossError(DATA_DAMAGED)``, ``FailedPreconditionError(WRONG_STATE)`` for a file of another
    program or of a later version, ``UnavailableError(STORE_UNAVAILABLE)`` when it cannot be opened.
    """
    try:
        _make_private_folder(path.parent)
        connection = _connect(f"file:{_quoted(path)}?mode=rwc")
    except (OSError, sqlite3.Error) as fault:
        raise _cannot_open(path, fault) from fault
    try:
        _prepare(connection, path)
        if max_bytes:
            page_bytes = read_number(connection, "PRAGMA page_size")
            connection.execute(f"PRAGMA max_page_count = {max(1, max_bytes // page_bytes)}")
    except sqlite3.Error as fault:
        connection.close()
        typed = typed_fault(fault)
        raise (typed if isinstance(typed, DataLossError) else _cannot_open(path, fault)) from fault
    except BaseException:
        connection.close()
        raise
    return connection


def close_database(connection: sqlite3.Connection, *, sound: bool) -> None:
    """Closes the writer's connection; a file that is ``sound`` opens again without a check of all of it."""
    if sound:
        # Where this cannot be written any more, the next start checks everything.
        with suppress(sqlite3.Error):
            connection.execute("UPDATE marks SET value = 0 WHERE name = 'in_use'")
    connection.close()


def open_reader(path: Path) -> sqlite3.Connection:
    """A connection that cannot write."""
    connection = _connect(f"file:{_quoted(path)}?mode=ro")
    prepare_reader(connection)
    connection.execute("PRAGMA query_only = 1")
    return connection


def refuse_unsound(connection: sqlite3.Connection, path: Path) -> None:
    """Looks at all of a file that somebody wants to keep or restore; writes nothing.

    Raises ``FailedPreconditionError(WRONG_STATE)`` for a file that is no catalog or one of a later version,
    ``DataLossError(DATA_DAMAGED)``.
    """
    if read_number(connection, "PRAGMA application_id") != APPLICATION_ID:
        raise FailedPreconditionError(
            Reason.WRONG_STATE, f"{path.name} is no catalog, but a file of another program.", state="foreign"
        )
    _refuse_later_version(connection, path)
    if finding := _first_damage(connection):
        raise damaged("The check says: " + finding)


def read_number(connection: sqlite3.Connection, statement: str) -> int:
    """The one number that a statement gives."""
    (value,) = connection.execute(statement).fetchone()
    return int(value)


def _cannot_open(path: Path, fault: Exception) -> UnavailableError:
    return UnavailableError(
        Reason.STORE_UNAVAILABLE,
        f"{path.name} cannot be opened: {fault}. See to the rights of its folder and to its disk, or set "
        "SIGHTMILL_CATALOG_DATABASE to another place.",
        retry_after_s=1.0,
    )


def _make_private_folder(folder: Path) -> None:
    if not folder.exists():
        _make_private_folder(folder.parent)
        folder.mkdir(mode=0o700, exist_ok=True)


def _connect(uri: str) -> sqlite3.Connection:
    # No implicit transactions: the writer begins and commits groups itself.
    return sqlite3.connect(
        uri, uri=True, isolation_level=None, check_same_thread=False, timeout=BUSY_TIMEOUT_MS / 1_000
    )


def _quoted(path: Path) -> str:
    return path.resolve().as_uri().removeprefix("file://")


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    _refuse_other_programs(connection, path)
    if not _is_trusted(connection, path) and (finding := _first_damage(connection)):
        raise damaged("The check says: " + finding)
    if connection.execute("PRAGMA journal_mode = WAL").fetchone() != ("wal",):
        raise _cannot_open(path, OSError("its disk cannot hold a write-ahead log"))
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA cache_size = -32768")
    # What is deleted is overwritten where that costs no further writing.
    connection.execute("PRAGMA secure_delete = FAST")
    # A batch of analyses is a few thousand pages; folding them in after each would write many of them twice.
    connection.execute("PRAGMA wal_autocheckpoint = 8192")
    # The log shrinks again after a long read has kept it from being folded into the database.
    connection.execute("PRAGMA journal_size_limit = 67108864")
    connection.execute("BEGIN IMMEDIATE")
    try:
        _migrate(connection, path)
        connection.execute("REPLACE INTO marks VALUES ('in_use', 1)")
    except BaseException:
        connection.rollback()
        raise
    connection.execute("COMMIT")
    rebuild_findings(connection)


def _refuse_other_programs(connection: sqlite3.Connection, path: Path) -> None:
    holds_tables = read_number(connection, "SELECT count(*) FROM sqlite_schema") > 0
    if holds_tables and read_number(connection, "PRAGMA application_id") != APPLICATION_ID:
        raise FailedPreconditionError(
            Reason.WRONG_STATE,
            f"{path.name} is a database of another program; set SIGHTMILL_CATALOG_DATABASE to another file.",
            state="foreign",
        )


def _is_trusted(connection: sqlite3.Connection, path: Path) -> bool:
    """True when a large file was closed in order and so needs no check of all its pages.

    That check takes about 5 s a GB. What harms a file is above all a crash of the machine or a disk that lies
    about having written, and after these ``in_use`` still stands. SQLite itself checks the length of the file
    and every page that it reads; damage that shows later ends all writing (``SqliteWriter.refuse_all``).
    """
    if path.stat().st_size <= _ALWAYS_CHECKED_BYTES:
        return False
    has_marks = read_number(connection, "SELECT count(*) FROM sqlite_schema WHERE name = 'marks'")
    if not has_marks:
        return False
    row = connection.execute("SELECT value FROM marks WHERE name = 'in_use'").fetchone()
    return row is not None and row[0] == 0


def _first_damage(connection: sqlite3.Connection) -> str:
    (finding,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    return "" if finding == "ok" else str(finding)


def _migrations() -> list[Path]:
    return sorted(_MIGRATIONS.glob("[0-9]*.sql"))


def _refuse_later_version(connection: sqlite3.Connection, path: Path) -> int:
    """The version of the file."""
    version = read_number(connection, "PRAGMA user_version")
    if version > len(_migrations()):
        raise FailedPreconditionError(
            Reason.WRONG_STATE,
            f"{path.name} has version {version}, but this program knows versions up to {len(_migrations())}: "
            "a later one has used it. Start that one, or restore the backup from before the upgrade.",
            state=f"version {version}",
        )
    return version


def _migrate(connection: sqlite3.Connection, path: Path) -> None:
    migrations = _migrations()
    version = _refuse_later_version(connection, path)
    for migration in migrations[version:]:
        for statement in _statements(migration.read_text(encoding="utf-8")):
            connection.execute(statement)
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {len(migrations)}")


def _statements(script: str) -> Iterator[str]:
    # ``executescript`` would commit before each migration; this keeps them in one transaction.
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
