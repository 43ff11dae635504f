"""The images that calls carry themselves: what they take in memory, all calls together."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

from services.runtime.errors import Reason, ResourceExhaustedError
from sightmill.v1 import common_pb2

# The bound in images of the largest size.
LARGEST_IMAGES = 8


class Content:
    """The bytes that came with one call, as long as they are needed; none where a blob was named."""

    def __init__(self, source: common_pb2.ImageSource, *, is_kept: bool) -> None:
        self.size_bytes = len(source.content)
        self.is_held = self.size_bytes > 0
        self._is_kept = is_kept
        self._source: common_pb2.ImageSource | None = source

    def read(self) -> bytes:
        """A copy; nobody asks for one after ``let_go``."""
        return self._source.content if self._source else b""

    def let_go(self) -> None:
        """Frees the memory where this is the last one to hold the message."""
        if not self._is_kept:
            self._source = None
            self.is_held = False


class ContentBytes:
    """Counts what calls carry; streams stop reading and single calls are refused above ``limit_bytes``."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._contents: set[Content] = set()

    def is_roomy(self) -> bool:
        """Whether streams may read ahead."""
        return self._held_bytes() < self._limit_bytes

    def of_item(self, source: common_pb2.ImageSource) -> AbstractContextManager[Content]:
        """Counts an item of a stream until it is let go, or ends."""
        return self._counted(Content(source, is_kept=False))

    def of_call(self, source: common_pb2.ImageSource) -> AbstractContextManager[Content]:
        """Counts a single call until it ends: that long gRPC keeps its message.

        Raises ResourceExhaustedError (OVERLOADED) when it does not fit besides the others.
        """
        content = Content(source, is_kept=True)
        if content.size_bytes and self._held_bytes() + content.size_bytes > self._limit_bytes:
            raise ResourceExhaustedError(
                Reason.OVERLOADED,
                f"Images of {self._limit_bytes} bytes together are in work already; come back, or store the "
                "image and name its blob.",
                retry_after_s=2.0,
                limit_bytes=self._limit_bytes,
            )
        return self._counted(content)

    @contextmanager
    def _counted(self, content: Content) -> Iterator[Content]:
        self._contents.add(content)
        try:
            yield content
        finally:
            # Others may wait for the same image and go on with this content: it is not let go here.
            self._contents.discard(content)

    def _held_bytes(self) -> int:
        return sum(content.size_bytes for content in self._contents if content.is_held)
