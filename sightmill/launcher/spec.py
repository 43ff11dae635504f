"""A process as data: what to run, how to see that it is well, and when to stop it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Report:
    """How a process is. It is ready with no problems; fallbacks are worth a warning."""

    is_ready: bool
    problems: tuple[str, ...] = ()
    fallbacks: tuple[str, ...] = ()


class Probe(Protocol):
    """A way to ask a process how it is."""

    async def ask(self, announced: Mapping[str, str]) -> Report:
        """Asks once, within a second or two. ``announced`` is what its READY line said; never raises."""


class Drain(Protocol):
    """Something to do before a process is told to stop."""

    async def drain(self) -> None:
        """Returns when it is done, or when it is no use to wait; never raises."""


@dataclass(frozen=True, slots=True)
class ProcessSpec:
    """One process of a suite.

    ``prepare`` is run to its end before every start. ``stage`` orders the stop: lower numbers go first,
    equal ones together. ``environment`` is the whole environment. ``inherited`` are open file descriptors
    to hand on.
    """

    name: str
    command: tuple[str, ...]
    probe: Probe
    address: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)
    prepare: tuple[str, ...] = ()
    stage: int = 0
    stop_timeout_s: float = 10.0
    drain: Drain | None = None
    inherited: tuple[int, ...] = ()
