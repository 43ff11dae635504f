"""The full-text search: which images have all words, in windows by number, each in the order of relevance."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from services.catalog.conditions import Condition
from services.catalog.findings import DOCUMENT_WEIGHTS
from services.catalog.findings import Document as Parts
from services.catalog.model import Hit, HitPage, SearchPlace, SearchWords
from services.catalog.mongo.conditions import Filter, compile_condition
from services.catalog.mongo.database import MongoDatabase
from services.catalog.mongo.indexes import BY_NUMBER, BY_WORD
from services.catalog.mongo.reads import read_images
from services.catalog.mongo.vocabulary import MongoVocabulary
from services.catalog.store import SEARCH_WINDOW

_MAX_INT64 = 2**63 - 1
_ORDER = [("_id", -1)]


@dataclass(frozen=True, slots=True)
class SearchWalk:
    """A query that walks an index by falling number."""

    query: Filter
    index: str


async def read_hits(
    database: MongoDatabase,
    vocabulary: MongoVocabulary,
    words: SearchWords,
    condition: Condition,
    size: int,
    after: SearchPlace | None,
) -> HitPage:
    """See ``CatalogStore.search_images``."""
    place = after or SearchPlace(_MAX_INT64)
    walk = await search_walk(vocabulary, words, place.below)
    if walk is None:
        return HitPage((), None)
    cursor = database.collection("images").find(walk.query, {"parts": 1})
    found = await cursor.sort(_ORDER).hint(walk.index).limit(SEARCH_WINDOW + 1).to_list(None)
    if not found:
        return HitPage((), None)
    window = found[:SEARCH_WINDOW]
    # Fixed on the first page, so that images that come later do not move the window.
    below = place.below if after else found[0]["_id"] + 1
    kept = await _keep(database, [document["_id"] for document in window], condition)
    texts = _texts(words)
    scores = {
        document["_id"]: _score(document["parts"], texts) for document in window if document["_id"] in kept
    }
    ranked = sorted(scores, key=lambda number: (scores[number], number), reverse=True)
    shown = ranked[place.skip : place.skip + size]
    images = await read_images(database, shown)
    hits = tuple(Hit(image, scores[image.number]) for image in images)
    if place.skip + size < len(ranked):
        return HitPage(hits, SearchPlace(below, place.skip + size))
    return HitPage(hits, SearchPlace(window[-1]["_id"]) if len(found) > SEARCH_WINDOW else None)


async def search_walk(vocabulary: MongoVocabulary, words: SearchWords, below: int) -> SearchWalk | None:
    """The walk that meets all images that have the words; None when there can be none."""
    single = dict.fromkeys((*words.words, *(word for phrase in words.phrases for word in phrase)))
    filters: list[Filter] = [{"words": word} for word in single]
    index = BY_WORD if single else BY_NUMBER
    for prefix in words.prefixes:
        expanded = await vocabulary.expand(prefix)
        if expanded is None:
            # So many words are in many images: a walk along all of them meets some soon.
            filters.append({"words": {"$regex": f"^{re.escape(prefix)}"}})
        elif expanded:
            filters.append({"words": {"$in": expanded}})
            index = BY_WORD
        else:
            return None
    filters += [_phrase(phrase) for phrase in words.phrases if len(phrase) > 1]
    query: Filter = {"visible": True, "_id": {"$lt": below}}
    return SearchWalk(query | ({"$and": filters} if filters else {}), index)


async def _keep(database: MongoDatabase, numbers: list[int], condition: Condition) -> set[int]:
    """Those of a window that meet the condition, so that the work for one page is bounded."""
    compiled = compile_condition(condition)
    if not compiled:
        return set(numbers)
    query = {"_id": {"$in": numbers}, "visible": True, "$and": [compiled]}
    found = await database.collection("images").find(query, {"_id": 1}).hint("_id_").to_list(None)
    return {document["_id"] for document in found}


def _phrase(phrase: Sequence[str]) -> Filter:
    text = re.escape(f" {' '.join(phrase)} ")
    return {"$or": [{f"parts.{part}": {"$regex": text}} for part in Parts._fields]}


def _texts(words: SearchWords) -> list[str]:
    """What to find in a part, between spaces, for each clause."""
    whole = [(word,) for word in words.words] + list(words.phrases)
    return [f" {' '.join(phrase)} " for phrase in whole] + [f" {prefix}" for prefix in words.prefixes]


def _score(parts: Mapping[str, str], texts: Sequence[str]) -> int:
    """The sum over all clauses of the weight of the best part that each is found in."""
    weights = DOCUMENT_WEIGHTS._asdict()
    return sum(
        max((int(weights[name]) for name, part in parts.items() if text in part), default=0) for text in texts
    )
