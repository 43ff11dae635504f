"""What differs between one edge and another: addresses, origins and a few bounds."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

MIB = 1024 * 1024
DESCRIPTOR_SET = Path(__file__).with_name("sightmill.binpb")


@dataclass(frozen=True, slots=True)
class Address:
    """A host (name or IP) and a port; port 0 takes a free one where an address is listened on."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"

    @property
    def is_numeric(self) -> bool:
        """True for an IPv4 or IPv6 address, which needs no name server."""
        return self.host.replace(".", "").isdigit() or ":" in self.host


def parse_address(text: str) -> Address:
    """``host:port`` or ``[v6]:port``; ValueError names the form."""
    host, separator, port = text.rpartition(":")
    if not separator or not host or not port.isdigit() or int(port) > 65_535:
        raise ValueError(f"{text!r} is not host:port with a port from 0 to 65535")
    return Address(host.strip("[]"), int(port))


@dataclass(frozen=True, slots=True)
class EdgeOptions:
    """Everything the configuration depends on.

    ``max_json_bytes`` bounds an answer that is transcoded to JSON; the default is the largest gRPC message.
    Uploads through the gateway are not bounded here: it judges each route while it reads.
    ``max_heap_bytes`` is where Envoy starts to refuse requests.
    """

    listen: Address
    admin: Address
    gateway: Address
    ingest: Address
    analyzer: Address
    captioner: Address
    catalog: Address
    cors_origins: tuple[str, ...] = ()
    access_log: bool = False
    trusted_hops: int = 0
    max_json_bytes: int = 72 * MIB
    max_heap_bytes: int = 1024 * MIB
    max_connections: int = 10_000
