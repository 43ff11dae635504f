"""What one analyzer process sets once, before the heavy libraries start their threads."""

from __future__ import annotations

import os


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
