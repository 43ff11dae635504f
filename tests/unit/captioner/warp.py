"""An event loop whose clock jumps to the next timer, so that minutes pass in milliseconds."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class _JumpingSelector(selectors.DefaultSelector):
    offset_s = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready and timeout:
            self.offset_s += timeout
        return ready


class WarpLoop(asyncio.SelectorEventLoop):
    """Time stands still while code runs, and jumps when everybody waits."""

    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        return 1_000.0 + self._jumping.offset_s


def run_warped(work: Coroutine[Any, Any, T]) -> T:
    """Runs ``work`` to its end in virtual time."""
    with asyncio.Runner(loop_factory=WarpLoop) as runner:
        return runner.run(work)
