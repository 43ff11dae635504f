"""One model of one server, asked in the chat protocol or in another that is shaped like it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from services.captioner.answers.answer_limits import read_limits
from services.captioner.answers.answer_status import classify
from services.captioner.chat.capabilities import Capabilities, Form, TokenKey
from services.captioner.chat.chat_answer import read_chat_answer
from services.captioner.chat.chat_request import chat_request
from services.captioner.chat.image_tokens import Vendor, expected_tokens
from services.captioner.chat.model_answer import ModelAnswer
from services.captioner.chat.request_body import encode_request
from services.captioner.http_client import CLOUD_READ_TIMEOUT_S, HttpAnswer, HttpClient
from services.captioner.picture import Upload
from services.captioner.provider import (
    Access,
    Answer,
    Ask,
    Description,
    Detail,
    FormRefusedError,
    ProviderError,
    Tokens,
)

EDGE_PX: dict[Detail, int] = {"low": 768, "high": 1024}


@dataclass(frozen=True, slots=True)
class Wire:
    """A protocol: where it is spoken, how a request is written and how an answer is read."""

    path: str
    write: Callable[[str, Form, Mapping[str, object], Ask], Mapping[str, object]]
    read: Callable[[bytes], ModelAnswer]


CHAT = Wire("/chat/completions", chat_request, read_chat_answer)


@dataclass(frozen=True, slots=True)
class Dialect:
    """How one provider speaks a protocol. ``optional`` are keys that a model may refuse to know.

    ``token_keys`` are the names of the token limit that its servers may know, the likeliest first.
    """

    id: str
    model: str
    vendor: Vendor
    token_keys: tuple[TokenKey, ...]
    optional: Mapping[str, object]
    wire: Wire = CHAT
    read_timeout_s: float = CLOUD_READ_TIMEOUT_S

    def request(self, form: Form, upload: Upload, ask: Ask) -> bytes:
        """The body of a request."""
        optional = {key: value for key, value in self.optional.items() if key not in form.left_out}
        return encode_request(self.wire.write(self.model, form, optional, ask), upload.jpeg)


class ChatProvider:
    """Asks one model; remembers which form of request its server takes."""

    def __init__(self, dialect: Dialect, http: HttpClient) -> None:
        self._dialect = dialect
        self._http = http
        first, *spare = dialect.token_keys
        self._capabilities = Capabilities(
            Form(token_key=first), frozenset(dialect.optional), next(iter(spare), None)
        )

    @property
    def id(self) -> str:
        """Id of the dialect."""
        return self._dialect.id

    @property
    def model(self) -> str:
        """Model of the dialect."""
        return self._dialect.model

    def edge_px(self, ask: Ask) -> int:
        """768 pixels for little detail, 1024 for more."""
        return EDGE_PX[ask.detail]

    def expected_tokens(self, upload: Upload, ask: Ask) -> Tokens:
        """By the vendor's formula for the model."""
        return expected_tokens(self._dialect.vendor, self.model, upload, ask)

    async def describe(self, upload: Upload, ask: Ask, access: Access) -> Answer:
        """One request, in the form that worked last; FormRefusedError when there is another one to try."""
        form = self._capabilities.form
        headers = {"Authorization": f"Bearer {access.key}"} if access.key else {}
        url = f"{access.base_url}{self._dialect.wire.path}"
        body = self._dialect.request(form, upload, ask)
        answer = await self._http.post_json(url, body, headers, self._dialect.read_timeout_s)
        limits = read_limits(answer.headers)
        if answer.status == 200:
            try:
                return Answer(self._described(answer, upload, ask), limits)
            except ProviderError as error:
                error.limits = limits
                raise
        if self._capabilities.step_down(form, answer):
            raise FormRefusedError("The server does not take this form of request.", limits=limits)
        raise classify(answer, self.model)

    def _described(self, answer: HttpAnswer, upload: Upload, ask: Ask) -> Description:
        read = self._dialect.wire.read(answer.body)
        return Description(
            text=read.parsed.caption,
            tags=read.parsed.tags,
            objects=read.parsed.objects,
            language=ask.language,
            model=read.model or self.model,
            parse_mode=read.parsed.mode,
            # A server that does not count must not look as if it cost nothing.
            tokens=read.tokens or self.expected_tokens(upload, ask),
            attributes=read.parsed.attributes,
        )
