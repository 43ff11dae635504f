"""multipart/form-data read as a stream: parts and chunks as they arrive, never a body as a whole.

Feeds python-multipart's parser directly, which costs half of what a form with temporary files does.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, MultipartState, parse_options_header

from gateway.errors import MalformedBodyError
from services.runtime.errors import InvalidArgumentError, Reason, ServiceError

BLOCK_BYTES = 262_144
MAX_NAME_CHARS = 255
# Control characters, halves of surrogate pairs, and marks that turn the direction of writing.
_UNFIT = re.compile(r"[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Limits:
    """What one body may hold. All bounds are inclusive."""

    max_file_bytes: int
    max_body_bytes: int
    max_parts: int = 1_000
    max_field_bytes: int = 65_536
    max_headers: int = 8
    max_header_bytes: int = 4_224


@dataclass(slots=True)
class Part:
    """One part. ``file_name`` is None for a plain field, and the cleaned base name for a file.

    ``extension`` is lower case, without the dot, of the name before it was cut.
    """

    name: str
    file_name: str | None
    extension: str
    content_type: str
    _reader: MultipartReader

    async def chunks(self) -> AsyncIterator[bytes]:
        """The bytes as they arrive; what is not read is skipped. Raises as the reader does."""
        while chunk := await self._reader.next_chunk():
            yield chunk

    async def blocks(self) -> AsyncIterator[bytes]:
        """The bytes in blocks of 262,144, the last one shorter."""
        buffer = bytearray()
        async for chunk in self.chunks():
            buffer += chunk
            while len(buffer) >= BLOCK_BYTES:
                yield bytes(memoryview(buffer)[:BLOCK_BYTES])
                del buffer[:BLOCK_BYTES]
        if buffer:
            yield bytes(buffer)

    async def text(self) -> str:
        """The value of a plain field."""
        return b"".join([chunk async for chunk in self.chunks()]).decode("utf-8", "replace")


@dataclass(slots=True)
class _Heading:
    """Headers of the part that is being read."""

    name: bytes = b""
    value: bytes = b""
    values: dict[bytes, bytes] = field(default_factory=dict)


class MultipartReader:
    """Reads one body. Raises InvalidArgumentError (IMAGE_TOO_LARGE) or MalformedBodyError.

    What was whole before the fault is given out first, however the body was cut into chunks on its way.
    """

    def __init__(self, body: AsyncIterator[bytes], content_type: str, limits: Limits) -> None:
        self._body = body
        self._limits = limits
        self._events: deque[Part | bytes | None] = deque()
        self._failure: ServiceError | None = None
        self._heading = _Heading()
        self._body_bytes = self._part_bytes = self._parts = 0
        self._is_file = self._ended = False
        self._parser = self._build_parser(content_type)

    def __aiter__(self) -> AsyncIterator[Part]:
        return self

    async def __anext__(self) -> Part:
        """The next part; skips what is left of the one before."""
        while await self._fill():
            event = self._events.popleft()
            if isinstance(event, Part):
                return event
        raise StopAsyncIteration

    async def next_chunk(self) -> bytes:
        """The next bytes of the part that was given out last; empty at its end."""
        if not await self._fill() or isinstance(self._events[0], Part):
            return b""
        event = self._events.popleft()
        return event if isinstance(event, bytes) else b""

    async def _fill(self) -> bool:
        """Parses until there is an event; False after the last one."""
        while not self._events:
            if self._failure:
                raise self._failure
            if self._ended:
                return False
            await self._feed()
        return True

    async def _feed(self) -> None:
        try:
            data = await anext(self._body, None)
            if data is None:
                self._ended = True
                self._require_end()
                return
            self._body_bytes += len(data)
            if self._body_bytes > self._limits.max_body_bytes:
                raise _too_large("The body", self._limits.max_body_bytes)
            self._parser.write(data)
        except FormParserError as fault:
            self._failure = MalformedBodyError(f"The body is not multipart/form-data: {fault}.")
        except ServiceError as error:
            self._failure = error

    def _require_end(self) -> None:
        if self._body_bytes and self._parser.state != MultipartState.END:
            raise MalformedBodyError(
                "The body ended before its last boundary; send it again.", Reason.UPLOAD_INCOMPLETE
            )

    def _build_parser(self, content_type: str) -> MultipartParser:
        kind, options = parse_options_header(content_type)
        boundary = options.get(b"boundary")
        if kind != b"multipart/form-data" or not boundary:
            raise MalformedBodyError(
                "Send multipart/form-data with a boundary in Content-Type.", field="Content-Type"
            )
        try:
            return MultipartParser(
                boundary,
                {
                    "on_part_begin": self._begin_part,
                    "on_header_field": self._add_name,
                    "on_header_value": self._add_value,
                    "on_header_end": self._end_header,
                    "on_headers_finished": self._end_headers,
                    "on_part_data": self._add_data,
                    "on_part_end": lambda: self._events.append(None),
                },
                max_header_count=self._limits.max_headers,
                max_header_size=self._limits.max_header_bytes,
            )
        except FormParserError as fault:
            raise MalformedBodyError(f"{fault}.") from None

    def _begin_part(self) -> None:
        self._heading = _Heading()
        self._part_bytes = 0
        self._parts += 1
        if self._parts > self._limits.max_parts:
            raise MalformedBodyError(f"More than {self._limits.max_parts} parts; send several requests.")

    def _add_name(self, data: bytes, start: int, end: int) -> None:
        self._heading.name += data[start:end]

    def _add_value(self, data: bytes, start: int, end: int) -> None:
        self._heading.value += data[start:end]

    def _end_header(self) -> None:
        heading = self._heading
        heading.values[heading.name.lower()] = heading.value
        heading.name = heading.value = b""

    def _end_headers(self) -> None:
        headers = self._heading.values
        kind, options = parse_options_header(headers.get(b"content-disposition", b""))
        if kind != b"form-data" or b"name" not in options:
            raise MalformedBodyError("Each part needs Content-Disposition: form-data with a name.")
        raw = options.get(b"filename")
        base = None if raw is None else base_name(raw.decode("utf-8", "replace"))
        self._is_file = base is not None
        self._events.append(
            Part(
                name=options[b"name"].decode("utf-8", "replace"),
                file_name=None if base is None else base[:MAX_NAME_CHARS],
                extension=base.rpartition(".")[2].lower() if base and "." in base else "",
                content_type=parse_options_header(headers.get(b"content-type", b""))[0].decode("latin-1"),
                _reader=self,
            )
        )

    def _add_data(self, data: bytes, start: int, end: int) -> None:
        self._part_bytes += end - start
        if self._is_file and self._part_bytes > self._limits.max_file_bytes:
            raise _too_large("The file", self._limits.max_file_bytes)
        if not self._is_file and self._part_bytes > self._limits.max_field_bytes:
            raise MalformedBodyError(f"A field has at most {self._limits.max_field_bytes} bytes.")
        self._events.append(data[start:end])


def base_name(name: str) -> str:
    """The last component of a client's file name, without characters that do harm where it is shown."""
    return _UNFIT.sub("", re.split(r"[/\\]", name)[-1]).strip()


def _too_large(what: str, limit_bytes: int) -> InvalidArgumentError:
    return InvalidArgumentError(
        Reason.IMAGE_TOO_LARGE, f"{what} is larger than {limit_bytes} bytes.", limit_bytes=limit_bytes
    )
