"""S4-ADM-06: what there are but few left of."""

from __future__ import annotations

import csv
import io
from typing import Any

import pytest

from tests.api.shop import ADDRESS, Client, Shop, a_product, assert_problem

PATH = "/admin/reports/inventory"


@pytest.fixture
def scarce(admin: Client, category: str) -> dict[str, Any]:
    return admin.made("/products/add", a_product(category, stock=3))


def lines(admin: Client, shop: Shop, **query: Any) -> list[dict[str, Any]]:
    """All of them, however many other tests have made."""
    headers = {"X-Min-Log-Position": str(shop.head())}
    found: list[dict[str, Any]] = []
    cursor: str | None = ""
    while cursor is not None:
        answer = admin.get(PATH, params={**query, "limit": 100, "cursor": cursor}, headers=headers)
        assert answer.status_code == 200, answer.text
        found += answer.json()["products"]
        cursor = answer.json()["nextCursor"]
    return found


def test_few_are_those_that_are_not_in_open_orders(
    shop: Shop, admin: Client, buyer: Client, scarce: dict[str, Any]
) -> None:
    order = {"products": [{"id": scarce["id"], "quantity": 2}], "shippingAddress": ADDRESS}
    buyer.made("/orders", order)
    found = lines(admin, shop)
    assert [line for line in found if line["productId"] == scarce["id"]] == [
        {
            "productId": scarce["id"],
            "uuid": scarce["uuid"],
            "title": scarce["title"],
            "inventoryCount": 1,
            "stock": 3,
            "reserved": 2,
            "available": 1,
            "sellerId": scarce["sellerId"],
            "status": "active",
        }
    ]
    assert all(line["available"] <= 5 for line in found)
    order_of_lines = [(line["available"], line["productId"]) for line in found]
    assert order_of_lines == sorted(order_of_lines)


def test_how_few_they_are_is_for_the_reader_to_say(
    shop: Shop, admin: Client, scarce: dict[str, Any], product: dict[str, Any]
) -> None:
    def ids(threshold: int) -> set[int]:
        return {line["productId"] for line in lines(admin, shop, threshold=threshold)}

    assert scarce["id"] not in ids(2)
    assert scarce["id"] in ids(3)
    assert product["id"] not in ids(49)
    assert {scarce["id"], product["id"]} <= ids(1_000_000)


def test_it_comes_in_all_three_kinds_of_pages(shop: Shop, admin: Client, category: str) -> None:
    for _ in range(3):
        admin.made("/products/add", a_product(category, stock=0))
    headers = {"X-Min-Log-Position": str(shop.head())}

    def page(**query: Any) -> dict[str, Any]:
        answer = admin.get(PATH, params={"threshold": 0, "limit": 2, **query}, headers=headers)
        assert answer.status_code == 200, answer.text
        body: dict[str, Any] = answer.json()
        return body

    whole = lines(admin, shop, threshold=0)
    first, second = page(), page(skip=2)
    assert first["products"] == whole[:2]
    assert second["products"] == whole[2:4]
    assert (first["total"], first["skip"], first["limit"]) == (len(whole), 0, 2)
    assert page(cursor=first["nextCursor"])["products"] == whole[2:4]
    numbered = page(page=2)
    assert numbered["data"] == whole[2:4]
    assert numbered["pagination"] == {
        "total": len(whole), "page": 2, "limit": 2, "pages": -(-len(whole) // 2),
    }  # fmt: skip
    other = admin.get(PATH, params={"threshold": 1, "cursor": first["nextCursor"]})
    assert_problem(other, 400, "VALIDATION_ERROR", "cursor")


def test_it_comes_as_a_table(shop: Shop, admin: Client, category: str) -> None:
    harmful = admin.made("/products/add", a_product(category, stock=3, title="=1+1, a phone"))
    whole = lines(admin, shop, threshold=3)
    for query, accept in (({"format": "csv"}, "*/*"), ({}, "text/csv")):
        headers = {"X-Min-Log-Position": str(shop.head()), "Accept": accept}
        answer = admin.get(PATH, params={"threshold": 3, "limit": 1, **query}, headers=headers)
        assert answer.headers["content-type"] == "text/csv; charset=utf-8"
        assert answer.headers["content-disposition"] == 'attachment; filename="inventory.csv"'
        rows = [*csv.DictReader(io.StringIO(answer.text))]
        assert [int(row["productId"]) for row in rows] == [line["productId"] for line in whole]
        (row,) = [row for row in rows if row["uuid"] == harmful["uuid"]]
        assert (row["title"], row["available"]) == ("'=1+1, a phone", "3")
    as_json = admin.get(PATH, params={"format": "json"}, headers={"Accept": "text/csv"})
    assert as_json.headers["content-type"] == "application/json"
    assert_problem(admin.get(PATH, params={"format": "xls"}), 400, "VALIDATION_ERROR", "format")


@pytest.mark.parametrize("threshold", ["-1", "1000001", "few", "1.5"])
def test_what_is_no_threshold_is_named(admin: Client, threshold: str) -> None:
    assert_problem(admin.get(PATH, params={"threshold": threshold}), 400, "VALIDATION_ERROR", "threshold")


def test_it_is_for_admins_alone(shop: Shop, buyer: Client, auditor: Client) -> None:
    assert_problem(shop.guest.get(PATH), 401, "UNAUTHORIZED")
    for client in (buyer, auditor):
        assert_problem(client.get(PATH), 403, "FORBIDDEN")
