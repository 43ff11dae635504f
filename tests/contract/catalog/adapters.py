"""The stores that have to pass this suite, and how to open each on an empty folder."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path

from services.catalog.model import AnalysisRecord, Analyzer, NewImage, Outcome
from services.catalog.names import ImageKey
from services.catalog.sqlite.store import SqliteOptions, open_sqlite_store
from services.catalog.states import ImageState
from services.catalog.store import CatalogStore
from sightmill.v1 import analyzer_pb2, captioner_pb2
from tests.contract.catalog.mongo_adapter import open_mongo_store

OpenStore = Callable[[Path, Callable[[], int]], AbstractAsyncContextManager[CatalogStore]]

START_US = 1_700_000_000_000_000


def _open_sqlite(folder: Path, now_us: Callable[[], int]) -> AbstractAsyncContextManager[CatalogStore]:
    return open_sqlite_store(SqliteOptions(folder / "catalog.sqlite3"), now_us)


ADAPTERS: dict[str, OpenStore] = {"sqlite": _open_sqlite, "mongo": open_mongo_store}


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
    name: str = "sea.jpg",
    batch: str = "",
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
        display_name=name,
        labels=labels or {},
        batch=batch,
        process_options=b"",
        state=state,
    )


def insights(text: str = "", **fields: object) -> bytes:
    """A result whose text is set if it is not empty, with other fields of ``Insights`` by name."""
    message = analyzer_pb2.Insights(**fields)  # type: ignore[arg-type]  # the caller knows the fields
    if text:
        message.text.text = text
    return message.SerializeToString()


def caption(text: str = "", **fields: object) -> bytes:
    """A result with this caption and other fields of ``Caption`` by name."""
    message = captioner_pb2.Caption(text=text, **fields)  # type: ignore[arg-type]  # the caller knows the fields
    return message.SerializeToString()


def analysis(
    content: str = "sea",
    analyzer: Analyzer = "insights",
    version: str = "1",
    settings: str = "0011223344556677",
    result: bytes = b"",
    create_time_us: int = START_US - 10,
) -> AnalysisRecord:
    """An analysis; ``result`` empty for one that tells its version only."""
    made = result or (insights(version) if analyzer == "insights" else caption(version))
    return AnalysisRecord(digest_of(content), analyzer, version, settings, made, create_time_us, 5_000)


def outcome(
    image: ImageKey | None, *analyses: AnalysisRecord, state: ImageState | None = None, error: bytes = b""
) -> Outcome:
    return Outcome(image, analyses, state, error)


async def write_outcome(store: CatalogStore, item: Outcome) -> None:
    """One item; raises what it was refused for."""
    (refusal,) = await store.write_outcomes([item])
    if refusal is not None:
        raise refusal
