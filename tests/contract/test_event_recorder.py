"""The library's own tests of recorders, unchanged, against ours on the tables that our migrations make."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest
from eventsourcing.postgres import PostgresTrackingRecorder
from eventsourcing.tests import persistence

from adapters.event_recorder import EnvelopeFactory, EnvelopeProcessRecorder, EnvelopeRecorder, open_factory


class Factory:
    """The factory for a database of the test's own."""

    factory: EnvelopeFactory

    def on(self, url: str) -> Iterator[None]:
        with closing(open_factory(url)) as self.factory:
            yield


class Embedded(Factory):
    @pytest.fixture(autouse=True)
    def _factory(self, database: str) -> Iterator[None]:
        yield from self.on(database)


class External(Factory):
    @pytest.fixture(autouse=True)
    def _factory(self, external_database: str) -> Iterator[None]:
        yield from self.on(external_database)


class ApplicationRecorder(Factory):
    def create_recorder(self) -> EnvelopeRecorder:
        recorder = self.factory.application_recorder()
        assert isinstance(recorder, EnvelopeRecorder)
        return recorder


class ProcessRecorder(Factory):
    def create_recorder(self) -> EnvelopeProcessRecorder:
        recorder = self.factory.process_recorder()
        assert isinstance(recorder, EnvelopeProcessRecorder)
        recorder.create_table()  # of the tracking: nothing of ours asks for it, so no migration makes it
        return recorder


class TrackingRecorder(Factory):
    def create_recorder(self) -> PostgresTrackingRecorder:
        recorder = self.factory.tracking_recorder()
        assert isinstance(recorder, PostgresTrackingRecorder)
        recorder.create_table()
        return recorder


class TestOnEmbedded(Embedded, ApplicationRecorder, persistence.ApplicationRecorderTestCase[EnvelopeRecorder]):
    pass


class TestOnExternal(External, ApplicationRecorder, persistence.ApplicationRecorderTestCase[EnvelopeRecorder]):
    pass


class TestPositionsOnEmbedded(Embedded, ApplicationRecorder, persistence.NonInterleavingNotificationIDsBaseCase):
    pass


class TestPositionsOnExternal(External, ApplicationRecorder, persistence.NonInterleavingNotificationIDsBaseCase):
    pass


class TestProcessingOnEmbedded(Embedded, ProcessRecorder, persistence.ProcessRecorderTestCase):
    pass


class TestProcessingOnExternal(External, ProcessRecorder, persistence.ProcessRecorderTestCase):
    pass


class TestTrackingOnEmbedded(Embedded, TrackingRecorder, persistence.TrackingRecorderTestCase):
    pass


class TestTrackingOnExternal(External, TrackingRecorder, persistence.TrackingRecorderTestCase):
    pass
