"""What goes wrong at a vendor once in a while: each takes the honest reply and gives another."""

from __future__ import annotations

import dataclasses
import gzip
import json
from collections.abc import Callable
from typing import Any

from tests.servers.providers.fake_account import Fault
from tests.servers.providers.vendor_call import Reply


def instead(reply: Reply, **headers: str) -> Fault:
    """``reply`` in place of the honest one, with these headers besides (``_`` stands for ``-``)."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    other = dataclasses.replace(reply, headers={**reply.headers, **named})
    return lambda _honest: other


def bad_gateway() -> Fault:
    """The page of a proxy in front of the vendor."""
    page = b"<html><head><title>502 Bad Gateway</title></head><body>cloudflare</body></html>"
    return lambda _honest: Reply(502, page, {"Content-Type": "text/html"})


def cut() -> Fault:
    """The answer is charged for, and the connection ends in the middle of it."""
    return lambda honest: dataclasses.replace(honest, wire="cut")


def slow(after_s: float) -> Fault:
    """The whole answer ``after_s`` later."""
    return lambda honest: dataclasses.replace(honest, after_s=honest.after_s + after_s)


def slow_body() -> Fault:
    """The head at once; the body in two pieces with a pause between."""
    return lambda honest: dataclasses.replace(honest, wire="slow")


def compressed() -> Fault:
    """A body that is compressed although nobody asked for that."""

    def fault(honest: Reply) -> Reply:
        headers = {**honest.headers, "Content-Encoding": "gzip"}
        return dataclasses.replace(honest, body=gzip.compress(honest.body), headers=headers)

    return fault


def says(text: object, finish_reason: str = "stop", **message: object) -> Fault:
    """A chat answer of another content; ``message`` adds to what the model says."""

    def change(body: Any) -> None:
        choice = body["choices"][0]
        choice["message"].update(content=text, **message)
        choice["finish_reason"] = finish_reason

    return _changed(change)


def cut_short() -> Fault:
    """The token limit ends the answer in the middle of a list."""

    def change(body: Any) -> None:
        choice = body["choices"][0]
        choice["message"]["content"] = choice["message"]["content"].rstrip("}] \n")[:-3]
        choice["finish_reason"] = "length"

    return _changed(change)


def _changed(change: Callable[[Any], None]) -> Fault:
    def fault(honest: Reply) -> Reply:
        body = honest.json
        change(body)
        return dataclasses.replace(honest, body=json.dumps(body).encode())

    return fault
