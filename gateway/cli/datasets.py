"""`caravan dataset`: the pairs as they stood at any moment, in files to train on and to test with."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Literal
from uuid import UUID
from zipfile import ZipFile

import typer

from domain.dataset_recipe import TRAIN, Contradictions, Duplicates
from domain.preference import Verdict
from gateway.cli.client import Api, ApiError, Json, open_api
from gateway.cli.follow import patiently
from gateway.cli.output import AsJson, console, errors, plain_errors, show, show_answer, show_pages
from gateway.settings import Settings

app = typer.Typer()
dataset = typer.Typer(no_args_is_help=True, help="Preference datasets, as of any position.")
app.add_typer(dataset, name="dataset")

DATASET = ("dataset_id", "state", "pairs", "annotated", "as_of", "sha256")
CHANGE = ("preference_id", "change", "was_part", "part", "flipped", "columns")
SECONDS = 600


@dataset.command("build")
def build(
    as_of: Annotated[
        str | None,
        typer.Option("--as-of", "--position", help="A position, or a time such as 2026-11-27T12:00:00Z; now."),
    ] = None,
    min_weight: float = 0.0,
    annotated_only: bool = False,
    run: Annotated[list[UUID] | None, typer.Option(help="Only pairs of this run; repeatable.")] = None,
    method: Annotated[list[str] | None, typer.Option(help="Only of this ranking; repeatable.")] = None,
    chosen_agent: Annotated[list[str] | None, typer.Option(help="Who wrote the better answer; repeatable.")] = None,
    rejected_agent: Annotated[list[str] | None, typer.Option(help="Who wrote the worse answer; repeatable.")] = None,
    annotator: Annotated[list[str] | None, typer.Option(help="Who settled it; repeatable.")] = None,
    verdict: Annotated[list[Verdict] | None, typer.Option(help="How it was settled; repeatable.")] = None,
    since: Annotated[str | None, typer.Option(help="Proposed from this time on.")] = None,
    until: Annotated[str | None, typer.Option(help="Proposed before this time.")] = None,
    split: Annotated[
        list[str] | None, typer.Option(help="A part that is not trained on, e.g. test=10, in percent; repeatable.")
    ] = None,
    salt: Annotated[str, typer.Option(help="Another one draws the parts anew.")] = "",
    duplicates: Duplicates = Duplicates.HEAVIEST,
    contradictions: Contradictions = Contradictions.SETTLED,
    holdout: Annotated[
        list[Path] | None,
        typer.Option(exists=True, dir_okay=False, help="Tasks of an evaluation, as JSON Lines; repeatable."),
    ] = None,
    keep_overlaps: Annotated[bool, typer.Option(help="Only count what overlaps with a holdout.")] = False,
    output: Annotated[Path | None, typer.Option(dir_okay=False, help="Also save the JSON Lines here.")] = None,
    as_json: AsJson = False,
) -> None:
    """Build a dataset from the preferences, in TRL's columns."""
    filter = {
        "min_weight": min_weight,
        "annotated_only": annotated_only,
        "runs": [str(id) for id in run or ()],
        "methods": method or [],
        "chosen_agents": chosen_agent or [],
        "rejected_agents": rejected_agent or [],
        "annotators": annotator or [],
        "verdicts": [each.value for each in verdict or ()],
        "since": since,
        "until": until,
    }
    with plain_errors():
        wanted = {
            **_position_or_moment(as_of),
            "filter": filter,
            "duplicates": duplicates.value,
            "contradictions": contradictions.value,
            "parts": [_part(text) for text in split or ()],
            "salt": salt,
            "holdouts": [
                {"name": file.stem, "tasks": read_holdout(file), "drop": not keep_overlaps} for file in holdout or ()
            ],
        }
        api = open_api(Settings())
        built = build_dataset(api, wanted)
        if output:
            save(api, built, output)
    show(built, as_json)
    if not built["pairs"]:
        errors.print("[yellow]it holds no pair: loosen the filter, or make some with `caravan run`[/]")


@dataset.command("export")
def export(
    dataset_id: UUID,
    output: Annotated[Path, typer.Argument(help="A file to be written; for `folder` a new folder.")],
    format: Literal["jsonl", "parquet", "folder"] = "folder",
    columns: Annotated[Literal["all", "trl"], typer.Option(help="trl: prompt, chosen and rejected alone.")] = "all",
) -> None:
    """Write a dataset for other tools: a folder that `datasets.load_dataset` opens, or one file."""
    with plain_errors():
        if output.exists():
            raise ApiError(f"{output} is there already: name what is to be made")
        fetch = partial(
            open_api(Settings()).download, f"/v1/datasets/{dataset_id}/export", format=format, columns=columns
        )
        if format == "folder":
            _unpack(fetch, output)
        else:
            fetch(output)
    console.print(f"{output} holds the dataset", highlight=False)


@dataset.command("list")
def datasets(as_json: AsJson = False) -> None:
    """List the datasets."""
    show_pages("/v1/datasets", as_json, DATASET)


@dataset.command("show")
def show_dataset(id: UUID, as_json: AsJson = False) -> None:
    """Show what a dataset was made from, and what is in it."""
    show_answer(f"/v1/datasets/{id}", as_json)


@dataset.command("manifest")
def print_manifest(id: UUID) -> None:
    """Print a dataset's manifest, as it lies beside its files."""
    with plain_errors():
        text = open_api(Settings()).send("GET", f"/v1/datasets/{id}/manifest").text
    typer.echo(text, nl=False)


@dataset.command("diff")
def diff(was: UUID, now: UUID, as_json: AsJson = False) -> None:
    """Show what became of each pair from one dataset to another."""
    with plain_errors():
        pages = list(open_api(Settings()).whole_pages(f"/v1/datasets/{now}/diff", against=was, limit=200))
    counts, items = pages[0]["counts"], [item for page in pages for item in page["items"]]
    if as_json:
        show({"counts": counts, "items": items}, as_json)
    else:
        if items:
            show(items, as_json, CHANGE)
        else:
            console.print("[dim]every pair is the same in both[/]")
        console.print(", ".join(f"{count} {what}" for what, count in counts.items()))


def build_dataset(api: Api, wanted: Json | None = None) -> Json:
    """Asks for a dataset, by default of all pairs as they are now, and waits until it is built."""
    written = api.post("/v1/datasets", wanted or {})

    def built() -> Json | None:
        found = api.get(f"/v1/datasets/{written['id']}", after=written["position"])
        return found if found["sha256"] else None

    return patiently(built, seconds=SECONDS, what="the dataset")


def save(api: Api, built: Json, output: Path) -> None:
    """The file to train on under that name; each other part beside it: `pairs.test.jsonl` for `pairs.jsonl`."""
    for part in (TRAIN, *(part["name"] for part in built["recipe"]["parts"])):
        file = output if part == TRAIN else output.with_name(f"{output.stem}.{part}{output.suffix}")
        api.download(f"/v1/datasets/{built['dataset_id']}/download", file, part=part)


def _unpack(fetch: Callable[[Path], None], folder: Path) -> None:
    """All that a zip file holds, in a new folder, or nothing."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as beside:
        zipped, unpacked = Path(beside, "zipped"), Path(beside, "unpacked")
        fetch(zipped)
        with ZipFile(zipped) as opened:
            opened.extractall(unpacked)
        unpacked.rename(folder)


def read_holdout(file: Path) -> list[str]:
    """The tasks of a JSON Lines file: each line a text, or an object with `turns` or `prompt`. Raises ApiError."""
    return [
        task for n, line in enumerate(file.read_text("utf-8").split("\n"), 1) if line for task in _tasks(line, file, n)
    ]


def _tasks(line: str, file: Path, n: int) -> list[str]:
    try:
        found = json.loads(line)
    except json.JSONDecodeError as error:
        raise ApiError(f"{file}, line {n}: {error}") from error
    match found:
        case str() as text:
            return [text]
        case {"turns": [*turns]} if all(isinstance(turn, str) for turn in turns):
            return turns
        case {"prompt": str() as text}:
            return [text]
    raise ApiError(f'{file}, line {n}: a task is a text, or an object with "turns": [...] or "prompt": "..."')


def _position_or_moment(as_of: str | None) -> Json:
    if as_of is None or as_of.isdecimal():
        return {"position": as_of and int(as_of)}
    try:
        datetime.fromisoformat(as_of)
    except ValueError as error:
        raise typer.BadParameter("--as-of is a position, e.g. 1200, or a time, e.g. 2026-11-27T12:00:00Z") from error
    return {"as_of": as_of}


def _part(text: str) -> Json:
    name, _, percent = text.partition("=")
    try:
        return {"name": name, "percent": float(percent)}
    except ValueError as error:
        raise typer.BadParameter(f"--split {text}: write a name and percent, e.g. test=10") from error
