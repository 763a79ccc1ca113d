"""`caravan import` and `caravan imports`: preferences that were judged elsewhere, in from files and out again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import file_digest
from pathlib import Path
from typing import Annotated
from uuid import UUID

import typer
from rich.markup import escape
from rich.progress import Progress, TaskID

from commands.job_kinds import IMPORT
from domain.importing import AUTO
from gateway.cli.client import Api, ApiError, Json, open_api
from gateway.cli.follow import patiently
from gateway.cli.jobs import OVER
from gateway.cli.output import AsJson, errors, plain_errors, show
from gateway.cli.progress import progress_bar
from gateway.settings import Settings

app = typer.Typer()
imports = typer.Typer(no_args_is_help=True, help="Files of preferences that were imported.")
app.add_typer(imports, name="imports")

COLUMNS = ("job_id", "state", "name", "form", "rows", "added", "known", "ties", "set_aside", "requested_at")
COUNTS = ("rows", "added", "known", "ties", "set_aside")
PIECE = 256 * 1024
TOLD = 5
"""Of the rows that were set aside, so many are shown."""


@app.command("import")
def import_file(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help=".jsonl, .jsonl.gz or .parquet")],
    format: Annotated[str, typer.Option(help="caravan, alpaca-eval, ultrafeedback, hh, trl, or auto.")] = AUTO,
    name: Annotated[str | None, typer.Option(help="What to call it; its file name by default.")] = None,
    as_json: AsJson = False,
) -> None:
    """Import preferences from a file, and wait for the end. The same file again adds nothing.

    Exit code 1 where not one row could be read.
    """
    with plain_errors():
        api = open_api(Settings())
        with progress_bar() as bar:
            sha256 = _send(api, file, bar)
            body = {"sha256": sha256, "format": format, "name": file.name if name is None else name}
            job = _followed(api, api.post("/v1/imports", body), bar, "importing")
        _must_have_succeeded(job, f"{file.name} is not imported")
    show(job, as_json) if as_json else _tell(job)
    if 0 < job["result"]["rows"] == job["result"]["set_aside"]:
        raise typer.Exit(1)


@imports.command("list")
def list_imports(as_json: AsJson = False) -> None:
    """List the imports, the newest first, and what became of their rows."""
    with plain_errors():
        found = list(open_api(Settings()).pages("/v1/jobs", kind=IMPORT))
    show(found if as_json else [job | job["payload"] | (job["result"] or {}) for job in found], as_json, COLUMNS)


@imports.command("set-aside")
def print_set_aside(import_id: UUID) -> None:
    """Print the rows that made no pair, as JSON Lines: line, reason, text."""
    with plain_errors():
        content = open_api(Settings()).send("GET", f"/v1/imports/{import_id}/set-aside").content
    typer.echo(content, nl=False)


@imports.command("withdraw")
def withdraw_import(
    import_id: UUID,
    because: Annotated[str, typer.Option(help="Why; it stays in the history of each pair.")],
    as_json: AsJson = False,
) -> None:
    """Withdraw every pair that an import added. Nothing is erased."""
    with plain_errors():
        api = open_api(Settings())
        written = api.post(f"/v1/imports/{import_id}/withdraw", {"reason": because})
        with progress_bar() as bar:
            job = _followed(api, written, bar, "withdrawing")
        _must_have_succeeded(job, "the import is not withdrawn")
    show(job if as_json else f"{job['result']['withdrawn']:,} pairs are withdrawn", as_json)


@dataclass(frozen=True, slots=True)
class _Pieces:
    """A file's bytes, as often as they are asked for: a request may have to be repeated."""

    file: Path
    bar: Progress
    row: TaskID

    def __iter__(self) -> Iterator[bytes]:
        self.bar.reset(self.row)
        with self.file.open("rb") as opened:
            while piece := opened.read(PIECE):
                yield piece
                self.bar.advance(self.row, len(piece))


def _send(api: Api, file: Path, bar: Progress) -> str:
    """Returns its SHA-256, by which it is imported."""
    size = file.stat().st_size
    with file.open("rb") as opened:
        sha256 = file_digest(opened, "sha256").hexdigest()
    pieces = _Pieces(file, bar, bar.add_task("sending", total=size))
    headers = {"Content-Length": str(size), "Content-Type": "application/octet-stream"}
    api.send("PUT", f"/v1/imports/files/{sha256}", content=pieces, headers=headers)
    return sha256


def _followed(api: Api, written: Json, bar: Progress, verb: str) -> Json:
    """The job that was asked for, once it is over."""
    row = bar.add_task(verb, total=100)

    def over() -> Json | None:
        job = api.get(f"/v1/jobs/{written['id']}", after=written["position"])
        percent, sign, _ = (job["progress"] or "").partition("%")
        bar.update(row, description=escape(job["progress"] or verb), completed=int(percent) if sign else 0)
        return job if job["state"] in OVER else None

    job = patiently(over)
    bar.update(row, description=verb, completed=100 if job["state"] == "succeeded" else 0)
    return job


def _must_have_succeeded(job: Json, otherwise: str) -> None:
    if job["state"] != "succeeded":
        why = job["reason"] or job["error"] or "nobody said why"
        raise ApiError(f"{otherwise}: {why} (job {job['job_id']} is {job['state']})")


def _tell(job: Json) -> None:
    result = job["result"]
    show({"import": job["job_id"], "format": result["form"], **{name: result[name] for name in COUNTS}}, as_json=False)
    for fault in result["faults"][:TOLD]:
        errors.print(f"[yellow]line {fault['line']}[/] {escape(fault['reason'])}", highlight=False)
    if result["set_aside"]:
        errors.print(f"all that was set aside: caravan imports set-aside {job['job_id']}", highlight=False)
