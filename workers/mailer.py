"""Sends the mail that is owed because of events: it reads the log in order, writes down who is owed what, and sends it.

A mail is in the queue once per cause, whatever dies when. A mail server gets it at least once: who dies between its
answer and writing that down sends it again, under the same Message-ID, by which receivers tell.
"""

from __future__ import annotations

import asyncio
import random
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Final, Protocol, TypeVar
from uuid import UUID

import msgspec
import psycopg
import structlog
from nats.aio.client import Client
from prometheus_client import Counter, Gauge

from application.adapters.clock import SystemClock
from application.adapters.codec import EventCodec
from application.adapters.database import Database
from application.adapters.event_log import PostgresEventLog
from application.adapters.event_store import EventStore
from application.adapters.keys import MasterKeys, PostgresPersonKeys
from application.adapters.mail.providers import mailer_of
from application.adapters.mail.queue import PostgresMails
from application.adapters.one_time_tokens import SealedOneTimeTokens
from application.adapters.reactions import PostgresReactions
from application.cancelling import obey_cancellation
from application.errors import UnavailableError
from application.mail.policy import CAUSES, Admins, Template, mails_for, owed_because_of, recipients_of
from application.mail.ports import (
    MailCounts,
    MailDelayedError,
    Mailer,
    MailQueue,
    MailRefusedError,
    MailState,
    Message,
    OwedMail,
    PointlessMailError,
    QueuedMail,
)
from application.mail.writing import Writer
from application.ports import Clock, StoredEvent
from application.settings import Settings
from domain.accounts.events import AccountErased
from domain.accounts.roster import ADMINS, ROSTER
from domain.kernel import AccountId, Event, Recorded, tag_of
from domain.registry import AGGREGATES, EVENTS
from workers.jetstream import DOORBELL, connect
from workers.lease import while_leading
from workers.signals import until_signalled
from workers.starting import start
from workers.waiting import Bell, patient

PLACE: Final = "mail"
"""Under this name our place in the log is kept: never rename it."""
BATCH: Final = 500
LOOK_EVERY: Final = 5.0
AT_ONCE: Final = 8
LEASE: Final = timedelta(minutes=1)
"""Longer than any mailer takes for one mail. After a crash, a mail that was on its way is tried again so much later."""
HISTORY: Final = timedelta(days=30)

# A missing table is one that nobody has made yet: the mailer may be the first to start.
OUTAGES: Final = (UnavailableError, psycopg.errors.UndefinedTable)

T = TypeVar("T")

log = structlog.get_logger()


class Log(Protocol):
    async def read(self, after: int, limit: int) -> list[StoredEvent]: ...

    async def decode(self, stored: Sequence[StoredEvent]) -> list[Recorded[Event]]: ...

    async def at_positions(self, positions: Sequence[int]) -> list[Recorded[Event]]: ...


class Places(Protocol):
    async def position(self, name: str) -> int: ...

    async def move(self, name: str, position: int) -> None: ...


class Gauges:
    """What is watched: a queue that grows old, and mails that were given up."""

    def __init__(self) -> None:
        self._mails = Gauge("tradelog_mails", "Mails that wait or were given up", ["state"])
        self._oldest = Gauge("tradelog_mails_oldest_waiting_seconds", "Age of the mail that waits longest")
        self._position = Gauge("tradelog_mail_position", "Position that the mailer has come to in the log")
        self._ended = Counter("tradelog_mails_ended", "Mails that were sent, dropped or given up", ["state"])

    def moved(self, position: int) -> None:
        self._position.set(position)

    def ended(self, state: MailState) -> None:
        self._ended.labels(state.value).inc()

    def show(self, counts: MailCounts) -> None:
        self._mails.labels("waiting").set(counts.waiting)
        self._mails.labels("dead").set(counts.dead)
        self._oldest.set(counts.oldest_waiting.total_seconds())


class Ledger:
    """Follows the log and writes down which mails are owed.

    The place moves after the work, so that a death in between repeats it; the queue knows what it has.
    """

    def __init__(
        self,
        events: Log,
        places: Places,
        queue: MailQueue,
        clock: Clock,
        *,
        admins: Admins,
        erased: Callable[[UUID], None] = lambda person: None,
        gauges: Gauges | None = None,
    ) -> None:
        self._log = events
        self._places = places
        self._queue = queue
        self._clock = clock
        self._admins = admins
        self._erased = erased
        self._gauges = gauges
        heard: tuple[type[Event], ...] = (*CAUSES, AccountErased)
        self._tags = frozenset(tag_of(event) for event in heard)

    async def catch_up(self) -> int:
        """Go through the next events; how many there were."""
        stored = await self._log.read(await self._places.position(PLACE), BATCH)
        if not stored:
            return 0
        owed: list[OwedMail] = []
        erased: list[UUID] = []
        for recorded in await self._log.decode([event for event in stored if event.tag in self._tags]):
            if isinstance(recorded.event, AccountErased):
                erased.append(recorded.event.account_id)
                continue
            templates = owed_because_of(recorded, self._clock.now())
            people = await recipients_of(recorded.event, self._admins) if templates else ()
            owed.extend(
                OwedMail(recorded.position, template, person) for template in templates for person in people
            )
        await self._queue.owe(owed)
        for person in erased:
            self._erased(person)
            await self._queue.discard_all_of(person, "the person was erased")
        await self._places.move(PLACE, stored[-1].position)
        if self._gauges is not None:
            self._gauges.moved(stored[-1].position)
        return len(stored)


class Waits(msgspec.Struct, frozen=True, kw_only=True):
    """How long after which attempt the next one is made, and how many there are."""

    attempts: int = 10
    first: timedelta = timedelta(seconds=5)
    longest: timedelta = timedelta(hours=6)

    def after(self, attempt: int) -> timedelta:
        """Four times the one before; with a little more by chance, lest all that failed together come back together."""
        plain = min(self.first * 4.0 ** (attempt - 1), self.longest)
        return plain * random.uniform(1.0, 1.25)  # noqa: S311 - no secret


WAITS: Final = Waits()


class Postman:
    """Sends what is due."""

    def __init__(
        self,
        events: Log,
        queue: MailQueue,
        writer: Writer,
        mailer: Mailer,
        *,
        waits: Waits = WAITS,
        lease: timedelta = LEASE,
        gauges: Gauges | None = None,
    ) -> None:
        self._log = events
        self._queue = queue
        self._writer = writer
        self._mailer = mailer
        self._waits = waits
        self._lease = lease
        self._gauges = gauges

    async def send_due(self) -> int:
        """Some of it, all at once; how many there were."""
        claimed = await self._queue.claim(AT_ONCE, self._lease)
        sending = asyncio.gather(*(self._send(mail) for mail in claimed), return_exceptions=True)
        try:
            outcomes = await asyncio.shield(sending)
        except asyncio.CancelledError:
            # A server may have taken them already: that is written down before we go.
            await sending
            raise
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome
        return len(claimed)

    async def _send(self, mail: QueuedMail) -> None:
        if mail.attempts > self._waits.attempts:
            # Nobody lived to tell how the last one ended.
            await self._bury(mail, "all attempts broke off")
            return
        try:
            await self._mailer.send(await self._message(mail))
        except PointlessMailError as pointless:
            await patiently(partial(self._queue.discard, mail, str(pointless)))
            self._end(mail, MailState.DROPPED, str(pointless))
        except MailRefusedError as refusal:
            await self._bury(mail, str(refusal))
        except MailDelayedError as delay:
            await self._delay(mail, str(delay))
        except OUTAGES:
            raise
        except Exception as bug:  # noqa: BLE001 - with this mail alone: the others are sent meanwhile
            await self._delay(mail, _where(bug))
        else:
            # However long that takes: what is not written down is sent again.
            await patiently(partial(self._queue.sent, mail))
            self._end(mail, MailState.SENT)

    async def _message(self, mail: QueuedMail) -> Message:
        recorded = await self._log.at_positions([mail.cause])
        if not recorded or mail.template not in mails_for(recorded[0].event):
            # The log was restored from a backup, say, or a newer program wrote this down.
            raise PointlessMailError("nothing in the log calls for it")
        return await self._writer.write(recorded[0], Template(mail.template), AccountId(mail.account_id))

    async def _delay(self, mail: QueuedMail, reason: str) -> None:
        if mail.attempts >= self._waits.attempts:
            await self._bury(mail, reason)
            return
        wait = self._waits.after(mail.attempts)
        await patiently(partial(self._queue.delay, mail, wait, reason))
        log.info("mail delayed", cause=mail.cause, template=mail.template, reason=reason)

    async def _bury(self, mail: QueuedMail, reason: str) -> None:
        await patiently(partial(self._queue.bury, mail, reason))
        self._end(mail, MailState.DEAD, reason)

    def _end(self, mail: QueuedMail, state: MailState, reason: str = "") -> None:
        tell = log.warning if state is MailState.DEAD else log.info
        tell("mail ended", cause=mail.cause, template=mail.template, state=state.value, reason=reason)
        if self._gauges is not None:
            self._gauges.ended(state)


class MailRoom:
    """The loops of one mailer. Whatever is down is waited for."""

    def __init__(self, ledger: Ledger, postman: Postman, look: Callable[[], Awaitable[None]]) -> None:
        self.ledger = ledger
        self.postman = postman
        self._look = look
        self.bell = Bell()
        self._queue_bell = Bell()

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._follow(), name="ledger")
            group.create_task(self._deliver(), name="postman")
            group.create_task(self._look_on(), name="look")

    async def _follow(self) -> None:
        while True:
            obey_cancellation()
            self.bell.hush()
            if await patiently(self.ledger.catch_up):
                self._queue_bell.ring()
            else:
                await self.bell.wait()

    async def _deliver(self) -> None:
        while True:
            obey_cancellation()
            self._queue_bell.hush()
            if not await patiently(self.postman.send_due):
                await self._queue_bell.wait()

    async def _look_on(self) -> None:
        while True:
            obey_cancellation()
            await patiently(self._look)
            await asyncio.sleep(LOOK_EVERY)


async def patiently(work: Callable[[], Awaitable[T]]) -> T:
    """Tried again for as long as something that it needs is down."""
    return await patient("mail", OUTAGES)(work)


def _where(bug: Exception) -> str:
    """What it says itself may quote the mail, and so the person."""
    places = traceback.extract_tb(bug.__traceback__)
    return f"{type(bug).__name__} at {Path(places[-1].filename).name}:{places[-1].lineno}"


@asynccontextmanager
async def ringing(url: str, bell: Bell) -> AsyncIterator[None]:
    """Hear of new events at once where NATS answers, now or later; the mailer needs it for nothing else."""
    if not url:
        yield
        return
    client = Client()

    async def listen() -> None:
        await connect(url, "mailer", client)
        await client.subscribe(DOORBELL, cb=bell.hear)

    connecting = asyncio.create_task(listen(), name="nats")
    try:
        yield
    finally:
        connecting.cancel()
        with suppress(asyncio.CancelledError):
            await connecting
        await client.close()


@asynccontextmanager
async def mail_room(
    settings: Settings, mailer: Mailer, gauges: Gauges | None = None, *, lease: timedelta = LEASE
) -> AsyncIterator[MailRoom]:
    """All that a mailer is made of. It opens also while the database is away."""
    master = MasterKeys.parse(settings.tradelog_master_key)
    clock = SystemClock()
    async with Database(settings.database_url, connections=AT_ONCE) as database:
        keys = PostgresPersonKeys(database, master)
        codec = EventCodec(EVENTS, AGGREGATES, keys)
        events = PostgresEventLog.on(database, codec)
        queue = PostgresMails(database)
        async with EventStore(events, codec, keys, clock) as store:

            async def admins() -> Collection[AccountId]:
                roster = (await store.load(ADMINS, ROSTER)).state
                return roster.admins if roster is not None else ()

            writer = Writer(
                store,
                SealedOneTimeTokens(master),
                clock,
                origin=settings.pages,
                shop=settings.email_from_name,
                sender=settings.email_from,
                unpaid_after=settings.unpaid_after,
            )
            first, longest = settings.mail_waits
            waits = Waits(attempts=settings.mail_attempts, first=first, longest=longest)
            places = PostgresReactions(database)
            yield MailRoom(
                Ledger(events, places, queue, clock, admins=admins, erased=store.forget, gauges=gauges),
                Postman(events, queue, writer, mailer, waits=waits, lease=lease, gauges=gauges),
                partial(look_after, queue, gauges),
            )


async def look_after(queue: MailQueue, gauges: Gauges | None) -> None:
    await queue.forget(HISTORY)
    if gauges is not None:
        gauges.show(await queue.counts())


async def main(settings: Settings) -> None:
    async with (
        mailer_of(settings) as mailer,
        mail_room(settings, mailer, Gauges()) as room,
        ringing(settings.nats_url, room.bell),
    ):
        await until_signalled(while_leading(settings.database_url, "tradelog.mailer", room.run))


if __name__ == "__main__":
    start("mailer", main)
