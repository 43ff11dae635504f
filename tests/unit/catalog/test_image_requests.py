"""What requests that create and change images may say."""

from __future__ import annotations

import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from services.catalog.image_requests import parse_label_update, parse_new_image, parse_started
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


def test_corrections_are_refused_rather_than_ignored() -> None:
    request = catalog_pb2.CreateImageRequest(image=image(corrections=catalog_pb2.Corrections()))
    with pytest.raises(ServiceError) as refusal:
        parse_new_image(request)
    assert refusal.value.reason == Reason.NOT_SERVED_YET


@pytest.mark.parametrize(
    ("etag", "revision"),
    [("", None), ("7", 7), ("0", 0), ("-1", 0), ("x", 0), ("07", 0), ("9" * 30, 0), ("7\n", 0)],
)
def test_an_etag_that_was_never_given_out_is_never_current(etag: str, revision: int | None) -> None:
    request = catalog_pb2.UpdateImageRequest(
        image=catalog_pb2.Image(name="images/1", labels={"a": "b"}, etag=etag),
        update_mask=FieldMask(paths=["labels"]),
    )
    assert parse_label_update(request) == (1, {"a": "b"}, revision)


@pytest.mark.parametrize(
    ("paths", "reason"),
    [
        ([], Reason.INVALID_FIELD),
        (["*"], Reason.INVALID_FIELD),
        (["state"], Reason.INVALID_FIELD),
        (["labels", "display_name"], Reason.INVALID_FIELD),
        (["labels.album"], Reason.NOT_SERVED_YET),
        (["corrections"], Reason.NOT_SERVED_YET),
        (["corrections.caption"], Reason.NOT_SERVED_YET),
    ],
)
def test_only_labels_are_changed(paths: list[str], reason: int) -> None:
    request = catalog_pb2.UpdateImageRequest(
        image=catalog_pb2.Image(name="images/1"), update_mask=FieldMask(paths=paths)
    )
    with pytest.raises(ServiceError) as refusal:
        parse_label_update(request)
    assert refusal.value.reason == reason


def test_each_started_image_is_named_once() -> None:
    names = ["images/3", "images/1", "images/3"]
    assert parse_started(catalog_pb2.StartImagesRequest(names=names)) == [3, 1]
    for wrong in ([], ["images/1"] * 1_001):
        with pytest.raises(ServiceError) as refusal:
            parse_started(catalog_pb2.StartImagesRequest(names=wrong))
        assert refusal.value.metadata["field"] == "names"
