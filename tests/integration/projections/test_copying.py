"""Rows that are copied in are the rows that JSON would have made, and what COPY cannot take leaves no trace."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Connection, Engine, select, text

from adapters.event_store import PostgresEventStore
from projections import ALL, interaction_log
from projections import engine as taking_in
from projections.copying import copied
from projections.engine import catch_up
from projections.parked import parked_events
from projections.projector import Projector, Row
from projections.rebuild import rebuild
from projections.rows import upsert
from tests.integration.projections.read_models import folded, rows

PROJECTOR = interaction_log.PROJECTOR
ROW: Row = {
    "step_id": UUID(int=1),
    "run_id": UUID(int=2),
    "agent": "ada",
    "phase": "answer",
    "n": 1,
    "attempt": 1,
    "cached": False,
    "messages": [{"role": "user", "content": "Why is the sky blue?"}],
    "output": "Air scatters it.",
    "tool_calls": [],
    "model": "team",
    "adapter": None,
    "model_revision": None,
    "input_tokens": 21,
    "output_tokens": 13,
    "latency": 0.25,
    "finish_reason": "stop",
    "score": None,
    "error": None,
    "recorded_at": datetime(2026, 11, 22, 12, tzinfo=UTC),
    "correlation_id": UUID(int=3),
    "position": 1,
}


def stored(db: Connection) -> list[Row]:
    return [dict(row) for row in db.execute(select(PROJECTOR.table)).mappings()]


@pytest.fixture
def copying(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few rows are copied too."""
    monkeypatch.setattr(taking_in, "MANY", 1)


@pytest.mark.usefixtures("copying")
@pytest.mark.parametrize("projector", [each for each in ALL if each.inserts_only], ids=lambda each: each.name)
def test_every_table_of_rows_that_nothing_changes_can_be_copied_into(
    projector: Projector, engine: Engine, told: PostgresEventStore
):
    wanted = folded(told, projector)
    with engine.begin() as db:
        assert copied(db, projector, list(wanted.values()))
    assert rows(engine, projector) == wanted


@pytest.mark.parametrize(
    "values",
    [
        {"output": "tab\t, line\n, \\N, \\., \"quoted\", 'quoted', \x7f \u2028 \U0001f600"},
        {"output": "", "adapter": ""},
        {"n": 2**31 - 1, "input_tokens": -(2**31), "position": 2**63 - 1},
        {"latency": -0.0, "score": 5e-324},
        {"latency": float("nan"), "score": float("-inf")},
        {"latency": 3, "score": 0.1 + 0.2},
        {"recorded_at": datetime(1, 1, 2, 3, 4, 5, 6, tzinfo=timezone(timedelta(hours=5, minutes=45)))},
        {"recorded_at": datetime(9999, 12, 30, 23, 59, 59, 999999, tzinfo=UTC)},
        {"messages": [{"a": [1, 1.5, True, None, "\u00fc\t\\", {"b": {}}]}, float("inf")]},
        {"messages": {}, "tool_calls": "text"},
    ],
    ids=str,
)
def test_a_value_comes_out_of_the_table_as_if_it_had_gone_in_as_json(
    values: dict[str, Any], engine: Engine, store: PostgresEventStore
):
    with engine.begin() as db:
        upsert(db, PROJECTOR, [ROW | values])
        as_json = stored(db)
        db.execute(text("TRUNCATE interaction_logs"))
        assert copied(db, PROJECTOR, [ROW | values])
        assert repr(stored(db)) == repr(as_json)


@pytest.mark.parametrize(
    "values",
    [
        {"n": 2**31},
        {"n": -(2**31) - 1},
        {"position": 2**63},
        {"n": 1.5},
        {"n": "1"},
        {"n": None},
        {"output": "NUL \x00"},
        {"output": "a lone surrogate \ud800"},
        {"output": 1},
        {"messages": ["NUL \x00"]},
        {"messages": None},
        {"run_id": "no id"},
        {"latency": "slow"},
        {"recorded_at": datetime(2026, 11, 22)},
        {"step_id": ROW["step_id"]},
    ],
    ids=ascii,
)
def test_what_cannot_be_copied_is_left_for_others_to_judge(
    values: dict[str, Any], engine: Engine, store: PostgresEventStore
):
    good = {"step_id": UUID(int=4), "position": 4}
    with engine.begin() as db:
        assert copied(db, PROJECTOR, [ROW])
        before = stored(db)
        assert not copied(db, PROJECTOR, [ROW | good, ROW | {"step_id": UUID(int=5), "position": 5} | values])
        assert stored(db) == before


@pytest.mark.usefixtures("copying")
def test_rows_that_are_there_already_are_written_once_more(engine: Engine, told: PostgresEventStore):
    catch_up(engine, told, PROJECTOR)
    with engine.begin() as db:
        db.execute(text("DELETE FROM checkpoints"))
    catch_up(engine, told, PROJECTOR)
    assert rows(engine, PROJECTOR) == folded(told, PROJECTOR)


@pytest.mark.usefixtures("copying")
def test_an_event_that_cannot_be_read_keeps_no_other_from_being_copied(
    engine: Engine, told: PostgresEventStore, monkeypatch: pytest.MonkeyPatch
):
    wanted = folded(told, PROJECTOR)
    culprit = min(wanted.values(), key=lambda row: row["position"])
    with engine.begin() as db:
        spoil = text("UPDATE stored_events SET state = '{\"no\": 1}' WHERE notification_id = :position")
        db.execute(spoil, {"position": culprit["position"]})
    monkeypatch.setattr(taking_in, "upsert", None)
    catch_up(engine, told, PROJECTOR)
    assert rows(engine, PROJECTOR).keys() == wanted.keys() - {culprit["step_id"]}
    with engine.connect() as db:
        assert [event["position"] for event in parked_events(db, PROJECTOR.name).items] == [culprit["position"]]


@pytest.mark.usefixtures("copying")
def test_a_rebuild_by_copying_comes_to_the_same_rows(engine: Engine, told: PostgresEventStore):
    catch_up(engine, told, PROJECTOR)
    assert rebuild(engine, told, PROJECTOR).differing == 0
    assert rows(engine, PROJECTOR) == folded(told, PROJECTOR)
