"""Periodic jobs: each moment's job is asked for once, whoever asks, and of those that were missed the last."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from adapters.cron import Cron
from commands.policies.run_schedules import RunSchedules
from domain.errors import Invalid
from domain.events import Actor, ActorKind
from domain.job import Job
from domain.schedule import Schedule
from tests import story
from tests.fakes import BEGINNING, MemoryEventStore, an_envelope

HOURLY = Schedule("hourly", "clean-up", "0 * * * *", {"log_days": 7})


class Caravan:
    """A log that begins at BEGINNING, midnight, and a clock that the test sets."""

    def __init__(self) -> None:
        self.store = MemoryEventStore()
        self.store.session(an_envelope()).save(story.roster())
        self.now = BEGINNING

    def scheduler(self) -> RunSchedules:
        bus, actor = self.store.bus(), Actor("scheduler", ActorKind.AUTOMATION)
        return RunSchedules(self.store, bus.execute, [HOURLY], Cron(), actor, lambda: self.now)

    def jobs(self) -> list[UUID]:
        return [each.event.originator_id for each in self.store.read(topics=["job.requested"])]


@pytest.fixture
def caravan() -> Caravan:
    return Caravan()


def hours(number: float) -> datetime:
    return BEGINNING + timedelta(hours=number)


def test_a_job_is_asked_for_when_it_is_due_and_once(caravan: Caravan) -> None:
    scheduler = caravan.scheduler()
    for now in (0.5, 0.99, 1, 1.01, 1.5, 2):
        caravan.now = hours(now)
        scheduler.ask()
    assert caravan.jobs() == [HOURLY.job_at(hours(1)), HOURLY.job_at(hours(2))]
    requested = next(caravan.store.read(topics=["job.requested"]))
    assert isinstance(requested.event, Job.Requested)
    assert (requested.event.schedule, requested.event.payload) == ("hourly", {"log_days": 7})
    assert requested.envelope.actor.subject == "scheduler"


def test_of_the_runs_that_were_missed_the_last_is_made_up_for_once(caravan: Caravan) -> None:
    caravan.now = hours(1)
    caravan.scheduler().ask()
    caravan.now = hours(9.5)
    for scheduler in (caravan.scheduler(), caravan.scheduler()):
        scheduler.ask()
        scheduler.ask()
    assert caravan.jobs() == [HOURLY.job_at(hours(1)), HOURLY.job_at(hours(9))]


def test_two_leaders_make_one_job(caravan: Caravan) -> None:
    first, second = caravan.scheduler(), caravan.scheduler()
    caravan.now = hours(1)
    first.ask()
    second.ask()
    assert len(caravan.jobs()) == 1


def test_what_was_due_before_the_log_began_was_missed_by_nobody(caravan: Caravan) -> None:
    caravan.now = hours(0.9)
    caravan.scheduler().ask()
    assert caravan.jobs() == []


def test_an_empty_log_has_no_schedules_yet() -> None:
    store, actor = MemoryEventStore(), Actor("scheduler", ActorKind.AUTOMATION)
    RunSchedules(store, store.bus().execute, [HOURLY], Cron(), actor, lambda: hours(5)).ask()
    assert store.head() == 0


@pytest.mark.parametrize(
    ("cron", "now", "last", "following"),
    [
        ("0 * * * *", "10:00:00", "10:00:00", "11:00:00"),
        ("0 * * * *", "10:59:59.999999", "10:00:00", "11:00:00"),
        ("*/15 * * * *", "10:14:59", "10:00:00", "10:15:00"),
        ("30 3 * * *", "10:00:00", "03:30:00", None),
    ],
)
def test_a_cron_expression_says_what_was_due_last_and_what_is_next(
    cron: str, now: str, last: str, following: str | None
) -> None:
    def at(clock: str) -> datetime:
        return datetime.fromisoformat(f"2026-01-01T{clock}").replace(tzinfo=UTC)

    assert Cron().last(cron, at(now)) == at(last)
    if following:
        assert Cron().next(cron, at(now)) == at(following)


@pytest.mark.parametrize("cron", ["", "* * * *", "61 * * * *", "* * * * * *", "hourly"])
def test_what_is_no_cron_expression_is_refused(cron: str) -> None:
    with pytest.raises(Invalid, match="no cron expression"):
        Cron().check(cron)
