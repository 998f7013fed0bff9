"""The write side on a log in memory, with people and things in it, for tests of handlers."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec

from application.accounts.people import SignedIn, found
from application.accounts.registering import NewPerson, RegisterAccount
from application.accounts.standing import SuspendAccount
from application.adapters.codec import EventCodec
from application.adapters.event_store import EventStore
from application.adapters.keys import MemoryPersonKeys
from application.adapters.memory_event_log import MemoryEventLog
from application.adapters.numbers import MemoryNumbers
from application.bootstrap import handlers
from application.bus import CommandBus
from application.categories.creating import CreateCategory
from application.errors import InvalidImageError, PaymentProviderError
from application.listings.creating import CreateListing
from application.orders.placing import Conditions, PlaceOrder
from application.payments.paying import PaymentResult, RecordPaymentResult
from application.ports import (
    Changed,
    Metadata,
    PaymentIntent,
    ProviderDispute,
    ProviderRefund,
    Rendition,
    Renditions,
    SignedUpload,
    StoredFile,
)
from application.sellers.keeping import AddShippingProfile, Shipping
from application.sellers.opening import OpenHouseSeller
from domain.accounts.account import ACCOUNTS
from domain.accounts.events import Caller, Profile
from domain.carts.cart import CARTS
from domain.carts.events import cart_of
from domain.kernel import AccountId, Decider, Event, SellerId
from domain.listings.listing import LISTINGS, Listing
from domain.media.media import MediaNotFoundError
from domain.money import Money
from domain.orders.events import PostalAddress
from domain.orders.order import Order
from domain.orders.pricing import Tariff
from domain.payments.payment import PaymentNotFoundError
from domain.placing import WantedLine
from domain.registry import AGGREGATES, EVENTS
from domain.sellers.events import HOUSE_SELLER, ShippingProfile
from tests.application.job_runs import MemoryJobRuns

ADDRESS = PostalAddress(address="626 Main Street", city="Phoenix", zip_code="29112", country="United States")
METADATA = Metadata(actor="test")
NO_PICTURE = b"no picture"


class SteppedClock:
    """Stands still until it is told otherwise."""

    def __init__(self) -> None:
        self.at = datetime(2026, 11, 21, 12, tzinfo=UTC)

    def now(self) -> datetime:
        return self.at


class PlainPasswords:
    """Fast, and good for nothing else."""

    async def hash(self, password: str) -> str:
        return f"hash of {password}"

    async def matches(self, password: str, password_hash: str | None) -> bool:
        return password_hash in (f"hash of {password}", f"old hash of {password}")

    def needs_rehash(self, password_hash: str) -> bool:
        return password_hash.startswith("old")


class MemoryTraces:
    """What a person leaves beside the log: here, the key alone."""

    def __init__(self, keys: MemoryPersonKeys) -> None:
        self._keys = keys

    async def destroy(self, person: UUID) -> None:
        await self._keys.destroy(person)


class MemoryObjects:
    """Files in a dictionary; nobody can be sent to it with an upload."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.types: dict[str, str] = {}

    async def put(self, key: str, content: bytes, *, content_type: str, cache_control: str = "") -> None:
        self.files[key] = content
        self.types[key] = content_type

    async def get(self, key: str, *, most: int) -> bytes:
        if key not in self.files:
            raise MediaNotFoundError("Media not found")
        return self.files[key][: most + 1]

    async def look(self, key: str, *, first: int) -> StoredFile:
        content = await self.get(key, most=10**9)
        return StoredFile(
            content_type=self.types.get(key, ""),
            size=len(content),
            checksum=hashlib.sha256(content).hexdigest(),
            beginning=content[:first],
        )

    async def exists(self, key: str) -> bool:
        return key in self.files

    async def delete_prefix(self, prefix: str) -> None:
        self.files = {key: file for key, file in self.files.items() if not key.startswith(prefix)}

    async def presign_upload(
        self, key: str, *, content_type: str, size: int, lifetime: timedelta
    ) -> SignedUpload:
        raise NotImplementedError


class PlainImages:
    """Takes everything for a picture."""

    async def avatar(self, content: bytes) -> bytes:
        return content

    async def renditions(
        self, content: bytes, mime_type: str, sides: Sequence[tuple[str, int]]
    ) -> Renditions:
        if content == NO_PICTURE:
            raise InvalidImageError({"image": ["Must be a picture"]})
        pictures = tuple(
            Rendition(name=name, content=name.encode() + b" of " + content, width=side, height=side)
            for name, side in sides
        )
        return Renditions(width=4000, height=3000, pictures=pictures)


class Provider:
    """A payment provider that remembers what it was asked for."""

    def __init__(self) -> None:
        self.intents: dict[str, PaymentIntent] = {}
        self.sent_back: dict[str, ProviderRefund] = {}
        self.disputed: list[ProviderDispute] = []
        self.down = False

    async def create_intent(
        self, *, amount: int, currency: str, metadata: Mapping[str, str], idempotency_key: str
    ) -> PaymentIntent:
        return self.intents.setdefault(
            idempotency_key,
            PaymentIntent(
                id=f"pi_{len(self.intents) + 1}",
                client_secret="secret",
                amount=amount,
                currency=currency,
                status="requires_payment_method",
                created_at=datetime(2026, 11, 21, tzinfo=UTC),
                metadata=dict(metadata),
            ),
        )

    async def confirm_intent(
        self, intent_id: str, payment_method: str, *, idempotency_key: str, return_url: str = ""
    ) -> PaymentIntent:
        """By the names of Stripe's test cards: declined, to be confirmed at the bank, or paid in a few days."""
        intent = await self.intent(intent_id)
        if intent.status in {"succeeded", "canceled", "processing"}:
            return intent
        match payment_method:
            case "pm_card_chargeDeclined":
                charge = f"ch_{idempotency_key}"
                why = {"failure_code": "card_declined", "failure_message": "Your card was declined."}
                return self.become(intent_id, "requires_payment_method", charge_id=charge, **why)
            case "pm_card_threeDSecure2Required":
                return self.become(intent_id, "requires_action", action_url=return_url)
            case "pm_usBankAccount_processing":
                return self.become(intent_id, "processing")
        return self.become(
            intent_id, "succeeded", brand="visa", last4="4242", failure_code="", failure_message=""
        )

    async def cancel_intent(self, intent_id: str) -> PaymentIntent:
        intent = await self.intent(intent_id)
        if intent.status in {"succeeded", "processing"}:
            return intent
        return self.become(intent_id, "canceled")

    async def refund(
        self, intent_id: str, amount: int, *, idempotency_key: str, metadata: Mapping[str, str]
    ) -> ProviderRefund:
        self._answers()
        refund = ProviderRefund(
            id=f"re_{len(self.sent_back) + 1}",
            amount=amount,
            status="succeeded",
            intent_id=intent_id,
            metadata=dict(metadata),
        )
        return self.sent_back.setdefault(idempotency_key, refund)

    async def refunds(self, intent_id: str) -> list[ProviderRefund]:
        self._answers()
        return [refund for refund in self.sent_back.values() if refund.intent_id == intent_id]

    async def disputes(self, intent_id: str) -> list[ProviderDispute]:
        self._answers()
        return [dispute for dispute in self.disputed if dispute.intent_id == intent_id]

    async def refunds_since(self, moment: datetime) -> list[ProviderRefund]:
        self._answers()
        return list(self.sent_back.values())

    async def disputes_since(self, moment: datetime) -> list[ProviderDispute]:
        self._answers()
        return list(self.disputed)

    def _answers(self) -> None:
        if self.down:
            raise PaymentProviderError("The payment provider does not answer")

    def become(self, intent_id: str, status: str, **changed: str) -> PaymentIntent:
        """What the provider says of an intent from now on."""
        key = next(key for key, intent in self.intents.items() if intent.id == intent_id)
        intent = msgspec.structs.replace(self.intents[key], status=status, **changed)
        self.intents[key] = intent
        return intent

    async def intent(self, intent_id: str) -> PaymentIntent:
        self._answers()
        found = next((intent for intent in self.intents.values() if intent.id == intent_id), None)
        if found is None:
            raise PaymentNotFoundError("Payment not found")
        return found


@dataclass
class Shop:
    keys: MemoryPersonKeys = field(default_factory=MemoryPersonKeys)
    clock: SteppedClock = field(default_factory=SteppedClock)
    provider: Provider = field(default_factory=Provider)
    objects: MemoryObjects = field(default_factory=MemoryObjects)
    has_categories: bool = False

    def __post_init__(self) -> None:
        self.codec = EventCodec(EVENTS, AGGREGATES, self.keys)
        self.log = MemoryEventLog(self.codec)
        self.store = EventStore(self.log, self.codec, self.keys, self.clock)
        self.numbers = MemoryNumbers()
        self.bus = self.bus_on(self.store)

    def bus_on(self, store: EventStore) -> CommandBus:
        return CommandBus(
            handlers(
                store=store,
                keys=self.keys,
                numbers=self.numbers,
                passwords=PlainPasswords(),
                payments=self.provider,
                clock=self.clock,
                traces=MemoryTraces(self.keys),
                objects=self.objects,
                images=PlainImages(),
                job_runs=MemoryJobRuns(),
                upload_max_size=5_242_880,
                session_lifetime=timedelta(days=7),
                conditions=Conditions(tariff=Tariff()),
            )
        )

    def another_store(self) -> EventStore:
        """What another process has of the same log."""
        return EventStore(self.log, self.codec, self.keys, self.clock)

    async def handle(self, command: object, metadata: Metadata = METADATA) -> Changed[Any]:
        return await self.bus.handle(command, metadata)

    async def events_after(self, position: int) -> list[Event]:
        return [recorded.event for recorded in await self.log.decode(await self.log.read(position, 1000))]

    async def rehash(self, account_id: AccountId, password_hash: str) -> None:
        """As if the account came from elsewhere."""
        await self.store.change(
            ACCOUNTS, account_id, lambda account: found(account).rehash_password(password_hash), METADATA
        )

    async def suspend(self, account_id: AccountId) -> None:
        nobody = AccountId(UUID(int=0))
        await self.handle(SuspendAccount(account_id=account_id, reason="tests", by=nobody))

    async def buyer(self, name: str = "emily") -> Caller:
        person = NewPerson(
            email=f"{name}@example.com", password="Secret123", profile=Profile(first_name=name)
        )
        command = RegisterAccount(person=person)
        signed_in: SignedIn = (await self.handle(command)).state
        return Caller(account_id=signed_in.account.id, number=signed_in.account.number)

    async def listing(
        self,
        *,
        stock: int = 10,
        price: int = 1000,
        title: str = "Thing",
        category: str = "things",
        seller_id: SellerId = HOUSE_SELLER,
        shipping_profile_id: UUID | None = None,
    ) -> Listing:
        if not self.has_categories:
            await self.handle(CreateCategory(name="Things", slug="things"))
            self.has_categories = True
        command = CreateListing(
            seller_id=seller_id,
            title=title,
            description="Worth having.",
            price=Money(price),
            discount_percentage=Decimal(0),
            category=category,
            stock=stock,
            images=("https://example.com/1.webp",),
            shipping_profile_id=shipping_profile_id,
            publish=True,
        )
        listing: Listing = (await self.handle(command)).state
        return listing

    async def shipping(self, seller_id: SellerId = HOUSE_SELLER, **fields: Any) -> UUID:
        """A shipping profile of a seller's own, who is opened for it where that is the house."""
        if seller_id == HOUSE_SELLER:
            await self.handle(OpenHouseSeller())
        profile = ShippingProfile(**{"name": "Own", "base_cost": Money(700), **fields})
        added: Shipping = (await self.handle(AddShippingProfile(seller_id=seller_id, profile=profile))).state
        return added.id

    async def order(self, buyer: Caller, *wanted: tuple[Listing, int], **fields: Any) -> Order:
        lines = tuple(WantedLine(listing_id=listing.id, quantity=quantity) for listing, quantity in wanted)
        command = PlaceOrder(caller=buyer, lines=lines, shipping_address=ADDRESS, **fields)
        order: Order = (await self.handle(command)).state
        return order

    async def now(self, decider: Decider[Any, Any], stream: Any) -> Any:
        return (await self.store.load(decider, stream)).state

    async def listing_now(self, listing: Listing) -> Listing:
        now: Listing = await self.now(LISTINGS, listing.id)
        return now

    async def cart_lines(self, buyer: Caller) -> dict[Any, int]:
        cart = await self.now(CARTS, cart_of(buyer.account_id))
        return dict(cart.lines) if cart else {}

    def paid(self, intent: PaymentIntent) -> RecordPaymentResult:
        return RecordPaymentResult(result=PaymentResult.SUCCEEDED, intent=intent)


class Counting(Shop):
    """Counts what is asked of the log."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.round_trips = 0
        append, histories = self.log.append, self.log.histories

        async def counted_append(appended: Any) -> int:
            self.round_trips += 1
            return await append(appended)

        async def counted_histories(wanted: Any) -> Any:
            self.round_trips += 1
            return await histories(wanted)

        self.log.append, self.log.histories = counted_append, counted_histories  # type: ignore[assignment, method-assign]
