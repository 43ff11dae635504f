"""What people may change of an image."""

from __future__ import annotations

import uuid
from dataclasses import replace

import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from services.catalog.model import ImageChange, ImageRecord, NewImage
from services.catalog.requests.updates import parse_corrections, parse_update
from services.runtime.errors import Reason, ServiceError
from sightmill.v1 import catalog_pb2

SAID = catalog_pb2.Corrections(title="Old", caption="Old.", added_tags=["old"], removed_tags=["fog"])
CURRENT = ImageRecord(
    uuid=uuid.UUID(int=1),
    number=1,
    image=NewImage("ab" * 32, "key", 1, 1, 1, 1, labels={"a": "1", "b.c": "2"}),
    error=b"",
    create_time_us=0,
    update_time_us=0,
    process_time_us=None,
    delete_time_us=None,
    revision=7,
    corrections=SAID.SerializeToString(deterministic=True),
)


def changed(paths: list[str], **fields: object) -> ImageChange:
    image = catalog_pb2.Image(name="images/1", **fields)  # type: ignore[arg-type]  # the tests know the types
    update = parse_update(catalog_pb2.UpdateImageRequest(image=image, update_mask=FieldMask(paths=paths)))
    return update.change(CURRENT if update.needs_current else None)


def said(change: ImageChange) -> catalog_pb2.Corrections:
    assert change.labels is None
    assert change.corrections is not None
    return catalog_pb2.Corrections.FromString(change.corrections)


def test_labels_are_replaced_whole() -> None:
    assert changed(["labels"], labels={"x": "y"}) == ImageChange(labels={"x": "y"})
    assert changed(["labels"]) == ImageChange(labels={})
    assert changed(["labels", "labels.a"], labels={"x": "y"}) == ImageChange(labels={"x": "y"})


def test_single_labels_are_set_and_removed() -> None:
    assert changed(["labels.a"], labels={"a": "9", "z": "9"}).labels == {"a": "9", "b.c": "2"}
    assert changed(["labels.b.c", "labels.new"], labels={"new": ""}).labels == {"a": "1", "new": ""}
    assert changed(["labels.none"]).labels == {"a": "1", "b.c": "2"}


def test_corrections_are_replaced_whole() -> None:
    given = catalog_pb2.Corrections(caption="", added_tags=[" Pier ", "Pier"])
    expected = catalog_pb2.Corrections(caption="", added_tags=["Pier"])
    assert said(changed(["corrections"], corrections=given)) == expected
    assert said(changed(["corrections", "corrections.title"], corrections=given)) == expected
    assert changed(["corrections"]).corrections == b""


@pytest.mark.parametrize("part", ["title", "caption", "added_tags", "removed_tags"])
def test_a_part_of_the_corrections_changes_alone(part: str) -> None:
    given = catalog_pb2.Corrections(title="New", caption="New.", added_tags=["new"], removed_tags=["mist"])
    expected = catalog_pb2.Corrections()
    expected.CopyFrom(SAID)
    expected.ClearField(part)  # type: ignore[arg-type]
    assert said(changed([f"corrections.{part}"])) == expected
    one = catalog_pb2.Corrections()
    one.CopyFrom(given)
    for other in {"title", "caption", "added_tags", "removed_tags"} - {part}:
        one.ClearField(other)  # type: ignore[arg-type]
    expected.MergeFrom(one)
    assert said(changed([f"corrections.{part}"], corrections=given)) == expected


def test_labels_and_corrections_change_together() -> None:
    change = changed(["labels.a", "corrections.title", "etag", "name"], labels={"a": "9"})
    assert change.labels == {"a": "9", "b.c": "2"}
    assert change.corrections is not None
    assert not catalog_pb2.Corrections.FromString(change.corrections).HasField("title")


@pytest.mark.parametrize(
    ("etag", "revision"),
    [("", None), ("7", 7), ("0", 0), ("-1", 0), ("x", 0), ("07", 0), ("9" * 30, 0), ("7\n", 0)],
)
def test_an_etag_that_was_never_given_out_is_never_current(etag: str, revision: int | None) -> None:
    request = catalog_pb2.UpdateImageRequest(
        image=catalog_pb2.Image(name="images/1", etag=etag), update_mask=FieldMask(paths=["labels"])
    )
    assert parse_update(request).revision == revision


@pytest.mark.parametrize(
    "paths",
    [[], ["*"], ["etag"], ["state"], ["labels", "display_name"], ["corrections.mood"], ["corrections."]],
)
def test_nothing_else_is_changed(paths: list[str]) -> None:
    with pytest.raises(ServiceError) as refusal:
        changed(paths)
    assert refusal.value.reason == Reason.INVALID_FIELD
    assert refusal.value.metadata["field"] == "update_mask"
    assert "corrections.added_tags" in refusal.value.message


@pytest.mark.parametrize(
    ("corrections", "field"),
    [
        ({"title": "x" * 256}, "title"),
        ({"caption": "x" * 10_001}, "caption"),
        ({"added_tags": ["x" * 101]}, "added_tags"),
        ({"added_tags": [" "]}, "added_tags"),
        ({"removed_tags": [f"{index}" for index in range(65)]}, "removed_tags"),
        ({"added_tags": ["Sea"], "removed_tags": ["sea "]}, "removed_tags"),
    ],
)
def test_corrections_out_of_range_are_refused_by_name(corrections: dict[str, object], field: str) -> None:
    with pytest.raises(ServiceError) as refusal:
        changed(["corrections"], corrections=corrections)
    assert refusal.value.reason == Reason.INVALID_FIELD
    assert refusal.value.metadata["field"] == f"image.corrections.{field}"


def test_corrections_at_their_bounds_are_taken() -> None:
    corrections = catalog_pb2.Corrections(
        title="x" * 255, caption="x" * 10_000, added_tags=[f"{index:0100}" for index in range(64)]
    )
    assert catalog_pb2.Corrections.FromString(parse_corrections(corrections)) == corrections


def test_bounds_hold_for_what_comes_of_the_parts() -> None:
    many = {f"k{index}": "" for index in range(64)}
    full = replace(CURRENT, image=replace(CURRENT.image, labels=many))
    image = catalog_pb2.Image(name="images/1", labels={"one-more": ""})
    request = catalog_pb2.UpdateImageRequest(image=image, update_mask=FieldMask(paths=["labels.one-more"]))
    with pytest.raises(ServiceError) as refusal:
        parse_update(request).change(full)
    assert refusal.value.metadata["field"] == "image.labels"
