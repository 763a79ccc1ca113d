"""The event core in one process, with simulated deaths: seeds as `make faults` runs them, and news at its worst."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from uuid import UUID

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test
from loguru import logger

from commands.bus import CommandBus
from domain.errors import CommandReused
from tests.faults.crashes import Fate
from tests.faults.simulation import prepare, simulate
from tests.faults.world import PROJECTORS, World

SEEDS = range(20)
SUBSCRIBERS = st.sampled_from(sorted(PROJECTORS))
DEATHS = st.none() | st.integers(0, 12)


@pytest.fixture
def prepared(database: str) -> Iterator[str]:
    prepare(database)
    logger.disable("commands")
    yield database
    logger.enable("commands")


def test_whoever_dies_nothing_is_lost_and_nothing_happens_twice(prepared: str) -> None:
    violations = {f"make faults SEED={seed}": found for seed in SEEDS if (found := simulate(prepared, seed))}
    assert violations == {}


def test_a_refusal_of_what_took_effect_is_noticed(prepared: str, monkeypatch: pytest.MonkeyPatch) -> None:
    remembered = CommandBus._earlier

    def refuse(bus: CommandBus, command_id: UUID, fingerprint: bytes | None) -> None:
        if remembered(bus, command_id, fingerprint):
            raise CommandReused

    monkeypatch.setattr(CommandBus, "_earlier", refuse)
    assert any("was refused, though it took effect" in violation for violation in simulate(prepared, seed=0))


class Delivery(RuleBasedStateMachine):
    """Events happen, and news of them is delivered, repeated, lost, reordered or wiped while projectors die."""

    database = ""

    def __init__(self) -> None:
        super().__init__()
        self.world = World(self.database, seed=0)

    @rule(fate=st.sampled_from(Fate))
    def something_happens(self, fate: Fate) -> None:
        self.world.clients.send(fate)

    @rule()
    def the_relay_publishes(self) -> None:
        self.world.publish()

    @rule(subscriber=SUBSCRIBERS, dying_at=DEATHS)
    def deliver(self, subscriber: str, dying_at: int | None) -> None:
        self.world.deliver(subscriber, dying_at)

    @rule(dying_at=DEATHS)
    def follow(self, dying_at: int | None) -> None:
        self.world.follow(dying_at)

    @rule(dying_at=DEATHS)
    def count(self, dying_at: int | None) -> None:
        self.world.count(dying_at)

    @rule(subscriber=SUBSCRIBERS)
    def duplicate(self, subscriber: str) -> None:
        self.world.news.duplicate(subscriber)

    @rule(subscriber=SUBSCRIBERS)
    def drop(self, subscriber: str) -> None:
        self.world.news.drop(subscriber)

    @rule(subscriber=SUBSCRIBERS)
    def reorder(self, subscriber: str) -> None:
        self.world.news.reorder(subscriber, self.world.chance)

    @rule()
    def wipe(self) -> None:
        self.world.news.wipe()

    @rule(subscriber=SUBSCRIBERS, dying_at=DEATHS)
    def rebuild(self, subscriber: str, dying_at: int | None) -> None:
        self.world.rebuild(subscriber, dying_at)

    def teardown(self) -> None:
        with closing(self.world):
            self.world.recover()
            assert self.world.violations() == []


def test_however_news_is_delivered_read_models_follow(prepared: str) -> None:
    Delivery.database = prepared
    run_state_machine_as_test(
        Delivery,
        settings=settings(max_examples=8, stateful_step_count=15, deadline=None, suppress_health_check=HealthCheck),
    )
