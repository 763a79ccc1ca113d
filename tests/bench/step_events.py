"""What the read side is measured on: step events of about 400 bytes, in runs of 500 steps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime
from typing import LiteralString
from uuid import uuid4

import psycopg
from uuid_utils.compat import uuid7

from adapters import schema
from adapters.event_json import PlainJsonMapper
from adapters.event_store import PostgresEventStore
from domain.events import Actor, ActorKind, Envelope
from domain.model_call import Message, ModelCall, Usage
from domain.steps import Step
from domain.workflow import Workflow
from tests.bench.library import StepLog, environment

STEPS = 500
CALL = ModelCall((Message("user", "Why is the sky blue?"),), "Air scatters it.", "team", Usage(21, 13), 0.25, "stop")
BENCH = Actor("bench", ActorKind.AUTOMATION)


def envelope() -> Envelope:
    """Of a command of its own."""
    return Envelope(BENCH, correlation_id=uuid7(), command_id=uuid7())


def fill_ours(url: str, events: int) -> None:
    """A store of ours with that many events."""
    schema.upgrade(url)
    mapper = PlainJsonMapper()
    with closing(PostgresEventStore(url)) as store:
        for run in runs(events):
            store.recorder.insert_events([mapper.to_stored_event(event) for event in run], envelope=envelope())


def fill_library(url: str, events: int) -> None:
    """A store of the library's with that many events."""
    with StepLog(environment(url)) as log:
        for run in runs(events):
            log.events.put(run)


def begin_anew(url: str, forget: LiteralString) -> None:
    """Empties the interaction log; `forget` makes whoever fills it forget how far it was."""
    with psycopg.connect(url, autocommit=True) as db:
        db.execute("TRUNCATE interaction_logs")
        db.execute(forget)
        db.execute("CHECKPOINT")


def runs(events: int) -> Iterator[Sequence[Workflow.StepRecorded]]:
    """The events, a run at a time."""
    for _ in range(events // STEPS):
        run, now = uuid4(), datetime.now(UTC)
        yield [
            Workflow.StepRecorded(
                originator_id=run,
                originator_version=n,
                timestamp=now,
                epoch=1,
                step=Step(uuid7(), "ada", "answer", n, CALL),
            )
            for n in range(1, STEPS + 1)
        ]
