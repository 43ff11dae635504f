"""What the edge must know of the contract: services, methods, and which of them stream or only read."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from pathlib import Path

from google.protobuf.descriptor_pb2 import FileDescriptorSet

# Between services only: the edge neither routes nor transcodes them.
INTERNAL_SERVICES = frozenset({"sightmill.v1.CaptionRecordsService"})
_READING_VERBS = ("Get", "List", "Search", "Wait", "Estimate")


@dataclass(frozen=True, slots=True)
class Method:
    """One RPC; ``service`` is the full name, for example ``sightmill.v1.IngestService``."""

    service: str
    name: str
    is_streaming: bool

    @property
    def path(self) -> str:
        """The HTTP/2 path of a call."""
        return f"/{self.service}/{self.name}"

    @property
    def is_read(self) -> bool:
        """True when a second call can do no harm: unary, and named after a reading verb."""
        return not self.is_streaming and self.name.startswith(_READING_VERBS)


@dataclass(frozen=True, slots=True)
class Contract:
    """The descriptor set, encoded for the transcoder, and its methods in the order of the files."""

    encoded: str
    methods: tuple[Method, ...]

    @property
    def services(self) -> tuple[str, ...]:
        """Full names of all services."""
        return tuple(dict.fromkeys(method.service for method in self.methods))

    def methods_of(self, service: str) -> tuple[Method, ...]:
        """The methods of one service."""
        return tuple(method for method in self.methods if method.service == service)


def read_contract(path: Path) -> Contract:
    """Reads a descriptor set with all imports, as ``scripts/protos`` writes it, less what is internal."""
    raw = path.read_bytes()
    methods = tuple(
        Method(
            f"{file.package}.{service.name}", method.name, method.client_streaming or method.server_streaming
        )
        for file in FileDescriptorSet.FromString(raw).file
        for service in file.service
        if f"{file.package}.{service.name}" not in INTERNAL_SERVICES
        for method in service.method
    )
    return Contract(base64.b64encode(raw).decode(), methods)
