"""What a caption costs with the vendor's own client and nothing around it."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import Sequence
from typing import Any

from mistralai.client import Mistral

from services.captioner.prompt import ANSWER_SCHEMA, SYSTEM, instruction
from services.captioner.provider import Ask
from tests.servers.providers.vendor_plan import KEY

MODEL = "mistral-small-latest"
IN_FLIGHT = 8


def cpu_us(url: str, pictures: Sequence[bytes], text: str) -> float:
    """CPU microseconds a caption of this process; the pictures are sent as they are."""
    return asyncio.run(_cpu_us(url, pictures, text))


async def _cpu_us(url: str, pictures: Sequence[bytes], text: str) -> float:
    places = asyncio.Semaphore(IN_FLIGHT)
    async with Mistral(api_key=KEY, server_url=url) as client:

        async def caption(picture: bytes) -> None:
            async with places:
                answer = await client.chat.complete_async(
                    model=MODEL, messages=_messages(picture), max_tokens=400, response_format=_FORMAT
                )
            content: Any = answer.choices[0].message
            if json.loads(content.content)["caption"] != text:
                raise RuntimeError("not the answer of the model")

        await asyncio.gather(*(caption(picture) for picture in pictures[:50]))
        before_s = time.process_time()
        await asyncio.gather(*(caption(picture) for picture in pictures))
        return 1e6 * (time.process_time() - before_s) / len(pictures)


_FORMAT: Any = {
    "type": "json_schema",
    "json_schema": {"name": "image_description", "schema": ANSWER_SCHEMA, "strict": True},
}


def _messages(picture: bytes) -> Any:
    url = f"data:image/jpeg;base64,{base64.b64encode(picture).decode()}"
    parts = [
        {"type": "text", "text": instruction(Ask())},
        {"type": "image_url", "image_url": {"url": url, "detail": "high"}},
    ]
    return [{"role": "system", "content": SYSTEM}, {"role": "user", "content": parts}]
