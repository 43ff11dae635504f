"""OpenAI's dialect of the chat protocol."""

from __future__ import annotations

import re

from services.captioner.chat.capabilities import TokenKey
from services.captioner.chat.chat_provider import ChatProvider, Dialect
from services.captioner.http_client import CLOUD_READ_TIMEOUT_S, HttpClient

_REASONING_MODEL = re.compile(r"(?:gpt-[5-9]|o\d)")
_FIRST_GPT_5 = re.compile(r"gpt-5(?!\.)")


def openai_provider(
    http: HttpClient, model: str, is_openai: bool = True, read_timeout_s: float = CLOUD_READ_TIMEOUT_S
) -> ChatProvider:
    """Asks an OpenAI model that sees, or, where not ``is_openai``, another server in the same dialect."""
    effort = least_effort(model)
    keys: tuple[TokenKey, ...] = ("max_completion_tokens", "max_tokens")
    return ChatProvider(
        Dialect(
            id="openai",
            model=model,
            vendor="openai" if is_openai else "other",
            token_keys=keys if is_openai else keys[::-1],
            optional={"reasoning_effort": effort} if effort else {"temperature": 0.1},
            read_timeout_s=read_timeout_s,
        ),
        http,
    )


def least_effort(model: str) -> str:
    """The least that a model can be asked to reason first; empty for one that does not reason.

    Reasoning would spend the token limit, and takes no temperature.
    """
    if not _REASONING_MODEL.match(model):
        return ""
    if model.startswith("o"):
        return "low"
    return "minimal" if _FIRST_GPT_5.match(model) else "none"
