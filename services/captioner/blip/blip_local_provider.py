"""A BLIP model in the captioner's own process: one picture in, one English sentence out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import ClassVar

from services.captioner.answers.answer_parser import clean_caption
from services.captioner.blip.blip_local_batches import BlipLocalBatches, open_batches
from services.captioner.blip.blip_local_model import Wording, load_blip
from services.captioner.picture import Upload
from services.captioner.provider import (
    Access,
    Answer,
    AnswerError,
    Ask,
    Description,
    ParseMode,
    Provider,
    Tokens,
)

# The model looks at 384 x 384 or fewer; the short side of most photos is no smaller then.
EDGE_PX = 768
MAX_CAPTION_TOKENS = 64


class BlipLocalProvider:
    """Speaks English only, and costs nothing.

    A prompt is how the caption begins ("a photo of"), its first 64 tokens at most, for it takes no
    instructions; BLIP-2 gets none. ``model`` changes with the weights.
    """

    id: ClassVar[str] = "blip-local"

    def __init__(self, batches: BlipLocalBatches, model: str) -> None:
        self._batches = batches
        self.model = model

    def edge_px(self, ask: Ask) -> int:  # noqa: ARG002  the same for every ask
        """See the port."""
        return EDGE_PX

    def expected_tokens(self, upload: Upload, ask: Ask) -> Tokens:  # noqa: ARG002  nothing is counted
        """See the port."""
        return Tokens()

    async def describe(self, upload: Upload, ask: Ask, access: Access) -> Answer:  # noqa: ARG002  no way to choose
        """One caption, without tags and objects."""
        wording = Wording(ask.prompt.strip(), max(1, min(ask.max_output_tokens, MAX_CAPTION_TOKENS)))
        caption = clean_caption(await self._batches.caption(upload.jpeg, wording))
        if not caption:
            raise AnswerError("The caption is empty.")
        return Answer(Description(caption, (), (), "en", self.model, ParseMode.PROSE))


@asynccontextmanager
async def open_blip_local(folder: Path, device: str, max_batch: int, threads: int) -> AsyncIterator[Provider]:
    """The model in ``folder``, ready; arguments and errors as ``load_blip``.

    At most ``max_batch`` pictures are described in one step.
    """
    # Everything of torch happens in this one thread.
    worker = ThreadPoolExecutor(1, thread_name_prefix="blip")
    try:
        loop = asyncio.get_running_loop()
        model = await loop.run_in_executor(worker, load_blip, folder, device, threads)
        async with open_batches(model, max_batch, worker) as batches:
            yield BlipLocalProvider(batches, model.name)
    finally:
        worker.shutdown(wait=False)
