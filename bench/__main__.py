"""``python -m bench``: all benchmarks; ``python -m bench NAME``: one. Exit status 1 when a goal is missed."""

from __future__ import annotations

import importlib
import pkgutil
import sys

import bench
from bench import figures

SUPPORT = {
    "__main__",
    "analyzer_contest",
    "analyzer_service",
    "figures",
    "peer_analyzer",
    "photos",
    "quality",
    "raw_calls",
}


def names() -> list[str]:
    """Every benchmark: a module with a ``run()`` that returns figures."""
    return sorted(
        module.name for module in pkgutil.iter_modules(bench.__path__) if module.name not in SUPPORT
    )


def main(wanted: list[str]) -> int:
    """Runs benchmarks one after the other and prints one table."""
    unknown = set(wanted) - set(names())
    if unknown:
        print(f"no benchmark {', '.join(sorted(unknown))}; there are: {', '.join(names())}", file=sys.stderr)
        return 2
    results = {}
    for name in wanted or names():
        results[name] = importlib.import_module(f"bench.{name}").run()
        # A benchmark that cannot run here says why, and leaves the figures of those where it could.
        if results[name]:
            figures.write(name, results[name])
    figures.show(results)
    return int(any(figure.met is False for rows in results.values() for figure in rows.values()))


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
