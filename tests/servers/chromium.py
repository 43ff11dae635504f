"""Debian's Chromium, for tests that look at the page."""

from __future__ import annotations

import os
import shutil

import pytest

# Nothing but the page is to use the network.
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def require_chromium() -> str:
    """Path of the browser; without one the test is skipped, or fails in CI."""
    found = shutil.which("chromium")
    if found is None:
        assert not os.environ.get("CI"), "chromium is missing: apt-get install chromium"
        pytest.skip("chromium is missing: apt-get install chromium")
    return found
