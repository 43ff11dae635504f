"""`sightmill people`: who is in the photos, and what they are called."""

from __future__ import annotations

import json
from typing import Annotated

import typer
from rich.console import Console

from sightmill.cli.catalog_options import (
    ADDRESS,
    TIMEOUT_S,
    Address,
    AsJsonLines,
    Limit,
    Timeout,
    as_document,
    command_group,
    full_name,
    print_document,
    run,
    take,
)
from sightmill.cli.options import AsJson
from sightmill.cli.tables import face_table, moment, people_table, print_facts
from sightmill.client import Client
from sightmill.results import clean
from sightmill.v1 import people_pb2

_ABOUT = """Who is in the photos, and what they are called.

\b
Who there is:            sightmill people ls
Give a name:             sightmill people name 0199f0c2-... 'Ada Lovelace'
The same person twice:   sightmill people merge KEPT OTHER
That was wrong:          sightmill people unmerge KEPT OTHER
"""
people = command_group(_ABOUT)
Who = Annotated[str, typer.Argument(metavar="PERSON", help="As people ls shows it, or people/....")]


@people.command()
def ls(
    hidden: Annotated[bool, typer.Option("--hidden", help="Hidden people, too.")] = False,
    limit: Limit = 50,
    as_json: AsJsonLines = False,
    address: Address = ADDRESS,
    timeout_s: Timeout = TIMEOUT_S,
) -> None:
    """List people."""

    async def work(client: Client) -> list[people_pb2.Person]:
        listed = client.list_people(show_hidden=hidden, page_size=min(limit + 1, 1_000))
        return await take(listed, limit, print_document if as_json else None)

    found = run(work, address, timeout_s, "ls")
    if found and not as_json:
        Console().print(people_table(found))
    elif not as_json:
        typer.echo("Nobody yet: people appear when faces in photos have been measured.")


@people.command()
def show(
    person: Who,
    limit: Limit = 50,
    as_json: AsJson = False,
    address: Address = ADDRESS,
    timeout_s: Timeout = TIMEOUT_S,
) -> None:
    """Show a person and the photos with their face."""
    name = full_name("people", person)

    async def work(client: Client) -> tuple[people_pb2.Person, list[people_pb2.PersonFace]]:
        found = await client.get_person(name)
        return found, await take(client.list_person_faces(name, page_size=min(limit + 1, 1_000)), limit)

    found, faces = run(work, address, timeout_s, name)
    if as_json:
        document = {"person": as_document(found), "faces": [as_document(face) for face in faces]}
        typer.echo(json.dumps(document, ensure_ascii=False))
        return
    console = Console()
    facts = (
        ("Person", found.name),
        ("Name", clean(found.display_name) or "no name"),
        ("Faces", f"{found.face_count:,}"),
        ("Hidden", "yes" if found.hidden else ""),
        ("Since", moment(found.create_time)),
    )
    print_facts(console, facts)
    if faces:
        console.print(face_table(faces))


@people.command()
def name(
    person: Who,
    display_name: Annotated[str, typer.Argument(metavar="NAME", help="What to call them; '' for no name.")],
    as_json: AsJson = False,
    address: Address = ADDRESS,
    timeout_s: Timeout = TIMEOUT_S,
) -> None:
    """Give a person a name."""
    who = full_name("people", person)
    _print(
        run(lambda client: client.update_person(who, display_name=display_name), address, timeout_s, who),
        as_json=as_json,
    )


@people.command()
def merge(
    person: Who,
    sources: Annotated[list[str], typer.Argument(metavar="OTHER...", help="Those who are the same person.")],
    as_json: AsJson = False,
    address: Address = ADDRESS,
    timeout_s: Timeout = TIMEOUT_S,
) -> None:
    """Make others part of a person; unmerge takes it back."""
    who, others = full_name("people", person), [full_name("people", source) for source in sources]
    _print(run(lambda client: client.merge_people(who, others), address, timeout_s, who), as_json=as_json)


@people.command()
def unmerge(
    person: Who,
    source: Annotated[str, typer.Argument(metavar="OTHER", help="Who was merged into the person.")],
    as_json: AsJson = False,
    address: Address = ADDRESS,
    timeout_s: Timeout = TIMEOUT_S,
) -> None:
    """Bring back a person who was merged into another."""
    who, other = full_name("people", person), full_name("people", source)
    _print(run(lambda client: client.unmerge_person(who, other), address, timeout_s, who), as_json=as_json)


@people.command()
def hide(
    person: Who,
    undo: Annotated[bool, typer.Option("--undo", help="Show them again.")] = False,
    as_json: AsJson = False,
    address: Address = ADDRESS,
    timeout_s: Timeout = TIMEOUT_S,
) -> None:
    """Leave a person out of lists."""
    who = full_name("people", person)
    _print(
        run(lambda client: client.update_person(who, hidden=not undo), address, timeout_s, who),
        as_json=as_json,
    )


def _print(person: people_pb2.Person, *, as_json: bool) -> None:
    if as_json:
        print_document(person)
    else:
        Console().print(people_table([person]))
