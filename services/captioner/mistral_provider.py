"""Mistral's dialect. Its request is closed: a key that it does not know is an error."""

from __future__ import annotations

from services.captioner.chat_provider import ChatDialect, ChatProvider
from services.captioner.http_client import HttpClient


def mistral_provider(http: HttpClient, base_url: str, key: str, model: str) -> ChatProvider:
    """Asks a Mistral model that sees."""
    return ChatProvider(
        ChatDialect(
            id="mistral",
            model=model,
            base_url=base_url,
            key=key,
            token_key="max_tokens",  # noqa: S106  the name of a JSON key
            optional={"temperature": 0.1},
        ),
        http,
    )
