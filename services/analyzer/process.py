"""What one analyzer process sets once, before the heavy libraries start their threads."""

from __future__ import annotations

import ctypes
import os

# From glibc's malloc.h, with the values that are set.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
_MALLOC = {_M_TRIM_THRESHOLD: 16 * 1024 * 1024, _M_MMAP_THRESHOLD: 4 * 1024 * 1024, _M_ARENA_MAX: 2}


def configure_threads() -> None:
    """Make every native library use one thread a call; the service fills the cores with worker threads.

    Call it first thing in the process's ``__main__``: the OpenMP runtime inside tesserocr reads its limit
    once, when it is loaded. One thread a call and one worker a core gives the best throughput, because all
    of these libraries release the GIL.
    """
    os.environ["OMP_THREAD_LIMIT"] = "1"
    import cv2  # noqa: PLC0415 - must load after the limit is set

    cv2.setNumThreads(1)
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)


def configure_memory() -> None:
    """Make glibc give the memory of large arrays back; call it before any thread is started.

    Left alone, malloc raises its threshold for memory of its own mapping to the size of the largest array
    that was ever freed, and cuts the next ones out of arenas, one a thread, that only grow: 124 MB from the
    50th to the 500th of mixed images, and with these values nothing from the 40th to the 400th. The price is
    page faults: none more for a small image, 25 ms for one of 12 MP. Elsewhere nothing happens.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        for parameter, value in _MALLOC.items():
            mallopt(parameter, value)
