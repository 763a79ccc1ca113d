"""The relay: tells NATS of every event, in order, from where it left off.

Of all relays one leads: the one whose connection to Postgres holds the advisory lock. It reads the log and moves its
checkpoint over that very connection, so one that has lost the lead cannot move anything. When it dies, Postgres frees
the lock, and the next one takes over within a second. What both have published, the stream's deduplication takes out.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import nats
import psycopg
from loguru import logger
from nats.aio.client import Client
from nats.js import JetStreamContext
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.rows import DictRow, dict_row
from sqlalchemy import Engine, select

from adapters import bell
from adapters.backoff import Backoff
from adapters.cloud_events import cloud_event
from adapters.event_recorder import UNREACHABLE
from adapters.event_tables import RELAY
from adapters.nats import CONNECT_SECONDS, OUTAGES, STREAM, SUBJECTS, declare_stream
from adapters.stopping import pause, unless

NAME = "events"
LOCK = 0x63617261_76616E  # "caravan"
BATCH = 500
LARGEST = 512 * 1024
"""Of an event, in bytes. A larger one is told by reference: a server takes 1 MiB unless told otherwise."""

POLL_SECONDS = 0.5
"""How late an event is told of at most when nobody rings."""
GATHER_SECONDS = 0.02
"""Between two batches: each costs the same, however few events it has."""
ELECTION_SECONDS = 0.5
ACK_SECONDS = 5.0
SILENCE = "10s"
"""A leader that says nothing to Postgres for so long (its machine hangs) loses its connection, and with it the lead."""

Connection = psycopg.AsyncConnection[DictRow]
OnPublished = Callable[[Sequence[Mapping[str, Any]], int], None]
"""Told of the rows of `stored_events` that NATS has been told of, and since when (ns since 1970)."""


class Relay:
    """`run` it in as many processes as you like."""

    def __init__(
        self, database_url: str, nats_url: str, on_published: OnPublished = lambda _rows, _began: None
    ) -> None:
        self._database_url = database_url
        self._nats_url = nats_url
        self._on_published = on_published

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop` is set. Postgres or NATS being down is a pause, not an end."""
        backoff = Backoff(first=0.2, ceiling=2.0)
        while not stop.is_set():
            try:
                await unless(stop, self._serve(backoff))
            except (psycopg.Error, *OUTAGES) as error:
                logger.warning("the relay starts over: {!r}", error)
            await pause(stop, backoff.next_delay())

    async def _serve(self, backoff: Backoff) -> None:
        async with asyncio.timeout(CONNECT_SECONDS):
            client = await nats.connect(self._nats_url, max_reconnect_attempts=-1, reconnect_time_wait=0.2)
        try:
            async with await self._connect() as db:
                await db.execute(f"SET idle_session_timeout = '{SILENCE}'")
                await db.execute("SET synchronous_commit = off")  # a place that a crash takes back is told again
                await _win(db)
                logger.info("this relay leads")
                await declare_stream(client.jetstream())
                woken = asyncio.Event()
                await bell.subscribe(client, lambda _topic: woken.set())
                await _lead(db, client, woken, backoff, self._on_published)
        finally:
            await client.close()

    async def _connect(self) -> Connection:
        parameters: dict[str, Any] = {**UNREACHABLE, **conninfo_to_dict(self._database_url)}
        return await Connection.connect(make_conninfo(**parameters), autocommit=True, row_factory=dict_row)


async def _win(db: Connection) -> None:
    """Returns once this connection holds the lock."""
    while True:
        row = await (await db.execute("SELECT pg_try_advisory_lock(%s) AS won", (LOCK,))).fetchone()
        if row and row["won"]:
            return
        await asyncio.sleep(ELECTION_SECONDS)


async def _lead(
    db: Connection, client: Client, woken: asyncio.Event, backoff: Backoff, on_published: OnPublished
) -> None:
    """Tells of what is there, and then of what comes, whenever `woken` is set and now and then without."""
    jetstream = client.jetstream()
    await db.execute("INSERT INTO relay (name, position) VALUES (%s, 0) ON CONFLICT DO NOTHING", (NAME,))
    row = await (await db.execute("SELECT position FROM relay WHERE name = %s", (NAME,))).fetchone()
    position = row["position"] if row else 0
    while True:
        woken.clear()
        query = "SELECT * FROM stored_events WHERE notification_id > %s ORDER BY notification_id LIMIT %s"
        rows = await (await db.execute(query, (position, BATCH))).fetchall()
        if rows:
            began = time.time_ns()
            try:
                taken = rows[: await _publish(jetstream, rows)]
            except TimeoutError:
                await _forget_if_stuck(db, client, rows[-1:])
                raise
            position = taken[-1]["notification_id"]
            await db.execute("UPDATE relay SET position = %s WHERE name = %s", (position, NAME))
            backoff.reset()
            on_published(taken, began)
        if len(rows) < BATCH:
            await asyncio.sleep(GATHER_SECONDS)
            await pause(woken, POLL_SECONDS)


async def _publish(jetstream: JetStreamContext, rows: Sequence[DictRow]) -> int:
    """How many of them, from the first, the stream has: on a machine that is slow not all, and the others are told
    again. So whatever the backlog, the relay gets on. Raises one of OUTAGES where it has none: TimeoutError where it
    said nothing in time; also when it is gone.
    """
    pending: list[asyncio.Future[Any]] = []
    try:
        for row in rows:
            event = told(row)
            subject, headers = f"{SUBJECTS}.{event['type']}", {"Nats-Msg-Id": event["id"]}
            pending.append(await jetstream.publish_async(subject, encoded(event), headers=headers))
        await asyncio.wait(pending, timeout=ACK_SECONDS)
        failures = [each.exception() if each.done() else TimeoutError() for each in pending]
        if failures[0]:
            raise failures[0]
        return next((taken for taken, failure in enumerate(failures) if failure), len(rows))
    finally:
        for future in pending:
            future.cancel()


async def _forget_if_stuck(db: Connection, client: Client, last: Sequence[DictRow]) -> None:
    """A stream whose disk was full takes nothing more, even when there is room again, until nats-server is restarted
    (2.15). It holds nothing but news: it is deleted, and declared anew when the relay starts over.

    `last`: the last event that it did not take; it would acknowledge one that it holds. NATS must answer before and
    after it is offered, over one connection: silence alone is an outage, in which the client would keep the deletion
    to send it later. Another leader's stream is left alone: the connection would raise.
    """
    await db.execute("SELECT")  # or the two publications together would outlast SILENCE, and cost the lead
    jetstream = client.jetstream()
    await jetstream.stream_info(STREAM)
    reconnects = client.stats["reconnects"]
    try:
        await _publish(jetstream, last)
    except TimeoutError:
        await db.execute("SELECT")
        await jetstream.stream_info(STREAM)
        if client.is_connected and client.stats["reconnects"] == reconnects:
            await jetstream.delete_stream(STREAM)
            logger.warning("the stream took no news, though NATS answers; it is made anew")


def told(row: Mapping[str, Any]) -> dict[str, Any]:
    """The event as it is published: whole, or, where it is too large, with `dataref` in place of its data: where the
    API shows it."""
    event = cloud_event(row)
    if len(encoded(event)) <= LARGEST:
        return event
    position = event["position"]
    reference = {"dataref": f"/v1/events?from={position - 1}&to={position}"}
    return {name: value for name, value in event.items() if name not in ("data", "data_base64")} | reference


def encoded(event: Mapping[str, Any]) -> bytes:
    """JSON, in ASCII alone: whatever is in a string, it can be encoded."""
    return json.dumps(event, separators=(",", ":")).encode()


def published(engine: Engine) -> int:
    """The position of the last event that NATS was told of."""
    with engine.connect() as db:
        return db.scalar(select(RELAY.c.position).where(RELAY.c.name == NAME)) or 0
