"""Joins single calls that arrive while one is under way into one call: no added wait, few round trips."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from typing import Generic, TypeVar

Result = TypeVar("Result")


class MicroBatch(Generic[Result]):
    """``call`` takes at most ``max_size`` distinct keys and returns results by key, without missing ones."""

    def __init__(
        self, call: Callable[[Sequence[str]], Awaitable[Mapping[str, Result]]], max_size: int
    ) -> None:
        self._call = call
        self._max_size = max_size
        self._waiting: dict[str, list[asyncio.Future[Result | None]]] = {}
        self._runner: asyncio.Task[None] | None = None

    async def get(self, key: str) -> Result | None:
        """The result for one key; raises what the joint call raised."""
        answer: asyncio.Future[Result | None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(key, []).append(answer)
        if self._runner is None or self._runner.done():
            self._runner = asyncio.create_task(self._run())
        return await answer

    async def _run(self) -> None:
        while self._waiting:
            keys = list(self._waiting)[: self._max_size]
            batch = {key: self._waiting.pop(key) for key in keys}
            try:
                results = await self._call(keys)
            except Exception as error:  # noqa: BLE001  it is the callers'
                for answer in _unsettled(batch.values()):
                    answer.set_exception(error)
            else:
                for key, answers in batch.items():
                    for answer in _unsettled([answers]):
                        answer.set_result(results.get(key))


def _unsettled(
    groups: Iterable[list[asyncio.Future[Result | None]]],
) -> Iterator[asyncio.Future[Result | None]]:
    """Those whose caller has not gone away."""
    return (answer for answers in groups for answer in answers if not answer.done())
