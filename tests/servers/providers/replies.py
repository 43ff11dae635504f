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


def responses_answer(*parts: dict[str, Any], status: str = "completed", **changes: Any) -> dict[str, Any]:
    """A body that OpenAI's schema of a response takes; ``parts`` in place of the usual text."""
    return {
        "id": "resp_1",
        "object": "response",
        "created_at": 1_780_000_000,
        "status": status,
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "model": "model-from-the-wire",
        "output": [
            {"id": "rs_1", "type": "reasoning", "summary": []},
            {
                "id": "msg_1",
                "type": "message",
                "role": "assistant",
                "status": "completed" if status == "completed" else "incomplete",
                "content": list(parts) or [said()],
            },
        ],
        "parallel_tool_calls": True,
        "metadata": {},
        "temperature": 1.0,
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "usage": {
            "input_tokens": 516,
            "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
            "output_tokens": 41,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": 557,
        },
        **changes,
    }


def failed_response(code: str) -> dict[str, Any]:
    """A 200 that says that nothing came of it."""
    error = {"code": code, "message": "That did not work."}
    answer = responses_answer(status="failed", output=[], error=error)
    del answer["usage"]
    return answer


def said(text: str = ANSWER) -> dict[str, Any]:
    """The part of a response that holds text."""
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


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


def promises_too_much(body: bytes) -> Reply:
    """Ends before all the bytes that were announced are there."""

    async def reply(connection: Connection, request: Received) -> None:
        head = f"HTTP/1.1 200 x\r\nContent-Length: {len(body) + 500}\r\n\r\n".encode()
        connection.writer.write(head + body)
        await connection.writer.drain()
        connection.writer.close()

    return reply


def promises_too_little(body: bytes) -> Reply:
    """Announces fewer bytes than it sends."""

    async def reply(connection: Connection, request: Received) -> None:
        head = f"HTTP/1.1 200 x\r\nContent-Length: {len(body) - 30}\r\n\r\n".encode()
        connection.writer.write(head + body)
        await connection.writer.drain()

    return reply


def stops_in_the_body() -> Reply:
    """Sends a beginning and then nothing until the client leaves."""

    async def reply(connection: Connection, request: Received) -> None:
        connection.writer.write(b'HTTP/1.1 200 x\r\nContent-Length: 9999\r\n\r\n{"id":')
        await connection.writer.drain()
        await connection.client_left()

    return reply


def stops_before_the_head() -> Reply:
    """Says nothing until the client leaves."""

    async def reply(connection: Connection, request: Received) -> None:
        await connection.client_left()

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
CAPACITY_EXCEEDED = {
    "object": "error",
    "message": "Service tier capacity exceeded for this model.",
    "type": "service_tier_capacity_exceeded",
    "param": None,
    "code": "3505",
}
OLLAMA_BUSY = {
    "error": {
        "message": "server busy, please try again.  maximum pending requests exceeded",
        "type": "api_error",
        "param": None,
        "code": None,
    }
}


def openai_error(code: str, message: str = "That is not possible.") -> dict[str, Any]:
    """The body of a refusal of OpenAI's."""
    return {"error": {"message": message, "type": code, "param": None, "code": code}}


def gemini_limit(quota: str) -> list[dict[str, Any]]:
    """The body of a 429 of Gemini's, which names billing whatever the reason is."""
    return [
        {
            "error": {
                "code": 429,
                "message": "You exceeded your current quota, please check your plan and billing details.",
                "status": "RESOURCE_EXHAUSTED",
                "details": [
                    {
                        "@type": "type.googleapis.com/google.rpc.QuotaFailure",
                        "violations": [{"quotaId": quota}],
                    },
                    {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "34s"},
                ],
            }
        }
    ]
