"""The event store as commands and readers see it: sessions that save, a log to read, and what earlier commands did."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from operator import itemgetter
from types import TracebackType
from typing import Any, Self, cast
from uuid import UUID

from eventsourcing.domain import BaseAggregate, DomainEventProtocol
from eventsourcing.persistence import IntegrityError, StoredEvent
from psycopg import sql
from psycopg.rows import DictRow
from uuid_utils.compat import uuid7

from adapters.aggregate_cache import Loaded
from adapters.aggregates import Aggregates
from adapters.event_json import PlainJsonMapper, event_from
from adapters.event_recorder import EnvelopeRecorder, OnAppend, nobody, open_factory
from adapters.lives import UNKNOWN, Lives
from adapters.loop_waits import blocking, is_on_loop, wait_for
from domain.errors import DomainError, NotFound, VersionConflict
from domain.events import Actor, ActorKind, Envelope, Life, Recorded
from domain.ports.events import A, Clock, ConcurrentWrite, Written

READ_BATCH = 1000
NOBODY = Actor(UNKNOWN, ActorKind.AUTOMATION)
_COLUMNS = sql.SQL(
    "notification_id, originator_id, originator_version, topic, state, recorded_at, actor_subject, actor_kind,"
    " correlation_id, causation_id, command_id, traceparent, project, data_subjects"
)


def utc_now() -> datetime:
    """The machine's clock, aware."""
    return datetime.now(UTC)


class PostgresEventStore:
    """Holds the connection pool. `close` it when done. Threads may share it, and an event loop that runs commands by
    `on_loop`: all that a command needs of it then waits without the loop."""

    def __init__(
        self,
        database_url: str,
        clock: Clock = utc_now,
        new_id: Callable[[], UUID] = uuid7,
        on_append: OnAppend = nobody,
    ) -> None:
        self._factory = open_factory(database_url)
        self.recorder = cast(EnvelopeRecorder, self._factory.application_recorder())
        self.recorder.on_append = on_append
        self._mapper = PlainJsonMapper()
        self._lives = Lives(self._factory.datastore.get_connection)
        self._aggregates = Aggregates(self._factory.datastore, self._mapper)
        self._clock = clock
        self._new_id = new_id

    def close(self) -> None:
        self.recorder.close()
        self._aggregates.close()
        self._factory.close()

    def session(self, envelope: Envelope) -> PostgresSession:
        """One command's work, under that envelope."""
        return PostgresSession(self, envelope)

    def append(self, events: Iterable[DomainEventProtocol[UUID]], envelope: Envelope) -> list[tuple[int, StoredEvent]]:
        """Commits them in one transaction; returns each with its position. Raises the library's IntegrityError when
        somebody wrote those versions, or that command, first."""
        stored = [self._mapper.to_stored_event(event) for event in events]
        if is_on_loop():
            positions = wait_for(self.recorder.insert_events_async(stored, envelope=envelope))
        else:
            positions = self.recorder.insert_events(stored, envelope=envelope)
        return list(zip(positions, stored, strict=True))

    # --- reading

    def head(self) -> int:
        """The position of the last event; 0 when there is none."""
        return blocking(self.recorder.max_notification_id) or 0

    def read(self, after: int = 0, upto: int | None = None, topics: Sequence[str] = ()) -> Iterator[Recorded]:
        """Every event with after < position <= upto, in order, of these topics (all where none are named)."""
        for row in self.read_rows(after, upto, topics):
            yield recorded(row)

    def lives(
        self, began: str, upto: int, telling: Sequence[str], after: int = 0, until: int | None = None
    ) -> Iterator[Life]:
        """Of every aggregate that an event of the topic `began` begins, with after < its position <= until: that event
        and the last one of the topics in `telling`, itself where there is none, up to the position `upto`; in the order
        in which they began."""
        return self._lives.read(began, upto, telling, after, upto if until is None else until)

    def cut(self, began: str, after: int, upto: int, lives: int) -> int | None:
        """The position at which so many of these have begun after that one; None where fewer have, up to `upto`."""
        return self._lives.cut(began, after, upto, lives)

    def position_at(self, moment: datetime) -> int:
        """The position of the last event that was recorded up to that moment; 0 where none was.

        Found by halving: positions are in the order of commits, and so of the database's clock, unless that was set
        back. Then it is one of the places where the log passed that moment.
        """
        return blocking(self._position_at, moment)

    def _position_at(self, moment: datetime) -> int:
        query = "SELECT recorded_at FROM stored_events WHERE notification_id > %s ORDER BY notification_id LIMIT 1"
        with self.recorder.datastore.get_connection() as connection:

            def following(position: int) -> datetime:
                (found,) = connection.execute(query, (position,)).fetchall()
                recorded_at: datetime = found["recorded_at"]
                return recorded_at

            last = connection.execute("SELECT coalesce(max(notification_id), 0) AS head FROM stored_events").fetchall()[
                0
            ]["head"]
            return bisect_right(range(last), moment, key=following)

    def read_rows(
        self, after: int = 0, upto: int | None = None, topics: Sequence[str] = (), limit: int | None = None
    ) -> Iterator[DictRow]:
        """The same, undecoded: for readers that must survive an event that cannot be decoded."""
        while limit is None or limit > 0:
            rows = self._page(after, upto, topics, READ_BATCH if limit is None else min(limit, READ_BATCH))
            yield from rows
            if len(rows) < READ_BATCH:
                return
            after = rows[-1]["notification_id"]
            limit = None if limit is None else limit - len(rows)

    def rows_of(self, aggregate: UUID, upto: int, topics: Sequence[str]) -> Sequence[DictRow]:
        """One aggregate's rows up to that position, in order, of these topics, undecoded."""
        query = sql.SQL(
            "SELECT {} FROM stored_events WHERE originator_id = %s AND notification_id <= %s AND topic = ANY(%s)"
            " ORDER BY originator_version"
        )
        with self.recorder.datastore.get_connection() as connection:
            return connection.execute(query.format(_COLUMNS), (aggregate, upto, list(topics))).fetchall()

    def decode(self, row: Mapping[str, Any]) -> Recorded:
        """The event in such a row. Raises UnknownEvent or ValueError."""
        return recorded(row)

    def history(self, id: UUID, upto: int | None = None) -> Sequence[Recorded]:
        """One aggregate's events, in order, to that version of it (None: all); empty when there is none."""
        query = sql.SQL("SELECT {} FROM stored_events WHERE originator_id = %s{} ORDER BY originator_version")
        bound = sql.SQL("" if upto is None else " AND originator_version <= %s")
        values = (id,) if upto is None else (id, upto)
        with self.recorder.datastore.get_connection() as connection:
            return [recorded(row) for row in connection.execute(query.format(_COLUMNS, bound), values).fetchall()]

    def beginnings(self, ids: Collection[UUID]) -> Sequence[Recorded]:
        """The first event of each of these aggregates that there is, in no order."""
        query = sql.SQL("SELECT {} FROM stored_events WHERE originator_id = ANY(%s) AND originator_version = 1")
        with self.recorder.datastore.get_connection() as connection:
            return [recorded(row) for row in connection.execute(query.format(_COLUMNS), (list(ids),)).fetchall()]

    def outcome(self, command_id: UUID) -> tuple[Written, bytes | None] | None:
        """What that command was answered and its fingerprint; None when it was never executed."""
        return blocking(self._outcome, command_id)

    def _outcome(self, command_id: UUID) -> tuple[Written, bytes | None] | None:
        query = (
            "SELECT originator_id, originator_version, notification_id, fingerprint, command_index FROM stored_events"
            " WHERE command_id = %(id)s UNION ALL"
            " SELECT aggregate_id, version, position, fingerprint, 0 FROM command_outcomes"
            " WHERE command_id = %(id)s"
        )
        with self.recorder.datastore.get_connection() as connection:
            rows = connection.execute(query, {"id": command_id}).fetchall()
        if not rows:
            return None
        rows.sort(key=itemgetter("command_index"))
        first = rows[0]["originator_id"]
        version = max(row["originator_version"] for row in rows if row["originator_id"] == first)
        return Written(first, version, rows[-1]["notification_id"]), rows[0]["fingerprint"]

    def keep_outcome(self, envelope: Envelope, written: Written) -> None:
        """Remembers a command that wrote nothing. Raises ConcurrentWrite for one that is known already."""
        blocking(self._keep_outcome, envelope, written)

    def _keep_outcome(self, envelope: Envelope, written: Written) -> None:
        query = "INSERT INTO command_outcomes VALUES (%s, %s, %s, %s, %s) ON CONFLICT DO NOTHING"
        values = (envelope.command_id, envelope.fingerprint, written.id, written.version, written.position)
        with self.recorder.datastore.get_connection() as connection:
            if not connection.execute(query, values).rowcount:
                raise ConcurrentWrite(f"command {envelope.command_id} was executed at the same moment")

    def _page(self, after: int, upto: int | None, topics: Sequence[str], limit: int) -> list[DictRow]:
        where = [sql.SQL("notification_id > %(after)s")]
        if upto is not None:
            where.append(sql.SQL("notification_id <= %(upto)s"))
        if topics:
            where.append(sql.SQL("topic = ANY(%(topics)s)"))
        query = sql.SQL("SELECT {} FROM stored_events WHERE {} ORDER BY notification_id LIMIT %(limit)s").format(
            _COLUMNS, sql.SQL(" AND ").join(where)
        )
        values = {"after": after, "upto": upto, "topics": list(topics), "limit": limit}
        with self.recorder.datastore.get_connection() as connection:
            return connection.execute(query, values, binary=True).fetchall()


class PostgresSession:
    """The Session port: loads aggregates and appends what they decide.

    At the end of a `with` block that ended well, or with a refusal, what is as it was stored goes back to the store's
    memory: nobody may use it any more.
    """

    def __init__(self, store: PostgresEventStore, envelope: Envelope) -> None:
        self._store = store
        self._loaded: list[Loaded] = []
        self.envelope = envelope

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None or isinstance(error, DomainError):  # a defect may have left an event half applied
            for loaded in self._loaded:
                self._store._aggregates.give_back(loaded)

    def now(self) -> datetime:
        return self._store._clock()

    def new_id(self) -> UUID:
        return self._store._new_id()

    def head(self) -> int:
        return self._store.head()

    def position_at(self, moment: datetime) -> int:
        return self._store.position_at(moment)

    def get(self, kind: type[A], id: UUID, version: int | None = None) -> A:
        """Raises NotFound or VersionConflict."""
        aggregate = self.find(kind, id)
        if aggregate is None:
            raise NotFound(str(kind.__dict__["TOPIC"]).replace("_", " "), id)
        if version is not None and aggregate.version != version:
            raise VersionConflict(version, aggregate.version)
        return aggregate

    def find(self, kind: type[A], id: UUID) -> A | None:
        loaded = self._store._aggregates.load(kind, id)
        if loaded is None:
            return None
        self._loaded.append(loaded)
        return loaded.aggregate if isinstance(loaded.aggregate, kind) else None

    def history(self, id: UUID, upto: int | None = None) -> Sequence[Recorded]:
        return blocking(self._store.history, id, upto)

    def beginnings(self, ids: Collection[UUID]) -> Sequence[Recorded]:
        return blocking(self._store.beginnings, ids)

    def save(self, *aggregates: BaseAggregate[UUID]) -> Written:
        """Raises ConcurrentWrite when somebody else was faster."""
        first = aggregates[0]
        changed = self._give_back_read(aggregates)
        events = [event for aggregate in aggregates for event in aggregate.collect_events()]
        if not events:
            written = Written(first.id, first.version, self.head())
            if self.envelope.fingerprint is not None:  # a client may send it again when it would change something
                self._store.keep_outcome(self.envelope, written)
            self._loaded = changed
            return written
        try:
            stored = self._store.append(events, self.envelope)
        except IntegrityError as conflict:
            raise ConcurrentWrite(f"{type(first).__name__} {first.id} was changed at the same moment") from conflict
        for loaded in changed:
            loaded.wrote(stored)
        self._loaded = changed
        return Written(first.id, first.version, stored[-1][0])

    def _give_back_read(self, saved: Sequence[BaseAggregate[UUID]]) -> list[Loaded]:
        """Lets go of what was loaded and is not saved: others need it while this one waits for the disk. Returns the
        rest, which a save that fails leaves changed, and not as they are stored."""
        loaded, self._loaded = self._loaded, []
        changed = [each for each in loaded if any(each.aggregate is aggregate for aggregate in saved)]
        for each in loaded:
            if each not in changed:
                self._store._aggregates.give_back(each)
        return changed


def envelope_of(row: Mapping[str, Any]) -> Envelope:
    """The envelope in a row of `stored_events`."""
    subject = row["actor_subject"]
    return Envelope(  # not by name, which takes half as long again, and every event that is read passes here
        _actor(subject, row["actor_kind"]) if subject else NOBODY,
        row["correlation_id"] or row["originator_id"],
        row["command_id"],
        row["causation_id"],
        row["traceparent"],
        None,
        row["project"],
        tuple(row["data_subjects"]),
    )


@lru_cache
def _actor(subject: str, kind: str) -> Actor:
    return Actor(subject, ActorKind(kind))


def recorded(row: Mapping[str, Any]) -> Recorded:
    """The event in a row of `stored_events`. Raises UnknownEvent or ValueError."""
    event = event_from(row["topic"], row["state"], row["originator_id"], row["originator_version"])
    return Recorded(row["notification_id"], event, envelope_of(row), row["recorded_at"])
