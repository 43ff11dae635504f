"""Results for people: one table, whatever the width of the terminal, with colour or without."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from sightmill.errors import SightmillError, from_status
from sightmill.v1 import analyzer_pb2, catalog_pb2

WIDE_COLUMNS = 130
PALETTE_CELLS = 12
TEXT_CHARS = 60
_NOTHING = "-"
_BLUR = {
    analyzer_pb2.BLUR_LEVEL_LOW: "sharp",
    analyzer_pb2.BLUR_LEVEL_MEDIUM: "slightly blurred",
    analyzer_pb2.BLUR_LEVEL_HIGH: "blurred",
}
_SCENE = {
    analyzer_pb2.SCENE_TYPE_INDOOR: "indoor",
    analyzer_pb2.SCENE_TYPE_OUTDOOR: "outdoor",
    analyzer_pb2.SCENE_TYPE_NATURE: "nature",
}


def print_results(console: Console, images: Sequence[catalog_pb2.Image]) -> None:
    """Prints one table of images, what stood in for something better, and why images failed.

    Wide terminals get a column for each fact; narrow ones the facts of a photo below each other. Without
    colours, the main colours are named instead of shown.
    """
    failed = [image for image in images if image.state == catalog_pb2.Image.FAILED]
    shown = [image for image in images if image.state != catalog_pb2.Image.FAILED]
    if shown:
        console.print(_wide(console, shown) if console.width >= WIDE_COLUMNS else _narrow(console, shown))
    for note in _notes(shown):
        console.print(Text(f"Note: {note}", style="dim"))
    print_failures(console, [(label(image), from_status(image.error)) for image in failed])


def print_failures(console: Console, failures: Iterable[tuple[str, SightmillError]]) -> None:
    """Prints for each (file, error) the reason and the way out."""
    for name, error in failures:
        reason = (clean(error.reason), "red")
        line = Text.assemble((f"{clean(name)}: ", "bold"), reason, f"  {clean(error.message)}")
        console.print(line)


def label(image: catalog_pb2.Image) -> str:
    """What to call an image: the name of its file, or its resource name."""
    return clean(image.display_name) or image.name


def clean(text: str) -> str:
    """The text on one line, without characters that would steer the terminal: names come from anywhere."""
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())


def _wide(console: Console, images: Sequence[catalog_pb2.Image]) -> Table:
    table = Table(header_style="bold", show_lines=True)
    table.add_column("Photo", overflow="fold", max_width=22)
    table.add_column("Size", justify="right", no_wrap=True)
    table.add_column("Colours", min_width=PALETTE_CELLS)
    table.add_column("Light", max_width=16)
    table.add_column("Faces", justify="right")
    table.add_column("Text", max_width=26)
    table.add_column("Scene")
    table.add_column("Caption", ratio=1)
    for image in images:
        table.add_row(
            label(image),
            _size(image),
            _colors(console, image),
            _light(image),
            _faces(image),
            _words(image),
            _scene(image),
            _caption(image),
        )
    return table


def _narrow(console: Console, images: Sequence[catalog_pb2.Image]) -> Table:
    table = Table(header_style="bold", show_lines=True)
    table.add_column("Photo", overflow="fold", max_width=max(8, console.width // 4))
    table.add_column("What is in it", ratio=1, overflow="fold")
    for image in images:
        facts: list[RenderableType] = [
            _colors(console, image),
            Text(f"{_size(image)}, {_light(image)}"),
            Text(f"faces: {_faces(image)}   scene: {_scene(image)}"),
            Text(f"text: {_words(image)}"),
            _caption(image),
        ]
        table.add_row(label(image), Group(*facts))
    return table


def _size(image: catalog_pb2.Image) -> str:
    return f"{image.width}x{image.height}" if image.width else _NOTHING


def _colors(console: Console, image: catalog_pb2.Image) -> Text:
    found = image.insights.dominant_colors
    if not found:
        return Text(_NOTHING)
    if console.color_system is None or console.no_color or console.options.ascii_only:
        named = [f"{color.css_name or color.color.hex} {color.share:.0%}" for color in found[:3]]
        return Text(", ".join(named))
    bar = Text(no_wrap=True)
    for color, cells in zip(found, _cells([color.share for color in found]), strict=True):
        bar.append("█" * cells, style=color.color.hex)
    return bar


def _cells(shares: Sequence[float]) -> list[int]:
    """How many of the cells each share gets: at least one, and all of them together."""
    cells = [max(1, round(share * PALETTE_CELLS)) for share in shares]
    cells[0] = max(1, cells[0] + PALETTE_CELLS - sum(cells))
    return cells


def _light(image: catalog_pb2.Image) -> str:
    if not image.insights.HasField("luminance"):
        return _NOTHING
    light = image.insights.luminance
    blur = _BLUR.get(light.blur_level, "blur not measured")
    return f"brightness {light.brightness}, quality {light.quality_score:.0f}, {blur}"


def _faces(image: catalog_pb2.Image) -> str:
    return str(len(image.insights.faces.faces)) if image.insights.HasField("faces") else _NOTHING


def _words(image: catalog_pb2.Image) -> str:
    if not image.insights.HasField("text"):
        return _NOTHING
    found = image.insights.text
    if not found.word_count:
        return "\n".join(_codes(image)) or "none"
    text = clean(found.text)
    short = text if len(text) <= TEXT_CHARS else f"{text[: TEXT_CHARS - 3].rstrip()}..."
    words = f"{found.word_count} {'word' if found.word_count == 1 else 'words'}: {short}"
    return "\n".join([words, *_codes(image)])


def _codes(image: catalog_pb2.Image) -> list[str]:
    return [f"{code.format}: {clean(code.text)[:TEXT_CHARS]}" for code in image.insights.barcodes]


def _scene(image: catalog_pb2.Image) -> str:
    scene = image.insights.scene
    kind = _SCENE.get(scene.type)
    return f"{kind} {scene.confidence:.0%}" if kind else _NOTHING


def _caption(image: catalog_pb2.Image) -> Text:
    if image.corrections.HasField("caption"):
        return Text(clean(image.corrections.caption))
    if image.caption.text:
        said = Text(clean(image.caption.text))
        if image.caption.degraded:
            said.append(" (composed from measurements)", style="dim")
        return said
    if image.state == catalog_pb2.Image.PROCESSED:
        why = clean(image.error.message)
        return Text(f"none: {why}" if why else _NOTHING, style="dim")
    return Text(catalog_pb2.Image.State.Name(image.state).lower(), style="dim")


def _notes(images: Iterable[catalog_pb2.Image]) -> list[str]:
    """What did not run, ran on a stand-in, or came without a model; each once."""
    notes: dict[str, None] = {}
    for image in images:
        for report in image.insights.detectors:
            what = analyzer_pb2.Detector.Name(report.detector).removeprefix("DETECTOR_").lower()
            if report.status == analyzer_pb2.DETECTOR_STATUS_UNAVAILABLE:
                notes[f"{what} not available: {clean(report.message)}"] = None
            elif report.status == analyzer_pb2.DETECTOR_STATUS_FAILED:
                notes[f"{what} failed on {label(image)}: {clean(report.message)}"] = None
            elif report.fallback:
                notes[f"{what} found by a simpler engine, {clean(report.engine)}"] = None
        if image.caption.degraded and image.caption.degraded_reason:
            notes[f"captions: {clean(image.caption.degraded_reason)}"] = None
    return list(notes)
