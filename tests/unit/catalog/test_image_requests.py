"""What requests that create and change images may say."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration

from services.catalog.model import StrayBlob
from services.catalog.requests.images import (
    parse_condemned,
    parse_forgotten,
    parse_new_image,
    parse_started,
    parse_strays,
)
from services.catalog.states import ImageState
from services.runtime.errors import Reason, ServiceError
from sightmill.v1 import catalog_pb2, common_pb2


def image(**fields: object) -> catalog_pb2.Image:
    given: dict[str, object] = {
        "sha256": "ab" * 32,
        "blob_key": "sha256/ab/ab/" + "ab" * 32,
        "size_bytes": 1,
        "format": common_pb2.IMAGE_FORMAT_AVIF,
        "width": 1,
        "height": 1,
        "frame_count": 1,
        **fields,
    }
    return catalog_pb2.Image(**given)  # type: ignore[arg-type]  # the tests know the types


def test_what_the_catalog_gives_is_not_taken_from_the_caller() -> None:
    new = parse_new_image(
        catalog_pb2.CreateImageRequest(image=image(name="images/1", number=7, etag="9", color_mode="L"))
    )
    assert new.state is ImageState.PENDING
    assert new.color_mode == "L"
    assert new.process_options == b""


@pytest.mark.parametrize(
    ("state", "expected"), [(0, ImageState.PENDING), (1, ImageState.PENDING), (5, ImageState.STORED)]
)
def test_a_new_image_is_pending_or_stored(state: int, expected: ImageState) -> None:
    assert parse_new_image(catalog_pb2.CreateImageRequest(image=image(state=state))).state is expected


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"state": 2}, "image.state"),
        ({"state": 3}, "image.state"),
        ({"state": 77}, "image.state"),
        ({"sha256": ""}, "image.sha256"),
        ({"sha256": "AB" * 32}, "image.sha256"),
        ({"sha256": "ab" * 33}, "image.sha256"),
        ({"blob_key": ""}, "image.blob_key"),
        ({"blob_key": "x" * 1_025}, "image.blob_key"),
        ({"size_bytes": 0}, "image.size_bytes"),
        ({"format": 0}, "image.format"),
        ({"format": 99}, "image.format"),
        ({"width": 0}, "image.width"),
        ({"height": -1}, "image.height"),
        ({"frame_count": 0}, "image.frame_count"),
        ({"display_name": "x" * 256}, "image.display_name"),
        ({"batch": "x" * 256}, "image.batch"),
        ({"color_mode": "x" * 256}, "image.color_mode"),
        ({"labels": {"": "x"}}, "image.labels"),
        ({"labels": {"UP": "x"}}, "image.labels"),
        ({"labels": {"k" * 64: "x"}}, "image.labels"),
        ({"labels": {"k\n": "x"}}, "image.labels"),
        ({"labels": {"k": "x" * 1_025}}, "image.labels"),
        ({"labels": {f"{index}": "" for index in range(65)}}, "image.labels"),
    ],
)
def test_a_value_out_of_range_is_refused_by_name(fields: dict[str, object], field: str) -> None:
    with pytest.raises(ServiceError) as refusal:
        parse_new_image(catalog_pb2.CreateImageRequest(image=image(**fields)))
    assert refusal.value.reason == Reason.INVALID_FIELD
    assert refusal.value.metadata["field"] == field


def test_values_at_their_bounds_are_taken() -> None:
    labels = {f"{index:063}": "\u6d77" * 1_024 for index in range(64)}
    new = parse_new_image(
        catalog_pb2.CreateImageRequest(
            image=image(labels=labels, display_name="\u6d77" * 255), request_id="~" * 128
        )
    )
    assert new.labels == labels


@pytest.mark.parametrize("request_id", ["x" * 129, "a\nb", "\u00e4"])
def test_a_request_id_is_short_printable_ascii(request_id: str) -> None:
    with pytest.raises(ServiceError) as refusal:
        parse_new_image(catalog_pb2.CreateImageRequest(image=image(), request_id=request_id))
    assert refusal.value.metadata["field"] == "request_id"


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({}, "unreferenced_for"),
        ({"unreferenced_for": Duration(seconds=-1)}, "unreferenced_for"),
        ({"unreferenced_for": Duration(nanos=-1)}, "unreferenced_for"),
        ({"unreferenced_for": Duration(seconds=2**62)}, "unreferenced_for"),
        ({"unreferenced_for": Duration(), "max_count": -1}, "max_count"),
        ({"unreferenced_for": Duration(), "max_count": 1_001}, "max_count"),
    ],
)
def test_garbage_is_asked_for_within_bounds(fields: dict[str, object], field: str) -> None:
    with pytest.raises(ServiceError) as refusal:
        parse_condemned(catalog_pb2.CondemnBlobsRequest(**fields))  # type: ignore[arg-type]
    assert refusal.value.metadata["field"] == field


def test_garbage_has_an_age_and_a_count() -> None:
    request = catalog_pb2.CondemnBlobsRequest(unreferenced_for=Duration(seconds=3, nanos=5_000))
    assert parse_condemned(request) == (3_000_005, 100)
    request.max_count = 1_000
    assert parse_condemned(request) == (3_000_005, 1_000)


def test_strays_and_what_is_forgotten_are_named_once() -> None:
    stray = catalog_pb2.StrayBlob(sha256="ab" * 32, blob_key="key", size_bytes=1)
    request = catalog_pb2.AdoptBlobsRequest(blobs=[stray, stray])
    assert parse_strays(request) == [StrayBlob("ab" * 32, "key", 1)]
    forgotten = catalog_pb2.ForgetBlobsRequest(sha256=["ab" * 32, "cd" * 32, "ab" * 32])
    assert parse_forgotten(forgotten) == ["ab" * 32, "cd" * 32]


@pytest.mark.parametrize(
    ("parse", "request_", "field"),
    [
        (parse_strays, catalog_pb2.AdoptBlobsRequest(), "blobs"),
        (parse_strays, catalog_pb2.AdoptBlobsRequest(blobs=[catalog_pb2.StrayBlob()] * 1_001), "blobs"),
        (
            parse_strays,
            catalog_pb2.AdoptBlobsRequest(
                blobs=[catalog_pb2.StrayBlob(sha256="x", blob_key="k", size_bytes=1)]
            ),
            "blobs.sha256",
        ),
        (parse_forgotten, catalog_pb2.ForgetBlobsRequest(), "sha256"),
        (parse_forgotten, catalog_pb2.ForgetBlobsRequest(sha256=["ab" * 32] * 1_001), "sha256"),
        (parse_forgotten, catalog_pb2.ForgetBlobsRequest(sha256=["AB" * 32]), "sha256"),
    ],
)
def test_blobs_are_named_within_bounds(parse: Callable[[Any], object], request_: Any, field: str) -> None:
    with pytest.raises(ServiceError) as refusal:
        parse(request_)
    assert refusal.value.reason == Reason.INVALID_FIELD
    assert refusal.value.metadata["field"] == field


@pytest.mark.parametrize("generation", [-1, -(2**63)])
def test_a_generation_was_named_before(generation: int) -> None:
    with pytest.raises(ServiceError) as refusal:
        parse_new_image(catalog_pb2.CreateImageRequest(image=image(), blob_generation=generation))
    assert refusal.value.metadata["field"] == "blob_generation"


def test_each_started_image_is_named_once() -> None:
    names = ["images/3", "images/1", "images/3"]
    assert parse_started(catalog_pb2.StartImagesRequest(names=names)) == [3, 1]
    for wrong in ([], ["images/1"] * 1_001):
        with pytest.raises(ServiceError) as refusal:
            parse_started(catalog_pb2.StartImagesRequest(names=wrong))
        assert refusal.value.metadata["field"] == "names"
