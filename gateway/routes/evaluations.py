"""/v1/evaluations: how adapters do on prompts that nothing in them was trained on."""

from __future__ import annotations

import json
from typing import Annotated, Any, cast
from uuid import UUID

from fastapi import APIRouter
from pydantic import Field

from commands.evaluations import CancelEvaluation, RequestEvaluation
from domain.access import Role
from domain.errors import NotReady
from domain.evaluation import BASE, MOST_JUDGES, EvaluationState, Plan
from domain.job import ResultFile
from domain.ports.events import Written
from gateway.adapter_shapes import EvaluationEntry
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
from gateway.shapes import page_of
from gateway.strict import Body, StrictRoute
from projections import evaluations

router = APIRouter(
    prefix="/v1/evaluations", tags=["evaluations"], route_class=StrictRoute, dependencies=needs(Role.VIEWER)
)
Evaluations = Annotated[View, viewing(evaluations.PROJECTOR)]


class EvaluationRequest(Body):
    """`plan` may name some of the values; the others keep their defaults."""

    adapter: str = Field(max_length=80, examples=["team@2"])
    against: str = Field(
        default=BASE, max_length=80, description="`base`, `production`: what its alias means now, or an adapter"
    )
    dataset_id: UUID | None = Field(default=None, description="null: the one that it was trained on")
    part: str | None = Field(
        default=None, max_length=32, description="null: the first that was held back; what was trained on is left out"
    )
    judges: list[Annotated[str, Field(max_length=64)]] = Field(
        default=[], max_length=MOST_JUDGES, description="Agents; empty: the first ones of agents.yaml"
    )
    plan: Plan = Field(default_factory=Plan)


@router.post("", status_code=202, dependencies=needs(Role.OPERATOR), responses=responses(404, 409))
async def request_evaluation(body: EvaluationRequest, command: Commands) -> Written:
    """Asks for an evaluation: held-out accuracy of the base, the adapter and what it is against, and the win rate of
    its answers as judges see it who are not told whose is whose."""
    request = RequestEvaluation(body.adapter, body.against, body.dataset_id, body.part, body.plan, tuple(body.judges))
    return await command(request, location="/v1/evaluations/{id}")


@router.get("", response_model=page_of(EvaluationEntry))
def list_evaluations(
    view: Evaluations,
    adapter: str | None = None,
    state: EvaluationState | None = None,
    cursor: Cursor = None,
    limit: Limit = 50,
) -> dict[str, Any]:
    """Evaluations, the newest first."""
    return view.page(evaluations.evaluations(view.db, adapter, state, cursor, limit))


@router.get("/{evaluation_id}", response_model=EvaluationEntry, responses=responses(404))
def get_evaluation(evaluation_id: UUID, view: Evaluations, tag: Tag) -> dict[str, Any]:
    """What came out; while it goes on, its job says how far it is."""
    return tag.named(found(evaluations.find(view.db, evaluation_id), "evaluation", evaluation_id))


@router.get("/{evaluation_id}/items", responses=responses(404, 409))
def get_items(evaluation_id: UUID, view: Evaluations, core: CoreOf) -> dict[str, Any]:
    """All that was scored and judged, one by one. Told 404 where the file was lost, or is not what it was."""
    evaluation = found(evaluations.find(view.db, evaluation_id), "evaluation", evaluation_id)
    if evaluation["items_file"] is None:
        raise NotReady(f"the evaluation is {evaluation['state']}, and has nothing to show")
    return cast("dict[str, Any]", json.loads(core.job_results.read(ResultFile(**evaluation["items_file"]))))


@router.post("/{evaluation_id}/cancel", dependencies=needs(Role.OPERATOR), responses=responses(404, 409, 412))
async def cancel_evaluation(
    evaluation_id: UUID, command: Commands, version: ExpectedVersion, body: Reason = NO_REASON
) -> Written:
    """Ends an evaluation and its job."""
    return await command(CancelEvaluation(evaluation_id, body.reason, version))
