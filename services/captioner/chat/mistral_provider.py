"""Mistral's dialect. Its request is closed: a key that it does not know is an error."""

from __future__ import annotations

from services.captioner.chat.chat_provider import ChatProvider, Dialect
from services.captioner.http_client import CLOUD_READ_TIMEOUT_S, HttpClient


def mistral_provider(
    http: HttpClient, model: str, read_timeout_s: float = CLOUD_READ_TIMEOUT_S
) -> ChatProvider:
    """Asks a Mistral model that sees."""
    return ChatProvider(
        Dialect(
            id="mistral",
            model=model,
            vendor="mistral",
            token_keys=("max_tokens",),
            optional={"temperature": 0.1},
            read_timeout_s=read_timeout_s,
        ),
        http,
    )
