"""Wires the parts that all processes share; what a worker and a trainer have besides is in gateway.workers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from sqlalchemy import Engine, create_engine, make_url

from adapters import probes
from adapters.agents_yaml import AgentsYaml
from adapters.artifacts import DatasetFolder
from adapters.bell import Bell
from adapters.event_feed import EventFeed
from adapters.event_recorder import UNREACHABLE, UTF8
from adapters.event_store import PostgresEventStore
from adapters.loop_waits import on_loop, pause
from adapters.pings import ping_after_rest
from adapters.policy_checkpoints import PolicyCheckpoints
from adapters.relay import published
from adapters.sealing.book import SealBook
from adapters.sealing.proofs import Proofs
from adapters.tokens import ApiTokens
from commands.bus import CommandBus
from commands.handlers import handlers
from commands.policies.build_dataset import BuildDataset
from commands.policies.kinds import KINDS
from domain.events import Actor, ActorKind, Envelope
from domain.ports import DatasetFiles, Written
from gateway.settings import Settings

ExecuteOnLoop = Callable[[object, Envelope], Awaitable[Written]]


@dataclass(frozen=True, slots=True)
class Core:
    """What every process of ours is made of. `execute` runs a command on the event loop, and `bus` in a thread.
    `relayed` says how far NATS was told of the log; `dataset_file` gives a dataset's file, written again where it was
    lost or changed; `probes` raise when the part that they are named after does not work."""

    settings: Settings
    store: PostgresEventStore
    bus: CommandBus
    execute: ExecuteOnLoop
    engine: Engine
    tokens: ApiTokens
    feed: EventFeed
    bell: Bell
    relayed: Callable[[], int]
    policies: PolicyCheckpoints
    seals: SealBook
    proofs: Proofs
    dataset_files: DatasetFiles
    dataset_file: Callable[[UUID], Path]
    probes: Mapping[str, Callable[[], None]]

    def training_log(self, run_id: UUID) -> Path:
        """Where the trainer writes what the libraries say during that run."""
        return self.settings.logs / f"training-{run_id}.log"


@contextmanager
def open_core(settings: Settings) -> Iterator[Core]:
    """The parts, connected to what `settings` name, where `database_url` and `nats_url` must be known. Closes them."""
    if settings.database_url is None or settings.nats_url is None:
        raise ValueError("database_url and nats_url are not known yet: locate the embedded servers first")
    engine = open_engine(settings.database_url)
    bell = Bell(settings.nats_url)
    store = PostgresEventStore(settings.database_url, on_append=bell.ring)
    bus = CommandBus(handlers(KINDS, AgentsYaml(), [settings.base_model]), store.session, store, pause)
    files = DatasetFolder(settings.artifacts)
    try:
        yield Core(
            settings=settings,
            store=store,
            bus=bus,
            execute=lambda command, envelope: on_loop(bus.execute, command, envelope),
            engine=engine,
            tokens=ApiTokens(engine),
            feed=EventFeed(engine),
            bell=bell,
            relayed=lambda: published(engine),
            policies=PolicyCheckpoints(engine),
            seals=SealBook(engine),
            proofs=Proofs(engine),
            dataset_files=files,
            dataset_file=BuildDataset(store, files, bus.execute, Actor("gateway", ActorKind.AUTOMATION)).ensure,
            probes={
                "postgres": probes.database(engine),
                "nats": probes.nats(settings.nats_url),
                "model_server": probes.http(f"{settings.embedded_model_url}/models", settings.model_key),
                "files": probes.writable(settings.home),
            },
        )
    finally:
        store.close()
        bell.close()
        engine.dispose()


def open_engine(database_url: str) -> Engine:
    """Connections to the read models. Times come back as UTC; a server that is gone without a word is given up."""
    url = make_url(database_url).set(drivername="postgresql+psycopg")
    connect = {"options": "-c timezone=UTC", **UNREACHABLE, **UTF8}
    return ping_after_rest(create_engine(url, pool_size=10, max_overflow=20, connect_args=connect))
