"""Any other server of the chat protocol: Ollama, vLLM, llama.cpp, Gemini."""

from __future__ import annotations

from services.captioner.chat.chat_provider import ChatProvider, Dialect
from services.captioner.http_client import LOCAL_READ_TIMEOUT_S, HttpClient


def compatible_provider(
    http: HttpClient, model: str, read_timeout_s: float = LOCAL_READ_TIMEOUT_S
) -> ChatProvider:
    """Asks a model of such a server."""
    return ChatProvider(
        Dialect(
            id="compatible",
            model=model,
            vendor="other",
            token_keys=("max_tokens", "max_completion_tokens"),
            # Left out, Ollama takes 1.0.
            optional={"temperature": 0.1},
            read_timeout_s=read_timeout_s,
        ),
        http,
    )
