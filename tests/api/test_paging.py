"""Lists of other things than products: the same three styles, and the same cursors (C8)."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest

from api.paging import CursorQuery, Cursors
from domain.kernel import InvalidInputError
from projections.products.query import Mark
from tests.api.shop import ADDRESS, Client, Shop, a_product, a_registration, assert_problem


class ColouredQuery(CursorQuery, frozen=True, kw_only=True):
    colour: str = ""


class TestACursor:
    def test_is_opened_by_whoever_has_the_key(self) -> None:
        mark = Mark(engine="postgres", values=(2.5, "a title", 7), seen=20, snapshot="s")
        question = ColouredQuery(colour="red", limit=5).question("things")
        sealed = Cursors(b"key").seal(mark, question)
        again = ColouredQuery(colour="red", cursor=sealed, limit=50)
        assert Cursors(b"key").open(again, again.question("things")) == mark
        assert Cursors(b"key").open(ColouredQuery(cursor=""), question) is None
        for cursors, other in (
            (Cursors(b"another key"), question),
            (Cursors(b"key"), ColouredQuery(colour="blue").question("things")),
            (Cursors(b"key"), ColouredQuery(colour="red").question("others")),
            (Cursors(b"key"), ColouredQuery(colour="red").question("things", "somebody")),
        ):
            with pytest.raises(InvalidInputError) as refused:
                cursors.open(again, other)
            assert list(refused.value.details) == ["cursor"]

    def test_is_none_where_nothing_follows(self) -> None:
        assert Cursors(b"key").seal(None, b"") is None


class Entries:
    """A list as a client reads it."""

    def __init__(self, shop: Shop, client: Client, path: str, name: str, **query: Any) -> None:
        self._headers = {"X-Min-Log-Position": str(shop.head())}
        self._client = client
        self._path = path
        self._name = name
        self._query = query

    def get(self, **query: Any) -> dict[str, Any]:
        response = self._client.get(self._path, params={**self._query, **query}, headers=self._headers)
        assert response.status_code == 200, response.text
        body: dict[str, Any] = response.json()
        return body

    def are_the_same_in_every_style(self, count: int) -> None:
        whole = self.get(limit=0)
        entries = whole[self._name]
        assert (len(entries), whole["total"], whole["skip"], whole["limit"]) == (count, count, 0, 100)
        assert whole["nextCursor"] is None
        followed: list[Any] = []
        cursor: str | None = ""
        while cursor is not None:
            piece = self.get(cursor=cursor, limit=2)
            assert piece.keys() >= {self._name, "nextCursor", "limit"}
            assert "total" not in piece
            followed += piece[self._name]
            cursor = piece["nextCursor"]
        assert followed == entries
        begun = self.get(limit=1)
        rest = self.get(limit=0, cursor=begun["nextCursor"])
        assert begun[self._name] + rest[self._name] == entries
        page = self.get(page=2, limit=2)
        assert page["data"] == entries[2:4]
        assert page["pagination"] == {"total": count, "page": 2, "limit": 2, "pages": -(-count // 2)}
        forged = self._client.get(self._path, params={**self._query, "cursor": "forged"})
        assert_problem(forged, 400, "VALIDATION_ERROR", "cursor")


@pytest.fixture
def products(admin: Client, category: str) -> list[dict[str, Any]]:
    return [admin.made("/products/add", a_product(category)) for _ in range(3)]


def test_orders(shop: Shop, buyer: Client, products: list[dict[str, Any]]) -> None:
    for product in products:
        line = {"productId": product["id"], "quantity": 1}
        buyer.made("/orders", {"shippingAddress": ADDRESS, "products": [line]})
    Entries(shop, buyer, "/orders", "products").are_the_same_in_every_style(3)


def test_the_wishlist(shop: Shop, buyer: Client, products: list[dict[str, Any]]) -> None:
    for product in products:
        buyer.made("/wishlist", {"productId": product["id"]})
    Entries(shop, buyer, "/wishlist", "items").are_the_same_in_every_style(3)


def test_reviews(shop: Shop, buyer: Client, products: list[dict[str, Any]]) -> None:
    for product, rating in zip(products, (3, 5, 3), strict=True):
        buyer.made(f"/products/{product['id']}/reviews", {"rating": rating, "comment": "Nice"})
    for rating in (5, 5, 1):
        shop.user().made(f"/products/{products[0]['id']}/reviews", {"rating": rating, "comment": "Nice"})
    for sort in ("newest", "oldest", "rating", "rating_asc"):
        path = f"/products/{products[0]['id']}/reviews"
        Entries(shop, shop.guest, path, "reviews", sort=sort).are_the_same_in_every_style(4)
    Entries(shop, buyer, "/users/me/reviews", "reviews").are_the_same_in_every_style(3)


def test_shops(shop: Shop, admin: Client) -> None:
    word = f"q{uuid4().hex[:8]}"
    fan = shop.user()
    for number in range(3):
        seller = shop.user("/auth/signup")
        named = seller.patch("/sellers/me", {"shopName": f"{word} {number % 2}"})
        assert named.status_code == 200, named.text
        fan.made(f"/sellers/{named.json()['id']}/follow")
    for sort in ("newest", "oldest", "followers", "name"):
        Entries(shop, shop.guest, "/sellers", "sellers", q=word, sort=sort).are_the_same_in_every_style(3)
    Entries(shop, admin, "/admin/sellers", "sellers", q=word).are_the_same_in_every_style(3)
    Entries(shop, fan, "/users/me/following", "sellers").are_the_same_in_every_style(3)


def test_people_and_collections(shop: Shop, admin: Client) -> None:
    word = f"q{uuid4().hex[:8]}"
    for number in range(3):
        shop.guest.made("/auth/register", a_registration(email=f"{word}{number}@example.com"))
        admin.made("/admin/collections", {"name": f"{word} {number}", "order": number % 2})
    Entries(shop, admin, "/admin/users", "users", q=word).are_the_same_in_every_style(3)
    Entries(shop, admin, "/admin/collections", "collections", q=word).are_the_same_in_every_style(3)
