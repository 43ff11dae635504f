"""Migration by the commands that an operator types."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import sqlite3
import sys
from pathlib import Path

import psutil

from sightmill.v1 import catalog_pb2
from tests.contract.catalog.catalog_process import running_catalog, start_process
from tests.contract.catalog.mongo_adapter import mongo_options
from tests.contract.catalog.test_backup import ROOT, count, create, upkeep
from tests.servers.waiting import until


async def test_there_and_back_as_an_operator_types_it(tmp_path: Path) -> None:
    data, other, file = tmp_path / "data", tmp_path / "other", tmp_path / "taken" / "catalog.sqlite3"
    options = await mongo_options()
    url = f"{options.url.split('?')[0].rstrip('/')}/{options.database}"
    async with running_catalog(data) as catalog:
        names = [(await create(catalog, f"photo {number}")).name for number in range(5)]
        code, _, err = await upkeep(data, "migrate", "--to", url)
        assert (code, "stop the suite first" in err) == (1, True)
    code, out, err = await upkeep(data, "migrate", "--to", url)
    assert (code, err) == (0, "")
    assert "images                    5  sha256 " in out
    assert "SIGHTMILL_CATALOG_MONGODB_URL=" in out
    assert f"SIGHTMILL_CATALOG_MONGODB_DATABASE={options.database}" in out
    settings = {"catalog_mongodb_url": options.url, "catalog_mongodb_database": options.database}
    async with running_catalog(other, **settings) as catalog:
        assert await count(catalog) == 5
        names.append((await create(catalog, "later")).name)
    code, _, err = await upkeep(data, "migrate", "--to", url)
    assert (code, "holds a catalog already" in err) == (1, True)
    code, out, err = await upkeep(data, "migrate", "--from", url, "--to", str(file))
    assert (code, err) == (0, "")
    assert file.stat().st_mode & 0o777 == 0o600
    assert (await upkeep(other, "restore", str(file)))[0] == 0
    async with running_catalog(other) as catalog:
        for name in names:
            await catalog.catalog.GetImage(catalog_pb2.GetImageRequest(name=name), timeout=10)


async def test_a_password_is_neither_shown_nor_passed_on_as_an_argument(tmp_path: Path) -> None:
    data = tmp_path / "data"
    async with running_catalog(data) as catalog:
        await create(catalog, "photo")
    # Takes connections and says nothing. The URL stands in .env, too, where it is meant to.
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"mongodb://ada:secret-word@127.0.0.1:{server.getsockname()[1]}/photos"
        (tmp_path / ".env").write_text(f"SIGHTMILL_CATALOG_MONGODB_TIMEOUT_S=1\nMONGODB_URL={url}\n")
        for place, expected in ((url, "migrate to --database photos"), ("mongodb", "migrate to")):
            arguments, printed = await watch(tmp_path, "migrate", "--to", place, "--data-dir", str(data))
            assert arguments.endswith(expected)
            assert "secret-word" not in arguments + printed
            assert "The catalog's database does not answer" in printed


async def watch(folder: Path, *command: str) -> tuple[str, str]:
    """What a command is started with by the one that is typed, and what it prints."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("SIGHTMILL_")}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "sightmill.cli",
        *command,
        env=environment | {"PYTHONPATH": str(ROOT)},
        cwd=folder,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    started: list[str] = []

    def has_started() -> bool:
        for child in psutil.Process(process.pid).children():
            with contextlib.suppress(psutil.Error):
                started.append(" ".join(child.cmdline()))
        return any("upkeep" in line for line in started)

    try:
        await until(has_started, "upkeep is started", 30)
        async with asyncio.timeout(60):
            out, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()
    return started[-1], out.decode()


async def test_no_service_starts_on_a_migration_that_is_not_complete(tmp_path: Path) -> None:
    data = tmp_path / "data"
    async with running_catalog(data) as catalog:
        await create(catalog, "photo")
    connection = sqlite3.connect(data / "catalog" / "catalog.sqlite3")
    connection.execute("CREATE TABLE migration (origin TEXT)")
    connection.close()
    process = await start_process(data)
    _, err = await process.communicate()
    assert process.returncode == 1
    assert "WRONG_STATE: A migration into this catalog is not complete." in err.decode()


async def test_what_cannot_be_said_is_explained(tmp_path: Path) -> None:
    for arguments, complaint in (
        ((), "either --to"),
        (("--to", "nowhere"), "either --to"),
        (("--from", "nowhere"), "--from takes"),
        (("--to", "mongodb", "--from", "mongodb"), "either --to"),
    ):
        code, _, err = await upkeep(tmp_path, "migrate", *arguments)
        assert (code, complaint in " ".join(err.split())) == (2, True), err
    code, _, err = await upkeep(tmp_path, "migrate", "--to", "mongodb://127.0.0.1:1/photos")
    assert (code, "There is no catalog at" in err) == (1, True)
