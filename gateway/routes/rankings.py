"""/v1/leaderboard, /v1/judges and /v1/rankings: what all ballots say of agents and judges, and by another method."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import date
from enum import StrEnum
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query

from domain.access import Role
from domain.errors import Invalid
from domain.ports.statistics import Ranker
from domain.ranking import Vote
from gateway.auth import needs
from gateway.bootstrap import Core
from gateway.errors import responses
from gateway.ranking_shapes import JudgeStanding, Leaderboard, LeaderboardWindow, Reranked
from gateway.requests import CoreOf, Cursor, View, found, viewing
from gateway.shapes import PageOf
from gateway.strict import StrictRoute
from projections import ballots, leaderboard, vote_counts, workflow_runs
from projections.projector import Row
from projections.reranking import reranked
from projections.vote_counts import Window

router = APIRouter(prefix="/v1", tags=["rankings"], route_class=StrictRoute, dependencies=needs(Role.VIEWER))
Seen = Annotated[View, viewing(vote_counts.DERIVED)]
Runs = Annotated[View, viewing(workflow_runs.PROJECTOR, ballots.PROJECTOR)]

TODAYS = "bradley-terry/2"
CROSS_CHECKS = ("borda/1", "copeland/1")
OF_AGENTS = (TODAYS, *CROSS_CHECKS)
"""Those that work from counts, and so from any number of ballots."""
MOST_RUNS = 100
MOST_WINDOWS = 200
MOST_VOTES = 60_000
"""That one request ranks: different ones, however often each was cast. 30 agents that all judge each other have some
50,000, and a fit of theirs takes two seconds and 170 MB."""
MOST_NAMES = 100
"""Agents and judges, each of which has parameters of its own."""


class Every(StrEnum):
    """How long a window of time is."""

    DAY = "day"
    WEEK = "week"
    MONTH = "month"


DAYS = {Every.DAY: 1, Every.WEEK: 7, Every.MONTH: 30}


Method = Annotated[str, Query(max_length=100, description="A ranking, e.g. bradley-terry/2 or borda/1")]
Since = Annotated[date | None, Query(description="Only ballots of this day (UTC) and later ones")]
Until = Annotated[date | None, Query(description="Only ballots of days (UTC) before this one")]


def ranker_of(core: Core, method: str) -> Ranker:
    """Raises Invalid for a method that there is not."""
    rankers = core.rankers()
    if method not in rankers:
        raise Invalid(f"there is no ranking {method}; there is {', '.join(rankers)}")
    return rankers[method]


def ranker_of_agents(core: Core, method: str) -> Ranker:
    """Raises Invalid for a method that would write every ballot out, too."""
    ranker = ranker_of(core, method)
    if method not in OF_AGENTS:
        raise Invalid(f"{method} ranks the answers of a task; of agents there is {', '.join(OF_AGENTS)}")
    return ranker


def tallies(view: View, windows: Iterable[Window]) -> list[Counter[Vote[str]]]:
    """What was voted in these windows, as far as one request may rank it. Raises Invalid."""
    return affordable(vote_counts.tally(view.db, window, most=MOST_VOTES + 1) for window in windows)


def affordable(tallies: Iterable[Counter[Vote[str]]]) -> list[Counter[Vote[str]]]:
    """All of them. Raises Invalid as soon as they are too large together, before it takes the others."""
    taken, votes = [], 0
    for tally in tallies:
        taken.append(tally)
        votes += len(tally)
        names = {name for vote in tally for name in (vote.judge, vote.first, vote.second)}
        if votes > MOST_VOTES or len(names) > MOST_NAMES:
            raise Invalid(
                f"too much to rank at once: more than {MOST_VOTES:,} different votes, or {MOST_NAMES} agents and "
                "judges; narrow since and until, or ask for fewer windows, or windows that do not add up"
            )
    return taken


@router.get("/leaderboard", response_model=Leaderboard)
def get_leaderboard(
    view: Seen, core: CoreOf, method: Method = TODAYS, since: Since = None, until: Until = None
) -> dict[str, Any]:
    """How strong the agents are by the ballots of all runs, the strongest first."""
    ranker = ranker_of_agents(core, method)
    (tally,) = tallies(view, [Window(since, until)])
    checks = [ranker_of(core, check) for check in CROSS_CHECKS if check != method]
    return {
        "method": method,
        "ballots": tally.total(),
        "items": leaderboard.standings(ranker.rank(tally), tally, checks),
        "position": view.position,
    }


@router.get("/leaderboard/history", response_model=PageOf[LeaderboardWindow])
def get_leaderboard_history(
    view: Seen,
    core: CoreOf,
    every: Annotated[Every, Query(description="How long each window is; a month has 30 days")] = Every.DAY,
    cumulative: Annotated[
        bool, Query(description="Each with all ballots before it, rather than its own alone")
    ] = False,
    method: Method = TODAYS,
    limit: Annotated[int, Query(ge=1, le=MOST_WINDOWS, description="How many windows, the newest")] = 30,
) -> dict[str, Any]:
    """The same over time, the oldest window first; those without a ballot are left out."""
    ranker = ranker_of_agents(core, method)
    windows = vote_counts.windows(view.db, DAYS[every], limit)
    voted = tallies(view, (Window(None, each.until) if cumulative else each for each in windows))
    items: list[Row] = []
    for window, tally in zip(windows, voted, strict=True):
        agents = leaderboard.standings(ranker.rank(tally), tally)
        items.append({"since": window.since, "until": window.until, "ballots": tally.total(), "agents": agents})
    return view.all(items)


@router.get("/judges", response_model=PageOf[JudgeStanding])
def list_judges(view: Seen, core: CoreOf, since: Since = None, until: Until = None) -> dict[str, Any]:
    """How each judge judges, by bradley-terry/2: what its ballots tell apart, and what sways it."""
    window = Window(since, until)
    (tally,) = tallies(view, [window])
    concord = vote_counts.concord(view.db, window)
    return view.all(leaderboard.judges(ranker_of(core, TODAYS).rank(tally), tally, concord))


@router.get("/rankings/compare", response_model=PageOf[Reranked], responses=responses(404))
def compare_rankings(
    view: Runs,
    core: CoreOf,
    method: Method,
    against: Method = TODAYS,
    run: UUID | None = None,
    cursor: Cursor = None,
    limit: Annotated[int, Query(ge=1, le=MOST_RUNS, description="How many runs a page holds at most")] = 50,
) -> dict[str, Any]:
    """Completed runs, the newest first: which pairs their ballots make by `method`, where `against` has it otherwise.
    Nothing is proposed."""
    if run is not None:
        found(workflow_runs.find(view.db, run), "workflow", run)
    return view.page(reranked(view.db, ranker_of(core, method), ranker_of(core, against), run, cursor, limit))
