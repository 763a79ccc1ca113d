"""Anchors: seals written down outside of the database, where whoever can change the database cannot reach them.

A file that is only ever appended to, a seal's JSON a line; or a web address that is sent each as the body of a POST. A
place that fails is tried again, and holds up neither the other places nor the sealer.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import httpx
from loguru import logger
from sqlalchemy import Engine, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import SQLAlchemyError

from adapters.event_tables import ANCHORS
from adapters.sealing.keys import KeyUnusable, read_keyring
from adapters.sealing.seal import NoSeal, Seal, latest_seal
from adapters.sealing.tiles import TreeDamaged
from adapters.stopping import pause

WEBHOOK_SECONDS = 4.0
RETRY_SECONDS = 5.0
NONE = 0
"""The number of the seal that a place has before it has any."""


class Place(Protocol):
    """Somewhere outside of the database."""

    @property
    def name(self) -> str:
        """As it stands in the table `anchors`."""

    def keep(self, seal: Seal) -> None:
        """Returns once it is kept there. Raises OSError or httpx.HTTPError."""


class AnchorFile:
    """A file, one line a seal."""

    name = "file"

    def __init__(self, file: Path) -> None:
        self._file = file

    def keep(self, seal: Seal) -> None:
        self._file.parent.mkdir(parents=True, exist_ok=True)
        with os.fdopen(os.open(self._file, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600), "a+b") as lines:
            size = lines.tell()
            torn = size and os.pread(lines.fileno(), 1, size - 1) != b"\n"
            lines.write((b"\n" if torn else b"") + json.dumps(seal.to_json()).encode() + b"\n")
            lines.flush()
            os.fsync(lines.fileno())


class AnchorWebhook:
    """A web address. Any answer of success means that the seal is kept there; redirections are not followed."""

    name = "webhook"

    def __init__(self, url: str) -> None:
        self._url = url

    def keep(self, seal: Seal) -> None:
        httpx.post(self._url, json=seal.to_json(), timeout=WEBHOOK_SECONDS).raise_for_status()


class Anchoring:
    """Keeps the newest seal in every place, every so many seconds, where there is a new one that a key of the file
    `keyring` has signed."""

    def __init__(self, engine: Engine, places: Sequence[Place], keyring: Path, seconds: float = 60.0) -> None:
        self._engine = engine
        self._places = places
        self._keyring = keyring
        self._seconds = seconds

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop` is set."""
        while not stop.is_set():
            kept = await self.anchor_or_log()
            await pause(stop, self._seconds if kept else min(RETRY_SECONDS, self._seconds))

    async def anchor_or_log(self) -> bool:
        """Once. False where there is no seal yet, or it could not be kept everywhere; why not is logged."""
        try:
            outcome = await asyncio.to_thread(self.anchor)
        except (SQLAlchemyError, KeyUnusable, OSError) as error:
            logger.warning("nothing is anchored just now: {}", error)
            return False
        except TreeDamaged as damage:
            logger.error("nothing is anchored any more: {}", damage)
            return False
        failures = [failure for failure in outcome.values() if failure]
        for failure in failures:
            logger.warning("an anchor is tried again: {}", failure)
        return bool(outcome) and not failures

    def anchor(self) -> dict[str, str | None]:
        """Keeps the newest seal wherever it is not yet. Returns, by place, what failed, or None. Raises TreeDamaged
        where no trusted key has signed it, or KeyUnusable."""
        with self._engine.begin() as db:
            places = [{"place": place.name, "seal": NONE} for place in self._places]
            db.execute(insert(ANCHORS).on_conflict_do_nothing(), places)
            seal = latest_seal(db)
            newest = dict(db.execute(select(ANCHORS.c.place, func.max(ANCHORS.c.seal)).group_by(ANCHORS.c.place)).all())
        if seal is None:
            return {}
        if fault := seal.signature_fault(read_keyring(self._keyring)):
            raise TreeDamaged(fault)
        return {
            place.name: self._kept(place, seal) if newest.get(place.name) != seal.number else None
            for place in self._places
        }

    def _kept(self, place: Place, seal: Seal) -> str | None:
        try:
            place.keep(seal)
        except (OSError, httpx.HTTPError) as error:
            return f"seal {seal.number} cannot be kept in the {place.name}: {_said(error)}"
        with self._engine.begin() as db:
            db.execute(insert(ANCHORS).values(place=place.name, seal=seal.number).on_conflict_do_nothing())
        return None


def _said(error: OSError | httpx.HTTPError) -> str:
    """Without the address, which may hold a secret."""
    match error:
        case httpx.HTTPStatusError():
            return f"the answer was {error.response.status_code}"
        case httpx.HTTPError():
            return type(error).__name__
        case _:
            return str(error)


def read_anchors(file: Path) -> list[Seal]:
    """The seals in an anchor file, in the order in which they were written. A line that was cut short, as by a full
    disk, is passed over: that seal was kept again, in a line of its own. Raises NoSeal, or OSError."""
    seals = []
    for number, line in enumerate(file.read_text().splitlines(), start=1):
        if not line.endswith("}"):
            continue
        try:
            seals.append(Seal.from_json(json.loads(line)))
        except (ValueError, NoSeal) as error:
            raise NoSeal(f"line {number} of {file} is not an anchored seal: {error}") from error
    return seals
