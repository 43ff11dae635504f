"""CatalogService: messages in, store calls, messages out. Its methods stand together by topic:

``image_servicer`` one image, ``list_servicer`` lists, search and counts, ``work_servicer`` pipeline workers;
here those that are answered by somebody else.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import grpc
from google.api import httpbody_pb2

from services.catalog.image_servicer import ImageServicer, wall_clock_us
from services.catalog.list_servicer import ListServicer
from services.catalog.outcome_groups import OutcomeGroups
from services.catalog.store import CatalogStore
from services.catalog.work_servicer import WorkServicer
from services.runtime.errors import not_served_yet
from sightmill.v1 import catalog_pb2, catalog_pb2_grpc, people_pb2_grpc

Context = grpc.aio.ServicerContext[Any, Any]
ListSimilar = Callable[
    [catalog_pb2.ListSimilarImagesRequest], Awaitable[catalog_pb2.ListSimilarImagesResponse]
]
ListDuplicates = Callable[[catalog_pb2.ListDuplicatesRequest], Awaitable[catalog_pb2.ListDuplicatesResponse]]
Export = Callable[[catalog_pb2.ExportResultsRequest], AsyncGenerator[httpbody_pb2.HttpBody, None]]


@dataclass(frozen=True, slots=True)
class Answers:
    """Who answers what needs more than the store; what is None is answered with NOT_SERVED_YET.

    ``export`` gives an asynchronous generator, which is closed when the caller leaves.
    """

    list_similar: ListSimilar | None = None
    list_duplicates: ListDuplicates | None = None
    export: Export | None = None


def register_servicers(
    server: grpc.aio.Server,
    store: CatalogStore,
    stream_window: int,
    stopping: asyncio.Event,
    answers: Answers = Answers(),
    people: people_pb2_grpc.PeopleServiceServicer | None = None,
) -> None:
    """Adds CatalogService and PeopleService to a server.

    ``stream_window`` bounds the items of one WriteAnalyses stream that are in hand.
    """
    # Abstract to the type checker alone: the generated bases have a body for every method.
    catalog = CatalogServicer(store=store, stream_window=stream_window, stopping=stopping, answers=answers)
    catalog_pb2_grpc.add_CatalogServiceServicer_to_server(catalog, server)
    people_pb2_grpc.add_PeopleServiceServicer_to_server(people or PeopleServicer(), server)  # type: ignore[abstract]


class PeopleServicer(people_pb2_grpc.PeopleServiceServicer):
    """Answers NOT_SERVED_YET to everything, as every method does that a servicer leaves out."""


class CatalogServicer(ImageServicer, ListServicer, WorkServicer):
    """See the contract."""

    def __init__(
        self,
        *,
        store: CatalogStore,
        stream_window: int,
        stopping: asyncio.Event,
        answers: Answers,
        now_us: Callable[[], int] = wall_clock_us,
    ) -> None:
        self._store = store
        self._groups = OutcomeGroups(store.write_outcomes)
        self._stream_window = stream_window
        self._stopping = stopping
        self._answers = answers
        self._now_us = now_us

    async def ListSimilarImages(
        self, request: catalog_pb2.ListSimilarImagesRequest, context: Context
    ) -> catalog_pb2.ListSimilarImagesResponse:
        """See the contract."""
        if self._answers.list_similar is None:
            raise not_served_yet("ListSimilarImages")
        return await self._answers.list_similar(request)

    async def ListDuplicates(
        self, request: catalog_pb2.ListDuplicatesRequest, context: Context
    ) -> catalog_pb2.ListDuplicatesResponse:
        """See the contract."""
        if self._answers.list_duplicates is None:
            raise not_served_yet("ListDuplicates")
        return await self._answers.list_duplicates(request)

    async def ExportResults(
        self, request: catalog_pb2.ExportResultsRequest, context: Context
    ) -> AsyncIterator[httpbody_pb2.HttpBody]:
        """See the contract."""
        if self._answers.export is None:
            raise not_served_yet("ExportResults")
        async with aclosing(self._answers.export(request)) as pieces:
            async for piece in pieces:
                yield piece
