"""What the catalog knows, as plain data that every store takes and gives.

Times are microseconds since 1970 (UTC). Results, errors and options are protobuf messages in their
serialized form: stores keep them as they are, only the servicer looks inside.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from services.catalog.names import ImageKey
from services.catalog.states import ImageState

Analyzer = Literal["insights", "caption"]
ANALYZERS: tuple[Analyzer, ...] = ("insights", "caption")

Position = tuple[int, int]
"""Where a page ends: time and number of the last thing on it."""


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
class Span:
    """Bounds, both inclusive; None is open."""

    min: int | None = None
    max: int | None = None


@dataclass(frozen=True, slots=True)
class ImageQuery:
    """Which images: all conditions must hold, an empty one holds for all.

    ``created_from_us`` is inclusive, ``created_until_us`` exclusive.
    """

    states: frozenset[ImageState] = frozenset()
    formats: frozenset[int] = frozenset()
    created_from_us: int | None = None
    created_until_us: int | None = None
    size_bytes: Span = Span()
    width: Span = Span()
    height: Span = Span()
    sha256: str = ""
    labels: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class PageOrder:
    """How to list: at most ``size`` things after ``after``, by time of creation."""

    size: int
    after: Position | None = None
    newest_first: bool = True


@dataclass(frozen=True, slots=True)
class ImagePage:
    """A page; ``next`` is None on the last. ``total`` counts all images, whatever the query."""

    images: tuple[ImageRecord, ...]
    next: Position | None
    total: int


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
