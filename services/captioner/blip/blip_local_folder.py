"""A folder with a BLIP model in it, judged before anything of it is loaded. Blocking."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path

MODEL_TYPES = ("blip", "blip-2")
MAX_NAME_CHARS = 64
_PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
_DESCRIBING = (".safetensors", ".json", ".txt")
_STRANGE = re.compile(r"[^A-Za-z0-9._-]+")
_WAY_OUT = (
    "let SIGHTMILL_CAPTIONER_BLIP_MODEL name a folder with config.json and *.safetensors, or leave it out"
)


class BlipModelError(OSError):
    """The model cannot be opened; the message names the way out."""


@dataclass(frozen=True, slots=True)
class BlipFolder:
    """What a folder holds.

    ``model_type`` is one of MODEL_TYPES. ``model`` is the model's name, a colon and eight hexadecimal
    digits, which are others as soon as weights, settings or vocabulary are.
    """

    path: Path
    model_type: str
    model: str


def inspect_folder(path: Path) -> BlipFolder:
    """Reads the whole folder once. Raises BlipModelError where it holds no BLIP model in safe form."""
    config = _config(path)
    model_type = config.get("model_type")
    if model_type not in MODEL_TYPES:
        raise BlipModelError(f"{path} holds a model of type {model_type!r}, which is no BLIP: {_WAY_OUT}")
    files = sorted(file for file in path.iterdir() if file.is_file())
    if not any(file.suffix == ".safetensors" for file in files):
        raise BlipModelError(f"{path} holds no *.safetensors{_pickle_note(files)}: {_WAY_OUT}")
    name = str(config.get("_name_or_path") or model_type).rstrip("/").rpartition("/")[2]
    safe_name = _STRANGE.sub("-", name)[:MAX_NAME_CHARS]
    return BlipFolder(path, model_type, f"{safe_name}:{_digest(files)[:8]}")


def _config(path: Path) -> dict[str, object]:
    try:
        config = json.loads((path / "config.json").read_bytes())
    except (OSError, ValueError) as error:
        raise BlipModelError(
            f"{path} has no readable config.json ({type(error).__name__}): {_WAY_OUT}"
        ) from None
    if not isinstance(config, dict):
        raise BlipModelError(f"{path}/config.json is no JSON object: {_WAY_OUT}")
    return config


def _pickle_note(files: list[Path]) -> str:
    pickled = [file.name for file in files if file.suffix in _PICKLES]
    return f" ({pickled[0]} is not read: files of that kind can run code)" if pickled else ""


def _digest(files: list[Path]) -> str:
    whole = hashlib.sha256()
    for path in files:
        if path.suffix in _DESCRIBING:
            with path.open("rb") as file:
                whole.update(path.name.encode() + hashlib.file_digest(file, "sha256").digest())
    return whole.hexdigest()
