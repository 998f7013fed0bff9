"""Appends that would wait for each other are written together: one server call, one flush for them all."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from time import monotonic
from typing import Any, Final, LiteralString
from uuid import UUID, uuid4

import msgspec
import psycopg
from psycopg import AsyncConnection

from application.adapters.appending import Append
from application.adapters.arrays import byteas, int4s, int8s, register_arrays, texts, uuids
from application.errors import (
    DuplicateCommandError,
    LogUnavailableError,
    NotOurTurnError,
    StreamConflictError,
)

log = logging.getLogger(__name__)

_APPEND: Final[LiteralString] = (
    "SELECT head, repeated, refused, out_of_turn FROM log_append("
    "%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)"
)

_AS_STORED: Final[LiteralString] = """
SELECT wanted.number, stored.state, stored.notification_id
FROM unnest(%s::integer[], %s::uuid[], %s::bigint[]) AS wanted (number, stream, version)
JOIN stored_events AS stored
    ON stored.originator_id = wanted.stream AND stored.originator_version = wanted.version
"""

_AS_ANSWERED: Final[LiteralString] = """
SELECT wanted.number, known.body, known.position
FROM unnest(%s::integer[], %s::text[], %s::text[]) AS wanted (number, scope, key)
JOIN command_results AS known ON known.scope = wanted.scope AND known.key = wanted.key
"""

# What a server that was told to wait for something hopeless may take before it gives up by itself; and `read
# committed` whatever the server's default is, because the log's function rests on it.
_SESSION: Final[LiteralString] = """
SET default_transaction_isolation = 'read committed';
SET synchronous_commit = on;
SET statement_timeout = '10s'
"""


class Written(msgspec.Struct, frozen=True, kw_only=True):
    """One batch as it was written: for the doorbell and for the metrics."""

    commands: int
    events: int
    refused: int
    seconds: float
    position: int


class _Waiting:
    """``expected`` is the next version of each stream that the command adds to or has read."""

    __slots__ = ("append", "done", "expected", "size")

    def __init__(self, append: Append, expected: dict[UUID, int], done: asyncio.Future[int]) -> None:
        self.append = append
        self.expected = expected
        self.done = done
        self.size = sum([len(event.state) for event in append.events]) + 64

    @property
    def conflict(self) -> StreamConflictError:
        return StreamConflictError(tuple(self.expected))

    def fail(self, error: BaseException) -> None:
        self.append.lose()
        if not self.done.done():
            self.done.set_exception(error)

    def succeed(self, position: int) -> None:
        self.append.land()
        if not self.done.done():
            self.done.set_result(position)


class GroupCommit:
    """One connection, one task, one batch at a time; what arrives meanwhile is the next batch.

    When the connection is lost, nobody knows whether the batch has landed. It is then sent again: its events
    carry ids of their own, so a batch that is refused because exactly its own bytes are there has landed.
    Only where that cannot be found out within ``patience`` seconds, callers are told that the log is
    unavailable; so they are after ``answer_within`` seconds, should the server neither answer nor hang up.
    """

    def __init__(
        self,
        url: str,
        *,
        written: Callable[[Written], None],
        most_commands: int = 256,
        most_bytes: int = 4_000_000,
        patience: float = 3.0,
        answer_within: float = 15.0,
    ) -> None:
        self.sender = uuid4()
        """Who we are to other processes that want the same streams."""
        self._url = url
        self._written = written
        self._most_commands = most_commands
        self._most_bytes = most_bytes
        self._patience = patience
        self._answer_within = answer_within
        self._waiting: deque[_Waiting] = deque()
        self._arrived = asyncio.Event()
        self._closing = False
        self._task: asyncio.Task[None] | None = None
        self._connection: AsyncConnection[Any] | None = None

    def start(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._write_on(), name="group-commit")

    async def close(self) -> None:
        """Write what is waiting, take no more, and end."""
        self._closing = True
        self._arrived.set()
        if self._task is not None:
            await self._task
        if self._connection is not None:
            await self._connection.close()

    async def append(self, append: Append) -> int:
        if self._closing or self._task is None or self._task.done():
            raise LogUnavailableError("The event log is closed")
        expected = append.next_versions()  # refuses what makes no sense before it can spoil a batch
        waiting = _Waiting(append, expected, asyncio.get_running_loop().create_future())
        append.set_off()
        self._waiting.append(waiting)
        self._arrived.set()
        # A caller that gives up cancels only its future: if that is not in a batch yet, it never will be.
        try:
            async with asyncio.timeout(self._answer_within):
                return await waiting.done
        except TimeoutError:
            raise LogUnavailableError("The event log takes too long to answer") from None

    async def _write_on(self) -> None:
        batch: list[_Waiting] = []
        try:
            while True:
                if not self._waiting:
                    if self._closing:
                        return
                    self._arrived.clear()
                    await self._arrived.wait()
                batch = self._next_batch()
                if batch:
                    await self._write_or_fail(batch)
        except BaseException:
            # The loop is being torn down: nobody may be left waiting for ever.
            for waiting in (*batch, *self._waiting):
                waiting.fail(LogUnavailableError("The event log has stopped"))
            self._waiting.clear()
            raise

    async def _write_or_fail(self, batch: Sequence[_Waiting]) -> None:
        try:
            await self._write(batch)
        except Exception as error:
            # A bug. Whoever is in the batch hears of it, on a connection that nobody uses again; the next are served.
            log.exception("a batch was not written")
            for waiting in batch:
                waiting.fail(error)
            connection, self._connection = self._connection, None
            if connection is not None:
                await connection.close()

    def _next_batch(self) -> list[_Waiting]:
        """As many as fit, in the order of arrival, and never two that bear one key.

        Two that add to one stream, or one that has read what another one before it adds to, only where the later one
        was decided upon just what the earlier one leaves there: the whole batch is checked against what is there before
        it, so that each could have been decided on what the other one changes.
        """
        batch: list[_Waiting] = []
        later: list[_Waiting] = []
        left: dict[UUID, tuple[Append, int]] = {}
        keys: set[tuple[str, str]] = set()
        deferred: set[UUID | tuple[str, str]] = set()
        size = 0
        while self._waiting and len(batch) < self._most_commands and len(later) < self._most_commands:
            waiting = self._waiting[0]
            if batch and size + waiting.size > self._most_bytes:
                break
            self._waiting.popleft()
            append = waiting.append
            if waiting.done.done():
                append.lose()
                continue
            if append.landed is False:
                waiting.fail(waiting.conflict)
                continue
            key = None if append.result is None else (append.result.scope, append.result.key)
            if (
                key not in keys
                and deferred.isdisjoint(waiting.expected)
                and key not in deferred
                and _follows(waiting, left)
            ):
                batch.append(waiting)
                size += waiting.size
                for event in append.events:
                    left[event.stream] = (append, event.version)
                if key is not None:
                    keys.add(key)
            else:
                # What one that has to wait wants, nobody who came after it gets first.
                later.append(waiting)
                deferred.update(event.stream for event in append.events)
                if key is not None:
                    deferred.add(key)
        self._waiting.extendleft(reversed(later))
        return batch

    async def _write(self, batch: Sequence[_Waiting], *, sent_before: bool = False) -> None:
        give_up = monotonic() + self._patience
        while True:
            try:
                connection = await self._connected()
            except psycopg.Error as error:
                # Whoever has not been sent yet need not wait for the server to come back.
                _fail(self._waiting, error)
                self._waiting.clear()
                if not sent_before or monotonic() >= give_up:
                    return _fail(batch, error)
                await asyncio.sleep(0.05)
                continue
            try:
                return await self._send(connection, batch, sent_before)
            except psycopg.Error as error:
                if not connection.closed:
                    return await self._write_apart(batch, error, sent_before)
                self._connection = None
                sent_before = True
                if monotonic() >= give_up:
                    return _fail(batch, error)

    async def _write_apart(self, batch: Sequence[_Waiting], error: psycopg.Error, sent_before: bool) -> None:
        """The server has refused the batch as a whole, and nothing of it is there: whose fault is it?"""
        if len(batch) > 1:
            for waiting in batch:
                if waiting.append.landed is False:
                    waiting.fail(waiting.conflict)
                else:
                    await self._write([waiting], sent_before=sent_before)
        elif isinstance(error, psycopg.OperationalError):
            _fail(batch, error)
        else:
            batch[0].fail(error)

    async def _connected(self) -> AsyncConnection[Any]:
        if self._connection is None:
            connection = await AsyncConnection.connect(
                self._url, autocommit=True, prepare_threshold=0, connect_timeout=max(2, round(self._patience))
            )
            register_arrays(connection)
            await connection.execute(_SESSION, prepare=False)
            self._connection = connection
        return self._connection

    async def _send(
        self, connection: AsyncConnection[Any], batch: Sequence[_Waiting], sent_before: bool
    ) -> None:
        began = monotonic()
        cursor = connection.cursor(binary=True)
        await cursor.execute(_APPEND, _arguments(batch, self.sender))
        row = await cursor.fetchone()
        assert row is not None, "log_append always answers"
        head, *refusals = row
        if refusals == [None, None, None]:
            out: dict[int, int | Exception] = {}
        else:
            out = await _explained(connection, batch, [set(each or ()) for each in refusals], sent_before)
        events = 0
        for number, waiting in enumerate(batch):
            outcome = out.get(number)
            if outcome is None:
                events += len(waiting.append.events)
                waiting.succeed(head + events)
            elif isinstance(outcome, int):
                waiting.succeed(outcome)
            else:
                waiting.fail(outcome)
        self._written(
            Written(
                commands=len(batch),
                events=events,
                refused=len(out),
                seconds=monotonic() - began,
                position=head + events,
            )
        )


def _fail(batch: Iterable[_Waiting], cause: psycopg.Error) -> None:
    for waiting in batch:
        error = LogUnavailableError("The event log does not answer")
        error.__cause__ = cause
        waiting.fail(error)


def _follows(waiting: _Waiting, left: Mapping[UUID, tuple[Append, int]]) -> bool:
    """Whether it was decided upon what those that are in the batch will leave of its streams, if they do at all."""
    append = waiting.append
    for stream in left.keys() & waiting.expected.keys():
        other, version = left[stream]
        if other not in append.upon or waiting.expected[stream] != version + 1:
            return False
    return True


def _arguments(batch: Sequence[_Waiting], sender: UUID) -> list[Any]:
    expected_command: list[int] = []
    expected_stream: list[UUID] = []
    expected_version: list[int] = []
    upon_command: list[int] = []
    upon_other: list[int] = []
    numbers: dict[Append, int] = {}
    writers: set[UUID] = set()
    command: list[int] = []
    stream: list[UUID] = []
    version: list[int] = []
    topic: list[str] = []
    state: list[bytes] = []
    once: list[int] = []
    results = []
    for number, waiting in enumerate(batch):
        append = waiting.append
        for of_stream, next_version in waiting.expected.items():
            if of_stream not in writers:
                # What another one of this batch adds to is as that one leaves it, or this one is refused too.
                expected_command.append(number)
                expected_stream.append(of_stream)
                expected_version.append(next_version)
        for other in append.upon:
            if other in numbers:
                upon_command.append(number)
                upon_other.append(numbers[other])
        numbers[append] = number
        for event in append.events:
            writers.add(event.stream)
            command.append(number)
            stream.append(event.stream)
            version.append(event.version)
            topic.append(event.tag)
            state.append(event.state)
        if append.result is not None:
            once.append(number)
            results.append(append.result)
    return [
        int4s(expected_command),
        uuids(expected_stream),
        int8s(expected_version),
        int4s(upon_command),
        int4s(upon_other),
        sender,
        int4s(command),
        uuids(stream),
        int8s(version),
        texts(topic),
        byteas(state),
        int4s(once),
        texts([result.scope for result in results]),
        texts([result.key for result in results]),
        byteas([result.request_hash for result in results]),
        int4s([result.status for result in results]),
        byteas([result.body for result in results]),
    ]


async def _explained(
    connection: AsyncConnection[Any],
    batch: Sequence[_Waiting],
    refusals: Sequence[set[int]],
    sent_before: bool,
) -> dict[int, int | Exception]:
    """What to tell those that were not taken: where they landed at an earlier try, or why not."""
    repeated, refused, out_of_turn = refusals
    out: dict[int, int | Exception] = {number: batch[number].conflict for number in refused}
    if out_of_turn:
        events = [(number, event) for number, waiting in enumerate(batch) for event in waiting.append.events]
        streams: defaultdict[int, set[UUID]] = defaultdict(set)
        for place in out_of_turn:
            number, event = events[place - 1]
            streams[number].add(event.stream)
        out.update({number: NotOurTurnError(tuple(of)) for number, of in streams.items()})
    out.update({number: DuplicateCommandError() for number in repeated})
    if sent_before:
        out.update(await _landed(connection, {number: batch[number].append for number in out}))
    return out


async def _landed(connection: AsyncConnection[Any], appends: dict[int, Append]) -> dict[int, int]:
    """The position of each append whose very bytes are in the log."""
    found: dict[int, int] = {}
    newest = [(number, append.events[-1]) for number, append in appends.items() if append.events]
    cursor = connection.cursor(binary=True)
    await cursor.execute(
        _AS_STORED,
        [
            int4s([number for number, _ in newest]),
            uuids([event.stream for _, event in newest]),
            int8s([event.version for _, event in newest]),
        ],
    )
    found.update(
        {
            number: position
            for number, state, position in await cursor.fetchall()
            if appends[number].events[-1].state == state
        }
    )
    answers = {n: append.result for n, append in appends.items() if append.result and not append.events}
    if answers:
        await cursor.execute(
            _AS_ANSWERED,
            [
                int4s(list(answers)),
                texts([result.scope for result in answers.values()]),
                texts([result.key for result in answers.values()]),
            ],
        )
        # The body is ciphertext with a random nonce: the same bytes are the same try.
        found.update(
            {
                number: position
                for number, body, position in await cursor.fetchall()
                if answers[number].body == body
            }
        )
    return found
