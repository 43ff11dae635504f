"""How many pictures are held and decoded at the same time."""

from __future__ import annotations

import asyncio
from io import BytesIO

from PIL import Image

from services.captioner.picture import Picture
from services.captioner.studio import open_studio


class Shelf:
    """Counts who holds the bytes of an original."""

    def __init__(self) -> None:
        target = BytesIO()
        Image.new("RGB", (64, 48), "red").save(target, "PNG")
        self.content = target.getvalue()
        self.loads = 0
        self.waiting = 0
        self.most_waiting = 0

    async def load(self) -> bytes:
        self.loads += 1
        self.waiting += 1
        self.most_waiting = max(self.most_waiting, self.waiting)
        for _ in range(5):
            await asyncio.sleep(0)
        self.waiting -= 1
        return self.content


async def test_no_more_originals_than_workers_are_held() -> None:
    shelf = Shelf()
    with open_studio(workers=2, max_pixels=1_000_000) as studio:
        await asyncio.gather(*(Picture(shelf.load, studio).upload(768) for _ in range(12)))

    assert shelf.loads == 12
    assert shelf.most_waiting == 2


async def test_a_picture_is_scaled_once_for_each_size() -> None:
    shelf = Shelf()
    with open_studio(workers=2, max_pixels=1_000_000) as studio:
        picture = Picture(shelf.load, studio)
        uploads = [await picture.upload(edge_px) for edge_px in (768, 1024, 768, 1024)]

    assert shelf.loads == 2
    assert uploads[0] is uploads[2]
