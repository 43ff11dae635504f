"""A short run of the fuzzer, always over the same files."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from random import Random

from tests.fuzz.mutations import mutate
from tests.unit.ingest import pictures


def test_the_same_numbers_make_the_same_files() -> None:
    one, two = (
        mutate(Random(7), pictures.good("jpeg"), pictures.good("png"))  # noqa: S311  repeatable, not secret
        for _ in range(2)
    )
    assert one == two != pictures.good("jpeg")


def test_damaged_files_get_an_answer(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "tests.fuzz",
        "--minutes",
        "0.2",
        "--seed",
        "1",
        "--folder",
        str(tmp_path),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stdout + done.stderr + str(list(tmp_path.iterdir()))
    for room in ("guard", "analyzer"):
        assert f"{room} decoded" in done.stdout
        assert f"{room} IMAGE_UNDECODABLE" in done.stdout
