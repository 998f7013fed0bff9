"""The event log on Postgres: positions without gaps and in commit order, many commands per commit."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from datetime import datetime
from types import TracebackType
from typing import Any, Final, LiteralString
from uuid import UUID

from eventsourcing.persistence import StoredEvent as LibraryEvent
from eventsourcing.persistence import Subscription
from eventsourcing.postgres import (
    PostgresApplicationRecorder,
    PostgresDatastore,
    PostgresSubscription,
)
from psycopg import Cursor
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.rows import DictRow
from psycopg.sql import SQL, Composed

from application.adapters.appending import Append, CommandResult, History, Snapshot, Wanted
from application.adapters.arrays import int4s, int8s, texts, uuids
from application.adapters.codec import EventCodec
from application.adapters.database import Database
from application.adapters.group_commit import GroupCommit, Written
from application.adapters.schema import SCHEMA
from application.adapters.turns import Turns
from application.errors import LogUnavailableError
from application.ports import Doorbell, StoredEvent
from domain.kernel import Event, Recorded

_INSERT: Final[LiteralString] = "SELECT log_insert(%s::uuid[], %s::bigint[], %s::text[], %s::bytea[]) AS head"

_HEAD: Final[LiteralString] = "SELECT position FROM log_head"

_READ: Final[LiteralString] = """
SELECT originator_id, originator_version, topic, state, notification_id
FROM stored_events WHERE notification_id > %s ORDER BY notification_id LIMIT %s
"""

_READ_STREAM: Final[LiteralString] = """
SELECT originator_id, originator_version, topic, state, notification_id
FROM stored_events WHERE originator_id = %s AND originator_version > %s AND originator_version <= %s
ORDER BY originator_version
"""

_AT_POSITIONS: Final[LiteralString] = """
SELECT originator_id, originator_version, topic, state, notification_id
FROM stored_events WHERE notification_id = ANY (%s) ORDER BY notification_id
"""

# LATERAL with an order of its own, so that each stream is looked up by the primary key whatever the planner
# thinks of the table: a join could become a scan of the whole log.
_HISTORIES: Final[LiteralString] = """
SELECT wanted.number, wanted.stream, stored.version, stored.topic, stored.state, stored.position
FROM unnest(%s::integer[], %s::uuid[], %s::bigint[]) AS wanted (number, stream, after)
CROSS JOIN LATERAL (
    SELECT event.originator_version AS version, event.topic, event.state, event.notification_id AS position
    FROM stored_events AS event
    WHERE event.originator_id = wanted.stream AND event.originator_version > wanted.after
    ORDER BY event.originator_version
) AS stored
ORDER BY wanted.number, stored.version
"""

# Snapshots come with position 0, which no event has, and with version order before the events that follow
# them.
_HISTORIES_FROM_SNAPSHOTS: Final[LiteralString] = """
WITH wanted AS (
    SELECT asked.number, asked.stream, greatest(asked.after, snapshot.version) AS after, snapshot.*
    FROM unnest(%s::integer[], %s::uuid[], %s::bigint[], %s::text[]) AS asked (number, stream, after, topic)
    LEFT JOIN LATERAL (
        SELECT kept.originator_version AS version, kept.topic, kept.state
        FROM snapshots AS kept
        WHERE kept.originator_id = asked.stream AND kept.originator_version > asked.after
            AND kept.topic = asked.topic
        ORDER BY kept.originator_version DESC
        LIMIT 1
    ) AS snapshot ON true
)
SELECT number, stream, version, topic, state, 0::bigint AS position FROM wanted WHERE version IS NOT NULL
UNION ALL
SELECT wanted.number, wanted.stream, stored.version, stored.topic, stored.state, stored.position
FROM wanted
CROSS JOIN LATERAL (
    SELECT event.originator_version AS version, event.topic, event.state, event.notification_id AS position
    FROM stored_events AS event
    WHERE event.originator_id = wanted.stream AND event.originator_version > wanted.after
    ORDER BY event.originator_version
) AS stored
ORDER BY 1, 3
"""

_RESULT: Final[LiteralString] = """
SELECT request_hash, status, body, position FROM command_results WHERE scope = %s AND key = %s
"""

_SAVE_SNAPSHOT: Final[LiteralString] = """
WITH outdated AS (
    DELETE FROM snapshots WHERE originator_id = %s AND originator_version < %s
)
INSERT INTO snapshots (originator_id, originator_version, topic, state) VALUES (%s, %s, %s, %s)
ON CONFLICT (originator_id, originator_version) DO UPDATE SET topic = excluded.topic, state = excluded.state
"""

_NO_LIMIT: Final = 2**63 - 1


class LogDatastore(PostgresDatastore):
    """The library's connections to our database; opened when its recorder methods are first used."""

    def __init__(self, url: str, *, connections: int = 4) -> None:
        parts = conninfo_to_dict(url)
        super().__init__(
            dbname=str(parts.pop("dbname", None) or ""),
            host=str(parts.pop("host", None) or ""),
            port=str(parts.pop("port", None) or ""),
            user=str(parts.pop("user", None) or ""),
            password=str(parts.pop("password", None) or ""),
            max_overflow=connections - 1,
        )
        assert isinstance(self.pool.kwargs, dict)
        self.pool.kwargs.update(parts)

    def register_type_adapters(self) -> None:
        """Ours sends no composite types; looking for them would connect while the log is constructed."""


class PostgresEventLog(PostgresApplicationRecorder):
    """The log, both as ``eventsourcing`` knows it (a recorder, for threads) and as we use it (for an event
    loop).

    The table is the library's. ``notification_id`` is not a sequence, which would be neither free of gaps nor
    in commit order, but counted by the one row of ``log_head``, locked while events are written: a reader
    that sees a position sees all before it. The library gets the same by locking the whole table and pays
    with one commit per append; here the appends that arrive while one is being flushed share the next commit.

    As an async context manager it opens its connections and, at the end, writes what is waiting and closes
    them.
    """

    def __init__(
        self,
        datastore: PostgresDatastore,
        *,
        events_table_name: str = "stored_events",
        database: Database | None = None,
        codec: EventCodec | None = None,
        doorbell: Doorbell | None = None,
        observe: Callable[[Written], None] | None = None,
        most_commands: int = 256,
        patience: float = 3.0,
    ) -> None:
        if (events_table_name, datastore.schema, datastore.originator_id_type) != (
            "stored_events",
            "public",
            "uuid",
        ):
            raise ValueError("the log is the table public.stored_events, and its streams are UUIDs")
        if datastore.enable_db_functions:
            raise ValueError("the library's database functions give positions that are not in commit order")
        super().__init__(datastore, events_table_name=events_table_name)
        self.sql_create_statements = [Composed([SQL(statement)]) for statement in SCHEMA]
        self.lock_table_statements = []
        self.insert_events_statement = Composed([SQL(_INSERT)])
        self._url = database.url if database is not None else _url_of(datastore)
        self._database = database or Database(self._url, patience=patience)
        self._owns_database = database is None
        self._codec = codec
        self._doorbell = doorbell
        self._observe = observe
        self._most_commands = most_commands
        self._patience = patience
        self._commits: GroupCommit | None = None
        self._turns: Turns | None = None

    @classmethod
    def on(
        cls,
        database: Database,
        codec: EventCodec,
        *,
        doorbell: Doorbell | None = None,
        observe: Callable[[Written], None] | None = None,
        most_commands: int = 256,
        patience: float = 3.0,
    ) -> PostgresEventLog:
        """The log in ``database``; ``observe`` is told of each batch that was written."""
        return cls(
            LogDatastore(database.url),
            database=database,
            codec=codec,
            doorbell=doorbell,
            observe=observe,
            most_commands=most_commands,
            patience=patience,
        )

    async def __aenter__(self) -> PostgresEventLog:
        if self._owns_database:
            await self._database.__aenter__()
        self._commits = GroupCommit(
            self._url, written=self._after, most_commands=self._most_commands, patience=self._patience
        )
        self._commits.start()
        self._turns = Turns(self._url, self._commits.sender)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._commits is not None:
            await self._commits.close()
        if self._turns is not None:
            await self._turns.close()
        if self._owns_database:
            await self._database.__aexit__(kind, error, traceback)
        self.datastore.close()

    # What handlers and workers use.

    async def append(self, append: Append) -> int:
        if self._commits is None:
            raise LogUnavailableError("The event log is not open")
        return await self._commits.append(append)

    async def begin_turn(self, stream: UUID, *, patiently: bool = True) -> bool:
        return self._turns is not None and await self._turns.begin(stream, patiently=patiently)

    async def end_turn(self, stream: UUID) -> None:
        if self._turns is not None:
            await self._turns.end(stream)

    async def head(self) -> int:
        ((position,),) = await self._database.rows(_HEAD)
        assert isinstance(position, int)
        return position

    async def read(self, after: int, limit: int) -> list[StoredEvent]:
        return [StoredEvent(*row) for row in await self._database.rows(_READ, [after, limit])]

    async def decode(self, stored: Sequence[StoredEvent]) -> list[Recorded[Event]]:
        if self._codec is None:
            raise LookupError("this log was opened without a codec")
        return await self._codec.decode(stored)

    async def read_stream(
        self, stream: UUID, *, after: int = 0, up_to: int | None = None, until: datetime | None = None
    ) -> list[Recorded[Event]]:
        """One stream's events after version ``after``, up to a version and a time, both inclusive."""
        bounds = [stream, after, _NO_LIMIT if up_to is None else up_to]
        rows = [StoredEvent(*row) for row in await self._database.rows(_READ_STREAM, bounds)]
        return up_to_time(await self.decode(rows), until)

    async def at_positions(self, positions: Sequence[int]) -> list[Recorded[Event]]:
        rows = await self._database.rows(_AT_POSITIONS, [int8s(positions)])
        return await self.decode([StoredEvent(*row) for row in rows])

    async def histories(self, wanted: Sequence[Wanted]) -> list[History]:
        numbers = int4s(range(len(wanted)))
        streams = uuids([one.stream for one in wanted])
        after = int8s([one.after for one in wanted])
        if any(one.topic for one in wanted):
            topics = texts([one.topic for one in wanted])
            rows = await self._database.rows(_HISTORIES_FROM_SNAPSHOTS, [numbers, streams, after, topics])
        else:
            rows = await self._database.rows(_HISTORIES, [numbers, streams, after])
        snapshots: list[Snapshot | None] = [None] * len(wanted)
        events: list[list[StoredEvent]] = [[] for _ in wanted]
        for number, stream, version, topic, state, position in rows:
            if position:
                events[number].append(StoredEvent(stream, version, topic, state, position))
            else:
                snapshots[number] = Snapshot(stream=stream, version=version, topic=topic, state=state)
        return [History(snapshot=snapshot, events=of) for snapshot, of in zip(snapshots, events, strict=True)]

    async def result_of(self, scope: str, key: str) -> CommandResult | None:
        rows = await self._database.rows(_RESULT, [scope, key])
        for request_hash, status, body, position in rows:
            return CommandResult(
                scope=scope, key=key, request_hash=request_hash, status=status, body=body, position=position
            )
        return None

    async def save_snapshot(self, snapshot: Snapshot) -> None:
        key = (snapshot.stream, snapshot.version)
        await self._database.rows(_SAVE_SNAPSHOT, [*key, *key, snapshot.topic, snapshot.state])

    def _after(self, written: Written) -> None:
        loop = asyncio.get_running_loop()
        # By the loop, so that what goes wrong there is reported there, and the next batch is written all the
        # same.
        if self._doorbell is not None and written.events:
            loop.call_soon(self._doorbell.ring, written.position)
        if self._observe is not None:
            loop.call_soon(self._observe, written)

    # What the library's recorder does differently here.

    def _notify_channel(self, curs: Cursor[DictRow]) -> None:
        """No NOTIFY: within a transaction it makes all commits of the database wait for each other."""

    def _insert_stored_events(
        self, curs: Cursor[DictRow], stored_events: Sequence[LibraryEvent], **kwargs: Any
    ) -> None:
        curs.execute(
            self.insert_events_statement,
            (
                [event.originator_id for event in stored_events],
                [event.originator_version for event in stored_events],
                [event.topic for event in stored_events],
                [event.state for event in stored_events],
            ),
        )

    def _fetch_ids_after_insert_events(
        self, curs: Cursor[DictRow], stored_events: Sequence[LibraryEvent], **kwargs: Any
    ) -> Sequence[int]:
        row = curs.fetchone()
        assert row is not None, "log_insert always answers"
        head: int = row["head"]
        return list(range(head + 1, head + len(stored_events) + 1))

    def subscribe(
        self, gt: int | None = None, topics: Sequence[str] = ()
    ) -> Subscription[PostgresApplicationRecorder]:
        return LogSubscription(self, gt=gt, topics=topics)


class LogSubscription(PostgresSubscription):
    """The library's subscription, which looks at the head now and then, as nobody notifies it."""

    _every = 0.05

    def __init__(self, recorder: PostgresEventLog, gt: int | None = None, topics: Sequence[str] = ()) -> None:
        self._end = threading.Event()  # first, because the library starts its threads while it is constructed
        super().__init__(recorder, gt=gt, topics=topics)

    def stop(self) -> None:
        super().stop()
        self._end.set()

    def _listen(self) -> None:
        seen: int | None = None
        try:
            while not self._end.wait(self._every):
                head = self._recorder.max_notification_id()
                if head != seen:
                    seen = head
                    self._has_been_notified.set()
        except BaseException as error:  # noqa: BLE001 - handed to whoever iterates over the subscription
            if self._thread_error is None:
                self._thread_error = error
            self.stop()


def up_to_time(events: Sequence[Recorded[Event]], until: datetime | None) -> list[Recorded[Event]]:
    """The events of one stream that had happened by ``until``."""
    return [event for event in events if until is None or event.timestamp <= until]


def _url_of(datastore: PostgresDatastore) -> str:
    kwargs = datastore.pool.kwargs
    assert isinstance(kwargs, dict)
    return make_conninfo(
        "", **{name: value for name, value in kwargs.items() if value and name != "row_factory"}
    )
