"""A BLIP caption service: one picture in, one English sentence out."""

from __future__ import annotations

from typing import ClassVar, Literal

from services.captioner.blip.blip_answer import BlipCaption
from services.captioner.blip.blip_batches import MAX_BATCH, Batches
from services.captioner.blip.blip_service import MODEL, BlipService
from services.captioner.blip.blip_shared_folder import SharedFolder
from services.captioner.http_client import HttpClient
from services.captioner.picture import Upload
from services.captioner.provider import Access, Answer, Ask, Description, ParseMode, Tokens

__all__ = ["MAX_BATCH", "BlipProvider", "Call"]

# BLIP looks at 384 pixels; more is thrown away there.
EDGE_PX = 768
Call = Literal["single", "batch", "async"]


class BlipProvider:
    """Prompt, language and token limit mean nothing to BLIP.

    ``call`` says whether pictures go one by one, in batches of those in flight together, or in batches by
    task; ``shared`` is the folder for services that take paths in place of files.
    """

    id: ClassVar[str] = "blip"
    model: ClassVar[str] = MODEL

    def __init__(self, http: HttpClient, call: Call = "single", shared: SharedFolder | None = None) -> None:
        service = BlipService(http, shared)
        self._caption = {
            "single": service.caption,
            "batch": Batches(service.caption_batch).caption,
            "async": Batches(service.caption_by_task).caption,
        }[call]

    def edge_px(self, ask: Ask) -> int:  # noqa: ARG002  the same for every ask
        """See the port."""
        return EDGE_PX

    def expected_tokens(self, upload: Upload, ask: Ask) -> Tokens:  # noqa: ARG002  nothing is counted
        """See the port."""
        return Tokens()

    async def describe(self, upload: Upload, ask: Ask, access: Access) -> Answer:  # noqa: ARG002  see the class
        """One caption, with tags where the service has some."""
        caption = await self._caption(access.base_url, upload.jpeg)
        return Answer(_description(caption))


def _description(caption: BlipCaption) -> Description:
    mode = ParseMode.JSON if caption.tags else ParseMode.PROSE
    return Description(caption.text, caption.tags, (), "en", MODEL, mode)
