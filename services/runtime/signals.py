"""How a process hears that it is to stop."""

from __future__ import annotations

import asyncio
import os
import signal


def stop_on_signals(signalled: asyncio.Event) -> None:
    """Sets ``signalled`` on SIGTERM and SIGINT; a second signal ends the process at once."""

    def on_signal() -> None:
        if signalled.is_set():
            os._exit(1)  # a second signal: the operator does not want to wait
        signalled.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal)
