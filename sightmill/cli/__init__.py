"""The command line: ``sightmill``."""

from __future__ import annotations

from sightmill.cli.app import main

__all__ = ["main"]
