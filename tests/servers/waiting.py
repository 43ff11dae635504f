"""Waiting for a state, never for a time."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable

_LOOK_S = 0.01


async def until(condition: Callable[[], bool | Awaitable[bool]], what: str, timeout_s: float = 10.0) -> None:
    """Returns when ``condition`` holds; fails naming ``what`` after ``timeout_s``."""
    deadline_s = asyncio.get_running_loop().time() + timeout_s
    while True:
        holds = condition()
        if await holds if inspect.isawaitable(holds) else holds:
            return
        if asyncio.get_running_loop().time() > deadline_s:
            raise AssertionError(f"Not within {timeout_s} s: {what}.")
        await asyncio.sleep(_LOOK_S)
