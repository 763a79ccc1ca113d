"""Imports and their withdrawal, as jobs: each pair once, whatever happens on the way."""

from __future__ import annotations

import json
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from adapters.exchange.files import ImportFolder
from commands.exchange import import_file
from commands.exchange.import_file import ImportFileJob, Interrupted
from commands.exchange.withdraw_import import WithdrawImport
from commands.imports import ImportJudgments
from commands.jobs import CancelJob, RequestJob, StartJob, SucceedJob
from commands.policies.held_job import Attempt, PermanentFailure
from commands.preferences import (
    AnnotatePreference,
    ProposePreference,
    RevisePreference,
    UndoOpinion,
    WithdrawPreference,
)
from domain.dataset_recipe import NEWEST_BUILDER, Filter
from domain.dataset_rows import BEGINNING, TELLING, Row, rows
from domain.errors import AlreadyDone
from domain.events import Actor, ActorKind, Envelope
from domain.job import Json
from domain.preference import Preference, Verdict
from tests.builders import a_pair
from tests.fakes import MemoryEventStore, an_envelope
from tests.unit.exchange.test_forms import ALPACA

ROBOT = Actor("job:import", ActorKind.AUTOMATION)


class Stage:
    """A store, a folder, and the handlers of both jobs."""

    def __init__(self, folder: Path) -> None:
        self.store = MemoryEventStore()
        self.files = ImportFolder(folder)
        self.execute = self.store.bus().execute

    def send(self, content: bytes) -> str:
        digest = sha256(content).hexdigest()
        self.files.receive(digest, [content])
        return digest

    def ask(self, content: bytes, form: str = "auto") -> UUID:
        """A job to import that content, begun."""
        payload = {"sha256": self.send(content), "form": form, "name": "a file"}
        return self.begin(RequestJob("import", payload))

    def begin(self, asked: RequestJob) -> UUID:
        job = self.execute(asked, an_envelope()).id
        self.execute(StartJob(job, "worker-1"), an_envelope())
        return job

    def work(self, job: UUID, execute: Callable[[object, Envelope], Any] | None = None) -> Json:
        handler = ImportFileJob(self.store, self.store.beginnings, self.files, execute or self.execute, ROBOT)
        return handler(self._payload(job), Attempt(job, 1))

    def imported(self, content: bytes) -> Json:
        """What the job comes to that imports it."""
        job = self.ask(content)
        result = self.work(job)
        self.execute(SucceedJob(job, 1, result), an_envelope())
        return result | {"job": job}

    def withdraw(self, import_id: UUID) -> Json:
        payload = {"import_id": str(import_id), "reason": "a bad judge"}
        job = self.begin(RequestJob("withdraw-import", payload))
        return WithdrawImport(self.store, self.execute, ROBOT)(payload, Attempt(job, 1))

    def rows(self) -> list[Row]:
        """The pairs that stand, as a dataset has them."""
        return list(rows(self.store.lives(BEGINNING, self.store.head(), TELLING), Filter()))

    def exported(self) -> bytes:
        """Those, in our own form."""
        return b"".join(row.line(NEWEST_BUILDER) for row in self.rows())

    def proposed(self) -> list[Preference.Proposed]:
        return [each.event for each in self.store.read() if isinstance(each.event, Preference.Proposed)]

    def _payload(self, job: UUID) -> Json:
        payload: Json = self.store.history(job)[0].event.payload  # type: ignore[attr-defined]
        return payload


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path)


def lines(*given: Any) -> bytes:
    return b"".join((each if isinstance(each, bytes) else json.dumps(each).encode()) + b"\n" for each in given)


def alpaca(n: int) -> Json:
    return ALPACA | {"instruction": f"Question {n}?"}


def counts(result: Json) -> tuple[int, ...]:
    return tuple(result[name] for name in ("rows", "added", "known", "ties", "set_aside"))


def test_each_row_is_added_known_a_tie_or_set_aside(stage: Stage) -> None:
    result = stage.imported(lines(alpaca(1), alpaca(2), alpaca(1), alpaca(3) | {"preference": 0}, b"{", alpaca(4)))
    assert counts(result) == (6, 3, 1, 1, 1)
    assert (result["form"], result["method"]) == ("alpaca-eval", "imported/alpaca-eval/1")
    assert [fault["line"] for fault in result["faults"]] == [5]
    (aside,) = stage.files.set_aside(result["job"]).read_text().splitlines()
    assert json.loads(aside)["text"] == "{"


def test_a_pair_says_where_it_comes_from_and_follows_from_the_request(stage: Stage) -> None:
    result = stage.imported(lines(b"", alpaca(1)))
    asked = stage.store.history(result["job"])[0]
    (pair,) = [each for each in stage.store.read() if isinstance(each.event, Preference.Proposed)]
    source = pair.event.source
    assert (source.import_id, source.line, source.annotator) == (result["job"], 2, "gpt4")
    assert source.sha256 == result["sha256"]
    assert (pair.envelope.actor, pair.envelope.causation_id) == (ROBOT, asked.event_id)


def test_the_same_file_twice_and_one_that_overlaps_add_nothing_twice(stage: Stage) -> None:
    first, again = (stage.imported(lines(*map(alpaca, range(5)))) for _ in range(2))
    overlapping = stage.imported(lines(*map(alpaca, range(3, 8))))
    assert (counts(first), counts(again), counts(overlapping)) == ((5, 5, 0, 0, 0), (5, 0, 5, 0, 0), (5, 3, 2, 0, 0))
    assert len(stage.proposed()) == 8


def test_our_own_export_adds_nothing_to_where_it_comes_from_and_all_of_it_elsewhere(
    stage: Stage, tmp_path: Path
) -> None:
    by_hand = stage.execute(ProposePreference(a_pair(), probability=0.8), an_envelope()).id
    stage.execute(AnnotatePreference(by_hand, Verdict.FLIPPED), an_envelope())
    stage.imported(lines(alpaca(1), alpaca(2)))
    export = stage.exported()
    assert counts(stage.imported(export)) == (3, 0, 3, 0, 0)
    elsewhere = Stage(tmp_path / "elsewhere")
    assert counts(elsewhere.imported(export)) == (3, 3, 0, 0, 0)
    assert counts(elsewhere.imported(export)) == (3, 0, 3, 0, 0)


def test_an_export_is_known_again_whatever_was_said_of_its_pairs_since(stage: Stage) -> None:
    pair = stage.execute(ProposePreference(a_pair(), probability=0.8), an_envelope()).id
    exports = [stage.exported()]
    for said in (
        AnnotatePreference(pair, Verdict.FLIPPED),
        RevisePreference(pair, "Somebody's better words", None),
        UndoOpinion(pair, "it was well put"),
        AnnotatePreference(pair, Verdict.ACCEPTED),
    ):
        stage.execute(said, an_envelope())
        exports.append(stage.exported())
    assert len(set(exports)) == 5
    assert [counts(stage.imported(export)) for export in exports] == [(1, 0, 1, 0, 0)] * 5
    stage.execute(WithdrawPreference(pair, "enough"), an_envelope())
    assert [counts(stage.imported(export)) for export in exports] == [(1, 0, 1, 0, 0)] * 5


def flipped(row: Json) -> Json:
    sides = {
        "chosen": "rejected",
        "rejected": "chosen",
        "chosen_agent": "rejected_agent",
        "rejected_agent": "chosen_agent",
    }
    return row | {side: row[other] for side, other in sides.items()}


def rewritten(row: Json) -> Json:
    return row | {"chosen": [{"role": "assistant", "content": "Somebody's better words"}]}


@pytest.mark.parametrize("mended", [flipped, rewritten])
def test_what_was_changed_in_an_export_is_set_aside_with_what_to_do(
    stage: Stage, mended: Callable[[Json], Json]
) -> None:
    pair = stage.execute(ProposePreference(a_pair(), probability=0.8), an_envelope()).id
    stage.imported(lines(alpaca(1)))
    first, second = map(json.loads, stage.exported().splitlines())
    for _ in range(2):
        result = stage.imported(lines(mended(first), second))
        assert counts(result) == (2, 0, 1, 0, 1)
        ((_, told),) = (fault.values() for fault in result["faults"])
        assert told.startswith(f"pair {pair} is known with other texts, or the other way round")
        (aside,) = map(json.loads, stage.files.set_aside(result["job"]).read_text().splitlines())
        assert (aside["line"], json.loads(aside["text"])) == (1, mended(first))
    own = {name: value for name, value in mended(first).items() if name != "preference_id"}
    assert counts(stage.imported(lines(second, own))) == (2, 1, 1, 0, 0)
    assert counts(stage.imported(lines(own, own | {"preference_id": None}))) == (2, 0, 2, 0, 0)


def test_a_row_whose_id_was_taken_out_keeps_the_weight_and_the_authors_of_its_file_also_as_the_first(
    stage: Stage,
) -> None:
    for answer, probability in (("Paris!", 0.8), ("Rome!", 0.7)):
        stage.execute(ProposePreference(a_pair(answer), probability), an_envelope())
    first, second = map(json.loads, stage.exported().splitlines())
    own = {name: value for name, value in flipped(first).items() if name != "preference_id"}
    result = stage.imported(lines(own, second))
    assert (result["form"], counts(result)) == ("caravan", (2, 1, 1, 0, 0))
    added = stage.proposed()[-1]
    assert 2 * added.probability - 1 == pytest.approx(first["weight"]) == pytest.approx(0.6)
    assert (added.pair.chosen.agent, added.pair.rejected.agent) == ("ben", "ada")


def test_an_id_of_something_else_makes_no_pair_known(stage: Stage) -> None:
    stage.execute(ProposePreference(a_pair(), probability=0.8), an_envelope())
    (row,) = map(json.loads, stage.exported().splitlines())
    job = stage.ask(b"a file")
    elsewhere = rewritten(row) | {"preference_id": str(job)}
    assert counts(stage.imported(lines(elsewhere))) == (1, 1, 0, 0, 0)


@pytest.mark.parametrize("dies_at", range(6))
def test_an_import_that_was_interrupted_goes_on_and_adds_each_pair_once(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, dies_at: int
) -> None:
    monkeypatch.setattr(import_file, "ROWS_TOGETHER", 2)
    job = stage.ask(lines(*map(alpaca, range(9)), b"{"))
    steps = iter(range(100))

    def dying(command: object, envelope: Envelope) -> object:
        step = next(steps)
        if step == dies_at // 2 and dies_at % 2 == 0:
            raise ConnectionError("before it was saved")
        written = stage.execute(command, envelope)
        if step == dies_at // 2:
            raise ConnectionError("after it was saved")
        return written

    with pytest.raises(ConnectionError):
        stage.work(job, dying)
    assert counts(stage.work(job)) == (10, 9, 0, 0, 1)
    assert len(stage.proposed()) == len({each.originator_id for each in stage.proposed()}) == 9


def test_an_import_that_is_called_off_stops_and_one_that_is_over_adds_no_more(stage: Stage) -> None:
    content = lines(*map(alpaca, range(3)))
    job = stage.ask(content)
    attempt = Attempt(job, 1)
    attempt.call_off()
    handler = ImportFileJob(stage.store, stage.store.beginnings, stage.files, stage.execute, ROBOT)
    payload = {"sha256": stage.send(content), "form": "auto", "name": ""}
    with pytest.raises(Interrupted):
        handler(payload, attempt)
    stage.execute(CancelJob(job, "enough"), an_envelope())
    with pytest.raises(AlreadyDone, match="the import is cancelled"):
        handler(payload, Attempt(job, 1))
    assert stage.proposed() == []


@pytest.mark.parametrize(("content", "form"), [(b"[]", "auto"), (b'{"a": 1}', "auto"), (b"{}", "csv")])
def test_a_file_that_is_none_of_ours_is_not_tried_again(stage: Stage, content: bytes, form: str) -> None:
    with pytest.raises(PermanentFailure):
        stage.work(stage.ask(content, form))


def test_a_withdrawn_import_leaves_no_pair_of_its_own_and_comes_back_by_no_import(stage: Stage) -> None:
    content = lines(*map(alpaca, range(3)))
    first = stage.imported(content)
    stage.imported(lines(*map(alpaca, range(2, 5))))
    settled = stage.proposed()[0].originator_id
    stage.execute(AnnotatePreference(settled, Verdict.ACCEPTED), an_envelope())
    for _ in range(2):
        assert stage.withdraw(first["job"])["withdrawn"] == 3
    assert counts(stage.imported(content)) == (3, 0, 3, 0, 0)
    assert len(stage.rows()) == 2


def test_an_import_that_goes_on_or_is_none_is_not_withdrawn(stage: Stage) -> None:
    going_on = stage.ask(lines(alpaca(1)))
    with pytest.raises(PermanentFailure, match="is not over"):
        stage.withdraw(going_on)
    with pytest.raises(PermanentFailure, match="there is no import"):
        stage.withdraw(stage.begin(RequestJob("clean-up")))


def test_a_command_takes_what_another_import_has_added_meanwhile_as_known(stage: Stage) -> None:
    one = stage.ask(lines(alpaca(1)))

    def overtaken(command: object, envelope: Envelope) -> object:
        assert isinstance(command, ImportJudgments)
        stage.imported(lines(alpaca(1)))
        return stage.execute(command, envelope)

    assert counts(stage.work(one, overtaken)) == (1, 0, 1, 0, 0)
