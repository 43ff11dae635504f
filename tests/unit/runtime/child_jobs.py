"""Jobs for child processes: good ones, and such as crash, hang, eat memory or refuse."""

from __future__ import annotations

import ctypes
import os
import re
import signal
import sys
import threading

import numpy as np
import numpy.typing as npt

from services.runtime.child_processes import ChildProcesses
from services.runtime.errors import InvalidArgumentError, Reason

_prepared: list[str] = []


def prepare() -> None:
    _prepared.append("once")


def prepared() -> list[str]:
    return _prepared


def identify() -> int:
    return os.getpid()


def describe() -> dict[str, object]:
    """What surrounds a child."""
    return {
        "sigterm": signal.getsignal(signal.SIGTERM) is signal.SIG_IGN,
        "sigint": signal.getsignal(signal.SIGINT) is signal.SIG_IGN,
        "group": os.getpgrp() == os.getpid(),
        "environment": sorted(os.environ),
        "threads": os.environ["OMP_NUM_THREADS"],
    }


def speak() -> str:
    os.write(1, b"READY child\n")
    os.write(2, b"trouble\n")
    return "spoken"


def make_array(size_bytes: int) -> npt.NDArray[np.uint8]:
    return np.arange(size_bytes, dtype=np.uint32).astype(np.uint8)


def refuse() -> None:
    raise InvalidArgumentError(
        Reason.IMAGE_UNDECODABLE, "It does not decode.", retry_after_s=2.5, limit_pixels=7
    )


def fail() -> None:
    raise ValueError("the trouble")


def return_a_lock() -> object:
    return threading.Lock()


def crash() -> None:
    ctypes.string_at(0)


def leave() -> None:
    os._exit(3)


def hang_in_native_code() -> None:
    """For minutes, with the GIL held."""
    re.match(r"(a|aa)+$", "a" * 90 + "b")


def eat_memory() -> int:
    parts = []
    while True:
        parts.append(np.ones(10_000_000, np.uint8))


def hold(size_mb: int) -> int:
    return int(np.ones(size_mb << 20, np.uint8)[-1])


def be_a_parent() -> None:
    """A parent that reports the process id of its child, which then hangs."""
    pool = ChildProcesses("orphan", 1)
    sys.stdout.write(f"{pool.call(identify, timeout_s=20)}\n")
    sys.stdout.flush()
    pool.call(hang_in_native_code, timeout_s=100)
