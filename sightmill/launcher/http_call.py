"""The few bytes of HTTP that asking a process for its state takes."""

from __future__ import annotations

import asyncio

MAX_ANSWER_BYTES = 256 * 1024


async def http_call(
    address: str, path: str, *, method: str = "GET", timeout_s: float = 2.0
) -> tuple[int, bytes]:
    """Status code and body, cut at 256 KiB.

    Raises:
        OSError: nobody listens. TimeoutError: no answer in time. ValueError: the answer is not HTTP.
    """
    # Not HTTP/1.0, which would be simpler to read: Envoy refuses it.
    request = f"{method} {path} HTTP/1.1\r\nHost: {address}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    async with asyncio.timeout(timeout_s):
        host, _, port = address.rpartition(":")
        reader, writer = await asyncio.open_connection(host.strip("[]"), int(port))
        try:
            writer.write(request.encode("ascii"))
            answer = b""
            while (more := await reader.read(65_536)) and len(answer) < MAX_ANSWER_BYTES:
                answer += more
        finally:
            writer.close()
    return parse_answer(answer)


def parse_answer(answer: bytes) -> tuple[int, bytes]:
    """Status code and body of a whole answer; ValueError when it is none."""
    head, separator, body = answer.partition(b"\r\n\r\n")
    words = head.split(b" ", 2)
    if not separator or len(words) < 2 or not words[0].startswith(b"HTTP/"):
        raise ValueError("the answer is not HTTP")
    if b"transfer-encoding: chunked" in head.lower():
        body = _joined(body)
    return int(words[1]), body


def _joined(chunked: bytes) -> bytes:
    body = b""
    while chunked:
        size_text, _, rest = chunked.partition(b"\r\n")
        size_bytes = int(size_text.partition(b";")[0], 16)
        if size_bytes == 0:
            break
        body += rest[:size_bytes]
        chunked = rest[size_bytes + 2 :]
    return body
