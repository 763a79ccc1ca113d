"""What must hold of a log and its read models, whatever happened to the processes. Every violation is a sentence."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from uuid import UUID

from eventsourcing.domain import AggregateEvent
from sqlalchemy import Engine, select

from adapters.event_store import PostgresEventStore
from domain.events import Recorded
from domain.job import Job
from domain.preference import Preference
from domain.workflow import Workflow
from projections import ALL, DERIVED
from projections.derived import Derived, remake
from projections.rebuild import rebuild
from projections.status import status
from tests.integration.projections.read_models import folded, rows

GAPS = (
    "SELECT count(*) FROM (SELECT FROM stored_events GROUP BY originator_id"
    " HAVING max(originator_version) <> count(*) OR min(originator_version) <> 1) AS broken"
)
"""How many aggregates miss a version."""


def mark_of(event: AggregateEvent) -> str | None:
    """What the client wrote into its command so that we find the effect again, however often it is there."""
    match event:
        case Preference.Proposed(pair=pair, lineage=None):
            return pair.prompt[0].content
        case Preference.Annotated(note=note) | Preference.Revised(note=note):
            return note
        case Preference.Withdrawn(reason=reason) | Workflow.Stopped(reason=reason):
            return reason
        case Workflow.Requested(task=task):
            return task.ref
        case _:
            return None


def log_violations(
    events: Sequence[Recorded], acknowledged: Mapping[str, int], refused: Iterable[str], known: Iterable[str]
) -> Iterator[str]:
    """`acknowledged` are positions by mark, `refused` and `known` the marks of commands that were refused in the end,
    and of all that were ever sent."""
    found: dict[str, list[int]] = defaultdict(list)
    versions: dict[object, list[int]] = defaultdict(list)
    for recorded in events:
        versions[recorded.event.originator_id].append(recorded.event.originator_version)
        if mark := mark_of(recorded.event):
            found[mark].append(recorded.position)
    for mark, position in acknowledged.items():
        if found[mark] != [position]:
            yield f"{mark} was acknowledged at {position}, and is at {found[mark]}"
    for mark in refused:
        if found[mark]:
            yield f"{mark} was refused, though it took effect at {found[mark]}"
    for mark, positions in found.items():
        if len(positions) > 1:
            yield f"{mark} had its effect {len(positions)} times, at {positions}"
    for stranger in {mark for mark, positions in found.items() if positions} - set(known):
        yield f"nobody ever asked for {stranger}"
    for id, taken in versions.items():
        if taken != list(range(1, len(taken) + 1)):
            yield f"the versions of {id} are {taken}"


def reading_violations(seen: Sequence[int], stored: Sequence[int]) -> Iterator[str]:
    """`seen`: the positions that somebody read who followed the log all the while, in the order of reading."""
    if any(later <= earlier for earlier, later in pairwise(seen)):
        yield "a reader saw positions again, or out of order"
    if missed := sorted(set(stored) - set(seen)):
        yield f"a reader missed {len(missed)} events, the first at {missed[0]}"
    if invented := sorted(set(seen) - set(stored)):
        yield f"a reader saw {len(invented)} events that are not there, the first at {invented[0]}"


def standing_violations(engine: Engine, head: int) -> Iterator[str]:
    """Every projector is at the head of the log, and has nothing parked."""
    for standing in status(engine, head):
        if standing.checkpoint < head:
            yield f"{standing.name} stands at {standing.checkpoint}, the log at {head}"
        if standing.parked:
            yield f"{standing.name} has parked {standing.parked} events"


def fold_violations(engine: Engine, store: PostgresEventStore) -> Iterator[str]:
    """Each read model holds what the folds alone make of all events."""
    for projector in ALL:
        columns = projector.table.columns.keys()
        expected = {
            key: {column: row.get(column) for column in columns} for key, row in folded(store, projector).items()
        }
        actual = rows(engine, projector)
        if differing := [key for key in {**expected, **actual} if expected.get(key) != actual.get(key)]:
            yield f"{projector.name} differs from its folds in {differing}"


def rebuild_violations(engine: Engine, store: PostgresEventStore) -> Iterator[str]:
    """Each read model equals its rebuild."""
    for projector in ALL:
        rebuilt = rebuild(engine, store, projector)
        if rebuilt.differing or rebuilt.parked:
            yield f"{projector.name}: {rebuilt.differing} rows differ from the rebuild, {rebuilt.parked} events parked"
    yield from derived_violations(engine)


def derived_violations(engine: Engine) -> Iterator[str]:
    """What is made of other read models is what making it anew gives."""
    for each in DERIVED:
        held = _counted(engine, each)
        remake(engine, each)
        if _counted(engine, each) != held:
            yield f"{each.name} differs from what counting anew gives"


def _counted(engine: Engine, derived: Derived) -> list[Counter[tuple[object, ...]]]:
    with engine.connect() as db:
        return [Counter(tuple(row) for row in db.execute(select(table))) for table in derived.tables]


def run_violations(events: Sequence[Recorded]) -> Iterator[str]:
    """No run has a step or a ballot twice, and no completed run lacks what it counted."""
    ids: Counter[object] = Counter()
    of_run: Counter[tuple[object, str]] = Counter()
    for recorded in events:
        match recorded.event:
            case Workflow.StepRecorded(originator_id=run, step=step) | Workflow.ToolUsed(originator_id=run, step=step):
                ids[step.id] += 1
                of_run[run, "steps"] += 1
            case Workflow.BallotCast(originator_id=run, ballot=ballot):
                ids[ballot.id] += 1
                of_run[run, "ballots"] += 1
            case Workflow.Completed(originator_id=run, steps=steps, ballots=ballots):
                if (steps, ballots) != (of_run[run, "steps"], of_run[run, "ballots"]):
                    yield f"run {run} completed with other steps or ballots than it has"
    for id, times in ids.items():
        if times > 1:
            yield f"step or ballot {id} is recorded {times} times"


def job_violations(events: Sequence[Recorded]) -> Iterator[str]:
    """No job succeeds twice or goes on after its end, none has more attempts than its policy allows, and whatever is
    reported comes from the last start."""
    allowed: dict[UUID, int] = {}
    failed: Counter[UUID] = Counter()
    epochs: Counter[UUID] = Counter()
    over: set[UUID] = set()
    for recorded in events:
        job = recorded.event.originator_id
        if job in over:
            yield f"job {job} was over, and then {recorded.type}"
        match recorded.event:
            case Job.Requested(policy=policy):
                allowed[job] = policy.max_attempts
            case Job.Replayed():
                failed[job] = 0
            case Job.Started(epoch=epoch):
                epochs[job] += 1
                if epoch != epochs[job]:
                    yield f"job {job} was started in epoch {epoch}, and it is its {epochs[job]}th start"
            case Job.AttemptFailed(epoch=epoch):
                failed[job] += 1
                if failed[job] > allowed[job]:
                    yield f"job {job} was tried {failed[job]} times, and {allowed[job]} are allowed"
                if epoch != epochs[job]:
                    yield f"job {job} heard of epoch {epoch} in epoch {epochs[job]}"
            case Job.Succeeded(epoch=epoch):
                over.add(job)
                if epoch != epochs[job]:
                    yield f"job {job} heard of epoch {epoch} in epoch {epochs[job]}"
            case Job.Cancelled():
                over.add(job)
