"""``python -m services.analyzer`` as an operator starts it, and what the system knows of it."""

from __future__ import annotations

import asyncio
import io
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import grpc
import psutil
from PIL import Image, ImageDraw, ImageFont

from services.runtime.channels import message_options
from tests.servers.waiting import until

ROOT = Path(__file__).parents[3]
# A process that uses no more than this has nothing to do: two ticks of the kernel's clock.
IDLE_WINDOW_S = 0.25
IDLE_CPU_S = 0.02


@dataclass
class AnalyzerProcess:
    """The running process."""

    process: asyncio.subprocess.Process
    address: str
    system: psutil.Process

    def channel(self) -> grpc.aio.Channel:
        """A channel of its own."""
        return grpc.aio.insecure_channel(self.address, options=message_options(72 * 2**20))

    def cpu_s(self) -> float:
        """CPU time used so far."""
        times = self.system.cpu_times()
        return float(times.user + times.system)

    async def busy(self, cpu_s: float) -> None:
        """Waits until so much more CPU time is used."""
        goal_s = self.cpu_s() + cpu_s
        await until(lambda: self.cpu_s() >= goal_s, f"{cpu_s} s of CPU time are used", timeout_s=60)

    async def settle(self) -> float:
        """Waits until it uses next to nothing; the CPU time that it used until then."""
        begun_s = self.cpu_s()

        async def rests() -> bool:
            before_s = self.cpu_s()
            await asyncio.sleep(IDLE_WINDOW_S)
            return self.cpu_s() - before_s <= IDLE_CPU_S

        await until(rests, "the process is idle", timeout_s=30)
        return self.cpu_s() - begun_s

    async def stop(self) -> str:
        """SIGTERM; the log."""
        self.process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(30):
            _, log = await self.process.communicate()
        return log.decode()


@asynccontextmanager
async def analyzer_process(folder: Path, **settings: str) -> AsyncIterator[AnalyzerProcess]:
    """Two threads on a free port; ended at the end, whatever it does."""
    names = {f"SIGHTMILL_{name.upper()}": value for name, value in settings.items()}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services.analyzer",
        cwd=folder,
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "SIGHTMILL_ANALYZER_LISTEN": "127.0.0.1:0",
            "SIGHTMILL_ANALYZER_THREADS": "2",
            "SIGHTMILL_DATA_DIR": str(folder / "data"),
            **names,
        },
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        assert process.stdout
        async with asyncio.timeout(30):
            ready = (await process.stdout.readline()).decode().split()
        assert ready[:2] == ["READY", "analyzer"], ready
        yield AnalyzerProcess(process, ready[2].removeprefix("grpc="), psutil.Process(process.pid))
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


@cache
def page(width: int = 1240, height: int = 1754, glyph_px: int = 18) -> bytes:
    """A PNG full of text, which takes Tesseract seconds."""
    image = Image.new("L", (width, height), 255)
    draw = ImageDraw.Draw(image)
    font = ImageFont.load_default(glyph_px)
    line = "seven wizards quietly fix the broken lamps near a quay while brown foxes jump "
    for number, top in enumerate(range(10, height - glyph_px, round(1.5 * glyph_px))):
        shift = number * 7 % len(line)
        draw.text((10, top), (line[shift:] + 4 * line)[: round(1.7 * width / glyph_px)], 0, font)
    target = io.BytesIO()
    image.save(target, "PNG")
    return target.getvalue()
