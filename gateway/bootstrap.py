"""Wires the parts that all processes share; what workers and trainers have besides is in gateway.workers and jobs."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from uuid import UUID

from sqlalchemy import Engine, create_engine, make_url

from adapters import kept_agents_yaml, probes
from adapters.agents_edits import EditableAgentsYaml
from adapters.agents_file import AgentsFile
from adapters.artifacts import DatasetFolder, JobResults
from adapters.bell import Bell
from adapters.code_version import code_version
from adapters.cron import Cron
from adapters.endpoint_keys import endpoint_keys, readable_keys
from adapters.event_feed import EventFeed
from adapters.event_recorder import UNREACHABLE, UTF8
from adapters.event_store import PostgresEventStore
from adapters.exchange.export import Exporter
from adapters.exchange.files import ImportFolder
from adapters.kept_agents_yaml import KeptAgentsYaml
from adapters.known_secrets import KnownSecrets
from adapters.kv import KeyValues
from adapters.live_text import LiveTextFeed
from adapters.locked_values import Cache
from adapters.loop_waits import on_loop, pause
from adapters.pair_index import PairIndex
from adapters.pings import ping_after_rest
from adapters.policy_checkpoints import PolicyCheckpoints
from adapters.relay import published
from adapters.replicas import standings
from adapters.replicas.standings import Standings
from adapters.sealing.book import SealBook
from adapters.sealing.proofs import Proofs
from adapters.shared_drafts import SharedDrafter
from adapters.telemetry import tracing, work
from adapters.token_lengths import TokenLengths
from adapters.tokens import ApiTokens
from adapters.tools.allowed import AllowedTools
from adapters.tools.servers_file import read_servers
from commands.bus import CommandBus
from commands.handlers import handlers
from commands.job_kinds import SCHEDULES
from commands.policies.agents_file import FollowAgentsFile
from commands.policies.build_dataset import BuildDataset
from commands.policies.kinds import KINDS
from domain.errors import Invalid
from domain.events import Actor, ActorKind, Envelope
from domain.model_hosts import ModelHosts
from domain.ports.datasets import DatasetExporter
from domain.ports.events import Written
from domain.ports.imports import ImportFiles
from domain.ports.jobs import Calendar, ResultFiles
from domain.ports.statistics import AgreementMeasures, Ranker
from domain.schedule import Schedule
from gateway.settings import Settings
from gateway.turns import Turns
from projections.lookups import KeptRosters

DATASETS_AT_ONCE = EXPORTS_AT_ONCE = 2
"""That requests may have a process write; each takes a processor, and of a million pairs a minute or more."""
NEVER = "never"
"""In place of a cron expression: a schedule that is not wanted."""

ExecuteOnLoop = Callable[[object, Envelope], Awaitable[Written]]


@dataclass(frozen=True, slots=True)
class Core:
    """What every process of ours is made of. `execute` runs a command on the event loop, and `bus` in a thread.
    `relayed` says how far NATS was told of the log; `datasets` gives a dataset's files, written again where they were
    lost or changed, and `pairs` knows what is in them; `agents_file` takes in what people edit by hand; `probes` raise
    when the part that they are named after does not work. The periodic jobs are in `schedules`, and `calendar` says
    when each is due; results too large for an event are in `job_results`, and files to be imported in `import_files`.
    `rankers` are the ranking methods, by name, and `agreement` measures that of annotators; `standings` says how model
    servers stand."""

    settings: Settings
    store: PostgresEventStore
    bus: CommandBus
    execute: ExecuteOnLoop
    engine: Engine
    tokens: ApiTokens
    feed: EventFeed
    bell: Bell
    live_text: LiveTextFeed
    relayed: Callable[[], int]
    policies: PolicyCheckpoints
    seals: SealBook
    proofs: Proofs
    datasets: BuildDataset
    pairs: PairIndex
    agents_file: FollowAgentsFile
    probes: Mapping[str, Callable[[], None]]
    schedules: Sequence[Schedule]
    calendar: Calendar
    job_results: ResultFiles
    import_files: ImportFiles
    exporter: DatasetExporter
    export_turn: Turns
    rankers: Callable[[], Mapping[str, Ranker]]
    standings: Standings
    agreement: Callable[[], AgreementMeasures]

    def datasets_of(self, actor: Actor) -> BuildDataset:
        """The builder of datasets, in the name of that actor, who does not ask for many at once."""
        return replace(self.datasets, actor=actor, turn=nullcontext)

    def dataset_file(self, dataset_id: UUID) -> Path:
        """The file of a dataset that is trained on, built or rebuilt where it is not there."""
        return self.datasets.ensure(dataset_id)

    def training_log(self, run_id: UUID) -> Path:
        """Where the trainer writes what the libraries say during that run."""
        return self.settings.logs / f"training-{run_id}.log"


@contextmanager
def open_core(settings: Settings) -> Iterator[Core]:
    """The parts, connected to what `settings` name, where `database_url` and `nats_url` must be known. Closes them."""
    if settings.database_url is None or settings.nats_url is None:
        raise ValueError("database_url and nats_url are not known yet: locate the embedded servers first")
    calendar = Cron()
    schedules = schedules_of(settings, calendar)
    engine = open_engine(settings.database_url)
    bell = Bell(settings.nats_url)
    traced = tracing.is_on()
    store = (work.TracedEventStore if traced else PostgresEventStore)(settings.database_url, on_append=bell.ring)
    parsed = KeyValues(settings.nats_url, kept_agents_yaml.BUCKET)
    stands = KeyValues(settings.nats_url, standings.BUCKET)
    bus = (_TracedBus if traced else CommandBus)(
        handlers(
            KINDS,
            kept_format(settings, Cache(parsed, str(settings.model_key))),
            [settings.base_model],
            code=code_version(),
        ),
        store.session,
        store,
        pause,
    )
    files = DatasetFolder(settings.artifacts)
    datasets = BuildDataset(
        store,
        SharedDrafter(store, settings.database_url, settings.dataset_processes),
        files,
        bus.execute,
        Actor("gateway", ActorKind.AUTOMATION),
        _tokens(settings.base_model_dir / "tokenizer.json"),
        code_version(),
        Turns(DATASETS_AT_ONCE, "datasets' files"),
    )
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
            live_text=LiveTextFeed(settings.nats_url),
            relayed=lambda: published(engine),
            policies=PolicyCheckpoints(engine),
            seals=SealBook(engine),
            proofs=Proofs(engine),
            datasets=datasets,
            pairs=PairIndex(files, datasets.ensure, Turns(DATASETS_AT_ONCE, "indexes of datasets")),
            agents_file=FollowAgentsFile(
                AgentsFile(settings.agents_file, settings.home / "agents-file.json"),
                KeptRosters(engine, store),
                bus.execute,
                write_back=settings.agents_sync == "both",
            ),
            probes={
                "postgres": probes.database(engine),
                "nats": probes.nats(settings.nats_url),
                "model_server": probes.http(f"{settings.embedded_model_url}/models", settings.model_key),
                "files": probes.writable(settings.home),
            },
            schedules=schedules,
            calendar=calendar,
            job_results=JobResults(settings.artifacts),
            import_files=ImportFolder(settings.artifacts),
            exporter=Exporter(),
            export_turn=Turns(EXPORTS_AT_ONCE, "exports"),
            rankers=rankers,
            standings=Standings(Cache(stands, str(settings.model_key))),
            agreement=agreement,
        )
    finally:
        store.close()
        bell.close()
        parsed.close()
        stands.close()
        engine.dispose()


def agents_format(settings: Settings) -> EditableAgentsYaml:
    """agents.yaml, as these settings allow it. Raises Invalid where they list what is no host or MCP server."""
    return EditableAgentsYaml(*_allowed(settings))


def kept_format(settings: Settings, parsed: Cache) -> EditableAgentsYaml:
    """The same; what was parsed before is looked up."""
    return KeptAgentsYaml(*_allowed(settings), parsed)


def known_secrets(settings: Settings) -> KnownSecrets:
    """What nobody is to read in what this process logs and records: its own keys, and those that it sends to endpoints,
    model servers and MCP servers, whose `env` and `headers` hold no other."""
    secrets = [settings.model_key, settings.token, *endpoint_keys(os.environ, None).values()]
    if settings.secrets_dir:  # whoever needs a key that cannot be read says so itself
        secrets += readable_keys(settings.secrets_dir)
    return KnownSecrets(filter(None, secrets))


def _allowed(settings: Settings) -> tuple[ModelHosts, AllowedTools]:
    return ModelHosts(settings.model_hosts), AllowedTools(read_servers(settings.mcp_servers))


class _TracedBus(CommandBus):
    """The same; what a command records follows from the command's own span."""

    def execute(self, command: object, envelope: Envelope) -> Written:
        return work.command(super().execute, command, envelope)


def schedules_of(settings: Settings, calendar: Calendar) -> Sequence[Schedule]:
    """The periodic jobs, at the times that the settings give them. Raises Invalid for a schedule that there is not, and
    for what is no cron expression."""
    if unknown := settings.schedules.keys() - SCHEDULES.keys():
        raise Invalid(f"schedules: there is no {', '.join(sorted(unknown))}; there is {', '.join(SCHEDULES)}")
    times = {name: settings.schedules.get(name, schedule.cron) for name, schedule in SCHEDULES.items()}
    wanted = [replace(SCHEDULES[name], cron=cron) for name, cron in times.items() if cron != NEVER]
    for schedule in wanted:
        calendar.check(schedule.cron)
    return wanted


@cache
def rankers() -> Mapping[str, Ranker]:
    """The ranking methods, by name. Their statistics take a second to import: only who asks for them waits for it."""
    from adapters.bradley_terry import BradleyTerry
    from adapters.cross_checks import Borda, Copeland
    from adapters.reliable_bradley_terry import ReliableBradleyTerry

    known: Sequence[Ranker] = (ReliableBradleyTerry(), BradleyTerry(), Borda(), Copeland())
    return {ranker.method: ranker for ranker in known}


@cache
def agreement() -> AgreementMeasures:
    """Imported when somebody asks, as the rankings are."""
    from adapters.agreement import Agreement

    return Agreement()


def open_engine(database_url: str) -> Engine:
    """Connections to the read models. Times come back as UTC; a server that is gone without a word is given up."""
    url = make_url(database_url).set(drivername="postgresql+psycopg")
    connect = {"options": "-c timezone=UTC", **UNREACHABLE, **UTF8}
    return ping_after_rest(create_engine(url, pool_size=10, max_overflow=20, connect_args=connect))


def _tokens(vocabulary: Path) -> TokenLengths | None:
    return TokenLengths(vocabulary) if vocabulary.exists() else None
