"""/v1/workflows: start runs, follow them, stop them."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import quote
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import AwareDatetime, BaseModel, Field, StringConstraints

from commands.workflows import RequestWorkflow, StopWorkflow
from domain.access import Role
from domain.ports import Written
from domain.workflow import State, Task
from gateway.auth import needs
from gateway.errors import responses
from gateway.requests import NO_REASON, Commands, Cursor, ExpectedVersion, Limit, Reason, Tag, View, found, viewing
from gateway.shapes import BallotEntry, LogEntry, Run, page_of
from gateway.strict import Body, StrictRoute
from projections import ballots, interaction_log, workflow_runs

router = APIRouter(prefix="/v1/workflows", tags=["workflows"], route_class=StrictRoute, dependencies=needs(Role.VIEWER))
Runs = Annotated[View, viewing(workflow_runs.PROJECTOR)]
Steps = Annotated[View, viewing(workflow_runs.PROJECTOR, interaction_log.PROJECTOR)]
Ballots = Annotated[View, viewing(workflow_runs.PROJECTOR, ballots.PROJECTOR)]

Turn = Annotated[str, StringConstraints(pattern=r"\S")]
EXAMPLE = {"turns": ["Why is the sky blue?", "Now explain it to a child."], "ref": "sky-1", "category": "science"}
MaxTokens = Annotated[int | None, Field(ge=1, le=131_072, description="Caps each answer; null: as agents.yaml says")]


class TaskIn(Body):
    """What the agents are asked. `ref` is your own name for it."""

    turns: tuple[Turn, ...] = Field(min_length=1, description="What the user says, in order")
    ref: str = Field(default="", max_length=200)
    category: str = Field(default="", max_length=200)

    def task(self) -> Task:
        return Task(self.turns, self.ref, self.category)


class _Request(Body):
    kind: str = "mutual_ranking"
    agents: tuple[str, ...] = Field(default=(), description="Who takes part; empty: everybody on the roster")
    max_tokens: MaxTokens = None


class WorkflowRequest(_Request):
    """One task for the agents."""

    task: TaskIn = Field(examples=[EXAMPLE])
    batch: str = Field(default="", max_length=200, description="Groups runs that belong together")


class BatchRequest(_Request):
    """Several tasks, each for a run of its own."""

    tasks: list[TaskIn] = Field(min_length=1, max_length=500, examples=[[EXAMPLE]])
    batch: str = Field(default="", max_length=200, description="Groups the runs; empty: a new name is made up")


class Batch(BaseModel):
    """The runs that were asked for, in the order of their tasks."""

    batch: str
    runs: list[Written]
    position: int


@router.post("", status_code=202, dependencies=needs(Role.OPERATOR), responses=responses(404))
async def start_workflow(body: WorkflowRequest, command: Commands) -> Written:
    """Asks for a run; a worker takes it up within a moment."""
    request = RequestWorkflow(body.kind, body.task.task(), body.agents, body.batch, body.max_tokens)
    return await command(request, location="/v1/workflows/{id}")


@router.post("/batch", status_code=202, dependencies=needs(Role.OPERATOR), responses=responses(404))
async def start_batch(body: BatchRequest, command: Commands) -> Batch:
    """Asks for one run a task. Send an Idempotency-Key: a repeat then starts only what is missing."""
    batch = body.batch or f"batch-{command.id}"
    written = await command.each(
        [RequestWorkflow(body.kind, each.task(), body.agents, batch, body.max_tokens) for each in body.tasks]
    )
    position = max(one.position for one in written)
    command.tell(position, location=f"/v1/workflows?batch={quote(batch, safe='')}")
    return Batch(batch=batch, runs=written, position=position)


@router.get("", response_model=page_of(Run))
def list_workflows(
    view: Runs,
    state: State | None = None,
    kind: str | None = None,
    batch: str | None = None,
    agent: Annotated[str | None, Query(description="Only runs that this agent takes part in")] = None,
    since: Annotated[AwareDatetime | None, Query(description="Only runs that were asked for then or later")] = None,
    until: Annotated[AwareDatetime | None, Query(description="Excluded itself")] = None,
    cursor: Cursor = None,
    limit: Limit = 50,
) -> dict[str, Any]:
    """Runs, the newest first."""
    wanted = workflow_runs.Filter(state, kind, batch, agent, since, until)
    return view.page(workflow_runs.runs(view.db, wanted, cursor, limit))


@router.get("/{run_id}", response_model=Run, responses=responses(404))
def get_workflow(run_id: UUID, view: Runs, tag: Tag) -> dict[str, Any]:
    """How far a run is."""
    run = found(workflow_runs.find(view.db, run_id), "workflow", run_id)
    tag.name(run)
    return run


@router.post("/{run_id}/stop", dependencies=needs(Role.OPERATOR), responses=responses(404, 409, 412))
async def stop_workflow(run_id: UUID, command: Commands, version: ExpectedVersion, body: Reason = NO_REASON) -> Written:
    """Ends a run; what it has recorded stays."""
    return await command(StopWorkflow(run_id, body.reason, version))


@router.get("/{run_id}/steps", response_model=page_of(LogEntry), responses=responses(404))
def list_steps(run_id: UUID, view: Steps, cursor: Cursor = None, limit: Limit = 50) -> dict[str, Any]:
    """The run's model calls, in the order in which they were recorded."""
    found(workflow_runs.find(view.db, run_id), "workflow", run_id)
    wanted = interaction_log.Filter(run_id=run_id)
    return view.page(interaction_log.calls(view.db, wanted, cursor, limit, newest_first=False))


@router.get("/{run_id}/ballots", response_model=page_of(BallotEntry), responses=responses(404))
def list_ballots(run_id: UUID, view: Ballots) -> dict[str, Any]:
    """All the run's ballots, those that could not be parsed too."""
    found(workflow_runs.find(view.db, run_id), "workflow", run_id)
    return view.all(ballots.of_run(view.db, run_id))
