"""The launcher's parts that start nothing."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sightmill.launcher.backoff import Backoff
from sightmill.launcher.dotenv import read_dotenv
from sightmill.launcher.errors import SettingsError
from sightmill.launcher.http_call import parse_answer
from sightmill.launcher.log_file import LogFile
from sightmill.launcher.output import Output
from sightmill.launcher.ports import parse_listen
from sightmill.launcher.settings import read_settings
from sightmill.launcher.state_file import (
    LauncherState,
    ProcessState,
    is_alive,
    own_identity,
    read_state,
    start_token,
    write_state,
)


def test_the_wait_doubles_up_to_ten_seconds() -> None:
    backoff = Backoff()
    waits_s = [backoff.next_delay_s(lived_s=1) for _ in range(8)]
    assert waits_s == [0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10.0, 10.0]


def test_a_long_life_makes_the_wait_short_again() -> None:
    backoff = Backoff()
    for _ in range(5):
        backoff.next_delay_s(lived_s=29.9)
    assert backoff.next_delay_s(lived_s=30) == 0.2
    assert backoff.next_delay_s(lived_s=0) == 0.4


def test_dotenv(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.write_text("# no\n\nA=1\nexport B = two words # why\nC='a # b'\nD=\"x=y\"\nE=\nnonsense\n=x\n")
    assert read_dotenv(path) == {"A": "1", "B": "two words", "C": "a # b", "D": "x=y", "E": ""}
    assert read_dotenv(tmp_path / "none") == {}


def test_settings_follow_the_services_variables(tmp_path: Path) -> None:
    environment = {
        "SIGHTMILL_CATALOG_LISTEN": "0.0.0.0:6000",
        "SIGHTMILL_DATA_DIR": str(tmp_path / "kept"),
        "SIGHTMILL_GATEWAY_CORS_ORIGINS": "https://a.example, https://b.example",
    }
    settings = read_settings(environment)
    assert settings.listens["catalog"].reachable == "127.0.0.1:6000"
    assert settings.listens["envoy"].reachable == "127.0.0.1:8080"
    assert settings.data_dir == tmp_path / "kept"
    assert settings.cors_origins == ("https://a.example", "https://b.example")
    assert read_settings(environment, tmp_path).data_dir == tmp_path, "the option wins"


def test_every_wrong_setting_is_named_at_once() -> None:
    wrong = {
        "SIGHTMILL_INGEST_LISTEN": "50051",
        "SIGHTMILL_ENVOY_LISTEN": "127.0.0.1:0",
        "SIGHTMILL_DRAIN_TIMEOUT_S": "soon",
    }
    with pytest.raises(SettingsError) as caught:
        read_settings(wrong)
    assert all(name in str(caught.value) for name in wrong)


@pytest.mark.parametrize("text", ["", "host", ":1", "host:0", "host:65536", "host:-1"])
def test_addresses_that_are_none(text: str) -> None:
    with pytest.raises(ValueError, match="host:port"):
        parse_listen(text, "X")


def state(**changes: object) -> LauncherState:
    pid, token = own_identity()
    process = ProcessState(
        "nats", "127.0.0.1:1", "ready", "nats.log", 7, problems=("a",), fallbacks=("b", "c")
    )
    fields = {"pid": pid, "start_token": token, "started": "now", "state": "healthy", "data_dir": "/d"}
    return LauncherState(**{**fields, "processes": (process,), "notes": ("n",), **changes})  # type: ignore[arg-type]


def test_the_state_survives_the_file(tmp_path: Path) -> None:
    path = tmp_path / "launcher.json"
    written = state(addresses={"page": "http://p"})
    write_state(path, written)
    assert read_state(path) == written
    assert [item.name for item in tmp_path.iterdir()] == ["launcher.json"]


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"version": 2}', '{"version": 1, "processes": 3}'])
def test_a_file_that_is_no_state_is_no_state(tmp_path: Path, text: str) -> None:
    path = tmp_path / "launcher.json"
    path.write_text(text)
    assert read_state(path) is None


def test_a_launcher_is_alive_only_if_number_and_start_agree() -> None:
    assert is_alive(state())
    assert not is_alive(state(start_token="another"))  # noqa: S106  the start time of a process
    assert not is_alive(state(start_token="", pid=2**22 + 1))
    assert start_token(os.getpid()) == own_identity()[1] != ""


def test_a_log_is_bounded(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "x.log", max_bytes=100)
    for number in range(50):
        log.write(f"line {number:02} {'x' * 20}\n".encode())
    log.close()
    sizes = {path.name: path.stat().st_size for path in tmp_path.iterdir()}
    assert set(sizes) == {"x.log", "x.log.1", "x.log.2"}
    assert max(sizes.values()) <= 100
    assert "line 49" in (tmp_path / "x.log").read_text()


def test_a_log_that_was_there_is_continued(tmp_path: Path) -> None:
    path = tmp_path / "x.log"
    path.write_text("before\n")
    log = LogFile(path, max_bytes=100)
    log.write(b"after\n")
    log.close()
    assert path.read_text() == "before\nafter\n"


def test_output_understands_ready_and_keeps_the_tail(tmp_path: Path) -> None:
    output = Output(LogFile(tmp_path / "x.log", 10_000))
    output.take(b"loading\nREADY ingest grpc=127.0.0.1:1 sta")
    assert output.announced == {}
    output.take(b"tus=127.0.0.1:2\nmore\nlast with" + b" bad \xff")
    assert output.announced == {"grpc": "127.0.0.1:1", "status": "127.0.0.1:2"}
    assert output.tail == ["loading", "READY ingest grpc=127.0.0.1:1 status=127.0.0.1:2", "more"]
    output.begin()
    assert (output.announced, output.tail) == ({}, [])
    output.close()


def test_output_does_not_grow_with_an_endless_line(tmp_path: Path) -> None:
    output = Output(LogFile(tmp_path / "x.log", 1_000_000))
    for _ in range(100):
        output.take(b"x" * 10_000)
    output.take(b"\n")
    assert len(output.tail[0]) <= 4_096
    output.close()


def test_http_answers() -> None:
    plain = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
    chunked = b"HTTP/1.1 503 No\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n"
    assert parse_answer(plain) == (200, b"hi")
    assert parse_answer(chunked) == (503, b"abcde")
    for wrong in (b"", b"SSH-2.0\r\n\r\n", b"HTTP/1.1 200 OK\r\n"):
        with pytest.raises(ValueError, match="not HTTP"):
            parse_answer(wrong)
