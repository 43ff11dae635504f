"""Any other server of the chat protocol: Ollama, vLLM, llama.cpp, Gemini."""

from __future__ import annotations

from services.captioner.chat_provider import ChatDialect, ChatProvider
from services.captioner.http_client import LOCAL_READ_TIMEOUT_S, HttpClient


def compatible_provider(http: HttpClient, base_url: str, key: str, model: str) -> ChatProvider:
    """Asks a model behind ``base_url``; ``key`` is empty where none is needed."""
    return ChatProvider(
        ChatDialect(
            id="compatible",
            model=model,
            base_url=base_url,
            key=key,
            token_key="max_tokens",  # noqa: S106  the name of a JSON key
            # Left out, Ollama takes 1.0.
            optional={"temperature": 0.1},
            read_timeout_s=LOCAL_READ_TIMEOUT_S,
        ),
        http,
    )
