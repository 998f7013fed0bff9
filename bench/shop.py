"""A shop to put under load: real servers with fsync on, relay and projector, and as many API processes as asked for."""

from __future__ import annotations

import asyncio
import base64
import os
import secrets
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

import httpx

from application.accounts.people import SignedIn
from application.accounts.registering import NewPerson, RegisterAccount
from application.adapters.stripe_payments import WANTED_EVENTS
from application.bootstrap import WriteSide, write_side
from application.categories.creating import CreateCategory
from application.listings.creating import CreateListing
from application.ports import Metadata
from application.settings import Settings
from domain.accounts.events import Role
from domain.money import Money
from domain.sellers.events import HOUSE_SELLER
from workers.local.nats import Nats
from workers.local.opensearch import OpenSearch
from workers.local.postgres import Postgres
from workers.local.process import Process, free_port
from workers.local.stripe_simulator import StripeSimulator
from workers.migrating import migrate

PASSWORD = "Secret123"
METADATA = Metadata(actor="worker:bench")


@dataclass
class Shop:
    """``tokens`` are of buyers, one each; ``listings`` the integer ids of what is for sale.

    ``opensearch`` is none where the shop was opened without ``search``, ``stripe`` where it was without ``payments``.
    Stripe sends its messages to ``door``, a port that some API process is to listen on.
    """

    folder: Path
    environment: dict[str, str]
    postgres: Postgres
    write: WriteSide
    opensearch: OpenSearch | None = None
    stripe: StripeSimulator | None = None
    door: int = 0
    tokens: list[str] = field(default_factory=list)
    emails: list[str] = field(default_factory=list)
    listings: list[int] = field(default_factory=list)

    @asynccontextmanager
    async def api(self, *, database_url: str = "", port: int = 0) -> AsyncIterator[int]:
        """An API process of its own; yields its port."""
        port = port or free_port()
        changed = {"PORT": str(port)} | ({"DATABASE_URL": database_url} if database_url else {})
        async with self._process(f"api-{port}", "api", changed) as process:
            await process.until_ready(lambda: _answers(f"http://127.0.0.1:{port}/health"), within=30)
            yield port

    @asynccontextmanager
    async def server(
        self, name: str, target: str, *, factory: bool = False, environment: Mapping[str, str] | None = None
    ) -> AsyncIterator[int]:
        """Any other application on the API's own server, with the same settings."""
        port = free_port()
        command = [
            "uvicorn",
            target,
            "--host",
            "127.0.0.1",
            "--port",
            str(port),
            "--loop",
            "uvloop",
            "--http",
            "httptools",
        ]
        command += ["--ws", "none", "--no-access-log", "--no-server-header", "--no-proxy-headers"]
        command += ["--factory"] if factory else []
        full = [sys.executable, "-m", *command]
        process = Process(
            name,
            full,
            log_path=self.folder / f"{name}.log",
            environment={**self.environment, **(environment or {})},
        )
        process.start()
        try:
            await process.until_ready(lambda: _answers(f"http://127.0.0.1:{port}/"), within=30)
            yield port
        finally:
            await process.stop()

    @asynccontextmanager
    async def _process(self, name: str, module: str, changed: dict[str, str]) -> AsyncIterator[Process]:
        process = Process(
            name,
            [sys.executable, "-m", module],
            log_path=self.folder / f"{name}.log",
            environment=self.environment | changed,
        )
        process.start()
        try:
            yield process
        finally:
            await process.stop()

    @asynccontextmanager
    async def workers(self) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            for module in ("workers.relay", "workers.projector"):
                await stack.enter_async_context(self._process(module, module, {}))
            yield

    async def stock(self, count: int, *, units: int = 1_000_000) -> list[int]:
        """``count`` new listings with ``units`` each; their integer ids."""
        return list(await asyncio.gather(*(self._listing(units) for _ in range(count))))

    async def draft(self, title: str) -> int:
        """A listing that nobody finds yet; its integer id."""
        return await self._listing(1, title=title, publish=False)

    async def admin(self) -> str:
        """The access token of one."""
        return await self._somebody("admin", frozenset({Role.ADMIN}))

    async def buyers(self, count: int) -> list[str]:
        return list(await asyncio.gather(*(self._buyer(number) for number in range(count))))

    async def _listing(self, units: int, *, title: str = "", publish: bool = True) -> int:
        command = CreateListing(
            seller_id=HOUSE_SELLER,
            title=title or f"Thing {secrets.token_hex(6)}",
            description="Something that somebody wants, described in the words that somebody would use. " * 3,
            price=Money(1999),
            discount_percentage=Decimal("5.5"),
            category="things",
            brand="Acme",
            stock=units,
            images=("https://cdn.example.com/things/1.webp",),
            publish=publish,
        )
        number: int = (await self.write.bus.handle(command, METADATA)).state.number
        return number

    async def _buyer(self, number: int) -> str:
        return await self._somebody(f"buyer{number}", frozenset())

    async def _somebody(self, name: str, roles: frozenset[Role]) -> str:
        email = f"{name}-{secrets.token_hex(4)}@example.com"
        self.emails.append(email)
        command = RegisterAccount(person=NewPerson(email=email, password=PASSWORD, roles=roles))
        signed_in: SignedIn = (await self.write.bus.handle(command, METADATA)).state
        return self.write.tokens.access(signed_in, self.write.clock.now())


@asynccontextmanager
async def open_shop(
    *, buyers: int = 64, listings: int = 200, search: bool = False, payments: bool = False
) -> AsyncIterator[Shop]:
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tradelog-bench-")))
        postgres = await stack.enter_async_context(Postgres(folder / "postgres"))
        nats = await stack.enter_async_context(Nats(folder / "nats"))
        opensearch = await stack.enter_async_context(OpenSearch(folder / "opensearch")) if search else None
        door = free_port()
        stripe = None
        if payments:
            webhooks = f"http://127.0.0.1:{door}/api/v1/payments/stripe"
            stripe = await stack.enter_async_context(
                StripeSimulator(
                    folder / "stripe",
                    webhook_url=webhooks,
                    webhook_events=WANTED_EVENTS,
                    log_path=folder / "stripe.log",
                )
            )
        environment = dict(os.environ) | {
            **({"OPENSEARCH_URL": opensearch.url} if opensearch is not None else {}),
            **(_at_stripe(stripe) if stripe is not None else {}),
            "DATABASE_URL": postgres.url,
            "NATS_URL": nats.url,
            "JWT_SECRET": secrets.token_hex(32),
            "TRADELOG_MASTER_KEY": base64.b64encode(secrets.token_bytes(32)).decode(),
            "JWT_EXPIRES_IN": "1h",
            "LOG_LEVEL": "error",
            "RATE_LIMIT_ENABLED": "false",
            "HOST": "127.0.0.1",
        }
        await migrate(postgres.url)
        write = await stack.enter_async_context(write_side(Settings.read(environment)))
        shop = Shop(
            folder=folder,
            environment=environment,
            postgres=postgres,
            write=write,
            opensearch=opensearch,
            stripe=stripe,
            door=door,
        )
        await stack.enter_async_context(shop.workers())
        await write.bus.handle(CreateCategory(name="Things", slug="things"), METADATA)
        shop.listings = await shop.stock(listings)
        shop.tokens = await shop.buyers(buyers)
        yield shop


def _at_stripe(stripe: StripeSimulator) -> dict[str, str]:
    return {
        "STRIPE_API_BASE": stripe.url,
        "STRIPE_SECRET_KEY": stripe.key,
        "STRIPE_WEBHOOK_SECRET": stripe.webhook_secret,
    }


async def _answers(url: str) -> bool:
    try:
        async with httpx.AsyncClient() as client:
            return (await client.get(url)).status_code < 500
    except httpx.TransportError:
        return False
