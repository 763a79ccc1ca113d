"""What the projectors' process does, wired: publish events to NATS, and keep every read model up to date."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress

from loguru import logger

from adapters.backoff import Backoff
from adapters.nats import News, NewsDesk
from adapters.relay import Relay
from adapters.stopping import pause
from domain.catalogue import aggregate_topic
from gateway.bootstrap import Core
from gateway.errors import OUTAGES
from gateway.running import stopped_by_signals, together
from projections import ALL
from projections.engine import catch_up
from projections.projector import Projector

POLL_SECONDS = 1.0
"""How long a read model may be behind when no news comes, e.g. while NATS is down."""


async def run_projectors(core: Core) -> None:
    """Until SIGTERM or SIGINT. News only wakes a projector: what it folds, it reads from the store."""
    stop = stopped_by_signals()
    settings = core.settings
    desk = NewsDesk(str(settings.nats_url))
    waking = [WakefulProjector(core, projector, desk) for projector in ALL]
    relay = Relay(str(settings.database_url), str(settings.nats_url))
    await together(relay.run(stop), desk.run(stop), *(projector.run(stop) for projector in waking))


class WakefulProjector:
    """Catches one read model up whenever there is news of its events, and now and then without."""

    def __init__(self, core: Core, projector: Projector, desk: NewsDesk) -> None:
        self._core = core
        self._projector = projector
        self._woken = asyncio.Event()
        subjects = sorted({f"events.{aggregate_topic(topic)}.>" for topic in projector.topics})
        desk.subscribe(f"projector-{projector.name}", subjects, self._wake)

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop` is set. What goes wrong here is tried again, and stops no other read model."""
        backoff = Backoff(first=1.0, ceiling=30.0)
        while not stop.is_set():
            self._woken.clear()
            try:
                await asyncio.to_thread(catch_up, self._core.engine, self._core.store, self._projector)
            except OUTAGES as outage:
                logger.warning("{} waits for the database: {}", self._projector.name, outage)
                await pause(stop, backoff.next_delay())
            except Exception:
                logger.exception("{} cannot go on, and tries again", self._projector.name)
                await pause(stop, backoff.next_delay())
            else:
                backoff.reset()
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._woken.wait(), POLL_SECONDS)

    async def _wake(self, news: Sequence[News]) -> None:
        self._woken.set()
