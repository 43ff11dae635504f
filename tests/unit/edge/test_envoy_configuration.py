"""The edge's configuration as data: nothing starts here."""

from __future__ import annotations

import json

import pytest

from gateway.envoy.__main__ import main
from gateway.envoy.bootstrap import build_bootstrap
from gateway.envoy.contract import Contract, Method, read_contract
from gateway.envoy.nodes import Node
from gateway.envoy.options import DESCRIPTOR_SET, Address, EdgeOptions, parse_address
from gateway.envoy.replies import REPLIES
from gateway.envoy.routes import CLUSTER_OF_SERVICE, DEADLINES_S, build_routes
from sightmill.v1 import errors_pb2

LOCAL = Address("127.0.0.1", 1)
OPTIONS = EdgeOptions(LOCAL, LOCAL, LOCAL, LOCAL, LOCAL, LOCAL, LOCAL)


@pytest.fixture(scope="module")
def contract() -> Contract:
    return read_contract(DESCRIPTOR_SET)


@pytest.fixture(scope="module")
def routes(contract: Contract) -> list[Node]:
    return build_routes(OPTIONS, contract)


def match(routes: list[Node], path: str) -> Node:
    """The first route without header conditions that takes the path."""
    for route in routes:
        rule = route["match"]
        plain = "headers" not in rule and "grpc" not in rule
        if plain and (rule.get("path") == path or path.startswith(rule.get("prefix", "\0"))):
            return route
    raise AssertionError(path)


def test_every_service_of_the_contract_has_a_cluster(contract: Contract) -> None:
    assert set(contract.services) == set(CLUSTER_OF_SERVICE)


def test_what_is_between_services_is_not_for_callers(contract: Contract, routes: list[Node]) -> None:
    path = "/sightmill.v1.CaptionRecordsService/ReserveSpend"
    assert not [method for method in contract.methods if method.path == path]
    # Nothing but the last route takes it: the gateway knows no such page.
    assert match(routes, path) == routes[-1]


def test_a_service_without_a_cluster_is_named() -> None:
    foreign = Contract("", (Method("sightmill.v1.NewService", "Do", is_streaming=False),))
    with pytest.raises(ValueError, match=r"sightmill\.v1\.NewService has no cluster"):
        build_routes(OPTIONS, foreign)


def test_every_method_goes_to_its_service(contract: Contract, routes: list[Node]) -> None:
    for method in contract.methods:
        assert match(routes, method.path)["route"]["cluster"] == CLUSTER_OF_SERVICE[method.service]


def test_no_stream_is_cut_by_time(contract: Contract, routes: list[Node]) -> None:
    streams = [method for method in contract.methods if method.is_streaming]
    assert len(streams) > 5
    for method in streams:
        route = match(routes, method.path)
        assert route["route"]["timeout"] == "0s"
        assert "request_headers_to_add" not in route, "a deadline of ours would end the stream"


def test_only_reads_are_tried_again(contract: Contract, routes: list[Node]) -> None:
    retried = {
        method.name for method in contract.methods if "retry_policy" in match(routes, method.path)["route"]
    }
    assert {"GetImage", "ListImages", "WaitImage", "SearchImages"} <= retried
    assert not {
        name for name in retried if name.startswith(("Create", "Upload", "Delete", "Watch", "Caption"))
    }


def test_deadlines_are_of_methods_that_exist(contract: Contract) -> None:
    assert set(DEADLINES_S) <= {method.name for method in contract.methods}


def test_uploads_and_pages_are_the_gateways(routes: list[Node]) -> None:
    for path in ("/v1/images:upload", "/", "/api/upload", "/v1"):
        route = match(routes, path)
        assert route["route"]["cluster"] == "gateway"
        assert route["route"]["timeout"] == "0s"
        assert "typed_per_filter_config" not in route, "no transcoder, no CORS of ours"


def test_replies_carry_reasons_of_the_contract() -> None:
    assert {reply.reason for reply in REPLIES} <= set(errors_pb2.ErrorReason.keys())
    assert len({reply.http_status for reply in REPLIES}) == len(REPLIES)


def test_names_are_resolved_and_numbers_are_not(contract: Contract) -> None:
    options = EdgeOptions(LOCAL, LOCAL, LOCAL, Address("ingest.svc", 1), LOCAL, LOCAL, LOCAL)
    clusters = build_bootstrap(options, contract)["static_resources"]["clusters"]
    assert {c["name"]: c["type"] for c in clusters if c["name"] in {"ingest", "catalog"}} == {
        "ingest": "STRICT_DNS",
        "catalog": "STATIC",
    }


def test_the_access_log_is_off_unless_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    def manager(*arguments: str) -> Node:
        main(arguments)
        listener = json.loads(capsys.readouterr().out)["static_resources"]["listeners"][0]
        config: Node = listener["filter_chains"][0]["filters"][0]["typed_config"]
        return config

    assert manager()["access_log"] == []
    assert len(manager("--access-log")["access_log"]) == 1


def test_addresses() -> None:
    assert parse_address("[::1]:80") == Address("::1", 80)
    for wrong in ("host", "host:", ":80", "host:99999", "host:x"):
        with pytest.raises(ValueError, match="host:port"):
            parse_address(wrong)


def test_a_wrong_address_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--ingest", "nowhere"])
    assert caught.value.code == 2
    assert "'nowhere' is not host:port" in capsys.readouterr().err
