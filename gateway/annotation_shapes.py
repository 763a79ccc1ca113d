"""What the queue of annotators, their opinions, the rubric and the measures of agreement answer."""

from __future__ import annotations

from pydantic import BaseModel, Field, create_model

from domain.rubric import Criterion
from gateway.preference_shapes import PreferencePair
from gateway.shapes import model_of
from projections import annotation_queue, opinions, rubrics

_SHOWN = {name: PreferencePair.model_fields[name].annotation for name in (*annotation_queue.SHOWN, "stale")}
QueuedPair = create_model(
    "QueuedPair",
    **{name: (kind, ...) for name, kind in _SHOWN.items()},  # type: ignore[call-overload]
    mine=(bool, Field(description="Whether it is assigned to the caller")),
    judged=(int, Field(description="How many have judged it")),
    reasons=(list[str], Field(description="Why it has its place", examples=[["1 of 3 judges disagree"]])),
)


class Queue(BaseModel):
    """A page of an annotator's queue."""

    items: list[QueuedPair]  # type: ignore[valid-type]  # made at run time
    count: int = Field(description="How many pairs are in the queue, on this page or not")
    next: str | None = Field(description="The `cursor` of the page after this one; null: there is none")
    position: int


OpinionEntry = create_model(
    "OpinionEntry",
    **{
        column.name: (dict[str, int] if column.name == "ratings" else column.type.python_type | None, ...)
        for column in opinions.TABLE.columns
    },  # type: ignore[call-overload]
)


class Opinions(BaseModel):
    """What is in force on a pair, as far as the caller may know."""

    mine: OpinionEntry | None  # type: ignore[valid-type]  # made at run time
    others: list[OpinionEntry]  # type: ignore[valid-type]
    hidden: int = Field(description="So many others are told once the caller has given an opinion")
    position: int


RubricEntry = model_of("Rubric", rubrics.TABLE, {"criteria": list[Criterion]})


class PeoplesAgreement(BaseModel):
    """Of what people gave the same pairs."""

    annotators: int
    pairs: int = Field(description="Those to which two or more gave something")
    unanimous: int = Field(description="Those to which all gave the same")
    alpha: float | None = Field(
        description="Krippendorff's, ordinal: 1 is agreement, 0 chance. Null: nothing is shared, or all is the same"
    )


class CriterionsAgreement(PeoplesAgreement):
    """The same by one criterion of one version of the rubric."""

    rubric: int
    criterion: str


class JudgesAgreement(BaseModel):
    """Of a judge among the agents with most people, on pairs of which these prefer one answer."""

    judge: str
    method: str
    pairs: int
    agreed: int
    kappa: float | None = Field(description="Cohen's. Null: no pair, or both said the same of all")


class AgreementReport(BaseModel):
    """How far people agree, and the judges with them."""

    overall: PeoplesAgreement = Field(
        description="Of choices: flipped < rejected < accepted, an edit being what it edits"
    )
    criteria: list[CriterionsAgreement]
    judges: list[JudgesAgreement]
    position: int
