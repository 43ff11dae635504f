"""All processes of a suite: started together, stopped in order, none left behind."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from itertools import groupby
from pathlib import Path

from sightmill.launcher.child import Child
from sightmill.launcher.errors import StartFailedError
from sightmill.launcher.log_file import LogFile
from sightmill.launcher.output import Output
from sightmill.launcher.spec import ProcessSpec
from sightmill.launcher.state_file import ProcessState

MAX_DEATHS_AT_START = 5
# A service ends with 2 when its settings are wrong or its port is taken: to try again would not help.
EXIT_USAGE = 2
_SHOWN_LINES = 15


class Supervisor:
    """Keeps the processes of ``specs`` running. ``on_change`` hears of every change, with a text for news."""

    def __init__(
        self,
        specs: Sequence[ProcessSpec],
        log_dir: Path,
        on_change: Callable[[str], None],
        log_max_bytes: int = 5 * 1024 * 1024,
    ) -> None:
        self._changed = asyncio.Event()
        self._tell = on_change
        self._children: list[Child] = []
        for spec in specs:
            path = log_dir / f"{spec.name}.log"
            self._children.append(Child(spec, Output(LogFile(path, log_max_bytes)), path, self._on_change))

    @property
    def states(self) -> tuple[ProcessState, ...]:
        """How every process is, in the order of the specs."""
        return tuple(child.state for child in self._children)

    @property
    def is_healthy(self) -> bool:
        """True while every process is ready."""
        return all(child.is_ready for child in self._children)

    async def start(self, timeout_s: float) -> None:
        """Starts all of them at the same time and returns when all are ready.

        Raises:
            StartFailedError: one ends again and again, or is not ready in time; with its last lines.
        """
        for child in self._children:
            child.start()
        try:
            async with asyncio.timeout(timeout_s):
                while not self.is_healthy:
                    self._fail_if_hopeless()
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            late = [child for child in self._children if not child.is_ready]
            raise StartFailedError(
                f"Not ready within {timeout_s:g} s (SIGHTMILL_LAUNCHER_START_TIMEOUT_S):\n"
                + "\n".join(_explain(child) for child in late)
            ) from None

    async def stop(self) -> None:
        """Stops stage after stage, each process within its own time."""
        ordered = sorted(self._children, key=lambda child: child.spec.stage)
        for _, stage in groupby(ordered, key=lambda child: child.spec.stage):
            await asyncio.gather(*(child.stop() for child in stage))
        for child in self._children:
            child.output.close()

    def kill(self) -> None:
        """Ends everything at once."""
        for child in self._children:
            child.kill()

    def _fail_if_hopeless(self) -> None:
        for child in self._children:
            if child.deaths >= MAX_DEATHS_AT_START:
                raise StartFailedError(f"{child.spec.name} ended {child.deaths} times.\n{_explain(child)}")
            if child.deaths and child.last_exit == EXIT_USAGE:
                raise StartFailedError(f"{child.spec.name} cannot start.\n{_explain(child)}")

    def _on_change(self, text: str) -> None:
        self._changed.set()
        self._tell(text)


def _explain(child: Child) -> str:
    problems = "; ".join(child.state.problems) or child.state.state
    lines = "\n".join(f"    {line}" for line in child.output.tail[-_SHOWN_LINES:])
    return f"{child.spec.name}: {problems}\n{lines}\n    (all of it: {child.state.log})"
