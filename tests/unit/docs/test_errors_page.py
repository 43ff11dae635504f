"""docs/errors.md says of every reason what the contract says."""

from __future__ import annotations

import re
from pathlib import Path

import grpc

from sightmill.v1 import errors_pb2

ROOT = Path(__file__).parents[3]
ROW = re.compile(r"^\| `([A-Z_]+)` \| ([A-Z_]+) \| (\d{3}) \|", re.MULTILINE)


def first_code(text: str) -> str:
    """The first gRPC code that stands right behind an opening bracket."""
    codes = {code.name for code in grpc.StatusCode}
    return next((word for word in re.findall(r"\(([A-Z_]+)\b", text) if word in codes), "")


def proto_statuses() -> dict[str, str]:
    """Reason to status as the comments of the proto give it; a section's status holds unless one is named."""
    text = (ROOT / "protos/sightmill/v1/errors.proto").read_text()
    statuses: dict[str, str] = {}
    section, comment = "", ""
    for line in map(str.strip, text.splitlines()):
        if line.startswith("// ---"):
            section = first_code(line)
        elif line.startswith("//"):
            comment += " " + line
        elif match := re.match(r"([A-Z_]+) = (\d+);", line):
            statuses[match[1]] = first_code(comment) or section
            comment = ""
        else:
            comment = ""
    del statuses["ERROR_REASON_UNSPECIFIED"]
    return statuses


def test_every_reason_is_documented_with_its_status() -> None:
    documented = {name: status for name, status, _ in ROW.findall((ROOT / "docs/errors.md").read_text())}
    assert documented == proto_statuses()


def test_the_page_knows_no_reason_that_the_contract_does_not() -> None:
    page = (ROOT / "docs/errors.md").read_text()
    known = set(errors_pb2.ErrorReason.keys())
    assert {name for name, _, _ in ROW.findall(page)} == known - {"ERROR_REASON_UNSPECIFIED"}
