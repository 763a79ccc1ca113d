"""One seed of real processes: who takes part, which faults fall upon them and when, and what came of it."""

from __future__ import annotations

import random
import shutil
import time
from dataclasses import dataclass, replace

from tests.faults.faults import FAULTS, Missed, Unavailable
from tests.faults.inquest import CATCH_UP_SECONDS, Findings, examine
from tests.faults.progress import FOLDER
from tests.faults.servers import Servers
from tests.faults.stage import Company, Stage, set_stage

FAULTS_OF_A_SEED = 3
LONGEST_PEACE = 1.0
"""Seconds between two faults."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The same for the same seed, on any machine."""

    company: Company
    faults: tuple[str, ...]

    @classmethod
    def of(cls, seed: int) -> Plan:
        chance = random.Random(seed)
        faults = tuple(chance.sample(list(FAULTS), FAULTS_OF_A_SEED))
        gateway = any("gateway" in name for name in faults) or chance.random() < 0.3
        return cls(Company(chance.choice([2, 3]), chance.choice([1, 2]), gateway), faults)


def play(servers: Servers, seed: int, catch_up_within: float = CATCH_UP_SECONDS) -> Findings:
    """Sets a stage of its own on the servers. The logs and journals of one that violated something are kept. A seed of
    which no fault happened has shown nothing, and counts as a violation."""
    plan = Plan.of(seed)
    with set_stage(servers, seed, plan.company) as stage:
        happened = [_try(stage, name) for name in plan.faults]
        time.sleep(stage.chance.uniform(0, LONGEST_PEACE))
        stage.revive()
        findings = replace(examine(stage, catch_up_within), faults=sum(happened))
        if not findings.faults:
            findings.violations.append("none of its faults happened")
        if findings.violations:
            shutil.copytree(stage.folder, FOLDER / f"process-seed-{seed}", dirs_exist_ok=True)
        return findings


def _try(stage: Stage, name: str) -> bool:
    """Whether it happened, after a while of peace."""
    time.sleep(stage.chance.uniform(0, LONGEST_PEACE))
    try:
        FAULTS[name](stage)
    except (Missed, Unavailable):
        return False
    return True
