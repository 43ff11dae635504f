"""How to reach the broker."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import SecretStr


@dataclass(frozen=True, slots=True)
class QueueOptions:
    """Addresses and bounds of one connection.

    ``replicas`` is 1 for a single server and 3 on a cluster. ``window`` bounds the publishes that wait for
    their answer. ``attempt_s`` is how long one try of a call may take before the next.
    """

    servers: tuple[str, ...]
    token: SecretStr | None = None
    client_name: str = "sightmill"
    replicas: int = 1
    window: int = 256
    connect_timeout_s: int = 2
    ping_interval_s: int = 5
    attempt_s: float = 2.0
