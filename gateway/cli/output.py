"""How the command line shows things: tables for people, `--json` for scripts, exit codes for both."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from eventsourcing import persistence
from pydantic import ValidationError
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from sqlalchemy import exc as sqlalchemy

from adapters.embedded.errors import EmbeddedError
from domain.errors import DomainError
from gateway.cli.client import ApiError
from projections.failures import OUTAGES

console = Console()
tables = console if console.is_terminal else Console(width=1_000)  # a pipe's reader wants whole lines
errors = Console(stderr=True, soft_wrap=True)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]

REFUSALS: tuple[type[Exception], ...] = (
    ApiError,
    EmbeddedError,
    DomainError,
    ValidationError,
    OSError,
    UnicodeDecodeError,
)
NOT_MIGRATED: tuple[type[Exception], ...] = (persistence.ProgrammingError, sqlalchemy.ProgrammingError)
"""How the libraries say that a table is not there."""

REFUSED = 1
"""The exit code of a command that was refused or failed; 2 is the one of a command line that is wrong."""


def show(value: object, as_json: bool, columns: Sequence[str] = ()) -> None:
    """A list of objects as a table of these columns, one object as its fields; or all of it as JSON."""
    if as_json:
        typer.echo(json.dumps(value, ensure_ascii=False, indent=2, default=str))
    elif isinstance(value, list):
        tables.print(_table(value, columns) if value else "[dim]none yet[/]")
    elif isinstance(value, Mapping):
        console.print(_fields(value))
    else:
        console.print(value)


@contextmanager
def told_aside(as_json: bool) -> Iterator[None]:
    """What people are told goes to stderr, where stdout is for JSON."""
    console.stderr = as_json
    try:
        yield
    finally:
        console.stderr = False


@contextmanager
def plain_errors() -> Iterator[None]:
    """Expected errors as one red sentence and exit code 1, never as a traceback."""
    try:
        yield
    except REFUSALS + OUTAGES + NOT_MIGRATED as error:
        for sentence in sentences(error):
            complain(sentence)
        raise typer.Exit(REFUSED) from error


def sentences(error: Exception) -> Iterator[str]:
    """What an expected error says to the person at the terminal."""
    match error:
        case UnicodeDecodeError():
            yield f"the file is not UTF-8 text: byte {error.start} is {error.object[error.start]:#04x}"
        case ValidationError():
            for problem in error.errors():
                yield f"setting {'.'.join(map(str, problem['loc']))}: {problem['msg']}"
        case OSError(filename=str(name), strerror=str(reason)):
            yield f"{name}: {reason}"
        case _ if isinstance(error, OUTAGES):
            yield f"the database cannot be reached; start it with `caravan up` ({str(error).splitlines()[0]})"
        case _ if isinstance(error, NOT_MIGRATED):
            yield f"the database lacks our tables; `caravan migrate` makes them ({str(error).splitlines()[0]})"
        case _:
            yield str(error)


def complain(sentence: str) -> None:
    """One thing that went wrong, in red, beside the output."""
    errors.print(f"[red]✗[/] {escape(sentence)}", highlight=False)


def _table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in columns:
        table.add_column(column, no_wrap=column.endswith("_id"), overflow="fold")
    for row in rows:
        table.add_row(*(_cell(row.get(column)) for column in columns))
    return table


def _fields(value: Mapping[str, Any]) -> Table:
    table = Table(box=None, show_header=False, pad_edge=False)
    for name, field in value.items():
        table.add_row(f"[bold]{name}[/]", _cell(field))
    return table


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, dict | list):
        return escape(json.dumps(value, ensure_ascii=False, default=str))
    return escape(str(value))
