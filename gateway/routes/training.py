"""/v1/training-runs: turn a dataset into an adapter, and watch it learn."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from anyio import to_thread
from fastapi import APIRouter, Depends, Header, Query, Request
from fastapi.responses import PlainTextResponse
from pydantic import BeforeValidator, Field
from sse_starlette import EventSourceResponse

from commands.training import CancelTraining, RequestTraining
from domain.access import Role
from domain.ports.events import Written
from domain.training import Reference, TrainingState
from domain.training_config import RENAMED, TrainingConfig
from gateway.adapter_shapes import TrainingEntry, TrainingStep, TrainingWarning
from gateway.auth import needs
from gateway.errors import Answers, responses
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
from gateway.routes.stream import streams_of
from gateway.shapes import PageOf, page_of
from gateway.strict import Body, StrictRoute
from gateway.training_log import TrainingLog
from projections import training_metrics, training_runs

router = APIRouter(
    prefix="/v1/training-runs", tags=["training"], route_class=StrictRoute, dependencies=needs(Role.VIEWER)
)
Trainings = Annotated[View, viewing(training_runs.PROJECTOR)]
Curves = Annotated[View, viewing(training_runs.PROJECTOR, training_metrics.PROJECTOR)]


def _by_their_names(config: object) -> object:
    if isinstance(config, dict) and (old := RENAMED.keys() & config.keys()):
        now = ", ".join(f"{name} is {RENAMED[name]}" for name in sorted(old))
        raise ValueError(f"options have the names of TRL and PEFT now: {now}")
    return config


Byte = Annotated[int, Field(ge=0, le=2**63 - 1)]
SAID: Answers = {
    200: {
        "description": "`log`, `elsewhere` and `over`; `id` is the byte up to which the log was sent",
        "content": {"text/event-stream": {"schema": {"type": "string"}}},
    }
}
Config = Annotated[TrainingConfig, BeforeValidator(_by_their_names)]


class TrainingRequest(Body):
    """`config` may name some of the values; the others keep their defaults."""

    dataset_id: UUID
    alias: str = Field(description="The family that the adapter will belong to", examples=["team"])
    base_model: str | None = Field(default=None, max_length=200, description="null: the one that Caravan serves")
    config: Config = Field(default_factory=TrainingConfig)
    start_from: str | None = Field(
        default=None,
        max_length=80,
        description="The adapter of an earlier round, from whose weights to go on; null: the base model alone",
        examples=["team@1"],
    )
    reference: Reference = Field(
        default=Reference.BASE, description="What the adapter is kept close to: the base model, or `start_from`"
    )


@router.post("", status_code=202, dependencies=needs(Role.OPERATOR), responses=responses(404, 409))
async def request_training(body: TrainingRequest, command: Commands, core: CoreOf) -> Written:
    """Asks for a training run on a dataset that is built."""
    base_model = body.base_model or core.settings.base_model
    request = RequestTraining(body.dataset_id, base_model, body.alias, body.config, body.start_from, body.reference)
    return await command(request, location="/v1/training-runs/{id}")


@router.get("", response_model=page_of(TrainingEntry))
def list_trainings(
    view: Trainings,
    state: TrainingState | None = None,
    dataset: UUID | None = None,
    cursor: Cursor = None,
    limit: Limit = 50,
) -> dict[str, Any]:
    """Training runs, the newest first."""
    return view.page(training_runs.runs(view.db, state, dataset, cursor, limit))


@router.get("/{run_id}", response_model=TrainingEntry, responses=responses(404))
def get_training(run_id: UUID, view: Trainings, tag: Tag) -> dict[str, Any]:
    """How far a training is, and what came out of it."""
    return tag.named(found(training_runs.find(view.db, run_id), "training run", run_id))


@router.get("/{run_id}/metrics", response_model=page_of(TrainingStep), responses=responses(404))
def training_curves(
    run_id: UUID,
    view: Curves,
    after_step: Annotated[int, Query(ge=0, le=2**31 - 1, description="Only the steps after this one")] = 0,
) -> dict[str, Any]:
    """The run's steps in order: loss, margin, accuracy, and what else was measured."""
    found(training_runs.find(view.db, run_id), "training run", run_id)
    return view.all(training_metrics.of_run(view.db, run_id, after_step))


@router.get("/{run_id}/health", response_model=PageOf[TrainingWarning], responses=responses(404))
def training_health(run_id: UUID, view: Curves) -> dict[str, Any]:
    """What the run's steps so far warn of, in plain words, and what to do about it."""
    found(training_runs.find(view.db, run_id), "training run", run_id)
    return view.all(training_metrics.health(view.db, run_id))


@router.post("/{run_id}/cancel", dependencies=needs(Role.OPERATOR), responses=responses(404, 409, 412))
async def cancel_training(
    run_id: UUID, command: Commands, version: ExpectedVersion, body: Reason = NO_REASON
) -> Written:
    """Ends a training run; the trainer stops after its current step."""
    return await command(CancelTraining(run_id, body.reason, version))


def _log(run_id: UUID, view: Trainings, core: CoreOf) -> TrainingLog:
    run = found(training_runs.find(view.db, run_id), "training run", run_id)
    state = TrainingState(run["state"])
    return TrainingLog(run_id, core.training_log(run_id), state, run["worker"], view.position)


Log = Annotated[TrainingLog, Depends(_log)]
End = Annotated[int, Query(ge=1, le=1_048_576, description="At most so many bytes of its end")]


@router.get("/{run_id}/log", response_class=PlainTextResponse, responses=responses(404))
def training_log(log: Log, tail: End = 65_536) -> str:
    """What the libraries said during the run; empty before it has begun. 404 where it is not on the gateway's machine,
    but on its trainer's."""
    return log.end(tail)


@router.get("/{run_id}/log/stream", response_class=EventSourceResponse, responses=SAID | responses(404))
async def follow_training_log(
    request: Request,
    log: Log,
    tail: End = 65_536,
    from_byte: Annotated[Byte | None, Query(description="All from this byte on; without it: the `tail` first")] = None,
    last_event_id: Annotated[Byte | None, Header(description="As a browser sends it when it comes back")] = None,
) -> EventSourceResponse:
    """What the libraries say, while they say it, until the run is over: server-sent events `log`, each with a `text`,
    and at last `over`. `elsewhere` says that the log is not on the gateway's machine."""
    given = from_byte if last_event_id is None else last_event_id
    start = await to_thread.run_sync(log.begin_of_end, tail) if given is None else given
    return streams_of(request).training_log(log, start, request.state.token)
