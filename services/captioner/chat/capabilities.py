"""What one server turned out to understand of a request; learnt from its refusals, kept in memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from services.captioner.answers.answer_status import searchable_text
from services.captioner.http_client import HttpAnswer

Format = Literal["json_schema", "json_object", "plain"]
TokenKey = Literal["max_tokens", "max_completion_tokens", "max_output_tokens"]
_LADDER: tuple[Format, ...] = ("json_schema", "json_object", "plain")
_FORMAT_MARKS = (
    "response_format",
    "text.format",
    "json_schema",
    "json_object",
    "structured output",
    "grammar",
)
_UNKNOWN_MARKS = ("unsupported", "not supported", "extra", "unrecognized", "unknown", "not permitted")


@dataclass(frozen=True, slots=True)
class Form:
    """How a request is written: answer format, name of the token limit, optional keys left out."""

    answer_format: Format = "json_schema"
    token_key: TokenKey = "max_tokens"  # noqa: S105  the name of a JSON key
    left_out: frozenset[str] = frozenset()


@dataclass(slots=True)
class Capabilities:
    """The form that works, as far as is known. ``spare_token_key`` is tried where the first is unknown."""

    form: Form
    optional_keys: frozenset[str]
    spare_token_key: TokenKey | None = None

    def step_down(self, used: Form, answer: HttpAnswer) -> bool:
        """Learns from a refused request; True when another form is worth a try.

        ``used`` is the form of that request: of several refused at once only the first one teaches.
        """
        if answer.status not in (400, 422):
            return False
        if used != self.form:
            return True
        following = self._following(searchable_text(answer.body))
        if following is None:
            return False
        self.form = following
        return True

    def _following(self, text: str) -> Form | None:
        form = self.form
        unknown = next((key for key in self.optional_keys - form.left_out if key in text), None)
        if unknown:
            return Form(form.answer_format, form.token_key, form.left_out | {unknown})
        if any(mark in text for mark in _FORMAT_MARKS) and form.answer_format != "plain":
            return Form(_LADDER[_LADDER.index(form.answer_format) + 1], form.token_key, form.left_out)
        is_unknown = form.token_key in text and any(mark in text for mark in _UNKNOWN_MARKS)
        if is_unknown and self.spare_token_key:
            spare, self.spare_token_key = self.spare_token_key, None
            return Form(form.answer_format, spare, form.left_out)
        return None
