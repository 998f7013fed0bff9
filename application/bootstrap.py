"""The write side, put together: the log, what handlers need, and the bus that finds a command's handler."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

from nats.aio.client import Client

from application import ports
from application.accounts.registering import RegisterAccount, register_account
from application.accounts.roles import GrantRole, grant_role
from application.accounts.signing_in import LogIn, LogOut, RefreshSession, log_in, log_out, refresh_session
from application.adapters.clock import SystemClock
from application.adapters.codec import EventCodec
from application.adapters.database import Database
from application.adapters.doorbell import NatsDoorbell, NoDoorbell
from application.adapters.event_log import PostgresEventLog
from application.adapters.event_store import EventStore
from application.adapters.group_commit import Written
from application.adapters.keys import MasterKeys, PostgresPersonKeys
from application.adapters.numbers import PostgresNumbers
from application.adapters.passwords import Argon2Passwords
from application.adapters.stripe_payments import StripePayments
from application.adapters.tokens import Tokens
from application.bus import CommandBus, Handler
from application.carts.filling import AddToCart, ChangeCartItem, add_to_cart, change_cart_item
from application.categories.creating import CreateCategory, create_category
from application.listings.changing import (
    ChangeListing,
    PublishListing,
    UnpublishListing,
    change_listing,
    publish_listing,
    unpublish_listing,
)
from application.listings.creating import CreateListing, create_listing
from application.orders.placing import PlaceOrder, place_order
from application.payments.paying import (
    ConfirmPayment,
    RecordPaymentResult,
    RequestPayment,
    confirm_payment,
    record_payment_result,
    request_payment,
)
from application.reviews.importing import ImportReview, import_review
from application.settings import Settings
from domain.orders.pricing import Tariff
from domain.registry import AGGREGATES, EVENTS


@dataclass(frozen=True, kw_only=True)
class WriteSide:
    bus: CommandBus
    store: EventStore
    log: PostgresEventLog
    database: Database
    keys: PostgresPersonKeys
    tokens: Tokens
    payments: StripePayments
    clock: SystemClock


def handlers(
    *,
    store: ports.EventStore,
    keys: ports.Keys,
    numbers: ports.Numbers,
    passwords: ports.Passwords,
    payments: ports.PaymentProvider,
    clock: ports.Clock,
    session_lifetime: timedelta,
    tariff: Tariff,
) -> dict[type, Handler]:
    """Every command's handler, with what it needs."""
    return {
        RegisterAccount: partial(
            register_account,
            store=store,
            keys=keys,
            numbers=numbers,
            passwords=passwords,
            clock=clock,
            session_lifetime=session_lifetime,
        ),
        LogIn: partial(
            log_in,
            store=store,
            keys=keys,
            passwords=passwords,
            clock=clock,
            session_lifetime=session_lifetime,
        ),
        RefreshSession: partial(refresh_session, store=store, clock=clock, session_lifetime=session_lifetime),
        LogOut: partial(log_out, store=store),
        GrantRole: partial(grant_role, store=store),
        CreateCategory: partial(create_category, store=store, keys=keys, numbers=numbers),
        CreateListing: partial(create_listing, store=store, keys=keys, numbers=numbers),
        ChangeListing: partial(change_listing, store=store),
        PublishListing: partial(publish_listing, store=store),
        UnpublishListing: partial(unpublish_listing, store=store),
        ImportReview: partial(import_review, store=store, numbers=numbers),
        AddToCart: partial(add_to_cart, store=store),
        ChangeCartItem: partial(change_cart_item, store=store),
        PlaceOrder: partial(
            place_order, store=store, numbers=numbers, clock=clock, payments=payments, tariff=tariff
        ),
        RequestPayment: partial(request_payment, store=store, payments=payments),
        ConfirmPayment: partial(confirm_payment, store=store, payments=payments, clock=clock),
        RecordPaymentResult: partial(record_payment_result, store=store, clock=clock),
    }


@asynccontextmanager
async def write_side(
    settings: Settings,
    *,
    nats: Client | None = None,
    observe: Callable[[Written], None] | None = None,
) -> AsyncIterator[WriteSide]:
    """The write side, open. It opens also while the database is away, and is whole as soon as that is back."""
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(Database(settings.database_url))
        keys = PostgresPersonKeys(database, MasterKeys.parse(settings.tradelog_master_key))
        codec = EventCodec(EVENTS, AGGREGATES, keys)
        doorbell = await stack.enter_async_context(NatsDoorbell(nats)) if nats is not None else NoDoorbell()
        log = await stack.enter_async_context(
            PostgresEventLog.on(database, codec, doorbell=doorbell, observe=observe)
        )
        clock = SystemClock()
        store = await stack.enter_async_context(EventStore(log, codec, keys, clock))
        passwords = Argon2Passwords()
        stack.callback(passwords.close)
        payments = StripePayments(
            settings.stripe_secret_key,
            settings.stripe_webhook_secret,
            api_base=settings.stripe_api_base or None,
        )
        stack.push_async_callback(payments.close)
        bus = CommandBus(
            handlers(
                store=store,
                keys=keys,
                numbers=PostgresNumbers(database),
                passwords=passwords,
                payments=payments,
                clock=clock,
                session_lifetime=settings.session_lifetime,
                tariff=Tariff(tax_rate=settings.tax_rate),
            )
        )
        yield WriteSide(
            bus=bus,
            store=store,
            log=log,
            database=database,
            keys=keys,
            tokens=Tokens(settings.jwt_secret, lifetime=settings.access_lifetime),
            payments=payments,
            clock=clock,
        )
