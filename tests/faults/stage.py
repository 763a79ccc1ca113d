"""What one process seed plays on: a Caravan of real processes with clients that write down what they were told, and a
witness who watches. Faults fall upon it."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from shutil import rmtree
from uuid import uuid4

from adapters.embedded.nats_server import EmbeddedNats
from adapters.embedded.ports import free_port
from adapters.embedded.postgres import EmbeddedPostgres
from adapters.event_store import PostgresEventStore
from adapters.tokens import ApiTokens
from commands.bus import CommandBus
from commands.preferences import ProposePreference
from domain.access import Role
from domain.events import ActorKind, Envelope
from gateway.bootstrap import open_engine
from gateway.settings import Settings
from tests.fakes import SOMEBODY
from tests.faults import victims
from tests.faults.clients import HANDLERS, a_pair
from tests.faults.servers import Servers
from tests.faults.victims import Victim
from tests.faults.witness import Witness
from tests.faults.writer import Journal, writer
from tests.integration.processes import eventually
from tests.trapping_proxy import TrappingProxy

FIRST_PREFERENCES = 3


@dataclass(frozen=True, slots=True)
class Company:
    """How many of each take part. Where there is a gateway, every other writer goes through it."""

    writers: int = 2
    projectors: int = 1
    gateway: bool = False


@dataclass(slots=True)
class Stage:
    """`chance` decides what the faults leave open. `marks` are those of commands that are in no writer's journal."""

    servers: Servers
    folder: Path
    nats: EmbeddedNats
    database_url: str
    chance: random.Random
    witness: Witness
    victims: dict[str, Victim] = field(default_factory=dict)
    journals: dict[str, Journal] = field(default_factory=dict)
    marks: list[str] = field(default_factory=list)
    port: int = field(default_factory=free_port)
    revived_at: float = field(default_factory=time.monotonic)

    @property
    def postgres(self) -> EmbeddedPostgres:
        return self.servers.postgres

    def settings(self, database_url: str) -> Settings:
        """Of a process that reaches Postgres there."""
        return Settings(
            home=self.folder,
            artifacts=self.folder / "artifacts",
            database_url=database_url,
            nats_url=self.nats.url,
            port=self.port,
        )

    def some(self, kind: str) -> Victim:
        """One of that kind: `writer`, `projectors` or `gateway`."""
        return self.chance.choice([victim for name, victim in self.victims.items() if name.startswith(kind)])

    def propose(self) -> tuple[str, int]:
        """A command of our own, past all faults. Returns the preference's id and the position."""
        self.marks.append(uuid4().hex)
        with closing(PostgresEventStore(self.database_url)) as store:
            bus = CommandBus(HANDLERS, store.session, store)
            written = bus.execute(ProposePreference(a_pair(self.marks[-1])), Envelope(SOMEBODY, uuid4()))
        return str(written.id), written.position

    def revive(self) -> None:
        """Whatever is dead or hangs is back."""
        self.servers.revive()
        if self.nats.exit_code() is not None:
            self.nats.start()
        for victim in self.victims.values():
            victim.proxy.disarm()
            victim.go_on()
            victim.start()
        self.revived_at = time.monotonic()

    def hear_from_all(self) -> None:
        """Every writer has had one more answer: so whoever answers it is there too."""
        before = {name: len(journal.answers) for name, journal in self.journals.items()}
        eventually(lambda: all(len(self.journals[name].answers) > count for name, count in before.items()), within=120)


@contextmanager
def set_stage(servers: Servers, seed: int, company: Company) -> Iterator[Stage]:
    """Everybody runs, and every writer has had an answer."""
    folder = servers.folder / f"seed-{seed}-{uuid4().hex[:8]}"
    folder.mkdir()
    nats_folder = servers.folder / "nats" / folder.name
    with ExitStack() as stack:
        url = stack.enter_context(servers.database(folder.name.replace("-", "_")))
        stack.callback(rmtree, nats_folder)  # or the disk that all seeds share is full one day
        nats = stack.enter_context(EmbeddedNats(nats_folder, folder / "nats.log"))
        witness = stack.enter_context(Witness(url, nats.url))
        stage = Stage(servers, folder, nats, url, random.Random(seed), witness)
        stack.callback(lambda: [victim.kill() for victim in stage.victims.values()])
        _cast(stage, company, lambda: stack.enter_context(TrappingProxy(servers.socket)))
        for victim in stage.victims.values():
            victim.start()
        stage.hear_from_all()
        yield stage


def _cast(stage: Stage, company: Company, new_proxy: Callable[[], TrappingProxy]) -> None:
    def add(name: str, main: Callable[..., None], arguments: Callable[[str], tuple[object, ...]]) -> None:
        proxy = new_proxy()
        database = stage.database_url.partition("@/")[2].partition("?")[0]
        url = f"postgresql://postgres@127.0.0.1:{proxy.port}/{database}?sslmode=disable&application_name={name}"
        stage.victims[name] = Victim(name, proxy, stage.folder / f"{name}.log", main, *arguments(url))

    api = None
    for n in range(company.projectors):
        add(f"projectors-{n}", victims.projectors, lambda url: (stage.settings(url),))
    if company.gateway:
        add("gateway", victims.gateway, lambda url: (stage.settings(url),))
        api = (f"http://127.0.0.1:{stage.port}", _token(stage))
    shared = [stage.propose()[0] for _ in range(FIRST_PREFERENCES)]
    for n in range(company.writers):
        journal = stage.folder / f"writer-{n}.jsonl"
        stage.journals[f"writer-{n}"] = Journal(journal)
        over = api if n % 2 == 0 else None
        add(f"writer-{n}", writer, lambda url, journal=journal, over=over: (journal, shared, url, over))


def _token(stage: Stage) -> str:
    engine = open_engine(stage.database_url)
    try:
        return ApiTokens(engine).create("writer", Role.ANNOTATOR, ActorKind.HUMAN, by="faults")
    finally:
        engine.dispose()
