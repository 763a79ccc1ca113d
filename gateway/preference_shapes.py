"""What reads of preferences answer, and of where they come from and went to."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import BaseModel, Field

from domain.doubt import Support
from domain.events import ActorKind
from domain.model_call import Message
from domain.preference import Source
from gateway.run_shapes import BallotEntry
from gateway.shapes import model_of
from projections import dpo_annotations

_PREFERENCE = {
    "prompt": list[Message],
    "chosen": list[Message],
    "rejected": list[Message],
    "ballots": list[str],
    "source": Source,
    "spoken_by": list[str],
    "skipped_by": list[str],
    "assigned_to": list[str],
    "support": Support,
}
PreferencePair = model_of("Preference", dpo_annotations.TABLE, _PREFERENCE)
PreferenceHistory = model_of(
    "PreferenceWithHistory",
    dpo_annotations.TABLE,
    _PREFERENCE,
    history=(list[dict[str, Any]], Field(description="Every opinion there ever was: its events, as CloudEvents")),
)


class AnswerStep(BaseModel):
    """The step in which an agent gave one of a pair's answers."""

    step_id: UUID
    run_id: UUID
    agent: str
    phase: str
    n: int
    model: str | None
    adapter: str | None
    position: int


class PairsRun(BaseModel):
    """The run that a pair was proposed from, and who asked for it."""

    run_id: UUID
    kind: str
    actor: str
    roster_revision: int
    requested_position: int


class PairsImport(BaseModel):
    """The import that brought a pair, and where in which file it was."""

    import_id: UUID = Field(description="Of its job")
    name: str | None = Field(description="What whoever sent the file called it")
    sha256: str = Field(description="Of the file")
    line: int = Field(description="Or row, counted from 1")
    annotator: str | None = Field(description="Who judged the pair there, as the file says")


class Contributor(BaseModel):
    """Who did something to a pair, or asked for its run."""

    actor: str
    actor_kind: ActorKind
    did: list[str] = Field(description="Types of events", examples=[["preference.annotated"]])


class HoldingDataset(BaseModel):
    """A dataset that a pair is in."""

    dataset_id: UUID
    part: str
    as_of: int
    sha256: str = Field(description="Of what is trained on")
    built_at: datetime


class TrainingOnPair(BaseModel):
    """A training on a dataset whose part to train on has the pair."""

    run_id: UUID
    dataset_id: UUID
    state: str
    adapter_name: str | None


class AdapterOfPair(BaseModel):
    """An adapter that came out of such a training."""

    name: str
    state: str
    in_use: bool


class PairLineage(BaseModel):
    """Where a pair comes from, and where it went."""

    preference_id: UUID
    run: PairsRun | None
    imported: PairsImport | None
    answers: list[AnswerStep]
    ballots: list[BallotEntry]  # type: ignore[valid-type]  # made at run time
    events: list[dict[str, Any]] = Field(description="All that happened to the pair, as CloudEvents")
    people: list[Contributor]
    datasets: list[HoldingDataset] = Field(description="Of the newest `limit` that may have it")
    trainings: list[TrainingOnPair]
    adapters: list[AdapterOfPair]
    position: int
