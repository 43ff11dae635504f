"""The wire protocol of a BLIP caption service: files or paths; one picture, several, or by a task."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from services.captioner.answers.answer_status import classify
from services.captioner.blip.blip_answer import (
    BlipCaption,
    BlipOutcome,
    BlipTask,
    TaskState,
    read_batch,
    read_caption,
    read_task,
    read_task_id,
)
from services.captioner.blip.blip_shared_folder import SharedFolder, random_name
from services.captioner.http_client import LOCAL_READ_TIMEOUT_S, HttpAnswer, HttpClient, Part
from services.captioner.provider import SlowAnswerError, ThrottledError, TransientError

MODEL = "blip"
STATUS_TIMEOUT_S = 30.0
FIRST_POLL_S = 0.05
MAX_POLL_S = 2.0
# A look that fails costs nothing, a task that is started again does.
MAX_FAILED_LOOKS = 3
_STATUS_PATHS = ("/async-batch-caption/status/", "/task-status/")


class BlipService:
    """Speaks with services at any address. With ``shared`` they get paths in that folder, else files."""

    def __init__(
        self, http: HttpClient, shared: SharedFolder | None, task_timeout_s: float = LOCAL_READ_TIMEOUT_S
    ) -> None:
        self._http = http
        self._shared = shared
        self._task_timeout_s = task_timeout_s

    async def caption(self, base_url: str, jpeg: bytes) -> BlipCaption:
        """One picture, one request; raises ProviderError."""
        async with self._sendable([jpeg]) as [name]:
            if self._shared:
                answer = await self._post_json(f"{base_url}/caption", {"image_path": name})
            else:
                answer = await self._post_files(f"{base_url}/caption", "image", [name], [jpeg])
        return read_caption(_checked(answer).body)

    async def caption_batch(self, base_url: str, jpegs: Sequence[bytes]) -> tuple[BlipOutcome, ...]:
        """Several pictures in one request: an outcome for each, in order; raises what fails them all."""
        async with self._sendable(jpegs) as names:
            answer = await self._post_all(f"{base_url}/batch-caption", names, jpegs)
        return read_batch(_checked(answer).body, _file_names(names))

    async def caption_by_task(self, base_url: str, jpegs: Sequence[bytes]) -> tuple[BlipOutcome, ...]:
        """As ``caption_batch``, by a task that is looked at until it ends."""
        async with self._sendable(jpegs) as names:
            answer = await self._post_all(f"{base_url}/async-batch-caption", names, jpegs)
            if not 200 <= answer.status < 300:
                raise classify(answer, MODEL)
            task_id = read_task_id(answer.body)
            try:
                async with asyncio.timeout(self._task_timeout_s):
                    return await self._ended(base_url, task_id, _file_names(names))
            except TimeoutError:
                raise SlowAnswerError(
                    f"The BLIP service's task did not end within {self._task_timeout_s:g} s."
                ) from None

    async def _ended(self, base_url: str, task_id: str, names: Sequence[str]) -> tuple[BlipOutcome, ...]:
        looks = _Looks(self._http, base_url, task_id)
        wait_s = FIRST_POLL_S
        while True:
            await asyncio.sleep(wait_s)
            task = await looks.look(names)
            if task.state is TaskState.COMPLETED:
                return task.outcomes
            if task.state is TaskState.FAILED:
                raise TransientError("The BLIP service's task failed.")
            wait_s = min(MAX_POLL_S, wait_s * 1.5)

    @asynccontextmanager
    async def _sendable(self, jpegs: Sequence[bytes]) -> AsyncIterator[tuple[str, ...]]:
        if self._shared:
            async with self._shared.lend(jpegs) as paths:
                yield paths
        else:
            yield tuple(random_name() for _ in jpegs)

    async def _post_all(self, url: str, names: Sequence[str], jpegs: Sequence[bytes]) -> HttpAnswer:
        if self._shared:
            return await self._post_json(url, {"image_paths": list(names)})
        return await self._post_files(url, "images", names, jpegs)

    async def _post_json(self, url: str, body: object) -> HttpAnswer:
        return await self._http.post_json(url, json.dumps(body).encode(), {}, LOCAL_READ_TIMEOUT_S)

    async def _post_files(
        self, url: str, field: str, names: Sequence[str], jpegs: Sequence[bytes]
    ) -> HttpAnswer:
        parts = [Part(field, name, "image/jpeg", jpeg) for name, jpeg in zip(names, jpegs, strict=True)]
        return await self._http.post_form(url, {}, parts, {}, LOCAL_READ_TIMEOUT_S)


class _Looks:
    """Looks at one task, on the status path that this service has."""

    def __init__(self, http: HttpClient, base_url: str, task_id: str) -> None:
        self._http = http
        self._urls = [f"{base_url}{path}{task_id}" for path in _STATUS_PATHS]
        self._failed = 0
        self._was_seen = False

    async def look(self, names: Sequence[str]) -> BlipTask:
        """How the task is; a few failures in a row count as still running."""
        try:
            answer = await self._get()
        except (TransientError, ThrottledError):
            self._failed += 1
            if self._failed >= MAX_FAILED_LOOKS:
                raise
            return BlipTask(TaskState.RUNNING)
        self._failed = 0
        return read_task(answer.body, names)

    async def _get(self) -> HttpAnswer:
        answer = await self._http.get(self._urls[0], {}, STATUS_TIMEOUT_S)
        if answer.status == 404 and not self._was_seen and len(self._urls) > 1:
            self._urls.pop(0)
            answer = await self._http.get(self._urls[0], {}, STATUS_TIMEOUT_S)
        if answer.status == 404 and self._was_seen:
            raise TransientError("The BLIP service has forgotten its task.")
        self._was_seen |= answer.status == 200
        return _checked(answer)


def _checked(answer: HttpAnswer) -> HttpAnswer:
    if answer.status != 200:
        raise classify(answer, MODEL)
    return answer


def _file_names(paths: Sequence[str]) -> tuple[str, ...]:
    return tuple(path.rsplit("/", 1)[-1] for path in paths)
