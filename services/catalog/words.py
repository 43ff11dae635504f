"""Words for the full-text search: cut and folded here, so that both stores find the same.

A word is a run of letters and digits without case and diacritics; of scripts that are written without
spaces every character is a word.
"""

from __future__ import annotations

import re
import unicodedata

# Han, Hiragana, Katakana, Thai, Lao, Khmer, Myanmar.
_UNSPACED = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"
_WORD = re.compile(rf"[{_UNSPACED}]|[^\W_{_UNSPACED}]+")
# The same for what is ASCII, without looking for other scripts.
_PLAIN_WORD = re.compile(r"[a-zA-Z0-9]+")
_MAX_WORD_CHARS = 64
_MAX_WORDS = 10_000
# Folds ASCII, and makes a space of all that is no letter or digit.
_PLAIN = bytes(ord(chr(code).lower()) if code < 128 and chr(code).isalnum() else 32 for code in range(256))
# Too short to hold too many words.
_SHORT_CHARS = 1_024


def fold(text: str) -> str:
    """Without case and diacritics: "Äpfel" and "apfel" are the same."""
    if text.isascii():
        return text.lower()
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    return "".join(char for char in decomposed if not unicodedata.combining(char))


def words_of(text: str, most: int = _MAX_WORDS) -> list[str]:
    """The words of a text in their order, each folded and cut to 64 characters; at most ``most``."""
    folded = fold(text)
    found = (_PLAIN_WORD if folded.isascii() else _WORD).findall(folded)[:most]
    if len(folded) <= _MAX_WORD_CHARS:
        return found
    return [word[:_MAX_WORD_CHARS] for word in found]


def joined_words(text: str) -> str:
    """What ``words_of`` gives, joined with single spaces; several times as fast for plain text."""
    if not text:
        return ""
    if len(text) > _SHORT_CHARS or not text.isascii():
        return " ".join(words_of(text))
    words = text.encode().translate(_PLAIN).split()
    if len(text) > _MAX_WORD_CHARS:
        words = [word[:_MAX_WORD_CHARS] for word in words]
    return b" ".join(words).decode()
