"""Sales in figures, from what was really bought, paid and given back."""

from __future__ import annotations

import csv
import io
import shutil
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from domain.accounts.events import Role
from tests.api.shop import ADDRESS, Client, Shop, a_product, assert_problem, soon, text_of
from tests.api.test_contract_payments import an_event, sent
from tests.api.test_contract_returns import deliver
from tests.conftest import FreshDatabase

REPORT = "/admin/reports/sales"
OWN = "/sellers/me/reports/sales"
FIGURES = ("orders", "revenue", "refunds", "lostDisputes", "netRevenue")


def today() -> date:
    return datetime.now(UTC).date()


def sales(client: Client, shop: Shop, path: str = REPORT, **query: Any) -> dict[str, Any]:
    answer = asked(client, shop, path, **query)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


def asked(
    client: Client, shop: Shop, path: str = REPORT, accept: str = "*/*", **query: Any
) -> httpx.Response:
    """Includes all that has happened so far."""
    headers = {"X-Min-Log-Position": str(shop.head()), "Accept": accept}
    return client.get(path, params=query, headers=headers)


def rows(answer: httpx.Response) -> list[dict[str, str]]:
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    return [*csv.DictReader(io.StringIO(answer.text))]


def bought(shop: Shop, product: dict[str, Any], quantity: int = 1) -> tuple[Client, dict[str, Any]]:
    """Ordered and paid."""
    buyer = shop.user()
    items = [{"productId": product["id"], "quantity": quantity}]
    order = buyer.made("/orders", {"items": items, "shippingAddress": ADDRESS})
    paid = buyer.made(
        f"/payments/intents/{order['paymentIntentId']}/confirm", {"paymentMethodId": "pm_card_visa"}
    )
    assert paid["status"] == "succeeded"
    return buyer, order


def disputed(shop: Shop, order: dict[str, Any], units: float, status: str) -> None:
    """So says the provider; there is one dispute of each order."""
    about = {
        "id": f"dp_{order['uuid']}",
        "object": "dispute",
        "payment_intent": order["paymentIntentId"],
        "amount": round(units * 100),
        "currency": "usd",
        "reason": "fraudulent",
        "status": status,
    }
    assert sent(shop, an_event("charge.dispute.closed", about)).status_code == 200


def grown(before: dict[str, Any], after: dict[str, Any], *names: str) -> list[float]:
    return [round(after[name] - before[name], 2) for name in names]


class TestOfTheShop:
    """S4-ADM-05."""

    def test_counts_what_was_paid_on_its_day(
        self, shop: Shop, admin: Client, product: dict[str, Any]
    ) -> None:
        before = sales(admin, shop)
        bought(shop, product, 2)
        shop.user().made(
            "/orders",
            {"items": [{"productId": product["id"], "quantity": 1}], "shippingAddress": ADDRESS},
        )
        after = sales(admin, shop)
        assert grown(before, after, "orders", "revenue", "refunds", "netRevenue", "items") == [
            1, 2449.42, 0, 2449.42, 2,
        ]  # fmt: skip
        assert after["averageOrderValue"] == round(after["revenue"] / after["orders"] + 1e-9, 2)
        known = {name: after[name] for name in ("start", "end", "timezone", "currency")}
        assert known == {
            "start": str(today() - timedelta(days=29)),
            "end": str(today()),
            "timezone": "UTC",
            "currency": "USD",
        }
        days = [today() - timedelta(days=29 - number) for number in range(30)]
        assert [day["date"] for day in after["byDay"]] == [str(day) for day in days]
        for name in ("orders", "revenue", "refunds", "lostDisputes", "netRevenue", "items"):
            assert round(sum(day[name] for day in after["byDay"]), 2) == after[name]
        assert grown(before["byDay"][-1], after["byDay"][-1], "orders", "items") == [1, 2]

    def test_refunds_are_taken_off(self, shop: Shop, admin: Client, product: dict[str, Any]) -> None:
        buyer, order = bought(shop, product)
        before = sales(admin, shop)
        with shop.also("workers.reactor"):
            assert buyer.post(f"/orders/{order['id']}/cancel", {"reason": "Too late"}).status_code == 200
            soon(lambda: sales(admin, shop)["refunds"] > before["refunds"], "the refund")
        after = sales(admin, shop)
        assert grown(before, after, "orders", "revenue", "refunds", "netRevenue") == [
            0, 0, order["total"], -order["total"],
        ]  # fmt: skip

    def test_disputes_are_taken_off_once_they_are_lost(
        self, shop: Shop, admin: Client, product: dict[str, Any]
    ) -> None:
        _, order = bought(shop, product)
        total = order["total"]
        before = sales(admin, shop)
        disputed(shop, order, total, "needs_response")
        assert grown(before, sales(admin, shop), *FIGURES) == [0, 0, 0, 0, 0]
        disputed(shop, order, total, "lost")
        after = sales(admin, shop)
        assert grown(before, after, *FIGURES) == [0, 0, 0, total, -total]
        today_before, today_after = (report["byDay"][-1] for report in (before, after))
        assert grown(today_before, today_after, "lostDisputes", "netRevenue") == [total, -total]
        row = rows(asked(admin, shop, format="csv"))[-1]
        assert float(row["lostDisputes"]) == today_after["lostDisputes"]
        assert float(row["netRevenue"]) == today_after["netRevenue"]
        disputed(shop, order, total, "won")
        assert grown(before, sales(admin, shop), *FIGURES) == [0, 0, 0, 0, 0]

    def test_a_range_without_sales_has_its_days_all_the_same(self, shop: Shop, admin: Client) -> None:
        body = sales(admin, shop, start="2020-02-27", end="2020-03-01")
        assert [day["date"] for day in body["byDay"]] == [
            "2020-02-27", "2020-02-28", "2020-02-29", "2020-03-01",
        ]  # fmt: skip
        assert (body["orders"], body["revenue"], body["averageOrderValue"]) == (0, 0, 0)
        assert len(sales(admin, shop, start="2020-01-01", end="2020-12-31")["byDay"]) == 366
        assert sales(admin, shop, end="2020-03-01")["start"] == "2020-02-01"

    def test_shares_are_told_with_names(self, shop: Shop, admin: Client, category: str) -> None:
        product = admin.made("/products/add", a_product(category, title="=HYPERLINK(1)", price=5_000.0))
        bought(shop, product, 3)
        sold = next(
            share
            for share in sales(admin, shop, by="product")["products"]
            if share["uuid"] == product["uuid"]
        )
        assert sold == {
            "uuid": product["uuid"],
            "id": product["id"],
            "title": "=HYPERLINK(1)",
            "orders": 1,
            "items": 3,
            "revenue": 14175.0,
            "refunds": 0.0,
            "lostDisputes": 0.0,
            "netRevenue": 14175.0,
        }
        (house,) = [
            share
            for share in sales(admin, shop, by="seller")["sellers"]
            if share["sellerId"] == product["sellerId"]
        ]
        assert house["revenue"] >= 14175.0
        table = rows(asked(admin, shop, by="product", format="csv"))
        (row,) = [row for row in table if row["uuid"] == product["uuid"]]
        assert (row["title"], row["revenue"]) == ("'=HYPERLINK(1)", "14175.00")

    def test_comes_as_a_table_for_who_wants_one(
        self, shop: Shop, admin: Client, product: dict[str, Any]
    ) -> None:
        bought(shop, product)
        for answer in (asked(admin, shop, format="csv"), asked(admin, shop, accept="text/csv")):
            table = rows(answer)
            name = f"sales-{today() - timedelta(days=29)}-{today()}.csv"
            assert answer.headers["content-disposition"] == f'attachment; filename="{name}"'
            assert [*table[0]] == [
                "date", "orders", "items", "revenue", "refunds", "lostDisputes", "netRevenue", "currency",
            ]  # fmt: skip
            assert len(table) == 30
            body = sales(admin, shop)["byDay"][-1]
            last = table[-1]
            assert (last["date"], last["orders"]) == (body["date"], str(body["orders"]))
            assert float(last["revenue"]) == body["revenue"]
            assert float(last["netRevenue"]) == pytest.approx(
                body["revenue"] - body["refunds"] - body["lostDisputes"]
            )
        as_json = asked(admin, shop, accept="text/csv", format="json")
        assert as_json.headers["content-type"] == "application/json"

    @pytest.mark.parametrize(
        ("query", "field"),
        [
            ({"start": "yesterday"}, "start"),
            ({"end": "2026-02-30"}, "end"),
            ({"start": "20261101"}, "start"),
            ({"start": "2026-11-02", "end": "2026-11-01"}, "start"),
            ({"start": "2025-01-01", "end": "2026-01-02"}, "end"),
            ({"by": "buyer"}, "by"),
            ({"format": "xlsx"}, "format"),
        ],
    )
    def test_refuses_what_makes_no_sense(self, admin: Client, query: dict[str, str], field: str) -> None:
        assert_problem(admin.get(REPORT, params=query), 400, "VALIDATION_ERROR", field)

    def test_is_for_admins(self, shop: Shop, buyer: Client) -> None:
        assert_problem(shop.guest.get(REPORT), 401, "UNAUTHORIZED")
        assert_problem(buyer.get(REPORT), 403, "FORBIDDEN")
        assert_problem(shop.user("/auth/signup").get(REPORT), 403, "FORBIDDEN")


class TestOfASeller:
    def test_tells_of_their_own_lines_alone(self, shop: Shop, category: str, product: dict[str, Any]) -> None:
        seller = shop.user("/auth/signup")
        own = seller.made("/products", a_product(category, price=100, discountPercentage=10, status="active"))
        buyer = shop.user()
        items = [{"productId": own["id"], "quantity": 2}, {"productId": product["id"], "quantity": 1}]
        order = buyer.made("/orders", {"items": items, "shippingAddress": ADDRESS})
        buyer.made(
            f"/payments/intents/{order['paymentIntentId']}/confirm", {"paymentMethodId": "pm_card_visa"}
        )
        body = sales(seller, shop, OWN, start=str(today() - timedelta(days=1)))
        assert {name: body[name] for name in ("orders", "items", "revenue", "currency")} == {
            "orders": 1,
            "items": 2,
            "revenue": 180.0,
            "currency": "USD",
        }
        assert body["byDay"][-1]["revenue"] + body["byDay"][0]["revenue"] == 180.0
        assert rows(asked(seller, shop, OWN, format="csv"))[-1].keys() == {
            "date", "orders", "items", "revenue", "refunds", "lostDisputes", "netRevenue",
        }  # fmt: skip
        other = sales(shop.user("/auth/signup"), shop, OWN)
        assert (other["orders"], other["revenue"]) == (0, 0)

    def test_tells_what_went_back_of_their_own_lines(
        self, shop: Shop, admin: Client, category: str, product: dict[str, Any]
    ) -> None:
        # Of what brought in most a hundred are told, and others have sold here.
        seller, other = shop.user("/auth/signup"), shop.user("/auth/signup")
        own, others = [
            each.made("/products", a_product(category, price=price, discountPercentage=0, status="active"))
            for each, price in ((seller, 10_000), (other, 5_000))
        ]
        buyer = shop.user()
        items = [{"productId": own["id"], "quantity": 2}, {"productId": others["id"], "quantity": 1}]
        order = buyer.made("/orders", {"items": items, "shippingAddress": ADDRESS})
        buyer.made(
            f"/payments/intents/{order['paymentIntentId']}/confirm", {"paymentMethodId": "pm_card_visa"}
        )
        deliver(shop, order)
        wanted = {"reason": "Too small", "items": [{"id": own["id"], "quantity": 1}]}
        path = f"/orders/{order['id']}/returns"
        with shop.also("workers.reactor"):
            worth = seller.made(f"{path}/{buyer.made(path, wanted)['id']}/receive")["refundAmount"]
            soon(lambda: self.figures(seller, shop)[2] > 0, "the refund")
        assert worth == 10_800  # with its part of the tax, which is no seller's
        assert self.figures(seller, shop) == [1, 20_000, 10_000, 0, 10_000]
        assert self.figures(other, shop) == [1, 5_000, 0, 0, 5_000]
        disputed(shop, order, order["total"] - worth, "lost")
        assert self.figures(seller, shop) == [1, 20_000, 10_000, 10_000, 0]
        assert self.figures(other, shop) == [1, 5_000, 0, 5_000, 0]
        days = rows(asked(seller, shop, OWN, format="csv"))
        assert sum(float(day["lostDisputes"]) for day in days) == 10_000
        for by, name, whose in (("seller", "sellerId", own["sellerId"]), ("product", "uuid", own["uuid"])):
            (share,) = [each for each in sales(admin, shop, by=by)[f"{by}s"] if each[name] == whose]
            assert [share[name] for name in FIGURES] == [1, 20_000, 10_000, 10_000, 0]
            (row,) = [each for each in rows(asked(admin, shop, by=by, format="csv")) if each[name] == whose]
            assert [float(row[name]) for name in FIGURES] == [1, 20_000, 10_000, 10_000, 0]

    def figures(self, seller: Client, shop: Shop) -> list[float]:
        body = sales(seller, shop, OWN)
        for name in FIGURES:
            assert round(sum(day[name] for day in body["byDay"]), 2) == body[name]
        return [body[name] for name in FIGURES]

    def test_is_for_sellers(self, shop: Shop, buyer: Client) -> None:
        assert_problem(shop.guest.get(OWN), 401, "UNAUTHORIZED")
        assert_problem(buyer.get(OWN), 403, "FORBIDDEN")


@pytest.fixture
def unreported(fresh_database: FreshDatabase, servers_folder: Path) -> Iterator[Shop]:
    """Where no scheduler has ever run."""
    folder = servers_folder / "unreported"
    with fresh_database() as url, Shop(url, folder, mail=True) as shop:
        yield shop
    shutil.rmtree(folder, ignore_errors=True)


def test_the_daily_report_comes_by_mail_to_every_admin_with_a_table(unreported: Shop) -> None:
    admins = [unreported.staff(Role.ADMIN) for _ in range(2)]
    other = unreported.user().get("/me").json()["email"]
    yesterday = today() - timedelta(days=1)
    with unreported.also("workers.scheduler"):
        mails = [unreported.mail(admin.get("/me").json()["email"], "sales") for admin in admins]
    for mail in mails:
        assert "Net revenue: 0.00 USD" in text_of(mail)
        (attached,) = mail.iter_attachments()
        assert attached.get_content_type() == "text/csv"
        assert attached.get_filename() == f"sales-{yesterday}.csv"
        (row,) = csv.DictReader(io.StringIO(attached.get_content()))
        assert (row["date"], row["orders"], row["netRevenue"]) == (str(yesterday), "0", "0.00")
        assert (row["refunds"], row["lostDisputes"]) == ("0.00", "0.00")
    assert [mail for mail in unreported.mails(other) if "sales" in mail["Subject"]] == []
    for admin in admins:
        (job,) = [
            job for job in admin.get("/admin/jobs").json()["jobs"] if job["name"] == "daily-sales-report"
        ]
        assert job["lastOutcome"] == "succeeded"
