"""Addresses to listen on: parsed, checked before anything starts, or chosen free."""

from __future__ import annotations

import errno
import random
import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import islice

from sightmill.launcher.errors import PortInUseError

_CHOICE = range(20_000, 32_000)
_ANY_ADDRESS = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]", "::": "[::1]"}  # noqa: S104  compared, not bound


@dataclass(frozen=True, slots=True)
class Listen:
    """An address to listen on, and the variable that sets it (empty when the launcher chose it)."""

    host: str
    port: int
    variable: str

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"

    @property
    def reachable(self) -> str:
        """``host:port`` for a client on this machine."""
        return f"{_ANY_ADDRESS.get(self.host, self.host)}:{self.port}"


def parse_listen(text: str, variable: str) -> Listen:
    """``host:port`` with a port from 1 to 65535; ValueError says what is wrong."""
    host, separator, port = text.rpartition(":")
    if not separator or not host or not port.isdigit() or not 0 < int(port) <= 65_535:
        raise ValueError("not host:port with a port from 1 to 65535")
    return Listen(host, int(port), variable)


def free_ports(count: int, avoid: Iterable[int] = ()) -> list[int]:
    """Ports of 127.0.0.1 that nobody listens on now, all different and none of ``avoid``.

    They lie below the range from which systems serve port 0, or whoever asks for any free port before the
    process that it is meant for has started could be given the same one.
    """
    shuffled = random.sample(_CHOICE, len(_CHOICE))
    candidates = (port for port in shuffled if port not in set(avoid))
    return list(islice(filter(_is_free, candidates), count))


def _is_free(port: int) -> bool:
    with socket.socket() as trial:
        try:
            trial.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def require_free(listens: Mapping[str, Listen]) -> None:
    """Checks that every address can be listened on.

    Raises:
        PortInUseError: names each address that cannot, its process, and the setting that moves it.
    """
    problems = [*_shared(listens), *filter(None, (_problem(name, item) for name, item in listens.items()))]
    if problems:
        hint = "Is it a Sightmill of another data folder? To try beside it: sightmill up --ports free"
        raise PortInUseError("\n".join([*problems, hint]))


def _shared(listens: Mapping[str, Listen]) -> Iterable[str]:
    owners: dict[int, str] = {}
    for name, listen in listens.items():
        if listen.port in owners:
            other = owners[listen.port]
            yield f"{name} and {other} are both set to port {listen.port}: change {listen.variable}"
        owners[listen.port] = name


def _problem(name: str, listen: Listen) -> str:
    host = listen.host.strip("[]")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as trial:
        # As servers do: a connection that was closed a moment ago does not count.
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind((host, listen.port))
        except OSError as error:
            reason = "is in use" if error.errno == errno.EADDRINUSE else f"cannot be used ({error.strerror})"
            return f"{listen} ({name}) {reason}: stop what listens there, or set {listen.variable}"
    return ""
