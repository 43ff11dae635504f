"""Backup while the catalog runs, restore while it does not: by the commands that an operator types."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import sys
from pathlib import Path

import pytest

from services.catalog.sqlite.backup import back_up
from services.runtime.errors import DataLossError
from sightmill.v1 import catalog_pb2
from tests.contract.catalog.catalog_process import CatalogProcess, running_catalog
from tests.contract.catalog.messages import create as create_request

ROOT = Path(__file__).parents[3]


async def upkeep(data_dir: Path, *arguments: str) -> tuple[int, str, str]:
    """`sightmill COMMAND ...`; exit status and what it printed."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("SIGHTMILL_")}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "sightmill.cli",
        *arguments,
        "--data-dir",
        str(data_dir),
        env=environment,
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(60):
        out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


async def create(catalog: CatalogProcess, content: str) -> catalog_pb2.Image:
    return (await catalog.catalog.CreateImage(create_request(content), timeout=10)).image


async def count(catalog: CatalogProcess) -> int:
    return (await catalog.catalog.GetStats(catalog_pb2.GetStatsRequest(), timeout=10)).image_count


async def test_a_backup_of_a_running_catalog_holds_what_was_acknowledged_before(tmp_path: Path) -> None:
    data, file = tmp_path / "data", tmp_path / "backup.sqlite3"
    async with running_catalog(data) as catalog:
        before = [await create(catalog, f"before {number}") for number in range(20)]
        writing = asyncio.create_task(write_until_cancelled(catalog))
        code, out, err = await upkeep(data, "backup", str(file))
        writing.cancel()
        assert (code, err) == (0, "")
        assert out.startswith(f"Backed up to {file} (")
        assert await count(catalog) >= 20
    assert file.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".backup")] == []
    code, out, err = await upkeep(data, "restore", str(file))
    assert (code, err) == (0, "")
    async with running_catalog(data) as restored:
        for image in before:
            request = catalog_pb2.GetImageRequest(name=image.name)
            assert (await restored.catalog.GetImage(request, timeout=10)).image.sha256 == image.sha256
        later = await create(restored, "later")
        assert later.number > before[-1].number


async def write_until_cancelled(catalog: CatalogProcess) -> None:
    number = 0
    while True:
        number += 1
        await create(catalog, f"meanwhile {number}")


async def test_a_restore_keeps_the_catalog_of_before(tmp_path: Path) -> None:
    data, file = tmp_path / "data", tmp_path / "backup.sqlite3"
    async with running_catalog(data) as catalog:
        await create(catalog, "first")
    assert (await upkeep(data, "backup", str(file)))[0] == 0
    async with running_catalog(data) as catalog:
        await create(catalog, "second")
    code, out, _ = await upkeep(data, "restore", str(file))
    assert code == 0
    (former,) = (data / "catalog").glob("catalog.sqlite3.before-*")
    assert str(former) in out
    async with running_catalog(data) as catalog:
        assert await count(catalog) == 1
    async with running_catalog(data, catalog_database=str(former)) as catalog:
        assert await count(catalog) == 2


async def test_nothing_is_restored_under_a_running_catalog(tmp_path: Path) -> None:
    data, file = tmp_path / "data", tmp_path / "backup.sqlite3"
    async with running_catalog(data) as catalog:
        await create(catalog, "first")
        assert (await upkeep(data, "backup", str(file)))[0] == 0
        await create(catalog, "second")
        code, _, err = await upkeep(data, "restore", str(file))
        assert code == 1
        assert "stop the suite first" in err
        assert await count(catalog) == 2
        await create(catalog, "third")


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ("PRAGMA user_version = 999", "a later one has used it"),
        ("PRAGMA application_id = 7", "another program"),
    ],
    ids=["later", "foreign"],
)
async def test_a_file_that_is_no_backup_of_ours_changes_nothing(
    tmp_path: Path, change: str, complaint: str
) -> None:
    data, file = tmp_path / "data", tmp_path / "backup.sqlite3"
    async with running_catalog(data) as catalog:
        await create(catalog, "first")
    assert (await upkeep(data, "backup", str(file)))[0] == 0
    connection = sqlite3.connect(file)
    connection.execute(change)
    connection.close()
    before = sorted((data / "catalog").iterdir())
    code, _, err = await upkeep(data, "restore", str(file))
    assert code == 1
    assert complaint in err
    assert "Traceback" not in err
    assert sorted((data / "catalog").iterdir()) == before


async def test_a_damaged_backup_is_refused(tmp_path: Path) -> None:
    data, file = tmp_path / "data", tmp_path / "backup.sqlite3"
    async with running_catalog(data) as catalog:
        for number in range(50):
            await create(catalog, f"{number}")
    assert (await upkeep(data, "backup", str(file)))[0] == 0
    content = bytearray(file.read_bytes())
    content[8_192 : len(content) // 2] = os.urandom(len(content) // 2 - 8_192)
    file.write_bytes(content)
    code, _, err = await upkeep(data, "restore", str(file))
    assert code == 1
    assert "damaged" in err
    async with running_catalog(data) as catalog:
        assert await count(catalog) == 50


async def test_a_damaged_catalog_gives_no_backup(tmp_path: Path) -> None:
    data, file = tmp_path / "data", tmp_path / "backup.sqlite3"
    async with running_catalog(data) as catalog:
        for number in range(50):
            await create(catalog, f"{number}")
        assert await catalog.stop() == 0
    database = data / "catalog" / "catalog.sqlite3"
    content = bytearray(database.read_bytes())
    content[8_192 : len(content) // 2] = os.urandom(len(content) // 2 - 8_192)
    database.write_bytes(content)
    with pytest.raises(DataLossError):
        back_up(database, file, lambda *_: None)
    assert list(tmp_path.iterdir()) == [data]


async def test_a_backup_never_overwrites_and_says_when_there_is_nothing(tmp_path: Path) -> None:
    data, file = tmp_path / "data", tmp_path / "backup.sqlite3"
    code, _, err = await upkeep(data, "backup", str(file))
    assert (code, "no catalog" in err) == (1, True)
    async with running_catalog(data) as catalog:
        await create(catalog, "first")
    file.write_text("precious")
    code, _, err = await upkeep(data, "backup", str(file))
    assert (code, "never overwrites" in err) == (1, True)
    assert file.read_text() == "precious"
    code, _, err = await upkeep(data, "restore", str(tmp_path / "nowhere"))
    assert (code, "no file" in err) == (1, True)
