"""A launcher with three fake services, as a process of its own.

Run as ``python fake_suite.py DATA_DIR [name:how ...]``; for ``how`` see fake_service.py.
"""

from __future__ import annotations

import asyncio
import os
import sys
from dataclasses import replace
from pathlib import Path

from sightmill.launcher.errors import LaunchError
from sightmill.launcher.launch import launch
from sightmill.launcher.probes import StatusPageProbe
from sightmill.launcher.settings import LaunchSettings, read_settings
from sightmill.launcher.spec import ProcessSpec
from sightmill.launcher.state_file import LauncherState
from sightmill.launcher.suite import Suite

SERVICE = Path(__file__).with_name("fake_service.py")
STAGES = {"front": 0, "middle": 1, "back": 2}


def fake_spec(name: str, events: Path, *how: str, stop_timeout_s: float = 10) -> ProcessSpec:
    """A fake service as the launcher sees it."""
    return ProcessSpec(
        name=name,
        command=(sys.executable, str(SERVICE), name, str(events), *how),
        probe=StatusPageProbe(),
        environment=dict(os.environ),
        stage=STAGES.get(name, 0),
        stop_timeout_s=stop_timeout_s,
    )


def main() -> None:
    data_dir = Path(sys.argv[1])
    how = dict(word.split(":") for word in sys.argv[2:])

    def build(settings: LaunchSettings, _descriptor: int) -> Suite:
        events = settings.data_dir / "events"
        # Started in another order than they are to be stopped.
        names = ("back", "front", "middle")
        specs = [fake_spec(name, events, *filter(None, [how.get(name)]), stop_timeout_s=1) for name in names]
        return Suite(tuple(specs), {"page": "http://127.0.0.1:1"})

    async def on_healthy(_: LauncherState) -> None:
        sys.stdout.write("healthy\n")
        sys.stdout.flush()

    settings = replace(read_settings({}, data_dir).with_free_ports(), start_timeout_s=6)
    try:
        asyncio.run(launch(settings, on_healthy, lambda _: None, build))
    except LaunchError as error:
        sys.stderr.write(str(error))
        raise SystemExit(1) from None


if __name__ == "__main__":
    main()
