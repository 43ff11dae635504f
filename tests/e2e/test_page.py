"""The page in a real browser, in front of the real suite."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.async_api import Page, async_playwright, expect

from tests.servers.chromium import ARGUMENTS, require_chromium
from tests.servers.suite import Suite

pytestmark = [pytest.mark.e2e, pytest.mark.browser, pytest.mark.timeout(120)]


@pytest.fixture
async def page(suite: Suite) -> AsyncIterator[Page]:
    """The page, opened. Fails on errors in its console and on requests to any other host."""
    executable = require_chromium()
    complaints: list[str] = []
    hosts: set[str] = set()
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=executable, args=ARGUMENTS)
        opened = await browser.new_page()
        opened.set_default_timeout(30_000)
        opened.on(
            "console",
            lambda message: complaints.append(message.text) if message.type in {"error", "warning"} else None,
        )
        opened.on("pageerror", lambda error: complaints.append(str(error)))
        opened.on("request", lambda request: hosts.add(urlsplit(request.url).netloc))
        await opened.goto(f"{suite.url}/ui")
        yield opened
        await browser.close()
    # The browser itself notes that the server refused the broken picture.
    assert [complaint for complaint in complaints if "422" not in complaint] == []
    assert hosts <= {suite.address, ""}


async def test_photos_are_uploaded_and_their_results_appear(
    page: Page, suite: Suite, photo_paths: dict[str, Path], tmp_path: Path
) -> None:
    # Names of its own, so that what other stories uploaded is not mistaken for it.
    face, broken = tmp_path / "one face.png", tmp_path / "broken.jpg"
    face.write_bytes(photo_paths["astronaut.png"].read_bytes())
    broken.write_bytes(b"\xff\xd8\xff\xe0 no picture at all")
    await page.locator("input[type=file]").first.set_input_files([face, broken])

    card = page.get_by_role("listitem", name="one face.png").first
    await expect(card.get_by_text("with one face")).to_be_visible(timeout=30_000)
    await expect(card.get_by_text("composed from measurements")).to_be_visible()
    await expect(card.locator("svg rect.face")).to_have_count(1)
    refused = page.get_by_role("listitem", name="broken.jpg").first
    await expect(refused.get_by_text("do not decode", exact=False)).to_be_visible()

    await page.goto(f"{suite.url}/ui")
    await expect(page.get_by_role("listitem", name="one face.png").first).to_be_visible()
    assert await page.get_by_role("listitem", name="broken.jpg").count() == 0
