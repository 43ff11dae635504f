"""The port of migrations: a whole catalog as records, read from one store and written to another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from services.catalog.migration.records import Key, Kind, Record
from services.catalog.store import CatalogStore

MAX_PAGE_BYTES = 8 * 1024 * 1024
"""Results in one page; it ends early rather than exceed this by more than one record."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How far a migration into this catalog came: all of ``origin`` up to a key of a kind, inclusive."""

    origin: str
    kind: str
    after: Key


class CatalogCopy(Protocol):
    """One side of a migration; nothing else may use the catalog meanwhile.

    ``place`` says which catalog it is, without any secret; ``catalog`` answers over it.
    """

    @property
    def place(self) -> str: ...

    @property
    def catalog(self) -> CatalogStore: ...

    async def read(self, kind: Kind, after: Key, most: int) -> list[Record]:
        """Records above a key, in its order; none at the end. May be fewer than ``most``."""
        ...

    async def write(self, kind: Kind, records: Sequence[Record]) -> None:
        """Stores records with all that follows from them, and how far this is, in one step.

        Records that are there already are passed by.
        """
        ...

    async def is_empty(self) -> bool:
        """True when the catalog was never used."""
        ...

    async def standing(self) -> Standing | None:
        """How far a migration into this catalog came; None when there is none, or it is complete."""
        ...

    async def begin(self, origin: str) -> None:
        """Marks this catalog as incomplete: no service opens it until ``finish``."""
        ...

    async def finish(self) -> None:
        """Marks this catalog as complete."""
        ...

    async def activity(self) -> object:
        """Something that is another when others changed the catalog, or are connected and alive."""
        ...
