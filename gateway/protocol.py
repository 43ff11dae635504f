"""uvicorn's fast HTTP protocol with a bound that it lacks: on the size of request headers."""

from __future__ import annotations

from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


def bounded_protocol(max_header_bytes: int) -> type[HttpToolsProtocol]:
    """A protocol class that answers 400 to requests whose headers go on beyond ``max_header_bytes``."""

    class BoundedProtocol(HttpToolsProtocol):
        header_bytes = 0
        reads_headers = True

        def data_received(self, data: bytes) -> None:
            self.header_bytes += len(data)
            super().data_received(data)
            if not self.reads_headers:
                self.header_bytes = 0
            elif self.header_bytes > max_header_bytes and not self.transport.is_closing():
                self.send_400_response("The request's headers are too large.")

        def on_headers_complete(self) -> Any:
            self.reads_headers = False
            return super().on_headers_complete()

        def on_message_complete(self) -> Any:
            self.reads_headers = True
            self.header_bytes = 0
            return super().on_message_complete()

    return BoundedProtocol
