"""A fake vendor as a process of its own: it can be killed, and it takes no time of those who ask it."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path

import psutil

ROOT = Path(__file__).parents[3]
START_S = 30.0


class VendorProcess:
    """Started by ``start``; whoever starts it ends it with ``kill``. The journal outlives it."""

    def __init__(self, vendor: str, journal: Path, latency_s: float = 0.0) -> None:
        self.journal = journal
        self.url = ""
        self._command = [sys.executable, "-m", "tests.servers.providers.fake_vendor", "--vendor", vendor]
        self._command += ["--journal", str(journal), "--latency-s", str(latency_s)]
        self._process: subprocess.Popen[str] | None = None

    @property
    def process(self) -> psutil.Process:
        """The running process."""
        assert self._process
        return psutil.Process(self._process.pid)

    def start(self) -> None:
        """Blocks until it listens: on a free port, and on the same one when it is started again."""
        port = self.url.rpartition(":")[2] or "0"
        self._process = subprocess.Popen(
            [*self._command, "--port", port],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout
        too_late = threading.Timer(START_S, self._process.kill)
        too_late.start()
        try:
            word, _, self.url = self._process.stdout.readline().strip().partition(" ")
        finally:
            too_late.cancel()
        if word != "READY":
            self.kill()
            raise RuntimeError("the fake vendor did not start")

    def kill(self) -> None:
        """Ends it without warning; once more is no harm."""
        if self._process:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def billed(self) -> Counter[str]:
        """How often each picture was charged for, over all its lives."""
        return Counter(self.journal.read_text().split())
