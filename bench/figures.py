"""Figures of a benchmark: a value, its goal and how it was measured; kept as JSON, shown as a table."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from rich.console import Console
from rich.table import Table

RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured value. A figure without a goal is there to be watched."""

    value: float
    unit: str
    better: Literal["higher", "lower"]
    method: str
    goal: float | None = None

    @property
    def met(self) -> bool | None:
        """Whether the goal is reached; None where there is none."""
        if self.goal is None:
            return None
        return self.value >= self.goal if self.better == "higher" else self.value <= self.goal


Figures = Mapping[str, Figure]


def write(name: str, figures: Figures) -> Path:
    """Writes ``bench/results/NAME.json`` and returns its path."""
    RESULTS.mkdir(exist_ok=True)
    rows = {key: {**asdict(figure), "value": round(figure.value, 4)} for key, figure in figures.items()}
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps(rows, indent=2) + "\n")
    return path


def show(results: Mapping[str, Figures]) -> None:
    """Prints one table of all figures."""
    table = Table("figure", "value", "goal", "", "method")
    for name, figures in results.items():
        for key, figure in figures.items():
            sign = "≥" if figure.better == "higher" else "≤"
            mark = {True: "[green]met[/]", False: "[red]missed[/]", None: ""}[figure.met]
            goal = "" if figure.goal is None else f"{sign} {figure.goal:g}"
            table.add_row(f"{name}.{key}", f"{figure.value:.3g} {figure.unit}", goal, mark, figure.method)
    Console().print(table)
