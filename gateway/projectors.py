"""What the projectors' process does, wired: publish events to NATS, keep every read model up to date, seal the log."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from anyio import to_thread
from loguru import logger

from adapters.backoff import Backoff
from adapters.relay import Relay
from adapters.sealing.anchors import AnchorFile, Anchoring, AnchorWebhook, Place
from adapters.sealing.sealer import Sealer
from adapters.stopping import pause
from gateway.bootstrap import Core
from gateway.errors import OUTAGES
from gateway.running import stopped_by_signals, together
from gateway.settings import Settings
from projections import ALL
from projections.engine import catch_up
from projections.projector import Projector

POLL_SECONDS = 1.0
"""How long a read model may be behind when nobody rings, e.g. while NATS is down."""
SOON_SECONDS = 0.1


async def run_projectors(core: Core) -> None:
    """Until SIGTERM or SIGINT."""
    stop = stopped_by_signals()
    settings = core.settings
    relay = Relay(str(settings.database_url), str(settings.nats_url))
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
    """Keeps these read models up to date until `stop` is set. The bell only wakes them: what they fold, they read from
    the store."""
    wakeful = [WakefulProjector(core, projector) for projector in projectors]

    def wake(topic: str) -> None:
        for each in wakeful:
            each.wake(topic)

    async def end() -> None:
        await stop.wait()
        for each in wakeful:
            each.woken.set()

    await together(core.bell.listen(stop, wake), end(), *(each.run(stop) for each in wakeful))


class WakefulProjector:
    """Catches one read model up whenever it is woken, and now and then without."""

    def __init__(self, core: Core, projector: Projector) -> None:
        self._core = core
        self._projector = projector
        self.woken = asyncio.Event()
        self._soon: asyncio.TimerHandle | None = None

    def wake(self, topic: str) -> None:
        """There are new events of that topic. One that it does not fold only moves its checkpoint, which can wait a
        little; but not long, for somebody may want to read what they have just written."""
        if topic in self._projector.topics:
            self.woken.set()
        elif self._soon is None:
            self._soon = asyncio.get_running_loop().call_later(SOON_SECONDS, self.woken.set)

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop` is set. What goes wrong here is tried again, and stops no other read model."""
        backoff = Backoff(first=1.0, ceiling=30.0)
        while not stop.is_set():
            self.woken.clear()
            if self._soon:
                self._soon.cancel()
                self._soon = None
            try:
                await to_thread.run_sync(catch_up, self._core.engine, self._core.store, self._projector)
            except OUTAGES as outage:
                logger.warning("{} waits for the database: {}", self._projector.name, outage)
                await pause(stop, backoff.next_delay())
            except Exception:
                logger.exception("{} cannot go on, and tries again", self._projector.name)
                await pause(stop, backoff.next_delay())
            else:
                backoff.reset()
                await pause(self.woken, POLL_SECONDS)
