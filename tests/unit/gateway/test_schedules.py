"""Settings of jobs: schedules and slots, as they are given and as every process is told."""

from __future__ import annotations

import json
from typing import Any

import pytest

from adapters.cron import Cron
from domain.errors import Invalid
from gateway.bootstrap import schedules_of
from gateway.jobs import slots
from gateway.settings import Settings
from gateway.stack import environment


def settings(**given: Any) -> Settings:
    return Settings(database_url="postgresql://db/x", nats_url="nats://nats:4222", **given)


def test_a_schedule_has_another_time_or_is_not_wanted() -> None:
    wanted = {each.name: each.cron for each in schedules_of(settings(schedules={"orphans": "0 * * * *"}), Cron())}
    assert wanted["orphans"] == "0 * * * *"
    assert wanted["clean-up"] == "30 3 * * *"
    assert "clean-up" not in {each.name for each in schedules_of(settings(schedules={"clean-up": "never"}), Cron())}


@pytest.mark.parametrize(
    ("schedules", "why"),
    [
        ({"sweep": "* * * * *"}, "there is no sweep; there is parked-report"),
        ({"orphans": "often"}, "no cron expression"),
    ],
)
def test_a_schedule_that_cannot_be_is_refused_at_the_start(schedules: dict[str, str], why: str) -> None:
    with pytest.raises(Invalid, match=why):
        schedules_of(settings(schedules=schedules), Cron())


def test_each_queue_has_its_slots() -> None:
    all_of_them = {"maintenance": 2, "checks": 1, "exchange": 2, "evaluations": 2}
    assert slots(settings(concurrent_jobs={"checks": 1})) == all_of_them
    with pytest.raises(Invalid, match="there is no queue chores"):
        slots(settings(concurrent_jobs={"chores": 1}))


def test_processes_are_told_what_they_can_read_back(monkeypatch: pytest.MonkeyPatch) -> None:
    told = environment(settings(concurrent_jobs={"checks": 3}, schedules={"orphans": "never"}), "worker", {})
    assert json.loads(told["CARAVAN_CONCURRENT_JOBS"]) == {"checks": 3}
    for name in ("CARAVAN_CONCURRENT_JOBS", "CARAVAN_SCHEDULES"):
        monkeypatch.setenv(name, told[name])
    assert settings().concurrent_jobs == {"checks": 3}
    assert settings().schedules == {"orphans": "never"}
