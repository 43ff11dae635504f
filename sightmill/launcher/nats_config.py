"""The configuration of the nats-server that the launcher runs."""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass
from pathlib import Path

MAX_FILE_STORE_BYTES = 10 * 1024**3
MAX_MEMORY_STORE_BYTES = 32 * 1024**2


@dataclass(frozen=True, slots=True)
class NatsOptions:
    """Where it listens and stores. ``token`` is what a client must know; it lives as long as the suite."""

    port: int
    store_dir: Path
    token: str

    @property
    def url(self) -> str:
        """Where clients connect."""
        return f"nats://127.0.0.1:{self.port}"


def new_token() -> str:
    """A token that nobody can guess."""
    return secrets.token_urlsafe(24)


def render_nats_config(options: NatsOptions) -> str:
    """The file's text. ``sync_interval: always``: what was accepted survives a power cut."""
    return f"""\
listen: "127.0.0.1:{options.port}"
authorization {{ token: {json.dumps(options.token)} }}
max_payload: 1MB
jetstream {{
  store_dir: {json.dumps(str(options.store_dir))}
  max_memory_store: {MAX_MEMORY_STORE_BYTES}
  max_file_store: {MAX_FILE_STORE_BYTES}
  sync_interval: always
}}
"""


def write_private(path: Path, text: str) -> None:
    """Writes a file that only this user may read: it holds the token."""
    path.unlink(missing_ok=True)
    path.touch(mode=0o600)
    path.write_text(text, encoding="utf-8")
