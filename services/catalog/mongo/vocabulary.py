"""The words that images have or had, so that the beginning of a word can be looked up as words.

Written before the images that have them, outside of their transactions: a word too many finds nothing, and no
two changes wait for each other because of a word.
"""

from __future__ import annotations

from collections.abc import Iterable

from pymongo.errors import BulkWriteError

from services.catalog.mongo.database import MongoDatabase
from services.catalog.mongo.faults import is_duplicate

# A server merges that many walks in order; more of them it would sort in memory.
MOST_EXPANDED = 100
_MOST_REMEMBERED = 200_000
_LAST_CHARACTER = "\U0010ffff"


class MongoVocabulary:
    """The collection ``vocabulary``, and what this process knows to be in it."""

    def __init__(self, database: MongoDatabase) -> None:
        self._words = database.collection("vocabulary")
        self._known: set[str] = set()

    async def add(self, words: Iterable[str]) -> None:
        """Makes sure that some words are there."""
        new = set(words) - self._known
        if not new:
            return
        stored = await self._words.find({"_id": {"$in": sorted(new)}}).to_list(None)
        missing = sorted(new - {word["_id"] for word in stored})
        if missing:
            try:
                await self._words.insert_many([{"_id": word} for word in missing], ordered=False)
            except BulkWriteError as fault:
                if not is_duplicate(fault):  # somebody else was faster
                    raise
        if len(self._known) > _MOST_REMEMBERED:
            self._known.clear()
        self._known |= new

    async def expand(self, prefix: str) -> list[str] | None:
        """The words that begin so; None when they are more than ``MOST_EXPANDED``."""
        query = {"_id": {"$gte": prefix, "$lt": prefix + _LAST_CHARACTER}}
        found = await self._words.find(query).limit(MOST_EXPANDED + 1).to_list(None)
        return None if len(found) > MOST_EXPANDED else [word["_id"] for word in found]
