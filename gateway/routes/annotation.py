"""/v1/annotations: what an annotator is asked next, by which rubric, and how far annotators and judges agree."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import AwareDatetime, Field

from commands.rubrics import PublishRubric
from domain.access import Role
from domain.errors import Invalid
from domain.ports.events import Written
from domain.rubric import MOST_ANNOTATORS, MOST_CRITERIA, Criterion
from gateway.annotation_shapes import AgreementReport, Queue, RubricEntry
from gateway.auth import Who, needs
from gateway.errors import responses
from gateway.requests import Commands, CoreOf, Cursor, ExpectedVersion, Limit, Position, Tag, View, viewing
from gateway.shapes import page_of
from gateway.strict import Body, StrictRoute
from projections import agreement, annotation_queue, rubrics
from projections.opinions import Asked

router = APIRouter(
    prefix="/v1/annotations", tags=["annotations"], route_class=StrictRoute, dependencies=needs(Role.VIEWER)
)
Pairs = Annotated[View, viewing(*annotation_queue.NEEDED)]
Rubrics = Annotated[View, viewing(rubrics.PROJECTOR)]
Judged = Annotated[View, viewing(*agreement.NEEDED)]


class CriterionIn(Body):
    """One thing to rate."""

    name: str = Field(examples=["honesty"])
    question: str = Field(examples=["Which one admits what it does not know?"])
    levels: list[str] = Field(
        description="An ordinal scale, the lowest first", examples=[["the right one", "both alike", "the left one"]]
    )
    compares: bool | None = Field(
        default=None,
        description="Whether the levels go from the right answer to the left one, of the two as they were proposed: "
        "turn them round where you show the answers the other way round. Must be said of levels that name both sides",
        examples=[True],
    )


class RubricIn(Body):
    """By what people judge from here on, and how many of them each pair wants."""

    criteria: list[CriterionIn] = Field(max_length=MOST_CRITERIA)
    annotators: int = Field(default=1, ge=1, le=MOST_ANNOTATORS)
    reason: str = Field(default="", max_length=2000)


@router.get("/queue", response_model=Queue)
def show_queue(
    view: Pairs, caller: Who, run: UUID | None = None, cursor: Cursor = None, limit: Limit = 50
) -> dict[str, Any]:
    """What the caller is asked to judge: what is assigned to them first, then what people disagree on, then what the
    judges do, then what is least sure and says most of other pairs. What they judged or skipped is not in it, and
    what others said of it is not told."""
    annotator = caller.actor.subject
    page = annotation_queue.queue(view.db, annotator, run, cursor, limit)
    return view.page(page) | {"count": annotation_queue.count(view.db, annotator, run)}


@router.get("/agreement", response_model=AgreementReport)
def show_agreement(
    view: Judged,
    core: CoreOf,
    as_of: Annotated[Position | None, Query(description="As it was at that position of the log")] = None,
    since: Annotated[AwareDatetime | None, Query(description="Only opinions given then or later")] = None,
    until: Annotated[AwareDatetime | None, Query(description="Only opinions given before")] = None,
) -> dict[str, Any]:
    """How far people agree: Krippendorff's alpha of their choices and ratings, of the opinions in force; and Cohen's
    kappa of each judge against most people."""
    if as_of is not None and as_of > view.position:
        raise Invalid(f"position {as_of} is not in the read models, which are at {view.position}")
    return agreement.report(view.db, core.agreement(), Asked(as_of, since, until)) | {"position": view.position}


@router.get("/rubric", response_model=RubricEntry)
def show_rubric(view: Rubrics, tag: Tag) -> dict[str, Any]:
    """The rubric as it is; version 0 where none was published."""
    return tag.named(rubrics.current(view.db))


@router.get("/rubrics", response_model=page_of(RubricEntry))
def list_rubrics(view: Rubrics, cursor: Cursor = None, limit: Limit = 50) -> dict[str, Any]:
    """Every version that was published, the newest first."""
    return view.page(rubrics.versions(view.db, cursor, limit))


@router.put("/rubric", status_code=201, dependencies=needs(Role.OPERATOR), responses=responses(412))
async def publish_rubric(body: RubricIn, command: Commands, version: ExpectedVersion) -> Written:
    """Publishes another version. Opinions stay as they were rated, and pairs that are settled stay settled."""
    criteria = tuple(Criterion.told(each.name, each.question, each.levels, each.compares) for each in body.criteria)
    return await command(PublishRubric(criteria, body.annotators, body.reason, version))
