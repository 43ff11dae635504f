"""OpenAI's dialect."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from services.captioner.chat_provider import ChatDialect, ChatProvider
from services.captioner.http_client import HttpClient

_REASONING_MODEL = re.compile(r"(?:gpt-[5-9]|o\d)")


def openai_provider(http: HttpClient, base_url: str, key: str, model: str) -> ChatProvider:
    """Asks an OpenAI model that sees, or another server that OPENAI_BASE_URL names."""
    is_openai = (urlsplit(base_url).hostname or "").endswith("openai.com")
    # A model that reasons first would spend the token limit on that, and takes no temperature.
    reasons = _REASONING_MODEL.match(model) is not None
    return ChatProvider(
        ChatDialect(
            id="openai",
            model=model,
            base_url=base_url,
            key=key,
            token_key="max_completion_tokens" if is_openai else "max_tokens",
            optional={"reasoning_effort": "none"} if reasons else {"temperature": 0.1},
        ),
        http,
    )
