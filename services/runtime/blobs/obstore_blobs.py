"""Opens the blob store that a URL names: a folder or a bucket, both over obstore."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, unquote, urlsplit

from obstore.store import S3Store

from services.runtime.blobs.bucket_blobs import BucketBlobs
from services.runtime.blobs.folder_blobs import FolderBlobs
from services.runtime.blobs.options import BlobOptions
from services.runtime.blobs.port import Blobs

if TYPE_CHECKING:
    from obstore.store import S3Config  # exists in the stubs only


def open_blobs(url: str, options: BlobOptions | None = None) -> Blobs:
    """The store at ``file:///absolute/folder`` (made when missing) or ``s3://bucket[/prefix]``.

    A bucket's URL may carry ``?endpoint=…&region=…``; keys come from ``options`` only, for URLs are logged.
    Raises ``ValueError`` for any other URL.
    """
    parts = urlsplit(url)
    options = options or BlobOptions()
    query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
    if parts.scheme == "file" and not parts.netloc and parts.path.startswith("/") and not query:
        return FolderBlobs(Path(unquote(parts.path)), options)
    is_known = query.keys() <= {"endpoint", "region"} and "@" not in parts.netloc
    if parts.scheme == "s3" and parts.netloc and is_known:
        return BucketBlobs(_bucket(parts.netloc, parts.path.strip("/"), query, options), options)
    raise ValueError("A blob URL is file:///absolute/folder or s3://bucket[/prefix][?endpoint=…&region=…].")


def _bucket(bucket: str, prefix: str, query: dict[str, str], options: BlobOptions) -> S3Store:
    config: S3Config = {
        "region": query.get("region", options.region),
        "virtual_hosted_style_request": options.virtual_hosted_style,
    }
    if endpoint := query.get("endpoint", options.endpoint):
        config["endpoint"] = endpoint
    if options.access_key_id and options.secret_access_key:
        config["access_key_id"] = options.access_key_id.get_secret_value()
        config["secret_access_key"] = options.secret_access_key.get_secret_value()
    whole = timedelta(seconds=options.timeout_s)
    return S3Store(
        bucket,
        prefix=prefix or None,
        config=config,
        client_options={
            "allow_http": options.allow_http,
            "connect_timeout": timedelta(seconds=min(5.0, options.timeout_s)),
            "timeout": whole,
        },
        retry_config={
            "max_retries": 3,
            "retry_timeout": whole,
            "backoff": {"init_backoff": timedelta(milliseconds=100), "max_backoff": timedelta(seconds=2)},
        },
    )
