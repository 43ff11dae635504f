"""A launcher as a process, with fake services behind it."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from tests.e2e.launcher.running import ENVIRONMENT, SUITE, Launcher, Start


@pytest_asyncio.fixture
async def start(tmp_path: Path) -> AsyncIterator[Start]:
    """Starts launchers; whatever a test leaves running is ended by its number."""
    started: list[Launcher] = []

    async def begin(*how: str, data_dir: Path | None = None) -> Launcher:
        folder = data_dir or tmp_path / "data"
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            str(SUITE),
            str(folder),
            *how,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=ENVIRONMENT,
        )
        started.append(Launcher(process, folder))
        return started[-1]

    yield begin
    for launcher in started:
        if launcher.process.returncode is None:
            launcher.process.kill()
        await launcher.process.communicate()
