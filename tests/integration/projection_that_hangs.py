"""Folds half a batch of workflow runs, then hangs in the middle of its transaction: for a test that kills it there."""

from __future__ import annotations

import sys
import time
from dataclasses import replace

from sqlalchemy import create_engine

from adapters.event_store import PostgresEventStore
from domain.events import Recorded
from projections import checkpoints, engine, workflow_runs
from projections.projector import Projector, Row

URL, HANG_IN = sys.argv[1:]


def hang() -> None:
    sys.stdout.write("in the middle\n")
    sys.stdout.flush()
    time.sleep(60)


def fold(row: Row | None, recorded: Recorded) -> Row | None:
    if HANG_IN == "fold" and recorded.type == "workflow.completed":
        hang()
    return workflow_runs.fold(row, recorded)


def hang_after_moving(*args: object) -> None:
    move(*args)  # type: ignore[arg-type]
    hang()


move = checkpoints.move
if HANG_IN == "move":
    checkpoints.move = hang_after_moving
projector: Projector = replace(workflow_runs.PROJECTOR, fold=fold)
store = PostgresEventStore(URL)
engine.catch_up(create_engine(URL.replace("postgresql://", "postgresql+psycopg://")), store, projector)
