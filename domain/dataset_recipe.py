"""How a dataset is made: which pairs it takes, what becomes of repeats, and which prompts are kept from training.

All of it is in the request, so that the log alone says how to make the same bytes again.
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from datetime import datetime
from enum import StrEnum
from hashlib import sha256
from typing import Any
from uuid import UUID

from domain.errors import Invalid
from domain.preference import Verdict

TRAIN = "train"
"""The part that is trained on: all rows that are in no other part."""
EARLIEST_BUILDER, NEWEST_BUILDER = "pairs/1", "pairs/3"
"""How rows are made. `pairs/2` adds `chosen_agent` and `rejected_agent`; `pairs/3` leaves out what people are still to
settle."""
BUILDERS_OF_OPEN_PAIRS = frozenset({EARLIEST_BUILDER, "pairs/2"})
BUILDERS = BUILDERS_OF_OPEN_PAIRS | {NEWEST_BUILDER}
MOST_PARTS = 8
MOST_TASKS, MOST_TASK_CHARACTERS = 10_000, 1_000_000
_PART = re.compile(r"[a-z][a-z0-9_]{0,31}")
EVERY_PART = "all"
"""What `datasets` calls all splits together, so that it opens none of that name."""


@dataclass(frozen=True, slots=True)
class Filter:
    """Which pairs to take; what is empty or None takes all.

    `min_weight` in [0, 1]; `annotated_only` leaves out what nobody has settled. `runs`, `methods` (of ranking),
    `chosen_agents` and `rejected_agents` (who wrote the answers), `annotators` (who spoke last) and `verdicts` take the
    pairs of these alone. `since` and `until`, which is excluded, are of the proposal's recording.
    """

    min_weight: float = 0.0
    annotated_only: bool = False
    runs: tuple[UUID, ...] = ()
    methods: tuple[str, ...] = ()
    chosen_agents: tuple[str, ...] = ()
    rejected_agents: tuple[str, ...] = ()
    annotators: tuple[str, ...] = ()
    verdicts: tuple[Verdict, ...] = ()
    since: datetime | None = None
    until: datetime | None = None

    def must_make_sense(self) -> None:
        """Raises Invalid for a weight outside [0, 1], verdicts that take nothing, and a time that ends before it
        begins."""
        if not 0 <= self.min_weight <= 1:
            raise Invalid(f"min_weight {self.min_weight} must lie in [0, 1]")
        if Verdict.REJECTED in self.verdicts:
            raise Invalid("rejected pairs are never taken; leave `rejected` out of the verdicts")
        for moment in (self.since, self.until):
            if moment and moment.tzinfo is None:
                raise Invalid(f"{moment} has no time zone; write it as {moment.isoformat()}Z")
        if self.since and self.until and self.since >= self.until:
            raise Invalid("`since` must lie before `until`")


class Duplicates(StrEnum):
    """What becomes of pairs with the same prompt and the same answers, in the same order."""

    KEEP = "keep"
    HEAVIEST = "heaviest"
    """The one that weighs most stays; of equal ones the earlier."""


class Contradictions(StrEnum):
    """What becomes of pairs with the same prompt and the same two answers, where some prefer the one and some the
    other."""

    KEEP = "keep"
    SETTLED = "settled"
    """What an annotator settled stays, and of two of these the later opinion; where nobody did, none stays."""
    DROP = "drop"


@dataclass(frozen=True, slots=True)
class Part:
    """A part that is not trained on, e.g. `test`: about so many percent of the prompts."""

    name: str
    percent: float


@dataclass(frozen=True, slots=True)
class Holdout:
    """The tasks of an evaluation, which training should not have seen. `drop`: leave out what overlaps with one; else
    it is only counted."""

    name: str
    tasks: tuple[str, ...]
    drop: bool = True

    @property
    def sha256(self) -> str:
        """Of the tasks, in order (hex)."""
        return sha256("\0".join(self.tasks).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Recipe:
    """`builder` names the way in which rows are written. A prompt's part follows from its hash with the `salt`, which
    another one draws anew; `parts` leave the rest to `train`."""

    builder: str = NEWEST_BUILDER
    duplicates: Duplicates = Duplicates.HEAVIEST
    contradictions: Contradictions = Contradictions.SETTLED
    parts: tuple[Part, ...] = ()
    salt: str = ""
    holdouts: tuple[Holdout, ...] = ()

    @property
    def part_names(self) -> tuple[str, ...]:
        """All of them, `train` first."""
        return (TRAIN, *(part.name for part in self.parts))

    @property
    def takes_open_pairs(self) -> bool:
        """Whether a pair is taken that people are still to settle, as its ballots propose it."""
        return self.builder in BUILDERS_OF_OPEN_PAIRS

    def part_of(self, prompt: bytes) -> str:
        """Where the pairs of the prompt with that key belong. A part keeps its prompts when it is made larger."""
        digest = sha256(self.salt.encode() + b"\0" + prompt).digest()
        place, end = 100 * int.from_bytes(digest[:8]) / 2**64, 0.0
        for part in self.parts:
            end += part.percent
            if place < end:
                return part.name
        return TRAIN

    def described(self) -> dict[str, Any]:
        """As plain values, with the hash of each holdout's tasks in their place."""
        holdouts = [
            {"name": held.name, "tasks": len(held.tasks), "sha256": held.sha256, "drop": held.drop}
            for held in self.holdouts
        ]
        return asdict(self) | {"holdouts": holdouts}

    def must_make_sense(self) -> None:
        """Raises Invalid for unknown builders, parts that cannot be, and tasks that are empty or too many."""
        if self.builder not in BUILDERS:
            raise Invalid(f"there is no builder {self.builder!r}; there is {', '.join(sorted(BUILDERS))}")
        self._parts_must_make_sense()
        tasks = [task for holdout in self.holdouts for task in holdout.tasks]
        if not all(holdout.tasks for holdout in self.holdouts) or not all(task.strip() for task in tasks):
            raise Invalid("a holdout has tasks, and each says something")
        if len(tasks) > MOST_TASKS or sum(map(len, tasks)) > MOST_TASK_CHARACTERS:
            raise Invalid(
                f"holdouts have at most {MOST_TASKS:,} tasks and {MOST_TASK_CHARACTERS:,} characters together"
            )

    def _parts_must_make_sense(self) -> None:
        names = self.part_names
        for part in self.parts:
            if not _PART.fullmatch(part.name):
                raise Invalid(f"{part.name!r} cannot name a part: use lower-case letters, digits and '_', e.g. test")
            if part.name == EVERY_PART:
                raise Invalid(f"{part.name!r} cannot name a part: `datasets` means all of them by it; say e.g. test")
            if not 0 < part.percent < 100:
                raise Invalid(f"{part.name} cannot be {part.percent} percent of the prompts: write e.g. 10")
        if len(set(names)) < len(names):
            raise Invalid(f"parts are named once, and {TRAIN} is what the others leave")
        if len(self.parts) > MOST_PARTS or sum(part.percent for part in self.parts) >= 100:
            raise Invalid(f"there are at most {MOST_PARTS} parts, of less than 100 percent together")


AS_BEFORE = Recipe(EARLIEST_BUILDER, Duplicates.KEEP, Contradictions.KEEP)
"""How datasets were made before a request said how."""
EVERYTHING = Filter()
USUAL = Recipe()
