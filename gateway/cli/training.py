"""`caravan train` and `trainings`: from a dataset to an adapter."""

from __future__ import annotations

import json
from typing import Annotated, Any
from uuid import UUID

import typer
from rich.progress import Progress

from domain.training import Reference
from domain.training_config import TrainingConfig
from domain.training_health import HealthCode
from gateway.cli.client import Api, ApiError, Json, open_api
from gateway.cli.datasets import build_dataset
from gateway.cli.follow import growing_log, patiently
from gateway.cli.output import AsJson, complain, errors, plain_errors, show, show_answer, show_pages
from gateway.cli.progress import progress_bar
from gateway.settings import Settings

app = typer.Typer()
trainings = typer.Typer(no_args_is_help=True, help="Training runs.")
app.add_typer(trainings, name="trainings")

COLUMNS = ("run_id", "state", "alias", "adapter_name", "step", "total_steps", "loss", "margin")
DEFAULTS = TrainingConfig()
OVER = frozenset({"completed", "failed", "cancelled"})


@app.command()
def train(
    alias: Annotated[str, typer.Argument(help="The family that the adapter belongs to, e.g. team.")],
    dataset_id: Annotated[UUID | None, typer.Option("--dataset", help="A dataset; a new one by default.")] = None,
    max_steps: Annotated[int, typer.Option(help="-1: num_train_epochs decides.")] = DEFAULTS.max_steps,
    learning_rate: float = DEFAULTS.learning_rate,
    precision: Annotated[
        str | None, typer.Option(help="bf16 or fp32; by default what the trainer computes best.")
    ] = None,
    seed: int = 0,
    options: Annotated[
        list[str] | None,
        typer.Option("--option", "-o", help="Any other, by TRL's or PEFT's own name, e.g. beta=0.2 or r=16."),
    ] = None,
    early_stop: Annotated[
        list[HealthCode] | None, typer.Option(help="End the training at this warning; may be given again.")
    ] = None,
    start_from: Annotated[
        str | None, typer.Option("--from", help="Go on from this adapter of an earlier round, e.g. team@1.")
    ] = None,
    reference: Annotated[Reference, typer.Option(help="What to stay close to.")] = Reference.BASE,
    wait: bool = True,
    as_json: AsJson = False,
) -> None:
    """Train a LoRA adapter with DPO."""
    config: Json = {"max_steps": max_steps, "learning_rate": learning_rate, "seed": seed}
    config |= {"precision": precision} if precision else {}
    config |= {"early_stop": [code.value for code in early_stop]} if early_stop else {}
    begin = {"start_from": start_from, "reference": reference.value}
    with plain_errors():
        config |= dict(map(_option, options or ()))
        api = open_api(Settings())
        data = str(dataset_id) if dataset_id else _all_pairs(api)
        taken = _say_how_many(api, data, config)
        run = start_training(api, data, alias, config, **begin)
        if wait:
            with progress_bar() as bar:
                run = wait_for_training(api, run["run_id"], bar)
    show(run, as_json)
    if run["pairs"] is not None and run["pairs"] < taken:
        errors.print(f"[yellow]{taken - run['pairs']:,} of them were left out: their prompts alone fill max_length[/]")
    if run["state"] in ("failed", "cancelled"):
        raise typer.Exit(1)


@trainings.command("list")
def list_trainings(
    state: Annotated[str | None, typer.Option(help="Only these, e.g. running.")] = None, as_json: AsJson = False
) -> None:
    """List the training runs, newest first."""
    show_pages("/v1/training-runs", as_json, COLUMNS, state=state)


@trainings.command("show")
def show_training(run: UUID, as_json: AsJson = False) -> None:
    """Show how far a training is, and what came out of it."""
    show_answer(f"/v1/training-runs/{run}", as_json)


@trainings.command("cancel")
def cancel_training(run: UUID, reason: str = "cancelled from the command line", as_json: AsJson = False) -> None:
    """End a training; the trainer stops after its current step."""
    with plain_errors():
        written = open_api(Settings()).post(f"/v1/training-runs/{run}/cancel", {"reason": reason})
    show(written, as_json)


@trainings.command("log")
def print_log(
    run: UUID,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the training is over.")] = False,
) -> None:
    """Print the end of what the libraries said during a training."""
    with plain_errors():
        api = open_api(Settings())
        if follow:
            for text in growing_log(api, f"/v1/training-runs/{run}/log/stream", complain, over=_end_line):
                typer.echo(text, nl=False)
        else:
            typer.echo(api.send("GET", f"/v1/training-runs/{run}/log").text, nl=False)


def _end_line(state: str) -> None:
    errors.print(f"\n[dim]the training is {state}[/]")  # its last line may be a progress bar, which has no end


@trainings.command("health")
def show_health(run: UUID, as_json: AsJson = False) -> None:
    """Show what a training's numbers warn of, and what to do about it."""
    show_pages(f"/v1/training-runs/{run}/health", as_json, ("code", "says", "advice"))


def _say_how_many(api: Api, dataset_id: str, config: Json) -> int:
    """The pairs that the training takes; told where the dataset has more."""
    pairs: int = api.get(f"/v1/datasets/{dataset_id}")["pairs"] or 0
    most = config.get("max_pairs", DEFAULTS.max_pairs)
    if not isinstance(most, int):
        return pairs  # the gateway refuses it in its own words
    if pairs > most:
        errors.print(
            f"[yellow]trains on {most:,} of its {pairs:,} pairs, those that weigh most, and of equal ones by lot: "
            "-o max_pairs=N for more[/]"
        )
    return min(pairs, most)


def _option(text: str) -> tuple[str, Any]:
    """`beta=0.2` as name and value: JSON where it is any, and words otherwise. Raises ApiError."""
    name, equals, value = text.partition("=")
    if not equals:
        raise ApiError(f"{text!r} is no option: write NAME=VALUE, e.g. beta=0.2")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


def _all_pairs(api: Api) -> str:
    """A new dataset's id. Raises ApiError, before anything is made, where there is no pair to learn from."""
    if not api.get("/v1/preferences", limit=1)["items"]:
        raise ApiError("there is no preference pair to learn from; make some with `caravan run`")
    return str(build_dataset(api)["dataset_id"])


def start_training(api: Api, dataset_id: str, alias: str, config: Json, **begin: Any) -> Json:
    """Asks for a training run and returns it. `begin`: `start_from` and `reference`."""
    written = api.post("/v1/training-runs", {"dataset_id": dataset_id, "alias": alias, "config": config, **begin})
    return api.get(f"/v1/training-runs/{written['id']}", after=written["position"])


def wait_for_training(api: Api, id: str, bar: Progress) -> Json:
    """Shows loss, margin and each new warning as they come, and returns the run when it is over, however it ended."""
    row = bar.add_task("training", total=None)
    warned: set[str] = set()

    def over() -> Json | None:
        run = api.get(f"/v1/training-runs/{id}")
        bar.update(
            row, total=run["total_steps"] or None, completed=run["step"], description=f"training · {_doing(run)}"
        )
        if run["step"]:
            for warning in api.get(f"/v1/training-runs/{id}/health")["items"]:
                if warning["code"] not in warned:
                    warned.add(warning["code"])
                    bar.console.print(f"{warning['code']}: {warning['says']}. {warning['advice']}", markup=False)
        return run if run["state"] in OVER else None

    return patiently(over)


def _doing(run: Json) -> str:
    match run:
        case {"step": 0, "state": "requested"}:
            return "waits for its turn"
        case {"step": 0, "state": "running"}:
            return "asks the base model about the pairs"
        case {"step": 0}:
            return str(run["state"])
        case _:
            return f"loss {run['loss']:.3f} · margin {run['margin']:.2f}"


def must_have_completed(run: Json) -> None:
    """Raises ApiError where a training did not end well."""
    if run["state"] != "completed":
        raise ApiError(f"the training {run['state']}: {run['reason']}")
