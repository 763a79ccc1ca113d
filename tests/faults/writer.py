"""A client in a process of its own: sends commands, over the bus or over HTTP, and writes down what it sent and what it
was answered, each line on the disk before it goes on. Started again, it repeats what nobody answered."""

from __future__ import annotations

import json
import os
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx

from adapters.event_store import PostgresEventStore
from commands.bus import CommandBus
from commands.preferences import AnnotatePreference, ProposePreference
from domain.errors import DomainError
from domain.events import Envelope
from domain.ports.events import ConcurrentWrite
from domain.preference import Verdict
from projections.failures import OUTAGES
from tests.fakes import SOMEBODY
from tests.faults.clients import HANDLERS, a_pair
from tests.faults.victims import be_impatient

THREADS = 4
PAUSE_SECONDS = 0.05
"""So that on a slow machine, where faults take longer, a log that all is compared with does not grow without end."""
RETRY_SECONDS = 0.1
VERDICTS = ("accepted", "flipped", "rejected")


@dataclass(frozen=True, slots=True)
class Sent:
    """One command. Proposes a pair, or annotates the one that `preference` names."""

    mark: str
    preference: str | None = None
    verdict: str = "accepted"


@dataclass(frozen=True, slots=True)
class Answered:
    """What it was answered; `position` None: it was refused."""

    mark: str
    id: str | None = None
    version: int | None = None
    position: int | None = None


class Journal:
    """The file in which a writer keeps its commands and their answers."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._lock = threading.Lock()

    def note(self, entry: Sent | Answered) -> None:
        """On the disk, once this returns."""
        line = json.dumps({type(entry).__name__: asdict(entry)}) + "\n"
        with self._lock, self._file.open("a") as journal:
            journal.write(line)
            journal.flush()
            os.fsync(journal.fileno())

    @property
    def sent(self) -> dict[str, Sent]:
        return {each.mark: each for each in self._entries(Sent)}

    @property
    def answers(self) -> list[Answered]:
        return list(self._entries(Answered))

    def _entries(self, kind: Callable[..., Any]) -> Iterator[Any]:
        lines = self._file.read_text().splitlines(keepends=True) if self._file.exists() else []
        for line in lines:
            if line.endswith("\n"):  # the last one may be cut off where the writer died
                for name, fields in json.loads(line).items():
                    if name == kind.__name__:
                        yield kind(**fields)


Send = Callable[[Sent], Answered | None]
"""None: nobody answered, or not in a way that says what became of it."""


def writer(journal: Path, shared: Sequence[str], database_url: str, api: tuple[str, str] | None) -> None:
    """Until SIGTERM. `shared` preferences are annotated by all; `api`: address and token, to go over HTTP."""
    be_impatient()
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    if api:
        with httpx.Client(base_url=api[0], headers={"Authorization": f"Bearer {api[1]}"}, trust_env=False) as client:
            _write(Journal(journal), shared, lambda sent: _over_http(client, sent), stop)
    else:
        with closing(PostgresEventStore(database_url)) as store:
            bus = CommandBus(HANDLERS, store.session, store)
            _write(Journal(journal), shared, lambda sent: _over_bus(bus, sent), stop)


def _write(journal: Journal, shared: Sequence[str], send: Send, stop: threading.Event) -> None:
    answered = {each.mark for each in journal.answers}
    unanswered = [sent for mark, sent in journal.sent.items() if mark not in answered]

    def work(number: int) -> None:
        for sent in unanswered[number::THREADS]:
            _insist(journal, send, sent)
        chance = random.Random()
        ours: list[str] = []
        while not stop.is_set():
            sent = Sent(uuid4().hex, chance.choice([None, None, *shared, *ours[-3:]]), chance.choice(VERDICTS))
            journal.note(sent)
            answer = _insist(journal, send, sent)
            if sent.preference is None and answer.id:
                ours.append(answer.id)
            if chance.random() < 0.1:
                _insist(journal, send, sent)  # a client that was not sure
            time.sleep(PAUSE_SECONDS)

    threads = [threading.Thread(target=work, args=[number], daemon=True) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        time.sleep(0.05)  # rather than join: a signal must find this thread awake


def _insist(journal: Journal, send: Send, sent: Sent) -> Answered:
    """Until there is an answer."""
    while (answer := send(sent)) is None:
        time.sleep(RETRY_SECONDS)
    journal.note(answer)
    return answer


def _over_bus(bus: CommandBus, sent: Sent) -> Answered | None:
    command: object = ProposePreference(a_pair(sent.mark))
    if sent.preference:
        command = AnnotatePreference(UUID(sent.preference), Verdict(sent.verdict), note=sent.mark)
    fingerprint = sha256(sent.mark.encode()).digest()
    try:
        written = bus.execute(command, Envelope(SOMEBODY, uuid4(), command_id=UUID(sent.mark), fingerprint=fingerprint))
    except DomainError:
        return Answered(sent.mark)
    except (ConcurrentWrite, *OUTAGES):
        return None
    return _answered(sent, asdict(written))


def _over_http(client: httpx.Client, sent: Sent) -> Answered | None:
    path, body = "/v1/preferences", _proposal(sent.mark)
    if sent.preference:
        path, body = f"{path}/{sent.preference}/annotations", {"verdict": sent.verdict, "note": sent.mark}
    try:
        response = client.post(path, json=body, headers={"Idempotency-Key": sent.mark})
    except httpx.HTTPError:
        return None
    if response.is_success:
        return _answered(sent, response.json())
    return Answered(sent.mark) if response.status_code in (404, 422) else None


def _proposal(mark: str) -> dict[str, object]:
    chosen, rejected = ([{"role": "assistant", "content": text}] for text in ("yes", "no"))
    return {"prompt": [{"role": "user", "content": mark}], "chosen": chosen, "rejected": rejected}


def _answered(sent: Sent, written: Mapping[str, Any]) -> Answered:
    return Answered(sent.mark, str(written["id"]), written["version"], written["position"])
