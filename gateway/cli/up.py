"""`caravan up`: every process on this machine, until Ctrl-C."""

from __future__ import annotations

from collections.abc import Callable

import typer
from loguru import logger
from rich.markup import escape

from adapters.embedded import record
from adapters.embedded.keeper import State, Status
from adapters.embedded.supervisor import Supervisor
from gateway.cli.output import console, plain_errors
from gateway.cli.tokens import first_admin_token
from gateway.logging import configure_logging
from gateway.settings import Settings
from gateway.stack import log_archive, prepare_home, processes, require_free_ports

app = typer.Typer()

_MARKS = {
    State.STARTING: "[dim]…[/]",
    State.RUNNING: "[green]✓[/]",
    State.DONE: "[green]✓[/]",
    State.BACKING_OFF: "[yellow]↻[/]",
    State.STOPPED: "[dim]■[/]",
}


@app.command()
def up() -> None:
    """Start every process and keep it running. Ctrl-C stops them all."""
    with plain_errors():
        settings = Settings()
        supervise(settings, Teller(when_up=lambda: welcome(settings))).run()


def _token_to_show() -> str | None:
    """The administrator's token at the very first start; None where there is one, or none can be made just now."""
    try:
        return first_admin_token()
    except Exception as error:  # whatever it is, no reason to stop what runs
        logger.opt(exception=error).error("the first token could not be made")
        return None


def supervise(settings: Settings, observer: Callable[[Status], None]) -> Supervisor:
    """The supervisor of everything that these settings call for."""
    home = prepare_home(settings)
    if record.read(home / "run") is None:  # else the supervisor says who is there
        require_free_ports(settings)
    archive = log_archive(settings)
    configure_logging(settings.log_level, "supervisor", home / "logs" / "supervisor.log", archive)
    return Supervisor(processes(settings), home / "run", observer=observer, archive=archive)


class Teller:
    """Says on the terminal what becomes of each process. `when_up` is called once, when the console first answers."""

    def __init__(self, when_up: Callable[[], object] = lambda: None) -> None:
        self._when_up = when_up
        self._running: set[str] = set()

    def __call__(self, status: Status) -> None:
        """One change of a process's state. The end of what did not run is no news."""
        first = status.state is State.RUNNING and status.name not in self._running
        if first:
            self._running.add(status.name)
        if status.state is State.WAITING or (status.state is State.STOPPED and status.name not in self._running):
            return
        port = f" on port {status.port}" if status.port and status.state is State.RUNNING else ""
        console.print(f"{_MARKS[status.state]} {status.name}{port}", highlight=False)
        if status.failure and status.state is State.BACKING_OFF:
            console.print(f"  [yellow]{escape(status.failure.splitlines()[0])}[/]", highlight=False)
        if first and status.name == "ui":
            self._when_up()


def welcome(settings: Settings) -> None:
    """Says where the doors are, and at the very first start makes the administrator's token and gives it."""
    console.print(f"\nconsole  http://127.0.0.1:{settings.ui_port}", highlight=False)
    console.print(f"API      {settings.api_url}/docs", highlight=False)
    if token := _token_to_show():
        console.print(f"token    {token}", highlight=False, soft_wrap=True)
        console.print("         [bold]Keep it: it is shown this once.[/] It is an administrator's.")
    else:
        console.print("token    make one with `caravan tokens create NAME --role operator`")
    console.print("\nCtrl-C stops everything.\n")
