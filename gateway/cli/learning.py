"""`caravan preferences`, `annotate`, `dataset`, `train` and `adapters`: from opinions to weights."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import typer
from rich.markup import escape
from rich.progress import Progress

from domain.preference import Verdict
from domain.training_config import TrainingConfig
from gateway.cli.client import Api, ApiError, Json, open_api
from gateway.cli.follow import patiently
from gateway.cli.output import AsJson, console, errors, plain_errors, show
from gateway.cli.runs import progress_bar
from gateway.settings import Settings

app = typer.Typer()
dataset = typer.Typer(no_args_is_help=True, help="Preference datasets, as of any position.")
adapters = typer.Typer(no_args_is_help=True, help="LoRA adapters.")
app.add_typer(dataset, name="dataset")
app.add_typer(adapters, name="adapters")

DATASET = ("dataset_id", "state", "pairs", "annotated", "as_of", "sha256")
ADAPTER = ("name", "state", "in_use", "registered_at", "reason")
DEFAULTS = TrainingConfig()
OVER = frozenset({"completed", "failed", "cancelled"})


@app.command()
def preferences(state: str = "waiting", as_json: AsJson = False) -> None:
    """List preference pairs: waiting, settled, withdrawn or all."""
    with plain_errors():
        found = list(open_api(Settings()).pages("/v1/preferences", state=state))
    if as_json:
        show(found, as_json)
    else:
        for pair in found:
            _show_pair(pair)


@app.command()
def annotate(
    preference: UUID,
    verdict: Verdict,
    note: str = "",
    chosen: Annotated[str | None, typer.Option(help="The better answer, for an edit.")] = None,
    rejected: Annotated[str | None, typer.Option(help="The worse answer, for an edit.")] = None,
    as_json: AsJson = False,
) -> None:
    """Say what you think of a pair. Every opinion is kept; the latest counts."""
    body: dict[str, Any] = {"verdict": verdict.value, "note": note}
    if verdict is Verdict.EDITED:
        if chosen is None:
            raise typer.BadParameter("an edit needs --chosen, and may have --rejected")
        body |= {"chosen": chosen, "rejected": rejected}
    with plain_errors():
        written = open_api(Settings()).post(f"/v1/preferences/{preference}/annotations", body)
    show(written, as_json)


@dataset.command("build")
def build(
    position: Annotated[int | None, typer.Option(help="As of this position; now by default.")] = None,
    min_weight: float = 0.0,
    annotated_only: bool = False,
    output: Annotated[Path | None, typer.Option(dir_okay=False, help="Also save the JSON Lines here.")] = None,
    as_json: AsJson = False,
) -> None:
    """Build a dataset from the preferences, in TRL's columns."""
    with plain_errors():
        api = open_api(Settings())
        built = build_dataset(api, position=position, min_weight=min_weight, annotated_only=annotated_only)
        if output:
            output.write_bytes(api.send("GET", f"/v1/datasets/{built['dataset_id']}/download").content)
    show(built, as_json)
    if not built["pairs"]:
        errors.print("[yellow]it holds no pair: loosen the filter, or make some with `caravan run`[/]")


@dataset.command("list")
def datasets(as_json: AsJson = False) -> None:
    """List the datasets."""
    with plain_errors():
        found = list(open_api(Settings()).pages("/v1/datasets"))
    show(found, as_json, DATASET)


@app.command()
def train(
    alias: Annotated[str, typer.Argument(help="The family that the adapter belongs to, e.g. team.")],
    dataset_id: Annotated[UUID | None, typer.Option("--dataset", help="A dataset; a new one by default.")] = None,
    steps: int = DEFAULTS.steps,
    learning_rate: float = DEFAULTS.learning_rate,
    seed: int = 0,
    wait: bool = True,
    as_json: AsJson = False,
) -> None:
    """Train a LoRA adapter with DPO."""
    config = {"steps": steps, "learning_rate": learning_rate, "seed": seed}
    with plain_errors():
        api = open_api(Settings())
        data = str(dataset_id) if dataset_id else _all_pairs(api)
        run = start_training(api, data, alias, config)
        if wait:
            with progress_bar() as bar:
                run = wait_for_training(api, run["run_id"], bar)
    show(run, as_json)
    if run["state"] in ("failed", "cancelled"):
        raise typer.Exit(1)


@adapters.command("list")
def list_adapters(as_json: AsJson = False) -> None:
    """List the adapters."""
    with plain_errors():
        found = list(open_api(Settings()).pages("/v1/adapters"))
    show(found, as_json, ADAPTER)


@adapters.command("promote")
def promote(name: str, reason: str = "", as_json: AsJson = False) -> None:
    """Put an adapter to use: from the next run on, its alias means it."""
    with plain_errors():
        written = open_api(Settings()).post(f"/v1/adapters/{name}/promote", {"reason": reason})
    show(written if as_json else f"{name} is in use from the next run on", as_json)


@adapters.command("retire")
def retire(name: str, reason: str = "", as_json: AsJson = False) -> None:
    """Take an adapter out of use for good."""
    with plain_errors():
        written = open_api(Settings()).post(f"/v1/adapters/{name}/retire", {"reason": reason})
    show(written if as_json else f"{name} is retired", as_json)


def _all_pairs(api: Api) -> str:
    """A new dataset's id. Raises ApiError, before anything is made, where there is no pair to learn from."""
    if not api.get("/v1/preferences", limit=1)["items"]:
        raise ApiError("there is no preference pair to learn from; make some with `caravan run`")
    return str(build_dataset(api)["dataset_id"])


def _show_pair(pair: Json) -> None:
    verdict = pair["verdict"] or f"waiting, P = {pair['probability']:.2f}"
    console.print(f"[bold]{pair['preference_id']}[/] [dim]{verdict}[/]", highlight=False)
    for name, messages in (("prompt", pair["prompt"]), ("chosen", pair["chosen"]), ("rejected", pair["rejected"])):
        text = "\n".join(message["content"] for message in messages)
        console.print(f"[dim]{name:>8}[/] {escape(text)}", highlight=False)
    console.print()


def build_dataset(api: Api, position: int | None = None, min_weight: float = 0.0, annotated_only: bool = False) -> Json:
    """Asks for a dataset and waits until it is built."""
    filter = {"min_weight": min_weight, "annotated_only": annotated_only}
    written = api.post("/v1/datasets", {"position": position, "filter": filter})

    def built() -> Json | None:
        found = api.get(f"/v1/datasets/{written['id']}", after=written["position"])
        return found if found["sha256"] else None

    return patiently(built, seconds=300, what="the dataset")


def start_training(api: Api, dataset_id: str, alias: str, config: Json) -> Json:
    """Asks for a training run and returns it."""
    written = api.post("/v1/training-runs", {"dataset_id": dataset_id, "alias": alias, "config": config})
    return api.get(f"/v1/training-runs/{written['id']}", after=written["position"])


def wait_for_training(api: Api, id: str, bar: Progress) -> Json:
    """Shows loss and margin as they come, and returns the run when it is over. Raises ApiError when it is lost."""
    row = bar.add_task("training", total=None)

    def over() -> Json | None:
        run = api.get(f"/v1/training-runs/{id}")
        if run["step"]:
            told = f"training · loss {run['loss']:.3f} · margin {run['margin']:.2f}"
            bar.update(row, total=run["total_steps"], completed=run["step"], description=told)
        return run if run["state"] in OVER else None

    return patiently(over)


def first_failure(run: Json) -> None:
    """Raises ApiError where a training did not end well."""
    if run["state"] != "completed":
        raise ApiError(f"the training {run['state']}: {run['reason']}")
