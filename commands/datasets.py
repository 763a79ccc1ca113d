"""What may be asked of datasets."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from domain.dataset import Dataset
from domain.dataset_contents import Contents
from domain.dataset_recipe import EVERYTHING, USUAL, Filter, Recipe
from domain.errors import Invalid
from domain.ports.events import Session, Written


@dataclass(frozen=True, slots=True)
class RequestDataset:
    """As of a `position`, or of a moment, `as_of`; both None: as of now."""

    filter: Filter = EVERYTHING
    position: int | None = None
    as_of: datetime | None = None
    recipe: Recipe = USUAL


@dataclass(frozen=True, slots=True)
class DatasetBuilt:
    dataset_id: UUID
    contents: Contents


def request(command: RequestDataset, session: Session) -> Written:
    """Raises Invalid for a position or a moment that the log has not reached."""
    head = session.head()
    position = _position(command, head, session)
    dataset = Dataset.request(session.new_id(), position, head, command.filter, at=session.now(), recipe=command.recipe)
    return session.save(dataset)


def built(command: DatasetBuilt, session: Session) -> Written:
    """Raises NotFound, AlreadyDone when the dataset was built with other bytes."""
    dataset = session.get(Dataset, command.dataset_id)
    dataset.built(command.contents, at=session.now())
    return session.save(dataset)


def _position(command: RequestDataset, head: int, session: Session) -> int:
    """A moment becomes the last position that was recorded up to then, once and for all."""
    if command.as_of is None:
        return head if command.position is None else command.position
    if command.position is not None:
        raise Invalid("name a position or a moment, not both")
    if command.as_of.tzinfo is None:
        raise Invalid(f"{command.as_of} has no time zone; write it as {command.as_of.isoformat()}Z")
    if command.as_of > session.now():
        raise Invalid(f"{command.as_of} has not come yet")
    return session.position_at(command.as_of)
