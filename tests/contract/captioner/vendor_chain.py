"""The service in this process with fake vendors behind its chain."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from services.captioner.upload_picture import scale_for_upload
from sightmill.v1 import captioner_pb2, common_pb2
from tests.contract.captioner.conftest import Captioner, captioner_with
from tests.servers.providers.fake_account import FakeAccount
from tests.servers.providers.fake_vendor import fake_vendor
from tests.servers.providers.vendor_picture import digest_of
from tests.servers.providers.vendor_plan import KEY

EDGE_PX = 1024
MAX_PIXELS = 10_000_000


@asynccontextmanager
async def chain_of(folder: Path, providers: str = "", **given: Any) -> AsyncIterator[Captioner]:
    """A captioner with a fake vendor for each account given by its provider's id.

    The local describer is last, unless ``providers`` says otherwise; what is no account is a setting
    without its prefix. The catalog keeps no records.
    """
    accounts = {name: each for name, each in given.items() if isinstance(each, FakeAccount)}
    settings: dict[str, Any] = {"captioner_keep_records": False}
    settings["captioner_providers"] = providers or ",".join([*accounts, "local"])
    async with AsyncExitStack() as stack:
        for name, account in accounts.items():
            vendor = await stack.enter_async_context(fake_vendor(account))
            settings |= {f"captioner_{name}_url": f"{vendor.url}/v1", f"captioner_{name}_api_key": KEY}
        settings |= {f"captioner_{name}": each for name, each in given.items() if name not in accounts}
        yield await stack.enter_async_context(captioner_with(folder, **settings))


async def describe(captioner: Captioner, picture: bytes) -> captioner_pb2.Caption:
    """The answer to one call; raises AioRpcError."""
    source = common_pb2.ImageSource(content=picture)
    answer = await captioner.stub.CaptionImage(captioner_pb2.CaptionImageRequest(image=source))
    return answer.caption


def sent_as(picture: bytes) -> str:
    """The digest of what a vendor gets to see of a picture."""
    return digest_of(scale_for_upload(picture, EDGE_PX, MAX_PIXELS).jpeg)
