"""The vendors' own clients at fake vendors, and what they are asked."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from io import BytesIO
from typing import Any

import openai
from mistralai.client import Mistral
from PIL import Image
from pydantic import BaseModel

from tests.servers.providers.fake_account import FakeAccount
from tests.servers.providers.fake_vendor import fake_vendor
from tests.servers.providers.vendor_plan import KEY

MISTRAL_MODEL = "mistral-small-latest"
OPENAI_MODEL = "gpt-5.4-mini"


class Described(BaseModel):
    """What the clients ask for, in the shape of their own structured calls."""

    caption: str
    tags: list[str]
    objects: list[str]


def jpeg(width: int = 597, height: int = 566) -> bytes:
    target = BytesIO()
    Image.new("RGB", (width, height), (width % 256, height % 256, 90)).save(target, "JPEG")
    return target.getvalue()


def messages(picture: bytes) -> Any:
    url = f"data:image/jpeg;base64,{base64.b64encode(picture).decode()}"
    return [
        {"role": "system", "content": "You describe photographs. Answer with one JSON object."},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "Describe it."},
                {"type": "image_url", "image_url": {"url": url, "detail": "high"}},
            ],
        },
    ]


def inputs(picture: bytes) -> Any:
    url = f"data:image/jpeg;base64,{base64.b64encode(picture).decode()}"
    parts = [
        {"type": "input_text", "text": "Describe it."},
        {"type": "input_image", "image_url": url, "detail": "high"},
    ]
    return [{"role": "user", "content": parts}]


@asynccontextmanager
async def mistral(account: FakeAccount, key: str = KEY) -> AsyncIterator[Mistral]:
    async with fake_vendor(account) as vendor, Mistral(api_key=key, server_url=vendor.url) as client:
        yield client


@asynccontextmanager
async def open_ai(
    account: FakeAccount, key: str = KEY, path: str = "/v1"
) -> AsyncIterator[openai.AsyncOpenAI]:
    async with (
        fake_vendor(account) as vendor,
        openai.AsyncOpenAI(api_key=key, base_url=f"{vendor.url}{path}", max_retries=0) as client,
    ):
        yield client
