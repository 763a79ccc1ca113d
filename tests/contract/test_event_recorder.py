"""The library's own tests of recorders, unchanged, against ours on the tables that our migrations make."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest
from eventsourcing.tests import persistence

from adapters import schema
from adapters.event_recorder import EnvelopeRecorder
from adapters.event_store import PostgresEventStore


class Recorder:
    """What those tests ask for."""

    recorder: EnvelopeRecorder

    def create_recorder(self) -> EnvelopeRecorder:
        return self.recorder

    def on(self, url: str) -> Iterator[None]:
        schema.upgrade(url)
        with closing(PostgresEventStore(url)) as store:
            self.recorder = store.recorder
            yield


class EmbeddedRecorder(Recorder):
    @pytest.fixture(autouse=True)
    def _recorder(self, database: str) -> Iterator[None]:
        yield from self.on(database)


class ExternalRecorder(Recorder):
    @pytest.fixture(autouse=True)
    def _recorder(self, external_database: str) -> Iterator[None]:
        yield from self.on(external_database)


class TestOnEmbeddedPostgres(EmbeddedRecorder, persistence.ApplicationRecorderTestCase[EnvelopeRecorder]):
    pass


class TestOnExternalPostgres(ExternalRecorder, persistence.ApplicationRecorderTestCase[EnvelopeRecorder]):
    pass


class TestPositionsOnEmbeddedPostgres(EmbeddedRecorder, persistence.NonInterleavingNotificationIDsBaseCase):
    pass


class TestPositionsOnExternalPostgres(ExternalRecorder, persistence.NonInterleavingNotificationIDsBaseCase):
    pass
