"""OpenAI's newer interface, ``/responses``."""

from __future__ import annotations

from services.captioner.chat.chat_provider import ChatProvider, Dialect, Wire
from services.captioner.chat.openai_provider import least_effort
from services.captioner.chat.responses_answer import read_responses_answer
from services.captioner.chat.responses_request import responses_request
from services.captioner.http_client import CLOUD_READ_TIMEOUT_S, HttpClient

RESPONSES = Wire("/responses", responses_request, read_responses_answer)


def openai_responses_provider(
    http: HttpClient, model: str, read_timeout_s: float = CLOUD_READ_TIMEOUT_S
) -> ChatProvider:
    """Asks an OpenAI model that sees; the same provider to callers as ``openai_provider``."""
    effort = least_effort(model)
    return ChatProvider(
        Dialect(
            id="openai",
            model=model,
            vendor="openai",
            token_keys=("max_output_tokens",),
            optional={"reasoning": {"effort": effort}} if effort else {"temperature": 0.1},
            wire=RESPONSES,
            read_timeout_s=read_timeout_s,
        ),
        http,
    )
