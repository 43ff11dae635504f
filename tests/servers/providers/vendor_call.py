"""A request to a fake vendor and its reply, apart from any socket."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

# "cut" ends the connection in the middle of the body; "slow" sends head and body with a pause between.
Wire = Literal["whole", "cut", "slow"]


@dataclass(frozen=True, slots=True)
class Call:
    """One request; header names in lower case."""

    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def key(self) -> str:
        """The bearer's key, empty without one."""
        scheme, _, key = self.headers.get("authorization", "").partition(" ")
        return key.strip() if scheme.lower() == "bearer" else ""


@dataclass(frozen=True, slots=True)
class Reply:
    """What goes back, ``after_s`` from now. ``bills`` is the digest of the picture that is charged for."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    after_s: float = 0.0
    bills: str = ""
    wire: Wire = "whole"

    @property
    def json(self) -> Any:
        """The body, read."""
        return json.loads(self.body)


class Refused(Exception):  # noqa: N818  it is how a vendor says no, and no fault
    """Carries the reply of a request that is not answered."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(reply.status)
        self.reply = reply


def json_reply(status: int, body: object, headers: Mapping[str, str] | None = None, bills: str = "") -> Reply:
    """A reply of JSON."""
    named = {"Content-Type": "application/json", **(headers or {})}
    return Reply(status, json.dumps(body).encode(), named, bills=bills)
