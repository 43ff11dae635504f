"""The chat protocol that OpenAI, Mistral and most local servers share."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from services.captioner.answer_status import classify
from services.captioner.capabilities import Capabilities, Form, TokenKey
from services.captioner.chat_answer import read_chat_answer
from services.captioner.http_client import CLOUD_READ_TIMEOUT_S, HttpAnswer, HttpClient
from services.captioner.picture import Picture
from services.captioner.prompt import ANSWER_SCHEMA, SYSTEM, instruction
from services.captioner.provider import Ask, ConfigError, Description, Detail

EDGE_PX: dict[Detail, int] = {"low": 768, "high": 1024}
_MAX_FORMS = 6


@dataclass(frozen=True, slots=True)
class ChatDialect:
    """How one provider speaks the protocol. ``optional`` are keys that a model may refuse to know."""

    id: str
    model: str
    base_url: str
    key: str = field(repr=False)
    token_key: TokenKey
    optional: Mapping[str, object]
    read_timeout_s: float = CLOUD_READ_TIMEOUT_S


class ChatProvider:
    """Asks one model of one server; remembers which form of request it takes."""

    def __init__(self, dialect: ChatDialect, http: HttpClient) -> None:
        self._dialect = dialect
        self._http = http
        self._capabilities = Capabilities(Form(token_key=dialect.token_key), frozenset(dialect.optional))

    @property
    def id(self) -> str:
        """Id of the dialect."""
        return self._dialect.id

    @property
    def model(self) -> str:
        """Model of the dialect."""
        return self._dialect.model

    async def describe(self, picture: Picture, ask: Ask) -> Description:
        """One answered call; before it at most a few that the server refused for their form."""
        jpeg = await picture.upload(EDGE_PX[ask.detail])
        for _ in range(_MAX_FORMS):
            form = self._capabilities.form
            answer = await self._post(request_body(self._dialect, form, jpeg, ask))
            if answer.status == 200:
                return self._description(answer, ask)
            if not self._capabilities.step_down(form, answer):
                raise classify(answer, self.model)
        raise ConfigError("The provider takes no form of request that is known here.")

    async def _post(self, body: bytes) -> HttpAnswer:
        headers = {"Authorization": f"Bearer {self._dialect.key}"} if self._dialect.key else {}
        url = f"{self._dialect.base_url}/chat/completions"
        return await self._http.post_json(url, body, headers, self._dialect.read_timeout_s)

    def _description(self, answer: HttpAnswer, ask: Ask) -> Description:
        read = read_chat_answer(answer.body)
        return Description(
            text=read.parsed.caption,
            tags=read.parsed.tags,
            objects=read.parsed.objects,
            language=ask.language,
            model=read.model or self.model,
            parse_mode=read.parsed.mode,
            input_tokens=read.input_tokens,
            output_tokens=read.output_tokens,
        )


def request_body(dialect: ChatDialect, form: Form, jpeg: bytes, ask: Ask) -> bytes:
    """The request as JSON: what Mistral, OpenAI, vLLM, Ollama, llama.cpp and Gemini all take."""
    # Without an explicit detail some models look at every pixel, and charge for it.
    picture = {"url": f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}", "detail": ask.detail}
    body: dict[str, object] = {
        "model": dialect.model,
        "messages": [
            {"role": "system", "content": SYSTEM},
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": instruction(ask)},
                    {"type": "image_url", "image_url": picture},
                ],
            },
        ],
        form.token_key: ask.max_output_tokens,
    }
    body.update((key, value) for key, value in dialect.optional.items() if key not in form.left_out)
    if form.answer_format == "json_schema":
        schema = {"name": "image_description", "schema": ANSWER_SCHEMA, "strict": True}
        body["response_format"] = {"type": "json_schema", "json_schema": schema}
    elif form.answer_format == "json_object":
        body["response_format"] = {"type": "json_object"}
    return json.dumps(body, separators=(",", ":")).encode()
