"""Reviews and wishlists over HTTP: every row of the contract, and every refusal."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import httpx
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.input import Body, decode
from api.models import (
    KeptReview,
    KeptReviewPage,
    ListedReview,
    ModeratedReview,
    Product,
    ReviewPage,
    WishlistItem,
    WishlistPage,
)
from api.reviews import HidingBody, ReviewBody, ReviewChangeBody
from api.wishlists import WishBody
from application.bootstrap import write_side
from application.ports import Metadata
from application.reviews.verifying import NotePurchases
from domain.kernel import InvalidInputError, OrderId
from tests.api.shop import ADDRESS, Client, a_product, a_registration, assert_problem
from tests.api.shop import Shop as Servers

SAID = {"rating": 4, "comment": "Very satisfied!"}


@contextmanager
def unchanged(shop: Servers) -> Iterator[None]:
    """What is refused leaves the log as it was."""
    head = shop.head()
    yield
    assert shop.head() == head


def reviewer(shop: Servers, **fields: Any) -> tuple[Client, dict[str, Any]]:
    registered = shop.guest.made("/auth/register", a_registration(**fields))
    return shop.client(registered["token"]), registered


def reviewed(client: Client, product: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return client.made(f"/products/{product['id']}/reviews", {**SAID, **fields})


def now(shop: Servers) -> dict[str, Any]:
    """For whoever reads what somebody else has changed just now."""
    return {"headers": {"X-Min-Log-Position": str(shop.head())}}


def offered_by(shop: Servers, admin: Client, category: str) -> tuple[Client, dict[str, Any]]:
    """Somebody who sells, and what they offer."""
    email = f"{uuid.uuid4().hex}@example.com"
    registered = shop.guest.made("/auth/register", a_registration(email=email))
    user = registered["user"]["id"]
    assert admin.patch(f"/admin/users/{user}/role", {"role": "seller"}).status_code == 200
    token = shop.guest.made("/auth/login", {"email": email, "password": "SecurePass123"})["token"]
    client = shop.client(token)
    return client, client.made("/products", a_product(category, status="active"))


class TestSubmitting:
    def test_the_contracts_example(self, shop: Servers, product: dict[str, Any]) -> None:
        client, registered = reviewer(shop)
        response = client.post(f"/products/{product['id']}/reviews", SAID)
        assert response.status_code == 201
        review = msgspec.convert(response.json(), ListedReview)
        assert (review.rating, review.comment, review.product_id) == (4, "Very satisfied!", product["id"])
        assert (review.reviewer_name, review.reviewer_email) == ("Jane Smith", registered["email"])
        assert review.date == f"{datetime.now(UTC):%Y-%m-%d}"
        assert (review.created_at[:10], review.updated_at) == (review.date, review.created_at)
        assert (review.verified_purchase, review.status) == (False, "visible")
        seen = msgspec.convert(shop.guest.get(f"/products/{product['slug']}", **now(shop)).json(), Product)
        (embedded,) = seen.reviews
        assert (embedded.id, embedded.uuid, embedded.reviewer_name) == (review.id, review.uuid, "Jane Smith")
        assert embedded.reviewer_email == f"{registered['email'][0]}***@example.com"
        assert (seen.rating, seen.review_count) == (4, 1)

    @pytest.mark.parametrize("name", ["id", "uuid", "slug"])
    def test_by_any_name_of_the_product(self, shop: Servers, product: dict[str, Any], name: str) -> None:
        made = shop.user().made(f"/products/{product[name]}/reviews", SAID)
        assert made["productUuid"] == product["uuid"]

    def test_twenty_at_once_are_one(self, shop: Servers, product: dict[str, Any], buyer: Client) -> None:
        head = shop.head()
        path = f"{shop.origin}/api/v1/products/{product['id']}/reviews"

        def submit(_: int) -> httpx.Response:
            return httpx.post(path, json=SAID, headers={"Authorization": f"Bearer {buyer.token}"}, timeout=20)

        with ThreadPoolExecutor(20) as threads:
            answers = list(threads.map(submit, range(20)))
        assert sorted(each.status_code for each in answers) == [201] + [409] * 19
        for refused in (each for each in answers if each.status_code == 409):
            assert_problem(refused, 409, "ALREADY_REVIEWED")
        assert shop.head() == head + 2
        with unchanged(shop):
            assert_problem(buyer.post(f"/products/{product['id']}/reviews", SAID), 409, "ALREADY_REVIEWED")
        assert buyer.get(f"/products/{product['id']}/reviews").json()["total"] == 1

    def test_again_with_the_same_key_is_the_same(
        self, shop: Servers, product: dict[str, Any], buyer: Client
    ) -> None:
        key = {"Idempotency-Key": f"review {uuid.uuid4().hex}"}
        path = f"/products/{product['id']}/reviews"
        first = buyer.post(path, SAID, headers=key)
        with unchanged(shop):
            again = buyer.post(path, SAID, headers=key)
        assert (again.status_code, again.content) == (201, first.content)
        assert again.headers["idempotency-replayed"] == "true"
        gone = buyer("DELETE", f"/reviews/{first.json()['id']}", headers={"Idempotency-Key": f"{key} gone"})
        with unchanged(shop):
            once_more = buyer(
                "DELETE", f"/reviews/{first.json()['id']}", headers={"Idempotency-Key": f"{key} gone"}
            )
        assert (gone.status_code, once_more.status_code) == (204, 204)

    @pytest.mark.parametrize(
        ("change", "named"),
        [
            ({"rating": 0}, "rating"),
            ({"rating": 6}, "rating"),
            ({"rating": 4.5}, "rating"),
            ({"rating": "4"}, "rating"),
            ({"rating": None}, "rating"),
            ({"comment": ""}, "comment"),
            ({"comment": "  "}, "comment"),
            ({"comment": "x" * 2001}, "comment"),
            ({"comment": None}, "comment"),
            ({"comment": "nul\0"}, "comment"),
        ],
    )
    def test_a_field_that_is_wrong(
        self, shop: Servers, product: dict[str, Any], buyer: Client, change: dict[str, Any], named: str
    ) -> None:
        with unchanged(shop):
            refused = buyer.post(f"/products/{product['id']}/reviews", {**SAID, **change})
        assert_problem(refused, 400, "VALIDATION_ERROR", named)

    def test_what_is_refused(
        self, shop: Servers, admin: Client, category: str, product: dict[str, Any], buyer: Client
    ) -> None:
        seller, offered = offered_by(shop, admin, category)
        with unchanged(shop):
            own = seller.post(f"/products/{offered['id']}/reviews", SAID)
        assert_problem(own, 422, "CANNOT_REVIEW_OWN_PRODUCT")
        with unchanged(shop):
            assert_problem(shop.guest.post(f"/products/{product['id']}/reviews", SAID), 401, "UNAUTHORIZED")
        seller.post(f"/products/{offered['id']}/unpublish")
        for reference in (offered["id"], 99_999_999, uuid.uuid4(), "no-such-product"):
            with unchanged(shop):
                refused = buyer.post(f"/products/{reference}/reviews", SAID)
            assert_problem(refused, 404, "PRODUCT_NOT_FOUND")

    def test_a_buyers_is_marked(self, shop: Servers, product: dict[str, Any], buyer: Client) -> None:
        asked = {"products": [{"id": product["id"], "quantity": 1}], "shippingAddress": ADDRESS}
        order = buyer.made("/orders", asked)
        buyer.made(
            f"/payments/intents/{order['paymentIntentId']}/confirm", {"paymentMethodId": "pm_card_visa"}
        )
        before = reviewed(buyer, product)
        assert before["verifiedPurchase"] is False  # nobody has reacted to the payment yet

        async def react() -> None:
            async with write_side(shop.settings) as write:
                command = NotePurchases(order_id=OrderId(uuid.UUID(order["uuid"])))
                await write.bus.handle(command, Metadata(actor="tests"))

        shop.run(react())
        assert shop.guest.get(f"/reviews/{before['id']}", **now(shop)).json()["verifiedPurchase"] is True
        assert buyer("DELETE", f"/reviews/{before['id']}").status_code == 204
        assert reviewed(buyer, product)["verifiedPurchase"] is True


class TestReading:
    def test_pages_of_both_shapes_in_each_order(self, shop: Servers, product: dict[str, Any]) -> None:
        path = f"/products/{product['id']}/reviews"
        made = [reviewed(shop.user(), product, rating=rating) for rating in (3, 5, 1)]
        ids = [each["id"] for each in made]
        whole = shop.guest.get(path, **now(shop)).json()
        page = msgspec.convert(whole, ReviewPage)
        assert ([each.id for each in page.reviews], page.total, page.skip, page.limit) == (
            ids[::-1],
            3,
            0,
            10,
        )
        for sort, expected in (
            ("newest", [2, 1, 0]),
            ("oldest", [0, 1, 2]),
            ("rating", [1, 0, 2]),
            ("rating_desc", [1, 0, 2]),
            ("rating_asc", [2, 0, 1]),
        ):
            listed = shop.guest.get(f"{path}?sort={sort}").json()["reviews"]
            assert [each["id"] for each in listed] == [ids[index] for index in expected]
        second = shop.guest.get(f"{path}?page=2&limit=2").json()
        assert [each["id"] for each in second["data"]] == [ids[0]]
        assert second["pagination"] == {"total": 3, "page": 2, "limit": 2, "pages": 2}
        skipped = shop.guest.get(f"{path}?skip=1&limit=1").json()
        assert ([each["id"] for each in skipped["reviews"]], skipped["total"]) == ([ids[1]], 3)
        for query, named in (("sort=best", "sort"), ("page=0", "page"), ("limit=-1", "limit")):
            assert_problem(shop.guest.get(f"{path}?{query}"), 400, "VALIDATION_ERROR", named)

    def test_the_address_is_for_its_owner_and_admins(
        self, shop: Servers, admin: Client, product: dict[str, Any]
    ) -> None:
        client, registered = reviewer(shop)
        made = reviewed(client, product)
        masked = f"{registered['email'][0]}***@example.com"
        for who, email in (
            (client, registered["email"]),
            (admin, registered["email"]),
            (shop.user(), masked),
            (shop.guest, masked),
        ):
            (listed,) = who.get(f"/products/{product['id']}/reviews", **now(shop)).json()["reviews"]
            one = who.get(f"/reviews/{made['uuid']}").json()
            assert (listed["reviewerEmail"], one["reviewerEmail"]) == (email, email)

    def test_of_what_nobody_sees(self, shop: Servers, admin: Client, category: str, buyer: Client) -> None:
        seller, offered = offered_by(shop, admin, category)
        path = f"/products/{offered['id']}/reviews"
        made = reviewed(buyer, offered)
        seller.post(f"/products/{offered['id']}/unpublish")
        for who in (shop.guest, buyer):
            assert_problem(who.get(path, **now(shop)), 404, "PRODUCT_NOT_FOUND")
        for who in (seller, admin):
            assert who.get(path, **now(shop)).json()["total"] == 1
        assert_problem(shop.guest.get(f"/reviews/{made['id']}"), 404, "REVIEW_NOT_FOUND")
        for who in (buyer, admin):
            assert who.get(f"/reviews/{made['id']}").json()["id"] == made["id"]
        assert_problem(shop.guest.get("/products/99999999/reviews"), 404, "PRODUCT_NOT_FOUND")
        for reference in (99_999_999, uuid.uuid4(), "a-slug"):
            assert_problem(shop.guest.get(f"/reviews/{reference}"), 404, "REVIEW_NOT_FOUND")

    def test_ones_own(self, shop: Servers, admin: Client, category: str, buyer: Client) -> None:
        products = [admin.made("/products/add", a_product(category)) for _ in range(2)]
        made = [reviewed(buyer, each) for each in products]
        admin.made(f"/admin/reviews/{made[0]['id']}/hide", {"reason": "advertises"})
        own = msgspec.convert(buyer.get("/users/me/reviews", **now(shop)).json(), KeptReviewPage)
        assert [each.id for each in own.reviews] == [made[1]["id"], made[0]["id"]]
        assert [each.product for each in own.reviews] == [products[1]["title"], products[0]["title"]]
        assert [(each.status, each.reason) for each in own.reviews] == [
            ("visible", ""),
            ("hidden", "advertises"),
        ]
        page = buyer.get("/users/me/reviews?page=1&limit=1").json()
        assert page["pagination"] == {"total": 2, "page": 1, "limit": 1, "pages": 2}
        assert_problem(shop.guest.get("/users/me/reviews"), 401, "UNAUTHORIZED")
        exported = buyer.get("/users/me/export").json()
        assert [(each["id"], each["comment"]) for each in exported["reviews"]] == [
            (made[1]["id"], SAID["comment"]),
            (made[0]["id"], SAID["comment"]),
        ]


class TestChanging:
    def test_counts_on_the_product_and_on_the_shop(
        self, shop: Servers, admin: Client, category: str, buyer: Client
    ) -> None:
        _, offered = offered_by(shop, admin, category)
        other = shop.user()
        first, second = reviewed(buyer, offered, rating=5), reviewed(other, offered, rating=2)

        def seen() -> tuple[Any, ...]:
            product = shop.guest.get(f"/products/{offered['id']}", **now(shop)).json()
            page = shop.guest.get(f"/sellers/{offered['sellerId']}", **now(shop)).json()
            listed = shop.guest.get(f"/products/{offered['id']}/reviews", **now(shop)).json()
            assert (page["rating"], page["reviewCount"]) == (product["rating"], product["reviewCount"])
            assert listed["total"] == product["reviewCount"] == len(product["reviews"])
            return product["rating"], product["reviewCount"]

        assert seen() == (3.5, 2)
        changed = buyer("PUT", f"/reviews/{first['id']}", json={"rating": 3})
        assert changed.status_code == 200
        assert (changed.json()["rating"], changed.json()["comment"]) == (3, SAID["comment"])
        assert changed.json()["updatedAt"] > changed.json()["createdAt"]
        assert seen() == (2.5, 2)
        admin.made(f"/admin/reviews/{second['id']}/hide", {"reason": "advertises"})
        assert seen() == (3, 1)
        admin.made(f"/admin/reviews/{second['id']}/unhide")
        assert seen() == (2.5, 2)
        assert admin("DELETE", f"/reviews/{second['id']}").status_code == 204
        assert seen() == (3, 1)
        assert buyer("DELETE", f"/reviews/{first['uuid']}").status_code == 204
        assert seen() == (0, 0)
        with unchanged(shop):
            again = other.post(f"/products/{offered['id']}/reviews", SAID)
        assert_problem(again, 409, "ALREADY_REVIEWED")  # an admin has deleted it
        reviewed(buyer, offered, rating=1)
        assert seen() == (1, 1)

    def test_only_ones_own(
        self, shop: Servers, admin: Client, product: dict[str, Any], buyer: Client
    ) -> None:
        path = f"/reviews/{reviewed(buyer, product)['id']}"
        stranger = shop.user()
        for method in ("PUT", "PATCH"):
            with unchanged(shop):
                assert_problem(stranger(method, path, json={"rating": 1}), 403, "FORBIDDEN")
            with unchanged(shop):
                assert_problem(admin(method, path, json={"rating": 1}), 403, "FORBIDDEN")
            with unchanged(shop):
                assert_problem(shop.guest(method, path, json={"rating": 1}), 401, "UNAUTHORIZED")
        with unchanged(shop):
            assert_problem(stranger("DELETE", path), 403, "FORBIDDEN")
        with unchanged(shop):
            assert_problem(shop.guest("DELETE", path), 401, "UNAUTHORIZED")

    def test_what_is_refused(self, shop: Servers, product: dict[str, Any], buyer: Client) -> None:
        path = f"/reviews/{reviewed(buyer, product)['id']}"
        for change, named in (
            ({"rating": 0}, "rating"),
            ({"rating": 5.5}, "rating"),
            ({"comment": ""}, "comment"),
            ({"comment": "x" * 2001}, "comment"),
        ):
            with unchanged(shop):
                assert_problem(buyer("PUT", path, json=change), 400, "VALIDATION_ERROR", named)
        with unchanged(shop):
            assert buyer("PUT", path, json={}).json()["rating"] == SAID["rating"]
        for reference in (99_999_999, uuid.uuid4(), "a-slug"):
            for method, body in (("PUT", {"rating": 1}), ("DELETE", None)):
                with unchanged(shop):
                    refused = buyer(method, f"/reviews/{reference}", json=body)
                assert_problem(refused, 404, "REVIEW_NOT_FOUND")
        assert buyer("DELETE", path).status_code == 204
        for method, body in (("PUT", {"rating": 1}), ("DELETE", None)):
            with unchanged(shop):
                assert_problem(buyer(method, path, json=body), 404, "REVIEW_NOT_FOUND")
        assert_problem(buyer.get(path), 404, "REVIEW_NOT_FOUND")

    def test_under_if_match(self, shop: Servers, product: dict[str, Any], buyer: Client) -> None:
        made = buyer.post(f"/products/{product['id']}/reviews", SAID)
        path, tag = f"/reviews/{made.json()['id']}", made.headers["etag"]
        changed = buyer("PUT", path, json={"rating": 5}, headers={"If-Match": tag})
        assert (changed.status_code, changed.headers["etag"]) == (200, '"2"')
        with unchanged(shop):
            stale = buyer("PUT", path, json={"rating": 4}, headers={"If-Match": tag})
        assert_problem(stale, 409, "VERSION_CONFLICT")


class TestModerating:
    def test_takes_it_out_of_sight_and_back(
        self, shop: Servers, admin: Client, product: dict[str, Any], buyer: Client
    ) -> None:
        made = reviewed(buyer, product)
        path = f"/admin/reviews/{made['id']}"
        hidden = admin.post(f"{path}/hide", {"reason": "advertises"})
        assert msgspec.convert(hidden.json(), ModeratedReview).status == "hidden"
        with unchanged(shop):
            assert admin.made(f"{path}/hide", {"reason": "again"})["reason"] == "advertises"
        for who in (shop.guest, shop.user()):
            assert_problem(who.get(f"/reviews/{made['id']}", **now(shop)), 404, "REVIEW_NOT_FOUND")
        for who in (buyer, admin):
            assert who.get(f"/reviews/{made['id']}", **now(shop)).json()["status"] == "hidden"
        with unchanged(shop):
            refused = buyer("PUT", f"/reviews/{made['id']}", json={"rating": 5})
        assert assert_problem(refused, 422, "REVIEW_HIDDEN")["details"] == {"reason": "advertises"}
        listed = admin.get("/admin/reviews?status=hidden&limit=100").json()["reviews"]
        (kept,) = [msgspec.convert(each, KeptReview) for each in listed if each["id"] == made["id"]]
        assert (kept.product, kept.reason) == (product["title"], "advertises")
        shown = admin.made(f"{path}/unhide")
        assert (shown["status"], shown["reason"]) == ("visible", "")
        assert made["id"] in [
            each["id"] for each in admin.get("/admin/reviews?status=visible&page=1").json()["data"]
        ]
        assert shop.guest.get(f"/reviews/{made['id']}", **now(shop)).json()["status"] == "visible"

    def test_is_for_admins(self, shop: Servers, product: dict[str, Any], buyer: Client) -> None:
        path = f"/admin/reviews/{reviewed(buyer, product)['id']}"
        for who, status, code in ((shop.guest, 401, "UNAUTHORIZED"), (buyer, 403, "FORBIDDEN")):
            with unchanged(shop):
                assert_problem(who.post(f"{path}/hide", {"reason": "x"}), status, code)
            with unchanged(shop):
                assert_problem(who.post(f"{path}/unhide"), status, code)
            assert_problem(who.get("/admin/reviews"), status, code)

    def test_what_is_refused(
        self, shop: Servers, admin: Client, product: dict[str, Any], buyer: Client
    ) -> None:
        path = f"/admin/reviews/{reviewed(buyer, product)['id']}"
        for body in ({}, {"reason": ""}, {"reason": "x" * 1001}):
            with unchanged(shop):
                assert_problem(admin.post(f"{path}/hide", body), 400, "VALIDATION_ERROR", "reason")
        for reference in (99_999_999, uuid.uuid4(), "a-slug"):
            for action, sent in (("hide", {"reason": "x"}), ("unhide", None)):
                with unchanged(shop):
                    refused = admin.post(f"/admin/reviews/{reference}/{action}", sent)
                assert_problem(refused, 404, "REVIEW_NOT_FOUND")
        assert_problem(admin.get("/admin/reviews?status=odd"), 400, "VALIDATION_ERROR", "status")


class TestWishing:
    def test_shows_products_as_they_are_now(
        self, shop: Servers, admin: Client, product: dict[str, Any], buyer: Client
    ) -> None:
        response = buyer.post("/wishlist", {"product_id": product["id"]})
        assert response.status_code == 201
        added = msgspec.convert(response.json(), WishlistItem)
        assert (added.id, added.product.uuid) == (product["id"], uuid.UUID(product["uuid"]))
        with unchanged(shop):
            assert buyer.made("/wishlist", {"productId": product["uuid"]})["createdAt"] == added.created_at
        admin.patch(f"/products/{product['id']}", {"price": 7.5})
        page = msgspec.convert(buyer.get("/wishlist", **now(shop)).json(), WishlistPage)
        (item,) = page.items
        assert (item.id, item.product.price, item.created_at) == (product["id"], 7.5, added.created_at)
        assert (page.total, page.skip, page.limit) == (1, 0, 10)
        assert shop.user().get("/wishlist").json()["items"] == []
        (exported,) = buyer.get("/users/me/export").json()["wishlist"]
        assert exported["productId"] == product["id"]

    def test_pages(self, shop: Servers, admin: Client, category: str, buyer: Client) -> None:
        products = [admin.made("/products/add", a_product(category)) for _ in range(3)]
        for each in products:
            buyer.made("/wishlist", {"productId": each["slug"]})
        page = buyer.get("/wishlist?page=2&limit=2").json()
        assert [each["id"] for each in page["data"]] == [products[0]["id"]]
        assert page["pagination"] == {"total": 3, "page": 2, "limit": 2, "pages": 2}
        assert [each["id"] for each in buyer.get("/wishlist?skip=1&limit=1").json()["items"]] == [
            products[1]["id"]
        ]

    @pytest.mark.parametrize("name", ["id", "uuid", "slug"])
    def test_no_more(self, shop: Servers, product: dict[str, Any], buyer: Client, name: str) -> None:
        buyer.made("/wishlist", {"productId": product["id"]})
        assert buyer("DELETE", f"/wishlist/{product[name]}").status_code == 204
        assert buyer.get("/wishlist").json()["total"] == 0
        with unchanged(shop):
            assert_problem(buyer("DELETE", f"/wishlist/{product[name]}"), 404, "WISHLIST_ITEM_NOT_FOUND")

    def test_what_is_hidden_vanishes_and_comes_back(
        self, shop: Servers, admin: Client, category: str, buyer: Client
    ) -> None:
        seller, offered = offered_by(shop, admin, category)
        buyer.made("/wishlist", {"productId": offered["id"]})
        seller.post(f"/products/{offered['id']}/unpublish")
        assert buyer.get("/wishlist", **now(shop)).json()["items"] == []
        seller.post(f"/products/{offered['id']}/publish")
        admin.made(f"/admin/sellers/{offered['sellerId']}/suspend", {"reason": "counterfeits"})
        assert buyer.get("/wishlist", **now(shop)).json()["total"] == 0
        admin.made(f"/admin/sellers/{offered['sellerId']}/reinstate")
        assert [each["id"] for each in buyer.get("/wishlist", **now(shop)).json()["items"]] == [offered["id"]]
        seller.post(f"/products/{offered['id']}/unpublish")
        assert buyer("DELETE", f"/wishlist/{offered['id']}").status_code == 204

    def test_what_is_refused(
        self, shop: Servers, admin: Client, category: str, product: dict[str, Any], buyer: Client
    ) -> None:
        draft = admin.made("/products", a_product(category, status="draft"))
        for reference in (draft["id"], 99_999_999, str(uuid.uuid4()), "no-such-product"):
            with unchanged(shop):
                assert_problem(buyer.post("/wishlist", {"productId": reference}), 404, "PRODUCT_NOT_FOUND")
        wrong: tuple[dict[str, Any], ...] = (
            {},
            {"productId": None},
            {"productId": -1},
            {"productId": ""},
            {"productId": []},
        )
        for body in wrong:
            with unchanged(shop):
                assert_problem(buyer.post("/wishlist", body), 400, "VALIDATION_ERROR", "productId")
        for reference in (product["id"], uuid.uuid4()):
            with unchanged(shop):
                assert_problem(buyer("DELETE", f"/wishlist/{reference}"), 404, "WISHLIST_ITEM_NOT_FOUND")
        with unchanged(shop):
            assert_problem(buyer("DELETE", "/wishlist/no-such-product"), 404, "PRODUCT_NOT_FOUND")
        with unchanged(shop):
            assert_problem(shop.guest.post("/wishlist", {"productId": product["id"]}), 401, "UNAUTHORIZED")
        with unchanged(shop):
            assert_problem(shop.guest("DELETE", f"/wishlist/{product['id']}"), 401, "UNAUTHORIZED")
        assert_problem(shop.guest.get("/wishlist"), 401, "UNAUTHORIZED")
        assert_problem(buyer.get("/wishlist?skip=-1"), 400, "VALIDATION_ERROR", "skip")


def faults(body_type: type[Body], body: dict[str, Any]) -> set[str]:
    """The fields that are named as wrong."""
    try:
        decode(msgspec.json.encode(body), body_type)
    except InvalidInputError as wrong:
        return set(wrong.details)
    return set()


TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))


class TestLimits:
    """Whatever is sent: what is refused is named, and nothing else is."""

    @given(st.integers(-3, 9), TEXT, st.integers(0, 2100))
    def test_of_a_review(self, rating: int, words: str, length: int) -> None:
        comment = (words * (length // max(len(words), 1) + 1))[:length]
        expected = {
            *(() if 1 <= rating <= 5 else ("rating",)),
            *(() if comment.strip() and len(comment) <= 2000 else ("comment",)),
        }
        for body_type in (ReviewBody, ReviewChangeBody):
            assert faults(body_type, {"rating": rating, "comment": comment}) == expected

    @given(st.integers(0, 1100))
    def test_of_a_reason(self, length: int) -> None:
        assert faults(HidingBody, {"reason": "x" * length}) == (set() if 1 <= length <= 1000 else {"reason"})

    @given(st.one_of(st.integers(), TEXT, st.floats(), st.booleans()))
    def test_of_a_reference(self, reference: Any) -> None:
        number = isinstance(reference, int) and not isinstance(reference, bool) and 0 <= reference < 10**18
        text = isinstance(reference, str) and 1 <= len(reference) <= 100
        assert faults(WishBody, {"productId": reference}) == (set() if number or text else {"productId"})
