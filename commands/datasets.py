"""What may be asked of datasets."""

from __future__ import annotations

from dataclasses import dataclass, field
from uuid import UUID

from domain.dataset import Dataset, Filter
from domain.ports import Session, Written


@dataclass(frozen=True, slots=True)
class RequestDataset:
    """`position` None: as of now."""

    filter: Filter = field(default_factory=Filter)
    position: int | None = None


@dataclass(frozen=True, slots=True)
class DatasetBuilt:
    dataset_id: UUID
    pairs: int
    annotated: int
    sha256: str
    size: int


def request(command: RequestDataset, session: Session) -> Written:
    """Raises Invalid for a position that the log has not reached."""
    head = session.head()
    position = head if command.position is None else command.position
    dataset = Dataset.request(session.new_id(), position, head, command.filter, at=session.now())
    return session.save(dataset)


def built(command: DatasetBuilt, session: Session) -> Written:
    """Raises NotFound, AlreadyDone when the dataset was built with other bytes."""
    dataset = session.get(Dataset, command.dataset_id)
    dataset.built(command.pairs, command.annotated, command.sha256, command.size, at=session.now())
    return session.save(dataset)
