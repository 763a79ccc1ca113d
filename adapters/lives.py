"""How aggregates began and what was last told of them, out of the log: what it takes to say how they stood."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import Any

from psycopg import Connection
from psycopg.rows import TupleRow, tuple_row

from adapters.event_json import event_from
from domain.events import Life

PAGE = 1000
UNKNOWN = "unknown"
"""Who recorded an event that does not say."""
_LIVES = """
SELECT first.*, last.* FROM (
    SELECT notification_id, recorded_at, originator_id, originator_version, topic, state, actor_subject
    FROM stored_events
    WHERE topic = %(began)s AND notification_id > %(after)s AND notification_id <= %(until)s
    ORDER BY notification_id LIMIT %(limit)s
) AS first LEFT JOIN LATERAL (
    SELECT notification_id, originator_version, topic, state, actor_subject FROM stored_events
    WHERE originator_id = first.originator_id AND originator_version > 1 AND notification_id <= %(upto)s
        AND topic = ANY(%(telling)s)
    ORDER BY originator_version DESC LIMIT 1
) AS last ON true ORDER BY first.notification_id
"""
"""By two indexes, in the order of the first: see `_reading_by_index` in adapters.event_recorder."""
_CUT = """
SELECT notification_id FROM stored_events
WHERE topic = %(began)s AND notification_id > %(after)s AND notification_id <= %(upto)s
ORDER BY notification_id OFFSET %(skipped)s LIMIT 1
"""


class Lives:
    """`connected` gives a connection to the log's database. Threads may share it."""

    def __init__(self, connected: Callable[[], AbstractContextManager[Connection[Any]]]) -> None:
        self._connected = connected

    def read(self, began: str, upto: int, telling: Sequence[str], after: int, until: int) -> Iterator[Life]:
        """As PostgresEventStore.lives. A page is read while the one before it is looked at."""
        with ThreadPoolExecutor(1, "lives") as ahead:
            rows = self._page(began, upto, telling, after, until)
            while rows:
                more = len(rows) == PAGE and rows[-1][0] < until
                following = more and ahead.submit(self._page, began, upto, telling, rows[-1][0], until)
                yield from map(_life, rows)
                rows = following.result() if following else []

    def cut(self, began: str, after: int, upto: int, lives: int) -> int | None:
        """The position at which so many of them have begun after that one; None where fewer have, up to `upto`."""
        values = {"began": began, "after": after, "upto": upto, "skipped": lives - 1}
        with self._connected() as connection, connection.cursor(row_factory=tuple_row) as cursor:
            found = cursor.execute(_CUT, values).fetchone()
        return int(found[0]) if found else None

    def _page(self, began: str, upto: int, telling: Sequence[str], after: int, until: int) -> list[TupleRow]:
        values = {"began": began, "upto": upto, "telling": list(telling), "after": after, "until": until, "limit": PAGE}
        with self._connected() as connection, connection.cursor(row_factory=tuple_row, binary=True) as cursor:
            return cursor.execute(_LIVES, values).fetchall()


def _life(row: TupleRow) -> Life:
    """Raises UnknownEvent or ValueError."""
    began, began_at, id, version, topic, state, by, position, last_version, last_topic, last_state, last_by = row
    first = event_from(topic, state, id, version)
    if position is None:
        return Life(first, began, began_at, first, began, by or UNKNOWN)
    last = event_from(last_topic, last_state, id, last_version)
    return Life(first, began, began_at, last, position, last_by or UNKNOWN)
