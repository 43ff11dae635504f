"""Opens the database file: refuses what is not a sound catalog of a known version, migrates older ones."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

from services.catalog.sqlite_faults import damaged, typed_fault
from services.runtime.errors import (
    DataLossError,
    FailedPreconditionError,
    Reason,
    ServiceError,
    UnavailableError,
)

# "Sigm"; tells a catalog from other SQLite files.
APPLICATION_ID = 0x5369676D
BUSY_TIMEOUT_MS = 5_000
_MIGRATIONS = Path(__file__).parent / "migrations"


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
    except ServiceError:
        connection.close()
        raise
    return connection


def open_reader(path: Path) -> sqlite3.Connection:
    """A connection that cannot write."""
    connection = _connect(f"file:{_quoted(path)}?mode=ro")
    connection.execute("PRAGMA query_only = 1")
    return connection


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
    if finding := _first_damage(connection):
        raise damaged("The check says: " + finding)
    if connection.execute("PRAGMA journal_mode = WAL").fetchone() != ("wal",):
        raise _cannot_open(path, OSError("its disk cannot hold a write-ahead log"))
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA cache_size = -32768")
    # The log shrinks again after a long read has kept it from being folded into the database.
    connection.execute("PRAGMA journal_size_limit = 67108864")
    connection.execute("BEGIN IMMEDIATE")
    try:
        _migrate(connection, path)
    except BaseException:
        connection.rollback()
        raise
    connection.execute("COMMIT")


def _refuse_other_programs(connection: sqlite3.Connection, path: Path) -> None:
    holds_tables = read_number(connection, "SELECT count(*) FROM sqlite_schema") > 0
    if holds_tables and read_number(connection, "PRAGMA application_id") != APPLICATION_ID:
        raise FailedPreconditionError(
            Reason.WRONG_STATE,
            f"{path.name} is a database of another program; set SIGHTMILL_CATALOG_DATABASE to another file.",
            state="foreign",
        )


def _first_damage(connection: sqlite3.Connection) -> str:
    (finding,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    return "" if finding == "ok" else str(finding)


def _migrate(connection: sqlite3.Connection, path: Path) -> None:
    migrations = sorted(_MIGRATIONS.glob("[0-9]*.sql"))
    version = read_number(connection, "PRAGMA user_version")
    if version > len(migrations):
        raise FailedPreconditionError(
            Reason.WRONG_STATE,
            f"{path.name} has version {version}, but this program knows versions up to {len(migrations)}: "
            "a later one has used it. Start that one, or restore the backup from before the upgrade.",
            state=f"version {version}",
        )
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
