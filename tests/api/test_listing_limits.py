"""The limits of every field that something is offered with (A2), by property: refused by name, and no trace."""

import re
import string
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.api.shop import Client, Shop, a_product, assert_problem
from tests.api.test_input_limits import LETTERS, NOT_TEXT, Values, named

NO_URL: Values = st.one_of(
    st.text(LETTERS, min_size=1, max_size=30).filter(lambda text: not text.lower().startswith("http")),
    st.sampled_from(["ftp://x.de/a", "javascript:alert(1)", "/a.png", "http://", "https://a b"]),
    st.text(string.ascii_lowercase, min_size=2048, max_size=2060).map(lambda text: f"https://x.de/{text}"),
    NOT_TEXT,
)
NO_NUMBER: Values = st.one_of(st.text(max_size=5), st.booleans(), st.lists(st.integers(), max_size=2))
NO_PRICE: Values = st.one_of(
    st.floats(-1e300, 0), st.floats(min_value=100_000_001, max_value=1e300), st.just(1.999), NO_NUMBER
)
NO_STOCK: Values = st.one_of(
    st.integers(max_value=-1), st.integers(min_value=1_000_000_001), st.just(1.5), NO_NUMBER
)
NO_REFERENCE: Values = st.one_of(
    st.sampled_from(["", "nowhere", "a b", "99999999", "00000000-0000-4000-8000-000000000000"]),
    st.integers(max_value=-1),
    st.text(string.ascii_lowercase, min_size=101, max_size=110),
    st.booleans(),
)
NO_SLUG: Values = st.one_of(
    st.sampled_from(
        ["", "search", "add", "categories", "category", "category-list", "me", "apply", "a_b", "Ab", "ä"]
    ),
    st.text(string.digits, min_size=1, max_size=18),
    st.uuids().map(str),
    st.text(string.ascii_lowercase, min_size=101, max_size=110),
    NOT_TEXT,
)
NO_LOCATION: Values = st.one_of(
    st.fixed_dictionaries({"lat": st.floats(90.01, 1e9), "lng": st.floats(-180, 180)}),
    st.fixed_dictionaries({"lat": st.floats(-90, 90), "lng": st.floats(-1e9, -180.01)}),
    st.fixed_dictionaries({"lat": NO_NUMBER, "lng": st.just(1)}),
    st.fixed_dictionaries({"lat": st.just(1), "lng": st.just(1), "city": named(100)}),
    st.sampled_from([{}, {"lat": 1}, [1, 2], "Berlin", 7]),
)
NO_ATTRIBUTES: Values = st.one_of(
    st.fixed_dictionaries({"size": st.one_of(named(200), st.just("XL"), st.just(""))}),
    st.fixed_dictionaries({"watt": st.one_of(NO_NUMBER, st.integers(min_value=10**16), st.just(-1))}),
    st.fixed_dictionaries({"color": st.sampled_from(["red", ["mauve"], ["red", "red"], {"a": 1}, 7])}),
    st.dictionaries(st.text(string.ascii_lowercase, min_size=8, max_size=9), st.integers(), min_size=1),
    st.sampled_from([[], "size", 7]),
)
NO_DIMENSIONS: Values = st.one_of(
    st.fixed_dictionaries({"width": st.one_of(NO_NUMBER, st.just(-1), st.just(1_000_001))}),
    st.sampled_from([[], "big", 7]),
)
NO_META: Values = st.one_of(
    st.dictionaries(st.text(string.ascii_lowercase, min_size=51, max_size=55), st.just("x"), min_size=1),
    st.fixed_dictionaries(
        {"barcode": st.one_of(st.text(LETTERS, min_size=2049, max_size=2060), st.just({"a": 1}))}
    ),
    st.just({f"k{number}": 1 for number in range(21)}),
    st.sampled_from([[], "big", 7]),
)
FIELDS: dict[str, Values] = {
    "title": named(200, 3),
    "descriptionShort": named(5000),
    "price": NO_PRICE,
    "discountPercentage": st.one_of(st.floats(100.1, 1e9), st.floats(-1e9, -0.1), NO_NUMBER),
    "salePrice": st.one_of(st.floats(-1e9, -0.01), st.just(1.999), st.just(1300), NO_NUMBER),
    "brand": named(100),
    "tags": st.one_of(
        st.lists(st.just("x"), min_size=31), st.lists(named(50), min_size=1, max_size=2), st.just("x")
    ),
    "thumbnail": NO_URL,
    "images": st.one_of(
        st.lists(NO_URL, min_size=1, max_size=2),
        st.lists(st.just("https://x.de/a"), min_size=13, max_size=14),
        st.just("https://x.de/a"),
    ),
    "stock": NO_STOCK,
    "currency": st.one_of(st.sampled_from(["", "EUR", "US"]), NOT_TEXT),
    "slug": NO_SLUG,
    "category": NO_REFERENCE,
    "categories": st.one_of(
        st.lists(NO_REFERENCE, min_size=1, max_size=2),
        st.lists(st.integers(1, 9), min_size=11, max_size=12),
        st.just("x"),
    ),
    "collections": st.one_of(
        st.lists(NO_REFERENCE, min_size=1, max_size=2),
        st.lists(st.integers(1, 9), min_size=21, max_size=22),
        st.just("x"),
    ),
    "attributes": NO_ATTRIBUTES,
    "location": NO_LOCATION,
    "shippingProfileId": st.one_of(
        st.sampled_from(["7", "mine", "00000000-0000-4000-8000-000000000000"]), named(100)
    ),
    "sku": named(100),
    "weight": st.one_of(NO_NUMBER, st.just(-1), st.just(1_000_001)),
    "dimensions": NO_DIMENSIONS,
    "warrantyInformation": named(500),
    "shippingInformation": named(500),
    "returnPolicy": named(500),
    "minimumOrderQuantity": NO_STOCK,
    "meta": NO_META,
}
ON_CREATION: dict[str, Values] = {
    "description": named(5000, 10),
    "quantity": NO_STOCK,
    "unique": st.one_of(st.integers(), st.text(max_size=5)),
    "status": st.one_of(st.sampled_from(["", "sold", "expired"]), NOT_TEXT),
    "mediaIds": st.one_of(
        st.lists(st.uuids().map(str), min_size=1, max_size=13),
        st.lists(NOT_TEXT, min_size=1, max_size=2),
        st.just("x"),
    ),
}
COMMON: dict[str, Values] = {
    name: st.one_of(named(200), st.just("")) for name in ("gender", "condition", "material", "style")
}


@pytest.fixture(scope="module")
def lamps(admin: Client) -> str:
    attributes = [
        {"key": "size", "label": "Size", "type": "enum", "options": ["S", "M"]},
        {"key": "watt", "label": "Watt", "type": "number", "min": 0},
        {"key": "color", "label": "Color", "type": "multi", "options": ["red", "green"]},
    ]
    slug: str = admin.made("/admin/categories", {"name": "Lamps of limits", "attributes": attributes})["slug"]
    return slug


@pytest.fixture(scope="module")
def lamp(admin: Client, lamps: str) -> dict[str, Any]:
    return admin.made("/admin/products", a_product(lamps, discountPercentage=None))


def _cases(method: str, fields: Mapping[str, Values]) -> list[Any]:
    return [pytest.param(method, field, values, id=f"{method}-{field}") for field, values in fields.items()]


@pytest.mark.parametrize(
    ("method", "field", "values"),
    [*_cases("POST", {**FIELDS, **ON_CREATION}), *_cases("PATCH", FIELDS)],
)
def test_what_a_field_does_not_take_is_refused_by_its_name_and_leaves_no_trace(
    shop: Shop, admin: Client, lamps: str, lamp: dict[str, Any], *, method: str, field: str, values: Values
) -> None:
    head = shop.head()
    path = "/products/add" if method == "POST" else f"/products/{lamp['id']}"
    body = a_product(lamps, discountPercentage=None) if method == "POST" else {}

    @settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(value=values)
    def refused(value: Any) -> None:
        response = admin(method, path, json={**body, field: value})
        details = assert_problem(response, 400, "VALIDATION_ERROR")["details"]
        assert {re.split(r"[.\[]", name)[0] for name in details} == {field}

    refused()
    assert shop.head() == head


@pytest.mark.parametrize("field", COMMON)
def test_what_stands_beside_the_attributes_is_refused_as_one_of_them(
    shop: Shop, admin: Client, lamps: str, field: str
) -> None:
    head = shop.head()

    @settings(max_examples=5, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(value=COMMON[field])
    def refused(value: Any) -> None:
        response = admin.post("/products/add", a_product(lamps, **{field: value}))
        assert_problem(response, 400, "VALIDATION_ERROR", f"attributes.{field}")

    refused()
    assert shop.head() == head


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck), database=None)
@given(
    said=st.fixed_dictionaries(
        {
            "title": st.text(LETTERS, min_size=3, max_size=200),
            "description": st.text(LETTERS, min_size=1, max_size=5000),
            "brand": st.text(LETTERS, max_size=100),
            "tags": st.lists(st.text(LETTERS, min_size=1, max_size=50), max_size=30),
            "price": st.integers(1, 10**10).map(lambda cents: cents / 100),
            "stock": st.integers(0, 10**9),
        }
    )
)
def test_what_is_within_the_limits_is_taken_and_told_as_it_is(
    admin: Client, lamp: dict[str, Any], said: dict[str, Any]
) -> None:
    changed = admin.patch(f"/products/{lamp['id']}", said)
    assert changed.status_code == 200, changed.text
    assert changed.json().items() >= said.items()
