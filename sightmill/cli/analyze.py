"""`sightmill analyze`: photos in, one table out."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from google.protobuf import json_format
from rich.console import Console

from sightmill.cli.analysis_run import AnalysisRun, Outcome
from sightmill.cli.meters import Meters
from sightmill.client import DEFAULT_ADDRESS, Client
from sightmill.errors import SightmillError
from sightmill.results import print_failures, print_results
from sightmill.v1 import catalog_pb2

# What the suite reads; a file that is named itself is sent whatever it is called.
_JPEG = (".jpg", ".jpeg", ".jpe", ".jfif")
_OTHERS = (".png", ".apng", ".webp", ".gif", ".bmp", ".dib", ".tif", ".tiff", ".heic", ".heif", ".avif")
EXTENSIONS = frozenset((*_JPEG, *_OTHERS))


def analyze(
    photos: Annotated[list[Path], typer.Argument(help="Photos, or folders with photos.", show_default=False)],
    as_json: Annotated[bool, typer.Option("--json", help="Full results: one JSON object a line.")] = False,
    recursive: Annotated[
        bool, typer.Option("--recursive", "-r", help="Folders inside folders, too.")
    ] = False,
    no_caption: Annotated[bool, typer.Option("--no-caption", help="Measure only, no description.")] = False,
    address: Annotated[
        str, typer.Option(envvar="SIGHTMILL_ADDRESS", help="Where Sightmill listens, as host:port.")
    ] = DEFAULT_ADDRESS,
    timeout_s: Annotated[
        float, typer.Option("--timeout", min=1, max=3600, help="Longest wait for a photo, in seconds.")
    ] = 120.0,
) -> None:
    """Say what is in photos: colours, light, faces, text, scene, and a caption.

    Exits with 1 when a photo failed, and with 2 when there is nothing to do.
    """
    out, err = Console(), Console(stderr=True)
    paths = expand(photos, recursive=recursive)
    if not paths:
        hint = "" if recursive else " Use --recursive to look into folders inside them, too."
        err.print(f"No photos there: no file ends in {', '.join(sorted(EXTENSIONS))}.{hint}", highlight=False)
        raise typer.Exit(2)
    options = catalog_pb2.ProcessOptions(skip_caption=no_caption)
    with Meters(err, paths) as meters:
        run = AnalysisRun(Client(address), paths, options, timeout_s, meters)
        outcomes = asyncio.run(run.outcomes(_print_document if as_json else None))
    if not as_json:
        print_results(out, [one.image for one in outcomes if one.image and one.error is None])
        print_failures(err, _failures(outcomes))
    if any(one.error for one in outcomes):
        raise typer.Exit(1)


def expand(photos: Sequence[Path], *, recursive: bool) -> list[Path]:
    """The files to send, each once: files as named, and of folders the photos in them, by name.

    Hidden files of a folder are left out. A path that cannot be read stays, to be reported.
    """
    found: dict[Path, None] = {}
    for path in photos:
        try:
            inside = path.rglob("*") if recursive else path.iterdir()
            named = sorted(file for file in inside if _is_photo(file)) if path.is_dir() else [path]
        except PermissionError:
            named = [path]
        found |= dict.fromkeys(named)
    return list(found)


def _is_photo(path: Path) -> bool:
    return path.suffix.lower() in EXTENSIONS and not path.name.startswith(".") and path.is_file()


def _failures(outcomes: Sequence[Outcome]) -> list[tuple[str, SightmillError]]:
    """The failures by file; those that share one cause (the upload broke off) on one line."""
    files: dict[int, list[str]] = {}
    errors: dict[int, SightmillError] = {}
    for outcome in outcomes:
        if outcome.error is not None:
            errors[id(outcome.error)] = outcome.error
            files.setdefault(id(outcome.error), []).append(str(outcome.path))
    return [
        (names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more", errors[cause])
        for cause, names in files.items()
    ]


def as_document(outcome: Outcome) -> dict[str, Any]:
    """A result as JSON: ``file``, and ``image`` (proto JSON, snake_case) or ``error`` or both."""
    document: dict[str, Any] = {"file": str(outcome.path).encode("utf-8", "replace").decode()}
    if outcome.image is not None:
        document["image"] = json_format.MessageToDict(outcome.image, preserving_proto_field_name=True)
    if (error := outcome.error) is not None:
        document["error"] = {
            "code": error.code.name,
            "reason": error.reason,
            "message": error.message,
            "metadata": error.metadata,
        }
    return document


def _print_document(outcome: Outcome) -> None:
    typer.echo(json.dumps(as_document(outcome), ensure_ascii=False))
