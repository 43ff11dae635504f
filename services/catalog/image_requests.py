"""What requests that create and change images may say: checks them and turns them into plain data."""

from __future__ import annotations

import re
from collections.abc import Mapping

from services.catalog.model import NewImage
from services.catalog.names import ImageKey, parse_image_name
from services.catalog.refusals import invalid_field, not_served
from services.catalog.states import ImageState
from sightmill.v1 import catalog_pb2, common_pb2

MAX_STARTED = 1_000
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
    """Raises ``InvalidArgumentError(INVALID_FIELD)``, or NOT_SERVED_YET for corrections."""
    image = request.image
    if not _REQUEST_ID.fullmatch(request.request_id):
        raise invalid_field("request_id", "At most 128 printable ASCII characters.")
    if image.HasField("corrections"):
        raise not_served("image.corrections")
    if image.state not in _CREATABLE:
        raise invalid_field("image.state", "A new image is PENDING, or STORED when it is not to be analysed.")
    _check_bytes(image)
    _check_picture(image)
    _check_labels(image.labels)
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


def parse_label_update(
    request: catalog_pb2.UpdateImageRequest,
) -> tuple[ImageKey, Mapping[str, str], int | None]:
    """The image, its new labels, and the revision that the caller has seen, if they say.

    Raises ``InvalidArgumentError`` (INVALID_NAME, INVALID_FIELD), or NOT_SERVED_YET for corrections.
    """
    for path in request.update_mask.paths:
        if path.split(".")[0] == "corrections" or path.startswith("labels."):
            raise not_served(f"update_mask path {path}")
    if list(request.update_mask.paths) != ["labels"]:
        raise invalid_field("update_mask", 'Name what to change; this version changes "labels".')
    key = parse_image_name(request.image.name)
    _check_labels(request.image.labels)
    return key, dict(request.image.labels), _parse_etag(request.image.etag)


def parse_started(request: catalog_pb2.StartImagesRequest) -> list[ImageKey]:
    """The images, each once, in the order of the request."""
    if not 1 <= len(request.names) <= MAX_STARTED:
        raise invalid_field("names", f"1 to {MAX_STARTED} names.")
    return [parse_image_name(name) for name in dict.fromkeys(request.names)]


def _parse_etag(etag: str) -> int | None:
    # Anything that was never given out is of no revision at all, and so of none that is current.
    if not etag:
        return None
    return int(etag) if re.fullmatch(r"[1-9][0-9]{0,17}", etag) else 0


def _check_bytes(image: catalog_pb2.Image) -> None:
    if not SHA256.fullmatch(image.sha256):
        raise invalid_field("image.sha256", "64 hexadecimal digits, lower case.")
    if not 1 <= len(image.blob_key) <= _MAX_KEY_CHARS:
        raise invalid_field("image.blob_key", f"1 to {_MAX_KEY_CHARS} characters.")
    if image.size_bytes < 1:
        raise invalid_field("image.size_bytes", "At least 1.")
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


def _check_labels(labels: Mapping[str, str]) -> None:
    if len(labels) > _MAX_LABELS:
        raise invalid_field("image.labels", f"At most {_MAX_LABELS}.")
    for key, value in labels.items():
        if not _LABEL_KEY.fullmatch(key):
            raise invalid_field("image.labels", "Keys have 1 to 63 characters of [a-z0-9_.-].")
        if len(value) > _MAX_LABEL_CHARS:
            raise invalid_field("image.labels", f"Values have at most {_MAX_LABEL_CHARS:,} characters.")
