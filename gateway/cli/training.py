"""`caravan train` and `trainings`: from a dataset to an adapter."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

import typer
from rich.progress import Progress

from domain.training_config import TrainingConfig
from gateway.cli.client import Api, ApiError, Json, open_api
from gateway.cli.follow import patiently
from gateway.cli.learning import build_dataset
from gateway.cli.output import AsJson, plain_errors, show
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
    steps: int = DEFAULTS.steps,
    learning_rate: float = DEFAULTS.learning_rate,
    precision: Annotated[
        str | None, typer.Option(help="bf16 or fp32; by default what the trainer computes best.")
    ] = None,
    seed: int = 0,
    wait: bool = True,
    as_json: AsJson = False,
) -> None:
    """Train a LoRA adapter with DPO."""
    config: Json = {"steps": steps, "learning_rate": learning_rate, "seed": seed}
    if precision:
        config["precision"] = precision
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


@trainings.command("list")
def list_trainings(
    state: Annotated[str | None, typer.Option(help="Only these, e.g. running.")] = None, as_json: AsJson = False
) -> None:
    """List the training runs, newest first."""
    with plain_errors():
        found = list(open_api(Settings()).pages("/v1/training-runs", state=state))
    show(found, as_json, COLUMNS)


@trainings.command("show")
def show_training(run: UUID, as_json: AsJson = False) -> None:
    """Show how far a training is, and what came out of it."""
    with plain_errors():
        found = open_api(Settings()).get(f"/v1/training-runs/{run}")
    show(found, as_json)


@trainings.command("cancel")
def cancel_training(run: UUID, reason: str = "cancelled from the command line", as_json: AsJson = False) -> None:
    """End a training; the trainer stops after its current step."""
    with plain_errors():
        written = open_api(Settings()).post(f"/v1/training-runs/{run}/cancel", {"reason": reason})
    show(written, as_json)


@trainings.command("log")
def print_log(run: UUID) -> None:
    """Print the end of what the libraries said during a training."""
    with plain_errors():
        text = open_api(Settings()).send("GET", f"/v1/training-runs/{run}/log").text
    typer.echo(text, nl=False)


def _all_pairs(api: Api) -> str:
    """A new dataset's id. Raises ApiError, before anything is made, where there is no pair to learn from."""
    if not api.get("/v1/preferences", limit=1)["items"]:
        raise ApiError("there is no preference pair to learn from; make some with `caravan run`")
    return str(build_dataset(api)["dataset_id"])


def start_training(api: Api, dataset_id: str, alias: str, config: Json) -> Json:
    """Asks for a training run and returns it."""
    written = api.post("/v1/training-runs", {"dataset_id": dataset_id, "alias": alias, "config": config})
    return api.get(f"/v1/training-runs/{written['id']}", after=written["position"])


def wait_for_training(api: Api, id: str, bar: Progress) -> Json:
    """Shows loss and margin as they come, and returns the run when it is over, however it ended."""
    row = bar.add_task("training", total=None)

    def over() -> Json | None:
        run = api.get(f"/v1/training-runs/{id}")
        bar.update(
            row, total=run["total_steps"] or None, completed=run["step"], description=f"training · {_doing(run)}"
        )
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
