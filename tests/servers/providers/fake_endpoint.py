"""An external image endpoint: takes a form of text and image, and answers about what it sees."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from io import BytesIO

from PIL import Image
from starlette.applications import Starlette
from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.servers.providers.loopback import serving

ANALYSIS: dict[str, object] = {
    "store_image": True,
    "text_content": ["Corner Shop", "Open 24 h"],
    "store_name": "Corner Shop",
    "business_contact": ["+49 30 1234567"],
    "image_description": "A corner shop with a green awning.",
    "phone_number": True,
}


@dataclass(frozen=True, slots=True)
class Asked:
    """One request: its headers (names in lower case), the prompt, and the picture."""

    headers: dict[str, str]
    text: str
    file_name: str
    media_type: str
    image: Image.Image


@dataclass(slots=True)
class FakeEndpoint:
    """Refuses what the protocol does not know; ``answer`` is what it says to the rest."""

    url: str = ""
    answer: Response = field(default_factory=lambda: JSONResponse(ANALYSIS))
    gate: asyncio.Event | None = None
    asked: list[Asked] = field(default_factory=list)
    described: int = 0
    hangups: int = 0

    def app(self) -> Starlette:
        return Starlette(routes=[Route("/v2/generate", self.generate, methods=["POST"])])

    async def generate(self, request: Request) -> Response:
        if not request.headers["content-type"].startswith("multipart/form-data"):
            return JSONResponse({"detail": "form expected"}, status_code=422)
        async with request.form() as form:
            text, image = form.get("text"), form.get("image")
            if len(form.multi_items()) != 2 or not isinstance(text, str) or not isinstance(image, UploadFile):
                return JSONResponse({"detail": "text and image expected"}, status_code=422)
            picture = Image.open(BytesIO(await image.read()))
            picture.load()
            asked = Asked(
                dict(request.headers), text, image.filename or "", image.content_type or "", picture
            )
        self.asked.append(asked)
        while self.gate and not self.gate.is_set():
            if await request.is_disconnected():
                self.hangups += 1
                return Response()
            await asyncio.sleep(0.01)
        self.described += 1
        return self.answer


@asynccontextmanager
async def fake_endpoint() -> AsyncIterator[FakeEndpoint]:
    """An endpoint on a free port of 127.0.0.1; ``url`` names its full path."""
    fake = FakeEndpoint()
    async with serving(fake.app()) as base_url:
        fake.url = f"{base_url}/v2/generate"
        yield fake
