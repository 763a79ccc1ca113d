"""What reads of rankings answer."""

from __future__ import annotations

from datetime import date
from typing import Literal
from uuid import UUID

from pydantic import BaseModel, Field


class EstimateEntry(BaseModel):
    """A number with its 95% interval; null where the method knows no errors."""

    value: float
    low: float | None
    high: float | None


class AgentStanding(BaseModel):
    """How an agent stands by all ballots on its answers."""

    agent: str
    place: int = Field(description="From 1; agents of the same strength share theirs")
    strength: EstimateEntry = Field(description="Log-odds of winning a ballot against the average agent")
    won: int
    lost: int
    tied: int
    places: dict[str, int] = Field(description="By methods that only count, to check with", examples=[{"borda/1": 1}])


class Leaderboard(BaseModel):
    """The agents, the strongest first."""

    method: str
    ballots: int = Field(description="Counted, those that could not be parsed too")
    items: list[AgentStanding]
    position: int = Field(description="Counted are all ballots up to this position of the log")


class LeaderboardWindow(BaseModel):
    """The agents by the ballots of some days."""

    since: date
    until: date = Field(description="Excluded")
    ballots: int
    agents: list[AgentStanding]


class JudgeStanding(BaseModel):
    """How a judge judges by one method; as another one it is listed again."""

    judge: str
    method: str = Field(examples=["verdict/1"])
    ballots: int
    first: int = Field(description="For the answer that was shown first")
    second: int
    tie: int
    unparseable: int
    discrimination: EstimateEntry | None = Field(
        description="How much of the agents' strengths shows in its ballots: 1 is the average ballot, 0 is chance"
    )
    position_bias: EstimateEntry | None = Field(
        description="For what is shown first (log-odds); null where it sees one answer at a time"
    )
    self_preference: EstimateEntry | None = Field(
        description="For answers of its own, or of the model and adapter that it judges with (log-odds); null where "
        "it never had the choice"
    )
    compared: int = Field(description="Ballots of other judges on the same two answers, with each of its own")
    agreement: float | None = Field(description="The share of them that said the same; null where there are none")


class PairByMethod(BaseModel):
    """A pair that a method makes of two answers, by their steps."""

    chosen: UUID
    rejected: UUID
    probability: float


class PairChange(BaseModel):
    """Two answers of which `method` makes another pair than `against` does."""

    change: Literal["new", "gone", "flipped"]
    ours: PairByMethod | None = Field(description="By `method`; null where it makes none")
    theirs: PairByMethod | None = Field(description="By `against`; null where it makes none")


class Reranked(BaseModel):
    """A run's ballots by two methods."""

    run_id: UUID
    ballots: int
    compared: bool = Field(description="False where it has more ballots than one request ranks: `pairs` say nothing")
    same: int = Field(description="Pairs that both methods make, with the same answer chosen")
    pairs: list[PairChange] = Field(description="The others")
