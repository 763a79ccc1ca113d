"""After the faults: everybody comes to rest, and what must hold is looked at."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass

from sqlalchemy import Engine

from adapters.event_store import PostgresEventStore
from adapters.relay import published
from adapters.sealing.anchors import read_anchors
from adapters.sealing.book import SealBook
from adapters.sealing.keys import read_keyring
from adapters.sealing.told import told_lately
from adapters.sealing.verification import verify
from domain.events import Recorded
from gateway.bootstrap import open_engine
from projections.status import status
from tests import invariants
from tests.faults.stage import Stage
from tests.faults.writer import Answered

ANSWERED_SECONDS = 60.0
"""Until a writer has an answer to everything that it sent."""
CATCH_UP_SECONDS = 60.0
"""Where other things are done beside; `make faults` insists on the aim, which is 10 s."""


@dataclass(frozen=True, slots=True)
class Findings:
    """`catch_up` in seconds: how long everybody needed until they were at the head, from when all were revived.
    `faults`: how many happened; a victim may be at something else than what it is waited for."""

    violations: list[str]
    catch_up: float = 0.0
    events: int = 0
    acknowledged: int = 0
    faults: int = 0


def examine(stage: Stage, catch_up_within: float = CATCH_UP_SECONDS) -> Findings:
    """Everything. All must have been revived; the writers are ended, the others go on."""
    unanswered = list(_unanswered(stage))
    with _opened(stage) as (engine, store):
        behind = list(_behind(stage, engine))
        catch_up = time.monotonic() - stage.revived_at
        if catch_up > catch_up_within:
            behind.append(f"they caught up after {catch_up:.1f} s, not within {catch_up_within:.0f} s")
        acknowledged, events = _acknowledged(stage), list(store.read())
        violations = [
            *unanswered,
            *behind,
            *_wrong(stage, acknowledged, events),
            *invariants.reading_violations(stage.witness.seen, [each.position for each in events]),
            *invariants.standing_violations(engine, events[-1].position),
            *invariants.rebuild_violations(engine, store),
            *_tampered(stage, engine),
            *(f"{victim.name} ended by itself" for victim in stage.victims.values() if victim.died_by_itself),
        ]
    return Findings(violations, catch_up, len(events), len(acknowledged))


def glance(stage: Stage) -> list[str]:
    """What can be seen while the writers go on: everybody follows them, and whatever was acknowledged is there once."""
    with _opened(stage) as (engine, store):
        return [*_behind(stage, engine), *_wrong(stage, _acknowledged(stage), list(store.read()))]


@contextmanager
def _opened(stage: Stage) -> Iterator[tuple[Engine, PostgresEventStore]]:
    engine = open_engine(stage.database_url)
    with closing(PostgresEventStore(stage.database_url)) as store:
        yield engine, store
    engine.dispose()


def _unanswered(stage: Stage) -> Iterator[str]:
    """Every writer finishes what it has begun. One of them dies instead, now and then, and never comes back."""
    names = list(stage.journals)
    if len(names) > 1 and stage.chance.random() < 0.5:
        stage.victims[names.pop()].kill()
    for name in names:
        if not stage.victims[name].stop(ANSWERED_SECONDS):
            yield f"{name} still waits for answers after {ANSWERED_SECONDS:.0f} s"


def _behind(stage: Stage, engine: Engine) -> Iterator[str]:
    """Whoever is not at the head in time, which is one more event of our own."""
    _, head = stage.propose()
    places: dict[str, Callable[[], int]] = {
        "the relay": lambda: published(engine),
        "the news": lambda: max(stage.witness.heard, default=0),
        "the reader": lambda: max(stage.witness.seen, default=0),
        "the last projector": lambda: min(each.checkpoint for each in status(engine, head)),
    }
    for name, place in places.items():
        if not _in_time(lambda place=place: place() >= head):
            yield f"{name} stands at {place()}, the log at {head}, after {CATCH_UP_SECONDS:.0f} s"


def _tampered(stage: Stage, engine: Engine) -> Iterator[str]:
    """What `caravan audit verify` would say, once all is sealed."""
    settings, book = stage.settings(stage.database_url), SealBook(engine)
    if not _in_time(lambda: book.standing().sealed >= book.standing().head):
        yield f"the log is sealed up to {book.standing().sealed}, and goes up to {book.standing().head}"
    anchors = read_anchors(settings.anchors) if settings.anchors.exists() else []
    heard = asyncio.run(told_lately(stage.nats.url))
    report = verify(engine, read_keyring(settings.seal_keyring), anchors, heard)
    if report.problem:
        yield f"the audit finds at {report.position}: {report.problem}"


def _in_time(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + CATCH_UP_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def _wrong(stage: Stage, acknowledged: Mapping[str, int], events: Sequence[Recorded]) -> Iterator[str]:
    """Answers that do not hold. The events must have been read after the acknowledgements."""
    for mark, answers in _answers(stage).items():
        if len(answers) > 1:
            yield f"{mark} was answered {' and '.join(map(str, answers))}"
    refused = [mark for mark, answers in _answers(stage).items() if Answered(mark) in answers]
    sent = [mark for journal in stage.journals.values() for mark in journal.sent]
    yield from invariants.log_violations(events, acknowledged, refused, [*stage.marks, *sent])


def _acknowledged(stage: Stage) -> dict[str, int]:
    """The positions of the commands that were not refused, by their marks."""
    return {
        mark: answered.position
        for mark, answers in _answers(stage).items()
        for answered in answers
        if answered.position is not None
    }


def _answers(stage: Stage) -> dict[str, set[Answered]]:
    """One for each command, however often it was sent, if all is well."""
    answers: dict[str, set[Answered]] = defaultdict(set)
    for journal in stage.journals.values():
        for answered in journal.answers:
            answers[answered.mark].add(answered)
    return answers
