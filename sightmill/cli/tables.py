"""Tables of the catalog that fit 80 columns."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC

from google.protobuf.timestamp_pb2 import Timestamp
from rich.console import Console, RenderableType
from rich.filesize import decimal
from rich.table import Table
from rich.text import Text

from sightmill.results import clean, label
from sightmill.v1 import catalog_pb2, common_pb2, people_pb2

_STATE_STYLES = {catalog_pb2.Image.FAILED: "red", catalog_pb2.Image.PROCESSED: "green"}


def new_table(*columns: str, right: Sequence[str] = (), wide: str = "") -> Table:
    """A plain table; ``wide`` is the column that takes what room is left, and is folded there."""
    table = Table(header_style="bold", show_edge=False, pad_edge=False, box=None, padding=(0, 2, 0, 0))
    for column in columns:
        if column == wide:
            table.add_column(column, overflow="fold", ratio=1)
        else:
            table.add_column(column, no_wrap=True, justify="right" if column in right else "left")
    return table


def image_table(images: Iterable[catalog_pb2.Image]) -> Table:
    """Images, one a line."""
    table = new_table(
        *("Number", "File", "State", "Pixels", "Size", "Stored"), right=("Number", "Size"), wide="File"
    )
    for image in images:
        table.add_row(*image_cells(image), moment(image.create_time))
    return table


def image_cells(image: catalog_pb2.Image) -> list[RenderableType]:
    """Number, file, state, pixels and size."""
    state = catalog_pb2.Image.State.Name(image.state).lower()
    return [
        str(image.number),
        Text(label(image)),
        Text(state, style=_STATE_STYLES.get(image.state, "")),
        f"{image.width}x{image.height}",
        decimal(image.size_bytes),
    ]


def hit_table(hits: Iterable[catalog_pb2.SearchHit]) -> Table:
    """What a search found."""
    table = new_table("Number", "Score", "File", "Found in", right=("Number", "Score"), wide="Found in")
    for hit in hits:
        file = Text(label(hit.image), overflow="ellipsis", no_wrap=True)
        file.truncate(24, overflow="ellipsis")
        table.add_row(str(hit.image.number), f"{hit.score:g}", file, Text(clean(hit.snippet)))
    return table


def similar_table(found: Iterable[catalog_pb2.SimilarImage]) -> Table:
    """What looks like an image, nearest first."""
    table = new_table(
        *("Number", "File", "Pixels", "Size", "Look", "Colour"),
        right=("Number", "Size", "Look", "Colour"),
        wide="File",
    )
    for one in found:
        number, file, _, pixels, size = image_cells(one.image)
        table.add_row(number, file, pixels, size, str(one.distance), f"{one.color_distance:.1f}")
    return table


def group_table(group: catalog_pb2.DuplicateGroup) -> Table:
    """A group of duplicates; the one to keep is marked."""
    table = new_table(
        *("", "Number", "File", "Pixels", "Size", "Stored"), right=("Number", "Size"), wide="File"
    )
    for image in group.images:
        number, file, _, pixels, size = image_cells(image)
        kept = Text("keep", style="green") if image.name == group.suggested_keeper else ""
        table.add_row(kept, number, file, pixels, size, moment(image.create_time))
    return table


def people_table(people: Iterable[people_pb2.Person]) -> Table:
    """People, one a line."""
    table = new_table("Person", "Name", "Faces", "", right=("Faces",), wide="Name")
    for person in people:
        named = Text(clean(person.display_name)) if person.display_name else Text("no name", style="dim")
        hidden = Text("hidden", style="dim") if person.hidden else ""
        table.add_row(person.name.removeprefix("people/"), named, str(person.face_count), hidden)
    return table


def face_table(faces: Iterable[people_pb2.PersonFace]) -> Table:
    """The faces of a person."""
    table = new_table("Image", "Box", "Sure", "", right=("Sure",), wide="Image")
    for face in faces:
        box = f"{face.box.width}x{face.box.height} at {face.box.x},{face.box.y}"
        said = Text("confirmed", style="green") if face.confirmed else ""
        table.add_row(face.image, box, f"{face.confidence:.0%}", said)
    return table


def count_table(heading: str, counts: Iterable[common_pb2.Count]) -> Table:
    """Values and how many images have each."""
    table = new_table(heading, "Images", right=("Images",))
    for count in counts:
        table.add_row(Text(clean(count.value), overflow="fold"), f"{count.count:,}")
    return table


def print_facts(console: Console, facts: Iterable[tuple[str, str]]) -> None:
    """Prints names and values below each other; empty ones are left out."""
    table = new_table("", "", wide="")
    table.show_header = False
    table.columns[0].no_wrap, table.columns[0].ratio = True, None
    for name, value in facts:
        if value:
            table.add_row(Text(name, style="bold"), Text(value))
    console.print(table)


def moment(time: Timestamp) -> str:
    """A time for people, in their time zone."""
    return time.ToDatetime(UTC).astimezone().strftime("%Y-%m-%d %H:%M") if time.seconds else ""
