"""What requests that create and change images may say: checks them and turns them into plain data."""

from __future__ import annotations

import re
from collections.abc import Mapping

from services.catalog.model import NewImage, StrayBlob
from services.catalog.names import ImageKey, parse_image_name
from services.catalog.refusals import invalid_field
from services.catalog.states import ImageState
from sightmill.v1 import catalog_pb2, common_pb2

MAX_STARTED = 1_000
MAX_CONDEMNED = 1_000
DEFAULT_CONDEMNED = 100
# The bound of a Duration: 10,000 years.
_MAX_AGE_S = 315_576_000_000
_MAX_LABELS = 64
_MAX_LABEL_CHARS = 1_024
_MAX_KEY_CHARS = 1_024
_MAX_NAME_CHARS = 255
_LABEL_KEY = re.compile(r"[a-z0-9_.-]{1,63}")
_REQUEST_ID = re.compile(r"[\x20-\x7e]{0,128}")
SHA256 = re.compile(r"[0-9a-f]{64}")
_CREATABLE = {
    catalog_pb2.Image.STATE_UNSPECIFIED: ImageState.PENDING,
    catalog_pb2.Image.PENDING: ImageState.PENDING,
    catalog_pb2.Image.STORED: ImageState.STORED,
}


def parse_new_image(request: catalog_pb2.CreateImageRequest) -> NewImage:
    """Raises ``InvalidArgumentError(INVALID_FIELD)``; the corrections are read by ``parse_corrections``."""
    image = request.image
    if not _REQUEST_ID.fullmatch(request.request_id):
        raise invalid_field("request_id", "At most 128 printable ASCII characters.")
    if request.blob_generation < 0:
        raise invalid_field("blob_generation", "The generation that BLOB_COLLECTED named, or 0.")
    if image.state not in _CREATABLE:
        raise invalid_field("image.state", "A new image is PENDING, or STORED when it is not to be analysed.")
    _check_bytes("image", image.sha256, image.blob_key, image.size_bytes)
    _check_names(image)
    _check_picture(image)
    check_labels(image.labels)
    return NewImage(
        sha256=image.sha256,
        blob_key=image.blob_key,
        size_bytes=image.size_bytes,
        format=image.format,
        width=image.width,
        height=image.height,
        frame_count=image.frame_count,
        color_mode=image.color_mode,
        display_name=image.display_name,
        labels=dict(image.labels),
        batch=image.batch,
        process_options=image.process_options.SerializeToString(deterministic=True),
        state=_CREATABLE[image.state],
    )


def parse_started(request: catalog_pb2.StartImagesRequest) -> list[ImageKey]:
    """The images, each once, in the order of the request."""
    if not 1 <= len(request.names) <= MAX_STARTED:
        raise invalid_field("names", f"1 to {MAX_STARTED} names.")
    return [parse_image_name(name) for name in dict.fromkeys(request.names)]


def parse_condemned(request: catalog_pb2.CondemnBlobsRequest) -> tuple[int, int]:
    """How long nothing has referred to the blobs, in microseconds, and how many to name."""
    age = request.unreferenced_for
    if not request.HasField("unreferenced_for") or not 0 <= age.seconds <= _MAX_AGE_S or age.nanos < 0:
        raise invalid_field("unreferenced_for", "Required; 0 to 10,000 years.")
    if not 0 <= request.max_count <= MAX_CONDEMNED:
        raise invalid_field("max_count", f"0 to {MAX_CONDEMNED:,}; 0 for {DEFAULT_CONDEMNED}.")
    return age.ToMicroseconds(), request.max_count or DEFAULT_CONDEMNED


def parse_strays(request: catalog_pb2.AdoptBlobsRequest) -> list[StrayBlob]:
    """The blobs, each once."""
    if not 1 <= len(request.blobs) <= MAX_CONDEMNED:
        raise invalid_field("blobs", f"1 to {MAX_CONDEMNED:,}.")
    for blob in request.blobs:
        _check_bytes("blobs", blob.sha256, blob.blob_key, blob.size_bytes)
    strays = (StrayBlob(blob.sha256, blob.blob_key, blob.size_bytes) for blob in request.blobs)
    return list({stray.sha256: stray for stray in strays}.values())


def parse_forgotten(request: catalog_pb2.ForgetBlobsRequest) -> list[str]:
    """The digests, each once."""
    if not 1 <= len(request.sha256) <= MAX_CONDEMNED:
        raise invalid_field("sha256", f"1 to {MAX_CONDEMNED:,} digests.")
    if not all(SHA256.fullmatch(digest) for digest in request.sha256):
        raise invalid_field("sha256", "64 hexadecimal digits each, lower case.")
    return list(dict.fromkeys(request.sha256))


def _check_bytes(field: str, sha256: str, blob_key: str, size_bytes: int) -> None:
    if not SHA256.fullmatch(sha256):
        raise invalid_field(f"{field}.sha256", "64 hexadecimal digits, lower case.")
    if not 1 <= len(blob_key) <= _MAX_KEY_CHARS:
        raise invalid_field(f"{field}.blob_key", f"1 to {_MAX_KEY_CHARS} characters.")
    if size_bytes < 1:
        raise invalid_field(f"{field}.size_bytes", "At least 1.")


def _check_names(image: catalog_pb2.Image) -> None:
    if len(image.display_name) > _MAX_NAME_CHARS:
        raise invalid_field("image.display_name", f"At most {_MAX_NAME_CHARS} characters.")
    if len(image.batch) > _MAX_NAME_CHARS:
        raise invalid_field("image.batch", f"At most {_MAX_NAME_CHARS} characters.")


def _check_picture(image: catalog_pb2.Image) -> None:
    if image.format not in common_pb2.ImageFormat.values() or not image.format:
        raise invalid_field("image.format", "A known format.")
    for field in ("width", "height", "frame_count"):
        if getattr(image, field) < 1:
            raise invalid_field(f"image.{field}", "At least 1.")
    if len(image.color_mode) > _MAX_NAME_CHARS:
        raise invalid_field("image.color_mode", f"At most {_MAX_NAME_CHARS} characters.")


def check_labels(labels: Mapping[str, str]) -> None:
    """Raises ``InvalidArgumentError(INVALID_FIELD)`` for keys and values out of range, or too many."""
    if len(labels) > _MAX_LABELS:
        raise invalid_field("image.labels", f"At most {_MAX_LABELS}.")
    for key, value in labels.items():
        if not _LABEL_KEY.fullmatch(key):
            raise invalid_field("image.labels", "Keys have 1 to 63 characters of [a-z0-9_.-].")
        if len(value) > _MAX_LABEL_CHARS:
            raise invalid_field("image.labels", f"Values have at most {_MAX_LABEL_CHARS:,} characters.")
