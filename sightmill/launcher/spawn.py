"""Starting one program behind the guard, with its output in our hands."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass

from sightmill.launcher import guard
from sightmill.launcher.output import Output

# What shares its output with a process that ended, and holds it open, is not waited for longer than this.
_OUTPUT_TIMEOUT_S = 0.5
_GUARD = (sys.executable, "-I", "-S", guard.__file__)


@dataclass(frozen=True, slots=True)
class Spawned:
    """A started program and the task that follows its output."""

    process: asyncio.subprocess.Process
    follow: asyncio.Task[None]
    transport: asyncio.ReadTransport

    @property
    def pid(self) -> int:
        """Its number, which is also that of its process group."""
        return self.process.pid

    async def until_ended(self) -> int:
        """Its exit status, negative for a signal. Ends what it leaves behind, also when cancelled."""
        try:
            code = await self.process.wait()
            kill_group(self.pid)
            await asyncio.wait([self.follow], timeout=_OUTPUT_TIMEOUT_S)
            return code
        finally:
            kill_group(self.pid)
            self.follow.cancel()
            self.transport.close()

    def signal(self, number: signal.Signals) -> None:
        """Sends a signal to the program alone."""
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(number)


async def spawn(
    command: tuple[str, ...], environment: Mapping[str, str], output: Output, inherited: tuple[int, ...] = ()
) -> Spawned:
    """Starts a program in a session of its own: Ctrl-C is for the launcher alone.

    Call it on the main thread: the tie to the launcher is to the thread that spawns.

    Raises:
        OSError: the system has no room for another process.
    """
    # A pipe of our own, because with one of asyncio's the wait for the end would last until all who share
    # the pipe have closed it.
    ours, theirs = os.pipe()
    try:
        process = await asyncio.create_subprocess_exec(
            *_GUARD,
            str(os.getpid()),
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=theirs,
            stderr=theirs,
            env=dict(environment),
            start_new_session=True,
            pass_fds=inherited,
        )
    except OSError:
        os.close(ours)
        raise
    finally:
        os.close(theirs)
    reader = asyncio.StreamReader()
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(ours, "rb", buffering=0)
    )
    return Spawned(process, asyncio.create_task(output.follow(reader)), transport)


def kill_group(leader: int) -> None:
    """Ends a process and all that it has started."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, signal.SIGKILL)
