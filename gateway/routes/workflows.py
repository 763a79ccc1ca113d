"""/v1/workflows: start runs, follow them, pause, resume, retry, stop and fork them."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from anyio import to_thread
from fastapi import APIRouter, Query
from pydantic import AwareDatetime, BaseModel, Field, StringConstraints

from commands.batches import RequestBatch
from commands.forks import Change, ForkWorkflow
from commands.workflows import PauseWorkflow, RequestWorkflow, ResumeWorkflow, RetryWorkflow, StopWorkflow
from domain.access import Role
from domain.batch import MOST_TASKS, Batch
from domain.errors import Invalid
from domain.limits import Limits
from domain.ports.events import Written
from domain.steps import Task
from domain.workflow import State
from gateway.auth import needs
from gateway.errors import responses
from gateway.requests import (
    NO_REASON,
    Commands,
    CoreOf,
    Cursor,
    ExpectedVersion,
    Limit,
    Reason,
    Tag,
    View,
    found,
    viewing,
)
from gateway.routes.single_agents import AgentModel
from gateway.run_shapes import BallotEntry, LogEntry, Run, RunDiff
from gateway.shapes import page_of
from gateway.strict import Body, StrictRoute
from projections import ballots, batch_runs, interaction_log, run_diff, workflow_runs

router = APIRouter(prefix="/v1/workflows", tags=["workflows"], route_class=StrictRoute, dependencies=needs(Role.VIEWER))
Runs = Annotated[View, viewing(workflow_runs.PROJECTOR)]
RunsOfBatches = Annotated[View, viewing(workflow_runs.PROJECTOR, batch_runs.PROJECTOR)]
Steps = Annotated[View, viewing(workflow_runs.PROJECTOR, interaction_log.PROJECTOR)]
Ballots = Annotated[View, viewing(workflow_runs.PROJECTOR, ballots.PROJECTOR)]

Turn = Annotated[str, StringConstraints(pattern=r"\S")]
EXAMPLE = {"turns": ["Why is the sky blue?", "Now explain it to a child."], "ref": "sky-1", "category": "science"}
MOST = 10**9
MaxTokens = Annotated[int | None, Field(ge=1, le=131_072, description="Caps each answer; null: as agents.yaml says")]


class TaskIn(Body):
    """What the agents are asked. `ref` is your own name for it."""

    turns: tuple[Turn, ...] = Field(min_length=1, description="What the user says, in order")
    ref: str = Field(default="", max_length=200)
    category: str = Field(default="", max_length=200)

    def task(self) -> Task:
        return Task(self.turns, self.ref, self.category)


class LimitsIn(Body):
    """How much a run may take; what is left out or null is not limited. A run that reaches its time is `timed_out`, and
    one that has used up its steps or tokens `exhausted`; either can be retried with more."""

    tokens: Annotated[int | None, Field(ge=1, le=MOST, description="In and out, of all its model calls")] = None
    steps: Annotated[int | None, Field(ge=1, le=MOST, description="Its model calls")] = None
    seconds: Annotated[float | None, Field(gt=0, le=MOST, description="From its first start, without pauses")] = None
    step_seconds: Annotated[float | None, Field(gt=0, le=MOST, description="For each model call")] = None

    def limits(self) -> Limits:
        return Limits(self.tokens, self.steps, self.seconds, self.step_seconds)


class _Request(Body):
    kind: str = "mutual_ranking"
    agents: tuple[str, ...] = Field(default=(), description="Who takes part; empty: everybody on the roster")
    max_tokens: MaxTokens = None
    limits: LimitsIn = LimitsIn()

    def command(self, task: TaskIn, batch: str) -> RequestWorkflow:
        return RequestWorkflow(self.kind, task.task(), self.agents, batch, self.max_tokens, self.limits.limits())


class WorkflowRequest(_Request):
    """One task for the agents."""

    task: TaskIn = Field(examples=[EXAMPLE])
    batch: str = Field(default="", max_length=200, description="Groups runs that belong together")


class BatchRequest(_Request):
    """Several tasks, each for a run of its own, of agents.yaml as it is now."""

    tasks: tuple[TaskIn, ...] = Field(min_length=1, max_length=MOST_TASKS, examples=[[EXAMPLE]])
    batch: str = Field(default="", max_length=200, description="Names the batch; empty: a new name is made up")
    at_once: int | None = Field(
        default=None, ge=1, le=MOST_TASKS, description="So many of its runs are unfinished at most; null: all"
    )


class Retry(Reason):
    """Once more, from what is recorded."""

    limits: LimitsIn | None = Field(default=None, description="In place of those that it had; null: as before")


AS_BEFORE = Retry()


class ChangeIn(Body):
    """What is otherwise with one agent. Of what is left out, it is as it was."""

    agent: str = Field(description="Its name in the run that is forked")
    becomes: str | None = Field(default=None, description="Another agent, of agents.yaml as it is now, in its place")
    system_message: Annotated[str | None, StringConstraints(pattern=r"\S", max_length=32_768)] = None
    model: AgentModel | None = Field(default=None, description="At an endpoint of agents.yaml; without an adapter")
    ballot: str | None = Field(default=None, examples=["verdict"], description="How it judges, where that changes")
    adapter: Annotated[str | None, StringConstraints(min_length=1)] = Field(
        default=None, description="By its full name, e.g. team@2; null: the base model"
    )

    def change(self) -> Change:
        model = self.model.model_dump(exclude_unset=True) if self.model else None
        pins = "adapter" in self.model_fields_set
        return Change(self.agent, self.becomes, self.system_message, model, self.ballot, self.adapter, pins)


class ForkRequest(Body):
    """Where to fork, and what is changed."""

    step: UUID | None = Field(default=None, description="The last step that both runs share; null: only the task")
    changes: tuple[ChangeIn, ...] = Field(default=(), max_length=12)
    batch: str = Field(default="", max_length=200)
    limits: LimitsIn | None = Field(default=None, description="null: those of the run")


class RequestedBatch(BaseModel):
    """A batch by its id and name, and those of its runs that were asked for at once, in the order of their tasks."""

    id: UUID
    batch: str
    runs: list[Written]
    version: int
    position: int


@router.post("", status_code=202, dependencies=needs(Role.OPERATOR), responses=responses(404))
async def start_workflow(body: WorkflowRequest, command: Commands) -> Written:
    """Asks for a run; a worker takes it up within a moment."""
    return await command(body.command(body.task, body.batch), location="/v1/workflows/{id}")


@router.post("/batch", status_code=202, dependencies=needs(Role.OPERATOR), responses=responses(404))
async def start_batch(body: BatchRequest, command: Commands, core: CoreOf) -> RequestedBatch:
    """Asks for one run a task, of which never more than `at_once` are unfinished. `GET /v1/batches/{id}` says how far
    they are."""
    name = body.batch or f"batch-{command.id}"
    tasks, limits = tuple(task.task() for task in body.tasks), body.limits.limits()
    wanted = RequestBatch(name, body.kind, tasks, body.agents, body.max_tokens, limits, body.at_once)
    written = await command.in_thread(wanted, location="/v1/batches/{id}")
    history = await to_thread.run_sync(core.store.history, written.id, written.version)
    events = [recorded.event for recorded in history]
    runs = [Written(event.run, 1, written.position) for event in events if isinstance(event, Batch.RunRequested)]
    return RequestedBatch(id=written.id, batch=name, runs=runs, version=written.version, position=written.position)


@router.get("", response_model=page_of(Run))
def list_workflows(
    view: RunsOfBatches,
    state: State | None = None,
    kind: str | None = None,
    batch: Annotated[str | None, Query(description="Only runs of that name, or of the batch with that id")] = None,
    agent: Annotated[str | None, Query(description="Only runs that this agent takes part in")] = None,
    adapter: Annotated[str | None, Query(description="Only runs of which some agent ran on that adapter")] = None,
    forked_from: Annotated[UUID | None, Query(description="Only forks of that run")] = None,
    since: Annotated[AwareDatetime | None, Query(description="Only runs that were asked for then or later")] = None,
    until: Annotated[AwareDatetime | None, Query(description="Excluded itself")] = None,
    cursor: Cursor = None,
    limit: Limit = 50,
) -> dict[str, Any]:
    """Runs, the newest first."""
    wanted = workflow_runs.Filter(state, kind, batch, agent, adapter, forked_from, since, until)
    return view.page(workflow_runs.runs(view.db, wanted, cursor, limit))


@router.get("/{run_id}", response_model=Run, responses=responses(404))
def get_workflow(run_id: UUID, view: Runs, tag: Tag) -> dict[str, Any]:
    """How far a run is."""
    return tag.named(found(workflow_runs.find(view.db, run_id), "workflow", run_id))


@router.post("/{run_id}/stop", dependencies=needs(Role.OPERATOR), responses=responses(404, 409, 412))
async def stop_workflow(run_id: UUID, command: Commands, version: ExpectedVersion, body: Reason = NO_REASON) -> Written:
    """Ends a run; what it has recorded stays."""
    return await command(StopWorkflow(run_id, body.reason, version))


@router.post("/{run_id}/pause", dependencies=needs(Role.OPERATOR), responses=responses(404, 409, 412))
async def pause_workflow(
    run_id: UUID, command: Commands, version: ExpectedVersion, body: Reason = NO_REASON
) -> Written:
    """Begins no further model call; those under way end and are recorded. For as long as you like: nothing is lost."""
    return await command(PauseWorkflow(run_id, body.reason, version))


@router.post("/{run_id}/resume", dependencies=needs(Role.OPERATOR), responses=responses(404, 409, 412))
async def resume_workflow(run_id: UUID, command: Commands, version: ExpectedVersion) -> Written:
    """Lets a paused run go on where it was."""
    return await command(ResumeWorkflow(run_id, version))


@router.post("/{run_id}/retry", dependencies=needs(Role.OPERATOR), responses=responses(404, 409, 412))
async def retry_workflow(run_id: UUID, command: Commands, version: ExpectedVersion, body: Retry = AS_BEFORE) -> Written:
    """Takes up a run that failed or reached a limit: what is recorded stays and is not asked for again."""
    limits = None if body.limits is None else body.limits.limits()
    return await command(RetryWorkflow(run_id, limits, body.reason, version))


@router.post("/{run_id}/fork", status_code=202, dependencies=needs(Role.OPERATOR), responses=responses(404))
async def fork_workflow(run_id: UUID, command: Commands, body: ForkRequest) -> Written:
    """A new run that begins with what this one has recorded, and goes on with what is changed of its agents."""
    changes = tuple(change.change() for change in body.changes)
    limits = None if body.limits is None else body.limits.limits()
    return await command(ForkWorkflow(run_id, body.step, changes, body.batch, limits), location="/v1/workflows/{id}")


@router.get("/{run_id}/diff", response_model=RunDiff, responses=responses(404))
def compare_workflows(
    run_id: UUID,
    view: Steps,
    against: Annotated[UUID | None, Query(description="The other run; left out: the one it was forked from")] = None,
) -> dict[str, Any]:
    """Two runs side by side: what each said beside the steps that they share."""
    mine = found(workflow_runs.find(view.db, run_id), "workflow", run_id)
    other = against or mine["forked_from"]
    if other is None:
        raise Invalid("this run is no fork: name another one with ?against=")
    theirs = found(workflow_runs.find(view.db, other), "workflow", other)
    shared, items = run_diff.differences(view.db, mine, theirs)
    return {"run": run_id, "against": other, "shared": shared, "items": items, "position": view.position}


@router.get("/{run_id}/steps", response_model=page_of(LogEntry), responses=responses(404))
def list_steps(run_id: UUID, view: Steps, cursor: Cursor = None, limit: Limit = 50) -> dict[str, Any]:
    """The run's model calls, in the order in which they were recorded; a fork's with those that it shares."""
    run = found(workflow_runs.find(view.db, run_id), "workflow", run_id)
    wanted = interaction_log.Filter(run_id=run_id, shared=tuple(map(UUID, run["shared"])))
    return view.page(interaction_log.calls(view.db, wanted, cursor, limit, newest_first=False))


@router.get("/{run_id}/ballots", response_model=page_of(BallotEntry), responses=responses(404))
def list_ballots(run_id: UUID, view: Ballots) -> dict[str, Any]:
    """All the run's ballots, those that could not be parsed too."""
    found(workflow_runs.find(view.db, run_id), "workflow", run_id)
    return view.all(ballots.of_run(view.db, run_id))
