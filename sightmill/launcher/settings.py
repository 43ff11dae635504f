"""What the launcher itself must know. Everything else goes on to the services as the environment has it.

The variables are those of the services, so that one ``.env`` serves a laptop and a cluster alike.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from sightmill.launcher.errors import SettingsError
from sightmill.launcher.ports import Listen, free_ports, parse_listen

PREFIX = "SIGHTMILL_"
DEFAULT_LISTENS = {
    "envoy": "127.0.0.1:8080",
    "gateway": "127.0.0.1:8081",
    "ingest": "127.0.0.1:50051",
    "analyzer": "127.0.0.1:50052",
    "captioner": "127.0.0.1:50053",
    "catalog": "127.0.0.1:50054",
}
_TRUE = {"1", "true", "yes", "on"}


@dataclass(frozen=True, slots=True)
class LaunchSettings:
    """Where everything listens and keeps its data.

    ``listens`` is by process name. ``nats_url`` is empty when the launcher is to run a nats-server itself.
    ``environment`` is what the children get, before the launcher's own additions.
    """

    data_dir: Path
    listens: Mapping[str, Listen]
    environment: Mapping[str, str]
    nats_url: str = ""
    nats_token: str = ""
    nats_binary: str = ""
    envoy_binary: str = ""
    envoy_access_log: bool = False
    cors_origins: tuple[str, ...] = ()
    start_timeout_s: float = 60.0
    drain_timeout_s: float = 8.0
    log_max_bytes: int = 5 * 1024 * 1024

    @property
    def run_dir(self) -> Path:
        """State, lock and generated configuration."""
        return self.data_dir / "run"

    @property
    def log_dir(self) -> Path:
        """One file a process."""
        return self.data_dir / "logs"

    @property
    def state_path(self) -> Path:
        """The launcher's state file."""
        return self.run_dir / "launcher.json"

    @property
    def lock_path(self) -> Path:
        """Held while a launcher works on the data folder."""
        return self.run_dir / "launcher.lock"

    def with_free_ports(self) -> LaunchSettings:
        """The same with a free port of this machine for every process, for tests and second suites."""
        ports = free_ports(len(self.listens))
        listens = {
            name: Listen("127.0.0.1", port, variable="")
            for name, port in zip(self.listens, ports, strict=True)
        }
        return replace(self, listens=listens)


def variable(name: str) -> str:
    """The variable that sets where a process listens."""
    return f"{PREFIX}{name.upper()}_LISTEN"


def read_settings(environment: Mapping[str, str], data_dir: Path | None = None) -> LaunchSettings:
    """Builds the settings from ``SIGHTMILL_*`` variables; ``data_dir`` overrides the variable.

    Raises:
        SettingsError: names every variable that breaks its rule, and the rule.
    """
    problems: list[str] = []
    listens = {
        name: _listen(environment, name, default, problems) for name, default in DEFAULT_LISTENS.items()
    }
    start_timeout_s = _number(environment, "LAUNCHER_START_TIMEOUT_S", 60.0, problems)
    drain_timeout_s = _number(environment, "DRAIN_TIMEOUT_S", 8.0, problems)
    if problems:
        raise SettingsError("\n".join(problems))
    values = {name.removeprefix(PREFIX): text.strip() for name, text in environment.items()}
    folder = data_dir or Path(values.get("DATA_DIR") or ".sightmill")
    return LaunchSettings(
        data_dir=folder.resolve(),
        listens=listens,
        environment=environment,
        nats_url=values.get("NATS_URL", ""),
        nats_token=values.get("NATS_TOKEN", ""),
        nats_binary=values.get("NATS_SERVER_BINARY", ""),
        envoy_binary=values.get("ENVOY_BINARY", ""),
        envoy_access_log=values.get("ENVOY_ACCESS_LOG", "").lower() in _TRUE,
        cors_origins=_origins(environment),
        start_timeout_s=start_timeout_s,
        drain_timeout_s=drain_timeout_s,
    )


def _origins(environment: Mapping[str, str]) -> tuple[str, ...]:
    """The gateway's own list, under either of its names: the edge lets the same pages in."""
    text = environment.get(f"{PREFIX}GATEWAY_CORS_ORIGINS") or environment.get("CORS_ALLOWED_ORIGINS", "")
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _listen(environment: Mapping[str, str], name: str, default: str, problems: list[str]) -> Listen:
    text = environment.get(variable(name), "").strip() or default
    try:
        return parse_listen(text, variable(name))
    except ValueError as error:
        problems.append(f"{variable(name)}: {error}")
        return parse_listen(default, variable(name))


def _number(environment: Mapping[str, str], name: str, default: float, problems: list[str]) -> float:
    text = environment.get(PREFIX + name, "").strip()
    try:
        value = float(text) if text else default
    except ValueError:
        value = -1.0
    if not 0 < value <= 86_400:
        problems.append(f"{PREFIX}{name}: not a number of seconds from 0 to 86400")
    return value
