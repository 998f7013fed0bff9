"""The seeded catalogue as clients of DummyJSON know it: the same keys, types and values (S2 §1, C26, C50).

Three things are otherwise on purpose. A reviewer's address is masked (C41). A review's date is a day, as in S2's
example, with the moment beside it as ``createdAt``. Who has no brand has an empty one (C59).
"""

import io
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from projections.wire import masked_email
from tests.api.shop import Shop
from tests.conftest import FreshDatabase
from workers.seeding import CATALOGUE, seed_shop

PRODUCTS: list[dict[str, Any]] = json.loads((CATALOGUE / "products.json").read_text())


@pytest.fixture(scope="module")
def seeded(fresh_database: FreshDatabase, servers_folder: Path) -> Iterator[Shop]:
    folder = servers_folder / "seeded"
    with fresh_database() as url, Shop(url, folder) as shop:
        console = Console(file=io.StringIO())
        shop.run(seed_shop(shop.environment(), console, demo_roles=True))
        yield shop
    shutil.rmtree(folder, ignore_errors=True)


def expected(product: dict[str, Any]) -> dict[str, Any]:
    reviews = [
        {
            **review,
            "date": review["date"][:10],
            "reviewerEmail": masked_email(review["reviewerEmail"]),
        }
        for review in product["reviews"]
    ]
    return {"brand": "", **product, "reviews": reviews}


def of_dummyjson(product: dict[str, Any], theirs: dict[str, Any]) -> dict[str, Any]:
    """Of what we answer, the fields that they have."""
    reviews = [
        {name: review[name] for name in wanted}
        for review, wanted in zip(product["reviews"], theirs["reviews"], strict=True)
    ]
    return {**{name: product[name] for name in expected(theirs)}, "reviews": reviews}


def typed(value: Any) -> Any:
    """``1`` and ``1.0`` are the same number in JSON, and ``True`` is none."""
    if isinstance(value, dict):
        return {name: typed(each) for name, each in value.items()}
    if isinstance(value, list):
        return [typed(each) for each in value]
    return (
        "number" if isinstance(value, int | float) and not isinstance(value, bool) else type(value).__name__,
        value,
    )


def test_every_product_is_as_it_is_there(seeded: Shop) -> None:
    listed: list[dict[str, Any]] = []
    while len(listed) < len(PRODUCTS):
        page = seeded.guest.get("/products", params={"limit": 0, "skip": len(listed)}).json()
        assert (page["total"], page["skip"], page["limit"]) == (len(PRODUCTS), len(listed), 100)
        listed += page["products"]
    assert [product["id"] for product in listed] == [product["id"] for product in PRODUCTS]
    for ours, theirs in zip(listed, PRODUCTS, strict=True):
        assert typed(of_dummyjson(ours, theirs)) == typed(expected(theirs))
    for theirs in PRODUCTS[::20]:
        ours = seeded.guest.get(f"/products/{theirs['id']}").json()
        assert typed(of_dummyjson(ours, theirs)) == typed(expected(theirs))
        assert ours["seller"]["slug"]


def test_their_clients_find_what_they_look_for(seeded: Shop) -> None:
    selected = seeded.guest.get("/products", params={"limit": 10, "skip": 10, "select": "title,price"}).json()
    assert selected["products"] == [
        {name: product[name] for name in ("id", "title", "price")} for product in PRODUCTS[10:20]
    ]
    by_price = seeded.guest.get("/products", params={"sortBy": "price", "order": "desc", "limit": 5}).json()
    dearest = sorted(PRODUCTS, key=lambda product: -product["price"])[:5]
    assert [product["id"] for product in by_price["products"]] == [product["id"] for product in dearest]
    laptops = seeded.guest.get("/products/category/laptops").json()
    assert [product["id"] for product in laptops["products"]] == [
        product["id"] for product in PRODUCTS if product["category"] == "laptops"
    ]
