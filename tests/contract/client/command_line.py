"""The command line as a process of its own, and what a terminal makes of what it prints."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.cells import cell_len

WAIT_S = 60.0
ROOT = Path(__file__).parents[3]


@dataclass(frozen=True)
class Ended:
    """A finished process."""

    code: int
    out: str
    err: str

    @property
    def documents(self) -> list[dict[str, Any]]:
        """Each line of its output as JSON."""
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def words(self) -> str:
        """Its output with the lines joined, for sentences that are folded."""
        return " ".join(self.out.split())


async def run_command(address: str, *arguments: str | Path, columns: int = 80) -> Ended:
    """``sightmill`` with these arguments, in a terminal so wide, in UTC."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "sightmill.cli", *map(str, arguments)),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={
            **os.environ,
            "COLUMNS": str(columns),
            "PYTHONPATH": str(ROOT),
            "SIGHTMILL_ADDRESS": address,
            "TZ": "UTC",
        },
    )
    async with asyncio.timeout(WAIT_S):
        out, err = await process.communicate()
    return Ended(process.returncode or 0, out.decode(), err.decode())


def fits(text: str, columns: int = 80) -> bool:
    """Whether no line is wider."""
    return all(cell_len(line) <= columns for line in text.splitlines())


def is_harmless(text: str) -> bool:
    """Whether nothing in it steers a terminal."""
    return all(char.isprintable() or char == "\n" for char in text)
