"""DummyJSON's catalogue, through the commands: it is all there, as it was, also after a rebuild, and only once."""

from __future__ import annotations

import io
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from tests.api.shop import Client, Shop, soon
from tests.conftest import FreshDatabase
from workers.departments import DEPARTMENTS
from workers.seeding import Catalogue, seed_shop

CATALOGUE = Catalogue.read()

AS_THEY_WERE = (
    "id", "title", "description", "category", "price", "discountPercentage", "rating", "stock", "tags", "images",
    "thumbnail", "sku", "weight", "dimensions", "warrantyInformation", "shippingInformation", "availabilityStatus",
    "returnPolicy", "minimumOrderQuantity", "meta",
)  # fmt: skip


@pytest.fixture(scope="module")
def shop(fresh_database: FreshDatabase, servers_folder: Path) -> Iterator[Shop]:
    folder = servers_folder / "seeded-shop"
    with fresh_database() as url, Shop(url, folder) as shop:
        said = io.StringIO()
        shop.run(seed_shop(shop.environment(), Console(file=said), demo_roles=True))
        assert "1015/1015" in said.getvalue(), "the bar comes to its end"
        yield shop
    shutil.rmtree(folder, ignore_errors=True)


def all_products(shop: Shop) -> list[dict[str, Any]]:
    pages = [shop.guest.get(f"/products?limit=100&skip={skip}").json()["products"] for skip in (0, 100)]
    return [product for page in pages for product in page]


def admin_of(shop: Shop) -> Client:
    login = {"username": "emilys", "password": "emilyspass"}
    return shop.client(shop.guest.made("/auth/login", login)["token"])


class TestTheSeededShop:
    def test_every_product_is_as_dummyjson_has_it(self, shop: Shop) -> None:
        products = all_products(shop)
        assert len(products) == 194
        for product, original in zip(products, CATALOGUE.products, strict=True):
            assert {name: product[name] for name in AS_THEY_WERE} == {
                name: original[name] for name in AS_THEY_WERE
            }
            assert product["brand"] == original.get("brand", "")
            assert original.keys() - product.keys() - {"brand"} == set()

    def test_every_review_is_there_and_its_writers_address_is_masked(self, shop: Shop) -> None:
        for product, original in zip(all_products(shop), CATALOGUE.products, strict=True):
            said = [
                (review["rating"], review["comment"], review["reviewerName"]) for review in product["reviews"]
            ]
            assert said == [
                (review["rating"], review["comment"], review["reviewerName"])
                for review in original["reviews"]
            ]
            assert all(review["reviewerEmail"][1:].startswith("***@") for review in product["reviews"])

    def test_every_category_is_there(self, shop: Shop) -> None:
        departments = [department.slug for department in DEPARTMENTS]
        assert shop.guest.get("/products/categories").json() == [*departments, *CATALOGUE.categories]
        for slug in CATALOGUE.categories:
            expected = sum(product["category"] == slug for product in CATALOGUE.products)
            assert shop.guest.get(f"/products/category/{slug}?limit=1").json()["total"] == expected

    def test_the_categories_are_a_tree_with_attributes(self, shop: Shop) -> None:
        roots = {node["slug"]: node for node in shop.guest.get("/categories").json()}
        assert set(roots) == {"groceries", *(each.slug for each in DEPARTMENTS if not each.parent)}
        electronics = {child["slug"] for child in roots["electronics"]["children"]}
        assert electronics == {"laptops", "mobile-accessories", "smartphones", "tablets"}
        schema = shop.guest.get("/categories/womens-dresses/attributes").json()["attributes"]
        assert [(each["key"], each["category"]) for each in schema] == [
            ("condition", "fashion"), ("color", "fashion"), ("material", "fashion"), ("gender", "fashion"),
            ("style", "fashion"), ("size", "womens-dresses"),
        ]  # fmt: skip
        in_fashion = shop.guest.get("/products/category/fashion?limit=1").json()["total"]
        assert in_fashion == sum(
            product["category"].startswith(("mens-", "womens-"))
            or product["category"] in {"tops", "sunglasses"}
            for product in CATALOGUE.products
        )

    def test_people_sign_in_with_dummyjsons_passwords(self, shop: Shop) -> None:
        for user in (CATALOGUE.users[0], CATALOGUE.users[20]):
            login = {"username": user["username"], "password": user["password"]}
            assert shop.guest.made("/auth/login", login)["user"]["id"] == user["id"]

    def test_seeding_again_changes_nothing(self, shop: Shop) -> None:
        head = shop.head()
        shop.run(seed_shop(shop.environment(), Console(file=io.StringIO()), demo_roles=True))
        assert shop.head() == head

    def test_after_a_rebuild_from_the_log_it_is_all_the_same(self, shop: Shop) -> None:
        before = all_products(shop)
        admin = admin_of(shop)

        def generation() -> int:
            (status,) = [
                status
                for status in admin.get("/admin/projections").json()["projections"]
                if status["name"] == "products"
            ]
            return int(status["active"]["generation"])

        first = generation()
        assert admin.post("/admin/projections/products/rebuild").status_code == 202
        soon(lambda: generation() == first + 1, "the switch to the new generation", within=60)
        assert all_products(shop) == before
