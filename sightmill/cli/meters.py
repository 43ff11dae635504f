"""Two bars that move while photos are uploaded and analysed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.filesize import decimal
from rich.progress import BarColumn, Progress, TextColumn

from sightmill.upload import UploadProgress


class Meters:
    """The bars of one run: bytes sent, photos done. Drawn on terminals only."""

    def __init__(self, console: Console, paths: Sequence[Path]) -> None:
        self._total_bytes = sum(path.stat().st_size for path in paths if path.is_file())
        self._total_photos = len(paths)
        columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[state]}"))
        self._progress = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
        self._sent = self._progress.add_task("Uploading", total=max(1, self._total_bytes), state="")
        self._done = self._progress.add_task("Looking", total=self._total_photos, state="")

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, raised: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def show_sent(self, progress: UploadProgress) -> None:
        """Moves the first bar."""
        state = f"{decimal(progress.bytes_sent)} of {decimal(self._total_bytes)}"
        self._progress.update(self._sent, completed=progress.bytes_sent, state=state)

    def show_done(self, count: int) -> None:
        """Moves the second bar."""
        self._progress.update(self._done, completed=count, state=f"{count} of {self._total_photos}")
