"""The pause between two rounds of background work."""

from __future__ import annotations

import asyncio


async def waited(stopping: asyncio.Event, seconds: float) -> bool:
    """Waits; True when it is time to stop."""
    try:
        await asyncio.wait_for(stopping.wait(), seconds)
    except TimeoutError:
        return False
    return True
