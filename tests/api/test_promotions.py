"""Promotions and coupons, from the admin who makes them to the payment that is asked for."""

import threading
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from tests.api.shop import ADDRESS, Client, Shop, a_product, assert_problem

PUBLIC = {
    "id", "uuid", "name", "slug", "description", "image", "active", "order", "discountType", "discountValue",
    "startDate", "endDate", "minSubtotal", "maxDiscount", "scope", "scopeIds",
}  # fmt: skip
KEPT = PUBLIC | {"code", "usageLimit", "perUserLimit", "stackable", "priority"}
COUNTED = KEPT | {"usedCount", "createdAt", "updatedAt"}


class Kept:
    """An admin who takes away again what they made: what applies by itself applies to every test's orders."""

    def __init__(self, admin: Client) -> None:
        self.admin = admin
        self._made: list[str] = []

    def made(self, **fields: Any) -> dict[str, Any]:
        created = self.admin.made("/admin/promotions", a_promotion(**fields))
        self._made.append(created["uuid"])
        return created

    def coupon(self, **fields: Any) -> dict[str, Any]:
        return self.made(**{"code": f"C{uuid.uuid4().hex[:10]}", **fields})

    def change(self, promotion: dict[str, Any], **fields: Any) -> dict[str, Any]:
        changed = self.admin.patch(f"/admin/promotions/{promotion['id']}", fields)
        assert changed.status_code == 200, changed.text
        body: dict[str, Any] = changed.json()
        return body

    def clear(self) -> None:
        for reference in self._made:
            assert self.admin("DELETE", f"/admin/promotions/{reference}").status_code in {204, 404}


def a_promotion(**fields: Any) -> dict[str, Any]:
    return {
        "name": f"Sale {uuid.uuid4().hex[:8]}",
        "discountType": "percentage",
        "discountValue": 10,
        "startDate": "2026-01-01T00:00:00Z",
        **fields,
    }


@pytest.fixture
def kept(admin: Client) -> Iterator[Kept]:
    kept = Kept(admin)
    yield kept
    kept.clear()


@pytest.fixture
def thing(admin: Client, category: str) -> dict[str, Any]:
    """Something at 100.00."""
    return admin.made("/products/add", a_product(category, price=100, discountPercentage=0))


def only(product: dict[str, Any]) -> dict[str, Any]:
    return {"scope": "products", "scopeIds": [product["id"]]}


def now(shop: Shop) -> dict[str, Any]:
    return {"headers": {"X-Min-Log-Position": str(shop.head())}}


def fill(buyer: Client, product: dict[str, Any], quantity: int = 1) -> dict[str, Any]:
    return buyer.made("/cart", {"productId": product["id"], "quantity": quantity})


def assert_invalid(response: Any, reason: str) -> None:
    problem = assert_problem(response, 422, "COUPON_INVALID", "code", "reason")
    assert problem["details"]["reason"] == reason


class TestKeeping:
    def test_one_is_made_read_changed_and_deleted_by_any_of_its_names(
        self, shop: Shop, admin: Client, kept: Kept, thing: dict[str, Any]
    ) -> None:
        made = kept.made(
            name="Summer Sale 26", discount_type="percent", endDate="2199-06-30", order=3, **only(thing)
        )
        assert made.keys() == KEPT
        assert (made["slug"], made["discountType"], made["discountValue"]) == (
            "summer-sale-26",
            "percentage",
            10,
        )
        assert (made["startDate"], made["endDate"]) == (
            "2026-01-01T00:00:00.000Z",
            "2199-06-30T23:59:59.999Z",
        )
        assert (made["scope"], made["scopeIds"], made["code"]) == ("products", [thing["uuid"]], None)
        for reference in (made["id"], made["uuid"], made["slug"]):
            read = admin.get(f"/admin/promotions/{reference}").json()
            assert read.keys() == COUNTED
            assert {name: read[name] for name in KEPT} == made
            assert read["usedCount"] is None
        path = f"/admin/promotions/{made['slug']}"
        changed = admin("PUT", path, json={"discountType": "fixed", "discountValue": 5, "endDate": None})
        assert changed.status_code == 200, changed.text
        assert changed.json() == {**made, "discountType": "fixed", "discountValue": 5, "endDate": None}
        gone = admin("DELETE", path)
        assert (gone.status_code, gone.content) == (204, b"")
        for method in ("GET", "PATCH", "DELETE"):
            body: dict[str, Any] = {"json": {}} if method == "PATCH" else {}
            refused = admin(method, f"/admin/promotions/{made['id']}", **body)
            assert_problem(refused, 404, "PROMOTION_NOT_FOUND")

    def test_null_clears_what_need_not_be(self, admin: Client, kept: Kept) -> None:
        made = kept.coupon(minSubtotal=5, maxDiscount=6, usageLimit=7, perUserLimit=8, endDate="2199-01-01")
        assert (made["minSubtotal"], made["maxDiscount"], made["usageLimit"], made["perUserLimit"]) == (
            5,
            6,
            7,
            8,
        )
        cleared = kept.change(
            made, minSubtotal=None, maxDiscount=None, usageLimit=None, perUserLimit=None, endDate=None,
            active=False, code="x-" + made["code"],
        )  # fmt: skip
        assert (cleared["minSubtotal"], cleared["maxDiscount"], cleared["usageLimit"]) == (0, None, None)
        assert (cleared["perUserLimit"], cleared["endDate"], cleared["active"]) == (None, None, False)
        assert cleared["code"] == "X-" + made["code"].upper()

    def test_they_are_listed_in_either_shape_and_found_by_words(
        self, shop: Shop, admin: Client, kept: Kept
    ) -> None:
        word = uuid.uuid4().hex
        on, off = kept.coupon(name=f"A {word}"), kept.coupon(name=f"B {word}", active=False)
        skipped = admin.get(f"/admin/promotions?search={word}").json()
        assert (skipped["total"], skipped["skip"], skipped["limit"]) == (2, 0, 10)
        assert [entry["id"] for entry in skipped["promotions"]] == [on["id"], off["id"]]
        assert all(entry.keys() == COUNTED for entry in skipped["promotions"])
        paged = admin.get(f"/admin/promotions?q={word}&page=2&limit=1").json()
        assert paged["pagination"] == {"total": 2, "page": 2, "limit": 1, "pages": 2}
        assert [entry["id"] for entry in paged["data"]] == [off["id"]]
        for active, expected in (("true", on), ("false", off)):
            found = admin.get(f"/admin/promotions?search={word}&active={active}").json()["promotions"]
            assert [entry["id"] for entry in found] == [expected["id"]]
        assert [one["id"] for one in admin.get(f"/admin/promotions?search={on['code'].lower()}").json()[
            "promotions"
        ]] == [on["id"]]  # fmt: skip
        assert_problem(admin.get("/admin/promotions?active=maybe"), 400, "VALIDATION_ERROR", "active")

    @pytest.mark.parametrize(
        ("fields", "field"),
        [
            ({"name": ""}, "name"),
            ({"name": None}, "name"),
            ({"slug": "UPPER"}, "slug"),
            ({"slug": "123"}, "slug"),
            ({"discountType": "half"}, "discountType"),
            ({"discountValue": None}, "discountValue"),
            ({"discountValue": 101}, "discountValue"),
            ({"discountValue": -1}, "discountValue"),
            ({"discountValue": 1.001}, "discountValue"),
            ({"discountValue": "10"}, "discountValue"),
            ({"discountType": "fixed", "discountValue": 0}, "discountValue"),
            ({"startDate": "tomorrow"}, "startDate"),
            ({"startDate": 7}, "startDate"),
            ({"endDate": "2025-12-31"}, "endDate"),
            ({"endDate": "9999-12-31T23:59:59-10:00"}, "endDate"),
            ({"code": "a b"}, "code"),
            ({"code": "x" * 51}, "code"),
            ({"active": "yes"}, "active"),
            ({"order": -1}, "order"),
            ({"minSubtotal": -1}, "minSubtotal"),
            ({"maxDiscount": 0}, "maxDiscount"),
            ({"code": "LIMITED", "usageLimit": 0}, "usageLimit"),
            ({"usageLimit": 1}, "usageLimit"),
            ({"perUserLimit": 1}, "perUserLimit"),
            ({"scope": "everything"}, "scope"),
            ({"scope": "products"}, "scopeIds"),
            ({"scope": "products", "scopeIds": [999_999_999]}, "scopeIds[0]"),
            ({"scope": "categories", "scopeIds": ["nowhere"]}, "scopeIds[0]"),
            ({"scope": "sellers", "scopeIds": [str(uuid.UUID(int=7))]}, "scopeIds[0]"),
            ({"scopeIds": [1]}, "scopeIds"),
            ({"priority": 1001}, "priority"),
        ],
    )
    def test_what_makes_no_sense_is_named_and_not_recorded(
        self, shop: Shop, admin: Client, fields: dict[str, Any], field: str
    ) -> None:
        head = shop.head()
        refused = admin.post("/admin/promotions", a_promotion(**fields))
        assert_problem(refused, 400, "VALIDATION_ERROR", field)
        assert shop.head() == head

    def test_nor_is_a_change_that_makes_none(self, shop: Shop, admin: Client, kept: Kept) -> None:
        made = kept.coupon(usageLimit=3)
        path, head = f"/admin/promotions/{made['id']}", shop.head()
        for fields, field in (
            ({"endDate": "2025-01-01"}, "endDate"),
            ({"code": None}, "usageLimit"),
            ({"name": None}, "name"),
            ({"scopeIds": [1]}, "scope"),
            ({"discountValue": 100.5}, "discountValue"),
        ):
            assert_problem(admin.patch(path, fields), 400, "VALIDATION_ERROR", field)
        assert_problem(
            admin.patch(path, {"name": "x"}, headers={"If-Match": '"99"'}), 409, "VERSION_CONFLICT"
        )
        assert shop.head() == head

    def test_slugs_and_codes_are_one_promotions_each(self, shop: Shop, admin: Client, kept: Kept) -> None:
        one, other = kept.coupon(), kept.coupon()
        head = shop.head()
        taken = admin.post("/admin/promotions", a_promotion(code=one["code"].lower()))
        assert_problem(taken, 409, "COUPON_EXISTS", "code")
        taken = admin.patch(f"/admin/promotions/{other['id']}", {"code": one["code"]})
        assert_problem(taken, 409, "COUPON_EXISTS", "code")
        taken = admin.post("/admin/promotions", a_promotion(slug=one["slug"]))
        assert_problem(taken, 409, "SLUG_EXISTS", "slug")
        taken = admin.patch(f"/admin/promotions/{other['id']}", {"slug": one["slug"]})
        assert_problem(taken, 409, "SLUG_EXISTS", "slug")
        assert shop.head() == head

    def test_is_for_admins(self, shop: Shop, buyer: Client, kept: Kept) -> None:
        path, head = f"/admin/promotions/{kept.coupon()['id']}", shop.head()
        for method, where in (
            ("GET", "/admin/promotions"),
            ("POST", "/admin/promotions"),
            ("GET", path),
            ("PATCH", path),
            ("PUT", path),
            ("DELETE", path),
        ):
            body = {"json": a_promotion()} if method in {"POST", "PATCH", "PUT"} else {}
            assert_problem(buyer(method, where, **body), 403, "FORBIDDEN")
            assert_problem(shop.guest(method, where, **body), 401, "UNAUTHORIZED")
        assert shop.head() == head

    def test_a_repeated_request_is_answered_as_the_first(self, shop: Shop, admin: Client) -> None:
        made = admin.made("/admin/promotions", a_promotion(code=f"C{uuid.uuid4().hex[:10]}"))
        path = f"/admin/promotions/{made['slug']}"
        for method, where, body in (
            ("POST", "/admin/promotions", a_promotion(active=False)),
            ("PATCH", path, {"name": "Other"}),
            ("DELETE", path, None),
        ):
            key = {"Idempotency-Key": uuid.uuid4().hex}
            first = admin(method, where, json=body, headers=key)
            head = shop.head()
            again = admin(method, where, json=body, headers=key)
            assert first.status_code in {200, 201, 204}, first.text
            assert (again.status_code, again.content) == (first.status_code, first.content)
            assert again.headers["idempotency-replayed"] == "true"
            assert shop.head() == head


class TestThePublicList:
    def test_has_what_applies_by_itself_now_and_nothing_else(
        self, shop: Shop, kept: Kept, thing: dict[str, Any]
    ) -> None:
        second = kept.made(order=2, **only(thing))
        first = kept.made(order=1, **only(thing))
        hidden = [
            kept.coupon(),
            kept.made(active=False),
            kept.made(startDate="2025-01-01", endDate="2025-02-01"),
            kept.made(startDate="2199-01-01", **only(thing)),
        ]
        found = shop.guest.get("/promotions", **now(shop)).json()
        assert all(promotion.keys() == PUBLIC for promotion in found)
        ids = [promotion["id"] for promotion in found]
        assert [one for one in ids if one in (first["id"], second["id"])] == [first["id"], second["id"]]
        assert not {promotion["id"] for promotion in hidden} & set(ids)


class TestPrices:
    def test_what_the_cart_shows_is_what_the_order_costs_and_the_payment_asks_for(
        self, shop: Shop, kept: Kept, buyer: Client, thing: dict[str, Any], product: dict[str, Any]
    ) -> None:
        kept.made(name="Ten off", stackable=True, **only(thing))
        coupon = kept.coupon(discountType="fixed", discountValue=7.77, stackable=True)
        fill(buyer, thing, 2)
        fill(buyer, product)
        applied = buyer.made("/checkout/apply-coupon", {"code": coupon["code"].lower()})
        cart = buyer.get("/cart").json()
        assert applied["cart"] == cart
        assert cart["coupon"] == {
            "code": coupon["code"].upper(),
            "name": coupon["name"],
            "applied": True,
            "reason": None,
        }
        assert cart["discountedTotal"] == cart["totals"]["subtotal"]
        assert cart["totals"]["discount"] == 27.77
        assert (cart["couponDiscount"], applied["discount"]) == (7.77, 27.77)
        order = buyer.made("/orders", {"shippingAddress": ADDRESS})
        charged = {name: order[name] for name in ("subtotal", "discount", "tax", "shipping", "total")}
        assert charged == cart["totals"] == {name: applied[name] for name in charged}
        assert order["paymentIntent"]["amount"] == round(order["total"] * 100)
        assert order["couponCode"] == coupon["code"].upper()
        assert order["promotions"] == cart["promotions"]
        shares = sum(round(line["promotionDiscount"] * 100) for line in order["products"])
        assert shares == round(order["discount"] * 100)
        seen = buyer.get(f"/orders/{order['id']}").json()
        assert {name: seen[name] for name in charged} == charged
        paid = buyer.made(
            f"/payments/intents/{order['paymentIntentId']}/confirm", {"paymentMethodId": "pm_card_visa"}
        )
        assert (paid["status"], paid["amount"]) == ("succeeded", order["paymentIntent"]["amount"])
        assert buyer.get("/cart").json()["coupon"] is None
        kept_now = kept.admin.get(f"/admin/promotions/{coupon['id']}", **now(shop)).json()
        assert kept_now["usedCount"] == 1

    def test_free_shipping(self, kept: Kept, buyer: Client, thing: dict[str, Any]) -> None:
        coupon = kept.coupon(discountType="freeShipping", discountValue=None)
        assert (coupon["discountType"], coupon["discountValue"]) == ("free_shipping", 0)
        assert fill(buyer, thing)["totals"]["shipping"] == 5
        applied = buyer.made("/checkout/apply-coupon", {"coupon_code": coupon["code"]})
        assert (applied["discount"], applied["shipping"], applied["total"]) == (0, 0, 108)
        assert buyer.made("/orders", {"shippingAddress": ADDRESS})["total"] == 108

    def test_those_for_a_category_are_for_all_below_it_whatever_it_is_called(
        self, shop: Shop, admin: Client, kept: Kept, buyer: Client
    ) -> None:
        names = [uuid.uuid4().hex for _ in range(3)]
        house = admin.made("/admin/categories", {"name": names[0]})
        lamps = admin.made("/admin/categories", {"name": names[1], "parent": house["id"]})
        kept.made(scope="categories", scopeIds=[house["slug"]])
        coupon = kept.coupon(scope="categories", scopeIds=[house["id"]], discountValue=20)
        assert coupon["scopeIds"] == [house["uuid"]]
        renamed = admin.patch(f"/admin/categories/{house['id']}", {"slug": f"h-{names[2]}"})
        assert renamed.status_code == 200, renamed.text
        things = [
            admin.made("/products/add", a_product(where, price=100, discountPercentage=0))
            for where in (lamps["slug"], f"h-{names[2]}")
        ]
        for thing in things:
            fill(buyer, thing)
        assert buyer.get("/cart", **now(shop)).json()["totals"]["discount"] == 20
        applied = buyer.made("/checkout/apply-coupon", {"code": coupon["code"]})
        assert applied["discount"] == 40
        assert buyer.get("/cart").json() == applied["cart"]
        assert buyer.made("/orders", {"shippingAddress": ADDRESS})["discount"] == 40

    def test_leave_nothing_to_pay_or_enough_for_a_payment(
        self, kept: Kept, buyer: Client, thing: dict[str, Any]
    ) -> None:
        kept.made(discountType="free_shipping", stackable=True, **only(thing))
        coupon = kept.coupon(discountType="fixed", discountValue=99.9, stackable=True)
        fill(buyer, thing)
        applied = buyer.made("/checkout/apply-coupon", {"code": coupon["code"]})
        assert (applied["discount"], applied["total"]) == (99.54, 0.5)
        order = buyer.made("/orders", {"shippingAddress": ADDRESS, "expectedTotal": 0.5})
        assert order["paymentIntent"]["amount"] == 50

    def test_the_coupon_in_the_cart_is_for_what_is_named_too(
        self, kept: Kept, buyer: Client, thing: dict[str, Any]
    ) -> None:
        """So does a client of S2: it applies a coupon, and then names what it orders."""
        coupon = kept.coupon()
        fill(buyer, thing)
        shown = buyer.made("/checkout/apply-coupon", {"code": coupon["code"]})
        line = {"id": thing["id"], "quantity": 1}
        order = buyer.made("/orders", {"shippingAddress": ADDRESS, "products": [line]})
        assert (order["total"], order["couponCode"]) == (shown["total"], coupon["code"].upper())

    def test_nothing_to_pay_needs_no_payment(self, kept: Kept, buyer: Client, thing: dict[str, Any]) -> None:
        kept.made(discountType="free_shipping", stackable=True, **only(thing))
        coupon = kept.coupon(discountValue=100, stackable=True)
        line = {"productId": thing["id"], "quantity": 1}
        order = buyer.made(
            "/orders", {"shippingAddress": ADDRESS, "products": [line], "couponCode": coupon["code"]}
        )
        assert (order["total"], order["discount"], order["paymentIntent"]) == (0, 100, None)
        assert (order["status"], order["paymentStatus"]) == ("processing", "paid")
        asked = {"amount": 1, "metadata": {"orderId": order["id"]}}
        assert buyer.post("/payments/intents", asked).status_code == 422

    def test_where_no_promotion_applies_it_is_all_as_ever(self, buyer: Client, thing: dict[str, Any]) -> None:
        cart = fill(buyer, thing)
        assert (cart["promotions"], cart["coupon"], cart["couponDiscount"]) == ([], None, 0)
        assert cart["totals"] == {"subtotal": 100, "discount": 0, "tax": 8, "shipping": 5, "total": 113}
        order = buyer.made("/orders", {"shippingAddress": ADDRESS})
        assert (order["discount"], order["couponCode"], order["promotions"]) == (0, None, [])


class TestCoupons:
    def test_are_refused_with_the_reason_and_nothing_is_recorded(
        self, shop: Shop, kept: Kept, buyer: Client, thing: dict[str, Any], product: dict[str, Any]
    ) -> None:
        small = kept.coupon(minSubtotal=100.01)
        other = kept.coupon(**only(product))
        over = kept.coupon(startDate="2025-01-01", endDate="2025-02-01")
        early = kept.coupon(startDate="2199-01-01")
        off = kept.coupon(active=False)
        beaten = kept.coupon(discountValue=1)
        kept.made(discountValue=50, **only(thing))
        head = shop.head()
        apply = "/checkout/apply-coupon"
        assert_problem(buyer.post(apply, {"code": small["code"]}), 422, "CART_EMPTY")
        assert shop.head() == head
        fill(buyer, thing)
        head = shop.head()
        told = []
        for coupon, reason in (
            (small, "MINIMUM_NOT_MET"),
            (other, "NOT_APPLICABLE"),
            (over, "NOT_VALID"),
            (early, "NOT_VALID"),
            (off, "NOT_VALID"),
            ({"code": "NOBODYS-CODE"}, "NOT_VALID"),
            (beaten, "BETTER_OFFER_APPLIES"),
        ):
            refused = buyer.post(apply, {"code": coupon["code"]})
            assert_invalid(refused, reason)
            if reason == "NOT_VALID":
                told.append(refused.json()["message"])
        assert len(set(told)) == 1
        for body in ({}, {"code": ""}, {"code": 7}, {"code": "x" * 101}):
            assert_problem(buyer.post(apply, body), 400, "VALIDATION_ERROR", "code")
        line = {"productId": thing["id"], "quantity": 1}
        ordered = {"shippingAddress": ADDRESS, "products": [line], "couponCode": over["code"]}
        assert_invalid(buyer.post("/orders", ordered), "NOT_VALID")
        long = {**ordered, "couponCode": "x" * 101}
        assert_problem(buyer.post("/orders", long), 400, "VALIDATION_ERROR", "couponCode")
        assert shop.head() == head

    def test_are_taken_out_again(self, shop: Shop, kept: Kept, buyer: Client, thing: dict[str, Any]) -> None:
        coupon, before = kept.coupon(), fill(buyer, thing)
        head = shop.head()
        assert_problem(buyer("DELETE", "/checkout/remove-coupon"), 404, "COUPON_NOT_APPLIED")
        assert shop.head() == head
        key = {"Idempotency-Key": uuid.uuid4().hex}
        applied = buyer.made("/checkout/apply-coupon", {"code": coupon["code"]}, headers=key)
        assert applied["discount"] == 10
        removed = buyer("DELETE", "/checkout/remove-coupon")
        touched = {"updatedAt": removed.json()["updatedAt"]}
        assert (removed.status_code, removed.json()) == (200, before | touched)
        assert buyer.made("/checkout/apply-coupon", {"code": coupon["code"]}, headers=key) == applied
        assert buyer.get("/cart").json() == before | touched

    def test_in_the_cart_tell_when_they_have_become_worthless(
        self, shop: Shop, kept: Kept, buyer: Client, thing: dict[str, Any]
    ) -> None:
        coupon = kept.coupon()
        fill(buyer, thing)
        buyer.made("/checkout/apply-coupon", {"code": coupon["code"]})
        kept.change(coupon, active=False)
        cart = buyer.get("/cart", **now(shop)).json()
        worthless = {"code": coupon["code"].upper(), "name": "", "applied": False, "reason": "NOT_VALID"}
        assert (cart["coupon"], cart["totals"]["discount"]) == (worthless, 0)
        assert fill(buyer, thing)["coupon"] == worthless
        head = shop.head()
        assert_invalid(buyer.post("/orders", {"shippingAddress": ADDRESS}), "NOT_VALID")
        assert shop.head() == head

    def test_are_used_as_often_as_they_may(
        self, shop: Shop, kept: Kept, buyer: Client, thing: dict[str, Any]
    ) -> None:
        coupon = kept.coupon(usageLimit=2, perUserLimit=1)
        line = {"productId": thing["id"], "quantity": 1}
        ordered = {"shippingAddress": ADDRESS, "products": [line], "couponCode": coupon["code"]}
        assert buyer.made("/orders", ordered)["discount"] == 10
        assert_invalid(buyer.post("/orders", ordered), "CUSTOMER_LIMIT_REACHED")
        fill(buyer, thing)
        refused = buyer.post("/checkout/apply-coupon", {"code": coupon["code"]})
        assert_invalid(refused, "CUSTOMER_LIMIT_REACHED")
        late = shop.user()
        fill(late, thing)
        late.made("/checkout/apply-coupon", {"code": coupon["code"]})
        assert shop.user().made("/orders", ordered)["discount"] == 10
        cart = late.get("/cart", **now(shop)).json()
        assert (cart["coupon"]["reason"], cart["totals"]["discount"]) == ("USAGE_LIMIT_REACHED", 0)
        assert_invalid(late.post("/orders", {"shippingAddress": ADDRESS}), "USAGE_LIMIT_REACHED")

    def test_of_twenty_orders_at_once_one_gets_the_only_use(
        self, shop: Shop, kept: Kept, thing: dict[str, Any]
    ) -> None:
        coupon = kept.coupon(usageLimit=1)
        line = {"productId": thing["id"], "quantity": 1}
        ordered = {"shippingAddress": ADDRESS, "products": [line], "couponCode": coupon["code"]}
        answers: list[Any] = []
        with shop.another_api() as other:
            buyers = [
                shop.client(token, origin=(shop.origin, other)[number % 2])
                for number, token in enumerate(shop.tokens(20))
            ]
            threads = [
                threading.Thread(target=lambda one=one: answers.append(one.post("/orders", ordered)))
                for one in buyers
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        assert sorted(answer.status_code for answer in answers) == [201] + [422] * 19
        for answer in answers:
            if answer.status_code == 422:
                assert_invalid(answer, "USAGE_LIMIT_REACHED")
        read = kept.admin.get(f"/admin/promotions/{coupon['id']}", **now(shop)).json()
        assert read["usedCount"] == 1
