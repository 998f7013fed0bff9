"""Searching as shoppers do, on OpenSearch while there is one; and making the index anew under their eyes."""

import asyncio
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from threading import Event
from typing import Any

import httpx
import psycopg
import pytest

from domain.accounts.events import Role
from tests.api.shop import Client, Shop, a_product, assert_problem, soon
from tests.conftest import FreshDatabase, require_opensearch
from workers.local.opensearch import OpenSearch


@pytest.fixture(scope="module")
def node(servers_folder: Path) -> Iterator[OpenSearch]:
    """One of our own: it goes away in the end."""
    require_opensearch()
    server = OpenSearch(servers_folder / "search-node")
    with asyncio.Runner() as runner:
        runner.run(server.start())
        yield server
        runner.run(server.stop())
    shutil.rmtree(servers_folder / "search-node", ignore_errors=True)


@pytest.fixture(scope="module")
def shop(node: OpenSearch, fresh_database: FreshDatabase, servers_folder: Path) -> Iterator[Shop]:
    with (
        fresh_database() as url,
        Shop(url, servers_folder / "searching", OPENSEARCH_URL=node.url) as shop,
    ):
        yield shop
    shutil.rmtree(servers_folder / "searching", ignore_errors=True)


@pytest.fixture(scope="module")
def admin(shop: Shop) -> Client:
    return shop.staff(Role.ADMIN)


@pytest.fixture(scope="module")
def category(admin: Client) -> str:
    slug: str = admin.made("/admin/categories", {"name": "Instruments"})["slug"]
    return slug


@pytest.fixture(scope="module")
def theremin(shop: Shop, admin: Client, category: str) -> dict[str, Any]:
    made = admin.made("/products/add", a_product(category, title="Moog Theremin", brand="Moog"))
    found(shop, "theremin")
    return made


def found(shop: Shop, words: str) -> list[int]:
    """What a shopper finds who has just seen all that happened, once the index has caught up with that."""

    def search() -> httpx.Response:
        position = {"X-Min-Log-Position": str(shop.head())}
        return shop.guest.get("/products/search", params={"q": words}, headers=position)

    soon(lambda: search().headers["x-search-engine"] == "opensearch", "the index", within=30)
    return [product["id"] for product in search().json()["products"]]


REPLAYED = ("product_search", "products", "search_words")


def served(admin: Client) -> dict[str, int]:
    return {name: admin.get(f"/admin/projections/{name}").json()["active"]["generation"] for name in REPLAYED}


class TestFindingWhatIsNew:
    def test_as_soon_as_it_is_published_and_no_longer_once_it_is_hidden(
        self, shop: Shop, admin: Client, category: str
    ) -> None:
        made = admin.made("/products", a_product(category, title="Ondes Martenot", status="draft"))

        def finds(numbers: list[int]) -> bool:
            """Somebody who has seen nothing yet, and does not wait for anything."""
            listed = shop.guest.get("/products/search", params={"q": "martenot"})
            shown = [product["id"] for product in listed.json()["products"]]
            return listed.headers["x-search-engine"] == "opensearch" and shown == numbers

        soon(partial(finds, []), "searching")
        for step, numbers in (("publish", [made["id"]]), ("unpublish", [])):
            assert admin.post(f"/products/{made['id']}/{step}").status_code == 200
            soon(partial(finds, numbers), step)


class TestSuggesting:
    def test_says_what_somebody_may_mean(self, shop: Shop, theremin: dict[str, Any]) -> None:
        answer = shop.guest.get("/search/suggest", params={"q": "mo"})
        assert answer.json() == {
            "suggestions": [
                {"text": "Moog", "kind": "brand", "slug": ""},
                {"text": "Moog Theremin", "kind": "product", "slug": theremin["slug"]},
            ]
        }
        assert answer.headers["x-search-engine"] == "opensearch"
        assert answer.headers["cache-control"] == "public, max-age=10"
        (category, *_) = shop.guest.get("/search/suggest", params={"q": "instr"}).json()["suggestions"]
        assert category == {"text": "Instruments", "kind": "category", "slug": "instruments"}
        typo = shop.guest.get("/search/suggest", params={"text": "thermein", "limit": 1}).json()[
            "suggestions"
        ]
        assert [each["text"] for each in typo] == ["Moog Theremin"]

    @pytest.mark.parametrize(
        ("query", "field"),
        [
            ("", "q"),
            ("q=", "q"),
            ("q=%20", "q"),
            ("q=" + "x" * 201, "q"),
            ("q=x&limit=0", "limit"),
            ("q=x&limit=21", "limit"),
        ],
    )
    def test_refuses_what_makes_no_sense(self, shop: Shop, query: str, field: str) -> None:
        assert_problem(shop.guest.get(f"/search/suggest?{query}"), 400, "VALIDATION_ERROR", field)


class TestReplaying:
    def test_is_for_admins(self, shop: Shop) -> None:
        assert_problem(shop.guest.post("/search/index/replay"), 401, "UNAUTHORIZED")
        assert_problem(shop.user().post("/search/index/replay"), 403, "FORBIDDEN")

    @pytest.mark.parametrize(
        ("body", "field"),
        [
            ({"from": -1}, "from"),
            ({"from": "yesterday"}, "from"),
            ({"from": 5, "to": 5}, "to"),
            ({"from": 5, "to": "2030-01-01T00:00:00Z"}, "to"),
            ({"types": ["listing.exploded"]}, "types"),
            ({"types": []}, "types"),
            ({"dryRun": "perhaps"}, "dryRun"),
        ],
    )
    def test_refuses_what_makes_no_sense(self, admin: Client, body: dict[str, Any], field: str) -> None:
        refused = admin.post("/search/index/replay", body)
        assert refused.status_code == 400, refused.text
        assert any(name.startswith(field) for name in refused.json()["details"]), refused.text

    def test_counts_what_there_is_without_doing_anything(
        self, shop: Shop, admin: Client, theremin: dict[str, Any]
    ) -> None:
        def counted(**body: Any) -> int:
            answer = admin.post("/search/index/replay", {**body, "dryRun": True})
            assert answer.status_code == 202
            assert answer.json()["requests"] == []
            replayed: int = answer.json()["replayed"]
            return replayed

        before = served(admin)
        head = shop.head()
        soon(lambda: admin.get("/admin/projections/audit_trail").json()["lag"] == 0, "the audit trail")
        assert counted(types=["listing.created"]) >= 1
        kinds = ("listing.created", "listing.updated", "listing.deleted")
        assert sum(counted(types=[kind]) for kind in kinds) == counted()
        assert counted(types=["listing.created", "listing.deleted"], to=head + 1) == counted(
            types=["listing.created", "listing.deleted"], **{"from": 0}
        )
        assert counted(**{"from": head + 1}) == 0
        assert counted(**{"from": "2020-01-01T00:00:00Z", "to": "2099-01-01T00:00:00Z"}) == counted()
        assert counted(to="2020-01-01T00:00:00+01:00") == 0
        nothing = admin.post("/search/index/replay", {"to": "2020-01-01T00:00:00Z"})
        assert (nothing.status_code, nothing.json()["replayed"], nothing.json()["requests"]) == (202, 0, [])
        assert served(admin) == before

    def test_builds_a_new_index_while_searches_go_on(
        self, shop: Shop, node: OpenSearch, admin: Client, category: str, theremin: dict[str, Any]
    ) -> None:
        before = served(admin)
        done = Event()

        def search() -> set[tuple[int, str, tuple[int, ...]]]:
            answers = set()
            with httpx.Client(base_url=f"{shop.origin}/api/v1", timeout=20) as http:
                while not done.is_set():
                    answer = http.get("/products/search", params={"q": "theremin"})
                    numbers = tuple(product["id"] for product in answer.json()["products"])
                    answers.add((answer.status_code, answer.headers["x-search-engine"], numbers))
            return answers

        with ThreadPoolExecutor() as threads:
            searching = [threads.submit(search) for _ in range(2)]
            try:
                started = admin.post("/search/index/replay", {"types": ["listing.created"]})
                assert started.status_code == 202, started.text
                assert started.json()["replayed"] >= 1
                again = admin.post("/search/index/replay")
                assert_problem(again, 409, "REPLAY_RUNNING")
                assert again.json()["details"]["projections"] == list(REPLAYED)
                soon(
                    lambda: all(now > before[name] for name, now in served(admin).items()),
                    "the replay",
                    within=60,
                )
            finally:
                done.set()
            answers = {answer for future in searching for answer in future.result()}
            assert (200, "opensearch", (theremin["id"],)) in answers
            # A machine that does a lot else may keep the node from answering in time.
            assert answers <= {(200, engine, (theremin["id"],)) for engine in ("opensearch", "postgres")}
        aliased = httpx.get(f"{node.url}/_alias/product_search").json()
        assert list(aliased) == [f"product_search_g{served(admin)['product_search']}"]
        later = admin.made("/products/add", a_product(category, title="Trautonium"))
        assert found(shop, "trautonium") == [later["id"]]

    def test_is_remembered_with_who_asked(self, shop: Shop, admin: Client) -> None:
        with psycopg.connect(shop.database_url) as connection:
            rows = connection.execute(
                "SELECT id, actor, name FROM projection_requests WHERE action = 'rebuild' ORDER BY id"
            ).fetchall()
        me = f"user:{admin.get('/auth/me').json()['uuid']}"
        assert {(actor, name) for _, actor, name in rows} == {(me, name) for name in REPLAYED}
        told = admin.get(f"/admin/projection-requests/{rows[0][0]}").json()
        assert (told["actor"], told["action"], told["outcome"] != "") == (me, "rebuild", True)
        assert told["requestedAt"] <= told["doneAt"]


class TestWithoutOpenSearch:
    """The last one here: the node does not come back."""

    def test_shoppers_go_on_finding(
        self, shop: Shop, node: OpenSearch, admin: Client, category: str, theremin: dict[str, Any]
    ) -> None:
        organs = [
            admin.made("/products/add", a_product(category, title=f"Organ {number}", price=10 + number))["id"]
            for number in range(3)
        ]
        assert set(found(shop, "organ")) == set(organs)
        node.kill()
        answer = shop.guest.get("/products/search", params={"q": "theremin"})
        assert (answer.status_code, answer.headers["x-search-engine"]) == (200, "postgres")
        assert [product["id"] for product in answer.json()["products"]] == [theremin["id"]]
        assert shop.guest.get(f"/products/{theremin['id']}").status_code == 200
        assert shop.guest.get("/products").json()["total"] >= 4
        late = admin.made("/products/add", a_product(category, title="Hurdy-gurdy"))
        listed = shop.guest.get(
            "/products/search",
            params={"q": "hurdy"},
            headers={"X-Min-Log-Position": str(shop.head())},
        )
        assert listed.headers["x-search-engine"] == "postgres"
        assert [product["id"] for product in listed.json()["products"]] == [late["id"]]
