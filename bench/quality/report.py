"""docs/quality.md: the figures with their goals, the method of each subject, details and pictures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from bench.figures import Figure
from bench.quality.section import Section, Table

OPENING = """# How good the answers are

Made by `make eval` (`python -m bench.quality`), which measures again and fails when a goal is missed. The
same code and pictures give the same file. "The peer" is the older service whose fields and formulas the
analyzer keeps: every library at full size, one after the other.
"""
PICTURE_QUALITY = 60


def write_report(path: Path, sections: Mapping[str, Section], sources: Sequence[str]) -> None:
    """Write the page, and the pictures into ``img`` beside it."""
    pictures = path.parent / "images"
    for section in sections.values():
        for each in section.illustrations:
            pictures.mkdir(exist_ok=True)
            each.image.save(pictures / f"{each.name}.jpg", quality=PICTURE_QUALITY, optimize=True)
    path.write_text("\n".join(_page(sections, sources)) + "\n")


def missed_goals(sections: Mapping[str, Section]) -> list[str]:
    """Names of the figures that miss their goals, as ``subject.figure``."""
    return [
        f"{name}.{key}"
        for name, section in sections.items()
        for key, figure in section.figures.items()
        if figure.met is False
    ]


def _page(sections: Mapping[str, Section], sources: Sequence[str]) -> Iterator[str]:
    yield OPENING
    yield "Measured on:\n"
    yield from (f"- {source}" for source in sources)
    yield "\n## All figures\n"
    rows = [
        [f"{name}.{key}", _value(figure), _goal(figure), _verdict(figure)]
        for name, section in sections.items()
        for key, figure in section.figures.items()
    ]
    yield from _table(Table("", ("figure", "value", "goal", ""), rows))
    for section in sections.values():
        yield from _section(section)


def _section(section: Section) -> Iterator[str]:
    yield f"\n## {section.title}\n"
    yield f"{section.method}\n"
    rows = [[key, _value(figure), _goal(figure), figure.method] for key, figure in section.figures.items()]
    yield from _table(Table("", ("figure", "value", "goal", "what it counts"), rows))
    for table in section.tables:
        yield f"\n**{table.caption}**\n"
        yield from _table(table)
    for each in section.illustrations:
        yield f"\n![{each.caption}](images/{each.name}.jpg)\n"
        yield f"*{each.caption}*"
    if section.remarks:
        yield ""
        yield from (f"- {remark}" for remark in section.remarks)


def _table(table: Table) -> Iterator[str]:
    yield f"| {' | '.join(table.header)} |"
    yield f"|{'---|' * len(table.header)}"
    yield from (f"| {' | '.join(_cell(cell) for cell in row)} |" for row in table.rows)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _value(figure: Figure) -> str:
    return f"{_number(figure.value)} {figure.unit}".strip()


def _goal(figure: Figure) -> str:
    if figure.goal is None:
        return ""
    return f"{'≥' if figure.better == 'higher' else '≤'} {_number(figure.goal)} {figure.unit}".strip()


def _number(value: float) -> str:
    return f"{value:.3f}".rstrip("0").rstrip(".")


def _verdict(figure: Figure) -> str:
    return {True: "met", False: "**missed**", None: ""}[figure.met]
