"""What the statements of reads need on a connection beyond the tables of the database."""

from __future__ import annotations

import sqlite3

from services.catalog.colors import is_near


def prepare_reader(connection: sqlite3.Connection) -> None:
    """Adds ``color_near`` and ``vocabulary``; each connection that reads needs it once, before it may not
    write any more."""
    connection.create_function("color_near", 4, _color_near, deterministic=True)
    # The words of the full-text index; a view that lives with the connection.
    connection.execute("CREATE VIRTUAL TABLE temp.vocabulary USING fts5vocab(main, documents, instance)")


def _color_near(colors: bytes, red: int, green: int, blue: int) -> bool:
    """True when one of the colours (three bytes each) is near the wanted one."""
    return is_near((red, green, blue), zip(*[iter(colors)] * 3, strict=True))
