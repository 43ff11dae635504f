"""One launcher per data folder: two nats-servers on one store would destroy it."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from sightmill.launcher.errors import DataFolderInUseError
from sightmill.launcher.state_file import read_state


@contextlib.contextmanager
def data_lock(lock_path: Path, state_path: Path) -> Iterator[int]:
    """Holds the lock while open; yields its file descriptor.

    Handed on to nats-server, the descriptor keeps the lock even if the launcher is gone and the server not.

    Raises:
        DataFolderInUseError: somebody holds it; says who, and what to do.
    """
    lock_path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor = os.open(lock_path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise DataFolderInUseError(_explain(lock_path, state_path)) from None
        yield descriptor
    finally:
        os.close(descriptor)


def is_locked(lock_path: Path) -> bool:
    """True while a launcher works on the data folder."""
    try:
        descriptor = os.open(lock_path, os.O_RDWR)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False


def _explain(lock_path: Path, state_path: Path) -> str:
    folder = lock_path.parent.parent
    state = read_state(state_path)
    who = f" (launcher {state.pid}, since {state.started})" if state else ""
    return (
        f"The data folder {folder} is in use by another Sightmill{who}.\n"
        "See it: sightmill status. Stop it: sightmill down. "
        "A second one beside it: sightmill up --data-dir OTHER --ports free"
    )
