"""The acceptance list of what becomes of an order: seeing it, sending it, tracking it and what is noted about it."""

import json
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Any

import httpx
import pytest

from tests.api.shop import ADDRESS, CARRIERS_SECRET, Client, Shop, a_product, assert_problem
from tests.api.test_contract_accounts import Refusal, Row, assert_described, assert_shows
from workers.local.stripe_simulator import signature

S2_LINE = {
    "id": int,
    "title": str,
    "price": (int, float),
    "quantity": 1,
    "total": (int, float),
    "discountPercentage": (int, float),
    "discountedTotal": (int, float),
    "thumbnail": str,
}
S2_ORDER = {
    "id": str,
    "userId": int,
    "products": [S2_LINE],
    "subtotal": (int, float),
    "tax": (int, float),
    "shipping": (int, float),
    "total": (int, float),
    "status": str,
    "shippingAddress": dict,
    "paymentMethod": "card",
    "createdAt": str,
    "updatedAt": str,
}
S4_ORDER = {
    "userId": int,
    "items": [{"productId": int, "qty": 1, "priceAtPurchase": (int, float)}],
    "shippingAddress": dict,
    "paymentStatus": str,
    "orderStatus": str,
    "totalAmount": (int, float),
    "createdAt": str,
    "updatedAt": str,
}
PIECE = {"total": int, "skip": 0, "limit": 10}
UPS = "1Z999AA10123456784"
AT_UPS = f"https://www.ups.com/track?tracknum={UPS}"
S2_SHIPPED = {
    "status": "shipped",
    "trackingNumber": UPS,
    "carrier": "UPS",
    "note": "Shipped via UPS Ground",
}
S2_SCAN = {
    "status": "picked_up",
    "location": "New York, NY",
    "timestamp": "2025-12-24T14:00:00Z",
    "description": "Package picked up",
}
SCANNED = {**S2_SCAN, "timestamp": "2025-12-24T14:00:00.000Z"}
UNSENT = {
    "carrier": None,
    "trackingNumber": None,
    "trackingUrl": None,
    "estimatedDelivery": None,
}

ROWS = (
    Row(
        "S0-ORD-03",
        "user",
        "GET /orders/{paid}",
        200,
        {
            "id": "{paid}",
            "items": list,
            "total": (int, float),
            "status": "processing",
            "payment": {"status": "paid", "method": "card"},
            "createdAt": str,
        },
    ),
    Row(
        "S0-ORD-04", "user", "GET /orders?cursor=&of={paid}", 200, {"orders": [S2_ORDER], "nextCursor": None}
    ),
    Row("S1-ORD-02", "user", "GET /orders/{pending}", 200, {"id": "{pending}", "status": "pending"}),
    Row(
        "S1-ORD-03",
        "user",
        "GET /orders?cursor=&limit=20&status=pending&of={pending}",
        200,
        {"orders": [{"status": "pending"}], "nextCursor": None, "limit": 20},
    ),
    Row(
        "S2-ORD-02",
        "user",
        "GET /orders?skip=0&limit=10&of={paid}",
        200,
        {"products": [{"id": "{paid}", "status": str, "total": (int, float), "createdAt": str}], **PIECE},
    ),
    Row("S2-ORD-03", "user", "GET /orders/{paid}", 200, S2_ORDER),
    Row("S2-ORD-04", "admin", "GET /orders/all?of={paid}", 200, {"products": [S2_ORDER], **PIECE}),
    Row(
        "S2-ORD-05",
        "admin",
        "PUT /orders/{paid}/status",
        200,
        {**S2_ORDER, "status": "shipped", "trackingNumber": UPS, "carrier": "UPS", "trackingUrl": AT_UPS},
        S2_SHIPPED,
    ),
    Row(
        "S2-ORD-06",
        "user",
        "PUT /orders/{paid}/cancel",
        200,
        {"id": "{paid}", "status": "cancelled", "cancelledAt": str, "cancelReason": "Changed my mind"},
        {"reason": "Changed my mind"},
    ),
    Row(
        "S2-ORD-07",
        "user",
        "GET /orders/{tracked}/tracking",
        200,
        {
            "orderId": "{tracked}",
            "status": "picked_up",
            "carrier": "UPS",
            "trackingNumber": UPS,
            "trackingUrl": AT_UPS,
            "estimatedDelivery": "2025-12-27",
            "events": [SCANNED],
        },
    ),
    Row(
        "S2-ORD-09",
        "user",
        "POST /orders/{pending}/notes",
        201,
        {"id": str, "orderId": "{pending}", "note": "Ring twice", "authorId": int, "createdAt": str},
        {"note": " Ring twice "},
    ),
    Row(
        "S3-ORD-03",
        "user",
        "GET /orders?page=1&of={paid}",
        200,
        {"data": [S2_ORDER], "pagination": {"total": 1, "page": 1, "limit": 20, "pages": 1}},
    ),
    Row("S4-ORD-02", "user", "GET /orders?of={paid}", 200, {"orders": [S4_ORDER]}),
    Row(
        "S4-ORD-03",
        "user",
        "GET /orders/{paid}",
        200,
        {**S4_ORDER, "trackingStatus": "pending", "tracking": {"status": "pending", "events": [], **UNSENT}},
    ),
    Row(
        "S4-ORD-04",
        "admin",
        "PATCH /orders/{paid}/status",
        200,
        {**S4_ORDER, "orderStatus": "shipped", "tracking": {"carrier": "UPS", "trackingNumber": UPS}},
        {"orderStatus": "shipped", "tracking": {"carrier": "UPS", "number": UPS}},
    ),
    Row("S4-ADM-03", "admin", "GET /admin/orders?of={paid}", 200, {"orders": [S4_ORDER]}),
    Row(
        "S4-ADM-04",
        "admin",
        "PATCH /admin/orders/{paid}/status",
        200,
        {**S4_ORDER, "orderStatus": "delivered"},
        {"orderStatus": "Delivered"},
    ),
)

_CALLS: tuple[tuple[str, str, Any], ...] = (
    ("S2-ORD-03", "GET /orders/{paid}", None),
    ("S2-ORD-05", "PUT /orders/{paid}/status", S2_SHIPPED),
    ("S4-ORD-04", "PATCH /orders/{paid}/status", {"orderStatus": "shipped"}),
    ("S2-ORD-06", "PUT /orders/{paid}/cancel", {}),
    ("S2-ORD-07", "GET /orders/{paid}/tracking", None),
    ("S2-ORD-09", "POST /orders/{paid}/notes", {"note": "Hm."}),
    ("events", "POST /orders/{paid}/tracking-events", S2_SCAN),
    ("parcel", "PUT /orders/{paid}/parcels/1/status", S2_SHIPPED),
    ("sold", "GET /sellers/me/orders/{paid}", None),
)
_OF_ADMINS = (
    ("S2-ORD-04", "GET /orders/all", None),
    ("S4-ADM-03", "GET /admin/orders", None),
    ("S4-ADM-04", "PATCH /admin/orders/{paid}/status", {"status": "shipped"}),
    ("S4-ADM-04", "PUT /admin/orders/{paid}/status", {"status": "shipped"}),
)

REFUSALS = (
    *(Refusal(row, "guest", call, 401, "UNAUTHORIZED", body) for row, call, body in (*_CALLS, *_OF_ADMINS)),
    Refusal("S0-ORD-04", "guest", "GET /orders", 401, "UNAUTHORIZED"),
    Refusal("S4-ADM-03", "admin", "GET /admin/orders?userId=nobody-at-all", 404, "USER_NOT_FOUND"),
    Refusal("sold", "guest", "GET /sellers/me/orders", 401, "UNAUTHORIZED"),
    *(Refusal(row, "other", call, 403, "FORBIDDEN", body) for row, call, body in (*_CALLS, *_OF_ADMINS)),
    *(Refusal(row, "user", call, 403, "FORBIDDEN", body) for row, call, body in _OF_ADMINS),
    # The buyer sends nothing.
    *(
        Refusal(row, "user", call, 403, "FORBIDDEN", body)
        for row, call, body in _CALLS
        if row in ("S2-ORD-05", "S4-ORD-04", "events", "parcel", "sold")
    ),
    Refusal("S2-ORD-05", "user", "PUT /orders/{paid}/status", 403, "FORBIDDEN", {"status": "cancelled"}),
    Refusal("S2-ORD-09", "seller", "POST /orders/{of_seller}/notes", 403, "FORBIDDEN", {"note": "Hm."}),
    Refusal(
        "S2-ORD-05", "seller", "PUT /orders/{of_seller}/status", 403, "FORBIDDEN", {"status": "cancelled"}
    ),
    Refusal(
        "S2-ORD-09",
        "user",
        "POST /orders/{paid}/notes",
        403,
        "FORBIDDEN",
        {"note": "Hm.", "visibility": "internal"},
    ),
    *(
        Refusal(row, "admin", call.replace("{paid}", nowhere), 404, "ORDER_NOT_FOUND", body)
        for row, call, body in (*_CALLS, *_OF_ADMINS[2:])
        for nowhere in ("ORD-1999010101", str(uuid.UUID(int=7)))
    ),
    *(
        Refusal(
            "parcel",
            "admin",
            f"PUT /orders/{{paid}}/parcels/{number}/status",
            404,
            "PARCEL_NOT_FOUND",
            {"status": "shipped"},
        )
        for number in ("2", "0", "-1", "one", "9" * 30)
    ),
    *(
        Refusal("S2-ORD-05", "admin", "PUT /orders/{paid}/status", 400, "VALIDATION_ERROR", body, (field,))
        for body, field in (
            ({}, "status"),
            ({"status": ""}, "status"),
            ({"status": "lost"}, "status"),
            ({"status": 7}, "status"),
            ({"orderStatus": "refunded"}, "orderStatus"),
            ({"status": "shipped", "trackingNumber": "1" * 101}, "trackingNumber"),
            ({"status": "shipped", "trackingNumber": 7}, "trackingNumber"),
            ({"status": "shipped", "trackingUrl": "javascript:alert(1)"}, "trackingUrl"),
            ({"status": "shipped", "tracking": {"url": "ftp://a"}}, "tracking.url"),
            ({"status": "shipped", "trackingUrl": "https://www.ups.com@evil.example"}, "trackingUrl"),
            ({"status": "shipped", "tracking": {"url": 'https://a"onclick="alert(1)'}}, "tracking.url"),
            ({"status": "shipped", "trackingUrl": "https://a/\u202e"}, "trackingUrl"),
            ({"status": "shipped", "estimatedDelivery": "soon"}, "estimatedDelivery"),
            ({"status": "shipped", "estimatedDelivery": "0001-01-01"}, "estimatedDelivery"),
            ({"status": "shipped", "note": "n" * 1001}, "note"),
        )
    ),
    *(
        Refusal(
            "events", "admin", "POST /orders/{paid}/tracking-events", 400, "VALIDATION_ERROR", body, (field,)
        )
        for body, field in (
            ({}, "status"),
            ({"status": "lost"}, "status"),
            ({"status": "in_transit", "parcel": 0}, "parcel"),
            ({"status": "in_transit", "timestamp": "yesterday"}, "timestamp"),
            ({"status": "in_transit", "timestamp": "2099-01-01T00:00:00Z"}, "timestamp"),
            ({"status": "in_transit", "timestamp": "0001-01-01T00:00:00+14:00"}, "timestamp"),
            ({"status": "in_transit", "location": "l" * 501}, "location"),
        )
    ),
    *(
        Refusal("S2-ORD-09", "user", "POST /orders/{paid}/notes", 400, "VALIDATION_ERROR", body, (field,))
        for body, field in (
            ({}, "note"),
            ({"note": ""}, "note"),
            ({"note": "  "}, "note"),
            ({"note": "n" * 1001}, "note"),
            ({"note": "n", "visibility": "mine"}, "visibility"),
        )
    ),
    Refusal("S1-ORD-03", "user", "GET /orders?status=lost", 400, "VALIDATION_ERROR", None, ("status",)),
    *(
        Refusal("S4-ADM-03", "admin", f"GET /admin/orders?{query}", 400, "VALIDATION_ERROR", None, (field,))
        for query, field in (
            ("status=lost", "status"),
            ("paymentStatus=lost", "paymentStatus"),
            ("from=yesterday", "from"),
            ("to=2026-02-30", "to"),
            ("to=9999-12-31", "to"),
            ("q=a%25b", "q"),
            ("limit=a", "limit"),
            ("cursor=forged", "cursor"),
        )
    ),
    Refusal(
        "sold", "seller", "GET /sellers/me/orders?status=lost", 400, "VALIDATION_ERROR", None, ("status",)
    ),
    Refusal(
        "S2-ORD-05",
        "admin",
        "PUT /orders/{of_seller}/status",
        422,
        "INVALID_STATUS_TRANSITION",
        {"status": "pending"},
    ),
    Refusal(
        "S2-ORD-05",
        "seller",
        "PUT /orders/{of_seller}/status",
        422,
        "INVALID_STATUS_TRANSITION",
        {"status": "delivered"},
    ),
    Refusal(
        "S2-ORD-05",
        "seller",
        "PUT /orders/{unpaid_of_seller}/status",
        422,
        "INVALID_STATUS_TRANSITION",
        {"status": "processing"},
    ),
    Refusal(
        "events",
        "seller",
        "POST /orders/{unpaid_of_seller}/tracking-events",
        422,
        "INVALID_STATUS_TRANSITION",
        S2_SCAN,
    ),
    Refusal(
        "parcel",
        "admin",
        "PUT /orders/{paid}/parcels/1/status",
        422,
        "INVALID_STATUS_TRANSITION",
        {"status": "cancelled"},
    ),
    Refusal("S2-ORD-06", "user", "PUT /orders/{tracked}/cancel", 422, "ORDER_CANNOT_CANCEL", {}),
)


class Scene:
    """People and orders that rows are about, each made when a row first names it."""

    def __init__(self, shop: Shop, admin: Client, category: str) -> None:
        self._shop = shop
        self._category = category
        self._orders: list[str] = []
        self.admin = admin
        self.guest = shop.guest

    @property
    def recorded(self) -> list[int]:
        """How much has happened to each of the orders; what is heard of their payments meanwhile is nothing to them."""
        return [self._shop.version(order) for order in self._orders]

    @cached_property
    def user(self) -> Client:
        return self._shop.user()

    @cached_property
    def other(self) -> Client:
        return self._shop.user()

    @cached_property
    def seller(self) -> Client:
        return self._shop.user("/auth/signup")

    @cached_property
    def of_house(self) -> dict[str, Any]:
        return self.admin.made("/products/add", a_product(self._category))

    @cached_property
    def of_person(self) -> dict[str, Any]:
        return self.seller.made("/products", a_product(self._category, status="active"))

    def order(self, *products: dict[str, Any], paid: bool = True) -> dict[str, Any]:
        lines = [{"id": product["id"], "quantity": 1} for product in products]
        placed = self.user.made("/orders", {"products": lines, "shippingAddress": ADDRESS})
        self._orders.append(placed["uuid"])
        if paid:
            intent = f"/payments/intents/{placed['paymentIntentId']}"
            self.user.made(f"{intent}/confirm", {"paymentMethodId": "pm_card_visa"})
        return placed

    @cached_property
    def pending(self) -> str:
        return self._name(self.order(self.of_house, paid=False))

    @cached_property
    def paid(self) -> str:
        return self._name(self.order(self.of_house))

    @cached_property
    def tracked(self) -> str:
        shipped = {**S2_SHIPPED, "estimatedDelivery": "2025-12-27"}
        assert self.admin("PUT", f"/orders/{self.paid}/status", json=shipped).status_code == 200
        self.admin.made(f"/orders/{self.paid}/tracking-events", S2_SCAN)
        return self.paid

    @cached_property
    def of_seller(self) -> str:
        return self._name(self.order(self.of_person))

    @cached_property
    def unpaid_of_seller(self) -> str:
        return self._name(self.order(self.of_person, paid=False))

    @staticmethod
    def _name(order: dict[str, Any]) -> str:
        name: str = order["id"]
        return name

    def filled(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {name: self.filled(item) for name, item in value.items()}
        if isinstance(value, list):
            return [self.filled(item) for item in value]
        if isinstance(value, str) and "{" in value:
            before, _, rest = value.partition("{")
            name, _, after = rest.partition("}")
            return f"{before}{getattr(self, name)}{self.filled(after)}"
        return value

    def there(self, who: str) -> Client:
        client: Client = getattr(self, who)
        return client

    def call(self, row: Row | Refusal) -> httpx.Response:
        method, path = self.filled(row.call).split(" ")
        client = self.there(row.who)
        options = {} if row.body is None else {"json": row.body}
        return client(method, path, headers=self.fresh, **options)

    @property
    def fresh(self) -> dict[str, str]:
        return {"X-Min-Log-Position": str(self._shop.head())}

    def get(self, client: Client, path: str) -> dict[str, Any]:
        response = client.get(path, headers=self.fresh)
        assert response.status_code == 200, response.text
        body: dict[str, Any] = response.json()
        return body

    def put(self, client: Client, path: str, body: dict[str, Any]) -> dict[str, Any]:
        response = client("PUT", path, json=body)
        assert response.status_code == 200, response.text
        answer: dict[str, Any] = response.json()
        return answer


@pytest.fixture
def scene(shop: Shop, admin: Client, category: str) -> Scene:
    return Scene(shop, admin, category)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id)
def test_row(scene: Scene, row: Row) -> None:
    response = scene.call(row)
    assert response.status_code == row.status, response.text
    assert response.headers["content-type"] == "application/json"
    assert_shows(response.json(), scene.filled(row.answer))


@pytest.mark.parametrize("row", REFUSALS, ids=lambda row: f"{row.id} {row.who} {row.status} {row.fields}")
def test_row_refuses(scene: Scene, row: Refusal) -> None:
    scene.filled(row.call)
    scene.there(row.who)
    before = scene.recorded
    problem = assert_problem(scene.call(row), row.status, row.code, *row.fields)
    assert scene.recorded == before
    if (row.id, row.status) in (("S2-ORD-03", 403), ("sold", 403)):
        assert problem["message"] == "You don't have permission to view this order"


def test_every_row_is_asked_for_in_one_way() -> None:
    ids = [row.id for row in ROWS]
    assert len(ids) == len(set(ids))


def test_the_description_knows_every_row_and_every_refusal(shop: Shop) -> None:
    paths = httpx.get(f"{shop.origin}/docs/json").json()["paths"]
    assert_described(paths, (*ROWS, *REFUSALS))


class TestStatus:
    @pytest.mark.parametrize("word", ["Confirmed", "PROCESSING", "processing"])
    def test_what_is_not_paid_is_sent_on_account_by_an_admin(self, scene: Scene, word: str) -> None:
        answer = scene.put(scene.admin, f"/orders/{scene.pending}/status", {"status": word})
        assert (answer["status"], answer["paymentStatus"]) == ("processing", "pending")
        assert answer["startedAt"]
        product = scene.get(scene.guest, f"/products/{scene.of_house['id']}")
        assert product["stock"] == 49

    @pytest.mark.parametrize("word", ["cancelled", "Canceled"])
    def test_to_be_cancelled_is_to_be_cancelled(self, scene: Scene, word: str) -> None:
        """Also by this path what was paid goes back, and the note is why."""
        answer = scene.put(
            scene.admin, f"/admin/orders/{scene.paid}/status", {"status": word, "note": "Fraud"}
        )
        assert (answer["status"], answer["cancelledBy"], answer["cancelReason"]) == (
            "cancelled",
            "admin",
            "Fraud",
        )
        assert answer["parcels"][0]["status"] == "cancelled"
        assert scene.get(scene.guest, f"/products/{scene.of_house['id']}")["stock"] == 50
        late = scene.admin("PUT", f"/orders/{scene.paid}/status", json={"status": "shipped"})
        problem = assert_problem(late, 422, "INVALID_STATUS_TRANSITION")
        assert problem["details"] == {"status": "cancelled", "to": "shipped"}

    def test_what_is_answered_is_what_is_read_afterwards(self, scene: Scene) -> None:
        answer: dict[str, Any] = {}
        for body in (S2_SHIPPED, {"status": "delivered", "note": "At the door"}):
            answer = scene.put(scene.admin, f"/orders/{scene.paid}/status", body)
            read = scene.get(scene.admin, f"/orders/{scene.paid}")
            assert {**read, "updatedAt": answer["updatedAt"]} == answer
        assert [note["note"] for note in answer["notes"]] == ["Shipped via UPS Ground", "At the door"]
        assert answer["shippedAt"] <= answer["deliveredAt"]
        assert answer["trackingStatus"] == "delivered"

    def test_only_who_has_seen_the_latest_of_it_changes_it_where_they_ask_for_that(
        self, scene: Scene
    ) -> None:
        path = f"/orders/{scene.paid}"
        etag = scene.admin.get(path, headers=scene.fresh).headers["etag"]
        assert scene.user.get(path, headers=scene.fresh).headers["etag"] == etag
        scene.user.made(f"{path}/notes", {"note": "Ring twice"})
        late = scene.admin("PUT", f"{path}/status", json=S2_SHIPPED, headers={"If-Match": etag})
        assert_problem(late, 409, "VERSION_CONFLICT")
        etag = scene.admin.get(path, headers=scene.fresh).headers["etag"]
        done = scene.admin("PUT", f"{path}/status", json=S2_SHIPPED, headers={"If-Match": etag})
        assert done.status_code == 200
        assert scene.admin.get(path, headers=scene.fresh).headers["etag"] == done.headers["etag"]

    def test_a_retry_gets_the_first_answer(self, scene: Scene) -> None:
        for method, path, body in (
            ("PUT", f"/orders/{scene.paid}/status", S2_SHIPPED),
            ("POST", f"/orders/{scene.paid}/notes", {"note": "Hm."}),
            ("POST", f"/orders/{scene.paid}/tracking-events", S2_SCAN),
        ):
            key = {"Idempotency-Key": uuid.uuid4().hex}
            first = scene.admin(method, path, json=body, headers=key)
            before = scene.recorded
            again = scene.admin(method, path, json=body, headers=key)
            assert (again.status_code, again.content) == (first.status_code, first.content)
            assert again.headers["idempotency-replayed"] == "true"
            assert scene.recorded == before

    def test_every_spelling_of_how_it_is_sent_is_read(self, scene: Scene) -> None:
        answer: dict[str, Any] = {}
        for body in (
            {"status": "shipped", "tracking_number": UPS, "carrier": "ups"},
            {"order_status": "SHIPPED", "tracking": {"tracking_number": UPS, "carrier": "UPS"}},
            {"status": "shipped", "tracking": UPS, "carrier": "UPS"},
            {
                "status": "shipped",
                "trackingUrl": "https://t.example.com/7",
                "estimated_delivery": "2026-12-01T10:00:00Z",
            },
        ):
            answer = scene.put(scene.admin, f"/orders/{scene.paid}/status", body)
            assert answer["trackingNumber"] == UPS
        assert (answer["trackingUrl"], answer["estimatedDelivery"]) == (
            "https://t.example.com/7",
            "2026-12-01",
        )


class TestTwoSellers:
    """An order of a house's and a person's things: one order to the buyer, and a parcel to each of them."""

    @pytest.fixture
    def both(self, scene: Scene) -> dict[str, Any]:
        return scene.order(scene.of_house, scene.of_person)

    def test_each_sends_their_own(self, scene: Scene, both: dict[str, Any]) -> None:
        path = f"/orders/{both['id']}"
        sold = scene.put(scene.seller, f"{path}/status", {**S2_SHIPPED, "note": "Packed well"})
        assert (sold["status"], sold["trackingNumber"]) == ("shipped", UPS)
        order = scene.get(scene.user, path)
        assert order["status"] == "processing"
        assert [(each["number"], each["status"]) for each in order["parcels"]] == [
            (1, "processing"),
            (2, "shipped"),
        ]
        assert (order["trackingNumber"], order["trackingStatus"]) == (UPS, "picked_up")
        assert [(note["note"], note["author"]) for note in order["notes"]] == [("Packed well", "seller")]
        other = scene.seller("PUT", f"{path}/parcels/1/status", json={"status": "shipped"})
        assert_problem(other, 403, "FORBIDDEN")
        sent = scene.put(scene.admin, f"{path}/parcels/1/status", {"status": "shipped", "carrier": "DHL"})
        assert (sent["status"], [each["carrier"] for each in sent["parcels"]]) == ("shipped", ["DHL", "UPS"])
        scene.seller.made(f"{path}/tracking-events", {"status": "Out for delivery", "location": "Bath"})
        seen = scene.get(scene.seller, f"{path}/tracking")
        assert [each["number"] for each in seen["parcels"]] == [2]
        assert (seen["status"], seen["events"][0]["location"]) == ("out_for_delivery", "Bath")
        assert [len(each["events"]) for each in scene.get(scene.user, f"{path}/tracking")["parcels"]] == [
            0,
            1,
        ]
        scene.seller.made(f"{path}/tracking-events", {"parcel": 2, "status": "delivered"})
        done = scene.put(scene.admin, f"{path}/status", {"status": "delivered"})
        assert done["status"] == "delivered"

    def test_a_seller_sees_what_is_theirs_and_nothing_else(self, scene: Scene, both: dict[str, Any]) -> None:
        scene.user.made(f"/orders/{both['id']}/notes", {"note": "Ring twice"})
        scene.admin.made(f"/orders/{both['id']}/notes", {"note": "A regular", "visibility": "internal"})
        seen = scene.get(scene.seller, f"/orders/{both['id']}")
        assert [line["id"] for line in seen["products"]] == [scene.of_person["id"]]
        assert [line["productId"] for line in seen["items"]] == [scene.of_person["id"]]
        assert seen["subtotal"] == 1133.99
        assert [each["number"] for each in seen["parcels"]] == [2]
        assert seen["shippingAddress"]["city"] == ADDRESS["city"]
        assert [note["note"] for note in seen["notes"]] == ["Ring twice"]
        hidden = {"total", "totalAmount", "tax", "taxes", "discount", "promotions", "couponCode", "paymentIntentId",
                  "paymentMethod", "paymentStatus", "payment", "billingAddress", "disputes",
                  "invoiceNumber"}  # fmt: skip
        assert hidden.isdisjoint(seen)
        text = json.dumps(seen)
        for secret in (both["paymentIntentId"], scene.of_house["uuid"], both["products"][0]["sellerId"]):
            assert secret not in text
        assert scene.get(scene.seller, f"/sellers/me/orders/{both['uuid']}") == seen

    def test_a_seller_sees_where_the_buyer_lives_while_something_goes_there(self, scene: Scene) -> None:
        def told(order: str) -> tuple[set[str], set[str]]:
            one = scene.get(scene.seller, f"/sellers/me/orders/{order}")
            assert scene.get(scene.seller, f"/orders/{order}") == one
            (listed,) = [
                each
                for each in scene.get(scene.seller, "/sellers/me/orders?limit=100")["products"]
                if each["id"] == order
            ]
            return set(one["shippingAddress"].values()), set(listed["shippingAddress"].values())

        assert told(scene.unpaid_of_seller) == ({""}, {""})
        for street in told(scene.of_seller):
            assert ADDRESS["address"] in street
        scene.user.made(f"/orders/{scene.of_seller}/cancel", {})
        assert told(scene.of_seller) == ({""}, {""})
        assert (
            scene.get(scene.user, f"/orders/{scene.of_seller}")["shippingAddress"]["city"] == ADDRESS["city"]
        )

    def test_internal_notes_are_read_by_admins_alone(self, scene: Scene, both: dict[str, Any]) -> None:
        path = f"/orders/{both['id']}"
        internal = {"note": "A regular", "visibility": "internal"}
        assert scene.admin.made(f"{path}/notes", internal)["author"] == "admin"
        whole = scene.get(scene.admin, path)
        assert [note["visibility"] for note in whole["notes"]] == ["internal"]
        assert whole["disputes"] == []
        own = scene.get(scene.user, path)
        assert own["notes"] == []
        assert "disputes" not in own
        exported = scene.user.get("/users/me/export", headers=scene.fresh)
        assert (exported.status_code, "A regular" in exported.text) == (200, False)
        scene.user.made(f"{path}/notes", {"note": "Ring twice"})
        told = scene.user.get("/users/me/export", headers=scene.fresh).json()
        assert "order_note_added" in {event["type"] for event in told["history"]}

    def test_sellers_have_a_list_of_their_own(self, scene: Scene, both: dict[str, Any]) -> None:
        alone = scene.order(scene.of_person, paid=False)
        scene.order(scene.of_house)
        listed = scene.get(scene.seller, "/sellers/me/orders")
        assert [each["id"] for each in listed["products"]] == [alone["id"], both["id"]]
        assert (listed["total"], listed["orders"]) == (2, listed["products"])
        for status, wanted in (("processing", both), ("Pending", alone)):
            (found,) = scene.get(scene.seller, f"/sellers/me/orders?status={status}")["products"]
            assert found["id"] == wanted["id"]
        assert scene.get(scene.seller, "/sellers/me/orders?page=2&limit=1") == {
            "data": listed["products"][1:],
            "pagination": {"total": 2, "page": 2, "limit": 1, "pages": 2},
        }
        first = scene.get(scene.seller, "/sellers/me/orders?cursor=&limit=1")
        assert first["products"] == listed["products"][:1]
        rest = scene.get(scene.seller, f"/sellers/me/orders?cursor={first['nextCursor']}&limit=1")
        assert (rest["products"], rest["nextCursor"]) == (listed["products"][1:], None)
        assert scene.get(scene.other, "/sellers/me/orders")["products"] == []

    def test_a_carrier_is_told_of_which_of_several(self, scene: Scene, both: dict[str, Any]) -> None:
        before = scene.recorded
        said = scene.admin.post(f"/orders/{both['id']}/tracking-events", S2_SCAN)
        assert_problem(said, 400, "VALIDATION_ERROR", "parcel")
        assert scene.recorded == before


class TestAllOrders:
    def test_are_found_by_whose_they_are_when_they_were_and_how_far_they_are(self, scene: Scene) -> None:
        paid, pending = scene.paid, scene.pending
        user = scene.user.get("/users/me").json()
        day = time.strftime("%Y-%m-%d", time.gmtime())
        for query, wanted in (
            ("", [pending, paid]),
            (f"from={day}", [pending, paid]),
            (f"to={day}", [pending, paid]),
            ("to=2020-01-01", []),
            ("from=2099-01-01T00:00:00%2B02:00", []),
            ("status=Confirmed", [paid]),
            ("status=pending", [pending]),
            ("paymentStatus=paid", [paid]),
            ("payment_status=pending", [pending]),
            (f"q={paid.lower()}", [paid]),
            (f"q={paid}&status=pending", []),
        ):
            for path in ("/orders/all", "/admin/orders"):
                for whose in (user["id"], user["uuid"], user["username"]):
                    found = scene.get(scene.admin, f"{path}?userId={whose}&{query}")
                    assert [each["id"] for each in found["products"]] == wanted, query
                    assert (found["total"], found["orders"]) == (len(wanted), found["products"])
        assert scene.get(scene.admin, "/admin/orders?q=ORD-&limit=1")["total"] >= 2

    def test_come_in_pages_of_every_kind(self, scene: Scene) -> None:
        orders = [scene.pending, scene.paid]
        whose = f"userId={scene.user.get('/users/me').json()['id']}"
        numbered = scene.get(scene.admin, f"/admin/orders?{whose}&page=2&limit=1")
        assert numbered["pagination"] == {"total": 2, "page": 2, "limit": 1, "pages": 2}
        assert [each["id"] for each in numbered["data"]] == orders[:1]
        first = scene.get(scene.admin, f"/admin/orders?{whose}&cursor=&limit=1")
        rest = scene.get(scene.admin, f"/admin/orders?{whose}&cursor={first['nextCursor']}&limit=1")
        assert [each["id"] for each in (*first["orders"], *rest["orders"])] == orders[::-1]
        assert rest["nextCursor"] is None


class TestCarriers:
    """S2-SHIP-03"""

    PATH = "/shipping/webhook"

    def message(self, number: str, **fields: Any) -> bytes:
        said = {**S2_SCAN, "trackingNumber": number, "id": uuid.uuid4().hex, **fields}
        return json.dumps({name: value for name, value in said.items() if value is not None}).encode()

    def send(self, client: Client, body: bytes, signed: str = "") -> httpx.Response:
        headers = {"Shipping-Signature": signed or signature(body, CARRIERS_SECRET)}
        return client("POST", self.PATH, content=body, headers=headers)

    @pytest.fixture
    def shipped(self, scene: Scene) -> tuple[str, str]:
        """The path of an order, and its tracking number."""
        number = f"1Z {uuid.uuid4().hex.upper()}"
        path = f"/orders/{scene.paid}"
        scene.put(scene.admin, f"{path}/status", {**S2_SHIPPED, "trackingNumber": number})
        assert scene.get(scene.admin, path)["trackingNumber"] == number
        return path, number

    def test_what_one_says_is_told_to_the_buyer(self, scene: Scene, shipped: tuple[str, str]) -> None:
        path, number = shipped
        body = self.message(number.replace(" ", "").lower(), status="In Transit", carrier="ups")
        assert self.send(scene.guest, body).json() == {"received": True}
        before = scene.recorded
        for again in (body, self.message(number, status="in_transit")):
            assert self.send(scene.guest, again).status_code == 200
        assert scene.recorded == before
        tracking = scene.get(scene.user, f"{path}/tracking")
        assert (tracking["status"], tracking["events"]) == (
            "in_transit",
            [{**SCANNED, "status": "in_transit"}],
        )
        assert self.send(scene.guest, self.message(number, status="delivered", id=None)).status_code == 200
        order = scene.get(scene.user, path)
        assert (order["status"], order["trackingStatus"]) == ("delivered", "delivered")
        assert order["deliveredAt"] > "2026"

    def test_what_we_do_not_know_is_passed_over(
        self, scene: Scene, shop: Shop, shipped: tuple[str, str]
    ) -> None:
        _, number = shipped
        before = scene.recorded
        for body in (
            self.message("NOSUCHNUMBER"),
            self.message("--"),
            self.message(number, carrier="DHL"),
        ):
            assert self.send(scene.guest, body).json() == {"received": True}
        assert scene.recorded == before
        told = [line for line in shop.log_lines().splitlines() if "unknown parcel" in line]
        assert any('"ending":"MBER"' in line for line in told)
        assert "NOSUCHNUMBER" not in shop.log_lines()

    def test_what_cannot_be_is_passed_over_too(self, scene: Scene) -> None:
        number = uuid.uuid4().hex
        path = f"/orders/{scene.paid}/status"
        scene.put(scene.admin, path, {"status": "processing", "trackingNumber": number})
        scene.put(scene.admin, path, {"status": "cancelled"})
        assert scene.get(scene.admin, f"/orders/{scene.paid}")["trackingNumber"] == number
        before = scene.recorded
        assert self.send(scene.guest, self.message(number)).status_code == 200
        assert scene.recorded == before

    def test_the_first_scan_of_a_label_says_that_it_was_sent(self, scene: Scene) -> None:
        number = uuid.uuid4().hex
        path = f"/orders/{scene.paid}"
        labelled = scene.put(
            scene.admin,
            f"{path}/status",
            {"status": "processing", "trackingNumber": number, "carrier": "DPD"},
        )
        assert (labelled["status"], labelled["trackingStatus"]) == ("processing", "pending")
        assert scene.get(scene.user, path)["trackingNumber"] == number
        assert self.send(scene.guest, self.message(number)).status_code == 200
        assert scene.get(scene.user, path)["status"] == "shipped"

    def test_what_nobody_signed_whom_we_know_is_refused(self, scene: Scene, shipped: tuple[str, str]) -> None:
        body, before = self.message(shipped[1]), scene.recorded
        for signed in (
            "nonsense",
            signature(body, "another secret"),
            signature(body + b" ", CARRIERS_SECRET),
            signature(body, CARRIERS_SECRET, at=int(time.time()) - 301),
        ):
            refused = self.send(scene.guest, body, signed)
            assert_problem(refused, 400, "INVALID_SIGNATURE", "Shipping-Signature")
        unsigned = scene.guest("POST", self.PATH, content=body)
        assert_problem(unsigned, 400, "INVALID_SIGNATURE", "Shipping-Signature")
        assert scene.recorded == before

    @pytest.mark.parametrize(
        ("fields", "field"),
        [
            ({"trackingNumber": None}, "trackingNumber"),
            ({"trackingNumber": ""}, "trackingNumber"),
            ({"status": "eaten"}, "status"),
            ({"timestamp": "soon"}, "timestamp"),
        ],
    )
    def test_what_makes_no_sense_is_refused(
        self, scene: Scene, shipped: tuple[str, str], fields: dict[str, Any], field: str
    ) -> None:
        before = scene.recorded
        refused = self.send(scene.guest, self.message(shipped[1], **fields))
        assert_problem(refused, 400, "VALIDATION_ERROR", field)
        assert scene.recorded == before

    def test_nobody_is_heard_where_none_is_configured_and_none_is_told_to_wait(self, shop: Shop) -> None:
        limited = {"RATE_LIMIT_ENABLED": "true", "RATE_LIMIT_MAX_REQUESTS": "2"}
        with shop.another_api(SHIPPING_WEBHOOK_SECRET="", **limited) as origin:
            carrier = shop.client(origin=origin)
            for _ in range(4):
                refused = self.send(carrier, self.message("7"))
                assert_problem(refused, 503, "CARRIER_NOT_CONFIGURED")


@pytest.fixture(scope="module")
def elsewhere(shop: Shop) -> Iterator[str]:
    with shop.another_api() as origin:
        yield origin


class TestAtTheSameMoment:
    """Two API processes on the same servers."""

    def at_once(self, *calls: Callable[[], httpx.Response]) -> list[httpx.Response]:
        answers: list[httpx.Response | None] = [None] * len(calls)
        ready = threading.Barrier(len(calls))

        def make(index: int, call: Callable[[], httpx.Response]) -> None:
            ready.wait()
            answers[index] = call()

        threads = [threading.Thread(target=make, args=each) for each in enumerate(calls)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return [answer for answer in answers if answer is not None]

    @pytest.mark.parametrize("_", range(4))
    def test_it_is_either_sent_or_cancelled(self, shop: Shop, scene: Scene, elsewhere: str, _: int) -> None:
        there = shop.client(scene.user.token, origin=elsewhere)
        path = f"/orders/{scene.of_seller}"
        shipped, cancelled = self.at_once(
            lambda: scene.seller("PUT", f"{path}/status", json=S2_SHIPPED),
            lambda: there("PUT", f"{path}/cancel", json={}),
        )
        order = scene.get(scene.user, path)
        stock = scene.get(scene.guest, f"/products/{scene.of_person['id']}")["stock"]
        if order["status"] == "cancelled":
            assert_problem(shipped, 422, "INVALID_STATUS_TRANSITION")
            assert (cancelled.status_code, stock) == (200, 50)
        else:
            assert_problem(cancelled, 422, "ORDER_CANNOT_CANCEL")
            assert (shipped.status_code, order["status"], stock) == (200, "shipped", 49)

    @pytest.mark.parametrize("_", range(4))
    def test_two_sellers_send_and_both_are_heard(
        self, shop: Shop, scene: Scene, elsewhere: str, _: int
    ) -> None:
        both = scene.order(scene.of_house, scene.of_person)
        there = shop.client(scene.admin.token, origin=elsewhere)
        path = f"/orders/{both['id']}"
        answers = self.at_once(
            lambda: scene.seller("PUT", f"{path}/status", json=S2_SHIPPED),
            lambda: there("PUT", f"{path}/parcels/1/status", json=S2_SHIPPED),
        )
        assert [answer.status_code for answer in answers] == [200, 200]
        assert scene.get(scene.user, path)["status"] == "shipped"

    @pytest.mark.parametrize("_", range(4))
    def test_the_stock_leaves_once_be_it_paid_or_started_first(
        self, shop: Shop, scene: Scene, elsewhere: str, _: int
    ) -> None:
        there = shop.client(scene.user.token, origin=elsewhere)
        order = scene.order(scene.of_house, paid=False)
        intent = f"/payments/intents/{order['paymentIntentId']}"
        answers = self.at_once(
            lambda: scene.admin("PUT", f"/orders/{order['id']}/status", json={"status": "processing"}),
            lambda: there.post(f"{intent}/confirm", {"paymentMethodId": "pm_card_visa"}),
        )
        assert [answer.status_code for answer in answers] == [200, 200]
        seen = scene.get(scene.user, f"/orders/{order['id']}")
        assert (seen["status"], seen["paymentStatus"]) == ("processing", "paid")
        listing = scene.get(scene.admin, f"/admin/products/{scene.of_house['id']}")
        assert listing["stock"] == 49
