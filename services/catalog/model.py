"""What the catalog knows, as plain data that every store takes and gives.

Times are microseconds since 1970 (UTC). Results, errors and options are protobuf messages in their
serialized form: stores keep them as they are, only the servicer looks inside.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from services.catalog.conditions import EVERYTHING, Condition
from services.catalog.names import ImageKey
from services.catalog.states import ImageState

Analyzer = Literal["insights", "caption"]
ANALYZERS: tuple[Analyzer, ...] = ("insights", "caption")

Position = tuple[int, int]
"""Where a page ends: what it is ordered by (or its time), and the number of the last thing looked at."""

OrderKey = Literal["create_time_us", "size_bytes", "quality"]


@dataclass(frozen=True, slots=True)
class NewImage:
    """An image to record. ``format`` is a number of ``ImageFormat``; ``sha256`` has 64 lower-case digits."""

    sha256: str
    blob_key: str
    size_bytes: int
    format: int
    width: int
    height: int
    frame_count: int = 1
    color_mode: str = ""
    display_name: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    batch: str = ""
    process_options: bytes = b""
    state: ImageState = ImageState.PENDING


@dataclass(frozen=True, slots=True)
class ImageRecord:
    """An image as stored. ``insights`` and ``caption`` are None where there are none, or not asked for."""

    uuid: uuid.UUID
    number: int
    image: NewImage
    error: bytes
    create_time_us: int
    update_time_us: int
    process_time_us: int | None
    delete_time_us: int | None
    revision: int
    corrections: bytes = b""
    insights: bytes | None = None
    caption: bytes | None = None


@dataclass(frozen=True, slots=True)
class AnalysisRecord:
    """One analysis, keyed by ``sha256``, ``analyzer``, ``version`` and ``settings_digest``.

    ``create_time_us`` is 0 where the sender does not say; the store then fills in its own time.
    """

    sha256: str
    analyzer: Analyzer
    version: str
    settings_digest: str
    result: bytes
    create_time_us: int = 0
    elapsed_us: int = 0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a worker found. ``state`` None leaves the state; ``image`` None stores the analyses only."""

    image: ImageKey | None
    analyses: tuple[AnalysisRecord, ...]
    state: ImageState | None = None
    error: bytes = b""


@dataclass(frozen=True, slots=True)
class StartedImage:
    """An image that a worker may work on, and the newest analyses of its bytes per analyzer."""

    image: ImageRecord
    analyses: tuple[AnalysisRecord, ...]


@dataclass(frozen=True, slots=True)
class ImageChange:
    """What people change: the labels, and what they said; None leaves it. ``corrections`` is serialized."""

    labels: Mapping[str, str] | None = None
    corrections: bytes | None = None


@dataclass(frozen=True, slots=True)
class ImageQuery:
    """Which images. ``with_hidden`` takes in soft-deleted ones, which then may come in any bounded way."""

    condition: Condition = EVERYTHING
    with_hidden: bool = False


@dataclass(frozen=True, slots=True)
class PageOrder:
    """How to list: at most ``size`` things after ``after``, by ``key`` and number."""

    size: int
    after: Position | None = None
    descending: bool = True
    key: OrderKey = "create_time_us"


@dataclass(frozen=True, slots=True)
class ImagePage:
    """A page; ``next`` is None on the last. ``total`` counts all images, whatever the query.

    A page may be shorter than asked for, even empty, with a ``next``: the work for one page is bounded.
    """

    images: tuple[ImageRecord, ...]
    next: Position | None
    total: int


@dataclass(frozen=True, slots=True)
class SearchWords:
    """What to search, all of it: ``words`` single words, ``prefixes`` beginnings of words, ``phrases`` words
    that follow each other within one part of a document. All folded by ``services.catalog.words``."""

    words: tuple[str, ...] = ()
    prefixes: tuple[str, ...] = ()
    phrases: tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True, slots=True)
class SearchPlace:
    """Where a page of hits ends.

    Matches are taken in windows of the newest ``SEARCH_WINDOW`` below the number ``below``, each window in
    the order of relevance; ``skip`` hits of the window were shown.
    """

    below: int
    skip: int = 0


@dataclass(frozen=True, slots=True)
class Hit:
    """An image found, and its relevance: for each clause the weight of the best part that it is in."""

    image: ImageRecord
    score: int


@dataclass(frozen=True, slots=True)
class HitPage:
    """Hits, by falling score, then by falling number; ``next`` is None on the last page."""

    hits: tuple[Hit, ...]
    next: SearchPlace | None


@dataclass(frozen=True, slots=True)
class FacetPage:
    """Values with their counts, most frequent first, then by value; ``next`` is the last of them or None."""

    counts: tuple[tuple[str, int], ...]
    next: tuple[int, str] | None


@dataclass(frozen=True, slots=True)
class Look:
    """How an image looks: both hashes (64 bits, unsigned) and the colour signature (48 bytes, or none)."""

    phash: int
    dhash: int
    signature: bytes


@dataclass(frozen=True, slots=True)
class LookRow:
    """How an image looks. ``sequence`` ascends with every change; a later row of an image replaces others."""

    sequence: int
    number: int
    look: Look


@dataclass(frozen=True, slots=True)
class LookPair:
    """Two images that look alike, the later one first.

    ``distance`` is that of their pHashes up to 10; above, it is at least 11 and that of the nearer hash, and
    the colours are alike (``services.catalog.looks.look_distances.rate_pairs``).
    """

    number: int
    earlier: int
    distance: int


@dataclass(frozen=True, slots=True)
class StrayBlob:
    """Bytes in the blob store of which nothing else is known."""

    sha256: str
    blob_key: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class CondemnedBlob:
    """Bytes that no image can refer to any more."""

    sha256: str
    blob_key: str


@dataclass(frozen=True, slots=True)
class AnalysisPage:
    """A page of analyses, newest first; ``next`` is None on the last."""

    analyses: tuple[AnalysisRecord, ...]
    next: Position | None


@dataclass(frozen=True, slots=True)
class CatalogStats:
    """Counts of what is not deleted. ``states`` and ``formats`` leave out what there is none of."""

    image_count: int
    blob_count: int
    blob_bytes: int
    analysis_count: int
    states: Mapping[ImageState, int]
    formats: Mapping[int, int]
    store: str
