"""What BLIP services answer, in the two dialects that exist."""

from __future__ import annotations

import enum
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pydantic_core import from_json

from services.captioner.answers.answer_parser import MAX_TAGS, clean_caption, clean_words
from services.captioner.provider import AnswerError, BadPictureError, ConfigError, ProviderError

# A task id becomes part of a path, so it holds nothing that means something there.
_TASK_ID = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._~-]{0,127}")
_NO_FILE = ("not found", "no such file", "not exist")
_COMPLETED = ("completed",)
_FAILED = ("failed", "error")
_MAX_DEPTH = 2


@dataclass(frozen=True, slots=True)
class BlipCaption:
    """A clean sentence, never empty, and tags where the service has some."""

    text: str
    tags: tuple[str, ...] = ()


BlipOutcome = BlipCaption | ProviderError


class TaskState(enum.Enum):
    """How far an asynchronous task is."""

    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class BlipTask:
    """A task's state; ``outcomes`` are there once it is completed, one for each picture."""

    state: TaskState
    outcomes: tuple[BlipOutcome, ...] = ()


def read_caption(body: bytes) -> BlipCaption:
    """The answer for one picture; raises AnswerError, BadPictureError or ConfigError."""
    outcome = _read_item(_loaded(body))
    if isinstance(outcome, ProviderError):
        raise outcome
    return outcome


def read_batch(body: bytes, names: Sequence[str]) -> tuple[BlipOutcome, ...]:
    """One outcome for each name, in order; raises AnswerError when there is no list of results."""
    return _read_results(_loaded(body), names)


def read_task_id(body: bytes) -> str:
    """The id of a task, harmless inside a path; raises AnswerError."""
    loaded = _loaded(body)
    task_id = loaded.get("task_id") if isinstance(loaded, dict) else None
    if not isinstance(task_id, str) or not _TASK_ID.fullmatch(task_id):
        raise AnswerError("The BLIP service names no task, or one with an unusable id.")
    return task_id


def read_task(body: bytes, names: Sequence[str]) -> BlipTask:
    """State and outcomes of a task; raises AnswerError when either cannot be read."""
    loaded = _loaded(body)
    status = loaded.get("status") if isinstance(loaded, dict) else None
    if not isinstance(loaded, dict) or not isinstance(status, str):
        raise AnswerError("The BLIP service's answer holds no state of the task.")
    if status.lower() in _FAILED:
        return BlipTask(TaskState.FAILED)
    if status.lower() not in _COMPLETED:
        return BlipTask(TaskState.RUNNING)
    return BlipTask(TaskState.COMPLETED, _read_results(loaded, names))


def _loaded(body: bytes) -> object:
    try:
        loaded: object = from_json(body)
    except ValueError:
        raise AnswerError("The answer is not the JSON of a BLIP service.") from None
    return loaded


def _read_results(value: object, names: Sequence[str]) -> tuple[BlipOutcome, ...]:
    """By name; a picture whose name is missing gets the item at its place, unless that is another's."""
    items = _list_inside(value)
    if items is None:
        raise AnswerError("The BLIP service's answer holds no list of results.")
    echoed = [_echoed_name(item) for item in items]
    # The first of several counts.
    by_name = dict(zip(reversed(echoed), reversed(items), strict=True))
    by_place: dict[str, object] = {}
    if len(items) == len(names):
        places = zip(names, echoed, items, strict=True)
        by_place = {name: item for name, other, item in places if other not in names}
    return tuple(_read_item(by_name.get(name, by_place.get(name))) for name in names)


def _list_inside(value: object, depth: int = _MAX_DEPTH) -> list[object] | None:
    """The list itself, or that of ``{"results": [...]}``, which may be a task's ``result`` in its turn."""
    if isinstance(value, Mapping) and depth:
        lists = (_list_inside(value.get(key), depth - 1) for key in ("result", "results"))
        return next((found for found in lists if found is not None), None)
    return value if isinstance(value, list) else None


def _echoed_name(item: object) -> str:
    path = item.get("image_path") if isinstance(item, Mapping) else None
    return re.split(r"[/\\]", path)[-1] if isinstance(path, str) else ""


def _read_item(item: object) -> BlipOutcome:
    if not isinstance(item, Mapping):
        return AnswerError("The BLIP service's answer holds nothing about this picture.")
    if error := item.get("error"):
        return _item_error(str(error).lower())
    caption = clean_caption(item.get("caption"))
    if not caption:
        return AnswerError("The BLIP service's answer holds no caption.")
    return BlipCaption(caption, clean_words(item.get("tags"), MAX_TAGS))


def _item_error(text: str) -> ProviderError:
    if any(mark in text for mark in _NO_FILE):
        return ConfigError(
            "The BLIP service does not find the file; where it gets paths, check "
            "SIGHTMILL_CAPTIONER_BLIP_SHARED_PATH."
        )
    return BadPictureError("The BLIP service does not take this picture.")
