"""Carries out what follows from events: it reads the log in order and hands each policy's commands to the bus."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, Protocol

import msgspec
import structlog
from nats.aio.client import Client
from prometheus_client import Gauge

from application.adapters.reactions import PostgresReactions
from application.bootstrap import write_side
from application.bus import CommandBus
from application.cancelling import obey_cancellation
from application.errors import ConcurrentChangeError, UnavailableError
from application.ports import AlreadyAnsweredError, Answer, Changed, Clock, Metadata, Once, StoredEvent
from application.processes.close_payment import close_payment_of
from application.processes.drop_media_files import drop_media_files_of
from application.processes.forget_files import forget_files_of
from application.processes.forget_follows import forget_follows_of
from application.processes.forget_person import forget_person_of
from application.processes.issue_invoice import issue_invoice_of
from application.processes.note_card import note_card_of
from application.processes.note_purchases import note_purchases_of
from application.processes.process_media import process_media_of
from application.processes.request_payment import request_payment_for
from application.processes.send_refund import send_refund_of
from application.sellers.opening import OpenHouseSeller
from application.settings import Settings
from domain.accounts.events import AccountErased
from domain.kernel import DomainError, Event, Recorded, tag_of
from domain.media.events import MediaDeleted, MediaExpired, MediaUploaded
from domain.orders.events import OrderCancelled, OrderConfirmed, OrderPlaced
from domain.payments.events import PaymentSucceeded, RefundRequested, RefundRetried
from workers.announcing import Announcer
from workers.jetstream import DOORBELL, connect
from workers.lease import while_leading
from workers.signals import until_signalled
from workers.starting import start
from workers.waiting import Bell, patient

BATCH: Final = 500
OUTAGES: Final = (UnavailableError, ConcurrentChangeError)

log = structlog.get_logger()


@dataclass(frozen=True, kw_only=True)
class Reaction:
    """``name`` keeps its place in the log: never rename it. ``grace`` is how long others may be first.

    ``also`` are further events that the policy is for.
    """

    name: str
    event: type[Event]
    policy: Callable[[Any], Sequence[object]]
    grace: timedelta = timedelta()
    also: tuple[type[Event], ...] = ()


ASKING_FOR_PAYMENT: Final = Reaction(
    name="request-payment", event=OrderPlaced, policy=request_payment_for, grace=timedelta(seconds=5)
)
CLOSING_PAYMENTS: Final = Reaction(name="close-payment", event=OrderCancelled, policy=close_payment_of)
SENDING_REFUNDS: Final = Reaction(
    name="send-refund", event=RefundRequested, also=(RefundRetried,), policy=send_refund_of
)
NOTING_CARDS: Final = Reaction(name="note-card", event=PaymentSucceeded, policy=note_card_of)
AT_THE_PROVIDER: Final = (ASKING_FOR_PAYMENT, CLOSING_PAYMENTS, SENDING_REFUNDS, NOTING_CARDS)
REACTIONS: Final = (
    ASKING_FOR_PAYMENT,
    CLOSING_PAYMENTS,
    SENDING_REFUNDS,
    NOTING_CARDS,
    Reaction(name="note-purchases", event=OrderConfirmed, policy=note_purchases_of),
    Reaction(name="issue-invoice", event=OrderConfirmed, policy=issue_invoice_of),
    Reaction(name="forget-follows", event=AccountErased, policy=forget_follows_of),
    Reaction(name="forget-person", event=AccountErased, policy=forget_person_of),
    Reaction(name="forget-files", event=AccountErased, policy=forget_files_of),
    # Each at its own place, so that a picture that takes a second to be made keeps nobody waiting for theirs.
    Reaction(name="process-media", event=MediaUploaded, policy=process_media_of),
    Reaction(name="drop-media-files", event=MediaExpired, also=(MediaDeleted,), policy=drop_media_files_of),
)


class Log(Protocol):
    async def read(self, after: int, limit: int) -> list[StoredEvent]: ...

    async def decode(self, stored: Sequence[StoredEvent]) -> list[Recorded[Event]]: ...


class Places(Protocol):
    async def position(self, name: str) -> int: ...

    async def move(self, name: str, position: int) -> None: ...


class Reactor:
    """The place moves after the work, so that a death in between repeats it; the once key makes that harmless."""

    def __init__(
        self,
        events: Log,
        places: Places,
        bus: CommandBus,
        clock: Clock,
        *,
        moved: Callable[[str, int], None] = lambda name, position: None,
    ) -> None:
        self._log = events
        self._places = places
        self._bus = bus
        self._clock = clock
        self._moved = moved
        self.bell = Bell()

    async def run(self, reactions: Sequence[Reaction]) -> None:
        """Until cancelled. Whatever is down is waited for."""
        async with asyncio.TaskGroup() as group:
            for reaction in reactions:
                group.create_task(self._react_on(reaction), name=reaction.name)

    async def catch_up(self, reaction: Reaction) -> bool:
        """React to the next events, if there are any."""
        position = await self._places.position(reaction.name)
        stored = await self._log.read(position, BATCH)
        tags = {tag_of(event) for event in (reaction.event, *reaction.also)}
        for recorded in await self._log.decode([event for event in stored if event.tag in tags]):
            await self._wait_out(reaction.grace, recorded)
            for number, command in enumerate(reaction.policy(recorded.event)):
                await self._carry_out(reaction, recorded, number, command)
            await self._move(reaction, recorded.position)
        if stored:
            await self._move(reaction, stored[-1].position)
        return bool(stored)

    async def _move(self, reaction: Reaction, position: int) -> None:
        await self._places.move(reaction.name, position)
        self._moved(reaction.name, position)

    async def _react_on(self, reaction: Reaction) -> None:
        # After a bug in this one it stays where it is, too. The others go on, whoever they are to forget.
        retrying = patient("reaction", OUTAGES, bugs=True, reaction=reaction.name)
        while True:
            await retrying(self._go_on, reaction)

    async def _go_on(self, reaction: Reaction) -> None:
        obey_cancellation()
        self.bell.hush()
        if not await self.catch_up(reaction):
            await self.bell.wait()

    async def _wait_out(self, grace: timedelta, recorded: Recorded[Event]) -> None:
        left = recorded.timestamp + grace - self._clock.now()
        if left > timedelta():
            await asyncio.sleep(left.total_seconds())

    async def _carry_out(
        self, reaction: Reaction, recorded: Recorded[Event], number: int, command: object
    ) -> None:
        once = Once(
            scope=f"reaction:{reaction.name}",
            key=f"{recorded.position}-{number}",
            request_hash=b"",
            answer=_done,
        )
        metadata = Metadata(
            actor=f"worker:{reaction.name}",
            request_id=recorded.request_id,
            cause=recorded.position,
            caused_at=recorded.timestamp,
            once=once,
        )
        try:
            await self._bus.handle(command, metadata)
        except AlreadyAnsweredError:
            log.info("carried out before", reaction=reaction.name, position=recorded.position)
        except OUTAGES:
            raise
        except DomainError as refusal:
            # The business has spoken, and would say it again.
            log.info("refused", reaction=reaction.name, position=recorded.position, reason=refusal.message)


def _done(_: Changed[Any]) -> Answer:
    return Answer(status=200, body=msgspec.json.encode(None))


async def open_the_house(bus: CommandBus) -> None:
    """There is always the house to sell what is in the catalogue (C57); it waits for a log that is away."""
    await patient("reactor", OUTAGES)(bus.handle, OpenHouseSeller(), Metadata(actor="worker:reactor"))


async def main(settings: Settings) -> None:
    """Without a provider there is nobody to be asked for payments."""
    reactions = [each for each in REACTIONS if settings.stripe_secret_key or each not in AT_THE_PROVIDER]
    client: Client = await connect(settings.nats_url, "reactor")
    try:
        async with write_side(settings, nats=client) as write:
            position = Gauge(
                "tradelog_reaction_position", "Position that a reaction has come to", ["reaction"]
            )
            reactor = Reactor(
                write.log,
                PostgresReactions(write.database),
                write.bus,
                write.clock,
                moved=lambda name, to: position.labels(name).set(to),
            )

            await client.subscribe(DOORBELL, cb=reactor.bell.hear)
            announcer = Announcer(write.log, client)

            async def lead() -> None:
                await open_the_house(write.bus)
                async with asyncio.TaskGroup() as group:
                    group.create_task(reactor.run(reactions), name="reactions")
                    group.create_task(announcer.run(), name="announcements")

            await until_signalled(while_leading(settings.database_url, "tradelog.reactor", lead))
    finally:
        await client.close()


if __name__ == "__main__":
    start("reactor", main)
