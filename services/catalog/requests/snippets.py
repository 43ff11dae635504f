"""The words around a match, as they stand in the original."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache

from services.catalog.convert import read_into
from services.catalog.model import ImageRecord, SearchWords
from services.catalog.words import fold, words_of
from sightmill.v1 import analyzer_pb2, captioner_pb2, catalog_pb2

MAX_CHARS = 160
_BEFORE_CHARS = 60
# Words beyond are not searched, see services.catalog.findings.
_MAX_TEXT_CHARS = 20_000


def is_in_names(record: ImageRecord, wanted: SearchWords) -> bool:
    """True when the title or the name has a match, so that the results need not be read for the snippet."""
    return bool(_cut_out(_names(record), wanted))


def make_snippet(record: ImageRecord, wanted: SearchWords) -> str:
    """At most 160 characters around the first match in the most telling part that has one.

    The parts are title and name, tags, caption, objects, and the text in the image; empty when none has it.
    """
    for text in _parts(record):
        if snippet := _cut_out(text, wanted):
            return snippet
    return ""


def _parts(record: ImageRecord) -> Iterable[str]:
    yield _names(record)
    said = _said(record)
    caption = read_into(captioner_pb2.Caption(), record.caption or b"")
    removed = {tag.strip().lower() for tag in said.removed_tags}
    tags = (*said.added_tags, *caption.tags)
    yield ", ".join(tag for tag in tags if tag.strip().lower() not in removed)
    yield said.caption if said.HasField("caption") else caption.text
    yield ", ".join(caption.objects)
    yield read_into(analyzer_pb2.Insights(), record.insights or b"").text.text[:_MAX_TEXT_CHARS]


def _names(record: ImageRecord) -> str:
    return f"{_said(record).title} {record.image.display_name}".strip()


def _said(record: ImageRecord) -> catalog_pb2.Corrections:
    return read_into(catalog_pb2.Corrections(), record.corrections)


def _cut_out(text: str, wanted: SearchWords) -> str:
    words = words_of(text)
    index = _first_match(words, wanted)
    return "" if index is None else _around(text, _start_of(text, words[: index + 1]))


def _first_match(words: Sequence[str], wanted: SearchWords) -> int | None:
    singles = frozenset(wanted.words)
    for index, word in enumerate(words):
        if word in singles or word.startswith(wanted.prefixes):
            return index
        if any(tuple(words[index : index + len(phrase)]) == phrase for phrase in wanted.phrases):
            return index
    return None


def _start_of(text: str, words: Sequence[str]) -> int:
    """Where the last of the first words of a text starts in it."""
    folded = fold(text)
    at = 0
    for word in words[:-1]:
        at = folded.index(word, at) + len(word)
    at = folded.index(words[-1], at)
    if text.isascii():
        return at
    for start, char in enumerate(text):
        at -= _folded_chars(char)
        if at < 0:
            return start
    return 0


@lru_cache(maxsize=4_096)
def _folded_chars(char: str) -> int:
    return len(fold(char))


def _around(text: str, start: int) -> str:
    """Cut at spaces where there are some, with an ellipsis for what was cut off."""
    begin = max(0, start - _BEFORE_CHARS)
    head = text[begin:start]
    if begin and len(cut := head.split(maxsplit=1)) > 1 and not head[0].isspace():
        head = cut[1]
    end = start + MAX_CHARS - 2 - len(head)
    tail = text[start:end]
    if end < len(text) and not text[end].isspace() and len(tail.split()) > 1:
        tail = tail.rsplit(maxsplit=1)[0]
    shown = " ".join((head + tail).split())
    return f"{'…' if begin else ''}{shown}{'…' if end < len(text) else ''}"
