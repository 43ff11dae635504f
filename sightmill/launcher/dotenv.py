"""The ``.env`` file, as far as the launcher needs it: NAME=value lines, comments, quotes."""

from __future__ import annotations

from pathlib import Path


def read_dotenv(path: Path) -> dict[str, str]:
    """The variables of a ``.env`` file; empty when there is none. No substitution takes place."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return {}
    pairs = (_parse(line) for line in lines)
    return {pair[0]: pair[1] for pair in pairs if pair is not None}


def _parse(line: str) -> tuple[str, str] | None:
    text = line.strip().removeprefix("export ").lstrip()
    name, separator, value = text.partition("=")
    if not separator or text.startswith("#") or not name.strip():
        return None
    return name.strip(), _unquote(value.strip())


def _unquote(value: str) -> str:
    quote = value[:1]
    if quote and quote in "'\"":
        inner, closed, _ = value[1:].partition(quote)
        return inner if closed else value
    return value.partition(" #")[0].rstrip()
