import uuid
from typing import Any

import pytest

from tests.api.shop import Client, Shop, a_product, assert_problem

SIZE = {"key": "size", "label": "Size", "type": "enum", "options": ["S", "M"], "required": True}
SHOWN_SIZE = {**SIZE, "unit": "", "filterable": False}


def word() -> str:
    return f"w{uuid.uuid4().hex[:12]}"


def made(admin: Client, **fields: Any) -> dict[str, Any]:
    return admin.made("/admin/categories", {"name": word().title(), **fields})


def seen(shop: Shop, path: str, **params: Any) -> Any:
    response = shop.guest.get(path, params=params, headers={"X-Min-Log-Position": str(shop.head())})
    assert response.status_code == 200, response.text
    return response.json()


def kept(shop: Shop, admin: Client, path: str, **params: Any) -> Any:
    response = admin.get(path, params=params, headers={"X-Min-Log-Position": str(shop.head())})
    assert response.status_code == 200, response.text
    return response.json()


def slugs_in(nodes: list[dict[str, Any]]) -> set[str]:
    return {slug for node in nodes for slug in (node["slug"], *slugs_in(node["children"]))}


class Refusals:
    """Asks for what must be refused, and sees that nothing of it was recorded."""

    def __init__(self, shop: Shop) -> None:
        self._shop = shop

    def __call__(  # noqa: PLR0917 - a request and its refusal, in the order in which they are read
        self, client: Client, method: str, path: str, body: Any, status: int, code: str, *fields: str
    ) -> dict[str, Any]:
        head = self._shop.head()
        response = client(method, path, json=body) if body is not None else client(method, path)
        problem = dict(assert_problem(response, status, code, *fields))
        assert self._shop.head() == head
        return problem


@pytest.fixture
def refuses(shop: Shop) -> Refusals:
    return Refusals(shop)


class TestReading:
    def test_the_tree_is_made_of_what_is_active_in_its_order(self, shop: Shop, admin: Client) -> None:
        root = made(admin)
        second, first = made(admin, parent=root["id"], order=2), made(admin, parent_id=root["uuid"], order=1)
        hidden = made(admin, parent=root["slug"], active=False)
        below = made(admin, parent=hidden["id"])
        (node,) = [node for node in seen(shop, "/categories") if node["id"] == root["id"]]
        assert node == {**root, "children": [first, second]}
        assert seen(shop, f"/categories/{root['slug']}") == node
        for category in (hidden, below):
            for path in ("", "/attributes", "/collections", "/collections/x/products"):
                unseen = shop.guest.get(f"/categories/{category['id']}{path}")
                assert_problem(unseen, 404, "CATEGORY_NOT_FOUND")
            assert category["slug"] not in seen(shop, "/products/categories")
            assert category["slug"] not in seen(shop, "/products/category-list")
            assert kept(shop, admin, f"/admin/categories/{category['slug']}")["visible"] is False
        admin.patch(f"/admin/categories/{hidden['id']}", {"active": True})
        assert {hidden["slug"], below["slug"]} <= slugs_in(seen(shop, "/categories"))
        assert {hidden["slug"], below["slug"]} <= set(seen(shop, "/products/categories"))

    def test_a_part_of_the_tree_is_read_alone(self, shop: Shop, admin: Client, refuses: Refusals) -> None:
        root = made(admin)
        child = made(admin, parent=root["id"])
        below = made(admin, parent=child["id"])
        for name in ("parentId", "parent_id", "parent"):
            found = seen(shop, "/categories", **{name: root["slug"]})
            assert found == [{**child, "children": [below]}]
        assert seen(shop, "/categories", parentId=root["id"], depth=1) == [child]
        (node,) = [node for node in seen(shop, "/categories", depth=2) if node["id"] == root["id"]]
        assert node == {**root, "children": [child]}
        refuses(shop.guest, "GET", "/categories?parentId=nowhere", None, 404, "CATEGORY_NOT_FOUND")
        for query in ("depth=0", "depth=x"):
            refuses(shop.guest, "GET", f"/categories?{query}", None, 400, "VALIDATION_ERROR", "depth")

    def test_the_schema_of_a_category_has_what_it_inherits(self, shop: Shop, admin: Client) -> None:
        root = made(admin, attributes=[SIZE])
        number = {
            "key": "screen_size", "label": "Screen", "type": "number", "unit": "in", "filterable": True, "min": 1,
        }  # fmt: skip
        child = made(admin, parent=root["id"], attributes=[number])
        shown = {**number, "key": "screenSize", "required": False, "options": []}
        assert child["attributes"] == [shown]
        assert seen(shop, f"/categories/{child['uuid']}/attributes") == {
            "attributes": [
                {**SHOWN_SIZE, "inherited": True, "category": root["slug"]},
                {**shown, "inherited": False, "category": child["slug"]},
            ]
        }
        assert_problem(shop.guest.get("/categories/nowhere/attributes"), 404, "CATEGORY_NOT_FOUND")

    def test_products_of_what_is_not_active_are_not_listed(self, shop: Shop, admin: Client) -> None:
        root = made(admin)
        child = made(admin, parent=root["id"])
        product = admin.made("/products/add", a_product(child["slug"]))
        for category in (root, child):
            for name in (category["id"], category["slug"], category["uuid"]):
                found = seen(shop, "/products", category=name)
                assert [each["id"] for each in found["products"]] == [product["id"]]
                assert seen(shop, f"/products/category/{name}")["total"] == 1
        admin.patch(f"/admin/categories/{root['id']}", {"active": False})
        for category in (root, child):
            assert seen(shop, f"/products/category/{category['slug']}")["products"] == []
            assert seen(shop, "/products", category=category["id"])["total"] == 0


class TestKeeping:
    def test_admins_list_all_of_them_in_both_shapes(self, shop: Shop, admin: Client) -> None:
        root = made(admin)
        names = [made(admin, parent=root["id"], order=n, active=n != 2)["slug"] for n in (1, 2, 3)]
        path = "/admin/categories"
        page = kept(shop, admin, path, parent=root["slug"], limit=2)
        assert [each["slug"] for each in page["categories"]] == names[:2]
        assert (page["total"], page["skip"], page["limit"]) == (3, 0, 2)
        paged = kept(shop, admin, path, parent=root["id"], page=2, limit=2)
        assert [each["slug"] for each in paged["data"]] == names[2:]
        assert paged["pagination"] == {"total": 3, "page": 2, "limit": 2, "pages": 2}
        assert [each["slug"] for each in kept(shop, admin, path, search=names[1])["categories"]] == [names[1]]
        inactive = kept(shop, admin, path, parent=root["id"], active="false")
        assert [(each["slug"], each["visible"]) for each in inactive["categories"]] == [(names[1], False)]
        assert kept(shop, admin, path, parent="nowhere")["total"] == 0
        assert kept(shop, admin, f"{path}/{root['id']}") == {
            **{key: value for key, value in root.items() if key != "children"},
            "visible": True,
            "formerSlugs": [],
            "childCount": 3,
        }

    def test_are_created_with_all_that_they_have(self, shop: Shop, admin: Client) -> None:
        slug, parent = word(), made(admin)
        body = {
            "name": "Lamps", "slug": slug, "description": "Light", "image": "https://cdn.example.com/l.jpg",
            "order": 4, "active": True, "parentId": parent["id"], "attributes": [SIZE],
        }  # fmt: skip
        created = admin.made("/categories", body)
        assert created == body | {
            "id": created["id"], "uuid": created["uuid"], "attributes": [SHOWN_SIZE], "children": [],
        }  # fmt: skip
        assert seen(shop, f"/categories/{created['id']}") == created

    def test_are_changed_by_put_and_patch_alike(self, shop: Shop, admin: Client) -> None:
        created, parent = made(admin, description="Old"), made(admin)
        path = f"/admin/categories/{created['slug']}"
        slug = word()
        changed = admin.patch(
            path, {"name": "New", "slug": slug, "parent": parent["slug"], "attributes": [SIZE], "image": None}
        )
        expected = {
            **created, "name": "New", "slug": slug, "parentId": parent["id"], "attributes": [SHOWN_SIZE],
        }  # fmt: skip
        del expected["children"]
        assert changed.json() == expected
        for name in (created["slug"], slug, created["id"], created["uuid"]):
            assert seen(shop, f"/categories/{name}") == {**expected, "children": []}
        stale = admin.patch(path, {"name": "Newer"}, headers={"If-Match": '"1"'})
        assert_problem(stale, 409, "VERSION_CONFLICT")
        fresh = {"If-Match": changed.headers["etag"]}
        again = admin("PUT", path, json={"parentId": None, "description": None, "order": 7}, headers=fresh)
        assert again.json() == {**expected, "parentId": None, "description": "", "order": 7}
        assert kept(shop, admin, path)["formerSlugs"] == [created["slug"]]

    def test_are_brought_into_an_order(self, shop: Shop, admin: Client, refuses: Refusals) -> None:
        root = made(admin)
        one, two = made(admin, parent=root["id"]), made(admin, parent=root["id"])
        body = {"parent": root["slug"], "categories": [two["id"], one["slug"]]}
        ordered = admin("PUT", "/admin/categories", json=body)
        assert [(each["id"], each["order"]) for each in ordered.json()] == [(two["id"], 1), (one["id"], 2)]
        node = seen(shop, f"/categories/{root['id']}")
        assert [child["id"] for child in node["children"]] == [two["id"], one["id"]]
        for wrong, field in (
            ({**body, "categories": [two["id"]]}, "categories"),
            ({**body, "categories": [two["id"], "nowhere"]}, "categories[1]"),
            ({**body, "parent": "nowhere"}, "parent"),
            ({"parent": root["id"]}, "categories"),
        ):
            refuses(admin, "PUT", "/admin/categories", wrong, 400, "VALIDATION_ERROR", field)

    def test_go_when_they_are_empty_or_have_a_successor(
        self, shop: Shop, admin: Client, refuses: Refusals
    ) -> None:
        root, other = made(admin), made(admin)
        child = made(admin, parent=root["id"])
        product = admin.made("/products/add", a_product(child["slug"]))
        path = f"/admin/categories/{root['id']}"
        refuses(admin, "DELETE", path, None, 409, "CATEGORY_NOT_EMPTY", "children")
        below = f"/admin/categories/{child['slug']}"
        refuses(admin, "DELETE", below, None, 409, "CATEGORY_NOT_EMPTY", "listings")
        asked = f"{path}?reassignTo={child['slug']}"
        refuses(admin, "DELETE", asked, None, 422, "CATEGORY_CYCLE", "reassignTo")
        asked = f"{path}?reassignTo=nowhere"
        refuses(admin, "DELETE", asked, None, 400, "VALIDATION_ERROR", "reassignTo")
        gone = admin("DELETE", f"{below}?reassign_to={other['slug']}")
        assert (gone.status_code, gone.content) == (204, b"")
        for name in (child["slug"], child["id"], other["slug"]):
            found = seen(shop, f"/products/category/{name}")
            assert [each["id"] for each in found["products"]] == [product["id"]]
            assert seen(shop, f"/categories/{name}") == other
        refuses(admin, "DELETE", below, None, 404, "CATEGORY_NOT_FOUND")
        assert admin("DELETE", path).status_code == 204
        for name in (root["id"], root["slug"], root["uuid"]):
            head = {"X-Min-Log-Position": str(shop.head())}
            assert_problem(shop.guest.get(f"/categories/{name}", headers=head), 404, "CATEGORY_NOT_FOUND")
            assert_problem(admin.get(f"/admin/categories/{name}"), 404, "CATEGORY_NOT_FOUND")
        assert made(admin, slug=root["slug"])["id"] != root["id"]
        refuses(
            admin, "DELETE", f"/admin/categories/{other['id']}", None, 409, "CATEGORY_NOT_EMPTY", "listings"
        )

    def test_do_not_become_a_cycle(self, admin: Client, refuses: Refusals) -> None:
        root = made(admin)
        child = made(admin, parent=root["id"])
        for parent in (root["id"], child["slug"]):
            body = {"parent": parent}
            path = f"/admin/categories/{root['id']}"
            refuses(admin, "PATCH", path, body, 422, "CATEGORY_CYCLE", "parent")

    def test_are_not_too_deep_and_define_an_attribute_once(self, admin: Client, refuses: Refusals) -> None:
        node = made(admin, attributes=[SIZE])
        for _ in range(4):
            node = made(admin, parent=node["id"])
        path = f"/admin/categories/{node['id']}"
        refuses(admin, "PATCH", path, {"attributes": [SIZE]}, 422, "ATTRIBUTE_DEFINED_TWICE", "attributes")
        body = {"name": word(), "parent": node["id"]}
        refuses(admin, "POST", "/admin/categories", body, 422, "CATEGORY_TOO_DEEP", "parent")

    @pytest.mark.parametrize(
        ("body", "field"),
        [
            ({"name": ""}, "name"),
            ({"name": "x" * 101}, "name"),
            ({"name": 7}, "name"),
            ({"slug": "No Slug"}, "slug"),
            ({"slug": "search"}, "slug"),
            ({"slug": "123"}, "slug"),
            ({"description": "x" * 5001}, "description"),
            ({"image": "javascript:alert(1)"}, "image"),
            ({"order": -1}, "order"),
            ({"active": "yes"}, "active"),
            ({"parent": "nowhere"}, "parent"),
            ({"parentId": 999_999_999}, "parent"),
            ({"attributes": [{"key": "a", "label": "A"}]}, "attributes[0].type"),
            ({"attributes": [{**SIZE, "type": "colour"}]}, "attributes[0].type"),
            ({"attributes": [{**SIZE, "options": []}]}, "attributes[0].options"),
            ({"attributes": [{**SIZE, "key": "Not a key"}]}, "attributes[0].key"),
            ({"attributes": [{**SIZE, "key": "stock_quantity"}]}, "attributes[0].key"),
            ({"attributes": [SIZE, SIZE]}, "attributes[1].key"),
        ],
    )
    def test_each_field_is_refused_by_name(
        self, admin: Client, category: str, refuses: Refusals, *, body: Any, field: str
    ) -> None:
        new = {"name": word(), **body}
        refuses(admin, "POST", "/admin/categories", new, 400, "VALIDATION_ERROR", field)
        refuses(admin, "PATCH", f"/admin/categories/{category}", body, 400, "VALIDATION_ERROR", field)

    def test_what_is_asked_of_the_list_is_refused_by_name(self, admin: Client, refuses: Refusals) -> None:
        for query, field in (("page=0", "page"), ("limit=x", "limit"), ("active=maybe", "active")):
            refuses(admin, "GET", f"/admin/categories?{query}", None, 400, "VALIDATION_ERROR", field)
            refuses(admin, "GET", f"/admin/collections?{query}", None, 400, "VALIDATION_ERROR", field)

    def test_a_slug_is_taken_once(self, admin: Client, category: str, refuses: Refusals) -> None:
        body = {"name": word(), "slug": category}
        refuses(admin, "POST", "/categories", body, 409, "SLUG_EXISTS", "slug")
        other = made(admin)
        path = f"/admin/categories/{other['id']}"
        refuses(admin, "PATCH", path, {"slug": category}, 409, "SLUG_EXISTS", "slug")

    def test_is_for_admins(self, shop: Shop, category: str, buyer: Client, refuses: Refusals) -> None:
        one = f"/admin/categories/{category}"
        for method, path, body in (
            ("GET", "/admin/categories", None), ("POST", "/admin/categories", {"name": "x"}),
            ("POST", "/categories", {"name": "x"}), ("PUT", "/admin/categories", {"categories": []}),
            ("GET", one, None), ("PATCH", one, {"name": "x"}), ("PUT", one, {"name": "x"}), ("DELETE", one, None),
            ("GET", "/admin/collections", None), ("POST", "/admin/collections", {"name": "x"}),
            ("GET", "/admin/collections/x", None), ("PATCH", "/admin/collections/x", {"name": "x"}),
            ("DELETE", "/admin/collections/x", None), ("POST", "/admin/collections/x/products", {"products": []}),
            ("PUT", "/admin/collections/x/products", {"products": []}),
            ("DELETE", "/admin/collections/x/products/1", None),
        ):  # fmt: skip
            refuses(shop.guest, method, path, body, 401, "UNAUTHORIZED")
            refuses(buyer, method, path, body, 403, "FORBIDDEN")

    def test_what_is_not_there_is_not_found(self, admin: Client, refuses: Refusals) -> None:
        for name in ("nowhere", "999999999", str(uuid.uuid4())):
            one = f"/admin/categories/{name}"
            for method, body in (("GET", None), ("PATCH", {"name": "x"}), ("DELETE", None)):
                refuses(admin, method, one, body, 404, "CATEGORY_NOT_FOUND")

    def test_is_done_once_per_key(self, shop: Shop, admin: Client) -> None:
        key = {"Idempotency-Key": word()}
        body = {"name": word()}
        first, again = (admin.post("/admin/categories", body, headers=key) for _ in range(2))
        assert (first.json(), again.headers["idempotency-replayed"]) == (again.json(), "true")
        collection = admin.made("/admin/collections", {"name": word()})
        for path in (f"categories/{first.json()['slug']}", f"collections/{collection['slug']}"):
            key = {"Idempotency-Key": word()}
            answers = [admin("DELETE", f"/admin/{path}", headers=key) for _ in range(2)]
            assert [answer.status_code for answer in answers] == [204, 204]
            assert answers[1].headers["idempotency-replayed"] == "true"
            assert admin("DELETE", f"/admin/{path}").status_code == 404


class TestListingsInIt:
    def test_must_name_one_that_is_there_and_active(self, admin: Client, refuses: Refusals) -> None:
        hidden = made(admin, active=False)
        for category, fault in ((hidden["slug"], "Is not active"), ("nowhere", "Does not exist")):
            problem = refuses(
                admin, "POST", "/products/add", a_product(category), 400, "VALIDATION_ERROR", "category"
            )
            assert problem["details"] == {"category": [fault]}
