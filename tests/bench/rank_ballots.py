"""Two million ballots, or as many as `BENCH_BALLOTS` says, and a hundredth of them: counted as a stream and ranked, and
counted by PostgreSQL for the leaderboard. The peer is the smaller number; memory is what came on top while they were
counted and ranked.

Teams of four judge by likelihood: four answers, four scores and twelve ballots a run.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Iterator
from resource import RUSAGE_SELF, getrusage
from uuid import UUID

from sqlalchemy import Engine, text

from adapters import schema
from adapters.reliable_bradley_terry import ReliableBradleyTerry
from domain.ranking import Ballot, Outcome, tally
from gateway.bootstrap import open_engine
from projections.derived import catch_up
from projections.vote_counts import DERIVED
from projections.vote_counts import tally as counted_votes
from tests.bench.results import Result

BALLOTS = int(os.environ.get("BENCH_BALLOTS", 2_000_000))
A_RUN = 12
CANDIDATES, JUDGES = 12, 6
NEW_RUNS = 10

_STEPS = """
INSERT INTO interaction_logs (step_id, run_id, agent, phase, n, attempt, messages, output, tool_calls, model,
    input_tokens, output_tokens, latency, finish_reason, cached, recorded_at, correlation_id, position)
SELECT md5(phase || agent || '/' || run)::uuid, md5('run' || run)::uuid, 'agent-' || agent, phase, 0, 1, '[]', '', '[]',
    'tiny', 1, 1, 0.1, 'stop', false, now() - run * interval '1 second', md5('run' || run)::uuid,
    run * 20 + agent + CASE phase WHEN 'answer' THEN 0 ELSE 4 END
FROM generate_series(CAST(:first AS bigint), :last) AS run, generate_series(1, 4) AS agent,
    unnest(array['answer', 'score']) AS phase
"""
_BALLOTS = """
WITH pairs AS (
    SELECT judge, one, other, row_number() OVER (ORDER BY judge, one, other) AS n
    FROM generate_series(1, 4) AS judge, generate_series(1, 4) AS one, generate_series(1, 4) AS other
    WHERE one < other AND judge NOT IN (one, other)
)
INSERT INTO ballots (ballot_id, run_id, judge, method, first, second, outcome, steps, recorded_at, correlation_id,
    position)
SELECT md5('ballot' || n || '/' || run)::uuid, md5('run' || run)::uuid, 'agent-' || judge, 'likelihood/1',
    md5('answer' || one || '/' || run)::uuid, md5('answer' || other || '/' || run)::uuid,
    CASE (run * 7 + n) % 5 WHEN 0 THEN 'second' WHEN 1 THEN 'tie' ELSE 'first' END,
    jsonb_build_array(md5('score' || judge || '/' || run)::uuid), now() - run * interval '1 second',
    md5('run' || run)::uuid, run * 20 + 8 + n
FROM generate_series(CAST(:first AS bigint), :last) AS run, pairs
"""
_HEAD = """
INSERT INTO checkpoints (projector, position)
SELECT unnest(array['ballots', 'interaction_logs']), :last * 20 + 20
ON CONFLICT (projector) DO UPDATE SET position = EXCLUDED.position
"""


def run(database: Callable[[], str]) -> Iterator[Result]:
    """Ballots a second, megabytes, and times."""
    few, many = max(A_RUN, BALLOTS // 100), BALLOTS
    (few_rate, few_mb, few_fit), (rate, mb, fit) = _streamed(few), _streamed(many)
    sizes = {"ballots": many}
    peer = f"{few:,} ballots"
    yield Result("rank_stream", sizes, rate, "ballots/s", few_rate, peer)
    yield Result("rank_stream_memory", sizes, mb, "MB", few_mb, peer)
    yield Result("rank_fit", sizes, fit, "ms", few_fit, peer)
    (few_all, few_new, few_look), (all, new, look) = _projected(database(), few), _projected(database(), many)
    yield Result("vote_counts_all", sizes, all, "s", few_all, peer)
    yield Result("vote_counts_new", sizes | {"new": NEW_RUNS * A_RUN}, new, "ms", few_new, peer)
    yield Result("leaderboard_look", sizes, look, "ms", few_look, peer)


def ballots(count: int) -> Iterator[Ballot]:
    """One after the other, on the same few candidates."""
    chance = random.Random(7)
    candidates = [UUID(int=n) for n in range(CANDIDATES)]
    outcomes = (Outcome.FIRST, Outcome.FIRST, Outcome.SECOND, Outcome.TIE)
    for n in range(count):
        first, second = sorted(chance.sample(candidates, 2))
        yield Ballot(UUID(int=n), f"judge-{n % JUDGES}", "verdict/1", first, second, chance.choice(outcomes), ())


def _streamed(count: int) -> tuple[float, float, float]:
    """Ballots a second, megabytes on top, milliseconds of the fit."""
    before, began = _peak_mb(), time.perf_counter()
    counted = tally(ballots(count))
    seconds, began = time.perf_counter() - began, time.perf_counter()
    ReliableBradleyTerry().rank(counted)
    return count / seconds, _peak_mb() - before, (time.perf_counter() - began) * 1000


def _projected(url: str, count: int) -> tuple[float, float, float]:
    """Seconds that the projectors take to count all, milliseconds for a few more runs, and those of a look at all."""
    schema.upgrade(url)
    engine, runs = open_engine(url), count // A_RUN
    try:
        _fill(engine, 1, runs)
        all = _counted(engine)
        _fill(engine, runs + 1, runs + NEW_RUNS)
        new = _counted(engine)
        began = time.perf_counter()
        with engine.connect() as db:
            votes = counted_votes(db)
        assert votes.total() == (runs + NEW_RUNS) * A_RUN
        return all, new * 1000, (time.perf_counter() - began) * 1000
    finally:
        engine.dispose()


def _fill(engine: Engine, first: int, last: int) -> None:
    with engine.begin() as db:
        for statement in (_STEPS, _BALLOTS):
            db.execute(text(statement), {"first": first, "last": last})
        db.execute(text(_HEAD), {"last": last})
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as db:
        db.execute(text("ANALYZE ballots, interaction_logs"))


def _counted(engine: Engine) -> float:
    began = time.perf_counter()
    catch_up(engine, DERIVED)
    return time.perf_counter() - began


def _peak_mb() -> float:
    return getrusage(RUSAGE_SELF).ru_maxrss / 1024
