"""A BLIP caption service: one picture in, one English sentence out."""

from __future__ import annotations

from typing import ClassVar

from pydantic import BaseModel, ValidationError

from services.captioner.answer_parser import MAX_TAGS, clean_caption, clean_words
from services.captioner.answer_status import classify
from services.captioner.http_client import LOCAL_READ_TIMEOUT_S, HttpClient, Part
from services.captioner.picture import Picture
from services.captioner.provider import AnswerError, Ask, Description, ParseMode

# BLIP looks at 384 pixels; more is thrown away there.
EDGE_PX = 768


class _Answer(BaseModel):
    caption: str
    tags: list[str] | None = None


class BlipProvider:
    """Sends files, never paths. Prompt, language and token limit mean nothing to BLIP."""

    id: ClassVar[str] = "blip"
    model: ClassVar[str] = "blip"

    def __init__(self, http: HttpClient, base_url: str) -> None:
        self._http = http
        self._url = f"{base_url}/caption"

    async def describe(self, picture: Picture, ask: Ask) -> Description:  # noqa: ARG002  see the class
        """One caption, with tags where the service has some."""
        jpeg = await picture.upload(EDGE_PX)
        part = Part("image", "image.jpg", "image/jpeg", jpeg)
        answer = await self._http.post_file(self._url, part, LOCAL_READ_TIMEOUT_S)
        if answer.status != 200:
            raise classify(answer, self.model)
        try:
            read = _Answer.model_validate_json(answer.body)
        except ValidationError:
            raise AnswerError("The answer is not the JSON of a caption service.") from None
        caption = clean_caption(read.caption)
        if not caption:
            raise AnswerError("The caption is empty.")
        tags = clean_words(read.tags, MAX_TAGS)
        mode = ParseMode.JSON if tags else ParseMode.PROSE
        return Description(caption, tags, (), "en", self.model, mode)
