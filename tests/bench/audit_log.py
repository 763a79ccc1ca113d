"""A long log, made up in PostgreSQL itself: runs of 50 events, six at a time, over a hundred days.

What is common, rare, or of a certain time in it is as uneven as it is in real logs. It is not read from events, so that
ten million of them take minutes.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection, Engine, text

from projections import audit

BEGINNING = datetime(2026, 1, 1, tzinfo=UTC)
DAYS = 100
REVISIONS = 100
AGENTS = 8
LONG_RUN = 50_000
"""Steps of the one run that is much longer than the others; it begins in the middle of the log."""

_AUDIT = """
WITH numbered AS (
    SELECT p, p BETWEEN :middle AND :middle + :long_run AS long, p / 300 * 6 + p % 6 AS run, p % 300 / 6 AS n
    FROM generate_series(CAST(:first AS bigint), :last) AS p
), told AS (
    SELECT p, CASE
        WHEN long THEN CASE WHEN p = :middle THEN 'workflow.requested' ELSE 'workflow.step_recorded' END
        WHEN p % 100000 = 99 THEN 'agent_roster.revised'
        WHEN p % 100000 = 77 THEN 'lora_adapter.promoted'
        WHEN n = 0 THEN 'workflow.requested'
        WHEN n = 1 THEN 'workflow.started'
        WHEN n < 33 THEN 'workflow.step_recorded'
        WHEN n < 48 THEN 'workflow.ballot_cast'
        WHEN n = 48 THEN 'workflow.completed'
        WHEN run % 2 = 0 THEN 'preference.proposed'
        ELSE 'preference.annotated' END AS type,
    CASE WHEN long THEN 'long' ELSE run::text END AS run,
    CASE WHEN long THEN :middle ELSE run / 6 * 300 + run % 6 END AS requested,
    CASE WHEN p % 1000003 = 5 AND p < :last / 5 THEN 'archivist' ELSE 'agent-' || (p * 7919 % :agents) END AS agent
    FROM numbered
), done AS (
    SELECT *, type = 'workflow.step_recorded' AS step, type = 'preference.annotated' AS annotated,
        type IN ('workflow.step_recorded', 'workflow.ballot_cast') AS own
    FROM told
)
INSERT INTO audit
SELECT p, md5('event' || p)::uuid, type,
    CASE WHEN type LIKE 'preference%' THEN md5('pair' || run) WHEN type LIKE 'workflow%' THEN md5('run' || run)
         ELSE md5(type) END::uuid,
    CAST(:beginning AS timestamptz) + p * CAST(:tick AS interval),
    CASE WHEN own THEN agent WHEN annotated THEN 'annotator-' || p % 97 WHEN type LIKE '%ed' AND p % 100000 < 100
         THEN 'ada' WHEN p % 7 = 0 THEN 'worker-' || p % 16 ELSE 'worker' END,
    CASE WHEN own THEN 'agent' WHEN annotated OR type IN ('agent_roster.revised', 'lora_adapter.promoted') THEN 'human'
         ELSE 'automation' END,
    CASE WHEN annotated THEN md5('request' || p) ELSE md5('request' || run) END::uuid,
    CASE WHEN type = 'preference.proposed' THEN md5('event' || (p - 6)) WHEN type LIKE 'workflow%' AND p <> requested
         THEN md5('event' || requested) END::uuid,
    md5('command' || p)::uuid,
    CASE WHEN own THEN agent END,
    CASE WHEN step AND p % 1000003 < 2 THEN '{hammer}'::text[] WHEN step AND p % 25 = 3 THEN '{search}'::text[]
         WHEN step AND p % 101 = 7 AND agent <> 'agent-1' THEN '{calculator,search}'::text[] END,
    CASE WHEN step THEN CASE WHEN p < 1000 THEN 'an-early-one' WHEN p % 50 = 9 THEN 'large' ELSE 'small' END END,
    CASE WHEN step AND p % 3 > 0 OR type = 'lora_adapter.promoted' THEN 'team@' || (p * 50 / :last + 1) END
FROM done
"""

_RUNS = """
INSERT INTO workflow_runs (run_id, kind, batch, task, ref, category, turns, limits, shared, state, agents,
    roster_revision, "cast", epoch, takeovers, failures, steps, repeated, ballots, unparseable, input_tokens,
    output_tokens, requested_at, requested_position, actor, correlation_id, version, position)
SELECT aggregate_id, 'mutual_ranking', '', repeat('a task ', 20), '', '', 1, '{}', '[]', 'completed', '["agent-1"]',
    position * :revisions / :last + 1, '[]', 1, 0, '{}', 31, 0, 15, 0, 1000,
    1000, recorded_at, position, actor, correlation_id, 50,
    CASE WHEN position = :middle THEN position + :long_run ELSE position + 288 END
FROM audit WHERE type = 'workflow.requested'
"""

_PAIRS = """
INSERT INTO dpo_annotations (preference_id, state, prompt, chosen, rejected, method, probability, margin, weight,
    spoken_by, wanted, skipped_by, assigned_to, in_doubt, urgency,
    run_id, ballots, proposed_at, proposed_position, actor, correlation_id, version, position)
SELECT proposed.aggregate_id, 'waiting', '[]', '[]', '[]', 'bradley-terry/1', 0.7, 1, 0.4,
    '[]', 1, '[]', '[]', false, 0.3, led.aggregate_id, '[]',
    proposed.recorded_at, proposed.position, proposed.actor, proposed.correlation_id, 1, proposed.position
FROM audit AS proposed JOIN audit AS led ON led.position = proposed.position - 6
WHERE proposed.type = 'preference.proposed'
"""

_ROSTERS = """
INSERT INTO agent_rosters (revision, text, sha256, agents, author, author_kind, reason, recorded_at, position)
SELECT revision, '', '', (
    SELECT jsonb_agg(jsonb_build_object('name', 'agent-' || n, 'role', 'one of them', 'system_message',
        'You are brief.' || repeat(' Be exact.', 50) || (revision + n) / 3))
    FROM generate_series(1, 12) AS n
), 'ada', 'human', 'because', :beginning, revision
FROM generate_series(1, :revisions) AS revision
"""

_STORED_EVENTS = """
INSERT INTO stored_events (originator_id, originator_version, topic, state, notification_id, event_id, recorded_at,
    actor_subject, actor_kind, command_id, command_index, correlation_id, causation_id)
SELECT aggregate_id, position, type, CAST('{"timestamp": "2026-01-01T00:00:00Z"}' AS bytea), position, event_id,
    recorded_at, actor, actor_kind, command_id, 0, correlation_id, causation_id
FROM audit
"""

_TABLES = ("audit", "workflow_runs", "dpo_annotations", "agent_rosters", "stored_events")


def fill(engine: Engine, events: int) -> None:
    """Fills an empty database with that many events, and the read models that the audit asks besides its own."""
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as db:
        for table in _TABLES:
            db.execute(text(f"ALTER TABLE {table} SET UNLOGGED"))
        with _without_indexes(db):
            append(db, 1, events, events)
        for statement in (_RUNS, _PAIRS, _ROSTERS, _STORED_EVENTS):
            db.execute(text(statement), _parameters(statement, 1, events, events))
        for table in _TABLES:
            db.execute(text(f"VACUUM (ANALYZE) {table}"))


def append(db: Connection, first: int, last: int, events: int) -> None:
    """The audit's rows from `first` to `last`, of a log of that many events."""
    db.execute(text(_AUDIT), _parameters(_AUDIT, first, last, events))


@contextmanager
def _without_indexes(db: Connection) -> Iterator[None]:
    for index in audit.TABLE.indexes:
        index.drop(db)
    yield
    for index in audit.TABLE.indexes:
        index.create(db)


def _parameters(statement: str, first: int, last: int, events: int) -> dict[str, object]:
    known = {
        "first": first,
        "last": last,
        "middle": middle(events),
        "long_run": LONG_RUN,
        "agents": AGENTS,
        "revisions": REVISIONS,
        "beginning": BEGINNING,
        "tick": timedelta(days=DAYS) / events,
    }
    return {name: value for name, value in known.items() if f":{name}" in statement}


def middle(events: int) -> int:
    """Where the long run is asked for."""
    return events // 2 // 300 * 300
