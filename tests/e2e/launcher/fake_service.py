"""A process that behaves like one of ours, or badly: prints READY, serves a status page, notes what happens.

Run as ``python fake_service.py NAME EVENTS_FILE [how ...]`` where ``how`` is any of: stubborn (ignores
SIGTERM), slow (half a second to end), dies (ends with 1 at once), usage (ends with 2 at once), sick (never
ready), weak (with a fallback), parent (starts a child of its own).
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path


def main() -> None:
    name, events, how = sys.argv[1], Path(sys.argv[2]), set(sys.argv[3:])

    def note(what: str) -> None:
        with events.open("a") as file:
            file.write(f"{what} {name} {os.getpid()}\n")

    note("start")
    if "dies" in how or "usage" in how:
        sys.stdout.write(f"{name} cannot go on\n")
        raise SystemExit(2 if "usage" in how else 1)
    fallbacks = {"eyes": "glasses stand in"} if "weak" in how else {}
    body = json.dumps({"dependencies": {"luck": "ok"}, "fallbacks": fallbacks}).encode()

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(503 if "sick" in how else 200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Nothing."""

    ended = threading.Event()

    def on_term(*_: object) -> None:
        note("stop")
        if "stubborn" not in how:
            ended.set()

    signal.signal(signal.SIGTERM, on_term)
    signal.signal(signal.SIGINT, lambda *_: note("interrupted"))
    if "parent" in how:
        note(f"grandchild={subprocess.Popen(['/bin/sleep', '600']).pid}")
    server = HTTPServer(("127.0.0.1", 0), Page)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stdout.write(f"READY {name} grpc=127.0.0.1:1 status=127.0.0.1:{server.server_port}\n")
    sys.stdout.flush()
    while not ended.wait(0.05):
        pass
    if "slow" in how:
        time.sleep(0.5)
    note("end")


if __name__ == "__main__":
    main()
