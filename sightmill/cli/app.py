"""The root of the command line: which commands there are, and how an error is shown."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module

import typer

from sightmill.launcher.errors import LaunchError

# In the order of --help. Each lives in a module of its own with a function of the same name.
COMMANDS = (
    *("up", "down", "status", "logs", "doctor"),
    *("analyze", "images", "people", "facets", "stats", "export", "captions", "providers"),
    *("samples", "backup", "restore", "migrate"),
)
# The \b keeps the lines of a paragraph as they are.
ABOUT = """Image understanding as a service: colours, light, faces, text, scene, captions, tags.

\b
Start everything on this machine:  sightmill up
Look at your photos:               sightmill analyze PHOTO...
Find them again:                   sightmill images search 'boat harbour'
Take them home as a table:         sightmill export photos.csv
Something is odd:                  sightmill doctor
"""
_EXIT_FAILED = 1


def build_app(wanted: Sequence[str] = COMMANDS) -> typer.Typer:
    """The application with the wanted commands; each is imported only if it is wanted.

    The launcher lives long and should be small: it needs nothing of what the client commands import.
    """
    app = typer.Typer(
        name="sightmill",
        help=ABOUT,
        no_args_is_help=True,
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback(help=ABOUT)(_root)
    for name in wanted:
        command = getattr(import_module(f"sightmill.cli.{name}"), name)
        if isinstance(command, typer.Typer):
            app.add_typer(command, name=name)
        else:
            app.command(name)(command)
    return app


def main(argv: Sequence[str] | None = None) -> None:
    """Runs the command line; exits."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    known = [word for word in arguments[:1] if word in COMMANDS]
    try:
        build_app(known or COMMANDS)(arguments, prog_name="sightmill")
    except LaunchError as error:
        typer.secho(str(error), fg=typer.colors.RED, err=True)
        raise SystemExit(_EXIT_FAILED) from None


def _root() -> None:
    """There are no options before the command."""
