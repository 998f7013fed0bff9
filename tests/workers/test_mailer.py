"""Mail on a real database: owed once per cause, sent whatever goes away meanwhile, and to nobody who was erased."""

from __future__ import annotations

import asyncio
import base64
import os
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from msgspec.structs import replace

from application.accounts.passwords import RequestPasswordReset
from application.accounts.registering import CreateAccount, NewPerson
from application.adapters.mail.memory import MemoryMailer
from application.adapters.mail.queue import PostgresMails
from application.adapters.mail.smtp import SmtpMailer
from application.bootstrap import WriteSide, write_side
from application.errors import LogUnavailableError
from application.listings.noting_low_stock import NoteLowStock
from application.mail.ports import (
    MailDelayedError,
    Mailer,
    MailNotFoundError,
    MailRefusedError,
    MailState,
    Message,
    OwedMail,
    QueuedMail,
)
from application.ports import Metadata
from application.settings import Settings
from domain.accounts.account import ACCOUNTS, Account
from domain.accounts.events import (
    AccountErased,
    AccountEvent,
    PasswordChanged,
    Preferences,
    PreferencesUpdated,
    Profile,
    Role,
    RoleRevoked,
)
from domain.kernel import AccountId, ListingId, OrderId, SellerId
from domain.listings.events import ListingEvent, ListingPublished, StockAdjusted
from domain.listings.listing import LISTINGS
from domain.money import Money
from domain.orders.events import (
    CancelCause,
    OrderCancelled,
    OrderConfirmed,
    OrderEvent,
    OrderLine,
    OrderPaymentFailed,
    OrderPaymentLinked,
    OrderPlaced,
    OrderProcessingStarted,
    OrderRefunded,
    OrderReturnApproved,
    OrderReturnRejected,
    OrderReturnRequested,
    ParcelDelivered,
    ParcelShipped,
    PostalAddress,
    ReturnedLine,
)
from domain.orders.order import ORDERS
from domain.sellers.events import HOUSE_SELLER, SellerApplied, SellerVerified, ShopProfile, seller_of
from domain.sellers.seller import SELLERS
from tests.api.shop import MailServer, text_of
from tests.domain.builders import a_listing_created
from tests.support import eventually
from workers.local.process import LOOPBACK, Process, free_port
from workers.mailer import Ledger, MailRoom, Waits, mail_room
from workers.migrating import migrate

METADATA = Metadata(actor="tests")
NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
_NOBODY = AccountId(UUID(int=0))
_NOTHING = OrderId(UUID(int=0))
_THING = ListingId(UUID(int=0))
_OF_ORDER: dict[str, Any] = {"order_id": _NOTHING, "account_id": _NOBODY}
LINKED = OrderPaymentLinked(order_id=_NOTHING, intent_id="pi_1")
CONFIRMED = OrderConfirmed(**_OF_ORDER, intent_id="pi_1", confirmed_at=NOW)
STARTED = OrderProcessingStarted(**_OF_ORDER, started_at=NOW)
FAILED = OrderPaymentFailed(
    **_OF_ORDER, intent_id="pi_1", code="card_declined", message="Your card was declined."
)
SHIPPED = ParcelShipped(**_OF_ORDER, parcel=1, seller_id=HOUSE_SELLER, shipped_at=NOW)
DELIVERED = ParcelDelivered(**_OF_ORDER, parcel=1, seller_id=HOUSE_SELLER, delivered_at=NOW)
CANCELLED = OrderCancelled(**_OF_ORDER, cause=CancelCause.ADMIN, cancelled_at=NOW)
REQUESTED = OrderReturnRequested(
    **_OF_ORDER,
    return_id=UUID(int=1),
    lines=(ReturnedLine(listing_id=_THING, quantity=1),),
    requested_at=NOW,
)
APPROVED = OrderReturnApproved(**_OF_ORDER, return_id=UUID(int=1), approved_at=NOW)
REJECTED = OrderReturnRejected(**_OF_ORDER, return_id=UUID(int=1), reason="It is used", rejected_at=NOW)
REFUNDED = OrderRefunded(**_OF_ORDER, intent_id="pi_1", refund_id="re_1", amount=Money(100))


def an_order(**fields: Any) -> OrderPlaced:
    """Two things at 10.00 each."""
    line = OrderLine(
        listing_id=_THING,
        number=1,
        seller_id=HOUSE_SELLER,
        title="Thing",
        thumbnail="",
        price=Money(1000),
        discount_percentage=Decimal(0),
        quantity=2,
        total=Money(2000),
        discounted_total=Money(2000),
    )
    given: dict[str, Any] = {
        "number": "ORD-2026112101",
        "account_number": 1,
        "lines": (line,),
        "subtotal": Money(2000),
        "tax": Money(160),
        "shipping": Money(500),
        "total": Money(2660),
        "payment_method": "card",
        "shipping_address": PostalAddress(city="Phoenix"),
        "placed_at": NOW,
        **fields,
    }
    return OrderPlaced(**given)


def environment(database_url: str, **more: str) -> dict[str, str]:
    return {
        "DATABASE_URL": database_url,
        "JWT_SECRET": "x" * 32,
        "TRADELOG_MASTER_KEY": base64.b64encode(bytes(32)).decode(),
        "WEB_ORIGIN": "https://shop.example",
        "MAIL_RETRY_FIRST": "0s",
        "MAIL_ATTEMPTS": "4",
        **more,
    }


class Town:
    """People, the log in which they do things, and the post."""

    def __init__(self, write: WriteSide, settings: Settings, stack: AsyncExitStack) -> None:
        self.write = write
        self.settings = settings
        self.queue = PostgresMails(write.database)
        self._stack = stack

    async def room(self, mailer: Mailer, **options: Any) -> MailRoom:
        return await self._stack.enter_async_context(mail_room(self.settings, mailer, **options))

    async def person(
        self, name: str = "Ann", *, verified: bool = True, roles: frozenset[Role] = frozenset()
    ) -> Account:
        """Of a verified one nobody is owed a mail."""
        person = NewPerson(
            email=f"{uuid4().hex}@example.com",
            password="Secret123",
            profile=Profile(first_name=name),
            email_verified=verified,
            roles=roles,
        )
        account: Account = (await self.write.bus.handle(CreateAccount(person=person), METADATA)).state
        return account

    async def happens(self, account: Account, *events: AccountEvent) -> int:
        """The position of the last of them."""
        return (await self.write.store.change(ACCOUNTS, account.id, lambda _: events, METADATA)).position

    async def changes_password(self, account: Account) -> int:
        return await self.happens(account, PasswordChanged(account_id=account.id, password_hash="x"))

    async def is_verified_as_a_seller(self, account: Account) -> None:
        shop = seller_of(account.id)
        applied = SellerApplied(
            seller_id=shop,
            account_id=account.id,
            account_number=account.number,
            profile=ShopProfile(),
            agreed_at=self.write.clock.now(),
        )
        verified = SellerVerified(seller_id=shop, account_id=account.id)
        await self.write.store.change(SELLERS, shop, lambda _: [applied, verified], METADATA)

    async def orders(self, buyer: Account, *events: OrderEvent) -> int:
        """All that happens to one order, and the position of the last of it."""
        order_id = OrderId(uuid4())
        number = f"ORD-{order_id.hex[:8]}"
        placed = an_order(order_id=order_id, account_id=buyer.id, number=number)
        mine = [replace(event, order_id=order_id, **_of(event, buyer)) for event in events]
        return (await self.write.store.change(ORDERS, order_id, lambda _: [placed, *mine], METADATA)).position

    async def mails(self, state: MailState | None = None) -> list[QueuedMail]:
        return await self.queue.listed(state, after=0, limit=1000)

    async def states(self) -> list[tuple[str, str]]:
        return [(mail.template, mail.state.value) for mail in await self.mails()]

    async def one(self) -> QueuedMail:
        (mail,) = await self.mails()
        return mail


def _of(event: OrderEvent, buyer: Account) -> dict[str, Any]:
    return {"account_id": buyer.id} if "account_id" in event.__struct_fields__ else {}


@pytest.fixture
async def town(database_url: str) -> AsyncIterator[Town]:
    await migrate(database_url)
    settings = Settings.read(environment(database_url))
    async with AsyncExitStack() as stack:
        write = await stack.enter_async_context(write_side(settings))
        yield Town(write, settings, stack)


async def all_of(room: MailRoom) -> None:
    """Everything that is owed and due, one step after the other."""
    while await room.ledger.catch_up():
        pass
    while await room.postman.send_due():
        pass


class Failing:
    """Fails in the ways given, one per attempt, and then takes mail."""

    def __init__(self, *failures: Exception) -> None:
        self.failures = list(failures)
        self.sent: list[Message] = []

    async def send(self, message: Message) -> None:
        if self.failures:
            raise self.failures.pop(0)
        self.sent.append(message)


class Hanging:
    """Takes mail, and never says so."""

    def __init__(self) -> None:
        self.taken: list[Message] = []

    async def send(self, message: Message) -> None:
        self.taken.append(message)
        await asyncio.Event().wait()


class TestAMail:
    async def test_is_sent_because_of_an_event_with_a_link_that_is_good(self, town: Town) -> None:
        mailer = MemoryMailer()
        ann = await town.person(verified=False)
        await all_of(await town.room(mailer))
        (message,) = mailer.sent
        assert message.to == ann.email
        assert message.subject == "Confirm your e-mail address"
        assert message.text.startswith("Hello Ann,\n")
        assert message.headers["Auto-Submitted"] == "auto-generated"
        _, _, token = message.text.partition("https://shop.example/verify-email?token=")
        read = town.write.one_time_tokens.read("verify-email", token.split()[0])
        assert read == (ann.id, 1)
        mail = await town.one()
        assert (mail.state, mail.account_id, mail.attempts) == (MailState.SENT, ann.id, 1)
        assert mail.sent_at is not None

    async def test_about_a_forgotten_password_goes_to_whoever_has_the_account_and_to_nobody_else(
        self, town: Town
    ) -> None:
        mailer = MemoryMailer()
        ann = await town.person()
        for email in (ann.email, "nobody@example.com"):
            await town.write.bus.handle(RequestPasswordReset(email=email), METADATA)
        await all_of(await town.room(mailer))
        (message,) = mailer.sent
        assert message.to == ann.email
        assert "https://shop.example/reset-password?token=" in message.text

    async def test_whose_link_was_superseded_is_not_sent(self, town: Town) -> None:
        mailer = MemoryMailer()
        ann = await town.person()
        for _ in range(3):
            await town.write.bus.handle(RequestPasswordReset(email=ann.email), METADATA)
        await all_of(await town.room(mailer))
        assert len(mailer.sent) == 1
        assert [mail.state.value for mail in await town.mails()] == ["dropped", "dropped", "sent"]

    async def test_that_its_reader_does_not_want_is_not_sent_unless_it_is_about_security(
        self, town: Town
    ) -> None:
        room = await town.room(mailer := MemoryMailer())
        ann = await town.person()
        for wanted in (True, False):
            preferences = Preferences(email_notifications=wanted)
            await town.happens(ann, PreferencesUpdated(account_id=ann.id, preferences=preferences))
            await town.is_verified_as_a_seller(ann)
            await town.changes_password(ann)
            await all_of(room)
        assert [message.subject for message in mailer.sent] == [
            "Your shop has been verified",
            "Your password was changed",
            "Your password was changed",
        ]


class TestAnOrder:
    async def test_is_confirmed_once_though_it_is_begun_before_it_is_paid(self, town: Town) -> None:
        room = await town.room(mailer := MemoryMailer())
        ann = await town.person()
        await town.orders(ann, LINKED, STARTED, CONFIRMED)
        await town.orders(ann, LINKED, CONFIRMED)
        await all_of(room)
        assert [message.subject.partition(" ORD")[0] for message in mailer.sent] == ["Your order"] * 2
        assert await town.states() == [
            ("order-confirmation", "sent"),
            ("order-confirmation", "dropped"),
            ("order-confirmation", "sent"),
        ]
        for message in mailer.sent:
            assert "2 x Thing" in message.text
            assert "Total: 26.60 USD" in message.text
            assert f"https://shop.example/orders/{message.subject.split()[2]}" in message.text

    async def test_that_is_cancelled_or_sent_back_is_told_of_with_why(self, town: Town) -> None:
        room = await town.room(mailer := MemoryMailer())
        ann = await town.person()
        await town.orders(ann, LINKED, replace(CANCELLED, reason="Out of stock"))
        await town.orders(ann, REQUESTED, APPROVED)
        await town.orders(ann, REQUESTED, REJECTED)
        await all_of(room)
        cancelled, approved, rejected = sorted(
            mailer.sent, key=lambda message: message.message_id.partition(".")[2]
        )
        assert "The reason: Out of stock" in cancelled.text
        assert "nothing will be taken from you" in cancelled.text
        assert "You may send this of your order" in approved.text
        assert "1 x Thing" in approved.text
        assert "The reason: It is used" in rejected.text

    async def test_whose_payment_fails_again_and_again_is_told_of_once(self, town: Town) -> None:
        room = await town.room(mailer := MemoryMailer())
        ann = await town.person()
        await town.orders(ann, LINKED, FAILED, replace(FAILED, repeated=True), replace(FAILED, repeated=True))
        await town.orders(ann, LINKED, FAILED, CONFIRMED)
        await all_of(room)
        # They leave together, in whatever order.
        failed, confirmed = sorted(mailer.sent, key=lambda message: message.subject)
        assert failed.subject.startswith("The payment of your order")
        assert confirmed.subject.startswith("Your order")
        assert "Your card was declined." in failed.text

    async def test_of_somebody_who_wants_no_notifications_brings_receipts_and_no_progress(
        self, town: Town
    ) -> None:
        room = await town.room(MemoryMailer())
        ann = await town.person()
        unwanted = Preferences(email_notifications=False)
        await town.happens(ann, PreferencesUpdated(account_id=ann.id, preferences=unwanted))
        await town.orders(ann, LINKED, CONFIRMED, SHIPPED, DELIVERED, REFUNDED)
        await all_of(room)
        assert await town.states() == [
            ("order-confirmation", "sent"),
            ("order-shipped", "dropped"),
            ("order-delivered", "dropped"),
            ("order-refunded", "sent"),
        ]

    async def test_of_somebody_who_was_erased_brings_nothing(self, town: Town) -> None:
        room = await town.room(mailer := MemoryMailer())
        ann = await town.person()
        await town.orders(ann, LINKED, CONFIRMED, CANCELLED)
        await town.happens(ann, AccountErased(account_id=ann.id, erased_at=town.write.clock.now()))
        await all_of(room)
        assert mailer.sent == []

    async def test_of_former_days_brings_nothing(self, town: Town) -> None:
        room = await town.room(MemoryMailer())
        ann = await town.person()
        order_id = OrderId(uuid4())
        former: list[OrderEvent] = [
            an_order(order_id=order_id, account_id=ann.id),
            OrderConfirmed(order_id=order_id, intent_id="pi_1", confirmed_at=NOW),
            OrderRefunded(order_id=order_id, intent_id="pi_1", refund_id="re_1", amount=Money(1)),
        ]
        await town.write.store.change(ORDERS, order_id, lambda _: former, METADATA)
        await all_of(room)
        assert await town.mails() == []


class TestLowStock:
    async def thing(self, town: Town, *more: ListingEvent, number: int = 1, **fields: Any) -> ListingId:
        created = a_listing_created(number, listing_id=ListingId(uuid4()), slug=f"thing-{number}", **fields)
        events = [created, ListingPublished(listing_id=created.listing_id), *more]
        await town.write.store.change(LISTINGS, created.listing_id, lambda _: events, METADATA)
        return created.listing_id

    async def note(self, town: Town, *listing_ids: ListingId, seller_id: SellerId = HOUSE_SELLER) -> None:
        command = NoteLowStock(seller_id=seller_id, listing_ids=listing_ids, threshold=5)
        await town.write.bus.handle(command, METADATA)

    async def test_of_the_house_is_told_to_all_admins_who_want_to_know(self, town: Town) -> None:
        room = await town.room(mailer := MemoryMailer())
        ann, bob, former = [
            await town.person(name, roles=frozenset({Role.ADMIN})) for name in ("Ann", "Bob", "Eve")
        ]
        await town.person("Joe")
        unwanted = Preferences(email_notifications=False)
        await town.happens(bob, PreferencesUpdated(account_id=bob.id, preferences=unwanted))
        few, fewer = await self.thing(town, stock=5), await self.thing(town, stock=1, number=2)
        await self.note(town, few, fewer)
        await room.ledger.catch_up()
        await town.happens(former, RoleRevoked(account_id=former.id, role=Role.ADMIN))
        await all_of(room)
        (message,) = mailer.sent
        assert (message.to, message.subject) == (ann.email, "Low stock")
        for line in ("1 x Listing 2", "5 x Listing 1", "https://shop.example/products/thing-1"):
            assert line in message.text
        assert sorted(mail.error for mail in await town.mails()) == [
            "",
            "the person is no admin any more",
            "the person wants no notifications by mail",
        ]

    async def test_of_a_shop_is_told_to_whose_it_is(self, town: Town) -> None:
        room = await town.room(mailer := MemoryMailer())
        ann = await town.person()
        await town.person("Bob", roles=frozenset({Role.ADMIN}))
        await town.is_verified_as_a_seller(ann)
        shop = seller_of(ann.id)
        await self.note(town, await self.thing(town, stock=5, seller_id=shop), seller_id=shop)
        await all_of(room)
        assert [(message.to, message.subject) for message in mailer.sent] == [
            (ann.email, "Your shop has been verified"),
            (ann.email, "Low stock"),
        ]

    async def test_that_is_none_any_more_is_not_told(self, town: Town) -> None:
        room = await town.room(mailer := MemoryMailer())
        await town.person(roles=frozenset({Role.ADMIN}))
        few = await self.thing(town, stock=5)
        await self.note(town, few)
        more = StockAdjusted(listing_id=few, stock=9)
        await town.write.store.change(LISTINGS, few, lambda _: [more], METADATA)
        await all_of(room)
        assert mailer.sent == []
        assert (await town.one()).error == "there are enough again"


class TestOnce:
    async def test_though_the_place_in_the_log_is_lost(self, town: Town) -> None:
        mailer = MemoryMailer()
        await town.changes_password(await town.person())
        await all_of(await town.room(mailer))
        await town.write.database.rows("DELETE FROM reactions")
        await all_of(await town.room(mailer))
        assert len(mailer.sent) == 1
        assert await town.states() == [("password-changed", "sent")]

    async def test_though_the_ledger_dies_between_the_queue_and_its_place(
        self, town: Town, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        class DeathError(Exception):
            pass

        async def die(name: str, position: int) -> None:
            raise DeathError

        mailer = MemoryMailer()
        await town.changes_password(await town.person())
        room = await town.room(mailer)
        with monkeypatch.context() as patched:
            patched.setattr(room.ledger._places, "move", die)
            with pytest.raises(DeathError):
                await room.ledger.catch_up()
        assert await town.states() == [("password-changed", "waiting")]
        await all_of(room)
        assert len(mailer.sent) == 1

    async def test_between_two_mailers(self, town: Town) -> None:
        ann = await town.person()
        for _ in range(60):
            await town.changes_password(ann)
        both = asyncio.Event()
        mailers: list[MemoryMailer] = []

        class Together(MemoryMailer):
            """Sends nothing before the other one has something to send too."""

            def __init__(self) -> None:
                super().__init__()
                self.asked = False
                mailers.append(self)

            async def send(self, message: Message) -> None:
                self.asked = True
                if all(mailer.asked for mailer in (first, second)):
                    both.set()
                await both.wait()
                await super().send(message)

        first, second = Together(), Together()
        rooms = [await town.room(mailer) for mailer in (first, second)]
        await asyncio.gather(*(all_of(room) for room in rooms))
        sent = Counter(message.message_id for mailer in mailers for message in mailer.sent)
        assert len(sent) == 60
        assert set(sent.values()) == {1}
        assert all(mailer.sent for mailer in mailers)

    async def test_a_mail_whose_mailer_died_on_it_is_sent_again_as_the_same_one(self, town: Town) -> None:
        await town.changes_password(await town.person())
        dead, living = Hanging(), MemoryMailer()
        room = await town.room(dead, lease=timedelta(seconds=1))
        heir = await town.room(living)
        await room.ledger.catch_up()
        sending = asyncio.create_task(room.postman.send_due())
        await eventually(lambda: bool(dead.taken))
        assert await heir.postman.send_due() == 0  # for a while it is nobody else's
        await eventually(lambda: _sent(heir))
        assert [mail.message_id for mail in living.sent] == [mail.message_id for mail in dead.taken]
        assert (await town.one()).attempts == 2
        # Twice: once to stop, and once to wait no longer for the answer that never comes.
        for _ in range(2):
            sending.cancel()
            await asyncio.sleep(0)
        with pytest.raises(asyncio.CancelledError):
            await sending
        assert (await town.one()).state is MailState.SENT

    async def test_a_mailer_that_is_told_to_stop_writes_down_what_it_sent(self, town: Town) -> None:
        class Slow(MemoryMailer):
            def __init__(self) -> None:
                super().__init__()
                self.asked, self.go_on = asyncio.Event(), asyncio.Event()

            async def send(self, message: Message) -> None:
                self.asked.set()
                await self.go_on.wait()
                await super().send(message)

        mailer = Slow()
        await town.changes_password(await town.person())
        room = await town.room(mailer)
        running = asyncio.create_task(room.run())
        await mailer.asked.wait()
        running.cancel()
        await asyncio.sleep(0)
        mailer.go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert len(mailer.sent) == 1
        assert (await town.one()).state is MailState.SENT

    async def test_a_new_mailer_does_not_send_what_is_history(self, town: Town) -> None:
        class Later:
            def now(self) -> Any:
                return town.write.clock.now() + timedelta(days=8)

        await town.person(verified=False)
        await town.changes_password(await town.person())
        room = await town.room(MemoryMailer())
        ledger = Ledger(
            room.ledger._log, room.ledger._places, town.queue, Later(), admins=room.ledger._admins
        )
        assert await ledger.catch_up() > 0
        assert await ledger.catch_up() == 0
        assert await town.mails() == []


async def _sent(room: MailRoom) -> bool:
    return await room.postman.send_due() > 0


class TestAFailure:
    async def test_for_now_is_tried_again_later(self, town: Town) -> None:
        await town.changes_password(await town.person())
        mailer = Failing(MailDelayedError("451"), MailDelayedError("451"))
        room = await town.room(mailer)
        await room.ledger.catch_up()
        await room.postman.send_due()
        mail = await town.one()
        assert (mail.state, mail.attempts, mail.error) == (MailState.WAITING, 1, "451")
        await all_of(room)
        mail = await town.one()
        assert (mail.state, mail.attempts, mail.error) == (MailState.SENT, 3, "")
        assert len(mailer.sent) == 1

    def test_is_tried_again_ever_later_over_about_a_day(self) -> None:
        waits = Waits()
        for attempt in range(1, 10):
            plain = min(5 * 4 ** (attempt - 1), 6 * 3600)
            found = [waits.after(attempt).total_seconds() for _ in range(20)]
            assert all(plain <= seconds <= 1.25 * plain for seconds in found)
            assert len(set(found)) > 1
        total = sum((waits.after(attempt) for attempt in range(1, waits.attempts)), timedelta())
        assert timedelta(hours=18) < total < timedelta(hours=26)

    async def test_for_good_is_a_dead_letter_that_an_operator_may_try_again(self, town: Town) -> None:
        position = await town.changes_password(await town.person())
        mailer = Failing(MailRefusedError("550 5.1.1"))
        room = await town.room(mailer)
        await all_of(room)
        mail = await town.one()
        assert (mail.state, mail.attempts, mail.error) == (MailState.DEAD, 1, "550 5.1.1")
        assert (await town.queue.counts()).dead == 1
        for _ in range(2):
            retried = await town.queue.retry(position, "password-changed")
            assert (retried.state, retried.attempts, retried.error) == (MailState.WAITING, 0, "")
        await all_of(room)
        assert len(mailer.sent) == 1
        assert (await town.queue.retry(position, "password-changed")).state is MailState.SENT
        assert (await town.queue.drop(position, "password-changed")).state is MailState.SENT

    async def test_that_does_not_end_is_one_for_good(self, town: Town) -> None:
        await town.changes_password(await town.person())
        mailer = Failing(*(MailDelayedError(f"try {n}") for n in range(1, 9)))
        await all_of(await town.room(mailer))
        mail = await town.one()
        assert (mail.state, mail.attempts, mail.error) == (MailState.DEAD, 4, "try 4")

    async def test_that_brings_the_process_down_is_not_repeated_for_ever(self, town: Town) -> None:
        await town.changes_password(await town.person())
        room = await town.room(MemoryMailer())
        await room.ledger.catch_up()
        for _ in range(4):
            assert await town.queue.claim(1, timedelta())  # and nobody lived to tell
        assert await room.postman.send_due() == 1
        mail = await town.one()
        assert (mail.state, mail.error) == (MailState.DEAD, "all attempts broke off")

    async def test_that_is_a_bug_in_one_mail_holds_up_no_other_and_says_nothing_of_the_person(
        self, town: Town
    ) -> None:
        class Picky(MemoryMailer):
            async def send(self, message: Message) -> None:
                if message.to == poisoned.email:
                    raise RuntimeError(f"cannot write to {message.to}")
                await super().send(message)

        poisoned, other = await town.person(), await town.person()
        for person in (poisoned, other):
            await town.changes_password(person)
        mailer = Picky()
        await all_of(await town.room(mailer))
        assert [message.to for message in mailer.sent] == [other.email]
        dead, sent = await town.mails()
        assert (dead.state, dead.attempts, sent.state) == (MailState.DEAD, 4, MailState.SENT)
        assert dead.error.startswith("RuntimeError at test_mailer.py:")

    async def test_of_the_database_at_the_last_moment_costs_no_second_mail(
        self, town: Town, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await town.changes_password(await town.person())
        mailer = MemoryMailer()
        room = await town.room(mailer)
        await room.ledger.catch_up()
        rows, away = town.queue._database.__class__.rows, iter([True, True])

        async def failing(self: Any, statement: Any, parameters: Any = ()) -> Any:
            if "'sent'" in statement and next(away, False):
                raise LogUnavailableError("The database does not answer")
            return await rows(self, statement, parameters)

        monkeypatch.setattr(town.queue._database.__class__, "rows", failing)
        await all_of(room)
        assert len(mailer.sent) == 1
        assert (await town.one()).state is MailState.SENT

    async def test_a_mail_that_nobody_knows_is_named(self, town: Town) -> None:
        for act in (town.queue.retry, town.queue.drop):
            with pytest.raises(MailNotFoundError, match="no mail verify-email because of event 7"):
                await act(7, "verify-email")

    async def test_a_mail_that_nothing_calls_for_is_not_sent(self, town: Town) -> None:
        ann = await town.person(verified=False)
        position = await town.changes_password(ann)
        odd = [(10**12, "password-changed"), (position, "verify-email"), (position, "pigeon-post")]
        await town.queue.owe([OwedMail(cause, template, ann.id) for cause, template in odd])
        room = await town.room(mailer := MemoryMailer())
        while await room.postman.send_due():
            pass
        assert mailer.sent == []
        assert {(mail.state.value, mail.error) for mail in await town.mails()} == {
            ("dropped", "nothing in the log calls for it")
        }

    async def test_a_dropped_one_is_sent_no_more(self, town: Town) -> None:
        position = await town.changes_password(await town.person())
        room = await town.room(mailer := MemoryMailer())
        await room.ledger.catch_up()
        assert (await town.queue.drop(position, "password-changed")).state is MailState.DROPPED
        await all_of(room)
        assert mailer.sent == []


class TestAServer:
    @pytest.fixture
    def server(self, tmp_path: Path) -> Iterator[MailServer]:
        server = MailServer(tmp_path / "mail")
        yield server
        server.stop()

    async def test_that_comes_back_gets_the_mail_once(self, town: Town, server: MailServer) -> None:
        ann = await town.person()
        await town.changes_password(ann)
        mailer = SmtpMailer(LOOPBACK, server.port, clock=town.write.clock, sender="noreply@ecom.com")
        room = await town.room(mailer)
        await room.ledger.catch_up()
        await room.postman.send_due()
        mail = await town.one()
        assert (mail.state, mail.error) == (
            MailState.WAITING, "the mail server does not answer: SMTPConnectError",
        )  # fmt: skip
        server.start()
        await all_of(room)
        assert (await town.one()).state is MailState.SENT
        (arrived,) = server.mails(to=ann.email)
        assert "was changed on" in text_of(arrived)


class TestWhoWasErased:
    async def test_is_not_written_to(self, town: Town) -> None:
        mailer = MemoryMailer()
        room = await town.room(mailer)
        ann, bob = await town.person(verified=False), await town.person("Bob", verified=False)
        await town.changes_password(ann)
        await room.ledger.catch_up()
        await town.happens(ann, AccountErased(account_id=ann.id, erased_at=town.write.clock.now()))
        await all_of(room)
        assert [message.to for message in mailer.sent] == [bob.email]
        mails = [mail for mail in await town.mails() if mail.account_id == ann.id]
        assert [(mail.state, mail.error) for mail in mails] == 2 * [
            (MailState.DROPPED, "the person was erased")
        ]

    async def test_is_not_written_to_by_a_mailer_that_has_not_heard_of_it_yet(self, town: Town) -> None:
        mailer = MemoryMailer()
        room = await town.room(mailer)
        ann = await town.person(verified=False)
        await town.changes_password(ann)
        await room.ledger.catch_up()
        await town.happens(ann, AccountErased(account_id=ann.id, erased_at=town.write.clock.now()))
        assert await room.postman.send_due() == 2
        assert mailer.sent == []

    async def test_is_not_written_to_when_only_the_key_is_gone(self, town: Town) -> None:
        mailer = MemoryMailer()
        ann = await town.person(verified=False)
        await town.changes_password(ann)
        await town.write.keys.destroy(ann.id)
        await all_of(await town.room(mailer))
        assert mailer.sent == []
        assert {mail.state for mail in await town.mails()} == {MailState.DROPPED}

    async def test_leaves_nothing_that_tells_who_it_was(self, town: Town, database_url: str) -> None:
        ann = await town.person("Annabel", verified=False)
        refusal = MailRefusedError("the mail server refused the recipient: 550 5.1.1")
        await all_of(await town.room(Failing(refusal)))
        with psycopg.connect(database_url) as connection:
            rows = connection.execute("SELECT mails::text FROM mails").fetchall()
        assert len(rows) == 1
        assert ann.email not in str(rows)
        assert "Annabel" not in str(rows)


async def test_what_ended_long_ago_is_forgotten(town: Town) -> None:
    ann = await town.person()
    for _ in range(2):
        await town.changes_password(ann)
    room = await town.room(Failing(MailRefusedError("550")))
    await all_of(room)
    await town.write.database.rows("UPDATE mails SET created_at = now() - interval '31 days'")
    await town.queue.forget(timedelta(days=30))
    # What was given up is an operator's to end.
    assert (await town.one()).state is MailState.DEAD


class TestByHand:
    async def test_mails_are_listed_tried_again_and_given_up(self, town: Town, database_url: str) -> None:
        ann = await town.person()
        positions = [await town.changes_password(ann) for _ in range(2)]
        await all_of(await town.room(Failing(MailRefusedError("550 5.1.1"), MailRefusedError("550 5.1.1"))))

        async def tradelog(*arguments: str) -> tuple[int | None, str, str]:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "workers.cli",
                "mails",
                *arguments,
                env={**os.environ, "DATABASE_URL": database_url},
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
            )
            out, err = await process.communicate()
            return process.returncode, out.decode(), err.decode()

        code, listed, err = await tradelog("list", "--state", "dead")
        assert (code, err) == (0, "")
        rows = [
            [cell.strip() for cell in line.strip("│").split("│")]
            for line in listed.splitlines()
            if "│" in line
        ]
        assert rows == [
            [str(position), "password-changed", "dead", "1", "", "", "550 5.1.1"] for position in positions
        ]
        first, second = map(str, positions)
        retried = f"password-changed because of event {first} is waiting\n"
        assert await tradelog("retry", first, "password-changed") == (0, retried, "")
        dropped = f"password-changed because of event {second} is dropped\n"
        assert await tradelog("drop", second, "password-changed") == (0, dropped, "")
        code, out, err = await tradelog("retry", "7", "password-changed")
        assert (code, out) == (1, "")
        assert err == "tradelog: There is no mail password-changed because of event 7\n"
        assert await town.states() == [("password-changed", "waiting"), ("password-changed", "dropped")]


class TestAsAProcess:
    async def test_it_is_killed_at_any_moment_and_works_without_nats(
        self, town: Town, database_url: str, tmp_path: Path
    ) -> None:
        server = MailServer(tmp_path / "mail")
        metrics = free_port()
        more = {
            **os.environ,
            **environment(database_url, NATS_URL=f"nats://{LOOPBACK}:{free_port()}"),
            **server.environment(),
            "TRADELOG_METRICS_PORT": str(metrics),
            "MAIL_ATTEMPTS": "50",
        }
        process = Process(
            "mailer",
            [sys.executable, "-m", "workers.mailer"],
            log_path=tmp_path / "mailer.log",
            environment=more,
        )
        ann = await town.person()
        await town.changes_password(ann)
        process.start()
        try:
            await eventually(lambda: _tried(town), within=30)
            process.kill()
            await town.changes_password(ann)
            process.start()
            await eventually(lambda: _owed(town, 2), within=30)
            server.start()
            await eventually(lambda: len(server.mails(to=ann.email)) == 2, within=30)
            await eventually(lambda: _ended(town), within=30)
            process.signal(signal.SIGTERM)
            assert await process.until_ended(within=10)
            assert process.exit_code == 0, process.log_tail()
        finally:
            await process.stop()
            server.stop()
        arrived = server.mails()
        assert len(arrived) == 2
        assert len({mail["Message-ID"] for mail in arrived}) == 2
        assert ann.email not in process.log_path.read_text()


async def _tried(town: Town) -> bool:
    return [bool(mail.error) for mail in await town.mails()] == [True]


async def _owed(town: Town, count: int) -> bool:
    return len(await town.mails()) == count


async def _ended(town: Town) -> bool:
    return {mail.state for mail in await town.mails()} == {MailState.SENT}


class TestSeveralPeople:
    """One cause, written of to each admin, say: each gets a mail of their own."""

    async def test_are_owed_a_mail_each_and_it_is_sent_to_each_once(self, town: Town) -> None:
        ann, bob = await town.person(), await town.person("Bob")
        position = await town.changes_password(ann)
        room = await town.room(mailer := Failing(MailRefusedError("550")))
        owed = [OwedMail(position, "password-changed", person.id) for person in (ann, bob)]
        for _ in range(2):
            await town.queue.owe(owed)
        await all_of(room)
        assert sorted(mail.state.value for mail in await town.mails()) == ["dead", "sent"]
        (dead,) = await town.mails(MailState.DEAD)
        retried = await town.queue.retry(position, "password-changed")
        assert (retried.account_id, retried.state) == (dead.account_id, MailState.WAITING)
        await all_of(room)
        assert {message.to for message in mailer.sent} == {ann.email, bob.email}
        assert len({message.message_id for message in mailer.sent}) == len(mailer.sent) == 2

    async def test_are_listed_together_however_small_the_page_is(self, town: Town) -> None:
        people = [await town.person() for _ in range(3)]
        positions = [await town.changes_password(people[0]) for _ in range(2)]
        for position in positions:
            await town.queue.owe([OwedMail(position, "password-changed", person.id) for person in people])
        listed = await town.queue.listed(None, after=0, limit=2)
        assert [(mail.cause, mail.account_id) for mail in listed] == [
            (positions[0], account_id) for account_id in sorted(person.id for person in people)
        ]

    async def test_a_queue_of_former_code_learns_of_them_and_forgets_nothing(
        self, town: Town, database_url: str
    ) -> None:
        ann, bob = await town.person(), await town.person("Bob")
        with psycopg.connect(database_url) as connection:
            connection.execute(
                "ALTER TABLE mails DROP CONSTRAINT mails_pkey, ADD PRIMARY KEY (cause, template)"
            )
        await town.queue.owe([OwedMail(1, "password-changed", ann.id)])
        for _ in range(2):
            await migrate(database_url)
        await town.queue.owe([OwedMail(1, "password-changed", person.id) for person in (ann, bob)])
        assert {mail.account_id for mail in await town.mails()} == {ann.id, bob.id}
