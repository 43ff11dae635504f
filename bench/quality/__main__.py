"""``python -m bench.quality``: measure all subjects, or those named, and write docs/quality.md.

Exit status 1 when a goal is missed. The page is written only when all subjects are measured.
"""

from __future__ import annotations

import argparse
import importlib
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bench import figures
from bench.quality.report import missed_goals, write_report
from bench.quality.samples import WITH_PEOPLE, WITHOUT_PEOPLE, Samples
from bench.quality.section import Section
from services.analyzer.process import configure_threads

if TYPE_CHECKING:
    from bench.quality.workbench import Workbench

ROOT = Path(__file__).resolve().parents[2]
# Beside the checkout on some machines.
SHARED = Path("shared/data")
PAGE = ROOT / "docs" / "quality.md"
SUBJECTS = (
    "faces", "text", "text_accurate", "palette", "luminance", "duplicates", "orientation", "codes", "people",
)  # fmt: skip
SHARED_FOLDERS = {
    "faces": "photos with labelled faces",
    "ocr": "pages with their text",
    "photos": "portraits",
}


def main(arguments: Sequence[str]) -> int:
    """Measure and report."""
    parser = argparse.ArgumentParser(prog="python -m bench.quality", description=__doc__)
    parser.add_argument("subjects", nargs="*", metavar="subject", help=f"of {', '.join(SUBJECTS)}")
    parser.add_argument("--data", type=Path, help=f"folder of real pictures instead of {SHARED}")
    wanted = parser.parse_args(arguments)
    unknown = set(wanted.subjects) - set(SUBJECTS)
    if unknown:
        parser.error(f"no subject {', '.join(sorted(unknown))}; there are: {', '.join(SUBJECTS)}")
    if wanted.data and not wanted.data.is_dir():
        parser.error(f"--data: {wanted.data} is no folder")
    beside = ROOT.parent / SHARED
    samples = Samples(wanted.data or (beside if beside.is_dir() else None))
    bench = _open_workbench(samples)
    sections = _measure(bench, wanted.subjects or SUBJECTS)
    figures.show({name: section.figures for name, section in sections.items()})
    if not wanted.subjects:
        from bench.quality.gallery import draw_gallery  # noqa: PLC0415 - loads OpenCV, see below

        write_report(PAGE, sections, _list_sources(samples))
        draw_gallery(bench, PAGE.parent / "images")
    return int(bool(missed_goals(sections)))


def _open_workbench(samples: Samples) -> Workbench:
    configure_threads()
    from bench.quality.workbench import Workbench  # noqa: PLC0415 - loads the engines: after the limits are set
    from services.analyzer.analysis import Analyzer  # noqa: PLC0415 - as above
    from services.analyzer.plan import AnalyzerConfig  # noqa: PLC0415 - as above

    return Workbench(Analyzer(AnalyzerConfig()), samples)


def _measure(bench: Workbench, subjects: Sequence[str]) -> dict[str, Section]:
    sections = {}
    for name in subjects:
        started = time.perf_counter()
        sections[name] = importlib.import_module(f"bench.quality.{name}").measure(bench)
        print(f"{name}: {time.perf_counter() - started:.0f} s", file=sys.stderr)
    return sections


def _list_sources(samples: Samples) -> list[str]:
    free = len(WITH_PEOPLE) + len(WITHOUT_PEOPLE)
    sources = [
        f"{free} free pictures from the wheels of scikit-image and scikit-learn, and what is drawn from them"
    ]
    for folder, what in SHARED_FOLDERS.items():
        number = len(samples.shared_files(folder, ".jpg", ".tif"))
        sources.append(f"{what} beside the checkout: {number or 'not there, so not part of the figures'}")
    return sources


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
