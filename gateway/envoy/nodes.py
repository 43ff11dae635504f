"""The few forms that the configuration is made of."""

from __future__ import annotations

from typing import Any

from gateway.envoy.options import Address

Node = dict[str, Any]


def extension(name: str, **fields: object) -> Node:
    """A typed message of Envoy's API; ``name`` is its full protobuf name."""
    return {"@type": f"type.googleapis.com/{name}", **fields}


def duration(seconds: float) -> str:
    """Seconds as protobuf's JSON writes a duration."""
    return f"{seconds:g}s"


def socket_address(address: Address) -> Node:
    """An address to listen on or to connect to."""
    return {"socket_address": {"address": address.host, "port_value": address.port}}
