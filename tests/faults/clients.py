"""Clients of a simulated Caravan. They send commands over two processes that die around their appends, and repeat them
under the same key: whether they were answered before or not."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from uuid import UUID

from adapters.event_store import PostgresEventStore
from commands.bus import CommandBus
from commands.handlers import handlers
from commands.policies.kinds import KINDS
from commands.preferences import AnnotatePreference, ProposePreference, RevisePreference, WithdrawPreference
from commands.workflows import RequestWorkflow, StopWorkflow
from domain.errors import DomainError
from domain.events import Envelope
from domain.model_call import Message
from domain.ports.events import ConcurrentWrite, Written
from domain.preference import Completion, Pair, Verdict
from domain.steps import Task
from tests.fakes import BASE_MODELS, SOMEBODY, JsonRoster
from tests.faults.crashes import Crash, Fate, FatedSession

HANDLERS = handlers(KINDS, JsonRoster(), BASE_MODELS)
MAY_CHANGE_NOTHING = (RevisePreference, WithdrawPreference)
VERDICTS = (Verdict.ACCEPTED, Verdict.FLIPPED, Verdict.REJECTED)
PROCESSES = 2


@dataclass(frozen=True, slots=True)
class Request:
    """A client's command. A repeat carries the same envelope."""

    command: object
    envelope: Envelope
    mark: str

    @property
    def is_remembered(self) -> bool:
        """Whether a repeat must be answered as the first one was."""
        return self.envelope.fingerprint is not None or not isinstance(self.command, MAY_CHANGE_NOTHING)


class Clients:
    """`close` them when done. `complaints` are wrong answers that they got, `refused` the marks of commands
    whose last answer was a refusal."""

    def __init__(
        self, open_store: Callable[[], PostgresEventStore], new_id: Callable[[], UUID], chance: random.Random
    ) -> None:
        self._open_store = open_store
        self._new_id = new_id
        self._chance = chance
        self._stores = [open_store() for _ in range(PROCESSES)]
        self._preferences: list[UUID] = []
        self._runs: list[UUID] = []
        self._sent: list[Request] = []
        self._answers: dict[str, Written] = {}
        self.refused: set[str] = set()
        self.complaints: list[str] = []

    def close(self) -> None:
        for store in self._stores:
            store.close()

    @property
    def store(self) -> PostgresEventStore:
        """That of any living process."""
        return self._chance.choice(self._stores)

    @property
    def marks(self) -> list[str]:
        """Of every command that was ever sent."""
        return [sent.mark for sent in self._sent]

    def acknowledged(self) -> dict[str, int]:
        """The positions of the commands that were answered, by their marks; but for those that may change nothing."""
        return {
            sent.mark: self._answers[sent.mark].position
            for sent in self._sent
            if sent.mark in self._answers and not isinstance(sent.command, MAY_CHANGE_NOTHING)
        }

    def send(self, fate: Fate = Fate.LIVES) -> None:
        """A new command, to a process with that fate."""
        mark = str(self._new_id())
        self._send(self._any_command(mark), mark, fate)

    def send_again(self, fate: Fate = Fate.LIVES) -> None:
        """One of the commands sent before."""
        if self._sent:
            self._execute(self._chance.choice(self._sent), fate)

    def send_unanswered_again(self) -> None:
        """All but those that their clients have given up."""
        for sent in self._sent:
            if sent.mark not in self._answers and self._chance.random() < 0.7:
                self._execute(sent, Fate.LIVES)

    def _send(self, command: object, mark: str, fate: Fate = Fate.LIVES) -> None:
        fingerprint = mark.encode() if self._chance.random() < 0.8 else None
        envelope = Envelope(SOMEBODY, self._new_id(), command_id=self._new_id(), fingerprint=fingerprint)
        self._sent.append(sent := Request(command, envelope, mark))
        self._execute(sent, fate)

    def _annotate(self, id: UUID) -> None:
        """Where that is a preference."""
        if id in self._preferences:
            mark = str(self._new_id())
            self._send(AnnotatePreference(id, self._chance.choice(VERDICTS), note=mark), mark)

    def _execute(self, sent: Request, fate: Fate) -> None:
        process = self._chance.randrange(PROCESSES)
        self.refused.discard(sent.mark)
        try:
            written = self._bus(self._stores[process], fate).execute(sent.command, sent.envelope)
        except Crash:
            self._stores[process].close()
            self._stores[process] = self._open_store()
        except ConcurrentWrite:
            self.complaints.append(f"{sent.mark} gave up, though it was outrun once at most")
        except DomainError as refusal:
            self.refused.add(sent.mark)
            if sent.mark in self._answers and sent.is_remembered:
                self.complaints.append(f"{sent.mark} was acknowledged, and then refused: {refusal}")
        else:
            self._heed(sent, written)

    def _heed(self, sent: Request, written: Written) -> None:
        first = self._answers.setdefault(sent.mark, written)
        if first != written and sent.is_remembered:
            self.complaints.append(f"{sent.mark} was answered {first}, and then {written}")
        match sent.command:
            case ProposePreference():
                self._preferences.append(written.id)
            case RequestWorkflow():
                self._runs.append(written.id)

    def _bus(self, store: PostgresEventStore, fate: Fate) -> CommandBus:
        fates = iter([fate])

        def open_session(envelope: Envelope) -> FatedSession:
            return FatedSession(store, envelope, next(fates, Fate.LIVES), self._annotate)

        return CommandBus(HANDLERS, open_session, store)

    def _any_command(self, mark: str) -> object:
        return self._chance.choice(list(self._possible_commands(mark)))

    def _possible_commands(self, mark: str) -> Iterator[object]:
        """Many of them about the same few preferences."""
        yield ProposePreference(a_pair(mark))
        yield RequestWorkflow("mutual_ranking", Task(("Why?",), ref=mark))
        for preference in self._preferences[-3:]:
            yield AnnotatePreference(preference, self._chance.choice(VERDICTS), note=mark)
            yield RevisePreference(preference, "always the same words", note=mark)
        for preference in self._preferences[:1]:
            yield WithdrawPreference(preference, reason=mark)
        for run in self._runs[-1:]:
            yield StopWorkflow(run, reason=mark)


def a_pair(mark: str) -> Pair:
    """Two answers to the mark."""
    answers = (Completion((Message("assistant", text),)) for text in ("yes", "no"))
    return Pair((Message("user", mark),), *answers)
