"""What the domain and the commands need of the outside world, as Protocols. `adapters/` fulfils them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol, TypeVar
from uuid import UUID

from eventsourcing.domain import BaseAggregate

from domain.events import Envelope, Recorded
from domain.model_call import Message, ModelCall
from domain.ranking import Ballot
from domain.roster import AgentSpec
from domain.training import Progress, TrainedAdapter, TrainingJob

A = TypeVar("A", bound=BaseAggregate[UUID])

Clock = Callable[[], datetime]


@dataclass(frozen=True, slots=True)
class Written:
    """What a command left behind: the aggregate, its version, and the position of its last event (the log's head where
    the command changed nothing)."""

    id: UUID
    version: int
    position: int


class ConcurrentWrite(Exception):
    """Two commands wrote the next version of one aggregate; this one lost and may be decided again."""


class Session(Protocol):
    """One command's work on the event store: everything that it saves carries its envelope.

    It saves once, and last: by then others may have what was loaded, which must not be used any more.
    """

    @property
    def envelope(self) -> Envelope: ...

    def now(self) -> datetime:
        """The time, aware, UTC."""

    def new_id(self) -> UUID:
        """A fresh UUIDv7."""

    def head(self) -> int:
        """The position of the last event in the store; 0 when it is empty."""

    def get(self, kind: type[A], id: UUID, version: int | None = None) -> A:
        """Raises NotFound, or VersionConflict when the aggregate is not at the `version` that the caller read."""

    def find(self, kind: type[A], id: UUID) -> A | None:
        """The aggregate, or None."""

    def save(self, *aggregates: BaseAggregate[UUID]) -> Written:
        """Appends what the aggregates decided, in one transaction; answers for the first one.

        Raises ConcurrentWrite when somebody else was faster.
        """


class EventLog(Protocol):
    """The events, to be read in order."""

    def head(self) -> int:
        """The position of the last event; 0 when there is none."""

    def read(self, after: int = 0, upto: int | None = None, topics: Sequence[str] = ()) -> Iterator[Recorded]:
        """Every event with after < position <= upto, in order, of these topics (all where none are named)."""

    def history(self, id: UUID) -> Sequence[Recorded]:
        """One aggregate's events, in order."""


StoredRow = Mapping[str, Any]


class StoredEvents(Protocol):
    """The log undecoded, for readers that must survive an event that cannot be decoded."""

    def head(self) -> int:
        """The position of the last event; 0 when there is none."""

    def read_rows(
        self, after: int = 0, upto: int | None = None, topics: Sequence[str] = (), limit: int | None = None
    ) -> Iterable[StoredRow]:
        """Rows with after < `notification_id` <= upto, in order, of these topics; each names its `topic` and its
        aggregate, `originator_id`."""

    def rows_of(self, aggregate: UUID, upto: int, topics: Sequence[str]) -> Iterable[StoredRow]:
        """One aggregate's rows up to that position, in order, of these topics."""

    def decode(self, row: StoredRow) -> Recorded:
        """The event in such a row. Raises whatever it likes for one that cannot be understood."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How far a policy has come along the log, and how many events it could not handle so far."""

    policy: str
    position: int
    parked: int


@dataclass(frozen=True, slots=True)
class SealStanding:
    """How far the log is sealed, in positions: `head` is its end; `sealed` is 0 where nothing is. `anchored` says of
    each place outside up to where the newest seal goes that was kept there."""

    head: int
    sealed: int
    anchored: Mapping[str, int]

    @property
    def unsealed(self) -> int:
        """Positions that are not sealed yet."""
        return max(0, self.head - self.sealed)


class Execute(Protocol):
    """Runs a command in somebody's name; how policies and doors ask for anything."""

    def __call__(self, command: object, envelope: Envelope) -> Written: ...


class RosterFormat(Protocol):
    """How a roster is written down, i.e. agents.yaml."""

    def parse(self, text: str) -> tuple[AgentSpec, ...]:
        """Raises Invalid with line, column and what to write instead."""


class Ranker(Protocol):
    """The statistics behind a ranking method."""

    method: str
    """Its name and version, e.g. `bradley-terry/1`."""

    def strengths(self, ballots: Sequence[Ballot]) -> Mapping[UUID, float]:
        """The strength (log-odds) of every answer that a ballot names. Unparseable ballots say nothing."""


class Agent(Protocol):
    """One agent in one run, with its own memory. Every method makes exactly one model call and returns its record;
    a call that failed is raised as ModelUnavailable."""

    @property
    def spec(self) -> AgentSpec: ...

    async def answer(self, turn: str) -> ModelCall:
        """Says its next turn and remembers both."""

    def remember(self, turn: str, answer: str) -> None:
        """Puts a turn that is recorded already back into memory, without a model call."""

    async def score(self, conversation: Sequence[Message]) -> ModelCall:
        """How likely this agent, under its own system message and adapter, finds the assistant's turns."""

    async def compare(self, question: str) -> ModelCall:
        """Its verdict on two answers, shown in `question` as A and B; `domain.verdict` reads it from the output."""


class ModelUnavailable(Exception):
    """A model's endpoint did not answer, or refused; worth another try later."""


class AgentFactory(Protocol):
    """Makes the agents of a run."""

    def create(self, spec: AgentSpec, adapter: str | None, max_tokens: int | None) -> Agent:
        """`adapter` is the pinned name (None: the base model); `max_tokens` caps each answer."""


class Adapters(Protocol):
    """What is in use, as far as the read model has come."""

    def promoted(self, alias: str) -> str | None:
        """The adapter that the alias means now, e.g. `team@2`; None where nothing is promoted."""


class Rosters(Protocol):
    """The revisions of agents.yaml."""

    def agents(self, revision: int) -> tuple[AgentSpec, ...]:
        """The agents of that revision. Raises NotFound."""


class DatasetFiles(Protocol):
    """Where datasets are written."""

    def write(self, id: UUID, lines: Iterable[bytes]) -> tuple[Path, str, int]:
        """Writes the JSON Lines whole or not at all. Returns path, SHA-256 (hex) and size in bytes."""

    def path(self, id: UUID) -> Path:
        """Where that dataset lies, or would."""

    def holds(self, id: UUID, sha256: str) -> bool:
        """Whether that dataset lies there, whole, with that hash (hex)."""


class Trainer(Protocol):
    """Turns a dataset into an adapter."""

    def train(
        self, job: TrainingJob, on_progress: Callable[[Progress], None], cancelled: Callable[[], bool]
    ) -> TrainedAdapter:
        """Blocks until done; asks `cancelled` often. A job that was interrupted goes on from its last checkpoint.

        Raises TrainingCancelled or TrainingFailed.
        """

    def forget(self, run_id: UUID) -> None:
        """The run is over: throws away what was kept for going on with it."""


class Workers(Protocol):
    """Which workers are there."""

    def alive(self, worker: str) -> bool:
        """Whether that worker gave a sign of life lately."""


class WorkQueue(Protocol):
    """What the sweep looks for: work that nobody does."""

    def runs_without_worker(self) -> Sequence[UUID]:
        """Runs that are requested, or whose worker is gone."""

    def trainings_without_worker(self) -> Sequence[UUID]:
        """Training runs that are requested, or whose trainer is gone."""
