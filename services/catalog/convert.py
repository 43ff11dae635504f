"""Records as messages of the contract."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from google.protobuf.message import DecodeError, Message
from google.protobuf.timestamp_pb2 import Timestamp

from services.catalog.conditions import TermField
from services.catalog.model import AnalysisRecord, CatalogStats, ImageRecord, StartedImage
from services.catalog.names import image_name
from services.catalog.requests.contract_values import value_name
from services.runtime.errors import DataLossError, Reason
from sightmill.v1 import catalog_pb2, common_pb2

M = TypeVar("M", bound=Message)


def image_message(record: ImageRecord) -> catalog_pb2.Image:
    """The image; insights and caption as far as the record has them.

    Raises ``DataLossError(DATA_DAMAGED)`` when stored bytes are not what they were.
    """
    image = record.image
    message = catalog_pb2.Image(
        name=image_name(record.uuid),
        number=record.number,
        state=catalog_pb2.Image.State.ValueType(image.state),
        sha256=image.sha256,
        blob_key=image.blob_key,
        display_name=image.display_name,
        size_bytes=image.size_bytes,
        format=common_pb2.ImageFormat.ValueType(image.format),
        width=image.width,
        height=image.height,
        frame_count=image.frame_count,
        labels=image.labels,
        batch=image.batch,
        color_mode=image.color_mode,
        etag=str(record.revision),
    )
    _set_time(message.create_time, record.create_time_us)
    _set_time(message.update_time, record.update_time_us)
    if record.process_time_us is not None:
        _set_time(message.process_time, record.process_time_us)
    if record.delete_time_us is not None:
        _set_time(message.delete_time, record.delete_time_us)
    if record.error:
        read_into(message.error, record.error)
    if image.process_options:
        read_into(message.process_options, image.process_options)
    if record.corrections:
        read_into(message.corrections, record.corrections)
    if record.insights is not None:
        read_into(message.insights, record.insights)
    if record.caption is not None:
        read_into(message.caption, record.caption)
    return message


def analysis_message(record: AnalysisRecord) -> catalog_pb2.Analysis:
    """The analysis; raises ``DataLossError(DATA_DAMAGED)`` when stored bytes are not what they were."""
    message = catalog_pb2.Analysis(
        sha256=record.sha256,
        analyzer=record.analyzer,
        version=record.version,
        settings_digest=record.settings_digest,
    )
    _set_time(message.create_time, record.create_time_us)
    if record.elapsed_us:
        message.elapsed.FromMicroseconds(record.elapsed_us)
    read_into(message.insights if record.analyzer == "insights" else message.caption, record.result)
    return message


def started_message(started: StartedImage) -> catalog_pb2.StartedImage:
    """The image and the analyses that its bytes have."""
    return catalog_pb2.StartedImage(
        image=image_message(started.image),
        analyses=[analysis_message(analysis) for analysis in started.analyses],
    )


def stats_message(stats: CatalogStats) -> catalog_pb2.GetStatsResponse:
    """The counts; states and formats by the names that they have in JSON."""
    return catalog_pb2.GetStatsResponse(
        image_count=stats.image_count,
        blob_count=stats.blob_count,
        blob_bytes=stats.blob_bytes,
        states=count_messages("state", ((str(int(state)), n) for state, n in stats.states.items())),
        formats=count_messages("format", ((str(number), n) for number, n in stats.formats.items())),
        analysis_count=stats.analysis_count,
        store=stats.store,
    )


def count_messages(field: TermField, counts: Iterable[tuple[str, int]]) -> list[common_pb2.Count]:
    """Values of a field and how many images have each, by the names that the values have in the contract."""
    return [common_pb2.Count(value=value_name(field, value), count=count) for value, count in counts]


def read_into(message: M, stored: bytes) -> M:
    """Fills a message and returns it.

    Raises ``DataLossError(DATA_DAMAGED)`` when stored bytes are not what they were.
    """
    try:
        message.ParseFromString(stored)
    except DecodeError as fault:
        raise DataLossError(
            Reason.DATA_DAMAGED, f"A stored {message.DESCRIPTOR.name} cannot be read; restore a backup."
        ) from fault
    # An empty result is a result, too: nothing was found.
    message.SetInParent()
    return message


def _set_time(message: Timestamp, time_us: int) -> None:
    message.FromMicroseconds(time_us)
