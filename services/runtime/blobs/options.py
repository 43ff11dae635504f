"""How to reach a blob store."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import SecretStr


@dataclass(frozen=True, slots=True)
class BlobOptions:
    """Deadline of a call, and what a bucket needs besides its URL.

    Without keys the platform's own credentials are used (instance or workload identity). ``allow_http`` is
    for endpoints inside one machine or mesh.
    """

    timeout_s: float = 30.0
    endpoint: str = ""
    region: str = "us-east-1"
    access_key_id: SecretStr | None = None
    secret_access_key: SecretStr | None = None
    allow_http: bool = False
    virtual_hosted_style: bool = False
    threads: int = 8
