"""Records as messages."""

from __future__ import annotations

import uuid
from dataclasses import replace

import pytest

from services.catalog.conditions import TermField
from services.catalog.convert import analysis_message, count_messages, image_message, stats_message
from services.catalog.model import AnalysisRecord, CatalogStats, ImageRecord, NewImage
from services.catalog.states import ImageState
from services.runtime.errors import DataLossError, Reason
from sightmill.v1 import captioner_pb2, catalog_pb2

RECORD = ImageRecord(
    uuid=uuid.UUID("0190c0de-0000-7000-8000-000000000001"),
    number=7,
    image=NewImage("ab" * 32, "key", 10, 2, 3, 4, state=ImageState.FAILED, process_options=b"\x08\x01"),
    error=b"\x08\x03",
    create_time_us=1_700_000_000_123_456,
    update_time_us=1_700_000_000_123_457,
    process_time_us=1_700_000_000_123_458,
    delete_time_us=1_700_000_000_123_459,
    revision=3,
    insights=b"",
    caption=captioner_pb2.Caption(text="A boat.").SerializeToString(),
)


def test_every_field_has_its_place() -> None:
    message = image_message(RECORD)
    assert message.name == "images/0190c0de-0000-7000-8000-000000000001"
    assert (message.number, message.state, message.error.code, message.etag) == (7, 4, 3, "3")
    times = (message.create_time, message.update_time, message.process_time, message.delete_time)
    assert [time.ToMicroseconds() % 1_000 for time in times] == [456, 457, 458, 459]
    assert message.process_options.skip_analysis
    assert message.HasField("insights")
    assert message.caption.text == "A boat."
    assert not message.HasField("corrections")


def test_corrections_stand_beside_what_was_computed() -> None:
    said = catalog_pb2.Corrections(caption="A ship.")
    message = image_message(replace(RECORD, corrections=said.SerializeToString()))
    assert message.caption.text == "A boat."
    assert message.corrections == said


def test_what_is_not_there_is_absent() -> None:
    bare = replace(
        RECORD,
        image=replace(RECORD.image, process_options=b""),
        error=b"",
        process_time_us=None,
        delete_time_us=None,
        insights=None,
        caption=None,
    )
    message = image_message(bare)
    for field in ("error", "process_time", "delete_time", "insights", "caption", "process_options"):
        assert not message.HasField(field)


def test_stored_bytes_that_cannot_be_read_are_damage() -> None:
    with pytest.raises(DataLossError) as refusal:
        image_message(replace(RECORD, caption=b"\xff\xff\xff"))
    assert refusal.value.reason == Reason.DATA_DAMAGED
    with pytest.raises(DataLossError):
        analysis_message(AnalysisRecord("ab" * 32, "insights", "1", "0", b"\xff\xff\xff"))


def test_counts_go_by_the_names_of_the_contract() -> None:
    stats = CatalogStats(3, 2, 100, 5, {ImageState.PENDING: 3}, {1: 2, 8: 1}, "sqlite 3")
    message = stats_message(stats)
    assert [(count.value, count.count) for count in message.states] == [("PENDING", 3)]
    assert [(count.value, count.count) for count in message.formats] == [
        ("IMAGE_FORMAT_JPEG", 2),
        ("IMAGE_FORMAT_AVIF", 1),
    ]


@pytest.mark.parametrize(
    ("field", "value", "name"),
    [
        ("state", "3", "PROCESSED"),
        ("format", "8", "IMAGE_FORMAT_AVIF"),
        ("blur", "3", "BLUR_LEVEL_HIGH"),
        ("scene", "2", "SCENE_TYPE_OUTDOOR"),
        ("has_text", "0", "false"),
        ("faces", "10", "10"),
        ("tag", "1", "1"),
        ("label", "a=1", "a=1"),
    ],
)
def test_values_go_by_the_names_of_the_contract(field: TermField, value: str, name: str) -> None:
    (count,) = count_messages(field, [(value, 4)])
    assert (count.value, count.count) == (name, 4)
