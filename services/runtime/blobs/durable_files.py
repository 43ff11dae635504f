"""Files that are whole or absent, and outlive a power cut. Blocking: call from a thread.

obstore's own local store syncs nothing (no fsync in a trace of its calls), hence this.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import time
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

_INCOMING = ".incoming"
_LEFT_OVER_S = 3600.0


def write_file(root: Path, key: str, fill: Callable[[BinaryIO], None], *, overwrite: bool) -> bool:
    """Writes ``root/key`` with what ``fill`` writes; False when it is there and may not be overwritten."""
    final = root / key
    if not overwrite and final.is_file():
        _sync_folder(final.parent)  # whoever wrote it may not have come so far yet
        return False
    _make_folders(root, final.parent)
    # obstore lists no file whose name ends like this.
    temporary = root / _INCOMING / f"{secrets.token_hex(16)}#0"
    try:
        with temporary.open("xb") as file:
            fill(file)
            file.flush()
            os.fsync(file.fileno())
        is_new = _place(temporary, final, overwrite=overwrite)
    finally:
        temporary.unlink(missing_ok=True)
    _sync_folder(final.parent)
    return is_new


def remove_file(root: Path, key: str) -> None:
    """Removes ``root/key`` if it is there."""
    path = root / key
    if path.is_file():
        path.unlink(missing_ok=True)


def prepare_root(root: Path) -> None:
    """Makes the folder, and clears what writers that were killed an hour ago or more left in it."""
    incoming = root / _INCOMING
    incoming.mkdir(parents=True, exist_ok=True)
    for left in incoming.iterdir():
        with contextlib.suppress(FileNotFoundError):
            if left.stat().st_mtime < time.time() - _LEFT_OVER_S:
                left.unlink()


def check_root(root: Path) -> None:
    """Raises ``OSError`` when files cannot be made in ``root``."""
    if not os.access(root / _INCOMING, os.W_OK | os.X_OK):
        raise PermissionError(f"{root} is missing or cannot be written.")


def _place(temporary: Path, final: Path, *, overwrite: bool) -> bool:
    if overwrite:
        temporary.replace(final)
        return True
    try:
        os.link(temporary, final)
    except FileExistsError:
        if not final.is_file():
            raise
        return False
    return True


def _make_folders(root: Path, folder: Path) -> None:
    if folder == root or folder.is_dir():
        return
    _make_folders(root, folder.parent)
    folder.mkdir(exist_ok=True)
    _sync_folder(folder.parent)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
