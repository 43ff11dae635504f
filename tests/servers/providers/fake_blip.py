"""A BLIP caption service that looks at the pictures: it names their colour, so that no mix-up goes unseen.

It speaks both dialects of the protocol, by files and by paths, and misbehaves where it is told to.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image
from starlette.applications import Starlette
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.servers.providers.loopback import serving

COLOURS = {
    "red": (255, 0, 0), "lime": (0, 255, 0), "blue": (0, 0, 255), "white": (255, 255, 255),
    "black": (0, 0, 0), "yellow": (255, 255, 0), "aqua": (0, 255, 255), "fuchsia": (255, 0, 255),
}  # fmt: skip
Item = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Call:
    """One POST: where, how, and under which names the pictures came."""

    path: str
    media_type: str
    names: tuple[str, ...]
    sizes: tuple[tuple[int, int], ...]


@dataclass(slots=True)
class Task:
    items: list[Item]
    looks_left: float


@dataclass(slots=True)
class FakeBlip:
    """What it does is set by a test; what it was asked for is counted."""

    url: str = ""
    # Where paths of this service lead: its own name of the shared folder, and the real one.
    mount: str = "/srv/pictures"
    folder: Path | None = None

    bare: bool = False
    results_key: str = "result"
    completed: str = "COMPLETED"
    running: str = "IN_PROGRESS"
    status_path: str = "/async-batch-caption/status/"
    accepted_status: int = 202
    looks_needed: float = 2
    task_id: str = ""
    tags: bool = True
    # Pictures of these colours are reported as errors.
    bad: tuple[str, ...] = ()
    bad_text: str = "cannot identify image file"
    retouch: Callable[[list[Item]], list[Item]] = list
    # Answers, by path, that take the place of a proper one; the first is used up, the last one stays.
    instead: dict[str, list[Response]] = field(default_factory=dict)
    gate: asyncio.Event | None = None

    calls: list[Call] = field(default_factory=list)
    described: int = 0
    looks: list[str] = field(default_factory=list)
    waiting: int = 0
    hangups: int = 0
    _tasks: dict[str, Task] = field(default_factory=dict)

    def app(self) -> Starlette:
        post, get = ["POST"], ["GET"]
        return Starlette(
            routes=[
                Route("/caption", self.caption, methods=post),
                Route("/batch-caption", self.batch, methods=post),
                Route("/async-batch-caption", self.start_task, methods=post),
                Route("/async-batch-caption/status/{task_id}", self.look, methods=get),
                Route("/task-status/{task_id}", self.look, methods=get),
            ],
            exception_handlers={HTTPException: _as_detail},
        )

    async def caption(self, request: Request) -> Response:
        [item] = await self._items(request, "image", "image_path")
        if answer := await self._answer_instead(request):
            return answer
        if "error" in item:
            raise HTTPException(500, item["error"])
        if request.headers["content-type"].startswith("multipart/"):
            del item["image_path"]
        return JSONResponse(item)

    async def batch(self, request: Request) -> Response:
        items = await self._items(request, "images", "image_paths")
        if answer := await self._answer_instead(request):
            return answer
        return JSONResponse(items if self.bare else {"results": items, "total_processing_time": 0.1})

    async def start_task(self, request: Request) -> Response:
        items = await self._items(request, "images", "image_paths")
        if answer := await self._answer_instead(request):
            return answer
        task_id = self.task_id or f"task-{len(self._tasks)}"
        self._tasks[task_id] = Task(items, self.looks_needed)
        body = {"task_id": task_id, "message": "Batch accepted"}
        return JSONResponse(body, status_code=self.accepted_status)

    async def look(self, request: Request) -> Response:
        self.looks.append(request.url.path)
        task_id = request.path_params["task_id"]
        task = self._tasks.get(task_id)
        if not request.url.path.startswith(self.status_path) or task is None:
            raise HTTPException(404, "Not Found")
        if answer := await self._answer_instead(request, self.status_path):
            return answer
        task.looks_left -= 1
        if task.looks_left > 0:
            return JSONResponse({"task_id": task_id, "status": self.running})
        done = {"task_id": task_id, "status": self.completed}
        results = {"results": task.items} if self.bare else task.items
        return JSONResponse({**done, self.results_key: results})

    async def _items(self, request: Request, form_field: str, json_field: str) -> list[Item]:
        if request.headers["content-type"].startswith("multipart/form-data"):
            pictures = await _uploaded(request, form_field)
        elif request.headers["content-type"] == "application/json":
            pictures = self._opened(await request.json(), json_field)
        else:
            raise HTTPException(415, "Neither a form nor JSON")
        images = [Image.open(BytesIO(jpeg)) for _, jpeg in pictures]
        names = tuple(name for name, _ in pictures)
        media_type = request.headers["content-type"].split(";")[0]
        self.calls.append(Call(request.url.path, media_type, names, tuple(image.size for image in images)))
        await self._pass_gate(request)
        self.described += len(images)
        return self.retouch([self._item(name, image) for name, image in zip(names, images, strict=True)])

    def _item(self, name: str, image: Image.Image) -> Item:
        colour = colour_of(image)
        if colour in self.bad:
            return {"image_path": name, "error": self.bad_text}
        item = {"image_path": name, "caption": f"a {colour} picture"}
        return {**item, "tags": [colour, "picture"]} if self.tags else item

    def _opened(self, body: Any, json_field: str) -> list[tuple[str, bytes]]:
        paths = body[json_field]
        assert set(body) == {json_field}
        return [
            (path, self._inside(path).read_bytes())
            for path in ([paths] if json_field == "image_path" else paths)
        ]

    def _inside(self, path: str) -> Path:
        folder, _, name = path.rpartition("/")
        if not self.folder or folder != self.mount or not (self.folder / name).is_file():
            raise HTTPException(404, f"File not found: {path}")
        return self.folder / name

    async def _pass_gate(self, request: Request) -> None:
        """Waits until the test opens the gate, or the client hangs up."""
        self.waiting += 1
        try:
            while self.gate and not self.gate.is_set():
                if await request.is_disconnected():
                    self.hangups += 1
                    raise HTTPException(400, "The client has left")
                await asyncio.sleep(0.01)
        finally:
            self.waiting -= 1

    async def _answer_instead(self, request: Request, path: str = "") -> Response | None:
        answers = self.instead.get(path or request.url.path, [])
        return answers.pop(0) if len(answers) > 1 else answers[0] if answers else None


def colour_of(image: Image.Image) -> str:
    """The name of the nearest of COLOURS to the average."""
    small = image.convert("RGB").resize((1, 1))
    mean = small.getpixel((0, 0))
    assert isinstance(mean, tuple)
    return min(COLOURS, key=lambda name: sum((a - b) ** 2 for a, b in zip(mean, COLOURS[name], strict=True)))


async def _uploaded(request: Request, form_field: str) -> list[tuple[str, bytes]]:
    pictures = []
    async with request.form() as form:
        for name, value in form.multi_items():
            if name != form_field or not isinstance(value, UploadFile):
                raise HTTPException(422, f"A part named {name}")
            if value.content_type != "image/jpeg" or not value.filename or "/" in value.filename:
                raise HTTPException(422, f"A file of {value.content_type} named {value.filename}")
            pictures.append((value.filename, await value.read()))
    if not pictures or (form_field == "image" and len(pictures) != 1):
        raise HTTPException(422, f"{len(pictures)} parts")
    return pictures


async def _as_detail(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return JSONResponse({"detail": error.detail}, status_code=error.status_code)


@asynccontextmanager
async def fake_blip() -> AsyncIterator[FakeBlip]:
    """A service on a free port of 127.0.0.1."""
    fake = FakeBlip()
    async with serving(fake.app()) as fake.url:
        yield fake
