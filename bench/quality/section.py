"""One subject of the report: its figures with their goals, the method, and what stands below the table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from PIL import Image

from bench.figures import Figure, Figures


@dataclass(frozen=True, slots=True)
class Table:
    """Detail rows under a caption; the first column names the row."""

    caption: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True, slots=True)
class Illustration:
    """A picture of the report; ``name`` is its file's, without the ending."""

    name: str
    caption: str
    image: Image.Image


@dataclass(frozen=True, slots=True)
class Section:
    """What one subject found. ``method`` is a paragraph; each figure says for itself what it counts."""

    title: str
    method: str
    figures: Figures
    tables: Sequence[Table] = ()
    illustrations: Sequence[Illustration] = ()
    remarks: Sequence[str] = field(default=())


def share(part: int, whole: int) -> float:
    """``part`` of ``whole`` in percent; all of nothing is 100."""
    return 100.0 * part / whole if whole else 100.0


def percentage(value: float, method: str, goal: float | None = None) -> Figure:
    """A figure in percent of which more is better."""
    return Figure(value, "%", "higher", method, goal)


def count(value: int, method: str, most: float | None = None) -> Figure:
    """A number of things of which fewer are better."""
    return Figure(value, "", "lower", method, most)


def prefixed(prefix: str, figures: Mapping[str, Figure]) -> dict[str, Figure]:
    """The same figures under longer names."""
    return {f"{prefix}_{name}": figure for name, figure in figures.items()}
