"""Pictures lent to a service in a folder that both sides see."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import structlog

from services.captioner.provider import ConfigError

_NAME_BYTES = 16
_log = structlog.get_logger("captioner")


class SharedFolder:
    """``folder`` as this process names it, ``path`` as the service does; empty for the same name."""

    def __init__(self, folder: Path, path: str = "") -> None:
        self._folder = folder
        self._path = (path or str(folder.absolute())).rstrip("/")

    @asynccontextmanager
    async def lend(self, jpegs: Sequence[bytes]) -> AsyncIterator[tuple[str, ...]]:
        """Paths for the service, valid inside the context; the names are random and nobody else's.

        The files are gone afterwards, whatever happened. Raises ConfigError when they cannot be written.
        """
        names = [random_name() for _ in jpegs]
        loan = _Loan({self._folder / name: jpeg for name, jpeg in zip(names, jpegs, strict=True)})
        loop = asyncio.get_running_loop()
        try:
            try:
                await loop.run_in_executor(None, loan.write)
            except OSError as error:
                reason = type(error).__name__
                raise ConfigError(
                    f"The folder shared with the BLIP service cannot be written ({reason}); "
                    "check SIGHTMILL_CAPTIONER_BLIP_SHARED_FOLDER."
                ) from None
            yield tuple(f"{self._path}/{name}" for name in names)
        finally:
            loan.is_over = True
            await asyncio.shield(loop.run_in_executor(None, loan.remove))


def random_name() -> str:
    """A file name that tells nothing and meets no other."""
    return f"{secrets.token_hex(_NAME_BYTES)}.jpg"


class _Loan:
    """A thread that writes cannot be stopped: one that ends too late clears up after itself."""

    def __init__(self, files: dict[Path, bytes]) -> None:
        self._files = files
        self.is_over = False

    def write(self) -> None:
        try:
            for path, jpeg in self._files.items():
                with path.open("xb") as file:
                    file.write(jpeg)
        finally:
            if self.is_over:
                self.remove()

    def remove(self) -> None:
        for path in self._files:
            try:
                path.unlink(missing_ok=True)
            except OSError as error:
                # The caption is there all the same; what is left behind is for an operator to see.
                _log.warning("lent file stays", file=path.name, problem=type(error).__name__)
