"""The sealer: every few seconds it hashes the events that are new into the tree, and signs the tree's root.

Positions are in commit order, so what is visible up to a position stays as it is, and the leaf's index is the event's
rank. Past events are not read again: the stored tiles of the tree are enough to go on from. Before that the sealer
makes sure that they are those of the last seal, and that the last seal is one of its own.

Of all sealers one works at a time, under an advisory lock for the length of its transaction; whoever comes next finds
in the database where to go on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from loguru import logger
from sqlalchemy import Connection, Engine, func, insert, select, text
from sqlalchemy.exc import SQLAlchemyError

from adapters.backoff import Backoff
from adapters.event_store import utc_now
from adapters.event_tables import SEALS
from adapters.sealing.keys import KeyUnusable, SigningKey, add_to_keyring, read_keyring
from adapters.sealing.leaves import BEGINNING, Leaf, leaves_after
from adapters.sealing.merkle import EMPTY_ROOT, root
from adapters.sealing.seal import Seal, latest_seal
from adapters.sealing.tiles import Tiles, TreeDamaged
from adapters.stopping import pause
from domain.ports.events import Clock

LOCK = 0x63617261_7365616C  # "caraseal"
BATCH = 5_000
"""Events that one seal covers at most: so much is in memory, and so long the projectors beside have to wait."""
SILENCE = "10s"
"""A sealer that hangs for so long in its transaction loses it, and with it the lock."""


class Sealer:
    """`run` it in as many processes as you like. `key_file` holds the private key, `keyring` the public ones; both are
    made at the first seal."""

    def __init__(
        self,
        engine: Engine,
        key_file: Path,
        keyring: Path,
        seconds: float = 2.0,
        clock: Clock = utc_now,
    ) -> None:
        self._engine = engine
        self._key_file = key_file
        self._keyring = keyring
        self._seconds = seconds
        self._clock = clock

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop` is set, and once more then. What goes wrong here is tried again, and stops nobody else."""
        backoff = Backoff(first=self._seconds, ceiling=30.0)
        stopping = False
        while not stopping:
            stopping = stop.is_set()
            try:
                await asyncio.to_thread(self.seal_all, stop)
            except (SQLAlchemyError, KeyUnusable, OSError) as error:
                logger.warning("nothing is sealed just now: {}", error)
                await pause(stop, backoff.next_delay())
            except TreeDamaged as damage:
                logger.error("nothing is sealed any more: {}", damage)
                await pause(stop, backoff.next_delay())
            else:
                backoff.reset()
                await pause(stop, self._seconds)

    def seal_all(self, stop: asyncio.Event | None = None) -> None:
        """Whatever there is, a batch a seal; once `stop` is set, one batch. Raises TreeDamaged or KeyUnusable."""
        while self.seal_next() == BATCH:
            if stop and stop.is_set():
                return

    def seal_next(self) -> int:
        """Seals the next events, a batch at most. Returns how many: 0 too where another sealer is at it."""
        with self._engine.begin() as db:
            db.execute(text(f"SET LOCAL idle_in_transaction_session_timeout = '{SILENCE}'"))
            if not db.scalar(select(func.pg_try_advisory_xact_lock(LOCK))):
                return 0
            last = latest_seal(db)
            leaves = leaves_after(db, last.last_position if last else BEGINNING, BATCH)
            if leaves:
                db.execute(insert(SEALS).values(asdict(self._sealed(db, last, leaves))))
        return len(leaves)

    def _sealed(self, db: Connection, last: Seal | None, leaves: Sequence[Leaf]) -> Seal:
        key = SigningKey.kept_in(self._key_file)
        add_to_keyring(self._keyring, key.public)
        tiles, before = self._tree(db, last)
        tiles.append(before, [leaf.hash for leaf in leaves])
        size = before + len(leaves)
        return Seal(
            number=last.number + 1 if last else 1,
            size=size,
            root=root(size, tiles.node),
            first_position=leaves[0].position,
            last_position=leaves[-1].position,
            sealed_at=self._clock(),
            previous=last.hash if last else None,
            key_id=key.public.id,
        ).signed(key)

    def _tree(self, db: Connection, last: Seal | None) -> tuple[Tiles, int]:
        """The tree as the last seal left it, and its size. Raises TreeDamaged where it is another one."""
        tiles = Tiles(db)
        size = last.size if last else 0
        tiles.check(size, last.root if last else EMPTY_ROOT)
        if last and (fault := last.signature_fault(read_keyring(self._keyring))):
            raise TreeDamaged(fault)
        return tiles, size
