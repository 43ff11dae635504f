"""One supervised process: started, watched, started again, stopped."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from sightmill.launcher.backoff import Backoff
from sightmill.launcher.output import Output
from sightmill.launcher.spawn import Spawned, kill_group, spawn
from sightmill.launcher.spec import ProcessSpec, Report
from sightmill.launcher.state_file import ProcessState, ProcessWord

_LOOK_STARTING_S = 0.1
_LOOK_TROUBLED_S = 1.0
_LOOK_READY_S = 5.0
_PREPARE_TIMEOUT_S = 30.0
EXIT_NOT_STARTED = 126


class Child:
    """Runs one spec until it is stopped. Whatever changes, ``on_change`` is called."""

    def __init__(
        self, spec: ProcessSpec, output: Output, log_path: Path, on_change: Callable[[str], None]
    ) -> None:
        self.spec = spec
        self.output = output
        self.deaths = 0
        self.last_exit: int | None = None
        self._log_path = log_path
        self._on_change = on_change
        self._word: ProcessWord = "waiting"
        self._report = Report(is_ready=False)
        self._since = _now()
        self._process: Spawned | None = None
        self._stopping = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def state(self) -> ProcessState:
        """How it is now."""
        return ProcessState(
            name=self.spec.name,
            address=self.spec.address,
            state=self._word,
            log=str(self._log_path),
            pid=self._process.pid if self._process else None,
            since=self._since,
            restarts=self.deaths,
            status_page=self.output.announced.get("status", ""),
            problems=self._report.problems,
            fallbacks=self._report.fallbacks,
        )

    @property
    def is_ready(self) -> bool:
        """True once it serves and everything that it needs answers."""
        return self._word == "ready"

    def start(self) -> None:
        """Begins to run it, in the background."""
        self._task = asyncio.create_task(self._live(), name=self.spec.name)

    async def stop(self) -> None:
        """Drains, asks it to end, and ends it when its time is up."""
        self._stopping.set()
        if self._process is not None:
            self._become("stopping")
            if self.spec.drain is not None:
                await self.spec.drain.drain()
            self._signal(signal.SIGTERM)
        if self._task is not None:
            _, late = await asyncio.wait([self._task], timeout=self.spec.stop_timeout_s)
            if late:
                self.output.note(f"not ended {self.spec.stop_timeout_s:g} s after SIGTERM: killed")
                self.kill()
                await asyncio.wait(late, timeout=5)
        self._become("stopped")

    def kill(self) -> None:
        """Ends the process and everything that it started, at once."""
        self._stopping.set()
        if self._process is not None:
            kill_group(self._process.pid)

    async def _live(self) -> None:
        backoff = Backoff()
        while not self._stopping.is_set():
            begun_s = time.monotonic()
            self.last_exit = await self._run_once()
            if self._stopping.is_set():
                return
            self.deaths += 1
            lived_s = time.monotonic() - begun_s
            delay_s = backoff.next_delay_s(lived_s)
            self._report = Report(is_ready=False, problems=(_say_exit(self.last_exit),))
            self._become(
                "waiting", f"{_say_exit(self.last_exit)} after {lived_s:.1f} s; again in {delay_s:g} s"
            )
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), delay_s)

    async def _run_once(self) -> int:
        """One life of the process; its exit status, negative for a signal."""
        self.output.begin()
        self._report = Report(is_ready=False, problems=("not listening yet",))
        self._become("starting")
        try:
            if self.spec.prepare:
                async with asyncio.timeout(_PREPARE_TIMEOUT_S):
                    code = await self._until_ended(await self._start(self.spec.prepare))
                if code or self._stopping.is_set():
                    return code
            return await self._serve(await self._start(self.spec.command))
        except (OSError, TimeoutError) as error:
            self.output.note(f"cannot be started: {error or 'the preparation takes too long'}")
            return EXIT_NOT_STARTED

    async def _serve(self, process: Spawned) -> int:
        self._become("starting")
        watch = asyncio.create_task(self._watch())
        try:
            return await self._until_ended(process)
        finally:
            watch.cancel()

    async def _start(self, command: tuple[str, ...]) -> Spawned:
        self._process = await spawn(
            command, self.spec.environment, self.output, inherited=self.spec.inherited
        )
        if self._stopping.is_set():
            self._signal(signal.SIGTERM)
        return self._process

    async def _until_ended(self, process: Spawned) -> int:
        try:
            return await process.until_ended()
        finally:
            self._process = None

    async def _watch(self) -> None:
        """Asks how it is: often until it is ready, seldom afterwards."""
        was_ready = False
        while True:
            report = await self.spec.probe.ask(self.output.announced)
            self._heed(report)
            was_ready = was_ready or self.is_ready
            if self.is_ready:
                await asyncio.sleep(_LOOK_READY_S)
            else:
                await asyncio.sleep(_LOOK_TROUBLED_S if was_ready else _LOOK_STARTING_S)

    def _heed(self, report: Report) -> None:
        if self._stopping.is_set():
            return
        before = (self._word, self._report)
        self._report = report
        word: ProcessWord = "ready" if report.is_ready and not report.problems else "starting"
        if word == "starting" and before[0] in {"ready", "degraded"}:
            word = "degraded"
        if (word, report) == before:
            return
        is_news = {word, before[0]} in ({"ready", "degraded"}, {"starting", "ready"})
        self._become(word, "; ".join(report.problems) or word if is_news else "")

    def _become(self, word: ProcessWord, text: str = "") -> None:
        if word != self._word:
            self._since = _now()
        self._word = word
        self._on_change(f"{self.spec.name}: {text}" if text else "")

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.signal(number)


def _say_exit(code: int | None) -> str:
    if code is not None and code < 0:
        return f"ended by {signal.Signals(-code).name}"
    return f"ended with status {code}"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
