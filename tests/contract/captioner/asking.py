"""What it takes to ask a provider: a picture as it is sent out, and the way to a fake."""

from __future__ import annotations

from functools import cache
from io import BytesIO

from PIL import Image

from services.captioner.picture import Upload
from services.captioner.provider import Access
from tests.servers.providers.fake_provider import FakeProvider

KEY = "sk-verysecret-0123456789"


@cache
def gradient(width: int = 1024, height: int = 768) -> Upload:
    """A grey JPEG of this size."""
    target = BytesIO()
    Image.linear_gradient("L").resize((width, height)).convert("RGB").save(target, "JPEG")
    return Upload(target.getvalue(), width, height)


def way_to(fake: FakeProvider) -> Access:
    """The fake's address, with a key that must not show up anywhere."""
    return Access(f"{fake.url}/v1", KEY)
