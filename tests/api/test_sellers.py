"""Shops over HTTP: applying, being verified, selling, being suspended, and being followed."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import httpx
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.input import Body, decode
from api.models import KeptShop, ShippingProfile, Shop, ShopPage
from api.sellers import ApplicationBody, ShippingBody, ShopChangeBody, SuspensionBody, VerificationBody
from application.bootstrap import write_side
from application.ports import Metadata
from application.sellers.opening import OpenHouseSeller
from domain.kernel import InvalidInputError
from domain.sellers.events import HOUSE_SELLER
from tests.api.shop import Client, a_product, assert_problem, soon
from tests.api.shop import Shop as Servers

S3_APPLICATION = {
    "category": "Fashion",
    "experience_level": "I sell occasionally",
    "monthly_revenue": "$1000-$5000",
    "platforms": ["eBay", "Poshmark"],
    "social_links": {"instagram": "@vintage", "website": "https://example.com/vintage"},
    "return_address": {"full_name": "Jane Smith", "post_code": "10001", "address_line1": "123 Main St"},
    "agreed_to_terms": True,
}


def an_application(**fields: Any) -> dict[str, Any]:
    return {**S3_APPLICATION, "shop_name": f"Vault {uuid.uuid4().hex[:8]}", **fields}


def applicant(shop: Servers, **fields: Any) -> tuple[Client, dict[str, Any]]:
    client = shop.user()
    return client, client.made("/sellers/apply", an_application(**fields))


def verified(shop: Servers, admin: Client) -> tuple[Client, dict[str, Any]]:
    client, applied = applicant(shop)
    judged = admin.patch(f"/admin/sellers/{applied['id']}/verification", {"status": "verified"})
    assert judged.status_code == 200, judged.text
    # To read one's own writes is promised to an admin here, and not to those whom they are about.
    soon(
        lambda: bool(client.get("/sellers/me").json()["status"] == "verified"), "the verification being seen"
    )
    return client, judged.json()


@pytest.fixture
def seller(shop: Servers, admin: Client) -> tuple[Client, dict[str, Any]]:
    """Somebody who may sell, and their shop."""
    return verified(shop, admin)


@pytest.fixture(scope="session")
def house(shop: Servers) -> str:
    async def open_it() -> None:
        async with write_side(shop.settings) as write:
            await write.bus.handle(OpenHouseSeller(), Metadata(actor="tests"))

    shop.run(open_it())
    return str(HOUSE_SELLER)


@contextmanager
def unchanged(shop: Servers) -> Iterator[None]:
    """What is refused leaves the log as it was."""
    head = shop.head()
    yield
    assert shop.head() == head


class TestApplying:
    def test_the_contracts_example(self, shop: Servers) -> None:
        client = shop.user()
        name = f"Vault {uuid.uuid4().hex[:8]}"
        response = client.post("/sellers/apply", an_application(shop_name=name))
        assert response.status_code == 201
        applied = msgspec.convert(response.json(), KeptShop)
        assert (applied.status, applied.shop_name, applied.kind) == ("pending_verification", name, "shop")
        assert applied.slug == name.lower().replace(" ", "-")
        assert applied.social_links == S3_APPLICATION["social_links"]
        assert (applied.return_address.full_name, applied.return_address.zip_code) == ("Jane Smith", "10001")
        assert applied.agreed_to_terms
        own = client.get("/sellers/me")
        assert msgspec.convert(own.json(), KeptShop).id == applied.id
        assert own.json()["status"] == "pending_verification"

    def test_twice(self, shop: Servers) -> None:
        client, _ = applicant(shop)
        with unchanged(shop):
            assert_problem(client.post("/sellers/apply", an_application()), 409, "SELLER_ALREADY_APPLIED")

    def test_somebody_who_signed_up_to_sell(self, shop: Servers) -> None:
        client = shop.user("/auth/signup")
        with unchanged(shop):
            assert_problem(client.post("/sellers/apply", an_application()), 409, "SELLER_ALREADY_APPLIED")
        own = client.get("/sellers/me").json()
        assert (own["kind"], own["status"]) == ("personal", "verified")

    def test_without_agreeing_to_the_terms(self, shop: Servers) -> None:
        client = shop.user()
        for terms in ({"agreed_to_terms": False}, {"agreed_to_terms": None}):
            with unchanged(shop):
                assert_problem(
                    client.post("/sellers/apply", an_application(**terms)),
                    400,
                    "VALIDATION_ERROR",
                    "agreedToTerms",
                )
        assert client.get("/sellers/me").status_code == 404

    @pytest.mark.parametrize(
        ("field", "value", "named"),
        [
            ("shop_name", "V", "shopName"),
            ("shop_name", "   ", "shopName"),
            ("shop_name", "V" * 101, "shopName"),
            ("shop_name", 17, "shopName"),
            ("slug", "me", "slug"),
            ("slug", "apply", "slug"),
            ("slug", "12345", "slug"),
            ("slug", str(uuid.uuid4()), "slug"),
            ("bio", "b" * 2001, "bio"),
            ("platforms", ["x"] * 21, "platforms"),
            ("platforms", "eBay", "platforms"),
            ("social_links", {"site": "javascript:alert(1)"}, "socialLinks"),
            ("return_address", {"city": "c" * 201}, "returnAddress.city"),
            ("agreed_to_terms", "yes", "agreedToTerms"),
        ],
    )
    def test_a_field_that_is_wrong(self, shop: Servers, field: str, value: Any, named: str) -> None:
        client = shop.user()
        with unchanged(shop):
            assert_problem(
                client.post("/sellers/apply", an_application(**{field: value})),
                400,
                "VALIDATION_ERROR",
                named,
            )

    def test_who_was_rejected_reads_why_and_applies_again(self, shop: Servers, admin: Client) -> None:
        client, applied = applicant(shop)
        verdict = {"status": "rejected", "reason": "The papers are blurred"}
        judged = admin.patch(f"/admin/sellers/{applied['id']}/verification", verdict)
        assert (judged.status_code, judged.json()["status"]) == (200, "rejected")
        seen_by_then = {"X-Min-Log-Position": judged.headers["X-Log-Position"]}
        own = client.get("/sellers/me", headers=seen_by_then).json()
        assert (own["status"], own["reason"]) == ("rejected", "The papers are blurred")
        again = client.made("/sellers/apply", an_application())
        assert (again["id"], again["status"], again["reason"]) == (applied["id"], "pending_verification", "")

    def test_a_retry_with_the_same_key_is_answered_alike(self, shop: Servers) -> None:
        client, body = shop.user(), an_application()
        key = {"Idempotency-Key": uuid.uuid4().hex}
        answers = [client.post("/sellers/apply", body, headers=key) for _ in range(2)]
        assert [each.status_code for each in answers] == [201, 201]
        assert answers[0].json() == answers[1].json()

    def test_strangers(self, shop: Servers) -> None:
        with unchanged(shop):
            assert_problem(shop.guest.post("/sellers/apply", an_application()), 401, "UNAUTHORIZED")
        assert_problem(shop.guest.get("/sellers/me"), 401, "UNAUTHORIZED")
        assert_problem(shop.user().get("/sellers/me"), 404, "SELLER_NOT_FOUND")


class TestVerifying:
    def test_from_the_application_to_the_first_product(
        self, shop: Servers, admin: Client, category: str
    ) -> None:
        client, applied = applicant(shop)
        with unchanged(shop):
            assert_problem(client.post("/products", a_product(category)), 403, "FORBIDDEN")
        assert_problem(shop.guest.get(f"/sellers/{applied['id']}"), 404, "SELLER_NOT_FOUND")
        admin.patch(f"/admin/sellers/{applied['id']}/verification", {"status": "VERIFIED"})
        product = client.made("/products", a_product(category, status="active"))
        assert product["sellerId"] == applied["id"]
        assert client.get(f"/products/{product['id']}").status_code == 200
        shown = client.get(f"/sellers/{applied['slug']}").json()
        assert (shown["id"], shown["status"], shown["productCount"]) == (applied["id"], "verified", 1)

    def test_a_decision_is_made_once(self, shop: Servers, admin: Client) -> None:
        _, made = verified(shop, admin)
        path = f"/admin/sellers/{made['id']}/verification"
        head = shop.head()
        assert admin.patch(path, {"status": "verified"}).status_code == 200
        assert shop.head() == head
        with unchanged(shop):
            assert_problem(admin.patch(path, {"status": "rejected"}), 409, "SELLER_NOT_PENDING", "status")

    def test_what_cannot_be_decided(self, shop: Servers, admin: Client, house: str) -> None:
        _, applied = applicant(shop)
        path = f"/admin/sellers/{applied['id']}/verification"
        with unchanged(shop):
            assert_problem(admin.patch(path, {"status": "maybe"}), 400, "VALIDATION_ERROR", "status")
        with unchanged(shop):
            assert_problem(admin.patch(path, {}), 400, "VALIDATION_ERROR", "status")
        for who in (str(uuid.uuid4()), "no-such-shop", "999999"):
            with unchanged(shop):
                assert_problem(
                    admin.patch(f"/admin/sellers/{who}/verification", {"status": "verified"}),
                    404,
                    "SELLER_NOT_FOUND",
                )
        with unchanged(shop):
            assert_problem(
                admin.post(f"/admin/sellers/{house}/suspend", {"reason": "no"}), 422, "HOUSE_SELLER"
            )

    def test_only_admins_decide(self, shop: Servers, seller: tuple[Client, dict[str, Any]]) -> None:
        _, applied = applicant(shop)
        base = f"/admin/sellers/{applied['id']}"
        for who, status, code in (
            (shop.guest, 401, "UNAUTHORIZED"),
            (shop.user(), 403, "FORBIDDEN"),
            (seller[0], 403, "FORBIDDEN"),
        ):
            with unchanged(shop):
                assert_problem(who.patch(f"{base}/verification", {"status": "verified"}), status, code)
                assert_problem(who.post(f"{base}/suspend", {"reason": "no"}), status, code)
                assert_problem(who.post(f"{base}/reinstate"), status, code)
                assert_problem(who.get("/admin/sellers"), status, code)

    def test_the_reviewers_queue(self, shop: Servers, admin: Client) -> None:
        _, applied = applicant(shop)
        verified(shop, admin)
        first = admin.get("/admin/sellers?status=pending_verification&page=1&limit=100").json()
        assert set(first) == {"data", "pagination"}
        assert applied["id"] in [each["id"] for each in first["data"]]
        assert {each["status"] for each in first["data"]} == {"pending_verification"}
        total = first["pagination"]["total"]
        assert first["pagination"] == {"total": total, "page": 1, "limit": 100, "pages": 1}
        plain = admin.get("/admin/sellers?limit=1").json()
        assert set(plain) == {"sellers", "total", "skip", "limit", "nextCursor"}
        assert plain["total"] > total
        msgspec.convert(plain["sellers"], list[KeptShop])
        assert_problem(admin.get("/admin/sellers?status=odd"), 400, "VALIDATION_ERROR", "status")
        assert_problem(admin.get("/admin/sellers?page=0"), 400, "VALIDATION_ERROR", "page")


class TestSuspending:
    def test_a_suspended_sellers_products_are_gone_and_come_back(
        self, shop: Servers, admin: Client, category: str, seller: tuple[Client, dict[str, Any]]
    ) -> None:
        client, made = seller
        word = f"lamp{uuid.uuid4().hex[:10]}"
        product = client.made("/products", a_product(category, status="active", title=f"Old {word}"))
        buyer = shop.user()
        line = {"productId": product["id"], "quantity": 1}
        buyer.made("/cart/items", line)

        def seen() -> tuple[int, int, int, int]:
            found = [shop.guest.get(f"/products/search?q={word}"), shop.guest.get(f"/products?text={word}")]
            return (
                shop.guest.get(f"/products/{product['id']}").status_code,
                shop.guest.get(f"/sellers/{made['id']}").status_code,
                *(each.json()["total"] for each in found),
            )

        soon(lambda: seen() == (200, 200, 1, 1), "the product being seen")
        suspended = admin.post(f"/admin/sellers/{made['id']}/suspend", {"reason": "Fakes"})
        assert (suspended.status_code, suspended.json()["status"]) == (200, "suspended")
        soon(lambda: seen() == (404, 404, 0, 0), "the product being gone")
        with unchanged(shop):
            assert_problem(buyer.post("/cart/items", line), 404, "PRODUCT_NOT_FOUND")
        order = {"shippingAddress": {"address": "1 Main St", "city": "X", "zipCode": "1", "country": "US"}}
        with unchanged(shop):
            refused = buyer.post("/orders", order)
            assert_problem(refused, 404, "PRODUCT_NOT_FOUND", "productId")
        shown = buyer.get("/cart").json()
        assert [(line["id"], line["title"], line["available"]) for line in shown["products"]] == [
            (product["id"], "", False)
        ]
        with unchanged(shop):
            assert_problem(client.post("/products", a_product(category)), 403, "FORBIDDEN")
        with unchanged(shop):
            assert_problem(client.patch("/sellers/me", {"bio": "Hello"}), 403, "FORBIDDEN")
        own = client.get("/sellers/me").json()
        assert (own["status"], own["reason"]) == ("suspended", "Fakes")
        assert admin.get(f"/sellers/{made['id']}").json()["status"] == "suspended"

        reinstated = admin.post(f"/admin/sellers/{made['id']}/reinstate", {"reason": "It was a mistake"})
        assert (reinstated.status_code, reinstated.json()["status"]) == (200, "verified")
        soon(lambda: seen() == (200, 200, 1, 1), "the product being back")
        assert client.post("/products", a_product(category)).status_code == 201
        assert buyer.post("/orders", order).status_code == 201

    def test_twice_is_once(self, shop: Servers, admin: Client, seller: tuple[Client, dict[str, Any]]) -> None:
        path = f"/admin/sellers/{seller[1]['id']}"
        assert admin.post(f"{path}/suspend", {"reason": "Fakes"}).status_code == 200
        head = shop.head()
        assert admin.post(f"{path}/suspend", {"reason": "Again"}).json()["reason"] == "Fakes"
        assert shop.head() == head
        assert admin.post(f"{path}/reinstate").status_code == 200
        head = shop.head()
        assert admin.post(f"{path}/reinstate").status_code == 200
        assert shop.head() == head

    def test_what_is_refused(self, shop: Servers, admin: Client) -> None:
        _, applied = applicant(shop)
        path = f"/admin/sellers/{applied['id']}"
        with unchanged(shop):
            assert_problem(admin.post(f"{path}/suspend", {"reason": "no"}), 422, "INVALID_STATUS_TRANSITION")
        with unchanged(shop):
            assert_problem(admin.post(f"{path}/reinstate"), 422, "INVALID_STATUS_TRANSITION")
        for body in ({}, {"reason": ""}, {"reason": "r" * 1001}):
            with unchanged(shop):
                assert_problem(admin.post(f"{path}/suspend", body), 400, "VALIDATION_ERROR", "reason")


class TestTheShopPage:
    def test_it_is_found_by_every_name(self, shop: Servers, seller: tuple[Client, dict[str, Any]]) -> None:
        client, made = seller
        soon(lambda: shop.guest.get(f"/sellers/{made['id']}").status_code == 200, "the shop being seen")
        by_uuid = shop.guest.get(f"/sellers/{made['id']}")
        page = msgspec.convert(by_uuid.json(), Shop)
        assert (page.follower_count, page.review_count, page.rating, page.product_count) == (0, 0, 0, 0)
        assert "returnAddress" not in by_uuid.json()
        assert "following" not in by_uuid.json()
        for name in (made["slug"], made["userId"], made["userUuid"]):
            assert shop.guest.get(f"/sellers/{name}").json() == by_uuid.json()
        as_itself = client.get(f"/sellers/{made['id']}").json()
        assert as_itself["returnAddress"]["fullName"] == "Jane Smith"

    def test_the_house(self, shop: Servers, house: str, product: dict[str, Any], admin: Client) -> None:
        shown = admin.get("/sellers/house").json()
        assert (shown["id"], shown["kind"]) == (house, "house")
        assert shown["productCount"] >= 1
        assert product["sellerId"] == house
        assert admin.get("/sellers/me").json()["id"] == house

    def test_unknown_ones(self, shop: Servers) -> None:
        for reference in (uuid.uuid4(), "no-such-shop", 99_999_999):
            assert_problem(shop.guest.get(f"/sellers/{reference}"), 404, "SELLER_NOT_FOUND")

    def test_the_list_of_shops(self, shop: Servers, seller: tuple[Client, dict[str, Any]]) -> None:
        client, made = seller
        words = made["shopName"].lower()
        found = client.get("/sellers", params={"q": words})
        listed = msgspec.convert(found.json(), ShopPage)
        assert [str(each.id) for each in listed.sellers] == [made["id"]]
        assert (listed.total, listed.skip, listed.limit) == (1, 0, 10)
        pages = client.get("/sellers", params={"search": words, "page": 2}).json()
        assert pages == {"data": [], "pagination": {"total": 1, "page": 2, "limit": 20, "pages": 1}}
        _, waiting = applicant(shop)
        assert client.get("/sellers", params={"q": waiting["shopName"]}).json()["total"] == 0
        assert_problem(client.get("/sellers?sort=odd"), 400, "VALIDATION_ERROR", "sort")


class TestKeepingAShop:
    def test_what_is_given_changes(self, seller: tuple[Client, dict[str, Any]]) -> None:
        client, made = seller
        slug = f"attic-{uuid.uuid4().hex[:8]}"
        change = {
            "shop_name": "The Attic",
            "slug": slug,
            "logo_url": "https://cdn.example.com/logo.png",
            "return_address": {"firstName": "Jane", "lastName": "Doe", "zip": "2"},
        }
        changed = client.patch("/sellers/me", change)
        assert changed.status_code == 200
        body = msgspec.convert(changed.json(), KeptShop)
        assert (body.shop_name, body.slug, body.logo_url) == ("The Attic", slug, change["logo_url"])
        assert (body.return_address.full_name, body.return_address.zip_code) == ("Jane Doe", "2")
        assert (body.return_address.address, body.category) == ("", "Fashion")
        assert client.get(f"/sellers/{slug}").json()["shopName"] == "The Attic"
        assert_problem(client.get(f"/sellers/{made['slug']}"), 404, "SELLER_NOT_FOUND")
        assert client("PUT", "/sellers/me", json={"logoUrl": ""}).json()["logoUrl"] == ""

    def test_a_file_of_ones_own_is_a_logo_and_nobody_elses(
        self, shop: Servers, seller: tuple[Client, dict[str, Any]]
    ) -> None:
        client, made = seller
        key = f"uploads/{made['userUuid']}/logo.webp"
        shown = client.patch("/sellers/me", {"logoUrl": key}).json()["logoUrl"]
        assert shown.startswith("http")
        assert shown.endswith(key)
        for other in (
            f"uploads/{uuid.uuid4()}/logo.webp",
            f"uploads/{made['userUuid']}/../x",
            "javascript:1",
        ):
            with unchanged(shop):
                assert_problem(
                    client.patch("/sellers/me", {"logoUrl": other}), 400, "VALIDATION_ERROR", "logoUrl"
                )

    def test_what_is_refused(
        self, shop: Servers, admin: Client, seller: tuple[Client, dict[str, Any]]
    ) -> None:
        client, made = seller
        (other, _), stranger = verified(shop, admin), shop.user()
        with unchanged(shop):
            assert_problem(other.patch("/sellers/me", {"slug": made["slug"]}), 409, "SLUG_EXISTS", "slug")
        with unchanged(shop):
            assert_problem(
                client.patch("/sellers/me", {"shopName": "x"}), 400, "VALIDATION_ERROR", "shopName"
            )
        with unchanged(shop):
            assert_problem(stranger.patch("/sellers/me", {"bio": "x"}), 403, "FORBIDDEN")
        with unchanged(shop):
            assert_problem(shop.guest.patch("/sellers/me", {"bio": "x"}), 401, "UNAUTHORIZED")

    def test_somebody_who_signed_up_to_sell_names_their_shop(self, shop: Servers) -> None:
        client = shop.user("/auth/signup")
        slug = f"janes-{uuid.uuid4().hex[:8]}"
        assert client.get("/sellers/me").json()["slug"] == ""
        assert client.patch("/sellers/me", {"slug": slug}).json()["slug"] == slug
        assert client.get(f"/sellers/{slug}").json()["kind"] == "personal"


class TestShippingProfiles:
    def test_one_comes_changes_and_goes(self, seller: tuple[Client, dict[str, Any]]) -> None:
        client, _ = seller
        assert client.get("/shipping-profiles").json() == []
        body = {"name": "Standard", "base_cost": 4.5, "per_item_cost": 1, "countries": ["US", "CA"]}
        response = client.post("/shipping-profiles", body)
        assert response.status_code == 201
        added = msgspec.convert(response.json(), ShippingProfile)
        assert (added.cost, added.base_cost, added.per_item_cost) == (4.5, 4.5, 1)
        assert (added.countries, added.free_over, added.handling_days) == (["US", "CA"], None, 1)
        assert client.get("/shipping-profiles").json() == [response.json()]
        path = f"/shipping-profiles/{added.id}"
        changed = client.patch(path, {"flatRate": 6, "freeOver": 100, "regions": ["US"], "handlingDays": 3})
        expected = {"baseCost": 6, "cost": 6, "freeOver": 100, "countries": ["US"], "handlingDays": 3}
        assert changed.json() == {**response.json(), **expected}
        assert client.get(path).json() == changed.json()
        assert client("DELETE", path).status_code == 204
        assert client.get("/shipping-profiles").json() == []
        assert_problem(client.get(path), 404, "SHIPPING_PROFILE_NOT_FOUND")

    @pytest.mark.parametrize(
        ("change", "named"),
        [
            ({"name": ""}, "name"),
            ({"name": None}, "name"),
            ({"name": "n" * 101}, "name"),
            ({"base_cost": -1}, "baseCost"),
            ({"base_cost": 1.005}, "baseCost"),
            ({"base_cost": None}, "baseCost"),
            ({"free_over": 0}, "freeOver"),
            ({"countries": [""]}, "countries[0]"),
            ({"handling_days": 61}, "handlingDays"),
        ],
    )
    def test_a_field_that_is_wrong(
        self, shop: Servers, admin: Client, change: dict[str, Any], named: str
    ) -> None:
        body = {"name": "Standard", "base_cost": 4.5, **change}
        with unchanged(shop):
            assert_problem(admin.post("/shipping-profiles", body), 400, "VALIDATION_ERROR", named)

    def test_only_sellers_have_them_and_each_its_own(
        self, shop: Servers, admin: Client, seller: tuple[Client, dict[str, Any]]
    ) -> None:
        client, _ = seller
        added = client.made("/shipping-profiles", {"name": "Standard", "cost": 5})
        other, _ = verified(shop, admin)
        path = f"/shipping-profiles/{added['id']}"
        code = "SHIPPING_PROFILE_NOT_FOUND"
        with unchanged(shop):
            assert_problem(other.get(path), 404, code)
        with unchanged(shop):
            assert_problem(other.patch(path, {"cost": 1}), 404, code)
        with unchanged(shop):
            assert_problem(other("DELETE", path), 404, code)
        with unchanged(shop):
            assert_problem(client("DELETE", "/shipping-profiles/standard"), 404, code)
        for who, status, refusal in ((shop.guest, 401, "UNAUTHORIZED"), (shop.user(), 403, "FORBIDDEN")):
            with unchanged(shop):
                assert_problem(who.get("/shipping-profiles"), status, refusal)
            with unchanged(shop):
                assert_problem(who.post("/shipping-profiles", {"name": "S", "cost": 5}), status, refusal)

    def test_an_admin_keeps_the_houses(self, admin: Client, house: str) -> None:
        added = admin.made("/shipping-profiles", {"name": "Of the house", "cost": 5})
        assert added["id"] in [each["id"] for each in admin.get("/shipping-profiles").json()]
        assert admin("DELETE", f"/shipping-profiles/{added['id']}").status_code == 204


class TestFollowing:
    def test_twenty_at_once_count_once(self, shop: Servers, seller: tuple[Client, dict[str, Any]]) -> None:
        _, made = seller
        fan = shop.user()
        head = shop.head()
        path = f"{shop.origin}/api/v1/sellers/{made['id']}/follow"

        def follow(_: int) -> httpx.Response:
            return httpx.post(path, headers={"Authorization": f"Bearer {fan.token}"}, timeout=20)

        with ThreadPoolExecutor(20) as threads:
            answers = list(threads.map(follow, range(20)))
        assert [(each.status_code, each.json()) for each in answers] == [
            (200, {"following": True, "followerCount": 1})
        ] * 20
        assert shop.head() == head + 1
        page = fan.get(f"/sellers/{made['id']}").json()
        assert (page["following"], page["followerCount"]) == (True, 1)

    def test_everybody_counts(self, shop: Servers, seller: tuple[Client, dict[str, Any]]) -> None:
        _, made = seller
        fans = [shop.client(token) for token in shop.tokens(5)]
        with ThreadPoolExecutor(5) as threads:
            statuses = threads.map(lambda fan: fan.post(f"/sellers/{made['slug']}/follow").status_code, fans)
            assert list(statuses) == [200] * 5
        assert fans[0].post(f"/sellers/{made['id']}/follow").json()["followerCount"] == 5
        assert fans[0]("DELETE", f"/sellers/{made['id']}/follow").status_code == 204
        page = fans[0].get(f"/sellers/{made['id']}").json()
        assert (page["following"], page["followerCount"]) == (False, 4)

    def test_the_list_of_whom_one_follows(self, shop: Servers, admin: Client) -> None:
        fan = shop.user()
        made = [verified(shop, admin)[1] for _ in range(2)]
        for each in made:
            fan.made(f"/sellers/{each['userId']}/follow")
        listed = fan.get("/users/me/following").json()
        assert [each["id"] for each in listed["sellers"]] == [made[1]["id"], made[0]["id"]]
        assert (listed["total"], listed["sellers"][0]["following"]) == (2, True)
        pages = fan.get("/users/me/following?page=2&limit=1").json()
        assert [each["id"] for each in pages["data"]] == [made[0]["id"]]
        assert pages["pagination"] == {"total": 2, "page": 2, "limit": 1, "pages": 2}
        path = f"/sellers/{made[0]['id']}/follow"
        assert [fan("DELETE", path).status_code for _ in range(2)] == [204, 204]
        assert [each["id"] for each in fan.get("/users/me/following").json()["sellers"]] == [made[1]["id"]]
        assert_problem(shop.guest.get("/users/me/following"), 401, "UNAUTHORIZED")

    def test_what_is_refused(self, shop: Servers, seller: tuple[Client, dict[str, Any]]) -> None:
        client, made = seller
        fan = shop.user()
        _, waiting = applicant(shop)
        with unchanged(shop):
            assert_problem(client.post(f"/sellers/{made['id']}/follow"), 422, "CANNOT_FOLLOW_YOURSELF")
        with unchanged(shop):
            assert_problem(shop.guest.post(f"/sellers/{made['id']}/follow"), 401, "UNAUTHORIZED")
        for who in (waiting["id"], uuid.uuid4(), "no-such-shop", 99_999_999):
            with unchanged(shop):
                assert_problem(fan.post(f"/sellers/{who}/follow"), 404, "SELLER_NOT_FOUND")
        for who in (uuid.uuid4(), "no-such-shop"):
            with unchanged(shop):
                assert_problem(fan("DELETE", f"/sellers/{who}/follow"), 404, "SELLER_NOT_FOUND")


def faults(body_type: type[Body], body: dict[str, Any]) -> set[str]:
    """The fields that are named as wrong."""
    try:
        decode(msgspec.json.encode(body), body_type)
    except InvalidInputError as wrong:
        return set(wrong.details)
    return set()


TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))


class TestLimits:
    """Each field of A2's kind, at any length: what is refused is named, and nothing else is."""

    @given(TEXT.flatmap(lambda text: st.integers(1, 60).map(lambda times: text * times)))
    def test_a_shops_name_has_2_to_100_characters(self, name: str) -> None:
        legal = 2 <= len(name) <= 100 and len(name.strip()) >= 2
        body = {"shopName": name, "agreedToTerms": True}
        assert faults(ApplicationBody, body) == (set() if legal else {"shopName"})
        assert faults(ShopChangeBody, {"shop_name": name}) == (set() if legal else {"shopName"})

    @given(st.integers(0, 3000))
    def test_lengths_of_texts(self, length: int) -> None:
        text = "x" * length
        for body_type, field, least, most in (
            (ShopChangeBody, "bio", 0, 2000),
            (ShopChangeBody, "category", 0, 100),
            (ShopChangeBody, "experienceLevel", 0, 200),
            (ShopChangeBody, "monthlyRevenue", 0, 100),
            (SuspensionBody, "reason", 1, 1000),
        ):
            assert faults(body_type, {field: text}) == (set() if least <= length <= most else {field})
        verdict = faults(VerificationBody, {"status": "rejected", "reason": text})
        assert verdict == (set() if length <= 1000 else {"reason"})

    @given(st.dictionaries(TEXT, TEXT, max_size=25))
    def test_social_links_are_names_or_web_addresses(self, links: dict[str, str]) -> None:
        named = faults(ShopChangeBody, {"socialLinks": links})
        if any(link.lower().startswith(("javascript:", "data:", "file:")) for link in links.values()):
            assert named == {"socialLinks"}
        assert named <= {"socialLinks"}

    @given(st.integers(-200, 2_000_000_00), st.integers(-5, 100))
    def test_costs_and_days(self, cents: int, days: int) -> None:
        body = {"name": "S", "baseCost": cents / 100, "handlingDays": days}
        expected = {
            *(() if 0 <= cents / 100 <= 100_000_000 else ("baseCost",)),
            *(() if 0 <= days <= 60 else ("handlingDays",)),
        }
        assert faults(ShippingBody, body) == expected
