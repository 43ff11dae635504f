"""Work that is done again and again in the background."""

from __future__ import annotations

from collections.abc import Awaitable

import grpc
import structlog

from services.runtime import statuses
from services.runtime.errors import ServiceError


async def attempted(room: str, event: str, work: Awaitable[int]) -> None:
    """Does one round of work and logs how much it was; what does not answer now will in another round."""
    log = structlog.get_logger(room)
    try:
        count = await work
    except (ServiceError, grpc.aio.AioRpcError, TimeoutError) as fault:
        error = statuses.translate(fault)
        log.warning("not now", reason=error.reason_name if error else "unknown")
    else:
        if count:
            log.info(event, count=count)
