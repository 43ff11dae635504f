"""`sightmill logs`: what the processes have written."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import typer

from sightmill.cli.options import DataDir, load_settings
from sightmill.launcher.errors import LaunchError

_LOOK_S = 0.2
_TAIL_BYTES = 256 * 1024


def logs(
    name: Annotated[
        str | None,
        typer.Argument(
            help="A process, for example ingest, or launcher; all of them if left out.", show_default=False
        ),
    ] = None,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on with new lines, until Ctrl-C.")
    ] = False,
    lines: Annotated[
        int, typer.Option("--lines", "-n", min=0, max=100_000, help="Last lines of each to show.")
    ] = 20,
    data_dir: DataDir = None,
) -> None:
    """Show the last log lines, of one process or of all."""
    folder = load_settings(data_dir).log_dir
    found = {path.stem: path for path in sorted(folder.glob("*.log"))}
    if not found:
        raise LaunchError(f"No logs in {folder}: nothing has run on this data folder yet.")
    if name is not None and name not in found:
        raise LaunchError(f"No log of {name!r}. There are: {', '.join(found)}")
    chosen = {name: found[name]} if name is not None else found
    tails = [Tail(path, prefix=f"{key:<9} | " if len(chosen) > 1 else "") for key, path in chosen.items()]
    for tail in tails:
        _print(tail.last(lines))
    while follow:
        for tail in tails:
            _print(tail.more())
        time.sleep(_LOOK_S)


@dataclass(slots=True)
class Tail:
    """Reads a file from its end on, also after it was rotated."""

    path: Path
    prefix: str = ""
    _inode: int = 0
    _offset: int = 0
    _partial: bytes = field(default=b"")

    def last(self, count: int) -> list[str]:
        """The last lines that are there now."""
        with self.path.open("rb") as file:
            stat = self.path.stat()
            start = max(0, stat.st_size - _TAIL_BYTES)
            file.seek(start)
            data = file.read()
        self._inode, self._offset = stat.st_ino, start + len(data)
        found = self._lines(data)
        # A cut first line says little.
        whole = found[1:] if start else found
        return whole[-count:] if count else []

    def more(self) -> list[str]:
        """The lines that have come since."""
        try:
            with self.path.open("rb") as file:
                stat = self.path.stat()
                if stat.st_ino != self._inode or stat.st_size < self._offset:
                    self._inode, self._offset, self._partial = stat.st_ino, 0, b""
                file.seek(self._offset)
                data = file.read()
        except FileNotFoundError:
            return []  # between two files of a rotation
        self._offset += len(data)
        return self._lines(data)

    def _lines(self, data: bytes) -> list[str]:
        *whole, self._partial = (self._partial + data).split(b"\n")
        return [f"{self.prefix}{line.decode('utf-8', 'replace')}" for line in whole]


def _print(found: list[str]) -> None:
    for line in found:
        typer.echo(line)
