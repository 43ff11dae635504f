"""`kill -9` in the middle of writing, fifty times on each store: what was acknowledged must be there."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path

from bench.figures import Figure, Figures
from tests.contract.catalog.kill_rounds import KillReport, mongo_kill_rounds, sqlite_kill_rounds

ROUNDS = 50


def run() -> Figures:
    """Rounds and what was lost in them."""
    figures: dict[str, Figure] = {}
    for name, rounds in (("sqlite", sqlite_kill_rounds), ("mongo", mongo_kill_rounds)):
        with tempfile.TemporaryDirectory(prefix="bench-kills-") as folder:
            report = asyncio.run(rounds(Path(folder), ROUNDS))
        figures[f"{name}_lost"] = _figure(name, report)
    return figures


def _figure(name: str, report: KillReport) -> Figure:
    for problem in report.problems:
        print(f"  {name}: {problem}", file=sys.stderr)
    method = (
        f"lost, halved or miscounted after {report.rounds} kills, {report.acknowledged:,} acknowledged writes"
    )
    return Figure(len(report.problems), "problems", "lower", method, goal=0)
