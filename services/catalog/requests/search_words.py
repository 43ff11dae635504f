"""The text of a search: words, "phrases" and prefix*."""

from __future__ import annotations

import re
from collections.abc import Iterable

from services.catalog.model import SearchWords
from services.catalog.refusals import invalid_field
from services.catalog.words import words_of

MAX_CHARS = 1_000
MAX_CLAUSES = 16
# Shorter ones begin too many words to be looked up in time.
MIN_PREFIX_CHARS = 3
_TOKEN = re.compile(r'"([^"]*)"?|([^\s"]+)')


def parse_search_words(text: str) -> SearchWords:
    """The clauses, all of which must match; each once, in the order of the text.

    What stands together is searched together: "half-timbered" is a phrase, and so is a run of a script that
    is written without spaces. A quotation mark that is not closed reaches to the end.

    Raises ``InvalidArgumentError(INVALID_FIELD)``: nothing to search, too much, or too short a prefix.
    """
    if len(text) > MAX_CHARS:
        raise invalid_field("text", f"At most {MAX_CHARS:,} characters.")
    words: dict[str, None] = {}
    prefixes: dict[str, None] = {}
    phrases: dict[tuple[str, ...], None] = {}
    for run, prefix in _clauses(text):
        if prefix:
            prefixes[prefix] = None
        if len(run) == 1:
            words[run[0]] = None
        elif run:
            phrases[run] = None
    count = len(words) + len(prefixes) + len(phrases)
    if not 1 <= count <= MAX_CLAUSES:
        raise invalid_field(
            "text",
            f'1 to {MAX_CLAUSES} words, "phrases" or prefixes*; this has {count} with letters or digits.',
        )
    return SearchWords(tuple(words), tuple(prefixes), tuple(phrases))


def _clauses(text: str) -> Iterable[tuple[tuple[str, ...], str]]:
    """Words that follow each other, and the prefix behind them if there is one."""
    for token in _TOKEN.finditer(text):
        phrase, bare = token.groups()
        run = tuple(words_of(phrase if bare is None else bare))
        if bare is None or not bare.endswith("*") or not run or _is_whole(run[-1]):
            yield run, ""
        elif len(run[-1]) < MIN_PREFIX_CHARS:
            raise invalid_field("text", f"{bare[:100]}: a prefix has at least three letters or digits.")
        else:
            yield run[:-1], run[-1]


def _is_whole(word: str) -> bool:
    """True for a character that is a word by itself, in scripts without spaces."""
    return len(words_of(word + word)) > 1
