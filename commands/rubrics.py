"""What may be asked of the rubric."""

from __future__ import annotations

from dataclasses import dataclass

from domain.errors import VersionConflict
from domain.ports.events import Session, Written
from domain.rubric import RUBRIC_ID, Criterion, Rubric


@dataclass(frozen=True, slots=True)
class PublishRubric:
    """`annotators`: how many people's word a pair wants from here on. `expected_version`: the one that was read."""

    criteria: tuple[Criterion, ...]
    annotators: int = 1
    reason: str = ""
    expected_version: int | None = None


def publish(command: PublishRubric, session: Session) -> Written:
    """Opinions that were given stay as they were rated. Raises Invalid, VersionConflict."""
    rubric = session.find(Rubric, RUBRIC_ID)
    if rubric is None:
        if command.expected_version:
            raise VersionConflict(command.expected_version, actual=0)
        rubric = Rubric.begin(command.criteria, command.annotators, command.reason, at=session.now())
    else:
        rubric.must_be_at(command.expected_version)
        rubric.publish(command.criteria, command.annotators, command.reason, at=session.now())
    return session.save(rubric)
