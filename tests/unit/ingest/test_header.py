"""What an uploader says of an image is data: checked, cleaned, never a path."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ingest.header import MAX_NAME_CHARS, clean_name, parse_header
from services.runtime.errors import InvalidArgumentError, Reason
from sightmill.v1 import catalog_pb2, ingest_pb2

DIGEST = "ab" * 32


def refused_field(message: ingest_pb2.UploadHeader) -> str:
    with pytest.raises(InvalidArgumentError) as caught:
        parse_header(message)
    assert caught.value.reason == Reason.INVALID_FIELD
    field = caught.value.metadata["field"]
    assert caught.value.message.startswith(f"{field} "), "the message names the field"
    return field


def test_everything_is_taken_over() -> None:
    options = catalog_pb2.ProcessOptions(skip_caption=True)
    header = parse_header(
        ingest_pb2.UploadHeader(
            key="k",
            display_name="C:\\photos\\a.jpg",
            labels={"album": "2024", "scene_path": "/a/b"},
            request_id="r-1",
            size_bytes=7,
            sha256=DIGEST.upper(),
            options=options,
        )
    )
    assert (header.key, header.display_name, header.request_id) == ("k", "a.jpg", "r-1")
    assert (header.size_bytes, header.sha256) == (7, DIGEST)
    assert header.labels == {"album": "2024", "scene_path": "/a/b"}
    assert header.options == options


def test_an_empty_header_is_fine() -> None:
    header = parse_header(ingest_pb2.UploadHeader())
    assert (header.size_bytes, header.sha256, header.display_name) == (0, "", "")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("key", "x" * 129),
        ("size_bytes", -1),
        ("request_id", "x" * 129),
        ("request_id", "with space"),
        ("request_id", "line\n"),
        ("request_id", "é"),
        ("sha256", "ab"),
        ("sha256", "g" * 64),
        ("sha256", DIGEST + "0"),
    ],
)
def test_a_value_outside_its_rule_is_refused_by_name(field: str, value: object) -> None:
    assert refused_field(ingest_pb2.UploadHeader(**{field: value})) == field  # type: ignore[arg-type]


@pytest.mark.parametrize("field", ["key", "request_id"])
def test_the_longest_allowed_values_pass(field: str) -> None:
    message = ingest_pb2.UploadHeader()
    setattr(message, field, "x" * 128)
    assert getattr(parse_header(message), field) == "x" * 128


@pytest.mark.parametrize("key", ["", "Upper", "with space", "a/b", "x" * 64, "é"])
def test_label_keys_are_plain(key: str) -> None:
    assert refused_field(ingest_pb2.UploadHeader(labels={key: "v"})) == "labels"


def test_labels_have_limits() -> None:
    most = {f"k{n}": "v" * 1_024 for n in range(64)}
    assert parse_header(ingest_pb2.UploadHeader(labels=most)).labels == most
    assert refused_field(ingest_pb2.UploadHeader(labels=most | {"one.more": ""})) == "labels"
    assert refused_field(ingest_pb2.UploadHeader(labels={"k": "v" * 1_025})) == "labels"


@pytest.mark.parametrize(
    ("name", "cleaned"),
    [
        ("a.jpg", "a.jpg"),
        ("/etc/passwd", "passwd"),
        ("..\\..\\boot.ini", "boot.ini"),
        ("folder/", "folder"),
        ("..", ""),
        ("a/..", ""),
        (".\x00.", ""),
        (".", ""),
        ("/", ""),
        ("a\nb\x7f\x9b.jpg", "ab.jpg"),
        ("photo\u202egpj.exe", "photogpj.exe"),
        ("line\u2028break", "linebreak"),
        ("Ünï 画 👨‍👩‍👧.png", "Ünï 画 👨‍👩‍👧.png"),
        ("x" * 300, "x" * 255),
    ],
)
def test_names_are_cut_to_their_last_component(name: str, cleaned: str) -> None:
    assert clean_name(name) == cleaned


@given(st.text(st.characters() | st.sampled_from("/\\.\x00\n\u2028\u202e"), max_size=600))
def test_no_name_is_a_path_or_holds_a_control_character(name: str) -> None:
    cleaned = clean_name(name)
    assert len(cleaned) <= MAX_NAME_CHARS
    assert cleaned not in {".", ".."}
    assert not set(cleaned) & {"/", "\\"}
    assert not any(unicodedata.category(character) in {"Cc", "Zl", "Zp"} for character in cleaned)
    assert clean_name(cleaned) == cleaned
