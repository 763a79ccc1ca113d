"""4,821 real judgments, on a real Postgres: imported once, however often they come."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest
from sqlalchemy import create_engine

from adapters.event_store import PostgresEventStore
from adapters.exchange.files import ImportFolder
from commands.bus import CommandBus
from commands.exchange.import_file import ImportFileJob, Interrupted
from commands.handlers import handlers
from commands.jobs import RequestJob, StartJob
from commands.policies.held_job import Attempt
from domain.events import Actor, ActorKind
from domain.job import Json
from domain.preference import Preference
from projections import annotation_queue, dpo_annotations
from projections.engine import catch_up
from tests.fakes import BASE_MODELS, KINDS, JsonRoster, an_envelope
from tests.requirements import needs_real_inputs

ROBOT = Actor("job:import", ActorKind.AUTOMATION)


class Stage:
    def __init__(self, database: str, folder: Path) -> None:
        self.database = database
        self.store = PostgresEventStore(database)
        self.execute = CommandBus(handlers(KINDS, JsonRoster(), BASE_MODELS), self.store.session, self.store).execute
        self.files = ImportFolder(folder)
        content = (needs_real_inputs() / "alpaca_eval_judgments.jsonl.gz").read_bytes()
        self.payload: Json = {"sha256": sha256(content).hexdigest(), "form": "auto", "name": "alpaca_eval"}
        self.files.receive(self.payload["sha256"], [content])

    def begun(self) -> Attempt:
        job = self.execute(RequestJob("import", self.payload), an_envelope()).id
        self.execute(StartJob(job, "worker-1"), an_envelope())
        return Attempt(job, 1)

    def work(self, attempt: Attempt) -> Json:
        return ImportFileJob(self.store, self.store.beginnings, self.files, self.execute, ROBOT)(self.payload, attempt)

    def proposed(self) -> list[Preference.Proposed]:
        return [each.event for each in self.store.read(topics=("preference.proposed",))]  # type: ignore[misc]


@pytest.fixture
def stage(database: str, tmp_path: Path) -> Iterator[Stage]:
    stage = Stage(database, tmp_path)
    yield stage
    stage.store.close()


def counts(result: Json) -> dict[str, int]:
    return {name: result[name] for name in ("rows", "added", "known", "ties", "set_aside")}


def test_all_are_imported_and_the_same_file_again_adds_nothing(stage: Stage) -> None:
    first, again = stage.work(stage.begun()), stage.work(stage.begun())
    assert first["form"] == "alpaca-eval"
    assert counts(first) == {"rows": 4821, "added": 4730, "known": 28, "ties": 61, "set_aside": 2}
    assert counts(again) == {"rows": 4821, "added": 0, "known": 4758, "ties": 61, "set_aside": 2}
    assert [fault["reason"] for fault in first["faults"]] == ["rejected is empty"] * 2
    assert len(stage.proposed()) == 4730

    engine = create_engine(stage.database.replace("postgresql://", "postgresql+psycopg://"))
    catch_up(engine, stage.store, dpo_annotations.PROJECTOR)
    with engine.connect() as db:
        assert dpo_annotations.counts(db)["imported"] == 4730
        assert annotation_queue.count(db, "ada") == 0  # nobody has to look at them
        row = dpo_annotations.pairs(db, limit=1, newest_first=False).items[0]
    assert (row["method"], row["weight"], row["source"]["line"]) == ("imported/alpaca-eval/1", 1.0, 1)
    assert row["source"]["annotator"] == "alpaca_eval_gpt4"
    engine.dispose()


def test_what_was_broken_off_in_the_middle_goes_on_and_two_at_once_share_the_work(stage: Stage) -> None:
    broken = stage.begun()
    beat = broken.heartbeat

    def break_off(text: str = "") -> None:
        beat(text)
        if "2,000 rows" in text:
            broken.call_off()

    broken.heartbeat = break_off  # type: ignore[method-assign]
    with pytest.raises(Interrupted):
        stage.work(broken)
    before = len(stage.proposed())
    assert 0 < before < 2000

    results: list[Json] = []
    attempts = [Attempt(broken.job, 2), stage.begun()]
    threads = [threading.Thread(target=lambda each=each: results.append(stage.work(each))) for each in attempts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    proposed = Counter(event.originator_id for event in stage.proposed())
    assert (len(proposed), set(proposed.values())) == (4730, {1})
    assert sum(result["added"] for result in results) == 4730
