"""Photos on their way out: names, kinds of files, and what is left open."""

from __future__ import annotations

import asyncio
import os
import threading
from pathlib import Path
from typing import BinaryIO, cast

import pytest

from sightmill.photo import Photo, open_aside, open_source


class SlowFile:
    """A path whose file opens when the test lets it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.started, self.released = threading.Event(), threading.Event()
        self.file: BinaryIO | None = None

    def stat(self) -> os.stat_result:
        self.started.set()
        assert self.released.wait(10)
        return self.path.stat()

    def open(self, mode: str) -> BinaryIO:
        self.file = cast("BinaryIO", self.path.open(mode))
        return self.file


async def test_a_file_that_opens_too_late_is_closed(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(b"image")
    slow = SlowFile(path)
    opening = asyncio.create_task(open_aside(cast("Path", slow)))
    await asyncio.to_thread(slow.started.wait, 10)
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    slow.released.set()
    async with asyncio.timeout(10):
        while slow.file is None or not slow.file.closed:  # noqa: ASYNC110  a thread's state has no event
            await asyncio.sleep(0)


async def test_a_missing_file_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        await open_aside(tmp_path / "gone.jpg")


def test_a_pipe_is_refused_instead_of_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="Not a regular file"):
        open_source(tmp_path / "pipe")


def test_a_file_name_that_is_no_text_can_be_sent() -> None:
    photo = Photo(Path(os.fsdecode(b"caf\xe9.jpg")))
    assert photo.header("0", 1).display_name == "caf?.jpg"
