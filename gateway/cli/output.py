"""How the command line shows things: tables for people, `--json` for scripts, exit codes for both."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from adapters.embedded.errors import EmbeddedError
from domain.errors import DomainError
from gateway.cli.client import ApiError, open_api
from gateway.settings import Settings

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
REFUSED = 1
"""The exit code of a command that was refused or failed; 2 is the one of a command line that is wrong."""


def show(value: object, as_json: bool, columns: Sequence[str] = ()) -> None:
    """A list of objects as a table of these columns, one object as its fields; or all of it as JSON."""
    if as_json:
        typer.echo(json.dumps(value, ensure_ascii=False, indent=2, default=str))
    elif isinstance(value, list):
        tables.print(_table(value, columns) if value else "[dim]none yet[/]")
    elif isinstance(value, Mapping):
        _print_fields(value)
    else:
        console.print(value)


def show_pages(path: str, as_json: bool, columns: Sequence[str], **query: object) -> None:
    """Every item of a list of the API's, page by page."""
    with plain_errors():
        found = list(open_api(Settings()).pages(path, **query))
    show(found, as_json, columns)


def show_answer(path: str, as_json: bool) -> None:
    """One thing that the API knows."""
    with plain_errors():
        found = open_api(Settings()).get(path)
    show(found, as_json)


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
    except Exception as error:
        if not isinstance(error, REFUSALS) and not _of_the_database(error):
            raise
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
        case _ if isinstance(error, REFUSALS):
            yield str(error)
        case _:
            yield from _of_the_database(error) or [str(error)]


def _of_the_database(error: Exception) -> list[str]:
    """What it says, if it is one of the database: most commands do not ask it themselves, and never import its
    libraries."""
    if "sqlalchemy" not in sys.modules:
        return []
    from gateway.cli.database_errors import NOT_MIGRATED, OUTAGES

    reason = next(iter(str(error).splitlines()), "")
    if isinstance(error, OUTAGES):
        return [f"the database cannot be reached; start it with `caravan up` ({reason})"]
    elif isinstance(error, NOT_MIGRATED):
        return [f"the database lacks our tables; `caravan migrate` makes them ({reason})"]
    return []


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


def _print_fields(value: Mapping[str, Any]) -> None:
    """One a line, however long: hashes are there to be compared."""
    width = max(map(len, value), default=0)
    for name, field in value.items():
        console.print(f"[bold]{name:<{width}}[/]  {_cell(field)}", soft_wrap=True, highlight=False)


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, dict | list):
        return escape(json.dumps(value, ensure_ascii=False, default=str))
    return escape(str(value))
