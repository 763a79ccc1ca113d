"""`caravan demo`: the whole loop once, from tasks to an adapter in use, told as a story that a person can check."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any
from uuid import uuid4

import typer
from rich.markup import escape
from rich.panel import Panel
from rich.table import Table

from domain.access import Role
from domain.events import ActorKind
from gateway.cli.client import Api, ApiError, Json
from gateway.cli.datasets import build_dataset
from gateway.cli.follow import patiently
from gateway.cli.output import REFUSED, AsJson, complain, console, plain_errors, show, told_aside
from gateway.cli.progress import progress_bar
from gateway.cli.runs import read_tasks, start_batch, wait_for_batch
from gateway.cli.tokens import opened
from gateway.cli.training import must_have_completed, start_training, wait_for_training
from gateway.cli.up import Teller, supervise, welcome
from gateway.settings import CONFIGS, Settings

app = typer.Typer()

ALIAS = "team"
PAIRS_NEEDED = 16
ANSWER_TOKENS = 60
QUESTION = "What makes a good teammate? Answer in two sentences."


@dataclass(frozen=True)
class Story:
    """What the demo did, to be checked with the API, psql or one's own eyes."""

    runs: list[str]
    steps: int
    ballots: int
    pairs: int
    dataset_id: str
    dataset_sha256: str
    dataset_position: int
    loss_before: float
    loss_after: float
    adapter: str
    answered_by: str
    answer: str
    seconds: float


@app.command()
def demo(
    tasks: Annotated[Path, typer.Option(help="The tasks, as JSON Lines.")] = CONFIGS / "demo_tasks.jsonl",
    as_json: AsJson = False,
) -> None:
    """Run the whole loop once on the embedded model, then leave the console open."""
    began = time.monotonic()
    with plain_errors(), told_aside(as_json):
        settings = Settings()
        wanted = read_tasks(tasks)
        console.rule("[bold]1 of 6 · start every process")
        with supervise(settings, Teller()).in_background(), _left_open(settings):
            with _own_token() as token:
                story = _tell(Api(settings.api_url, token), wanted, began)
            show(asdict(story), as_json) if as_json else _summarise(story)


@contextmanager
def _left_open(settings: Settings) -> Iterator[None]:
    """On a terminal everything stays open until Ctrl-C, after a story that failed too: the console shows why it did."""
    on_terminal = sys.stdin.isatty()
    failure: ApiError | None = None
    try:
        yield
    except ApiError as error:
        if not on_terminal:
            raise
        failure = error
        complain(str(failure))
    if on_terminal:
        welcome(settings)
        _until_interrupted()
    if failure:
        raise typer.Exit(REFUSED) from failure


@contextmanager
def _own_token() -> Iterator[str]:
    """The demo acts as what it is, an automation, and leaves no key behind."""
    name = f"demo-{uuid4().hex[:8]}"
    with opened() as tokens:
        token = tokens.create(name, Role.OPERATOR, ActorKind.AUTOMATION, by="caravan demo")
        try:
            yield token
        finally:
            tokens.revoke(name)


def _tell(api: Api, tasks: list[dict[str, Any]], began: float) -> Story:
    console.rule(f"[bold]2 of 6 · four agents answer {len(tasks)} tasks and rank each other's answers")
    batch, position = start_batch(
        api, tasks, kind="mutual_ranking", agents=[], max_tokens=ANSWER_TOKENS, batch=f"demo-{uuid4().hex[:8]}"
    )
    with progress_bar() as bar:
        runs = wait_for_batch(api, batch, len(tasks), bar, after=position)
    _must_have_completed(runs)

    console.rule("[bold]3 of 6 · ballots become preference pairs, and one of them is settled")
    pairs = _pairs(api, {run["run_id"] for run in runs})
    position = _settle_the_surest(api, pairs)

    console.rule("[bold]4 of 6 · the pairs as of now become a dataset")
    dataset = build_dataset(api, {"position": position})
    console.print(f"{dataset['pairs']} pairs as of position {dataset['as_of']}, sha256 {dataset['sha256']}")

    console.rule("[bold]5 of 6 · DPO trains a LoRA adapter on them")
    training = start_training(api, dataset["dataset_id"], ALIAS, {})
    with progress_bar() as bar:
        training = wait_for_training(api, training["run_id"], bar)
    must_have_completed(training)

    adapter = training["adapter_name"]
    console.rule(f"[bold]6 of 6 · {adapter} is promoted, and the next run uses it")
    api.post(f"/v1/adapters/{adapter}/promote", {"reason": "the demo's own adapter"})
    answer = _first_answer(api, adapter)
    return Story(
        runs=[run["run_id"] for run in runs],
        steps=sum(run["steps"] for run in runs),
        ballots=sum(run["ballots"] for run in runs),
        pairs=len(pairs),
        dataset_id=dataset["dataset_id"],
        dataset_sha256=dataset["sha256"],
        dataset_position=dataset["as_of"],
        loss_before=training["loss_before"],
        loss_after=training["loss_after"],
        adapter=adapter,
        answered_by=f"{answer['agent']} on {answer['adapter']}",
        answer=answer["output"],
        seconds=round(time.monotonic() - began, 1),
    )


def _must_have_completed(runs: list[dict[str, Any]]) -> None:
    if failed := [run for run in runs if run["state"] != "completed"]:
        reasons = {run["reason"] for run in failed}
        raise ApiError(f"{len(failed)} of {len(runs)} runs did not complete: {'; '.join(map(str, reasons))}")


def _pairs(api: Api, runs: set[str]) -> list[Json]:
    """The pairs of these runs, once the policy has proposed them; surest first. Fails with fewer than 16."""

    def proposed() -> list[Json] | None:
        found = [p for p in api.pages("/v1/preferences", state="waiting", limit=200) if p["run_id"] in runs]
        done = {pair["run_id"] for pair in found} >= runs
        return found if done else None

    try:
        pairs = patiently(proposed, seconds=20)
    except ApiError:  # a run whose answers all tie makes no pair
        pairs = [p for p in api.pages("/v1/preferences", state="waiting", limit=200) if p["run_id"] in runs]
    if len(pairs) < PAIRS_NEEDED:
        raise ApiError(
            f"the ballots of {len(runs)} runs made {len(pairs)} pairs, and a training needs {PAIRS_NEEDED}: "
            "the judges found most answers equally good; give more tasks with --tasks"
        )
    console.print(f"{len(pairs)} pairs that the judges tell apart")
    return sorted(pairs, key=lambda pair: -pair["probability"])


def _settle_the_surest(api: Api, pairs: list[Json]) -> int:
    """Accepts the surest pair, in the name of the demo's automation. Returns the position."""
    surest = pairs[0]
    note = "accepted by the demo, an automation, not a person"
    written = api.post(f"/v1/preferences/{surest['preference_id']}/annotations", {"verdict": "accepted", "note": note})
    console.print(f"accepted {surest['preference_id']} (P = {surest['probability']:.2f}), signed as automation")
    return int(written["position"])


def _first_answer(api: Api, adapter: str) -> Json:
    """The first answer that an agent gives on the adapter."""
    task = {"turns": [QUESTION]}
    batch, position = start_batch(api, [task], kind="mutual_ranking", agents=[], max_tokens=ANSWER_TOKENS)
    with progress_bar() as bar:
        _must_have_completed(wait_for_batch(api, batch, 1, bar, after=position))
    (run,) = api.pages("/v1/workflows", batch=batch)
    steps = api.pages(f"/v1/workflows/{run['run_id']}/steps")
    answers = [step for step in steps if step["phase"] == "answer" and step["adapter"] == adapter]
    if not answers:
        raise ApiError(f"no agent of run {run['run_id']} ran on {adapter}; does agents.yaml name the adapter {ALIAS}?")
    return answers[0]


def _summarise(story: Story) -> None:
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    lines = {
        "runs": f"{len(story.runs)}, e.g. {story.runs[0]}",
        "recorded": f"{story.steps} steps, {story.ballots} ballots, {story.pairs} pairs",
        "dataset": f"{story.dataset_id} as of position {story.dataset_position}",
        "its sha256": story.dataset_sha256,
        "loss": f"{story.loss_before:.3f} before, {story.loss_after:.3f} after",
        "adapter": story.adapter,
        "first answer": f"{story.answered_by}: {escape(story.answer)}",
        "took": f"{story.seconds:.0f} s",
    }
    for name, value in lines.items():
        table.add_row(f"[bold]{name}[/]", value)
    console.print(Panel(table, title="the whole loop, once", expand=False))


def _until_interrupted() -> None:
    with suppress(KeyboardInterrupt):
        while True:
            time.sleep(1)
