"""The application: what is served under which path, and what is opened and closed around it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext, suppress
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final
from uuid import UUID

import psycopg
import structlog
from litestar import Litestar, Router
from litestar.datastructures import State
from litestar.di import Provide
from litestar.exceptions import HTTPException
from nats import errors as nats_errors
from nats.aio.client import Client
from nats.aio.msg import Msg

from api.addresses import AddressController
from api.admin_users import AdminUserController
from api.audit import AuditController
from api.authentication import Authenticator
from api.avatars import avatar_routes
from api.backend import BackendParts
from api.carts import CartController
from api.categories import CategoryController, KeptCategoryController
from api.checkout import CheckoutController
from api.client_address import ClientAddresses
from api.collections import CollectionController, KeptCollectionController
from api.commands import Acknowledged, Commands
from api.cookies import Cookies
from api.cors import Cors
from api.documentation import START_HASH, complete, document, openapi_config
from api.edge import MOST_BYTES, Edge
from api.exporting import ExportController
from api.fulfilment import CarrierController, FulfilmentController, KeptOrderController
from api.health import Dependency, Health, answers_on
from api.input import RequestBody
from api.inventory import InventoryReportController
from api.invoices import InvoiceController
from api.jobs import JobController
from api.jwks import JwksController
from api.known_categories import KnownCategories
from api.limits import Limits, within_limits
from api.listings import KeptListingController, ListingController
from api.mails import MailController
from api.media import ListingImageController, MediaController
from api.metrics import Metrics
from api.oauth import OAuthController
from api.operations import OperationsController
from api.orders import OrderController
from api.paging import Cursors
from api.payments import KeptPaymentController, PaymentController, StripeWebhookController
from api.problems import failed, refused, refused_by_framework, unavailable
from api.products import KeptProductController, ProductController
from api.projections import ProjectionController
from api.promotions import CouponController, KeptPromotionController, PromotionController
from api.reading import PATIENCE, Reading
from api.ready import ReadyAnswers
from api.reports import SalesReportController, SellerSalesController
from api.returns import RefundController, ReturnController
from api.reviews import ReviewController
from api.search import SearchController, SearchIndexController
from api.security_headers import for_documentation
from api.sellers import FollowController, SellerController, ShippingProfileController
from api.sessions import SessionController
from api.shipping import ShippingController
from api.sign_in import SignInController
from api.users import UserController
from api.wire import addressing
from api.wishlists import WishlistController
from application.adapters.keys import MasterKeys
from application.adapters.logs import configure, request_log
from application.adapters.mail.queue import PostgresMails
from application.adapters.rate_limits import PostgresRateLimits
from application.bootstrap import WriteSide, write_side
from application.cancelling import obey_cancellation
from application.collecting import collect_rarely
from application.settings import Settings
from domain.accounts.events import AccountErased
from domain.kernel import DomainError, tag_of
from projections.bootstrap import ReadSide, read_side

log = structlog.get_logger()

REVOCATIONS: Final = "events.*.sessions.session_revoked"
LOOK_EVERY: Final = 1.0
"""Seconds between two looks at how far the read models are, for what we should have been told and were not."""
OUTDATED: Final = "api.sessions.outdated"
"""By which API processes tell each other what they have ended, without waiting for the relay."""
ACCOUNTS: Final = "events.*.accounts.>"
"""Roles, suspensions, passwords: on what an account is, it depends what its sessions may."""


def create_app(settings: Settings, *, patience: float = PATIENCE) -> Litestar:
    """``patience`` is how many seconds a reader waits to see what it has been told already."""
    metrics = Metrics()
    answers = ReadyAnswers(most_bytes=settings.answer_cache_bytes)
    metrics.watch(answers)
    limits = Limits.of(settings)
    cookies = Cookies(
        [settings.jwt_secret, *settings.previous_secrets],
        secure=settings.app_env != "development",
        session_lifetime=settings.session_lifetime,
    )

    @asynccontextmanager
    async def backend(app: Litestar) -> AsyncIterator[None]:
        nats = Client() if settings.nats_url else None
        async with (
            write_side(settings, nats=nats, observe=metrics.written) as write,
            read_side(
                settings.database_url,
                nats=nats,
                opensearch_url=settings.opensearch_url,
                connections=settings.database_pool_size,
            ) as read,
        ):
            acknowledged = Acknowledged()
            parts = BackendParts(
                settings=settings,
                write=write,
                read=read,
                authenticator=Authenticator(write.tokens, write.store, write.clock),
                cookies=cookies,
                cursors=Cursors(MasterKeys.parse(settings.tradelog_master_key).derive("cursors")),
                acknowledged=acknowledged,
                commands=Commands(
                    write.bus, write.keys, acknowledged, addressed=addressing(settings.public_url)
                ),
                reading=Reading(read.positions, acknowledged, patience=patience),
                categories=KnownCategories(read.reads, answers),
                mails=PostgresMails(write.database),
            )
            # Whoever is not told by a message is told by the database.
            write.erasures.tell(parts.authenticator.forget_person)
            app.state.backend = parts
            app.state.authenticator = parts.authenticator
            app.state.metrics = metrics
            app.state.health = Health(_version(), _dependencies(settings, write, read, nats))
            app.state.clock = write.clock
            counters = PostgresRateLimits(write.database, write.keys.request_hash)
            async with (
                limits.shared_through(counters) if limits is not None else nullcontext(),
                _listening(settings.nats_url, nats, parts, answers),
            ):
                yield

    def provide_backend() -> BackendParts:
        parts: BackendParts = app.state.backend
        return parts

    app = Litestar(
        route_handlers=[
            OperationsController,
            JwksController,
            Router(
                "/api/v1",
                route_handlers=[
                    SignInController,
                    SessionController,
                    UserController,
                    AddressController,
                    ExportController,
                    AdminUserController,
                    avatar_routes(settings.upload_max_size),
                    MediaController,
                    ListingImageController,
                    OAuthController,
                    JwksController,
                    CategoryController,
                    KeptCategoryController,
                    CollectionController,
                    KeptCollectionController,
                    ProductController,
                    ListingController,
                    KeptListingController,
                    KeptProductController,
                    ReviewController,
                    WishlistController,
                    CartController,
                    OrderController,
                    CheckoutController,
                    ShippingController,
                    FulfilmentController,
                    KeptOrderController,
                    CarrierController,
                    ReturnController,
                    RefundController,
                    InvoiceController,
                    PaymentController,
                    KeptPaymentController,
                    StripeWebhookController,
                    SellerController,
                    FollowController,
                    ShippingProfileController,
                    PromotionController,
                    KeptPromotionController,
                    CouponController,
                    AuditController,
                    ProjectionController,
                    InventoryReportController,
                    MailController,
                    JobController,
                    SalesReportController,
                    SellerSalesController,
                    SearchController,
                    SearchIndexController,
                ],
            ),
        ],
        dependencies={"backend": Provide(provide_backend, sync_to_thread=False)},
        dto=RequestBody,
        return_dto=None,
        exception_handlers={
            DomainError: refused,
            HTTPException: refused_by_framework,
            # The others are a database in which nothing was made yet, at its first start, or in which what is served
            # was made by the program before this one, and today's is being built.
            psycopg.OperationalError: unavailable,
            psycopg.errors.UndefinedTable: unavailable,
            psycopg.errors.UndefinedColumn: unavailable,
            Exception: failed,
        },
        lifespan=[backend],
        openapi_config=openapi_config(_version()),
        request_max_body_size=MOST_BYTES,
        guards=[within_limits],
        state=State(
            {
                "limits": limits,
                "cookies": cookies,
                "login_failure_status": settings.login_failure_status,
            }
        ),
        logging_config=None,
        debug=False,
    )
    complete(app)
    app.asgi_handler = Edge(
        app.asgi_handler,
        metrics=metrics,
        answers=answers,
        cors=Cors(settings.origins),
        addresses=ClientAddresses(settings.proxies),
        limits=limits,
        documentation=for_documentation(START_HASH),
        snake_case=settings.wire_case == "snake",
        log=request_log(),
    )
    return app


def application() -> Litestar:
    """What each worker process of the server makes for itself."""
    settings = Settings.read(os.environ)
    configure(settings.log_level, settings.log_format)
    app = create_app(settings)
    collect_rarely()
    return app


def openapi_document() -> dict[str, Any]:
    """The API's description, for which nothing needs to run."""
    nobody = Settings(database_url="", jwt_secret="x" * 32, tradelog_master_key="")
    return document(create_app(nobody))


@asynccontextmanager
async def _listening(
    url: str, nats: Client | None, parts: BackendParts, answers: ReadyAnswers
) -> AsyncIterator[None]:
    """Hear of what others did: how far the read models are, and which sessions have ended."""
    if nats is None:
        yield
        return
    positions, authenticator = parts.read.positions, parts.authenticator
    positions.tell(answers)

    async def lost() -> None:
        answers.follow(False)
        authenticator.listen(False)

    async def found() -> None:
        authenticator.listen(True)
        answers.follow(True)
        await positions.look()

    async def wrong(error: Exception) -> None:
        log.warning("nats", error=str(error) or type(error).__name__)

    async def listen() -> None:
        # Tries for ever: NATS may come later than we do.
        await nats.connect(
            url,
            name="api",
            max_reconnect_attempts=-1,
            reconnect_time_wait=0.25,  # type: ignore[arg-type]  # only ever slept
            connect_timeout=2,
            ping_interval=5,
            error_cb=wrong,
            disconnected_cb=lost,
            reconnected_cb=found,
        )
        await positions.listen(nats)
        await _hear_of_sessions(nats, parts)
        with suppress(nats_errors.Error):  # lost again meanwhile: then `reconnected_cb` finds it
            await nats.flush()  # the server has our subscriptions: from here on what happens is told to us
            await found()

    async def look() -> None:
        while True:
            obey_cancellation()
            await asyncio.sleep(LOOK_EVERY)
            await positions.look()

    tasks = [asyncio.create_task(listen(), name="nats"), asyncio.create_task(look(), name="positions")]
    try:
        yield
    finally:
        await lost()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await nats.close()


async def _hear_of_sessions(nats: Client, parts: BackendParts) -> None:
    authenticator = parts.authenticator
    telling: set[asyncio.Task[None]] = set()

    def tell(what: str, which: UUID) -> None:
        if nats.is_connected:
            task = asyncio.create_task(nats.publish(OUTDATED, f"{what} {which}".encode()))
            telling.add(task)
            task.add_done_callback(telling.discard)

    async def outdated(message: Msg) -> None:
        what, _, which = message.data.decode().partition(" ")
        authenticator.hear(what, UUID(which))

    async def revoked(message: Msg) -> None:
        if message.headers:
            authenticator.forget(UUID(message.headers["Tradelog-Stream"]))

    async def changed(message: Msg) -> None:
        if message.headers:
            account_id = UUID(message.headers["Tradelog-Stream"])
            authenticator.forget_account(account_id)
            if message.headers["Tradelog-Tag"] == tag_of(AccountErased):
                parts.write.store.forget(account_id)
                authenticator.forget_person(account_id)

    await nats.subscribe(OUTDATED, cb=outdated)
    await nats.subscribe(REVOCATIONS, cb=revoked)
    await nats.subscribe(ACCOUNTS, cb=changed)
    authenticator.announce_by(tell)


def _dependencies(
    settings: Settings, write: WriteSide, read: ReadSide, nats: Client | None
) -> dict[str, Dependency]:
    dependencies = {"log": Dependency(probe=write.log.head, required=True)}
    if nats is not None:
        dependencies["nats"] = Dependency(probe=partial(_answers, nats))
    if read.opensearch is not None:
        dependencies["search"] = Dependency(probe=read.opensearch.ping, engine="opensearch")
    else:
        dependencies["search"] = Dependency(probe=write.log.head, engine="postgres")
    mail = f"{settings.smtp_host}:{settings.smtp_port}" if settings.smtp_host else ""
    for name, url in (
        ("storage", settings.s3_endpoint),
        ("mail", mail),
        ("payments", settings.stripe_api_base),
    ):
        if url:
            dependencies[name] = Dependency(probe=partial(answers_on, url))
    return dependencies


async def _answers(nats: Client) -> bool:
    if nats.is_connected:
        await nats.flush(timeout=1)
    return nats.is_connected


def _version() -> str:
    try:
        return version("tradelog")
    except PackageNotFoundError:
        return "0.1.0"
