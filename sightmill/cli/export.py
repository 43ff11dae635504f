"""`sightmill export`: a table of images as a file."""

from __future__ import annotations

import json
import sys
from contextlib import aclosing
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from google.protobuf import json_format
from rich.console import Console
from rich.filesize import decimal
from rich.progress import DownloadColumn, Progress, SpinnerColumn, TextColumn, TransferSpeedColumn

from sightmill.cli.catalog_options import ADDRESS, Address, Filter, Timeout, run
from sightmill.cli.options import AsJson
from sightmill.client import Client
from sightmill.v1 import catalog_pb2

_STDOUT = "-"


class Format(StrEnum):
    """Kinds of files."""

    CSV = "csv"
    JSON = "json"
    NDJSON = "ndjson"
    XLSX = "xlsx"
    PARQUET = "parquet"
    SQLITE = "sqlite"


_ENDINGS = {f".{one.value}": one for one in Format} | {
    ".jsonl": Format.NDJSON,
    ".sqlite3": Format.SQLITE,
    ".db": Format.SQLITE,
}


def export(
    file: Annotated[str, typer.Argument(help="Where to write it; - for standard output.")],
    kind: Annotated[
        Format | None,
        typer.Option("--format", help="By the ending of FILE if left out.", show_default=False),
    ] = None,
    condition: Filter = "",
    columns: Annotated[
        str,
        typer.Option(
            "--columns",
            metavar="NAMES",
            help="With commas between them, for example name,caption,labels.album; all if left out.",
            show_default=False,
        ),
    ] = "",
    query: Annotated[
        str,
        typer.Option(
            "--query",
            metavar="JSON",
            help="A condition as an ImageQuery, in place of words.",
            show_default=False,
        ),
    ] = "",
    as_json: AsJson = False,
    address: Address = ADDRESS,
    timeout_s: Timeout = 600.0,
) -> None:
    """Write a table of images as CSV, JSON, NDJSON, XLSX, Parquet or SQLite.

    The file appears when it is complete. Exits with 2 when it is not clear what to write.

    \b
    sightmill export photos.xlsx
    sightmill export sea.csv --filter 'tag = "sea"' --columns name,caption,taken_time
    sightmill export - --format ndjson | jq .caption
    """
    format_ = catalog_pb2.ExportFormat.Value(f"EXPORT_FORMAT_{_kind(file, kind).name}")
    names = [name.strip() for name in columns.split(",") if name.strip()]
    wanted = _parse_query(query)
    err = Console(stderr=True)
    parts = (SpinnerColumn(), TextColumn("Exporting"), DownloadColumn(), TransferSpeedColumn())

    with Progress(*parts, console=err, transient=True, disable=not err.is_terminal) as progress:
        task = progress.add_task("", total=None)

        async def to_stdout(client: Client) -> int:
            pieces = client.export(format_, columns=names, filter=condition, query=wanted)
            size_bytes = 0
            async with aclosing(pieces):
                async for piece in pieces:
                    size_bytes += sys.stdout.buffer.write(piece)
                    progress.update(task, completed=size_bytes)
            sys.stdout.buffer.flush()
            return size_bytes

        async def to_file(client: Client) -> int:
            return await client.export_file(
                Path(file),
                format_,
                columns=names,
                filter=condition,
                query=wanted,
                on_progress=lambda size_bytes: progress.update(task, completed=size_bytes),
            )

        try:
            size_bytes = run(to_stdout if file == _STDOUT else to_file, address, timeout_s, file)
        except BrokenPipeError:
            # Who reads has enough, as `head` does; nobody is left to flush to.
            sys.stdout = None
            raise typer.Exit(1) from None
        except OSError as fault:
            err.print(f"{file} cannot be written: {fault.strerror or fault}.", markup=False, highlight=False)
            raise typer.Exit(1) from None
    if file != _STDOUT:
        said = json.dumps({"file": file, "size_bytes": size_bytes}, ensure_ascii=False)
        typer.echo(said if as_json else f"Wrote {file}, {decimal(size_bytes)}.")


def _kind(file: str, kind: Format | None) -> Format:
    if kind is not None:
        return kind
    found = _ENDINGS.get(Path(file).suffix.lower())
    if found is None:
        endings = ", ".join(_ENDINGS)
        raise typer.BadParameter(f"give --format, or a name that ends in one of {endings}", param_hint="FILE")
    return found


def _parse_query(text: str) -> catalog_pb2.ImageQuery | None:
    try:
        return json_format.Parse(text, catalog_pb2.ImageQuery()) if text else None
    except json_format.ParseError as fault:
        raise typer.BadParameter(str(fault), param_hint="--query") from None
