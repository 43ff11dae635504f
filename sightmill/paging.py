"""Lists of any length, page by page."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import TypeVar

import grpc

from sightmill.errors import SightmillError

T = TypeVar("T")


async def pages(fetch: Callable[[str], Awaitable[tuple[Sequence[T], str]]]) -> AsyncIterator[T]:
    """The items of all pages. ``fetch`` takes a page token and returns a page and the token of the next.

    The next page is asked for when the one before is used up. An empty page with a token is not the end.

    Raises:
        SightmillError: what ``fetch`` raises; INTERNAL when a token leads back to itself.
    """
    token = ""
    while True:
        items, following = await fetch(token)
        for item in items:
            yield item
        if not following:
            return
        if following == token:
            raise SightmillError(
                grpc.StatusCode.INTERNAL,
                "INTERNAL_ERROR",
                "The server answered with the page token that it was asked with; the list would never end.",
            )
        token = following
