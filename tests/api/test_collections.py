import uuid
from typing import Any

import pytest

from tests.api.shop import Client, Shop, a_product, assert_problem
from tests.api.test_categories import Refusals, kept, made, seen, word

PRODUCTS = ("A", 30), ("C", 10), ("B", 20)


@pytest.fixture
def refuses(shop: Shop) -> Refusals:
    return Refusals(shop)


@pytest.fixture
def things(admin: Client) -> list[dict[str, Any]]:
    """Two in a category below another, and one elsewhere."""
    root = made(admin)
    slugs = [made(admin, parent=root["id"])["slug"], root["slug"], made(admin)["slug"]]
    return [
        admin.made("/products/add", a_product(slug, title=f"{title} {word()}", price=price))
        for slug, (title, price) in zip(slugs, PRODUCTS, strict=True)
    ]


def a_collection(admin: Client, **fields: Any) -> dict[str, Any]:
    return admin.made("/admin/collections", {"name": word(), **fields})


def shown(collection: dict[str, Any]) -> dict[str, Any]:
    """As everybody sees it."""
    hidden = {"formerSlugs", "productCount", "products"}
    return {key: value for key, value in collection.items() if key not in hidden}


def ids(page: dict[str, Any]) -> list[int]:
    return [product["id"] for product in page.get("products", page.get("data", ()))]


def test_are_listed_in_their_order_while_they_are_active(shop: Shop, admin: Client) -> None:
    second, first = a_collection(admin, order=900_002), a_collection(admin, order=900_001)
    hidden = a_collection(admin, order=900_000, active=False)
    assert seen(shop, "/collections")[-2:] == [shown(first), shown(second)]
    for name in (first["id"], first["uuid"], first["slug"]):
        assert seen(shop, f"/collections/{name}") == shown(first)
    for name in (hidden["id"], "nothing", str(uuid.uuid4())):
        for path in (f"/collections/{name}", f"/collections/{name}/products"):
            assert_problem(shop.guest.get(path), 404, "COLLECTION_NOT_FOUND")
    admin.patch(f"/admin/collections/{first['id']}", {"order": 900_003, "active": True})
    assert [each["id"] for each in seen(shop, "/collections")[-2:]] == [second["id"], first["id"]]


def test_are_created_changed_and_deleted(shop: Shop, admin: Client, refuses: Refusals) -> None:
    slug = word()
    body = {
        "name": "Summer", "slug": slug, "description": "Sun", "image": "https://cdn.example.com/s.jpg",
        "order": 3, "active": True,
    }  # fmt: skip
    created = admin.made("/admin/collections", body)
    assert created == body | {
        "id": created["id"], "uuid": created["uuid"], "formerSlugs": [], "productCount": 0, "products": [],
    }  # fmt: skip
    path = f"/admin/collections/{slug}"
    renamed = word()
    changed = admin.patch(path, {"slug": renamed, "description": None, "active": False})
    assert changed.json() == {
        **created, "slug": renamed, "description": "", "active": False, "formerSlugs": [slug],
    }  # fmt: skip
    stale = admin("PUT", path, json={"name": "x"}, headers={"If-Match": '"1"'})
    assert_problem(stale, 409, "VERSION_CONFLICT")
    fresh = {"If-Match": changed.headers["etag"]}
    assert admin("PUT", path, json={"active": True}, headers=fresh).json()["active"] is True
    for name in (slug, renamed, created["id"]):
        assert kept(shop, admin, f"/admin/collections/{name}")["slug"] == renamed
        assert seen(shop, f"/collections/{name}")["slug"] == renamed
    refuses(admin, "POST", "/admin/collections", body, 409, "SLUG_EXISTS", "slug")
    other = f"/admin/collections/{a_collection(admin)['id']}"
    refuses(admin, "PATCH", other, {"slug": renamed}, 409, "SLUG_EXISTS", "slug")
    assert admin("DELETE", path).status_code == 204
    for name in (slug, renamed, created["id"]):
        for method, given in (("GET", None), ("PATCH", {"name": "x"}), ("DELETE", None)):
            shop.guest.get("/collections", headers={"X-Min-Log-Position": str(shop.head())})
            one = f"/admin/collections/{name}"
            refuses(admin, method, one, given, 404, "COLLECTION_NOT_FOUND")


def test_admins_list_all_of_them_in_both_shapes(shop: Shop, admin: Client) -> None:
    name = word()
    made_ones = [
        a_collection(admin, name=f"{name} {n}", slug=f"{name}-{n}", order=n, active=n != 2) for n in (1, 2, 3)
    ]
    path = "/admin/collections"
    page = kept(shop, admin, path, q=name, limit=2)
    assert page.pop("nextCursor")
    assert page == {"collections": made_ones[:2], "total": 3, "skip": 0, "limit": 2}
    assert kept(shop, admin, path, search=name, page=2, limit=2) == {
        "data": made_ones[2:],
        "pagination": {"total": 3, "page": 2, "limit": 2, "pages": 2},
    }
    assert kept(shop, admin, path, q=name, active="false")["collections"] == made_ones[1:2]


def test_products_are_put_in_arranged_and_taken_out(
    shop: Shop, admin: Client, things: list[dict[str, Any]]
) -> None:
    one, two, three = things
    collection = a_collection(admin)
    path = f"/admin/collections/{collection['slug']}/products"
    added = admin.made(path, {"products": [one["id"], two["slug"], three["uuid"]]})
    assert added == {**collection, "productCount": 3, "products": [each["uuid"] for each in things]}
    assert kept(shop, admin, f"/admin/collections/{collection['id']}") == added
    public = f"/collections/{collection['id']}/products"
    page = seen(shop, public)
    assert ids(page) == [one["id"], two["id"], three["id"]]
    assert (page["total"], page["skip"], page["limit"]) == (3, 0, 10)
    assert page["products"][0].items() <= seen(shop, f"/products/{one['id']}").items()
    assert ids(seen(shop, public, sort="price_asc")) == [two["id"], three["id"], one["id"]]
    assert ids(seen(shop, public, sort="price_desc")) == [one["id"], three["id"], two["id"]]
    assert ids(seen(shop, public, sort="title_asc")) == [one["id"], three["id"], two["id"]]
    assert ids(seen(shop, public, sort="newest")) == [three["id"], two["id"], one["id"]]
    assert ids(seen(shop, public, sort="rating_desc")) == [one["id"], two["id"], three["id"]]
    assert ids(seen(shop, public, skip=1, limit=1)) == [two["id"]]
    paged = seen(shop, public, page=2, limit=2)
    assert ids(paged) == [three["id"]]
    assert paged["pagination"] == {"total": 3, "page": 2, "limit": 2, "pages": 2}
    admin("PUT", path, json={"products": [three["id"], one["id"]]})
    assert ids(seen(shop, public)) == [three["id"], one["id"]]
    admin.made(f"/products/{three['id']}/unpublish")
    assert seen(shop, public)["total"] == 1
    assert admin("DELETE", f"{path}/{one['slug']}").json()["productCount"] == 1
    assert seen(shop, public)["products"] == []


def test_products_of_a_category_in_a_collection(
    shop: Shop, admin: Client, things: list[dict[str, Any]]
) -> None:
    below, root, elsewhere = things
    summer, hidden, empty = a_collection(admin), a_collection(admin, active=False), a_collection(admin)
    for collection in (summer, hidden):
        admin.made(
            f"/admin/collections/{collection['id']}/products",
            {"products": [elsewhere["id"], below["id"], root["id"]]},
        )
    for category, found in (
        (root["category"], [below["id"], root["id"]]),
        (below["category"], [below["id"]]),
        (elsewhere["category"], [elsewhere["id"]]),
    ):
        path = f"/categories/{category}/collections"
        assert seen(shop, path) == [shown(summer)]
        page = seen(shop, f"{path}/{summer['slug']}/products")
        assert (ids(page), page["total"]) == (found, len(found))
        assert seen(shop, f"{path}/{empty['id']}/products")["products"] == []
        for name in ("nothing", hidden["slug"]):
            assert_problem(shop.guest.get(f"{path}/{name}/products"), 404, "COLLECTION_NOT_FOUND")
    page = seen(
        shop, f"/categories/{root['category']}/collections/{summer['slug']}/products", page=1, limit=1
    )
    assert (ids(page), page["pagination"]["total"]) == ([below["id"]], 2)
    for path in ("/collections", f"/collections/{summer['slug']}/products"):
        assert_problem(shop.guest.get(f"/categories/nowhere{path}"), 404, "CATEGORY_NOT_FOUND")


def test_each_field_is_refused_by_name(
    admin: Client, shop: Shop, product: dict[str, Any], refuses: Refusals
) -> None:
    collection = a_collection(admin)
    one = f"/admin/collections/{collection['id']}"
    for body, field in (
        ({"name": ""}, "name"), ({"slug": "No Slug"}, "slug"), ({"slug": "category"}, "slug"),
        ({"description": 1}, "description"), ({"image": "data:x"}, "image"), ({"order": -1}, "order"),
        ({"active": 1}, "active"),
    ):  # fmt: skip
        new = {"name": word(), **body}
        refuses(admin, "POST", "/admin/collections", new, 400, "VALIDATION_ERROR", field)
        refuses(admin, "PATCH", one, body, 400, "VALIDATION_ERROR", field)
    refuses(admin, "PATCH", one, {"name": None}, 400, "VALIDATION_ERROR", "name")
    for method in ("POST", "PUT"):
        for given, field in (
            ({}, "products"),
            ({"products": [product["id"], "nothing"]}, "products[1]"),
            ({"products": [999_999_999]}, "products[0]"),
            ({"products": product["id"]}, "products"),
        ):
            refuses(admin, method, f"{one}/products", given, 400, "VALIDATION_ERROR", field)
        there = {"products": [product["id"]]}
        nowhere = "/admin/collections/nowhere/products"
        refuses(admin, method, nowhere, there, 404, "COLLECTION_NOT_FOUND")
    refuses(admin, "DELETE", f"{one}/products/nothing", None, 404, "PRODUCT_NOT_FOUND")
    refuses(shop.guest, "GET", f"/collections/{collection['id']}/products?sort=x", None, 400,
            "VALIDATION_ERROR", "sort")  # fmt: skip
    admin.made(f"{one}/products", {"products": [product["id"]]})
    refuses(admin, "DELETE", one, None, 409, "COLLECTION_NOT_EMPTY", "products")
