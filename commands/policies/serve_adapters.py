"""Makes every model server serve what the registry says, whatever either of them did meanwhile.

Nothing here is an event: what a server has in its memory is gone when it restarts, and is looked at anew all the time.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress

from loguru import logger

from commands.policies.together import together
from domain.lora_weights import Weights
from domain.ports.events import Clock
from domain.serving import (
    Listing,
    NotLoaded,
    Plan,
    Replica,
    ReplicaAway,
    ReplicaStanding,
    Servable,
    ServingState,
    plan,
    wanted_on,
)
from domain.text import excerpt

POLL_SECONDS = 2.0
"""How long a replica that restarted serves its base model alone."""
REST_SECONDS = 30.0
"""Before an adapter that was refused is tried again, unless there is news."""

Registered = Callable[[], Mapping[str, Servable]]
Tell = Callable[[Sequence[ReplicaStanding]], Awaitable[None]]


class ServeAdapters:
    """`registered` says which adapters may be asked for now, and may take its time; `tell` hears how all replicas
    stand, whenever one of them was looked at and now and then. Each replica is looked after on its own: one that is
    slow or away harms no other."""

    def __init__(
        self,
        registered: Registered,
        replicas: Sequence[Replica],
        tell: Tell,
        clock: Clock,
        poll_seconds: float = POLL_SECONDS,
    ) -> None:
        self._registered = registered
        self._tell = tell
        self._poll_seconds = poll_seconds
        self._tended = [_Tended(replica, clock) for replica in replicas]

    def wake(self) -> None:
        """There is news of adapters. From the event loop."""
        for tended in self._tended:
            tended.wake()

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop` is set."""
        await together(*(self._keep(tended, stop) for tended in self._tended), self._keep_telling(stop))

    @property
    def standings(self) -> list[ReplicaStanding]:
        """Of the replicas that were looked at."""
        return [tended.standing for tended in self._tended if tended.standing]

    async def _keep(self, tended: _Tended, stop: asyncio.Event) -> None:
        while not stop.is_set():
            tended.woken.clear()
            try:
                await tended.tend(await asyncio.to_thread(self._registered))
                await self._tell(self.standings)
            except Exception:
                logger.exception("what {} serves could not be compared with the registry; trying again", tended.name)
            with suppress(TimeoutError):
                await asyncio.wait_for(tended.woken.wait(), self._poll_seconds)

    async def _keep_telling(self, stop: asyncio.Event) -> None:
        """What is told does not last, and a server may take minutes to load."""
        while not stop.is_set():
            try:
                await self._tell(self.standings)
            except Exception:
                logger.exception("how the replicas stand could not be told; trying again")
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), self._poll_seconds)
        self.wake()  # whoever waits for the next look shall see that it is over


class _Tended:
    """One replica, and what is known of it."""

    def __init__(self, replica: Replica, clock: Clock) -> None:
        self.name = replica.name
        self.woken = asyncio.Event()
        self.standing: ReplicaStanding | None = None
        self._replica = replica
        self._clock = clock
        self._refused: dict[str, tuple[str, float]] = {}  # by name: the reason, and when to try again

    def wake(self) -> None:
        """Look now, and try what was refused, too."""
        self._refused.clear()
        self.woken.set()

    async def tend(self, registered: Mapping[str, Servable]) -> None:
        """One look at the replica, and whatever has to be done."""
        wanted = wanted_on(registered, self._replica.base)
        try:
            listing = await self._replica.listing()
            if steps := plan(wanted, listing):
                await self._carry_out(steps, wanted)
                listing = await self._replica.listing()
        except ReplicaAway as away:
            self._away(wanted, str(away))
        except Exception as error:
            self._away(wanted, excerpt(f"{type(error).__name__}: {error}"))
            raise
        else:
            left = plan(wanted, listing)
            self._refused = {n: kept for n, kept in self._refused.items() if n in left.load or n in left.unload}
            self._note(ServingState.BEHIND if left else ServingState.IN_STEP, wanted, listing)

    def _away(self, wanted: Mapping[str, Weights], why: str) -> None:
        self._note(ServingState.AWAY, wanted, Listing(frozenset(), {}), why)

    async def _carry_out(self, steps: Plan, wanted: Mapping[str, Weights]) -> None:
        """What is refused keeps nothing else from being done."""
        for name in steps.unload:
            await self._try(name, self._replica.unload(name), "is served no more")
        for name in steps.load:
            if not self._rests(name):
                await self._try(name, self._replica.load(name, wanted[name]), "is served")

    async def _try(self, name: str, attempt: Awaitable[None], done: str) -> None:
        try:
            await attempt
        except NotLoaded as refusal:
            reason = excerpt(str(refusal))  # it may name files that somebody else named
            if self._reason(name) != reason:
                logger.error("{}: {}", self.name, reason)
            self._refuse(name, reason)
        except ReplicaAway as away:  # perhaps because of this one: the others come first when it is back
            self._refuse(name, f"{name}: {away}")
            raise
        except Exception as error:  # whatever it is in this adapter that nobody thought of
            logger.exception("{}: {} could not be dealt with", self.name, name)
            self._refuse(name, excerpt(f"{name}: {type(error).__name__}: {error}"))
        else:
            self._refused.pop(name, None)
            logger.info("{}: {} {}", self.name, name, done)

    def _refuse(self, name: str, reason: str) -> None:
        self._refused[name] = (reason, time.monotonic() + REST_SECONDS)

    def _rests(self, name: str) -> bool:
        return name in self._refused and time.monotonic() < self._refused[name][1]

    def _reason(self, name: str) -> str | None:
        return self._refused[name][0] if name in self._refused else None

    def _note(self, state: ServingState, wanted: Mapping[str, Weights], listing: Listing, error: str = "") -> None:
        now, before = self._clock(), self.standing
        if before is None or before.state is not state:
            logger.info("{} is {} {}", self.name, state.value.replace("_", " "), error)
        self.standing = ReplicaStanding(
            replica=self.name,
            kind=self._replica.kind,
            base=self._replica.base,
            state=state,
            since=before.since if before and before.state is state else now,
            looked_at=now,
            wanted=sorted(wanted),
            served=sorted(listing.adapters),
            refused={name: reason for name, (reason, _) in sorted(self._refused.items())},
            error=error,
        )
