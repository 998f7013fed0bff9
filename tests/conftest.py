"""Real servers for tests: started on first use, one per session where sharing is safe, gone with the session.

Unit tests ask for none of these and so open no socket.
"""

import asyncio
import os
import shutil
import tempfile
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TypeAlias

import psycopg
import pytest
from psycopg import sql

from workers.local import opensearch
from workers.local.doubles import ObjectStore
from workers.local.nats import Nats
from workers.local.opensearch import OpenSearch
from workers.local.postgres import Postgres
from workers.local.stripe_simulator import StripeSimulator

FreshDatabase: TypeAlias = Callable[[], AbstractContextManager[str]]


@pytest.fixture(scope="session")
def servers_folder() -> Iterator[Path]:
    """Where test servers keep their data: not pytest's own folder, which other system users may not enter."""
    folder = Path(tempfile.mkdtemp(prefix="tradelog-tests-"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres_server(servers_folder: Path) -> Iterator[Postgres]:
    """One server for the session. It does not flush: only the death of a *client* is tested on it."""
    server = Postgres(servers_folder / "postgres", durable=False)
    with asyncio.Runner() as runner:
        runner.run(server.start())
        yield server
        runner.run(server.stop())


@pytest.fixture(scope="session")
def postgres_url(postgres_server: Postgres) -> str:
    """The server's own database, for making others; tests take `database_url`."""
    return postgres_server.url


@pytest.fixture(scope="session")
def fresh_database(postgres_server: Postgres) -> FreshDatabase:
    """`with fresh_database() as url`: an empty database for as long as the block lasts."""

    @contextmanager
    def make() -> Iterator[str]:
        name = f"test_{uuid.uuid4().hex}"
        administer(postgres_server.url, sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        try:
            yield postgres_server.url_for(name)
        finally:
            # By force: a test that killed its client leaves connections behind.
            drop = sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name))
            administer(postgres_server.url, drop)

    return make


@pytest.fixture
def database_url(fresh_database: FreshDatabase) -> Iterator[str]:
    """An empty Postgres database of this test's own."""
    with fresh_database() as url:
        yield url


@pytest.fixture(scope="module")
def module_database_url(fresh_database: FreshDatabase) -> Iterator[str]:
    """An empty Postgres database that the tests of one module share."""
    with fresh_database() as url:
        yield url


@pytest.fixture(scope="session")
def object_store(servers_folder: Path) -> Iterator[ObjectStore]:
    """One S3 server for the session; whoever uses it has a bucket of their own there."""
    server = ObjectStore(servers_folder / "s3")
    with asyncio.Runner() as runner:
        runner.run(server.start())
        yield server
        runner.run(server.stop())


@pytest.fixture
async def nats_server(servers_folder: Path) -> AsyncIterator[Nats]:
    """A NATS server of this test's own, with empty streams: it may be killed, wiped and started again."""
    folder = servers_folder / f"nats-{uuid.uuid4().hex}"
    async with Nats(folder) as server:
        yield server
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def nats_url(nats_server: Nats) -> str:
    """The address of this test's own NATS server."""
    return nats_server.url


@pytest.fixture(scope="session")
def opensearch_server(servers_folder: Path) -> Iterator[OpenSearch]:
    """One node for the session."""
    require_opensearch()
    server = OpenSearch(servers_folder / "opensearch")
    with asyncio.Runner() as runner:
        runner.run(server.start())
        yield server
        runner.run(server.stop())


@pytest.fixture
def opensearch_url(opensearch_server: OpenSearch) -> str:
    """The node's address; it is shared, so each test names its indexes after itself."""
    return opensearch_server.url


@pytest.fixture(scope="session")
def stripe_simulator(servers_folder: Path) -> Iterator[StripeSimulator]:
    """One Stripe for the session, without webhooks; a test that wants those starts its own with a `webhook_url`."""
    simulator = StripeSimulator(servers_folder / "stripe")
    with asyncio.Runner() as runner:
        runner.run(simulator.start())
        yield simulator
        runner.run(simulator.stop())


def require_opensearch() -> None:
    """Where no node can run, tests skip, or fail where the run insists on it (CI does)."""
    reason = opensearch.available()
    if reason is not None:
        message = f"no OpenSearch node here: {reason}"
        if os.environ.get("TRADELOG_REQUIRE_OPENSEARCH") == "1":
            pytest.fail(message)
        pytest.skip(message)


def administer(url: str, statement: sql.Composed) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statement)
