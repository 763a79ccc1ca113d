"""What the projectors' process does, wired: publish events to NATS, keep every read model up to date, seal the log."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial

from anyio import to_thread
from loguru import logger

from adapters.backoff import Backoff
from adapters.relay import Relay
from adapters.sealing.anchors import AnchorFile, Anchoring, AnchorWebhook, Place
from adapters.sealing.sealer import Sealer
from adapters.stopping import pause
from adapters.telemetry import work
from gateway.bootstrap import Core
from gateway.running import stopped_by_signals, together
from gateway.settings import Settings
from projections import ALL, DERIVED
from projections.derived import advance
from projections.failures import OUTAGES
from projections.follower import Follower
from projections.projector import Projector

POLL_SECONDS = 1.0
"""How long a read model may be behind when nobody rings, e.g. while NATS is down."""


async def run_projectors(core: Core) -> None:
    """Until SIGTERM or SIGINT."""
    stop = stopped_by_signals()
    settings = core.settings
    relay = Relay(str(settings.database_url), str(settings.nats_url), work.published)
    await together(relay.run(stop), follow(core, ALL, stop), seal(core, stop))


async def seal(core: Core, stop: asyncio.Event) -> None:
    """Seals the log and anchors its seals until `stop` is set, and once more then."""
    settings = core.settings
    sealer = Sealer(core.engine, settings.seal_key, settings.seal_keyring, settings.seal_seconds)
    anchoring = Anchoring(core.engine, anchor_places(settings), settings.seal_keyring, settings.anchor_seconds)
    await together(sealer.run(stop), anchoring.run(stop))
    await anchoring.anchor_or_log()


def anchor_places(settings: Settings) -> list[Place]:
    """Where these settings want seals to be kept outside of the database."""
    places: list[Place] = [AnchorFile(settings.anchors)]
    if settings.anchor_webhook:
        places.append(AnchorWebhook(str(settings.anchor_webhook)))
    return places


async def follow(core: Core, projectors: Sequence[Projector], stop: asyncio.Event) -> None:
    """Keeps these read models up to date until `stop` is set, and what is made of them. The bell only wakes them: what
    they fold, they read from the store."""
    woken, moved = asyncio.Event(), asyncio.Event()

    async def end() -> None:
        await stop.wait()
        woken.set()
        moved.set()

    await together(
        core.bell.listen(stop, lambda _topic: woken.set()),
        end(),
        keep_up(Follower(core.engine, core.store, projectors).advance, woken, stop, then=moved.set),
        *(keep_up(partial(advance, core.engine, derived), moved, stop) for derived in DERIVED),
    )


async def keep_up(
    take_in: Callable[[], bool], woken: asyncio.Event, stop: asyncio.Event, then: Callable[[], None] = lambda: None
) -> None:
    """Takes in what is new whenever `woken` is set, and now and then without; `then` is called after each time. What
    goes wrong is tried again."""
    backoff = Backoff(first=1.0, ceiling=30.0)
    while not stop.is_set():
        woken.clear()
        try:
            more = await to_thread.run_sync(take_in)
        except OUTAGES as outage:
            logger.warning("the read models wait for the database: {}", outage)
            await pause(stop, backoff.next_delay())
        except Exception:
            logger.exception("the read models cannot go on, and try again")
            await pause(stop, backoff.next_delay())
        else:
            backoff.reset()
            then()
            if not more:
                await pause(woken, POLL_SECONDS)
