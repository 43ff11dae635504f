"""Why the suite did not start; every text names the cause and the way out."""

from __future__ import annotations


class LaunchError(Exception):
    """Told to the user as it is, without a trace."""


class SettingsError(LaunchError):
    """A SIGHTMILL_* variable breaks a rule."""


class DataFolderInUseError(LaunchError):
    """Another launcher works on the same data folder."""


class PortInUseError(LaunchError):
    """An address that a process is to listen on is taken."""


class BinaryMissingError(LaunchError):
    """A program that is not ours is not there."""


class StartFailedError(LaunchError):
    """A process did not come up."""
