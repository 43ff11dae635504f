"""The two rooms that decode what strangers send, with child processes and default limits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import psutil

from services.analyzer.decode import DecodeLimits, Decoder, open_decode_children
from services.analyzer.process import configure_threads
from services.ingest import guard
from services.runtime.child_processes import ChildProcesses
from services.runtime.errors import InvalidArgumentError, Reason

MIB = 1 << 20
LIMITED = {Reason.IMAGE_TOO_MANY_PIXELS, Reason.IMAGE_DECODE_TIMEOUT, Reason.IMAGE_TOO_LARGE}


@dataclass(frozen=True)
class Room:
    """``judge`` gives the size of an image; ``children`` are the room's."""

    judge: Callable[[bytes], tuple[int, int]]
    children: ChildProcesses

    def answer(self, data: bytes) -> tuple[int, int] | str:
        """The size, or the reason why the image is refused; anything else is raised."""
        try:
            return self.judge(data)
        except InvalidArgumentError as error:
            limits = [key for key in error.metadata if key.startswith("limit_")]
            if error.reason in LIMITED and not limits:
                raise AssertionError("a limit that is not named") from error
            return error.reason_name

    def peak_bytes(self) -> int:
        """The most memory that a living child has had."""
        peaks = [0]
        for child in psutil.Process().children():
            with open(f"/proc/{child.pid}/status") as status:  # noqa: PTH123
                peaks += [int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM")]
        return max(peaks)


def open_guard() -> Room:
    limits = guard.Limits(max_pixels=50_000_000, max_total_pixels=200_000_000)
    guard.prepare(limits)
    children = guard.open_guard_children(limits, 1)

    def judge(data: bytes) -> tuple[int, int]:
        found = guard.inspect(data, limits, children)
        return found.width, found.height

    return Room(judge, children)


def open_analyzer() -> Room:
    configure_threads()
    limits = DecodeLimits()
    children = open_decode_children(limits, 1)
    decoder = Decoder(limits, children)

    def judge(data: bytes) -> tuple[int, int]:
        picture = decoder.decode(data)
        return picture.width, picture.height

    return Room(judge, children)
