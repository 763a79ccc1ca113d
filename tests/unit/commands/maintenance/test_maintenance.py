"""The jobs that keep a Caravan in order: what they find, what they end, and what they leave alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import ClassVar
from uuid import UUID

import pytest

from commands.maintenance.audit_check import CheckAudit
from commands.maintenance.clean_up import CleanUp
from commands.maintenance.orphans import EndOrphans, work_of_runs, work_of_trainings
from commands.maintenance.parked_report import ParkedReport
from commands.maintenance.reconcile_adapters import ReconcileAdapters
from commands.policies.held_job import Attempt, PermanentFailure
from commands.workflows import BeginStep, StartWorkflow
from domain.events import Actor, ActorKind
from domain.job import Json
from domain.lora_weights import LoraForm, Weights
from tests.builders import CAST, RUN, a_started_training_run, a_started_workflow, an_id
from tests.fakes import BEGINNING, MemoryEventStore, an_envelope

PAYLOAD = {"idle_minutes": 60, "takeovers": 10}


def an_attempt() -> Attempt:
    return Attempt(an_id("job"), 1)


def test_parked_events_are_counted_by_reader() -> None:
    report = ParkedReport(lambda: {"jobs": 0, "audit": 2}, lambda: {"propose_pairs": 1})
    assert report({}, an_attempt()) == {"events": 3, "read_models": {"audit": 2}, "policies": {"propose_pairs": 1}}


class Orphanage:
    """A run and a training that have begun, and which of them have lost their worker."""

    def __init__(self) -> None:
        self.store = MemoryEventStore()
        self.training = a_started_training_run()
        self.store.session(an_envelope()).save(a_started_workflow())
        self.store.session(an_envelope()).save(self.training)
        self.abandoned: list[UUID] = []

    def ended(self, minutes: float, up_since: datetime = BEGINNING, payload: Json = PAYLOAD) -> Json:
        """What a job finds so many minutes after the beginning."""

        def lost(id: UUID) -> Sequence[UUID]:
            return [id] if id in self.abandoned else []

        kinds = [
            work_of_runs(lambda: [RUN], lambda: lost(RUN)),
            work_of_trainings(lambda: [self.training.id], lambda: lost(self.training.id)),
        ]
        now = BEGINNING + timedelta(minutes=minutes)
        actor = Actor("job:orphans", ActorKind.AUTOMATION)
        end = EndOrphans(self.store, self.store.bus().execute, kinds, actor, lambda: now, up_since)
        return end(payload, an_attempt())


@pytest.fixture
def orphanage() -> Orphanage:
    return Orphanage()


def test_work_in_living_hands_is_left_alone(orphanage: Orphanage) -> None:
    assert orphanage.ended(minutes=10_000) == {"runs": [], "trainings": []}


def test_work_that_lost_its_worker_just_now_is_left_to_the_sweep(orphanage: Orphanage) -> None:
    orphanage.abandoned = [RUN, orphanage.training.id]
    assert orphanage.ended(minutes=59) == {"runs": [], "trainings": []}


def test_work_that_nobody_took_over_is_ended_with_the_reason(orphanage: Orphanage) -> None:
    orphanage.abandoned = [RUN, orphanage.training.id]
    assert orphanage.ended(minutes=62) == {"runs": [str(RUN)], "trainings": [str(orphanage.training.id)]}
    stopped = orphanage.store.history(RUN)[-1]
    assert stopped.type == "workflow.failed", "it can be retried"
    assert "orphaned: its worker is gone" in stopped.event.reason  # type: ignore[attr-defined]
    assert orphanage.store.history(orphanage.training.id)[-1].type == "training_run.failed"


def test_a_caravan_that_was_off_for_a_night_ends_nothing(orphanage: Orphanage) -> None:
    orphanage.abandoned = [RUN]
    assert orphanage.ended(minutes=600, up_since=BEGINNING + timedelta(minutes=590))["runs"] == []


def test_a_run_that_is_started_again_and_again_without_a_step_is_ended(orphanage: Orphanage) -> None:
    assert orphanage.ended(minutes=1, payload={"idle_minutes": 60, "takeovers": 0})["runs"] == [str(RUN)]


def test_a_run_whose_every_worker_dies_of_the_same_step_is_ended(orphanage: Orphanage) -> None:
    bus = orphanage.store.bus()
    for epoch in (2, 3):
        bus.execute(StartWorkflow(RUN, f"worker-{epoch}", CAST), an_envelope())
        bus.execute(BeginStep(RUN, epoch, "ada", "answer", 0), an_envelope())
    assert orphanage.ended(minutes=1, payload={"idle_minutes": 60, "takeovers": 3})["runs"] == []
    assert orphanage.ended(minutes=1, payload={"idle_minutes": 60, "takeovers": 2})["runs"] == [str(RUN)]


def test_work_that_ended_meanwhile_is_nobodys_orphan(orphanage: Orphanage) -> None:
    orphanage.abandoned = [RUN]
    orphanage.ended(minutes=62)
    assert orphanage.ended(minutes=200)["runs"] == []


class Place:
    name: ClassVar[str] = "crumbs"

    def remove(self, logs_older_than: timedelta) -> int:
        return logs_older_than.days


def test_each_place_is_cleaned_and_says_how_much_it_was() -> None:
    assert CleanUp([Place()])({"log_days": 7}, an_attempt()) == {"crumbs": 7}


class Files(dict[str, tuple[Weights | None, Weights | None]]):
    """Name: the weights, and what the passport says of them."""

    def names(self) -> frozenset[str]:
        return frozenset(self)

    def weights(self, name: str) -> Weights | None:
        return self[name][0]

    def passport(self, name: str) -> Weights | None:
        return self[name][1]


FORM = LoraForm(8, 16, frozenset({"q_proj"}))


def test_adapters_are_sound_missing_corrupt_or_foreign() -> None:
    """Corrupt are other weights, also such as only act otherwise, and a passport of others or of none."""
    a, other, louder = Weights("a", FORM), Weights("b", FORM), Weights("a", replace(FORM, lora_alpha=1_024))
    registered = dict.fromkeys((f"team@{n}" for n in range(1, 8)), a)
    files = Files(
        {
            "team@1": (a, a),
            "team@3": (other, a),
            "team@4": (a, None),
            "team@5": (louder, a),
            "team@6": (louder, louder),
            "team@7": (None, a),
            "mine": (other, None),
        }
    )
    assert ReconcileAdapters(lambda: registered, files)({}, an_attempt()) == {
        "sound": 1,
        "missing": ["team@2"],
        "corrupt": ["team@3", "team@4", "team@5", "team@6", "team@7"],
        "foreign": ["mine"],
    }


def test_a_check_goes_on_where_the_last_one_ended_unless_everything_is_asked_for() -> None:
    seen: list[Json | None] = []

    def verify(since: Json | None, tell: object) -> Json:
        seen.append(since)
        return {"problem": None}

    check = CheckAudit(lambda: {"seals": 3}, verify)
    check({"everything": False}, an_attempt())
    check({"everything": True}, an_attempt())
    assert seen == [{"seals": 3}, None]


def test_a_log_that_was_tampered_with_is_no_result_but_a_failure() -> None:
    check = CheckAudit(lambda: None, lambda since, tell: {"problem": "it was added", "position": 7})
    with pytest.raises(PermanentFailure, match="at position 7: it was added"):
        check({"everything": False}, an_attempt())
