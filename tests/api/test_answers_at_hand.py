"""Everybody's answers at hand: never older than who asks may see, gone when what is in them changes."""

import asyncio
import shutil
import uuid
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from domain.accounts.events import Role
from tests.api.shop import Client, Shop, a_product, assert_problem, soon
from tests.conftest import FreshDatabase


@pytest.fixture(scope="module")
def another(shop: Shop) -> Iterator[str]:
    with shop.another_api() as origin:
        yield origin


@pytest.fixture
def shelf(admin: Client) -> str:
    """A category of this test's own."""
    slug: str = admin.made("/admin/categories", {"name": f"Shelf {uuid.uuid4().hex[:8]}"})["slug"]
    return slug


def measure(origin: str, name: str) -> float:
    text = httpx.get(f"{origin}/metrics").text
    (line,) = [line for line in text.splitlines() if line.startswith(f"{name} ")]
    return float(line.split()[1])


def is_at_hand(client: Client, origin: str, path: str) -> bool:
    """Whether no route was asked for it."""
    before = measure(origin, "tradelog_answers_at_hand_hits_total")
    assert client.get(path).status_code == 200
    return measure(origin, "tradelog_answers_at_hand_hits_total") == before + 1


def held(shop: Shop, *paths: str) -> None:
    """See to it that these are at hand; all that was done before is in them."""
    for path in paths:
        assert shop.guest.get(path, headers={"X-Min-Log-Position": str(shop.head())}).status_code == 200
        soon(partial(is_at_hand, shop.guest, shop.origin, path), f"{path} being at hand")


def position(response: httpx.Response) -> dict[str, str]:
    assert response.is_success, response.text
    return {"X-Min-Log-Position": response.headers["x-log-position"]}


class TestOwnChanges:
    """Whoever has changed something sees it at once, by whatever tells us that it was them."""

    @pytest.mark.parametrize("by", ["header", "cookie", "token"])
    def test_are_never_hidden(self, shop: Shop, admin: Client, another: str, shelf: str, *, by: str) -> None:
        product = admin.made("/products/add", a_product(shelf))
        path, listed = f"/products/{product['id']}", f"/products/category/{shelf}?limit=20&minPrice=1"
        readers = [shop.client(), shop.client(origin=another)]
        writer = admin if by == "token" else None
        for price in range(10, 30):
            changed = admin.patch(path, {"price": price})
            told = position(changed)
            if by == "cookie":
                told = {"Cookie": f"logPosition={changed.cookies['logPosition']}"}
            for reader in [writer] if writer else readers:
                headers = {} if by == "token" else told
                assert reader.get(path, headers=headers).json()["price"] == price
                (seen,) = reader.get(listed, headers=headers).json()["products"]
                assert seen["price"] == price
                # And what is at hand from now on is not what it was before.
                assert reader.get(path, headers=headers).json()["price"] == price

    def test_a_position_that_is_included_is_answered_at_hand(
        self, shop: Shop, product: dict[str, Any]
    ) -> None:
        path = f"/products/{product['id']}"
        held(shop, path)
        for headers in (
            {"X-Min-Log-Position": "1"},
            {"Cookie": "theme=dark; logPosition=1"},
            {"Cookie": "theme=dark"},
        ):
            before = measure(shop.origin, "tradelog_answers_at_hand_hits_total")
            assert shop.guest.get(path, headers=headers).json()["id"] == product["id"]
            assert measure(shop.origin, "tradelog_answers_at_hand_hits_total") == before + 1

    def test_who_says_who_they_are_is_looked_at_first(
        self, shop: Shop, product: dict[str, Any], buyer: Client
    ) -> None:
        path = f"/products/{product['id']}"
        held(shop, path)
        before = measure(shop.origin, "tradelog_answers_at_hand_hits_total")
        for headers in ({"Authorization": "Bearer nonsense"}, {"Cookie": "accessToken=nonsense"}):
            assert shop.guest.get(path, headers=headers).json()["id"] == product["id"]
        assert shop.guest.get(path, headers={"X-Min-Log-Position": "soon"}).status_code == 400
        assert buyer.get(path).status_code == 200
        assert measure(shop.origin, "tradelog_answers_at_hand_hits_total") == before

    def test_that_nothing_is_kept_is_for_who_keeps_it(self, shop: Shop, admin: Client) -> None:
        """What an admin was told, be it nothing, must not be at hand for those who are not to ask."""
        nowhere = f"category=nowhere-{uuid.uuid4().hex[:8]}"
        public = f"/products?{nowhere}"
        for path in (f"/admin/products?{nowhere}", f"{public}&status=draft", f"{public}&seller=me"):
            # Of two such answers the second one is at hand once answers are held at all.
            held(shop, public)
            told = {"X-Min-Log-Position": str(shop.head())}
            assert admin.get(path, headers=told).json()["total"] == 0
            assert_problem(shop.guest.get(path), 401, "UNAUTHORIZED")

    def test_a_category_is_there_for_who_made_it(self, shop: Shop, admin: Client) -> None:
        paths = ("/categories", "/products/categories", "/products/category-list")
        held(shop, *paths)
        made = admin.post("/admin/categories", {"name": f"Lamps {uuid.uuid4().hex[:8]}"})
        for path in paths:
            seen = shop.guest.get(path, headers=position(made)).json()
            assert made.json()["slug"] in {each if isinstance(each, str) else each["slug"] for each in seen}

    def test_a_collection_is_as_it_was_arranged(
        self, shop: Shop, admin: Client, product: dict[str, Any]
    ) -> None:
        made = admin.made("/admin/collections", {"name": f"Picks {uuid.uuid4().hex[:8]}"})
        path = f"/collections/{made['slug']}/products"
        held(shop, "/collections", f"/collections/{made['slug']}", path)
        added = admin.post(f"/admin/collections/{made['id']}/products", {"products": [product["id"]]})
        seen = shop.guest.get(path, headers=position(added)).json()["products"]
        assert [each["id"] for each in seen] == [product["id"]]
        held(shop, path)
        priced = admin.patch(f"/products/{product['id']}", {"price": 3})
        (seen,) = shop.guest.get(path, headers=position(priced)).json()["products"]
        assert seen["price"] == 3


class TestChangesOfOthers:
    def test_are_seen_by_everybody_once_the_read_model_has_them(
        self, shop: Shop, admin: Client, another: str, shelf: str
    ) -> None:
        product = admin.made("/products/add", a_product(shelf))
        path, guest = f"/products/{product['id']}", shop.client(origin=another)
        held(shop, path)
        assert guest.get(path).status_code == 200
        admin.patch(path, {"price": 7})

        def prices() -> set[float]:
            return {reader.get(path).json()["price"] for reader in (shop.guest, guest)}

        soon(lambda: prices() == {7}, "the price being seen")

    def test_a_sale_leaves_lists_that_do_not_show_it(self, shop: Shop, admin: Client, shelf: str) -> None:
        sold = admin.made("/products/add", a_product(shelf, brand="Sold", stock=9))
        admin.made("/products/add", a_product(shelf, brand="Kept"))
        path = f"/products/category/{shelf}"
        shows, others = f"{path}?brand=Sold", f"{path}?brand=Kept&inStock=true"
        held(shop, shows, others, "/categories")
        changed = admin.patch(f"/products/{sold['id']}", {"stock": 8})
        seen = shop.guest.get(shows, headers=position(changed)).json()["products"]
        assert [each["stock"] for each in seen] == [8]
        assert is_at_hand(shop.guest, shop.origin, others)
        assert is_at_hand(shop.guest, shop.origin, "/categories")
        gone = admin.patch(f"/products/{sold['id']}", {"stock": 0})
        assert shop.guest.get(others, headers=position(gone)).json()["total"] == 1
        assert shop.guest.get(f"{path}?brand=Sold&inStock=true", headers=position(gone)).json()["total"] == 0

    def test_what_is_new_is_in_the_lists_it_belongs_to(self, shop: Shop, admin: Client, shelf: str) -> None:
        listed = [f"/products/category/{shelf}", f"/products?category={shelf}", "/products/search?q=zeppelin"]
        held(shop, *listed)
        added = admin.post("/products/add", a_product(shelf, title="A zeppelin"))
        for path in listed:
            seen = shop.guest.get(path, headers=position(added)).json()["products"]
            assert added.json()["id"] in [each["id"] for each in seen]

    def test_a_draft_is_nothing_to_them(self, shop: Shop, shelf: str) -> None:
        listed = f"/products/category/{shelf}"
        held(shop, listed)
        seller = shop.user("/auth/signup")
        draft = seller.post("/listings", a_product(shelf))
        shop.guest.get("/products/999999", headers=position(draft))  # the read model has it
        assert is_at_hand(shop.guest, shop.origin, listed)

    def test_a_suspended_sellers_products_are_gone_from_them(
        self, shop: Shop, admin: Client, shelf: str
    ) -> None:
        seller = shop.user("/auth/signup")
        mine = seller.made("/listings", a_product(shelf, status="active"))
        listed, path = f"/products/category/{shelf}?limit=20", f"/products/{mine['id']}"
        held(shop, listed, path)
        suspended = admin.post(f"/admin/sellers/{mine['sellerId']}/suspend", {"reason": "Fakes"})
        assert shop.guest.get(listed, headers=position(suspended)).json()["products"] == []
        assert shop.guest.get(path, headers=position(suspended)).status_code == 404
        for gone in (
            lambda: shop.guest.get(listed).json()["total"] == 0,
            lambda: shop.guest.get(path).is_error,
        ):
            soon(gone, "the suspension being seen")
        back = admin.post(f"/admin/sellers/{mine['sellerId']}/reinstate", {})
        assert shop.guest.get(listed, headers=position(back)).json()["total"] == 1

    def test_a_review_is_in_the_product(self, shop: Shop, product: dict[str, Any], buyer: Client) -> None:
        path = f"/products/{product['id']}"
        held(shop, path)
        review = buyer.post(f"{path}/reviews", {"rating": 4, "comment": "Does what it should"})
        assert shop.guest.get(path, headers=position(review)).json()["rating"] == 4


class TestRevalidating:
    def test_what_has_not_changed_is_not_sent_again(
        self, shop: Shop, admin: Client, product: dict[str, Any], buyer: Client
    ) -> None:
        path = f"/products/{product['id']}"
        for client in (shop.guest, buyer):  # made by the framework, and at hand
            held(shop, path)
            first = client.get(path)
            tag = first.headers["etag"]
            for given in (tag, f"W/{tag}", f'"other", {tag}', "*"):
                again = client.get(path, headers={"If-None-Match": given})
                assert (again.status_code, again.content) == (304, b"")
                assert again.headers["etag"] == tag
                assert "content-type" not in again.headers
                assert again.headers["cache-control"] == first.headers["cache-control"]
                assert again.headers["vary"] == first.headers["vary"]
                assert int(again.headers["x-log-position"]) > 0
            assert client.get(path, headers={"If-None-Match": '"other"'}).json() == first.json()
        tag = shop.guest.get(path).headers["etag"]
        changed = admin.patch(path, {"price": 12})
        fresh = shop.guest.get(path, headers={**position(changed), "If-None-Match": tag})
        assert (fresh.status_code, fresh.json()["price"]) == (200, 12)
        assert fresh.headers["etag"] != tag

    def test_caches_are_told_to_ask(self, shop: Shop, product: dict[str, Any], buyer: Client) -> None:
        made = {"X-Min-Log-Position": str(shop.head())}
        for path in (f"/products/{product['id']}", "/products?limit=3", "/categories", "/collections"):
            for _ in range(2):
                answer = shop.guest.get(path, headers=made)
                assert answer.headers["cache-control"] == "public, max-age=0, must-revalidate"
                named = {each.strip() for each in answer.headers["vary"].split(",")}
                assert named == {"Origin", "Accept", "Authorization", "Cookie", "X-Min-Log-Position"}
            assert buyer.get(path).headers["cache-control"] == "private, no-cache"
        assert buyer.get("/cart").headers["cache-control"] == "no-store"
        assert "etag" not in buyer.get("/cart").headers

    def test_each_spelling_is_an_answer_of_its_own(self, shop: Shop, product: dict[str, Any]) -> None:
        path = f"/products/{product['id']}"
        held(shop, path)
        snake = {"Accept": "application/json; case=snake"}
        answers = [shop.guest.get(path, headers=headers) for headers in (snake, {}, snake, {})]
        assert [("review_count" in each.json(), "reviewCount" in each.json()) for each in answers] == [
            (True, False), (False, True), (True, False), (False, True),
        ]  # fmt: skip
        assert answers[0].content == answers[2].content
        assert answers[0].headers["etag"] == answers[2].headers["etag"] != answers[1].headers["etag"]
        assert int(answers[2].headers["content-length"]) == len(answers[2].content)

    def test_both_names_of_the_api_and_any_order_of_parameters_are_one_answer(
        self, shop: Shop, product: dict[str, Any]
    ) -> None:
        held(shop, f"/products/{product['id']}", "/products?limit=3&skip=1")
        before = measure(shop.origin, "tradelog_answers_at_hand_hits_total")
        short = httpx.get(f"{shop.origin}/v1/products/{product['id']}")
        assert short.json()["id"] == product["id"]
        assert shop.guest.get("/products?skip=1&limit=3").json()["skip"] == 1
        assert measure(shop.origin, "tradelog_answers_at_hand_hits_total") == before + 2

    def test_what_nobody_knows_is_not_held(self, shop: Shop) -> None:
        path = f"/products?limit=2&_={uuid.uuid4().hex}"
        for _ in range(3):
            assert not is_at_hand(shop.guest, shop.origin, path)

    def test_head_is_get_without_its_body(self, shop: Shop, product: dict[str, Any], buyer: Client) -> None:
        for path in (f"/products/{product['id']}", "/products", "/categories", "/products/nothing-like-it"):
            for _ in range(2):
                whole, head = shop.guest.get(path), shop.guest("HEAD", path)
                assert (head.status_code, head.content) == (whole.status_code, b"")
                assert head.headers["content-length"] == str(len(whole.content)) or head.is_error
                assert head.headers.get("etag") == whole.headers.get("etag")
        assert buyer("HEAD", "/cart").status_code == 200
        assert shop.guest("HEAD", "/cart").status_code == 401


class TestIfMatch:
    def test_takes_the_version_out_of_what_tells_more(self, shop: Shop, admin: Client, category: str) -> None:
        made = admin.made("/products/add", a_product(category))
        path = f"/products/{made['id']}"
        version = admin.patch(path, {"price": 4}).headers["etag"].strip('"')
        told = {"If-Match": f'"{version}-0123456789abcdef"'}
        assert admin.patch(path, {"price": 5}, headers=told).status_code == 200
        assert admin.patch(path, {"price": 6}, headers=told).status_code == 409


class TestWithoutNews:
    """NATS goes away and comes back, with changes meanwhile that nobody could be told of."""

    @pytest.fixture
    def lone(self, fresh_database: FreshDatabase, servers_folder: Path) -> Iterator[Shop]:
        folder = servers_folder / "without-news"
        with fresh_database() as url, Shop(url, folder) as shop:
            yield shop
        shutil.rmtree(folder, ignore_errors=True)

    def test_nothing_is_held_and_nothing_old_is_served(self, lone: Shop) -> None:
        admin = lone.staff(Role.ADMIN)
        category = admin.made("/admin/categories", {"name": "Phones"})["slug"]
        product = admin.made("/products/add", a_product(category))
        path = f"/products/{product['id']}"
        held(lone, path)
        lone.nats.kill()
        soon(lambda: measure(lone.origin, "tradelog_answers_at_hand") == 0, "letting go")
        for price in (5, 6):
            changed = admin.patch(path, {"price": price})
            assert lone.guest.get(path, headers=position(changed)).json()["price"] == price
            assert lone.guest.get(path).json()["price"] == price
        assert measure(lone.origin, "tradelog_answers_at_hand") == 0
        lone.run(lone.nats.start())
        soon(lambda: is_at_hand(lone.guest, lone.origin, path), "being told again", within=30)
        changed = admin.patch(path, {"price": 7})
        assert lone.guest.get(path, headers=position(changed)).json()["price"] == 7
        assert lone.guest.get(path).json()["price"] == 7

    def test_what_another_projector_did_is_noticed_though_nobody_told(self, lone: Shop) -> None:
        """Messages are lost: here because the projector cannot reach NATS at all."""
        admin = lone.staff(Role.ADMIN)
        category = admin.made("/admin/categories", {"name": "Phones"})["slug"]
        product = admin.made("/products/add", a_product(category))
        path = f"/products/{product['id']}"
        lone.run(lone.processes["projector"].stop())
        silent = lone._process("silent-projector", "workers.projector", NATS_URL="nats://127.0.0.1:9")
        silent.start()
        try:
            seen = position(admin.patch(path, {"price": 5}))
            soon(lambda: lone.guest.get(path, headers=seen).is_success, "the projector having started")
            assert lone.guest.get(path).json()["price"] == 5
            soon(lambda: is_at_hand(lone.guest, lone.origin, path), "being at hand")
            changed = admin.patch(path, {"price": 6})
            assert lone.guest.get(path, headers=position(changed)).json()["price"] == 6
            assert lone.guest.get(path).json()["price"] == 6
            admin.patch(path, {"price": 7})
            soon(lambda: lone.guest.get(path).json()["price"] == 7, "the price being noticed")
        finally:
            asyncio.run(silent.stop())
