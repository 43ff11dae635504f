"""An HTTP server that answers the page as the gateway and the edge do, and lets a test hold answers back."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from email.parser import BytesParser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

UI_FOLDER = Path(__file__).parents[3] / "gateway" / "ui"
POLICY = "default-src 'self'; img-src 'self' blob: data:; object-src 'none'; base-uri 'none'"
MEDIA_TYPES = {".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
Json = dict[str, Any]


def error_body(code: int, reason: str, message: str) -> Json:
    """A ``google.rpc.Status`` in JSON."""
    info = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason, "domain": "sightmill.dev"}
    return {"code": code, "message": message, "details": [info]}


@dataclass
class StandIn:
    """What the server knows, and what the test decides about it."""

    # By file name: what the image becomes; without an entry it stays PENDING.
    outcomes: dict[str, Json] = field(default_factory=dict)
    # By file name: HTTP status and error that the upload is refused with.
    refusals: dict[str, tuple[int, Json]] = field(default_factory=dict)
    images: dict[str, Json] = field(default_factory=dict)  # newest last
    pictures: dict[str, bytes] = field(default_factory=dict)
    request_ids: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    # Bodies are read past their first part, and results given, only while these are set.
    reading: threading.Event = field(default_factory=threading.Event)
    finishing: threading.Event = field(default_factory=threading.Event)
    events_work: bool = True
    list_fails: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)
    port: int = 0

    def __post_init__(self) -> None:
        self.reading.set()
        self.finishing.set()

    @property
    def url(self) -> str:
        """Where the page is."""
        return f"http://127.0.0.1:{self.port}/ui"

    def add(self, image: Json, picture: bytes) -> None:
        """Puts an image in, as if it had been there before."""
        with self.lock:
            self.images[image["name"]] = image
            self.pictures[image["name"]] = picture


class Handler(BaseHTTPRequestHandler):
    """Routes of the page."""

    protocol_version = "HTTP/1.1"
    stand_in: StandIn

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the base class's name
        """Says nothing."""

    def do_GET(self) -> None:
        """Files of the page, lists, events, waits, pictures."""
        url = urlsplit(self.path)
        self.stand_in.requests.append(f"GET {self.path}")
        if url.path == "/ui" or url.path.startswith("/ui/"):
            self._send_file(url.path.removeprefix("/ui").lstrip("/") or "index.html")
        elif url.path == "/v1/images":
            self._send_list(parse_qs(url.query))
        elif found := re.fullmatch(r"/v1/(images/[^:/]+)(?::(watch|wait|download))?", url.path):
            image = self.stand_in.images.get(found[1])
            if image is None:
                self._send_json(404, error_body(5, "IMAGE_NOT_FOUND", "It was deleted meanwhile."))
                return
            answers: dict[str | None, Callable[[Json], None]] = {
                "watch": self._send_events,
                "wait": self._send_wait,
                "download": self._send_picture,
                None: lambda known: self._send_json(200, {"image": known}),
            }
            answers[found[2]](image)
        else:
            self._send_json(404, error_body(5, "IMAGE_NOT_FOUND", "No such path."))

    def do_DELETE(self) -> None:
        """Deletes an image."""
        self.stand_in.requests.append(f"DELETE {self.path}")
        self.stand_in.images.pop(urlsplit(self.path).path.removeprefix("/v1/"), None)
        self._send_json(200, {})

    def do_POST(self) -> None:
        """Takes an upload of one file."""
        self.stand_in.requests.append(f"POST {self.path}")
        size = int(self.headers["Content-Length"])
        body = self.rfile.read(min(65_536, size))
        self.stand_in.reading.wait(30)
        body += self.rfile.read(size - len(body))
        head = f"Content-Type: {self.headers['Content-Type']}\r\n\r\n".encode()
        fields = {
            part.get_param("name", header="content-disposition"): part
            for part in BytesParser().parsebytes(head + body).walk()
            if not part.is_multipart()
        }
        name = fields["file"].get_filename() or ""
        content = fields["file"].get_payload(decode=True)
        self.stand_in.request_ids.append(str(fields["request_id"].get_payload()))
        if refusal := self.stand_in.refusals.get(name):
            status, error = refusal
            self._send_json(status, {"results": [{"key": "file", "index": 0, "error": error}]})
            return
        assert isinstance(content, bytes)
        image = self._take(name, content)
        self._send_json(200, {"results": [{"key": "file", "index": 0, "image": image}]})

    def _take(self, name: str, content: bytes) -> Json:
        with self.stand_in.lock:
            number = len(self.stand_in.images) + 1
        image = {
            "name": f"images/new-{number}-{len(content)}",
            "number": str(number),
            "state": "PENDING",
            "display_name": name,
            "size_bytes": str(len(content)),
            "format": "IMAGE_FORMAT_PNG",
        }
        self.stand_in.add(image, content)
        return image

    def _finish(self, image: Json) -> Json:
        outcome = self.stand_in.outcomes.get(image["display_name"])
        if outcome is None or not self.stand_in.finishing.is_set():
            return image
        done = image | outcome
        with self.stand_in.lock:
            self.stand_in.images[image["name"]] = done
        return done

    def _send_events(self, image: Json) -> None:
        if not self.stand_in.events_work:
            self._send_json(503, error_body(14, "DRAINING", "Shutting down."))
            return
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True
        try:
            if image["state"] == "PENDING":
                self._event({"image": image | {"state": "PROCESSING"}, "final": False})
                self.stand_in.finishing.wait(30)
                image = self._finish(image)
            self._event({"image": image, "final": image["state"] in {"PROCESSED", "FAILED"}})
        except ConnectionError:
            return

    def _event(self, message: Json) -> None:
        self.wfile.write(f"data: {json.dumps(message)}\n\n".encode())
        self.wfile.flush()

    def _send_wait(self, image: Json) -> None:
        self.stand_in.finishing.wait(30)
        self._send_json(200, {"image": self._finish(image)})

    def _send_picture(self, image: Json) -> None:
        self._send(200, "image/png", self.stand_in.pictures[image["name"]])

    def _send_list(self, query: dict[str, list[str]]) -> None:
        if self.stand_in.list_fails:
            self._send_json(503, error_body(14, "STORE_UNAVAILABLE", "The store does not answer; wait."))
            return
        assert query["view"] == ["IMAGE_VIEW_FULL"]
        start, size = int(query.get("page_token", ["0"])[0]), int(query["page_size"][0])
        newest = list(reversed(self.stand_in.images.values()))
        following = str(start + size) if start + size < len(newest) else ""
        page = newest[start : start + size]
        total = str(len(newest))
        self._send_json(200, {"images": page, "next_page_token": following, "total_size": total})

    def _send_file(self, name: str) -> None:
        file = UI_FOLDER / name
        if not file.is_file():
            self._send_json(404, {})
            return
        self._send(200, MEDIA_TYPES[file.suffix], file.read_bytes())

    def _send_json(self, status: int, body: Json) -> None:
        self._send(status, "application/json", json.dumps(body).encode())

    def _send(self, status: int, media_type: str, content: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", media_type)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Content-Security-Policy", POLICY)
        self.end_headers()
        self.wfile.write(content)


class Server(ThreadingHTTPServer):
    """One thread a connection; none keeps the test process alive."""

    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """A browser that closes a page leaves connections behind; that is no fault."""
