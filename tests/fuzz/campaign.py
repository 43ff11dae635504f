"""Damaged files through the guard and the analyzer's decoder, one after the other, for a time."""

from __future__ import annotations

import faulthandler
import time
import traceback
from collections import Counter
from pathlib import Path
from random import Random

from tests.contract.hostile.rooms import open_analyzer, open_guard
from tests.fuzz.mutations import checksum, mutate
from tests.unit.ingest import pictures

LONGEST_S = 5.0
# A hang in native code ends the process with a trace; the file that did it is CURRENT.
HANG_S = 20.0
CURRENT = "current.bin"


def run(seconds: float, seed: int, folder: Path) -> Counter[str]:
    """Counts of outcomes by room; files with another outcome than an answer are kept in ``folder``."""
    outcomes: Counter[str] = Counter()
    random = Random(seed)  # noqa: S311  repeatable, not secret
    seeds = [pictures.good(name) for name in sorted(pictures.GOOD)]
    seeds += [pictures.turned(kind, 6) for kind in ("JPEG", "PNG", "WEBP", "TIFF", "AVIF", "HEIF")]
    rooms = {"guard": open_guard(), "analyzer": open_analyzer()}
    for room in rooms.values():
        room.answer(seeds[0])
    ends_s = time.monotonic() + seconds
    while time.monotonic() < ends_s:
        data = mutate(random, random.choice(seeds), random.choice(seeds))
        (folder / CURRENT).write_bytes(data)
        for name, room in rooms.items():
            faulthandler.dump_traceback_later(HANG_S, exit=True)
            started_s = time.monotonic()
            try:
                answer = room.answer(data)
            except Exception:  # noqa: BLE001  this is what is sought
                outcomes[f"{name} FAILED"] += 1
                _keep(folder, data, f"{name}: {traceback.format_exc()}")
                continue
            outcomes[f"{name} {answer if isinstance(answer, str) else 'decoded'}"] += 1
            if time.monotonic() - started_s > LONGEST_S:
                outcomes[f"{name} FAILED"] += 1
                _keep(folder, data, f"{name}: {time.monotonic() - started_s:.1f} s")
    faulthandler.cancel_dump_traceback_later()
    for name, room in rooms.items():
        outcomes[f"{name} deaths"] = int(room.children.jobs.labels("died")._value.get())
        room.children.close()
    (folder / CURRENT).unlink(missing_ok=True)
    return outcomes


def _keep(folder: Path, data: bytes, trouble: str) -> None:
    file = folder / f"found-{checksum(data)}.bin"
    file.write_bytes(data)
    file.with_suffix(".txt").write_text(trouble)
