"""The ``eventsourcing`` package's own test cases, unchanged, on our log."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from eventsourcing.persistence import ProcessRecorder
from eventsourcing.postgres import PostgresDatastore, PostgresTrackingRecorder
from eventsourcing.tests.persistence import (
    ApplicationRecorderTestCase,
    NonInterleavingNotificationIDsBaseCase,
    ProcessRecorderTestCase,
)

from application.adapters.event_log import LogDatastore, PostgresEventLog


class OnPostgres:
    """A fresh database per test, connected as the library's own Postgres tests are."""

    datastore: PostgresDatastore

    @pytest.fixture(autouse=True)
    def _datastore(self, database_url: str) -> Iterator[None]:
        self.datastore = LogDatastore(database_url)
        yield
        self.datastore.close()

    def create_recorder(self) -> PostgresEventLog:
        recorder = PostgresEventLog(self.datastore)
        recorder.create_table()
        return recorder


class TestApplicationRecorder(OnPostgres, ApplicationRecorderTestCase[PostgresEventLog]):
    def test_insert_subscribe(self) -> None:
        self.optional_test_insert_subscribe()


class TestPositionsDoNotInterleave(OnPostgres, NonInterleavingNotificationIDsBaseCase):
    pass


class LogWithTracking(PostgresTrackingRecorder, PostgresEventLog, ProcessRecorder):
    """The library's process recorder: our log and its tracking of what was processed, in one transaction."""

    def __init__(self, datastore: PostgresDatastore, **kwargs: Any) -> None:
        super().__init__(datastore, **kwargs)

    def _insert_events(self, curs: Any, stored_events: Any, **kwargs: Any) -> None:
        tracking = kwargs.get("tracking")
        if tracking is not None:
            self._insert_tracking(curs, tracking=tracking)
        super()._insert_events(curs, stored_events, **kwargs)


class TestProcessRecorder(OnPostgres, ProcessRecorderTestCase):
    def create_recorder(self) -> LogWithTracking:
        recorder = LogWithTracking(self.datastore)
        recorder.create_table()
        return recorder


del ApplicationRecorderTestCase, NonInterleavingNotificationIDsBaseCase, ProcessRecorderTestCase
