"""The rubric: by what people judge a pair besides which answer is better, and how many people each pair wants."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self
from uuid import UUID, uuid5

from eventsourcing.domain import (
    AggregateEvent,
    BaseAggregate,
    CanInitAggregate,
    CanMutateAggregate,
    TAggregate,
)

from domain.errors import Invalid, VersionConflict
from domain.opinion import Scores

RUBRIC_ID = uuid5(UUID("5f0c55d5-3f5e-5c9b-8d55-6a4f7d1f2b35"), "rubric/default")
"""There is one a project."""
MOST_CRITERIA, MOST_LEVELS, MOST_ANNOTATORS = 12, 11, 25
MOST_CHARACTERS = 500


@dataclass(frozen=True, slots=True)
class Criterion:
    """One thing to rate. `levels` name an ordinal scale, the lowest first. With `compares` they go from the answer at
    the right to the one at the left, of the two as they were proposed."""

    name: str
    question: str
    levels: tuple[str, ...]
    compares: bool = False

    @classmethod
    def told(cls, name: str, question: str, levels: Sequence[str], compares: bool | None) -> Self:
        """Raises Invalid where its levels name both sides and nothing is said of whether they compare."""
        if compares is None and names_both_sides(levels):
            raise Invalid(
                f'{name} names the left and the right answer: say "compares": true if its levels say which one is '
                'better, from the right one to the left one, since answers are shown at either side; else "compares": '
                "false"
            )
        return cls(name, question, tuple(levels), bool(compares))

    def must_make_sense(self) -> None:
        """Raises Invalid for a name that is none, a scale without a choice, and what nobody would read."""
        if not self.name.isidentifier() or len(self.name) > 32:
            raise Invalid(f"{self.name!r} cannot name a criterion: use up to 32 letters, digits and '_', e.g. honesty")
        if not 2 <= len(self.levels) <= MOST_LEVELS or len(set(self.levels)) < len(self.levels):
            raise Invalid(f"{self.name} needs 2 to {MOST_LEVELS} levels, each with a name of its own")
        for text in (self.question, *self.levels):
            if not text.strip() or len(text) > MOST_CHARACTERS:
                raise Invalid(f"{self.name}: question and levels say something, in {MOST_CHARACTERS} characters each")


def names_both_sides(levels: Sequence[str]) -> bool:
    """Whether levels speak, in English, of the left answer and of the right one."""
    words = {word for level in levels for word in re.findall(r"\w+", level.lower())}
    return {"left", "right"} <= words


WHICH = ("clearly the right one", "the right one", "both alike", "the left one", "clearly the left one")
"""The left one is the one that was proposed as better."""
USUAL = (
    Criterion("correctness", "Whose facts and reasoning are right?", WHICH, compares=True),
    Criterion("helpfulness", "Which one does what was asked?", WHICH, compares=True),
    Criterion("clarity", "Which one is easier to follow?", WHICH, compares=True),
)
"""The criteria where nobody has published any."""


class Rubric(BaseAggregate[UUID]):
    """The project's rubric through time. Version n of it is the aggregate's version n; before the first there is the
    usual one, version 0, with one annotator a pair."""

    TOPIC = "rubric"

    class Event(AggregateEvent):
        pass

    class Published(Event, CanInitAggregate[UUID]):
        """`annotators`: how many people's word a pair wants, from here on."""

        TOPIC = "rubric.published"
        class_version = 2
        originator_topic: str
        criteria: tuple[Criterion, ...]
        annotators: int
        reason: str

        @staticmethod
        def upcast_v1_v2(data: dict[str, Any]) -> dict[str, Any]:
            criteria = [each | {"compares": names_both_sides(each["levels"])} for each in data["criteria"]]
            return data | {"criteria": criteria}

        def mutate(self, aggregate: TAggregate | None) -> TAggregate | None:
            first = aggregate is None
            return CanInitAggregate.mutate(self, None) if first else CanMutateAggregate.mutate(self, aggregate)

        def apply(self, aggregate: Rubric) -> None:
            aggregate.criteria = self.criteria
            aggregate.annotators = self.annotators

    def __init__(self, criteria: tuple[Criterion, ...], annotators: int) -> None:
        self.criteria = criteria
        self.annotators = annotators

    @classmethod
    def begin(cls, criteria: tuple[Criterion, ...], annotators: int, reason: str, at: datetime) -> Self:
        """The first version. Raises Invalid."""
        must_make_sense(criteria, annotators)
        return cls._create(
            cls.Published, id=RUBRIC_ID, criteria=criteria, annotators=annotators, reason=reason, timestamp=at
        )

    def publish(self, criteria: tuple[Criterion, ...], annotators: int, reason: str, at: datetime) -> None:
        """The next version; nothing where it says the same. Raises Invalid."""
        must_make_sense(criteria, annotators)
        if (criteria, annotators) != (self.criteria, self.annotators):
            self.trigger_event(
                self.Published,
                originator_topic=self.TOPIC,
                criteria=criteria,
                annotators=annotators,
                reason=reason,
                timestamp=at,
            )

    def must_be_at(self, version: int | None) -> None:
        """Raises VersionConflict when the caller read another version."""
        if version is not None and version != self.version:
            raise VersionConflict(version, self.version)


def must_make_sense(criteria: tuple[Criterion, ...], annotators: int) -> None:
    """Raises Invalid for criteria that are too many, named twice, or cannot be rated, and for nobody to rate them."""
    for criterion in criteria:
        criterion.must_make_sense()
    if len(criteria) > MOST_CRITERIA or len({criterion.name for criterion in criteria}) < len(criteria):
        raise Invalid(f"a rubric has at most {MOST_CRITERIA} criteria, each named once")
    if not 1 <= annotators <= MOST_ANNOTATORS:
        raise Invalid(f"a pair wants 1 to {MOST_ANNOTATORS} annotators, and not {annotators}")


def scored(rubric: Rubric | None, ratings: Mapping[str, int], version: int | None = None) -> Scores | None:
    """The ratings, as they are kept; None where nothing is rated. `version` is the rubric's that the annotator saw.

    Raises Invalid for a criterion or level that it does not have, VersionConflict where it is not current any more.
    """
    if not ratings:
        return None
    current = rubric.version if rubric else 0
    if version is not None and version != current:
        raise VersionConflict(version, current)
    scales = {criterion.name: criterion.levels for criterion in (rubric.criteria if rubric else USUAL)}
    for name, level in ratings.items():
        if name not in scales:
            raise Invalid(f"the rubric has no criterion {name}; it has {', '.join(scales) or 'none'}")
        if not 1 <= level <= len(scales[name]):
            raise Invalid(f"{name} is rated from 1 to {len(scales[name])}, and not {level}")
    return Scores(current, dict(ratings))
