"""Real processes under faults: a few seeds as `make faults` runs them, and each fault by its name."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.faults.faults import FAULTS, Unavailable
from tests.faults.inquest import examine, glance
from tests.faults.process_seeds import play
from tests.faults.servers import Servers, running_servers
from tests.faults.stage import Company, Stage, set_stage

pytestmark = pytest.mark.timeout(900)

SEEDS = (1, 2)


@pytest.fixture(scope="module")
def servers() -> Iterator[Servers]:
    with running_servers() as servers:
        yield servers


@pytest.fixture(scope="module")
def stage(servers: Servers) -> Iterator[Stage]:
    """Every fault falls upon it in turn."""
    with set_stage(servers, 0, Company(gateway=True)) as stage:
        yield stage


@pytest.mark.parametrize("seed", SEEDS)
def test_whatever_dies_nothing_is_lost_and_nothing_happens_twice(servers: Servers, seed: int) -> None:
    assert play(servers, seed).violations == [], f"make faults PROCESS_SEED={seed}"


@pytest.mark.parametrize("name", FAULTS)
def test_life_goes_on_after(name: str, stage: Stage) -> None:
    try:
        FAULTS[name](stage)
    except Unavailable as unavailable:
        pytest.skip(str(unavailable))
    finally:
        stage.revive()
    stage.hear_from_all()
    assert glance(stage) == []


def test_after_all_faults_everything_holds(stage: Stage) -> None:
    assert examine(stage).violations == []
