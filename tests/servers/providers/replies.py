"""What providers answer, good and bad. Shapes follow what the real ones were seen to send."""

from __future__ import annotations

import asyncio
import gzip
import json
from typing import Any

from tests.servers.providers.fake_provider import Connection, Received, Reply

CAPTION = "A red bus crosses a bridge."
ANSWER = json.dumps({"caption": CAPTION, "tags": ["bus", "bridge"], "objects": ["bus", "river"]})


def chat_answer(content: Any = ANSWER, finish_reason: str = "stop", **message: Any) -> dict[str, Any]:
    """A body that both vendors' schemas of a chat completion take."""
    return {
        "id": "cmpl-1",
        "object": "chat.completion",
        "created": 1_780_000_000,
        "model": "model-from-the-wire",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": content, "refusal": None, **message},
                "finish_reason": finish_reason,
                "logprobs": None,
            }
        ],
        "usage": {"prompt_tokens": 516, "completion_tokens": 41, "total_tokens": 557},
    }


def mistral_answer(content: Any = ANSWER, finish_reason: str = "stop") -> dict[str, Any]:
    """The same without what only OpenAI has."""
    answer = chat_answer(content, finish_reason)
    del answer["choices"][0]["logprobs"], answer["choices"][0]["message"]["refusal"]
    return answer


def sends(status: int, body: Any = b"", **headers: str) -> Reply:
    """One complete answer; ``body`` is JSON unless it is bytes or text."""
    content = (
        body
        if isinstance(body, bytes)
        else body.encode()
        if isinstance(body, str)
        else json.dumps(body).encode()
    )
    named = {name.replace("_", "-"): value for name, value in headers.items()}

    async def reply(connection: Connection, request: Received) -> None:
        await connection.send(status, content, named)

    return reply


def sends_gzip(body: Any) -> Reply:
    return sends(200, gzip.compress(json.dumps(body).encode()), Content_Encoding="gzip")


def resets_in_the_body() -> Reply:
    async def reply(connection: Connection, request: Received) -> None:
        connection.writer.write(b'HTTP/1.1 200 x\r\nContent-Length: 9999\r\n\r\n{"id":')
        await connection.writer.drain()
        connection.writer.transport.abort()

    return reply


def never_ends() -> Reply:
    """A body that goes on for as long as somebody reads it."""

    async def reply(connection: Connection, request: Received) -> None:
        connection.writer.write(b"HTTP/1.1 200 x\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            connection.writer.write(b"10000\r\n" + b" " * 0x10000 + b"\r\n")
            await connection.writer.drain()

    return reply


def holds(release: asyncio.Event, then: Reply, left: asyncio.Event | None = None) -> Reply:
    """Answers once ``release`` is set; sets ``left`` when the client hangs up before that."""

    async def reply(connection: Connection, request: Received) -> None:
        released = asyncio.ensure_future(release.wait())
        gone = asyncio.ensure_future(connection.client_left())
        await asyncio.wait({released, gone}, return_when=asyncio.FIRST_COMPLETED)
        if released.done():
            gone.cancel()
            await asyncio.gather(gone, return_exceptions=True)
            await then(connection, request)
            return
        released.cancel()
        if left:
            left.set()

    return reply


RATE_LIMITED = {
    "object": "error",
    "message": "Rate limit exceeded",
    "type": "rate_limited",
    "param": None,
    "code": "1300",
}
_EXTRA = {"type": "extra_forbidden", "loc": ["body", "seed"], "msg": "Extra inputs are not permitted"}
EXTRA_FORBIDDEN = {
    "object": "error",
    "message": {"detail": [_EXTRA]},
    "type": "invalid_request_error",
    "param": None,
    "code": None,
}
MODEL_NOT_FOUND = {"error": {"message": "The model does not exist", "param": None, "code": "model_not_found"}}
NO_JSON_SCHEMA = {
    "error": {
        "message": "'response_format' of type 'json_schema' is not supported with this model.",
        "type": "invalid_request_error",
        "param": None,
        "code": None,
    }
}
