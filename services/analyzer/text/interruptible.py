"""onnxruntime sessions that stop in the middle of a run when nobody waits for it any more."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from services.analyzer.text.words import Patience

POLL_S = 0.1


class Interruption:
    """Knows what stops the runs of each thread."""

    def __init__(self) -> None:
        self._local = threading.local()

    @property
    def options(self) -> Any:
        """The run options of this thread; None outside ``watch``."""
        return getattr(self._local, "options", None)

    @contextlib.contextmanager
    def watch(self, patience: Patience) -> Iterator[None]:
        """Stop this thread's runs once ``patience`` is at its end, and raise what that raises."""
        import onnxruntime  # noqa: PLC0415 - optional, and heavy

        options = self._local.options = onnxruntime.RunOptions()
        done = threading.Event()

        def stop() -> None:
            while not done.wait(POLL_S):
                if patience.is_over():
                    options.terminate = True
                    return

        watcher = threading.Thread(target=stop, name="text-watch", daemon=True)
        watcher.start()
        try:
            yield
        except Exception:
            patience.remaining_s()
            raise
        finally:
            done.set()
            watcher.join()
            self._local.options = None


class InterruptibleSession:
    """A session in the form in which RapidOCR calls it; safe to call from many threads at once."""

    def __init__(self, session: Any, interruption: Interruption) -> None:
        self._session = session
        self._interruption = interruption
        self._input = session.get_inputs()[0].name

    def __call__(self, tensor: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """The first output."""
        outputs = self._session.run(None, {self._input: tensor}, self._interruption.options)
        first: npt.NDArray[np.float32] = outputs[0]
        return first
