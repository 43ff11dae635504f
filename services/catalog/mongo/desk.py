"""What one transaction works on: images, bytes and analyses.

They are loaded at once, changed in memory, and written at the end with everything that follows from them.
"""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Collection, Iterable
from typing import Any

from pymongo import DeleteOne, ReplaceOne, ReturnDocument

from services.catalog.findings import FoundFace, read_findings
from services.catalog.model import ANALYZERS
from services.catalog.mongo.database import MongoDatabase, Session
from services.catalog.mongo.documents import Document, image_of, keep_findings, look_fields, shown_of
from services.catalog.mongo.faces import drop_faces, replace_faces, show_faces
from services.catalog.mongo.tally import Tally, blob_update, facet_id, facet_updates, tally_of
from services.catalog.mongo.vocabulary import MongoVocabulary
from services.catalog.names import ImageKey
from services.catalog.states import ImageState

COUNTERS = "catalog"
"""The document of ``counters`` that every change begins with: whoever has it goes first, the others again.

So numbers and sequences become visible in the order in which they are given out.
"""


class MongoDesk:
    """The work of one transaction. ``images`` by number and ``analyses`` by key are changed in place."""

    def __init__(
        self, database: MongoDatabase, session: Session, now_us: int, vocabulary: MongoVocabulary
    ) -> None:
        self._database = database
        self._session = session
        self._vocabulary = vocabulary
        self._words: set[str] = set()
        self._before: dict[int, tuple[Tally, bytes]] = {}
        self._found_faces: dict[int, tuple[FoundFace, ...]] = {}
        self._shown_faces: dict[int, bool] = {}
        self._changed: set[int] = set()
        self._sequence = 0
        self.now_us = now_us
        self.images: dict[int, Document] = {}
        self.blobs: dict[str, Document] = {}
        self.analyses: dict[str, Document] = {}
        self.written: set[str] = set()
        self.stats: Counter[str] = Counter()

    async def begin(self, numbers: int = 0, sequences: int = 0) -> int:
        """Takes the turn, or more sequences; gives the last of the image numbers that were asked for."""
        counters = await self._database.collection("counters").find_one_and_update(
            {"_id": COUNTERS},
            {"$inc": {"turn": 1, "number": numbers, "sequence": sequences}},
            upsert=True,
            return_document=ReturnDocument.AFTER,
            session=self._session,
        )
        self._sequence = counters["sequence"] - sequences
        return int(counters["number"])

    def next_sequence(self) -> int:
        """One of the sequences that were asked for."""
        self._sequence += 1
        return self._sequence

    async def load_images(self, keys: Iterable[ImageKey]) -> dict[ImageKey, Document]:
        """The images that exist, by the keys that were given."""
        distinct = set(keys)
        names = [key.bytes for key in distinct if isinstance(key, uuid.UUID)]
        numbers = [key for key in distinct if isinstance(key, int)]
        known: dict[ImageKey, Document] = {}
        for field, values in (("uuid", names), ("_id", numbers)):
            for document in await self._find("images", {field: {"$in": values}}) if values else ():
                image = self.images.setdefault(document["_id"], document)
                self._before.setdefault(document["_id"], _before(document))
                known[uuid.UUID(bytes=document["uuid"]) if field == "uuid" else document["_id"]] = image
        return known

    async def load_blobs(self, digests: Iterable[str]) -> None:
        """Reads what is known of some bytes into ``blobs``."""
        missing = sorted(set(digests) - self.blobs.keys())
        if missing:
            for blob in await self._find("blobs", {"_id": {"$in": missing}}):
                self.blobs[blob["_id"]] = blob

    async def load_analyses(self, digests: Iterable[str]) -> None:
        """Reads what analyses there are of some bytes into ``analyses``, without their results."""
        query = {"sha256": {"$in": sorted(set(digests))}}
        for analysis in await self._find("analyses", query, {"result": 0}):
            self.analyses[analysis["_id"]] = analysis

    async def load_showing(self, keys: Collection[str]) -> set[int]:
        """Loads the images that show one of some loaded analyses; gives their numbers."""
        if not keys:
            return set()
        query = {
            "visible": {"$in": [False, True]},
            "sha256": {"$in": sorted({self.analyses[key]["sha256"] for key in keys})},
            "$or": [{f"shown.{analyzer}": {"$in": sorted(keys)}} for analyzer in ANALYZERS],
        }
        numbers = {image["_id"] for image in await self._find("images", query, {"_id": 1})}
        await self.load_images(numbers - self.images.keys())
        return numbers

    def newest(self, digest: str, analyzer: str) -> str | None:
        """The key of the newest analysis of some bytes, among those that are loaded or written."""
        found = [
            analysis
            for analysis in self.analyses.values()
            if analysis["sha256"] == digest and analysis["analyzer"] == analyzer
        ]
        newest = max(found, key=lambda entry: (entry["create_time_us"], entry["sequence"]), default=None)
        return newest["_id"] if newest else None

    async def derive(self, numbers: Collection[int], looked: Collection[int] = ()) -> None:
        """Derives everything of some images anew; ``looked`` are those whose insights may be others."""
        images = [self.images[number] for number in numbers]
        missing = {key for image in images for key in image["shown"].values()} - self._with_results()
        if missing:
            for analysis in await self._find("analyses", {"_id": {"$in": sorted(missing)}}):
                self.analyses[analysis["_id"]] = analysis
        for image in images:
            had_faces = image.get("faces", 0)
            findings = read_findings(
                image_of(image),
                ImageState(image["state"]),
                image["error"],
                shown_of(image, self.analyses),
                image["corrections"],
            )
            keep_findings(image, findings)
            self._changed.add(image["_id"])
            self._words.update(image["words"])
            if image["_id"] in looked and (had_faces or findings.faces):
                self._found_faces[image["_id"]] = findings.faces

    def add(self, document: Document) -> None:
        """Takes in an image that was not there before."""
        self.images[document["_id"]] = document
        self._before[document["_id"]] = _before(None)

    def touch(self, image: Document) -> None:
        """Says that a loaded image changed."""
        image["update_time_us"] = self.now_us
        image["revision"] += 1
        self._changed.add(image["_id"])

    def show(self, number: int, *, visible: bool) -> None:
        """Shows or hides an image, with its faces."""
        self.images[number]["visible"] = visible
        self._shown_faces[number] = visible

    def drop(self, number: int) -> None:
        """Deletes an image for good."""
        del self.images[number]
        self._changed.add(number)

    async def finish(self) -> None:
        """Writes everything. The order is always the same, so that changes do not wait for each other."""
        changes: Tally = Counter()
        for number, (before, _) in self._before.items():
            changes.update(tally_of(self.images.get(number)))
            changes.subtract(before)
        await self._vocabulary.add(self._words)
        await self._write_analyses()
        await self._write_blobs(changes)
        await self._write_images()
        await self._write_looks()
        await self._write_faces()
        await self._write_counters(changes)

    async def _write_analyses(self) -> None:
        written = [self.analyses[key] for key in sorted(self.written)]
        await self._write("analyses", [ReplaceOne({"_id": doc["_id"]}, doc, upsert=True) for doc in written])

    async def _write_blobs(self, changes: Tally) -> None:
        digests = {key[1] for key, change in changes.items() if key[0] in {"ref", "live"} and change}
        await self.load_blobs(digests)
        writes = []
        for digest in sorted(digests):
            blob = self.blobs[digest]
            refs, live = changes["ref", digest], changes["live", digest]
            after, stats = blob_update(blob, refs, live, self.now_us)
            self.stats.update(stats)
            if bool(blob["ref_count"]) != bool(after["ref_count"]):
                count = await self._database.collection("analyses").count_documents(
                    {"sha256": digest}, session=self._session
                )
                self.stats["analyses"] += count if after["ref_count"] else -count
            writes.append(ReplaceOne({"_id": digest}, after, upsert=True))
        await self._write("blobs", writes)

    async def _write_images(self) -> None:
        writes: list[ReplaceOne[Document] | DeleteOne] = []
        for number in sorted(self._changed):
            image = self.images.get(number)
            query = {"_id": number}
            writes.append(ReplaceOne(query, image, upsert=True) if image else DeleteOne(query))
        await self._write("images", writes)

    async def _write_looks(self) -> None:
        looks = {number: _look_of(self.images.get(number)) for number in sorted(self._before)}
        changed = {number: look for number, look in looks.items() if look != self._before[number][1]}
        count = sum(map(bool, changed.values()))
        if count:
            await self.begin(sequences=count)
        writes: list[ReplaceOne[Document] | DeleteOne] = []
        for number, look in changed.items():
            query = {"_id": number}
            if look:
                fields = {"sequence": self.next_sequence(), **look_fields(look)}
                writes.append(ReplaceOne(query, fields, upsert=True))
            else:
                writes.append(DeleteOne(query))
        await self._write("looks", writes)

    async def _write_faces(self) -> None:
        database, session = self._database, self._session
        for number in sorted(self._before.keys() - self.images.keys()):
            await drop_faces(database, session, number)
        for number, faces in sorted(self._found_faces.items()):
            image = self.images[number]
            name = uuid.UUID(bytes=image["uuid"])
            await replace_faces(database, session, number, name, faces, self.now_us)
            if not image["visible"]:
                self._shown_faces[number] = False
        for number, visible in sorted(self._shown_faces.items()):
            if number in self.images:
                await show_faces(database, session, number, visible=visible)

    async def _write_counters(self, changes: Tally) -> None:
        facets = {key: change for key, change in changes.items() if key[0] == "facet" and change}
        await self._write("facets", facet_updates(facets))
        fewer = [facet_id(*key[1:]) for key, change in facets.items() if change < 0]
        if fewer:
            await self._database.collection("facets").delete_many(
                {"_id": {"$in": sorted(fewer)}, "count": 0}, session=self._session
            )
        self.stats.update({key[1]: change for key, change in changes.items() if key[0] == "stat"})
        stats = {field: change for field, change in self.stats.items() if change}
        if stats:
            await self._database.collection("counters").update_one(
                {"_id": COUNTERS}, {"$inc": stats}, session=self._session
            )

    async def _find(
        self, collection: str, query: Document, projection: Document | None = None
    ) -> list[Document]:
        cursor = self._database.collection(collection).find(query, projection, session=self._session)
        return await cursor.to_list(None)  # type: ignore[no-any-return]  # the drivers have no common type

    async def _write(self, collection: str, writes: list[Any]) -> None:
        if writes:
            await self._database.collection(collection).bulk_write(
                writes, ordered=False, session=self._session
            )

    def _with_results(self) -> set[str]:
        return {key for key, analysis in self.analyses.items() if "result" in analysis}


def _before(document: Document | None) -> tuple[Tally, bytes]:
    return tally_of(document), _look_of(document)


def _look_of(document: Document | None) -> bytes:
    """The look of a visible image, packed; none for none."""
    return document.get("look", b"") if document and document["visible"] else b""
