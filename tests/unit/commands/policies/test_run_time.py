"""When a run's time is up is for the run to say."""

from __future__ import annotations

import asyncio
from typing import cast

import pytest

from commands.policies import run_time
from commands.policies.held_run import HeldRun
from commands.policies.run_time import keep_time
from domain.errors import AlreadyDone
from domain.limits import Limit, Limits, TimeLeft
from domain.workflow import RunPaused
from tests.builders import CAST, NOW, a_workflow


class Held:
    """A run in a worker's hands that says those things, one after the other, when it is to end for its time."""

    def __init__(self, limits: Limits, *says: Exception) -> None:
        self.run = a_workflow()
        self.run.limits = limits
        self.run.start("worker", CAST, at=NOW)
        self.id = self.run.id
        self.given_up = False
        self._says = list(says)

    async def end_at(self, limit: Limit) -> None:
        assert limit is Limit.SECONDS
        if self._says:
            raise self._says.pop(0)

    def give_up(self, _reason: str) -> None:
        self.given_up = not self._says


async def kept(held: Held) -> bool:
    await asyncio.wait_for(keep_time(cast(HeldRun, held)), 10)
    return held.given_up


async def test_a_paused_run_is_not_ended_and_a_resumed_one_has_the_time_that_it_had_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(run_time, "PAUSED_SECONDS", 0.01)
    assert await kept(Held(Limits(seconds=0.01), RunPaused(), RunPaused(), TimeLeft(0.01)))


async def test_a_run_that_is_over_already_is_left_alone() -> None:
    assert not await kept(Held(Limits(seconds=0.01), AlreadyDone("the run is stopped")))


async def test_a_run_without_a_limit_has_all_the_time_there_is() -> None:
    assert not await kept(Held(Limits()))
