"""The version of what is installed."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version


def installed_version() -> str:
    """As the package's metadata says; "0.0.0" when run from a checkout."""
    try:
        return version("sightmill")
    except PackageNotFoundError:
        return "0.0.0"
