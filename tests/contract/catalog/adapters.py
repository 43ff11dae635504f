"""The stores that have to pass this suite, and how to open each on an empty folder."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path

from services.catalog.model import AnalysisRecord, Analyzer, NewImage, Outcome
from services.catalog.names import ImageKey
from services.catalog.sqlite_store import SqliteOptions, open_sqlite_store
from services.catalog.states import ImageState
from services.catalog.store import CatalogStore

OpenStore = Callable[[Path, Callable[[], int]], AbstractAsyncContextManager[CatalogStore]]

START_US = 1_700_000_000_000_000


def _open_sqlite(folder: Path, now_us: Callable[[], int]) -> AbstractAsyncContextManager[CatalogStore]:
    return open_sqlite_store(SqliteOptions(folder / "catalog.sqlite3"), now_us)


ADAPTERS: dict[str, OpenStore] = {"sqlite": _open_sqlite}


@dataclass(slots=True)
class Clock:
    """A clock that stands until it is moved, so that images share a microsecond when a test wants it."""

    now_us: int = START_US
    step_us: int = 1

    def __call__(self) -> int:
        self.now_us += self.step_us
        return self.now_us


def digest_of(content: str) -> str:
    return hashlib.sha256(content.encode()).hexdigest()


def new_image(
    content: str = "sea",
    state: ImageState = ImageState.PENDING,
    labels: dict[str, str] | None = None,
    format_: int = 1,
    size_bytes: int = 1_000,
    width: int = 640,
) -> NewImage:
    digest = digest_of(content)
    return NewImage(
        sha256=digest,
        blob_key=f"sha256/{digest[:2]}/{digest[2:4]}/{digest}",
        size_bytes=size_bytes,
        format=format_,
        width=width,
        height=480,
        frame_count=1,
        color_mode="RGB",
        display_name="sea.jpg",
        labels=labels or {},
        process_options=b"",
        state=state,
    )


def analysis(
    content: str = "sea",
    analyzer: Analyzer = "insights",
    version: str = "1",
    settings: str = "0011223344556677",
    result: bytes = b"",
    create_time_us: int = START_US - 10,
) -> AnalysisRecord:
    return AnalysisRecord(
        digest_of(content), analyzer, version, settings, result or version.encode(), create_time_us, 5_000
    )


def outcome(
    image: ImageKey | None, *analyses: AnalysisRecord, state: ImageState | None = None, error: bytes = b""
) -> Outcome:
    return Outcome(image, analyses, state, error)
