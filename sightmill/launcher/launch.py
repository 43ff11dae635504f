"""The launcher's life: lock, checks, start, watch, and an ordered end."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from typing import Any

from sightmill.launcher.data_lock import data_lock
from sightmill.launcher.errors import LaunchError
from sightmill.launcher.log_file import LogFile
from sightmill.launcher.ports import require_free
from sightmill.launcher.settings import LaunchSettings
from sightmill.launcher.state_file import LauncherState, SuiteWord, own_identity, write_state
from sightmill.launcher.suite import Suite, build_suite
from sightmill.launcher.supervisor import Supervisor

Build = Callable[[LaunchSettings, int], Suite]
Healthy = Callable[[LauncherState], Coroutine[Any, Any, None]]
EXIT_KILLED = 130


def check(settings: LaunchSettings, *, with_ports: bool) -> None:
    """Finds what would stop the suite from starting, before anything does.

    Raises:
        LaunchError: the folder or a port is in use.
    """
    with data_lock(settings.lock_path, settings.state_path):
        if with_ports:
            require_free(settings.listens)


async def launch(
    settings: LaunchSettings,
    on_healthy: Healthy,
    say: Callable[[str], None],
    build: Build = build_suite,
) -> None:
    """Runs the suite until a signal says stop; ``on_healthy`` is called once, when all is up.

    A second signal ends everything at once and this process with it (status 130).

    Raises:
        LaunchError: it did not come up; everything that had started is stopped again.
    """
    with data_lock(settings.lock_path, settings.state_path) as descriptor:
        require_free(settings.listens)
        run = _Run(settings, build(settings, descriptor), say)
        try:
            await run.live(on_healthy)
        finally:
            run.end()


class _Run:
    """One run of the suite, from the first process to the last."""

    def __init__(self, settings: LaunchSettings, suite: Suite, say: Callable[[str], None]) -> None:
        self._settings = settings
        self._suite = suite
        self._say = say
        self._word: SuiteWord = "starting"
        self._error = ""
        self._identity = own_identity()
        self._started = datetime.now(UTC).isoformat(timespec="seconds")
        self._log = LogFile(settings.log_dir / "launcher.log", settings.log_max_bytes)
        self._stop = asyncio.Event()
        self._supervisor = Supervisor(suite.specs, settings.log_dir, self._on_change, settings.log_max_bytes)

    async def live(self, on_healthy: Healthy) -> None:
        """Starts, waits for a signal, stops."""
        self._listen_for_signals()
        try:
            if await self._start():
                self._word = "healthy"
                self._on_change("all processes are ready")
                greeting = asyncio.create_task(on_healthy(self._state()))
                await self._stop.wait()
                greeting.cancel()
                await asyncio.wait([greeting])
        except LaunchError as error:
            self._error = str(error)
            raise
        finally:
            self._word = "failed" if self._error else "stopping"
            self._on_change("stopping")
            await self._supervisor.stop()

    def end(self) -> None:
        """Leaves no process, and no state that claims to be current."""
        self._supervisor.kill()
        self._log.close()
        if not self._error:
            self._settings.state_path.unlink(missing_ok=True)

    async def _start(self) -> bool:
        """True when all came up; False when a signal came first."""
        starting = asyncio.create_task(self._supervisor.start(self._settings.start_timeout_s))
        stopping = asyncio.create_task(self._stop.wait())
        await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if starting.done():
            starting.result()
            return not self._stop.is_set()
        starting.cancel()
        await asyncio.gather(starting, return_exceptions=True)
        return False

    def _state(self) -> LauncherState:
        pid, token = self._identity
        word = self._word
        if word == "healthy" and not self._supervisor.is_healthy:
            word = "degraded"
        return LauncherState(
            pid=pid,
            start_token=token,
            started=self._started,
            state=word,
            data_dir=str(self._settings.data_dir),
            addresses=self._suite.addresses,
            processes=self._supervisor.states,
            notes=self._suite.notes,
            error=self._error,
        )

    def _on_change(self, text: str) -> None:
        with contextlib.suppress(OSError):  # a full disk must not end the suite
            write_state(self._settings.state_path, self._state())
        if text:
            time = datetime.now(UTC).isoformat(timespec="milliseconds")
            self._log.write(f"{time} {text}\n".encode())
            self._say(text)

    def _listen_for_signals(self) -> None:
        loop = asyncio.get_running_loop()
        numbers = [signal.SIGINT, signal.SIGTERM]
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # ignored under nohup, which means it
            numbers.append(signal.SIGHUP)
        for number in numbers:
            loop.add_signal_handler(number, self._on_signal)

    def _on_signal(self) -> None:
        if self._stop.is_set():
            self._say("ended at once")
            self.end()
            os._exit(EXIT_KILLED)
        self._stop.set()
