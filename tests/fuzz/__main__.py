"""``python -m tests.fuzz --minutes 10``: exits with 1 and keeps the files if anything but an answer came.

Plain mutations instead of coverage guidance: Atheris sees the coverage of Python only, not of the decoders in
the wheels, which are what breaks; without it any machine and Python version runs the same.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.fuzz.campaign import CURRENT, run


def main() -> int:
    """Runs the campaign in a process of its own: if it dies, that is a finding."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.fuzz", description="Throws damaged images at Sightmill."
    )
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=None, help="repeats a run; the clock by default")
    parser.add_argument("--folder", type=Path, default=None, help="where findings are kept")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.inside:
        outcomes = run(arguments.minutes * 60, arguments.seed, arguments.folder)
        for name, count in sorted(outcomes.items()):
            sys.stdout.write(f"{name:40} {count}\n")
        return int(any("FAILED" in name for name in outcomes))
    folder = arguments.folder or Path(tempfile.mkdtemp(prefix="sightmill-fuzz-"))
    seed = int(time.time()) if arguments.seed is None else arguments.seed
    sys.stdout.write(f"seed {seed}, findings in {folder}\n")
    sys.stdout.flush()
    options = ["--minutes", str(arguments.minutes), "--seed", str(seed), "--folder", str(folder)]
    command = [sys.executable, "-m", "tests.fuzz", "--inside", *options]
    # Decoders say there what they think of each file; of a death it has the trace.
    with (folder / "stderr.txt").open("wb") as stderr:
        code = subprocess.run(command, stderr=stderr, check=False).returncode
    last = folder / CURRENT
    if last.exists():
        last.rename(folder / "found-death.bin")
        sys.stdout.write(
            f"the process died (exit code {code}) of {folder / 'found-death.bin'}; see stderr.txt\n"
        )
        return 1
    return code


if __name__ == "__main__":
    raise SystemExit(main())
