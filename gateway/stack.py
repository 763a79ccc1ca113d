"""What `caravan up` runs: the embedded servers that are needed, the schema, and every process of ours."""

from __future__ import annotations

import json
import os
import secrets
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from adapters.durable_files import write_private
from adapters.embedded.errors import EmbeddedError, FolderUnusable
from adapters.embedded.log_archive import LogArchive
from adapters.embedded.nats_server import EmbeddedNats
from adapters.embedded.ports import LOOPBACK, is_free
from adapters.embedded.postgres import EmbeddedPostgres
from adapters.embedded.process import Child, ManagedProcess
from adapters.embedded.readiness import answers
from gateway.settings import Settings

MODEL_KEY = "model-key"
MEBIBYTE = 2**20

LAST_WORDS_SECONDS = 10.0
"""How long a process may take to end, beside the calls that a worker waits for."""

SERVERS = frozenset({"DATABASE_URL", "NATS_URL"})
REPORTS = frozenset({"CARAVAN_SENTRY_DSN"})
WITHHELD = {
    "ui": SERVERS | REPORTS | {"CARAVAN_MODEL_KEY", "CARAVAN_OTLP_ENDPOINT"},
    "model-server": SERVERS | REPORTS,
    "prepare-model": SERVERS | REPORTS,
}
"""What the processes that face people or a model's text are not told."""

CONSOLE = "ui"
SESSIONS = frozenset({"CARAVAN_CONSOLE_NATS_URL"})
"""Where the console keeps its sessions, with the password of an account of its own."""

SEALER = "projectors"
SEALING = frozenset({"CARAVAN_SEAL_KEY_FILE", "CARAVAN_ANCHOR_WEBHOOK"})
"""Where the seals' key is, and an address that may hold a secret: for the process alone that seals."""

KEYHOLDER = "worker"
"""Calls the endpoints that agents.yaml names, and any variable may hold the key of one: it inherits them all."""

HARMLESS = frozenset({"PATH", "HOME", "USER", "LANG", "TZ", "TMPDIR", "VIRTUAL_ENV", "LD_LIBRARY_PATH"})
HARMLESS_PREFIXES = ("PYTHON", "LC_", "CUDA_", "NVIDIA_", "OMP_", "MKL_", "STREAMLIT_", "COVERAGE_")
LIBPQ_PREFIX = "PG"
"""libpq's own settings, e.g. PGSSLROOTCERT and PGPASSWORD, go with DATABASE_URL."""
TRACING_PREFIX = "OTEL_"
"""OpenTelemetry's own settings, of which headers may hold a key; the console sends no traces."""


def prepare_home(settings: Settings) -> Path:
    """The data folder, for its owner alone. Raises FolderUnusable."""
    home = settings.home.absolute()
    try:
        for folder in (home, home / "logs", home / "run", home / "models"):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        home.chmod(0o700)
    except OSError as error:
        raise FolderUnusable(f"{home} cannot be made: {error}. Set CARAVAN_HOME to a folder of yours.") from error
    return home


def located(settings: Settings) -> Settings:
    """The settings with the embedded servers' addresses filled in where no external ones are given.

    Works in any process on this machine, whether the servers run yet or not.
    """
    settings = keyed(settings)
    found: dict[str, object] = {}
    if settings.database_url is None:
        found["database_url"] = embedded_postgres(settings).url()
    if settings.nats_url is None:
        nats = embedded_nats(settings)
        found |= {"nats_url": nats.url, "console_nats_url": nats.console_url}
    return settings.model_copy(update=found)


def keyed(settings: Settings) -> Settings:
    """The settings with the embedded model's key, made where there is none yet. All that the model's server needs."""
    home = prepare_home(settings)
    return settings.model_copy(update={"model_key": settings.model_key or _model_key(home)})


def embedded_postgres(settings: Settings) -> EmbeddedPostgres:
    """This data folder's own PostgreSQL."""
    return EmbeddedPostgres(settings.home / "postgres", settings.logs / "postgres.log")


def embedded_nats(settings: Settings) -> EmbeddedNats:
    """This data folder's own nats-server."""
    return EmbeddedNats(settings.home / "nats", settings.logs / "nats.log", settings.nats_port)


def log_archive(settings: Settings) -> LogArchive:
    """Where this data folder's logs go that have grown too large."""
    return LogArchive(
        settings.logs.absolute() / "archive",
        largest=int(settings.log_rotate_mb * MEBIBYTE),
        days=settings.log_keep_days,
        most=int(settings.log_keep_mb * MEBIBYTE),
    )


@dataclass(frozen=True, slots=True)
class Listener:
    """A process that listens on a port; `variable` is the setting to change where the port is taken."""

    process: str
    host: str
    port: int
    variable: str

    @property
    def can_listen(self) -> bool:
        """Whether nobody else listens there."""
        return is_free(self.port, self.host)


def listeners(settings: Settings) -> list[Listener]:
    """Those that these settings call for: none in place of an external server."""
    found = [
        Listener("gateway", settings.host, settings.port, "CARAVAN_PORT"),
        Listener("ui", LOOPBACK, settings.ui_port, "CARAVAN_UI_PORT"),
    ]
    if settings.model_url is None:
        found.append(Listener("model-server", LOOPBACK, settings.model_port, "CARAVAN_MODEL_PORT"))
    if settings.nats_url is None:
        found.append(Listener("nats", LOOPBACK, settings.nats_port, "CARAVAN_NATS_PORT"))
    return found


def require_free_ports(settings: Settings) -> None:
    """Raises EmbeddedError, before anything starts, that names the taken port and the setting to change."""
    for one in listeners(settings):
        if not one.can_listen:
            raise EmbeddedError(
                f"{one.process} cannot listen on {one.host}:{one.port}: another program does "
                f"(`lsof -i :{one.port}` names it), or the address is none of this machine's. "
                f"Stop that program, or set {one.variable} to another port."
            )


def processes(settings: Settings) -> list[ManagedProcess]:
    """In the order of their start. `migrate` and `prepare-model` are tasks: what follows waits for their end."""
    ours = located(settings)
    servers: list[ManagedProcess] = []
    if settings.database_url is None:
        servers.append(embedded_postgres(settings))
    if settings.nats_url is None:
        servers.append(embedded_nats(settings))
    model_server = _child(
        ours, "model-server", ready_at=f"http://{LOOPBACK}:{ours.model_port}/health/live", ready_timeout=180
    )
    return [
        *servers,
        _child(ours, "migrate", restart=False),
        _child(ours, "gateway", ready_at=f"{ours.api_url}/health/live"),
        _child(ours, "projectors"),
        _child(ours, "prepare-model", restart=False, ready_timeout=600),  # the trainer needs it, whoever serves
        *([model_server] if settings.model_url is None else []),
        _child(ours, "worker", grace=ours.drain_seconds + LAST_WORDS_SECONDS),
        _child(ours, "trainer"),
        _child(ours, "ui", ready_at=f"http://{LOOPBACK}:{ours.ui_port}/_stcore/health"),
    ]


def _child(
    settings: Settings,
    name: str,
    *,
    restart: bool = True,
    ready_at: str | None = None,
    ready_timeout: float = 60,
    grace: float = LAST_WORDS_SECONDS,
) -> Child:
    listener = next((one for one in listeners(settings) if one.process == name), None)
    return Child(
        name,
        [sys.executable, "-m", "gateway.cli", name],
        env=environment(settings, name, os.environ),
        log=settings.logs.absolute() / f"{name}.log",
        ready=answers(ready_at) if ready_at else None,
        restart=restart,
        port=listener.port if listener else None,
        host=listener.host if listener else LOOPBACK,
        ready_timeout=ready_timeout,
        grace=grace,
    )


def environment(settings: Settings, name: str, inherited: Mapping[str, str]) -> dict[str, str]:
    """What the process of that name is told: the settings, the servers' addresses, which hold passwords, where it needs
    them, and of the `inherited` environment what is harmless. Nobody gets the caller's own token."""
    withheld = WITHHELD.get(name, frozenset()) | {"CARAVAN_TOKEN"}
    withheld |= (SEALING if name != SEALER else frozenset()) | (SESSIONS if name != CONSOLE else frozenset())
    given = settings.model_dump(mode="json", exclude_none=True, exclude={"database_url", "nats_url", "token"})
    told = {
        **{variable: value for variable, value in inherited.items() if _inherits(name, variable)},
        **{f"CARAVAN_{name.upper()}": _written(value) for name, value in given.items()},
        "DATABASE_URL": str(settings.database_url),
        "NATS_URL": str(settings.nats_url),
        "PYTHONUNBUFFERED": "1",
        "OMP_WAIT_POLICY": "PASSIVE",  # threads that spin while they wait steal the cores from the other processes
    }
    return {variable: value for variable, value in told.items() if variable not in withheld}


def _written(value: object) -> str:
    """As the settings read it back."""
    return json.dumps(value) if isinstance(value, dict | list) else str(value)


def _inherits(name: str, variable: str) -> bool:
    if variable.startswith(LIBPQ_PREFIX):
        return name not in WITHHELD
    if variable.startswith(TRACING_PREFIX):
        return name not in ("ui", "prepare-model")
    return name == KEYHOLDER or variable in HARMLESS or variable.startswith(HARMLESS_PREFIXES)


def _model_key(home: Path) -> str:
    file = home / MODEL_KEY
    if not file.exists():
        write_private(file, secrets.token_urlsafe(32))
    return file.read_text()


def without_password(url: str) -> str:
    """The URL as it may be shown: no user, no password, no token; PostgreSQL takes them as parameters too."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="").geturl()
