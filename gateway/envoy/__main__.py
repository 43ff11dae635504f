"""Prints a complete configuration for Envoy: ``envoy -c edge.json`` needs nothing else."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from gateway.envoy.bootstrap import build_bootstrap
from gateway.envoy.contract import read_contract
from gateway.envoy.options import DESCRIPTOR_SET, MIB, Address, EdgeOptions, parse_address


def main(argv: Sequence[str] | None = None) -> None:
    """Writes the configuration to standard output or, with ``--out``, to a file."""
    arguments = vars(_parser().parse_args(argv))
    out: Path | None = arguments.pop("out")
    options = EdgeOptions(
        cors_origins=tuple(arguments.pop("cors_origin")),
        max_json_bytes=arguments.pop("max_json_mib") * MIB,
        max_heap_bytes=arguments.pop("max_heap_mib") * MIB,
        **arguments,
    )
    text = json.dumps(build_bootstrap(options, read_contract(DESCRIPTOR_SET)), indent=1) + "\n"
    if out is None:
        sys.stdout.write(text)
    else:
        out.write_text(text, encoding="utf-8")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m gateway.envoy",
        description=__doc__,
        epilog="Check a result with: envoy --mode validate -c FILE",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    addresses = {
        "listen": ("127.0.0.1:8080", "where callers come in; port 0 takes a free one"),
        "admin": (
            "127.0.0.1:0",
            "Envoy's own interface, for the operator only; see envoy --admin-address-path",
        ),
        "gateway": ("127.0.0.1:8081", "the HTTP gateway"),
        "ingest": ("127.0.0.1:50051", "the ingest service"),
        "analyzer": ("127.0.0.1:50052", "the analyzer"),
        "captioner": ("127.0.0.1:50053", "the captioner"),
        "catalog": ("127.0.0.1:50054", "the catalog"),
    }
    for name, (default, about) in addresses.items():
        parser.add_argument(f"--{name}", type=_address, default=default, metavar="HOST:PORT", help=about)
    parser.add_argument("--out", type=Path, metavar="FILE", help="write here instead of to standard output")
    parser.add_argument(
        "--cors-origin",
        action="append",
        default=[],
        metavar="ORIGIN",
        help="an origin whose pages may call, or *; repeatable; without it: pages served from this machine",
    )
    parser.add_argument(
        "--access-log", action="store_true", help="one JSON line a request on standard output"
    )
    parser.add_argument(
        "--trusted-hops", type=int, default=0, help="proxies in front whose x-forwarded-for counts"
    )
    parser.add_argument("--max-json-mib", type=int, default=72, help="largest answer of a call in JSON, MiB")
    parser.add_argument(
        "--max-heap-mib", type=int, default=1024, help="memory at which requests are refused, MiB"
    )
    parser.add_argument("--max-connections", type=int, default=10_000, help="connections at the same time")
    return parser


def _address(text: str) -> Address:
    try:
        return parse_address(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


if __name__ == "__main__":
    main()
