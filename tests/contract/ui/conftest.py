"""The page in a real browser, in front of a stand-in for the server."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, sync_playwright

from tests.contract.ui.stand_in import Handler, Server, StandIn
from tests.servers.chromium import ARGUMENTS, require_chromium


# Not for the whole session: while it is open, no asynchronous test can run in this process.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    executable = require_chromium()
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=executable, args=ARGUMENTS)
        yield started
        started.close()


@pytest.fixture
def stand_in() -> Iterator[StandIn]:
    state = StandIn()
    handler = type("BoundHandler", (Handler,), {"stand_in": state})
    with Server(("127.0.0.1", 0), handler) as server:
        state.port = server.server_port
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield state
        state.reading.set()
        state.finishing.set()
        server.shutdown()
        thread.join(10)


@pytest.fixture
def expected_complaints() -> list[str]:
    """Parts of console errors that a test provokes on purpose."""
    return []


@pytest.fixture
def page(browser: Browser, stand_in: StandIn, expected_complaints: list[str]) -> Iterator[Page]:
    """A fresh page. Fails on errors in the console and on requests to any other host."""
    complaints: list[str] = []
    hosts: set[str] = set()

    def complain(message: ConsoleMessage) -> None:
        known = any(part in message.text for part in expected_complaints)
        if message.type in {"error", "warning"} and not known:
            complaints.append(message.text)

    context = browser.new_context(viewport={"width": 1280, "height": 900})
    opened = context.new_page()
    opened.set_default_timeout(10_000)
    opened.on("console", complain)
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    opened.on("request", lambda request: hosts.add(urlsplit(request.url).netloc))
    yield opened
    context.close()
    assert complaints == []
    assert hosts <= {f"127.0.0.1:{stand_in.port}", ""}
