"""Servers go away and come back; nobody restarts the API for that."""

import asyncio
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from domain.accounts.events import Role
from tests.api.shop import Client, Shop, a_product, assert_problem, soon
from workers.local.postgres import Postgres
from workers.local.process import free_port


class Breakable(Shop):
    """A shop with a Postgres of its own, and an OpenSearch that is not there."""

    def __init__(self, postgres: Postgres, folder: Path) -> None:
        super().__init__(postgres.url, folder, OPENSEARCH_URL=f"http://127.0.0.1:{free_port()}")
        self.postgres = postgres

    async def _is_whole(self) -> bool:
        async with httpx.AsyncClient(base_url=self.origin) as http:
            try:
                return (await http.get("/api/v1/products")).status_code == 200
            except httpx.TransportError:
                return False

    def health(self) -> tuple[int, str, set[str]]:
        response = httpx.get(f"{self.origin}/health", timeout=10)
        report: dict[str, Any] = response.json()
        down = {name for name, state in report["dependencies"].items() if state["status"] == "down"}
        return response.status_code, report["status"], down


@pytest.fixture(scope="module")
def shop(servers_folder: Path) -> Iterator[Breakable]:
    postgres = Postgres(servers_folder / "breakable-postgres", durable=False)
    with asyncio.Runner() as runner:
        runner.run(postgres.start())
        try:
            with Breakable(postgres, servers_folder / "breakable") as shop:
                yield shop
        finally:
            runner.run(postgres.stop())
    shutil.rmtree(servers_folder / "breakable", ignore_errors=True)


@pytest.fixture(scope="module")
def product(shop: Breakable) -> dict[str, Any]:
    admin = shop.staff(Role.ADMIN)
    category = admin.made("/admin/categories", {"name": "Smartphones"})["slug"]
    return admin.made("/products/add", a_product(category))


@pytest.fixture(scope="module")
def buyer(shop: Breakable, product: dict[str, Any]) -> Client:
    return shop.user()


def test_without_search_postgres_searches_and_says_so(
    shop: Breakable, product: dict[str, Any], buyer: Client
) -> None:
    assert shop.health() == (200, "degraded", {"search"})
    found = shop.guest.get(
        "/products/search", params={"q": "phone"}, headers={"X-Min-Log-Position": str(shop.head())}
    )
    assert found.headers["x-search-engine"] == "postgres"
    assert [one["id"] for one in found.json()["products"]] == [product["id"]]
    assert buyer.post("/cart", {"productId": product["id"]}).status_code == 201


def test_without_nats_commands_go_on_and_reads_follow(
    shop: Breakable, product: dict[str, Any], buyer: Client
) -> None:
    shop.nats.kill()
    soon(lambda: shop.health() == (200, "degraded", {"search", "nats"}), "noticing")
    added = buyer.post("/cart", {"productId": product["id"], "quantity": 3})
    assert added.status_code == 201
    shop.run(shop.nats.start())
    soon(lambda: shop.health()[2] == {"search"}, "recovery")
    position = {"X-Min-Log-Position": added.headers["x-log-position"]}
    soon(lambda: buyer.get("/cart", headers=position).status_code == 200, "catching up")
    assert buyer.get("/cart").json()["totalQuantity"] == added.json()["totalQuantity"]


def test_without_the_log_nothing_is_acknowledged_and_all_comes_back(
    shop: Breakable, product: dict[str, Any], buyer: Client
) -> None:
    before = buyer.post("/cart", {"productId": product["id"]}).json()["totalQuantity"]
    head = shop.head()
    shop.postgres.kill()
    soon(lambda: shop.health()[:2] == (503, "down"), "noticing")
    assert "log" in shop.health()[2]
    refused = buyer.post("/cart", {"productId": product["id"]})
    assert_problem(refused, 503, "SERVICE_UNAVAILABLE")
    assert int(refused.headers["retry-after"]) > 0
    with ThreadPoolExecutor() as threads:
        answers = list(threads.map(buyer.get, ("/products", "/cart", "/orders", "/categories")))
    for unread in answers:
        # The one where the read model is not known to hold what this reader has written.
        assert unread.json()["code"] in {"SERVICE_UNAVAILABLE", "READ_MODEL_BEHIND"}
        assert_problem(unread, 503, unread.json()["code"])
    shop.run(shop.postgres.start())
    soon(lambda: shop.health()[0] == 200, "recovery")
    assert shop.head() == head
    added = buyer.post("/cart", {"productId": product["id"]})
    assert added.status_code == 201, added.text
    assert added.json()["totalQuantity"] == before + 1
    soon(lambda: buyer.get("/cart").status_code == 200, "reading again")
