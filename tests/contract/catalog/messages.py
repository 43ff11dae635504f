"""Messages that the tests of the service send."""

from __future__ import annotations

from typing import Any

from google.rpc import status_pb2

from sightmill.v1 import analyzer_pb2, captioner_pb2, catalog_pb2, common_pb2
from tests.contract.catalog.adapters import digest_of


def image_of(content: str = "sea", **fields: Any) -> catalog_pb2.Image:
    digest = digest_of(content)
    image = catalog_pb2.Image(
        sha256=digest,
        blob_key=f"sha256/{digest[:2]}/{digest[2:4]}/{digest}",
        display_name="sea.jpg",
        size_bytes=1_234,
        format=common_pb2.IMAGE_FORMAT_JPEG,
        width=640,
        height=480,
        frame_count=1,
        color_mode="RGB",
        labels={"album": "sea"},
        batch="batches/1",
        process_options=catalog_pb2.ProcessOptions(skip_caption=True),
    )
    image.MergeFrom(catalog_pb2.Image(**fields))
    return image


def create(content: str = "sea", request_id: str = "", **fields: Any) -> catalog_pb2.CreateImageRequest:
    return catalog_pb2.CreateImageRequest(image=image_of(content, **fields), request_id=request_id)


def insights_of(content: str = "sea", version: str = "1") -> catalog_pb2.Analysis:
    analysis = catalog_pb2.Analysis(
        sha256=digest_of(content),
        analyzer="insights",
        version=version,
        settings_digest="0011223344556677",
        insights=analyzer_pb2.Insights(analyzer_version=version, width=640, height=480),
    )
    analysis.create_time.FromMicroseconds(1_700_000_000_123_456)
    analysis.elapsed.FromMicroseconds(12_345)
    return analysis


def caption_of(content: str = "sea", text: str = "A boat at sea.") -> catalog_pb2.Analysis:
    analysis = catalog_pb2.Analysis(
        sha256=digest_of(content),
        analyzer="caption",
        version="1",
        settings_digest="8899aabbccddeeff",
        caption=captioner_pb2.Caption(text=text, tags=["boat", "sea"]),
    )
    analysis.create_time.FromMicroseconds(1_700_000_001_000_000)
    return analysis


def done(
    key: str,
    image: str,
    *analyses: catalog_pb2.Analysis,
    state: catalog_pb2.Image.State.ValueType = catalog_pb2.Image.PROCESSED,
    error: status_pb2.Status | None = None,
) -> catalog_pb2.WriteAnalysesRequest:
    return catalog_pb2.WriteAnalysesRequest(key=key, image=image, analyses=analyses, state=state, error=error)
