"""Sets of results that clients name: the model, and what is asked of a store.

Names and paths are data: compared byte for byte, never opened. A set comes into being with its first row; an
unknown one is empty, and reading creates nothing. The promises of ``services.catalog.store`` hold here, too.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from services.catalog.refusals import invalid_field
from services.runtime.errors import Reason, ResourceExhaustedError

SetKind = Literal["json", "sql"]
"""Two name spaces. Rows of "json" come by their first insertion, of "sql" by scene_path, then image_path."""

RowPlace = int | tuple[str, str]
"""Where a page ends: a sequence number ("json"), or both paths ("sql")."""

MAX_PUT = 1_000
MAX_PAGE = 1_000
MAX_SET_ROWS = 1_000_000
_MAX_NAME_CHARS = 255
_MAX_PATH_CHARS = 4_096
_MAX_DESCRIPTION_CHARS = 65_536
_MAX_OBJECTS = 1_000
_MAX_OBJECT_CHARS = 1_024


@dataclass(frozen=True, slots=True)
class SetKey:
    """Which set; ``name`` has 1 to 255 characters, none of them a control character."""

    kind: SetKind
    name: str


@dataclass(frozen=True, slots=True)
class ResultRow:
    """A result. ``time_us``: microseconds since 1970."""

    scene_path: str
    image_path: str
    description: str
    objects: tuple[str, ...]
    time_us: int

    @property
    def pair(self) -> tuple[str, str]:
        """What a row is unique by within its set."""
        return self.scene_path, self.image_path


@dataclass(frozen=True, slots=True)
class RowPage:
    """Rows in the order of their set; ``next`` is None on the last page. ``total`` counts the whole set."""

    rows: tuple[ResultRow, ...]
    next: RowPlace | None
    total: int


class ResultSetStore(Protocol):
    """Durable sets of results. What is out of bounds is ``InvalidArgumentError(INVALID_FIELD)``."""

    async def put_rows(self, key: SetKey, rows: Sequence[ResultRow]) -> int:
        """Stores 1 to 1,000 rows, all or nothing; says how many are new.

        A row whose pair of paths is there replaces that one with its time, in its place; of two in one call
        the later one stays. Raises ``ResourceExhaustedError(STORAGE_FULL)`` when the set would have more
        than 1,000,000 rows.
        """
        ...

    async def list_rows(self, key: SetKey, size: int, after: RowPlace | None = None) -> RowPage:
        """A page of at most ``size`` (1 to 1,000) rows beyond a place."""
        ...

    async def count_rows(self, key: SetKey) -> int:
        """How many rows a set has; 0 for an unknown one."""
        ...

    async def has_set(self, key: SetKey) -> bool:
        """Whether anything was ever stored in a set."""
        ...


def check_key(key: SetKey) -> None:
    """The bounds of a set's name."""
    if not 1 <= len(key.name) <= _MAX_NAME_CHARS or not is_plain(key.name):
        raise invalid_field("name", f"1 to {_MAX_NAME_CHARS} characters, no control characters.")


def check_rows(rows: Sequence[ResultRow]) -> list[ResultRow]:
    """The bounds of rows to store; gives each pair once, the last row of it in the place of the first."""
    if not 1 <= len(rows) <= MAX_PUT:
        raise invalid_field("rows", f"1 to {MAX_PUT} in one call.")
    for row in rows:
        if any(len(path) > _MAX_PATH_CHARS or not is_plain(path) for path in row.pair):
            raise invalid_field("rows", f"Paths have at most {_MAX_PATH_CHARS} characters, none of control.")
        if len(row.description) > _MAX_DESCRIPTION_CHARS or not is_text(row.description):
            raise invalid_field("rows", f"A description has at most {_MAX_DESCRIPTION_CHARS} characters.")
        if len(row.objects) > _MAX_OBJECTS or not all(
            len(name) <= _MAX_OBJECT_CHARS and is_text(name) for name in row.objects
        ):
            raise invalid_field("rows", f"At most {_MAX_OBJECTS} objects of {_MAX_OBJECT_CHARS} characters.")
        if not 0 <= row.time_us < 2**63:
            raise invalid_field("rows", "A time is not before 1970.")
    return list({row.pair: row for row in rows}.values())


def check_page(key: SetKey, size: int, after: RowPlace | None) -> None:
    """The bounds of a page, and that its place is one of the set's kind."""
    check_key(key)
    if not 1 <= size <= MAX_PAGE:
        raise invalid_field("page_size", f"1 to {MAX_PAGE}.")
    if after is not None and isinstance(after, int) != (key.kind == "json"):
        raise invalid_field("page_token", "It is of a set of the other kind.")


def check_count(count: int) -> None:
    """Refuses to let a set grow beyond its bound."""
    if count > MAX_SET_ROWS:
        raise ResourceExhaustedError(
            Reason.STORAGE_FULL,
            f"A result set holds at most {MAX_SET_ROWS} rows; store into another one.",
            limit=MAX_SET_ROWS,
        )


def cut_page(key: SetKey, found: Sequence[tuple[int, ResultRow]], size: int, total: int) -> RowPage:
    """The page of rows that were read with their sequence numbers, one more than ``size`` if there are."""
    rows = tuple(row for _, row in found[:size])
    if len(found) <= size:
        return RowPage(rows, None, total)
    return RowPage(rows, found[size - 1][0] if key.kind == "json" else rows[-1].pair, total)


def is_plain(text: str) -> bool:
    """True for text without control characters that can be stored."""
    return is_text(text) and not any(unicodedata.category(letter) == "Cc" for letter in text)


def is_text(text: str) -> bool:
    """True when the text has a form in UTF-8; half a pair of surrogates has none."""
    return not any("\ud800" <= letter <= "\udfff" for letter in text)
