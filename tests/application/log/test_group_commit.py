"""How appends share a commit on Postgres, and what happens when one of them, or the server, goes wrong."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import LiteralString
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from application.adapters.appending import Append, CommandResult, NewEvent
from application.adapters.codec import EventCodec
from application.adapters.database import Database
from application.adapters.event_log import PostgresEventLog
from application.adapters.group_commit import GroupCommit, Written
from application.adapters.keys import MemoryPersonKeys
from application.errors import LogUnavailableError, StreamConflictError
from tests.application.log.jars import jar_id

A, B = jar_id("a"), jar_id("b")


def event(stream: UUID, version: int = 1, state: bytes = b"{}", tag: str = "jar_opened") -> NewEvent:
    return NewEvent(stream, version, tag, state)


def result(key: str) -> CommandResult:
    return CommandResult(scope="s", key=key, request_hash=b"", status=200, body=uuid4().bytes)


class Commits:
    """A writer, and the batches it has written."""

    def __init__(self, url: str, *, most_commands: int = 256, most_bytes: int = 4_000_000) -> None:
        self.url = url
        self.batches: list[Written] = []
        self.writer = GroupCommit(
            url, written=self.batches.append, most_commands=most_commands, most_bytes=most_bytes
        )

    @property
    def sizes(self) -> list[int]:
        return [batch.commands for batch in self.batches]


@pytest.fixture
async def commits(prepared_url: str) -> AsyncIterator[Commits]:
    opened = Commits(prepared_url)
    opened.writer.start()
    await opened.writer.append(Append(events=[event(uuid4())]))
    opened.batches.clear()
    yield opened
    await opened.writer.close()


async def test_what_arrives_together_is_written_together(commits: Commits) -> None:
    positions = await asyncio.gather(
        *(commits.writer.append(Append(events=[event(uuid4())])) for _ in range(40))
    )
    assert positions == list(range(2, 42))
    assert commits.sizes == [40]


async def test_what_arrives_while_a_batch_is_written_is_the_next_one(commits: Commits) -> None:
    async with Blocked(commits.url) as blocked:
        first = asyncio.create_task(commits.writer.append(Append(events=[event(uuid4())])))
        await blocked.waiting(1)
        later = [
            asyncio.create_task(commits.writer.append(Append(events=[event(uuid4())]))) for _ in range(5)
        ]
        await asyncio.sleep(0)
    assert await asyncio.gather(first, *later) == [2, 3, 4, 5, 6, 7]
    assert commits.sizes == [1, 5]


async def test_two_commands_for_one_stream_never_share_a_batch(commits: Commits) -> None:
    appends = [
        Append(events=[event(A, 1)]),
        Append(events=[event(A, 2)]),
        Append(events=[event(B, 1)]),
        Append(events=[event(A, 3)]),
    ]
    positions = await asyncio.gather(*map(commits.writer.append, appends))
    assert positions == [2, 4, 3, 5]
    assert commits.sizes == [2, 1, 1]


async def test_nor_do_two_with_one_key(commits: Commits) -> None:
    appends = [Append(events=[event(uuid4())], result=result(key)) for key in ("k", "k", "l")]
    await asyncio.gather(*map(commits.writer.append, appends), return_exceptions=True)
    assert commits.sizes == [2, 1]


async def test_nor_two_that_have_each_read_what_the_other_one_adds_to(commits: Commits) -> None:
    appends = [Append(events=[event(A)], read={B: 0}), Append(events=[event(B)], read={A: 0})]
    first, second = await asyncio.gather(*map(commits.writer.append, appends), return_exceptions=True)
    assert first == 2
    assert isinstance(second, StreamConflictError)
    assert commits.sizes == [1, 1]


async def test_one_that_came_later_does_not_overtake_one_that_has_to_wait(commits: Commits) -> None:
    appends = [
        Append(events=[event(A, 1)]),
        Append(events=[event(A, 2), event(B, 1)]),
        Append(events=[event(B, 2)]),
    ]
    assert await asyncio.gather(*map(commits.writer.append, appends)) == [2, 4, 5]


async def test_a_batch_is_bounded_in_commands_and_in_bytes(prepared_url: str) -> None:
    few = Commits(prepared_url, most_commands=10)
    small = Commits(prepared_url, most_bytes=10_000)
    for commits, sizes in ((few, [10, 10, 5]), (small, [9, 9, 7])):
        commits.writer.start()
        tasks = [
            asyncio.create_task(commits.writer.append(Append(events=[event(uuid4(), state=bytes(1000))])))
            for _ in range(25)
        ]
        await asyncio.gather(*tasks)
        await commits.writer.close()
        assert commits.sizes == sizes


async def test_one_that_the_server_cannot_take_does_not_spoil_the_others(commits: Commits) -> None:
    appends = [Append(events=[event(uuid4(), tag="a\0b" if number == 3 else "ok")]) for number in range(6)]
    outcomes = await asyncio.gather(*map(commits.writer.append, appends), return_exceptions=True)
    assert isinstance(outcomes.pop(3), psycopg.DataError)
    assert outcomes == [2, 3, 4, 5, 6]


async def test_a_caller_that_gives_up_early_is_not_written(commits: Commits) -> None:
    tasks = [asyncio.create_task(commits.writer.append(Append(events=[event(uuid4())]))) for _ in range(10)]
    await asyncio.sleep(0)
    for task in tasks[::2]:
        task.cancel()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert [isinstance(outcome, asyncio.CancelledError) for outcome in outcomes] == [True, False] * 5
    assert outcomes[1::2] == [2, 3, 4, 5, 6]


async def test_a_caller_that_gives_up_late_does_not_disturb_the_batch(commits: Commits) -> None:
    async with Blocked(commits.url) as blocked:
        tasks = [
            asyncio.create_task(commits.writer.append(Append(events=[event(uuid4())]))) for _ in range(4)
        ]
        await blocked.waiting(1)
        tasks[0].cancel()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(outcomes[0], asyncio.CancelledError)
    assert outcomes[1:] == [3, 4, 5]


async def test_closing_writes_what_is_waiting_and_takes_no_more(prepared_url: str) -> None:
    commits = Commits(prepared_url, most_commands=10)
    commits.writer.start()
    tasks = [asyncio.create_task(commits.writer.append(Append(events=[event(uuid4())]))) for _ in range(35)]
    await asyncio.sleep(0)
    await commits.writer.close()
    assert await asyncio.gather(*tasks) == list(range(1, 36))
    with pytest.raises(LogUnavailableError):
        await commits.writer.append(Append(events=[event(uuid4())]))


async def test_a_server_that_does_not_answer_is_not_waited_for_for_ever(prepared_url: str) -> None:
    writer = GroupCommit(prepared_url, written=lambda _: None, answer_within=0.2)
    writer.start()
    async with Blocked(prepared_url):
        with pytest.raises(LogUnavailableError, match="too long"):
            await writer.append(Append(events=[event(A)]))
    assert (
        await writer.append(Append(events=[event(B)])) == 2
    )  # the first one was in the server's hands already
    await writer.close()


async def test_a_connection_that_dies_between_batches_is_replaced_without_anybody_noticing(
    commits: Commits,
) -> None:
    async with Blocked(commits.url) as blocked:
        await blocked.kill("state = 'idle'")
    assert await commits.writer.append(Append(events=[event(A)])) == 2


async def test_a_batch_whose_connection_dies_in_the_server_is_sent_again(commits: Commits) -> None:
    async with Blocked(commits.url) as blocked:
        tasks = [
            asyncio.create_task(commits.writer.append(Append(events=[event(uuid4())]))) for _ in range(5)
        ]
        await blocked.waiting(1)
        await blocked.kill("wait_event_type = 'Lock'")
        await blocked.waiting(1)
    assert await asyncio.gather(*tasks) == [2, 3, 4, 5, 6]


async def test_a_batch_whose_answer_is_lost_is_answered_truthfully(prepared_url: str) -> None:
    async with Wire(prepared_url) as wire:
        writer = GroupCommit(wire.url, written=lambda _: None)
        writer.start()
        assert await writer.append(Append(events=[event(B, 1, b"somebody else's")])) == 1
        wire.lose_answers = 1
        outcomes = await asyncio.gather(
            writer.append(Append(events=[event(A, 1), event(A, 2)], result=result("a"))),
            writer.append(Append(events=[], result=result("nothing"))),
            writer.append(Append(events=[event(B, 1, b"mine")])),
            writer.append(Append(events=[event(uuid4())])),
            return_exceptions=True,
        )
        await writer.close()
    assert wire.lose_answers == 0
    landed, answered, refused, alone = outcomes
    assert (landed, answered, alone) == (3, 1, 4)
    assert isinstance(refused, StreamConflictError)
    async with Database(prepared_url) as database:
        assert await database.rows("SELECT position FROM log_head") == [(4,)]
        assert await database.rows("SELECT count(*) FROM stored_events") == [(4,)]


async def test_while_there_is_no_server_callers_are_told_so_at_once_and_all_goes_on_afterwards(
    prepared_url: str,
) -> None:
    async with Wire(prepared_url) as wire:
        writer = GroupCommit(wire.url, written=lambda _: None, patience=0.2)
        writer.start()
        assert await writer.append(Append(events=[event(A, 1)])) == 1
        await wire.cut()
        for stream in (A, B):
            with pytest.raises(LogUnavailableError):
                await writer.append(Append(events=[event(stream, 2 if stream == A else 1)]))
        await wire.mend()
        assert await writer.append(Append(events=[event(A, 2)])) == 2
        await writer.close()


async def test_reads_survive_connections_that_died_meanwhile(prepared_url: str) -> None:
    async with Database(prepared_url) as database:
        codec = EventCodec({}, {}, MemoryPersonKeys())
        async with PostgresEventLog.on(database, codec) as log:
            assert await log.head() == 0
            async with Blocked(prepared_url) as blocked:
                await blocked.kill("state = 'idle'")
            assert await log.head() == 0


async def test_reads_say_so_when_there_is_no_server(prepared_url: str) -> None:
    async with Wire(prepared_url) as wire, Database(wire.url, patience=0.3) as database:
        codec = EventCodec({}, {}, MemoryPersonKeys())
        async with PostgresEventLog.on(database, codec) as log:
            assert await log.head() == 0
            await wire.cut()
            with pytest.raises(LogUnavailableError):
                await log.head()
            await wire.mend()
            while True:  # the pool reconnects in the background
                try:
                    assert await log.head() == 0
                    break
                except LogUnavailableError:
                    continue


class Blocked:
    """Holds the head row, so that whoever appends has to wait in the server."""

    def __init__(self, url: str) -> None:
        self._url = url

    async def __aenter__(self) -> Blocked:
        self._holder = await psycopg.AsyncConnection.connect(self._url)
        await self._holder.execute("SELECT FROM log_head FOR UPDATE")
        self._watcher = await psycopg.AsyncConnection.connect(self._url, autocommit=True)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._holder.rollback()
        await self._holder.close()
        await self._watcher.close()

    async def waiting(self, count: int) -> None:
        """Come back when so many connections wait for the head."""
        while await self._count("wait_event_type = 'Lock'") != count:
            pass

    async def kill(self, which: LiteralString) -> None:
        """End those connections to this database, and come back when they are gone."""
        await self._watcher.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
            f"WHERE datname = current_database() AND pid <> pg_backend_pid() AND {which}"
        )

    async def _count(self, which: LiteralString) -> int:
        found = await self._watcher.execute(
            f"SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND {which}"
        )
        row = await found.fetchone()
        assert row is not None
        count: int = row[0]
        return count


class Wire:
    """What lies between us and the server: it can be cut, and it can lose the server's answer to a
    statement."""

    def __init__(self, url: str) -> None:
        parts = conninfo_to_dict(url)
        self._host, self._port = str(parts["host"]), int(str(parts["port"]))
        self._parts = parts
        self._open: set[asyncio.StreamWriter] = set()
        self._passing: set[asyncio.Task[None]] = set()
        self._at = 0
        self.lose_answers = 0

    @property
    def url(self) -> str:
        return make_conninfo(
            "", **{**self._parts, "host": "127.0.0.1", "port": self._at, "sslmode": "disable"}
        )

    async def __aenter__(self) -> Wire:
        await self.mend()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.cut()

    async def mend(self) -> None:
        self._listener = await asyncio.start_server(self._connect, "127.0.0.1", self._at)
        self._at = self._listener.sockets[0].getsockname()[1]

    async def cut(self) -> None:
        self._listener.close()
        for writer in self._open:
            writer.close()
        await asyncio.gather(*self._passing)
        await self._listener.wait_closed()

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server_reader, server_writer = await asyncio.open_connection(self._host, self._port)
        both = (writer, server_writer)
        self._open.update(both)
        for task in (
            asyncio.create_task(self._pass_on(reader, server_writer, both)),
            asyncio.create_task(self._pass_on(server_reader, writer, both, answers=True)),
        ):
            self._passing.add(task)
            task.add_done_callback(self._passing.discard)

    async def _pass_on(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        both: tuple[asyncio.StreamWriter, ...],
        *,
        answers: bool = False,
    ) -> None:
        try:
            while passing := await reader.read(65536):
                # The server speaks when it has committed, and not before.
                if answers and self.lose_answers:
                    self.lose_answers -= 1
                    break
                writer.write(passing)
                await writer.drain()
        except ConnectionError:
            pass  # one end is gone: so is the other one, in a moment
        for end in both:
            end.close()
            self._open.discard(end)


async def test_a_bug_fails_its_batch_and_not_the_ones_after_it(
    commits: Commits, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with monkeypatch.context() as broken:
        broken.setattr("application.adapters.group_commit._arguments", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            await commits.writer.append(Append(events=[event(A)]))
    assert "a batch was not written" in caplog.text
    assert await commits.writer.append(Append(events=[event(A)])) == 2
