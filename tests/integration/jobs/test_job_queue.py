"""Jobs on a real Postgres and a real NATS: each is done, or dead with its reason, whoever dies or forgets."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from uuid import UUID

import pytest

from adapters.embedded.nats_server import EmbeddedNats
from commands.jobs import CancelJob, ReplayJob, StartJob, SucceedJob
from domain.errors import LeaseLost
from domain.job import Job, JobState, Priority
from domain.ports.jobs import LostJob
from projections import lookups
from tests.eventually import eventually
from tests.integration.jobs.crew import Crew, crew_on
from tests.integration.processes import kill_9
from tests.invariants import job_violations


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedNats]:
    folder = tmp_path_factory.mktemp("work queue")
    with EmbeddedNats(folder / "nats", folder / "nats.log") as server:
        yield server


@pytest.fixture
def crew(database: str, server: EmbeddedNats) -> Iterator[Crew]:
    with crew_on(database, server.url) as crew:
        yield crew


async def test_a_job_is_done_and_its_result_kept(crew: Crew) -> None:
    async with crew.at_work():
        job = await crew.until(crew.request("note", note="hello"), JobState.SUCCEEDED)
    assert job["result"] == {"noted": "hello"}
    assert (job["attempt"], job["failures"], job["worker"]) == (1, 0, "worker-1")


async def test_a_job_that_always_fails_is_retried_then_dead_and_replayed_by_one_command(crew: Crew) -> None:
    id = crew.request("fail")
    async with crew.at_work():
        dead = await crew.until(id, JobState.DEAD)
        assert dead["reason"] == "all 3 attempts failed: ConnectionError: attempt 3 met nobody"
        assert crew.topics(id) == ["requested", *["started", "attempt_failed"] * 3, "dead_lettered"]
        rests = _rests(crew, id)
        assert 0.01 <= rests[0] <= 0.02
        assert 0.02 <= rests[1] <= 0.04

        crew.execute(ReplayJob(id))
        await crew.until(id, JobState.DEAD)
    assert crew.handlers.done == [1, 2, 3, 1, 2, 3]
    assert crew.job(id)["failures"] == 6


async def test_what_can_never_be_done_is_dead_at_once(crew: Crew) -> None:
    async with crew.at_work():
        dead = await crew.until(crew.request("refuse"), JobState.DEAD)
    assert (dead["failures"], dead["attempt"]) == (1, 1)
    assert "another attempt would not help" in dead["reason"]


async def test_a_job_that_says_nothing_for_too_long_is_given_up(crew: Crew) -> None:
    id = crew.request("hang")
    async with crew.at_work():
        dead = await crew.until(id, JobState.DEAD)
        await eventually(lambda: crew.handlers.called_off == [id])
    assert "no sign of life for 0.3 s" in dead["reason"]


async def test_a_job_that_runs_is_cancelled_and_its_handler_called_off(crew: Crew) -> None:
    id = crew.request("wait")
    async with crew.at_work():
        await crew.until(id, JobState.RUNNING)
        crew.execute(CancelJob(id, "not needed"))
        await eventually(lambda: crew.handlers.called_off == [id])
    assert crew.topics(id) == ["requested", "started", "cancelled"]


async def test_a_worker_that_stops_gives_its_jobs_back_and_no_attempt_is_lost(crew: Crew) -> None:
    id = crew.request("wait")
    async with crew.at_work("worker-1"):
        await crew.until(id, JobState.RUNNING)
    assert crew.topics(id)[-1] == "released"
    async with crew.at_work("worker-2"):
        job = await crew.until(id, JobState.RUNNING)
        assert (job["attempt"], job["epoch"], job["worker"]) == (1, 2, "worker-2")


async def test_a_killed_worker_costs_one_attempt_and_its_late_report_is_refused(
    crew: Crew, database: str, server: EmbeddedNats
) -> None:
    command = [sys.executable, "-m", "tests.integration.jobs.crew", database, server.url, "victim"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as victim:  # noqa: ASYNC220 - it is brief
        id = crew.request("wait")
        assert victim.stdout
        assert await asyncio.to_thread(victim.stdout.readline) == "begins 1\n"
        kill_9(victim.pid)
    async with crew.at_work("heir"):
        await eventually(lambda: crew.job(id)["epoch"] == 2, every_seconds=0.05)
        job = crew.job(id)
        assert (job["attempt"], job["worker"], job["error"]) == (2, "heir", "its worker victim is gone")
        with pytest.raises(LeaseLost):
            crew.execute(SucceedJob(id, epoch=1, result={"from": "a zombie"}))


async def test_an_attempt_of_which_a_living_worker_says_nothing_is_lost(
    crew: Crew, monkeypatch: pytest.MonkeyPatch
) -> None:
    id = crew.request("hang")
    with crew.presence.announced("sleeper"):
        crew.execute(StartJob(id, "sleeper"))
        assert crew.at_hand.lost() == []
        monkeypatch.setattr(lookups, "SLACK", timedelta(0))
        await eventually(lambda: bool(crew.at_hand.lost()), every_seconds=0.05)
        assert crew.at_hand.lost() == [LostJob(id, 1, "its worker sleeper said nothing for 0.3 s")]


async def test_higher_priorities_go_first_and_the_lowest_is_not_forgotten(crew: Crew) -> None:
    for priority in (Priority.LOW, Priority.NORMAL, Priority.HIGH):
        for number in range(12):
            crew.request("note", priority, note=f"{priority}-{number}")
    async with crew.at_work(slots=1):
        await eventually(lambda: len(crew.handlers.done) == 36)
    served = [str(note).partition("-")[0] for note in crew.handlers.done]
    place = {priority: sum(at for at, name in enumerate(served) if name == priority) / 12 for priority in Priority}
    assert place[Priority.HIGH] < place[Priority.NORMAL] < place[Priority.LOW]
    assert Priority.LOW in served[:16]


async def test_a_nats_that_is_wiped_under_load_loses_no_job(crew: Crew, server: EmbeddedNats) -> None:
    ids = [crew.request("note", note=number, seconds=0.02) for number in range(200)]
    async with crew.at_work("worker-1"), crew.at_work("worker-2"):
        await eventually(lambda: len(crew.handlers.done) > 40)
        await asyncio.to_thread(server.stop)
        shutil.rmtree(server.folder / "jetstream")
        await asyncio.to_thread(server.start)
        await eventually(lambda: crew.in_state(JobState.SUCCEEDED) == 200, every_seconds=0.2)
    assert list(job_violations(list(crew.store.read()))) == []
    assert sorted(crew.handlers.done) == list(range(200))  # type: ignore[type-var]
    assert all(crew.topics(id) == ["requested", "started", "succeeded"] for id in ids)


async def test_jobs_are_done_while_nats_is_away(crew: Crew, server: EmbeddedNats) -> None:
    server.stop()
    async with crew.at_work():
        await crew.until(crew.request("note", note="alone"), JobState.SUCCEEDED)
    server.start()


def _rests(crew: Crew, id: UUID) -> list[float]:
    """Of the first attempts that failed, in seconds."""
    failed = [each.event for each in crew.store.history(id) if isinstance(each.event, Job.AttemptFailed)]
    return [(event.retry_at - event.timestamp).total_seconds() for event in failed if event.retry_at]
