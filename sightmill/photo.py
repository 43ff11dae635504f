"""An image on its way out: where its bytes are and what is to be said of it."""

from __future__ import annotations

import asyncio
import io
import stat
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from sightmill.v1 import catalog_pb2, ingest_pb2


@dataclass(frozen=True, slots=True)
class Photo:
    """One image to upload.

    ``source`` is a file, read piece by piece, or the encoded bytes. ``display_name`` is what people call it;
    empty for the file's own name. ``request_id`` makes sending it twice safe: the server answers the second
    time with the image of the first.
    """

    source: Path | bytes
    display_name: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    options: catalog_pb2.ProcessOptions | None = None
    request_id: str = field(default_factory=lambda: uuid.uuid4().hex)

    @property
    def name(self) -> str:
        """The display name, or the file's own name; empty for bytes without one."""
        chosen = self.display_name or (self.source.name if isinstance(self.source, Path) else "")
        # File names may hold bytes that are no text; messages cannot.
        return chosen.encode("utf-8", "replace").decode()

    def header(self, key: str, size_bytes: int) -> ingest_pb2.UploadHeader:
        """What goes before the bytes."""
        return ingest_pb2.UploadHeader(
            key=key,
            display_name=self.name,
            labels=self.labels,
            request_id=self.request_id,
            size_bytes=size_bytes,
            options=self.options,
        )


def as_photo(
    source: Photo | Path | str | bytes,
    labels: Mapping[str, str] | None = None,
    options: catalog_pb2.ProcessOptions | None = None,
) -> Photo:
    """The photo at a path or of these bytes; a ``Photo`` as it is."""
    if isinstance(source, Photo):
        return source
    where = Path(source) if isinstance(source, str) else source
    return Photo(where, labels=labels or {}, options=options)


def open_source(source: Path | bytes) -> tuple[BinaryIO, int]:
    """The bytes to read, and how many there are.

    Raises:
        OSError: the file is missing, may not be read, or is no regular file.
    """
    if isinstance(source, bytes):
        return io.BytesIO(source), len(source)
    # Looked at before it is opened: opening a pipe would wait for somebody to write into it.
    found = source.stat()
    if not stat.S_ISREG(found.st_mode):
        raise OSError(0, "Not a regular file")
    return source.open("rb"), found.st_size


async def open_aside(source: Path | bytes) -> tuple[BinaryIO, int]:
    """As ``open_source``, in a thread: a file may be on a slow disk or far away."""
    opening = asyncio.get_running_loop().run_in_executor(None, open_source, source)
    try:
        return await asyncio.shield(opening)
    except asyncio.CancelledError:
        # The thread goes on, and nobody is left to close what it opens.
        opening.add_done_callback(_close_opened)
        raise


def _close_opened(opening: asyncio.Future[tuple[BinaryIO, int]]) -> None:
    if not opening.cancelled() and opening.exception() is None:
        opening.result()[0].close()
