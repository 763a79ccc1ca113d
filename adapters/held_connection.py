"""One connection of the library's pool, kept for as long as it is sound."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from types import TracebackType

from eventsourcing.postgres import PostgresDatastore
from psycopg import Connection
from psycopg.rows import DictRow


class HeldConnection:
    """`with held as connection:` as with the datastore's own `get_connection`, errors translated alike, but the pool is
    asked only the first time and after an error: taking a connection anew costs a ping of the server. `prepare` is
    called with each that is taken. For one thread.
    """

    def __init__(self, datastore: PostgresDatastore, prepare: Callable[[Connection[DictRow]], None]) -> None:
        self._datastore = datastore
        self._prepare = prepare
        self._lease: ExitStack | None = None

    def __enter__(self) -> Connection[DictRow]:
        if self._lease is None:
            with ExitStack() as lease:
                self._connection = lease.enter_context(self._datastore.get_connection())
                self._prepare(self._connection)
                self._lease = lease.pop_all()
        return self._connection

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """After an error the connection goes back to the pool, which rolls back, or closes it where it is broken."""
        if error is not None and (lease := self._lease) is not None:
            self._lease = None
            lease.__exit__(kind, error, trace)

    def close(self) -> None:
        """Gives the connection back."""
        if self._lease is not None:
            self._lease.close()
            self._lease = None
