"""Live projection: our engine against the library's ProjectionRunner, each from its own store into the same table."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any
from uuid import UUID

from eventsourcing.persistence import Tracking
from eventsourcing.postgres import PostgresTrackingRecorder
from eventsourcing.projection import Projection, ProjectionRunner
from psycopg.types.json import Jsonb

from adapters import schema
from adapters.event_store import PostgresEventStore
from domain.events import Envelope, Recorded
from gateway.bootstrap import open_engine
from projections import interaction_log
from projections.engine import catch_up
from tests.bench.library import StepLog, environment
from tests.bench.results import Result, Timing, measured
from tests.bench.step_events import BENCH, begin_anew, fill_library, fill_ours

OURS, PEERS = 20_000, 2_000
"""Events of a round. The peer's are fewer, so that its round takes about as long."""
ENVELOPE = Envelope(BENCH, correlation_id=UUID(int=0))
INSERT = "INSERT INTO interaction_logs VALUES ({})".format(
    ", ".join(f"%({column.name})s" for column in interaction_log.TABLE.c)
)


class LogView(PostgresTrackingRecorder):
    """The same rows in the same table, with the library's means: each in a transaction with its tracking record."""

    def write(self, row: dict[str, Any], tracking: Tracking) -> None:
        """A row of the interaction log."""
        given = row | {name: Jsonb(row[name]) for name in ("messages", "tool_calls")}
        with self.datastore.transaction(commit=True) as cursor:
            self._insert_tracking(cursor, tracking)
            cursor.execute(INSERT, given, prepare=True)


class LogProjection(Projection[LogView]):
    def process_event(self, domain_event: Any, tracking: Tracking) -> None:
        """Folds it as we do."""
        recorded = Recorded(tracking.notification_id, domain_event, ENVELOPE, domain_event.timestamp)
        if row := interaction_log.fold(None, recorded):
            self.view.write(row, tracking)


def run(our_database: str, peer_database: str) -> Iterator[Result]:
    """Events that are there already, taken in from the first on, with all indexes in place."""
    fill_ours(our_database, OURS)
    schema.upgrade(peer_database)
    fill_library(peer_database, PEERS)
    engine = open_engine(our_database)
    with closing(PostgresEventStore(our_database)) as store:

        def ours() -> Timing:
            begin_anew(our_database, "DELETE FROM checkpoints")
            began = time.perf_counter()
            catch_up(engine, store, interaction_log.PROJECTOR)
            return Timing(OURS / (time.perf_counter() - began))

        def peers() -> Timing:
            begin_anew(peer_database, "DROP TABLE IF EXISTS logprojection_tracking")
            began = time.perf_counter()
            with ProjectionRunner(
                application_class=StepLog,
                projection_class=LogProjection,
                view_class=LogView,
                env=environment(peer_database),
            ) as runner:
                runner.wait(runner.app.recorder.max_notification_id(), timeout=60)
                return Timing(PEERS / (time.perf_counter() - began))

        yield measured("project_live", {"events": OURS}, "events/s", ours, peers, "ProjectionRunner")
    engine.dispose()
