"""The suite as one table, and where to look next."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text

from sightmill.launcher.state_file import LauncherState, ProcessState

_STYLES = {"ready": "green", "degraded": "yellow", "starting": "yellow"}
_LABELS = {
    "page": "Web page",
    "rest": "REST",
    "grpc": "gRPC",
    "docs": "API docs",
    "logs": "Logs",
}


def print_suite(console: Console, state: LauncherState) -> None:
    """Prints every process with its address and state, then the addresses for people."""
    table = Table(title=f"Sightmill is {state.state}", title_justify="left", show_edge=False, pad_edge=False)
    for heading in ("Process", "Address", "State"):
        table.add_column(heading, overflow="fold")
    for process in state.processes:
        table.add_row(process.name, process.address or "-", _state(process))
    console.print(table)
    console.print()
    for key, label in _LABELS.items():
        if address := state.addresses.get(key):
            # Paths and addresses are copied: they must stay on one line and without added colours.
            console.print(f"{label:<9} {address}", highlight=False, soft_wrap=True)
    for note in state.notes:
        console.print(Text(f"Note: {note}", style="yellow"))


def _state(process: ProcessState) -> Text:
    text = Text(process.state, style=_STYLES.get(process.state, "red"))
    if process.restarts:
        text.append(f", started again {process.restarts} times", style="yellow")
    for problem in process.problems:
        text.append(f"\n{problem}", style="red")
    for fallback in process.fallbacks:
        text.append(f"\nwarning: {fallback}", style="yellow")
    return text
