"""The library's Postgres recorder, with an envelope around every event, and with group commit.

Positions are in commit order because the library's `LOCK TABLE ... IN EXCLUSIVE MODE` stays on: a transaction takes its
positions and commits before the next one takes any, be it of this process or of another. `POSTGRES_ENABLE_DB_FUNCTIONS`
would skip that lock, and readers would then miss events for good; so we refuse it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from contextlib import nullcontext
from itertools import islice
from typing import Any, cast

import psycopg
from eventsourcing.persistence import (
    ApplicationRecorder,
    DataError,
    InfrastructureFactory,
    IntegrityError,
    InterfaceError,
    InternalError,
    OperationalError,
    StoredEvent,
)
from eventsourcing.postgres import (
    PostgresApplicationRecorder,
    PostgresDatastore,
    PostgresFactory,
    PostgresProcessRecorder,
)
from eventsourcing.utils import retry
from loguru import logger
from psycopg import Connection, Cursor
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import DictRow, dict_row

from adapters.event_rows import Save, new_events
from adapters.group_commit import GroupCommit
from adapters.held_connection import HeldConnection
from adapters.pings import check_after_rest
from domain.events import Envelope

POOL = {
    "POSTGRES_POOL_SIZE": "2",
    "POSTGRES_MAX_OVERFLOW": "14",
    "POSTGRES_MAX_WAITING": "200",
    "POSTGRES_CONNECT_TIMEOUT": "1",
    "POSTGRES_LOCK_TIMEOUT": "10",
    "POSTGRES_IDLE_IN_TRANSACTION_SESSION_TIMEOUT": "5",
}
"""Times in seconds. A writer that hangs in a transaction loses its connection, and the lock that others wait for. The
library tries ten times to be given a connection, for so long each: some 12 s, and whoever asks is told of an outage."""
RECONNECT_SECONDS = 2.0
"""After it the pool tries anew only when it is asked, and at once: its pauses would grow with the outage, and outlive
it."""
UNREACHABLE = {"tcp_user_timeout": 10_000, "keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3}
"""libpq's own settings: a server that is gone without a word is given up after some 10 s (the first is in ms)."""
UTF8 = {"client_encoding": "utf8"}
"""What texts in binary form are written in, whatever the environment or the database says."""
ADDRESS = ("POSTGRES_DBNAME", "POSTGRES_HOST", "POSTGRES_PORT", "POSTGRES_USER", "POSTGRES_PASSWORD")
"""What the library insists on being told."""
APPEND = "CALL append_events(%s, %s, NULL)"
"""Of `new_events`, and how long to wait for the lock."""
Positions = list[int]
OnAppend = Callable[[Collection[str]], None]
"""Told after each group of which topics there may be new events. Must be quick."""


def nobody(_topics: Collection[str]) -> None:
    """Is told, and does nothing."""


class UnsafePositions(ValueError):
    """Somebody turned the library's database functions on."""

    def __init__(self) -> None:
        super().__init__(
            "POSTGRES_ENABLE_DB_FUNCTIONS skips the lock that keeps positions in commit order, "
            "and readers would miss events for good: unset it"
        )


class EnvelopeRecorder(PostgresApplicationRecorder):
    """Stores what `insert_events(..., envelope=...)` says of the events in the same row; bare events without one.
    Threads and event loops may share it. `close` it when done."""

    def __init__(self, datastore: PostgresDatastore, **names: Any) -> None:
        if datastore.enable_db_functions:
            raise UnsafePositions
        super().__init__(datastore, **names)
        self._patience = f"{datastore.lock_timeout}s"
        self._connection = HeldConnection(datastore, self._learn)
        self._commits = GroupCommit[Save, Positions](self._commit, size=lambda save: save.bytes)
        self.on_append: OnAppend = nobody

    @property
    def waiting(self) -> int:
        """How many saves wait to be written."""
        return self._commits.waiting

    def close(self) -> None:
        """Writes what waits, and takes no more."""
        self._commits.close()
        self._connection.close()

    def insert_events(
        self, stored_events: Sequence[StoredEvent], *, envelope: Envelope | None = None, **kwargs: Any
    ) -> Positions:
        """Returns the positions, once they are committed. Raises the library's IntegrityError when somebody wrote those
        versions, or that command, first."""
        return self._commits.save(Save(stored_events, envelope, self._also(**kwargs)))

    async def insert_events_async(
        self, stored_events: Sequence[StoredEvent], *, envelope: Envelope | None = None, **kwargs: Any
    ) -> Positions:
        """The same for the tasks of an event loop."""
        return await self._commits.save_async(Save(stored_events, envelope, self._also(**kwargs)))

    def _also(self, **kwargs: Any) -> Callable[[Cursor[DictRow]], None] | None:
        """What else is to be done in the transaction of a save."""
        return None

    def _commit(self, saves: Sequence[Save]) -> Sequence[Positions | Exception]:
        outcomes: Sequence[Positions | Exception] = self._commit_together(saves)
        try:
            self.on_append({event.topic for save in saves for event in save.events})
        except Exception as error:  # what is committed must be told as such, whatever becomes of the news of it
            logger.warning("nobody is woken for new events: {!r}", error)
        return outcomes

    @retry((InterfaceError, OperationalError), max_attempts=10, wait=0.2)
    def _commit_together(self, saves: Sequence[Save]) -> Sequence[Positions | Exception]:
        """All of them together; one by one only where the database refuses something in them.

        Like the library's own recorder it tries again after an outage. If the outage hid that a group was committed,
        its saves then conflict with themselves: whoever gave them a command id can tell.
        """
        try:
            try:
                return self._commit_whole(saves)
            except (InterfaceError, OperationalError, InternalError):
                raise
            except Exception as refused:
                return [refused] if len(saves) == 1 else self._commit_apart(saves)
        except InternalError as lost:  # so PostgreSQL calls the end of a transaction that hung
            raise OperationalError(str(lost)) from lost

    def _commit_whole(self, saves: Sequence[Save]) -> list[Positions]:
        more = any(save.also for save in saves)  # otherwise the call is a transaction in itself
        with (
            self._connection as connection,
            connection.transaction() if more else nullcontext(),
            connection.cursor() as cursor,
        ):
            return self._write(cursor, saves)

    def _commit_apart(self, saves: Sequence[Save]) -> list[Positions | Exception]:
        """One transaction all the same, with a savepoint for each save: one that is refused fails alone."""
        outcomes: list[Positions | Exception] = []
        with self._connection as connection:
            with connection.cursor() as cursor, connection.transaction():
                for save in saves:
                    try:
                        with connection.transaction():
                            outcomes += self._write(cursor, [save])
                    except (psycopg.InterfaceError, psycopg.OperationalError, psycopg.InternalError):
                        raise
                    except Exception as refused:
                        outcomes.append(_as_the_librarys(refused))
            # psycopg ends a block without a word, and without COMMIT, where the connection was lost while it went back
            # to the savepoint before a refused save.
            if connection.broken:
                raise psycopg.OperationalError("the connection was lost before the group was committed")
        return outcomes

    def _write(self, cursor: Cursor[DictRow], saves: Sequence[Save]) -> list[Positions]:
        """The positions of each save; they rise with the events."""
        values = (new_events(saves, self._new_event), self._patience)
        row = cursor.execute(APPEND, values, prepare=True, binary=True).fetchone()
        taken = iter(row["positions"] or () if row else ())
        positions = [list(islice(taken, len(save.events))) for save in saves]
        for save in saves:
            if save.also:
                save.also(cursor)
        return positions

    def _learn(self, connection: Connection[DictRow]) -> None:
        """What a connection has to be asked before its first call."""
        row = connection.execute("SELECT 'new_event'::regtype::oid AS oid").fetchone()
        self._new_event: int = row["oid"] if row else 0


def _as_the_librarys(error: Exception) -> Exception:
    match error:
        case psycopg.IntegrityError():
            return IntegrityError(str(error))
        case psycopg.DataError():
            return DataError(str(error))
        case _:
            return error


class EnvelopeProcessRecorder(EnvelopeRecorder, PostgresProcessRecorder):
    """The same, and keeps what was processed in the transaction of what came of it."""

    def _also(self, **kwargs: Any) -> Callable[[Cursor[DictRow]], None] | None:
        tracking = kwargs.get("tracking")
        return (lambda cursor: self._insert_tracking(cursor, tracking)) if tracking else None


class EnvelopeFactory(PostgresFactory):
    """What `PERSISTENCE_MODULE=adapters.event_recorder:EnvelopeFactory` chooses."""

    application_recorder_class = EnvelopeRecorder
    process_recorder_class = EnvelopeProcessRecorder

    @retry((InterfaceError, OperationalError), max_attempts=5, wait=0.2)
    def application_recorder(self) -> ApplicationRecorder:
        """As the library's, but the first connection may take longer than one try on a machine that is busy."""
        return super().application_recorder()


def open_factory(database_url: str) -> EnvelopeFactory:
    """The library's factory for the database of that URL, `sslmode` and all. Alembic makes the tables.

    The connections take the address from the URL, and what that leaves out from libpq's environment, as every other
    connection of ours does.
    """
    conninfo = conninfo_to_dict(database_url)
    constructed = InfrastructureFactory.construct(
        {
            "PERSISTENCE_MODULE": "adapters.event_recorder:EnvelopeFactory",
            **dict.fromkeys(ADDRESS, "-"),
            "POSTGRES_ENABLE_DB_FUNCTIONS": "no",
            "CREATE_TABLE": "no",
            **POOL,
        }
    )
    factory = cast(EnvelopeFactory, constructed)
    factory.datastore.pool.kwargs = {"row_factory": dict_row, **UNREACHABLE, **conninfo, **UTF8}
    factory.datastore.pool.reconnect_timeout = RECONNECT_SECONDS
    factory.datastore.pool._check = check_after_rest()  # the library knows only always (POSTGRES_PRE_PING) and never
    factory.datastore.pool._configure = _reading_by_index(factory.datastore.after_connect_func())
    return factory


def _reading_by_index(configure: Callable[[Connection[Any]], None]) -> Callable[[Connection[Any]], None]:
    """The log is read in the order of an index, a page at a time. Without statistics, as after a restore, PostgreSQL
    would rather sort all that is left of it for each page, which takes quadratic time."""

    def configured(connection: Connection[Any]) -> None:
        configure(connection)
        connection.execute("SET enable_sort = off")

    return configured
