"""`caravan evaluations`: how adapters do on prompts that nothing in them was trained on."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

import typer
from rich.markup import escape
from rich.progress import Progress

from domain.evaluation import BASE, Plan
from gateway.cli.client import Api, ApiError, Json, open_api
from gateway.cli.follow import patiently
from gateway.cli.output import AsJson, console, plain_errors, show
from gateway.cli.progress import progress_bar
from gateway.passport_card import estimate, left_out
from gateway.settings import Settings

app = typer.Typer()
evaluations = typer.Typer(no_args_is_help=True, help="Evaluations of adapters on held-out prompts.")
app.add_typer(evaluations, name="evaluations")

COLUMNS = ("evaluation_id", "state", "adapter", "against", "gain", "win_rate", "requested_at")
USUAL = Plan()


@evaluations.command("start")
def start_evaluation(
    adapter: str,
    against: Annotated[str, typer.Option(help="base, production (what its alias means now) or an adapter.")] = BASE,
    dataset: Annotated[UUID | None, typer.Option(help="By default the one that it was trained on.")] = None,
    part: Annotated[str | None, typer.Option(help="By default the first that was held back.")] = None,
    pairs: Annotated[
        int, typer.Option(help="At most so many pairs are scored; 0: none, for servers that only answer.")
    ] = USUAL.pairs,
    prompts: Annotated[int, typer.Option(help="At most so many prompts are answered; 0: none.")] = USUAL.prompts,
    max_tokens: Annotated[int, typer.Option(help="Of each answer.")] = USUAL.max_tokens,
    seed: int = USUAL.seed,
    judges: Annotated[
        list[str] | None, typer.Option("--judge", help="An agent; may be given again. By default the first ones.")
    ] = None,
    wait: bool = True,
    as_json: AsJson = False,
) -> None:
    """Evaluate an adapter: held-out accuracy, and the win rate of its answers before blinded judges."""
    body: Json = {
        "adapter": adapter,
        "against": against,
        "dataset_id": str(dataset) if dataset else None,
        "part": part,
        "judges": judges or [],
        "plan": {"pairs": pairs, "prompts": prompts, "max_tokens": max_tokens, "seed": seed},
    }
    with plain_errors():
        api = open_api(Settings())
        written = api.post("/v1/evaluations", body)
        found = api.get(f"/v1/evaluations/{written['id']}", after=written["position"])
        if wait:
            with progress_bar() as bar:
                found = _followed(api, found, written["position"], bar)
            if found["state"] != "completed":
                raise ApiError(f"the evaluation {found['state']}: {found['reason']}")
    _tell(found, as_json)


@evaluations.command("list")
def list_evaluations(
    adapter: Annotated[str | None, typer.Option(help="Only of this one.")] = None, as_json: AsJson = False
) -> None:
    """List the evaluations, the newest first."""
    with plain_errors():
        found = list(open_api(Settings()).pages("/v1/evaluations", adapter=adapter))
    show(found if as_json else [one | _figures(one) for one in found], as_json, COLUMNS)


@evaluations.command("show")
def show_evaluation(evaluation: UUID, as_json: AsJson = False) -> None:
    """Show what came out of an evaluation."""
    with plain_errors():
        found = open_api(Settings()).get(f"/v1/evaluations/{evaluation}")
    _tell(found, as_json)


@evaluations.command("items")
def print_items(evaluation: UUID) -> None:
    """Print all that was scored and judged, as JSON."""
    with plain_errors():
        found = open_api(Settings()).get(f"/v1/evaluations/{evaluation}/items")
    show(found, as_json=True)


@evaluations.command("cancel")
def cancel_evaluation(
    evaluation: UUID, reason: str = "cancelled from the command line", as_json: AsJson = False
) -> None:
    """End an evaluation."""
    with plain_errors():
        written = open_api(Settings()).post(f"/v1/evaluations/{evaluation}/cancel", {"reason": reason})
    show(written, as_json)


def _followed(api: Api, evaluation: Json, requested: int, bar: Progress) -> Json:
    """The evaluation once it is over; until then its job says how far it is. `requested`: the position of both; the job
    may be known later than the evaluation is."""
    row = bar.add_task("evaluating", total=100)

    def over() -> Json | None:
        told = api.get(f"/v1/jobs/{evaluation['job_id']}", after=requested)["progress"] or "waits for a worker"
        percent, sign, _ = told.partition("%")
        bar.update(row, description=escape(f"evaluating · {told}"), completed=int(percent) if sign else 0)
        found = api.get(f"/v1/evaluations/{evaluation['evaluation_id']}")
        return None if found["state"] == "requested" else found

    found = patiently(over)
    bar.update(row, description="evaluating", completed=100 if found["state"] == "completed" else 0)
    return found


def _tell(found: Json, as_json: bool) -> None:
    figures = found["figures"]
    if as_json or not figures:
        show(found, as_json)
        return
    console.print(f"[bold]{found['adapter']}[/] against {found['against']}, on {figures['pairs']} held-out pairs")
    show(
        [
            {
                "model": one["model"],
                "accuracy": estimate(one["by_mean"]),
                "by total": estimate(one["by_total"]),
                "reward": estimate(one["by_reward"]) if one["by_reward"] else "",
            }
            for one in figures["accuracies"]
        ],
        as_json,
        ("model", "accuracy", "by total", "reward"),
    )
    lines = {
        "evaluation": found["evaluation_id"],
        **_figures(found),
        "answers": "{won} won, {tied} tied ({same} the same words), {lost} lost".format(**figures),
        "ballots": f"{figures['ballots']}, of which {figures['unparseable']} could not be read",
        "left out": left_out(figures) or "nothing",
    }
    show(lines, as_json)


def _figures(found: Json) -> Json:
    figures = found["figures"]
    return {name: estimate(figures[name]) if figures else "" for name in ("gain", "win_rate")}
