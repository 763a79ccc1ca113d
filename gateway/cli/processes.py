"""One subcommand for each process, as `caravan up` starts them and as containers run them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from functools import partial
from uuid import uuid4

import typer
from loguru import logger

from adapters import schema
from adapters.console_account import SESSIONS
from adapters.kv import KeyValues
from adapters.locked_values import Lockers
from adapters.telemetry import tracing
from commands.roster import ReviseRoster
from domain.events import Actor, ActorKind, Envelope
from domain.roster import ROSTER_ID
from domain.text import from_utf8
from gateway.bootstrap import Core, known_secrets, open_core
from gateway.cli.output import REFUSED, plain_errors
from gateway.logging import Redact, configure_logging, redacted
from gateway.running import collect_rarely
from gateway.settings import Settings
from gateway.stack import keyed, located

app = typer.Typer()


@app.command()
def migrate() -> None:
    """Bring the database to the newest schema, and keep agents.yaml as the first revision where there is none."""
    with _process("migrate") as settings:
        schema.upgrade(str(settings.database_url))
        with open_core(settings) as core:
            _keep_first_roster(core)


@app.command()
def prepare_model() -> None:
    """Make the embedded model's files, unless they are there."""
    from adapters.model_server.weights import prepare_model as prepare

    with _process("prepare-model", keyed) as settings:
        prepare(settings.base_model_dir, lambda stage, done: logger.info("{}: {:.0%}", stage, done))


@app.command()
def model_server() -> None:
    """Serve the embedded model and its adapters."""
    from adapters.model_server.server import serve

    with _process("model-server", keyed) as settings:
        serve(
            host="127.0.0.1",
            port=settings.model_port,
            base_dir=settings.base_model_dir,
            base_name=settings.base_model,
            adapters_dir=settings.lora_adapters,
            api_key=str(settings.model_key),
            threads=settings.model_threads,
        )


@app.command()
def gateway() -> None:
    """Serve the HTTP API and the live streams."""
    from gateway.app import create_app
    from gateway.serving import server_of

    with _process("gateway") as settings, open_core(settings) as core:
        server = server_of(create_app(core), settings)
        server.run()
        if not server.started:
            raise typer.Exit(REFUSED)


@app.command()
def projectors() -> None:
    """Publish the events to NATS and keep the read models up to date."""
    from gateway.projectors import run_projectors

    with _process("projectors") as settings, open_core(settings) as core:
        asyncio.run(run_projectors(core))


@app.command()
def worker() -> None:
    """Play workflow runs, propose pairs and build datasets."""
    from gateway.workers import work

    with _process("worker") as settings, open_core(settings) as core:
        asyncio.run(work(core))


@app.command()
def trainer() -> None:
    """Train LoRA adapters, one at a time."""
    from gateway.workers import train

    with _process("trainer") as settings, open_core(settings) as core:
        asyncio.run(train(core))


@app.command()
def ui() -> None:
    """Serve the console."""
    from ui.serve import serve

    with _process("ui", lambda settings: settings) as settings, _lockers(settings) as lockers:
        serve("127.0.0.1", settings.ui_port, settings.api_url, lockers)


@contextmanager
def _lockers(settings: Settings) -> Iterator[Lockers | None]:
    if settings.console_nats_url is None:
        yield None
        return
    with closing(KeyValues(settings.console_nats_url, SESSIONS)) as values:
        values.connect()  # or the first who comes back after a restart may wait in vain, and have to sign in again
        yield Lockers(values)


@contextmanager
def _process(name: str, completed: Callable[[Settings], Settings] = located) -> Iterator[Settings]:
    with plain_errors():
        settings = completed(Settings())
        hide = known_secrets(settings).hide
        configure_logging(settings.log_level, name, hide=hide)
        collect_rarely()
        logger.info("{} starts", name)
        try:
            with _reported(name, settings, hide), _traced(name, settings):
                yield settings
        except Exception as error:
            logger.exception("{} cannot go on", name)
            raise typer.Exit(REFUSED) from error
        logger.info("{} ends", name)


def _traced(name: str, settings: Settings) -> AbstractContextManager[None]:
    endpoint = tracing.endpoint(str(settings.otlp_endpoint or ""))
    if endpoint is None:
        return nullcontext()
    from adapters.telemetry.export import exported

    return exported(name, endpoint)


def _reported(name: str, settings: Settings, hide: Redact) -> AbstractContextManager[None]:
    if not settings.sentry_dsn:
        return nullcontext()
    from adapters.telemetry.sentry import reported

    return reported(settings.sentry_dsn, name, settings.profile, partial(redacted, hide=hide))


def _keep_first_roster(core: Core) -> None:
    if core.store.history(ROSTER_ID):
        return
    text = from_utf8(core.settings.agents_file.read_bytes())
    envelope = Envelope(Actor("first-start", ActorKind.AUTOMATION), correlation_id=uuid4())
    core.bus.execute(ReviseRoster(text, f"as shipped in {core.settings.agents_file.name}"), envelope)
