"""Bytes of images: originals, thumbnails, pictures with boxes."""

from __future__ import annotations

from typing import Any

import grpc
import pytest

from services.ingest.servicer import MEDIA_TYPES
from services.runtime import statuses
from services.runtime.errors import Reason
from sightmill.v1 import analyzer_pb2, catalog_pb2, common_pb2, ingest_pb2
from tests.contract.ingest.uploads import CHUNK_BYTES, Image, Ingest, broken_off, large_photo, photo
from tests.servers.waiting import until

ORIGINAL = analyzer_pb2.RENDITION_KIND_ORIGINAL
ANNOTATED = analyzer_pb2.RENDITION_KIND_ANNOTATED
THUMBNAIL = analyzer_pb2.RENDITION_KIND_THUMBNAIL
STORED = catalog_pb2.ProcessOptions(skip_analysis=True)


def open_download(api: Ingest, name: str, kind: analyzer_pb2.RenditionKind.ValueType) -> Any:
    return api.stub.DownloadImage(ingest_pb2.DownloadImageRequest(name=name, rendition=kind), timeout=20)


async def download(
    api: Ingest, name: str, kind: analyzer_pb2.RenditionKind.ValueType = ORIGINAL
) -> tuple[str, bytes]:
    """Media type and bytes."""
    pieces = [piece async for piece in open_download(api, name, kind)]
    assert all(0 < len(piece.data) <= CHUNK_BYTES for piece in pieces)
    (media_type,) = {piece.content_type for piece in pieces}
    return media_type, b"".join(piece.data for piece in pieces)


async def with_faces(api: Ingest, count: int) -> Image:
    """An image that is analysed."""
    image = await api.upload_one(photo(), options=STORED)
    kept = api.rooms.catalog.images[image.name]
    api.rooms.analyzer.faces = count
    kept.insights.CopyFrom(api.rooms.analyzer.insights())
    kept.state = Image.PROCESSED
    return kept


@pytest.mark.parametrize("kind", [analyzer_pb2.RENDITION_KIND_UNSPECIFIED, ORIGINAL])
async def test_the_original_comes_back_as_it_was(
    api: Ingest, kind: analyzer_pb2.RenditionKind.ValueType
) -> None:
    image = await api.upload_one(large_photo(), options=STORED)
    assert await download(api, image.name, kind) == ("image/bmp", large_photo())
    assert await download(api, f"images/{image.number}", kind) == ("image/bmp", large_photo())


def test_every_format_has_a_media_type() -> None:
    assert set(MEDIA_TYPES) == set(common_pb2.ImageFormat.values()) - {0}


async def test_a_thumbnail_is_drawn_once(api: Ingest) -> None:
    image = await api.upload_one(photo(), options=STORED)
    first = await download(api, image.name, THUMBNAIL)
    assert first[0] == "image/jpeg"
    assert first[1].startswith(f"RENDITION_KIND_THUMBNAIL {image.blob_key} 0 boxes ".encode())
    assert len(first[1]) > CHUNK_BYTES
    assert await download(api, image.name, THUMBNAIL) == first
    (drawn,) = api.rooms.analyzer.rendered
    assert (drawn.kind, drawn.thumbnail_edge) == (THUMBNAIL, 300)


async def test_boxes_are_drawn_once_around_the_faces_that_were_found(api: Ingest) -> None:
    image = await with_faces(api, 2)
    first = await download(api, image.name, ANNOTATED)
    assert first[1].startswith(f"RENDITION_KIND_ANNOTATED {image.blob_key} 2 boxes ".encode())
    assert await download(api, image.name, ANNOTATED) == first
    assert len(api.rooms.analyzer.rendered) == 1
    assert [box.width for box in api.rooms.analyzer.rendered[0].boxes] == [9, 9]


async def test_another_analysis_is_drawn_anew(api: Ingest) -> None:
    image = await with_faces(api, 1)
    await download(api, image.name, ANNOTATED)
    image.insights.settings_digest = "0ther"
    await download(api, image.name, ANNOTATED)
    assert len(api.rooms.analyzer.rendered) == 2


async def test_without_faces_the_annotated_picture_is_the_original(api: Ingest) -> None:
    image = await with_faces(api, 0)
    assert await download(api, image.name, ANNOTATED) == ("image/jpeg", photo())
    assert api.rooms.analyzer.rendered == []


async def test_of_an_image_that_failed_there_is_the_original_only(api: Ingest) -> None:
    image = await with_faces(api, 1)
    image.state = Image.FAILED
    for kind in (THUMBNAIL, ANNOTATED):
        error = await broken_off(open_download(api, image.name, kind))
        assert error.code() is grpc.StatusCode.FAILED_PRECONDITION
        told = statuses.from_rpc_error(error)
        assert (told.reason, told.metadata) == (Reason.WRONG_STATE, {"state": "FAILED"})
    assert (await download(api, image.name))[1] == photo()


async def test_what_is_not_there_is_not_found(api: Ingest) -> None:
    image = await api.upload_one(photo(), options=STORED)
    await api.blobs.delete([image.blob_key])
    cases = ((image.name, Reason.BLOB_NOT_FOUND), ("images/9", Reason.IMAGE_NOT_FOUND))
    for name, reason in cases:
        error = await broken_off(open_download(api, name, ORIGINAL))
        assert error.code() is grpc.StatusCode.NOT_FOUND
        assert statuses.from_rpc_error(error).reason == reason


async def test_without_the_analyzer_renditions_wait_and_originals_do_not(api: Ingest) -> None:
    image = await api.upload_one(photo(), options=STORED)
    await api.rooms.analyzer_room.kill()
    error = await broken_off(open_download(api, image.name, THUMBNAIL))
    assert statuses.from_rpc_error(error).reason == Reason.SERVICE_UNAVAILABLE
    assert (await download(api, image.name))[1] == photo()
    await api.rooms.analyzer_room.start()

    async def drawn() -> bool:
        try:
            return (await download(api, image.name, THUMBNAIL))[0] == "image/jpeg"
        except grpc.aio.AioRpcError:
            return False

    await until(drawn, "the thumbnail is drawn")


async def test_a_kept_rendition_that_is_damaged_is_drawn_anew(api: Ingest) -> None:
    image = await api.upload_one(photo(), options=STORED)
    first = await download(api, image.name, THUMBNAIL)
    await api.blobs.put(f"renditions/{image.sha256}/thumbnail-300", b"\xff\xff\xff", overwrite=True)
    assert await download(api, image.name, THUMBNAIL) == first
    assert len(api.rooms.analyzer.rendered) == 2
    assert await download(api, image.name, THUMBNAIL) == first
    assert len(api.rooms.analyzer.rendered) == 2, "the new one is kept in its place"
