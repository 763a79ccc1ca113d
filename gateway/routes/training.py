"""/v1/training-runs: turn a dataset into an adapter, and watch it learn."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query
from fastapi.responses import PlainTextResponse
from pydantic import BeforeValidator, Field

from commands.training import CancelTraining, RequestTraining
from domain.access import Role
from domain.ports.events import Written
from domain.training import Reference, TrainingState
from domain.training_config import RENAMED, TrainingConfig
from gateway.adapter_shapes import TrainingEntry, TrainingStep, TrainingWarning
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
from gateway.shapes import PageOf, page_of
from gateway.strict import Body, StrictRoute
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


@router.get("/{run_id}/log", response_class=PlainTextResponse, responses=responses(404))
def training_log(
    run_id: UUID,
    view: Trainings,
    core: CoreOf,
    tail: Annotated[int, Query(ge=1, le=1_048_576, description="At most so many bytes of its end")] = 65_536,
) -> str:
    """What the libraries said during the run; empty before it has begun."""
    found(training_runs.find(view.db, run_id), "training run", run_id)
    return _end_of(core.training_log(run_id), tail)


def _end_of(file: Path, size: int) -> str:
    try:
        with file.open("rb") as opened:
            opened.seek(max(0, opened.seek(0, os.SEEK_END) - size))
            return opened.read().decode(errors="replace")
    except FileNotFoundError:
        return ""
