"""The application: what is served under which path, and what is opened and closed around it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final
from uuid import UUID

import psycopg
import structlog
from litestar import Litestar, Router
from litestar.config.cors import CORSConfig
from litestar.di import Provide
from litestar.exceptions import HTTPException
from nats.aio.client import Client
from nats.aio.msg import Msg

from api.accounts import AuthController, UserController
from api.audit import AuditController
from api.authentication import Authenticator
from api.backend import BackendParts
from api.carts import CartController
from api.categories import CategoryController
from api.commands import Acknowledged, Commands
from api.documentation import complete, document, openapi_config
from api.edge import MOST_BYTES, Edge
from api.health import Dependency, Health, answers_on
from api.input import RequestBody
from api.metrics import Metrics
from api.operations import OperationsController
from api.orders import OrderController
from api.payments import PaymentController, StripeWebhookController
from api.problems import failed, refused, refused_by_framework, unavailable
from api.products import ProductController
from api.projections import ProjectionController, SearchIndexController
from api.reading import PATIENCE, Reading
from api.ready import ReadyProducts
from application.adapters.logs import configure
from application.bootstrap import WriteSide, write_side
from application.settings import Settings
from domain.kernel import DomainError
from projections.bootstrap import ReadSide, read_side

log = structlog.get_logger()

REVOCATIONS: Final = "events.*.sessions.session_revoked"

_EXPOSED: Final = [
    "X-Request-ID",
    "X-Log-Position",
    "ETag",
    "Retry-After",
    "Idempotency-Replayed",
    "X-Search-Engine",
]


def create_app(settings: Settings, *, patience: float = PATIENCE) -> Litestar:
    """``patience`` is how many seconds a reader waits to see what it has been told already."""
    metrics = Metrics()
    products = ReadyProducts()

    @asynccontextmanager
    async def backend(app: Litestar) -> AsyncIterator[None]:
        nats = Client() if settings.nats_url else None
        async with (
            write_side(settings, nats=nats, observe=metrics.written) as write,
            read_side(settings.database_url, nats=nats, opensearch_url=settings.opensearch_url) as read,
        ):
            acknowledged = Acknowledged()
            parts = BackendParts(
                settings=settings,
                write=write,
                read=read,
                authenticator=Authenticator(write.tokens, write.store, write.clock),
                acknowledged=acknowledged,
                commands=Commands(write.bus, write.keys, acknowledged),
                reading=Reading(read.positions, acknowledged, patience=patience),
                ready_products=products,
            )
            app.state.backend = parts
            app.state.authenticator = parts.authenticator
            app.state.metrics = metrics
            app.state.health = Health(_version(), _dependencies(settings, write, read, nats))
            async with _listening(settings.nats_url, nats, parts):
                yield

    def provide_backend() -> BackendParts:
        parts: BackendParts = app.state.backend
        return parts

    app = Litestar(
        route_handlers=[
            OperationsController,
            Router(
                "/api/v1",
                route_handlers=[
                    AuthController,
                    UserController,
                    CategoryController,
                    ProductController,
                    CartController,
                    OrderController,
                    PaymentController,
                    StripeWebhookController,
                    AuditController,
                    ProjectionController,
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
            # The latter is a database in which nothing was made yet: its first start is still going on.
            psycopg.OperationalError: unavailable,
            psycopg.errors.UndefinedTable: unavailable,
            Exception: failed,
        },
        lifespan=[backend],
        openapi_config=openapi_config(_version()),
        request_max_body_size=MOST_BYTES,
        cors_config=CORSConfig(
            allow_origins=[origin.strip() for origin in settings.cors_origins.split(",")],
            allow_credentials=True,
            expose_headers=_EXPOSED,
        ),
        logging_config=None,
        debug=False,
    )
    complete(app)
    app.asgi_handler = Edge(
        app.asgi_handler, metrics=metrics, products=products, snake_case=settings.wire_case == "snake"
    )
    return app


def application() -> Litestar:
    """What each worker process of the server makes for itself."""
    settings = Settings.read(os.environ)
    configure(settings.log_level, settings.log_format)
    return create_app(settings)


def openapi_document() -> dict[str, Any]:
    """The API's description, for which nothing needs to run."""
    nobody = Settings(database_url="", jwt_secret="x" * 32, tradelog_master_key="")
    return document(create_app(nobody))


@asynccontextmanager
async def _listening(url: str, nats: Client | None, parts: BackendParts) -> AsyncIterator[None]:
    """Hear of what others did: how far the read models are, and which sessions have ended."""
    if nats is None:
        yield
        return
    positions, products = parts.read.positions, parts.ready_products

    async def lost() -> None:
        products.follow(None)

    async def found() -> None:
        products.follow(positions)

    async def wrong(error: Exception) -> None:
        log.warning("nats", error=str(error) or type(error).__name__)

    async def revoked(message: Msg) -> None:
        if message.headers:
            session_id = UUID(message.headers["Tradelog-Stream"])
            parts.authenticator.forget(session_id)

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
        await nats.subscribe(REVOCATIONS, cb=revoked)
        await found()

    connecting = asyncio.create_task(listen(), name="nats")
    try:
        yield
    finally:
        products.follow(None)
        connecting.cancel()
        with suppress(asyncio.CancelledError):
            await connecting
        await nats.close()


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
