"""The limits of every field that people tell about themselves with (A2), by property: refused by name, and no trace."""

import re
import string
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.api.shop import PASSWORD, Client, Shop, a_registration, assert_problem

Values = st.SearchStrategy[Any]

# No surrogates, which no JSON can carry, and no NUL, which has a refusal of its own.
LETTERS = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
NOT_TEXT: Values = st.one_of(st.integers(), st.booleans(), st.lists(st.integers(), max_size=2), st.just({}))


def longer(most: int) -> Values:
    return st.text(LETTERS, min_size=most + 1, max_size=most + 20)


def named(most: int, least: int = 0) -> Values:
    """What is no name of this length."""
    short = st.text(LETTERS, min_size=1, max_size=least - 1) if least > 1 else st.nothing()
    return st.one_of(short, longer(most), NOT_TEXT)


NO_EMAIL: Values = st.one_of(
    st.text(LETTERS, max_size=30).filter(lambda text: "@" not in text),
    st.sampled_from(
        [
            "@",
            "a@",
            "@b.c",
            "a@b",
            "a b@c.de",
            "a@b@c.de",
            "a@.de",
            "a@b..de",
            "ü@example.com",
            "a,b@x.yz",
            "<a>@x.yz",
            "a@x.yz>",
            "a@-x.yz",
        ]
    ),
    st.text(string.ascii_lowercase, min_size=250, max_size=260).map(lambda text: f"{text}@example.com"),
    NOT_TEXT,
)
WEAK_PASSWORD: Values = st.one_of(
    st.text(LETTERS, max_size=7),
    st.text(string.ascii_lowercase + string.digits, min_size=8, max_size=40),
    st.text(string.ascii_letters, min_size=8, max_size=40),
    st.text(string.digits + "A", min_size=129, max_size=140),
    NOT_TEXT,
)
NO_USERNAME: Values = st.one_of(
    st.text(string.ascii_lowercase, min_size=1, max_size=2),
    st.text(string.ascii_lowercase, min_size=51, max_size=60),
    st.text(string.digits, min_size=3, max_size=18),
    st.text(LETTERS, min_size=3, max_size=50).filter(lambda text: not text.isascii() or " " in text),
    st.sampled_from(["me1/", "profile", "Addresses", "a b c"]),
    NOT_TEXT,
)
NO_AGE: Values = st.one_of(
    st.integers(max_value=-1),
    st.integers(min_value=151),
    st.floats(allow_nan=False, allow_infinity=False).filter(lambda number: not number.is_integer()),
    st.text(max_size=5),
    st.booleans(),
)
NO_BOOLEAN: Values = st.one_of(st.integers(), st.text(max_size=5))

REGISTRATION: dict[str, Values] = {
    "email": NO_EMAIL,
    "password": WEAK_PASSWORD,
    "firstName": named(50, 2),
    "lastName": named(50, 2),
    "username": NO_USERNAME,
    "age": NO_AGE,
    "phone": named(40),
    "gender": named(30),
}
PROFILE: dict[str, Values] = {
    "firstName": named(50, 2),
    "lastName": named(50, 2),
    "email": NO_EMAIL,
    "username": NO_USERNAME,
    "password": WEAK_PASSWORD,
    "age": NO_AGE,
    "phone": named(40),
    "gender": named(30),
    "bio": named(1000),
    "interests": st.one_of(st.text(), st.integers(), st.lists(st.just("x"), min_size=51, max_size=60)),
    "image": st.one_of(
        st.sampled_from(["ftp://x.de/a", "javascript:alert(1)", "/a.png", "http://"]), NOT_TEXT
    ),
}
ADDRESS: dict[str, Values] = {
    "address": st.one_of(st.just(""), named(200)),
    "city": st.one_of(st.just(""), named(200)),
    "zipCode": st.one_of(st.just(""), named(20)),
    "country": st.one_of(st.just(""), named(200)),
    "state": named(100),
    "label": named(100),
    "phone": named(40),
    "isDefault": NO_BOOLEAN,
}
PREFERENCES: dict[str, Values] = {
    "theme": st.one_of(st.text(LETTERS).filter(lambda text: text not in {"light", "dark"}), NOT_TEXT),
    "notifications": NO_BOOLEAN,
    "emailNotifications": NO_BOOLEAN,
    "currency": st.text(LETTERS, max_size=6).filter(lambda text: not (len(text) == 3 and text.isascii())),
    "language": st.one_of(st.text(string.ascii_uppercase, max_size=5), NOT_TEXT),
}
PRIVACY: dict[str, Values] = {
    "profileVisibility": st.one_of(st.sampled_from(["", "friends", "PUBLIC"]), NOT_TEXT),
    "showEmail": NO_BOOLEAN,
    "allowMessages": NO_BOOLEAN,
}


NAME = st.text(LETTERS, min_size=2, max_size=50).filter(lambda name: len(name.strip()) >= 2)
"""Blanks are no letters."""
HOME = {"address": "123 Main St", "city": "New York", "zipCode": "10001", "country": "USA"}


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """A request that would be taken, but for one field."""

    method: str
    path: str
    body: Callable[[], dict[str, Any]]
    field: str
    values: Values
    status: int


def _cases(
    method: str, path: str, body: Callable[[], dict[str, Any]], fields: dict[str, Values], status: int = 400
) -> list[Any]:
    return [
        pytest.param(
            Case(method=method, path=path, body=body, field=field, values=values, status=status),
            id=f"{path}-{field}",
        )
        for field, values in fields.items()
    ]


CASES = [
    *_cases("POST", "/auth/register", a_registration, REGISTRATION),
    *_cases("POST", "/auth/signup", a_registration, REGISTRATION, 422),
    *_cases("PATCH", "/users/me", dict, PROFILE),
    *_cases("POST", "/users/me/addresses", lambda: dict(HOME), ADDRESS),
    *_cases("PUT", "/users/me/preferences", dict, PREFERENCES),
    *_cases("PATCH", "/users/me/privacy", dict, PRIVACY),
    *_cases(
        "POST",
        "/auth/change-password",
        lambda: {"currentPassword": PASSWORD, "newPassword": "Another123"},
        {"newPassword": WEAK_PASSWORD, "currentPassword": st.one_of(st.just(""), named(128))},
    ),
    *_cases("POST", "/auth/forgot-password", lambda: {"email": "a@example.com"}, {"email": NO_EMAIL}),
    *_cases(
        "POST",
        "/auth/reset-password",
        lambda: {"token": "x", "newPassword": "Another123"},
        {"newPassword": WEAK_PASSWORD, "token": st.one_of(st.just(""), named(500))},
    ),
]


@pytest.fixture(scope="module")
def someone(shop: Shop) -> Client:
    return shop.user()


@pytest.mark.parametrize("case", CASES)
def test_what_a_field_does_not_take_is_refused_by_its_name_and_leaves_no_trace(
    shop: Shop, someone: Client, case: Case
) -> None:
    head = shop.head()

    @settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(value=case.values)
    def refused(value: Any) -> None:
        response = someone(case.method, case.path, json={**case.body(), case.field: value})
        details = assert_problem(response, case.status, "VALIDATION_ERROR")["details"]
        assert {re.split(r"[.\[]", name)[0] for name in details} == {case.field}

    refused()
    assert shop.head() == head


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck), database=None)
@given(
    profile=st.fixed_dictionaries(
        {
            "firstName": NAME,
            "lastName": NAME,
            "bio": st.text(LETTERS, max_size=1000),
            "age": st.one_of(st.none(), st.integers(0, 150)),
            "interests": st.lists(st.text(LETTERS, min_size=1, max_size=50), max_size=50),
        }
    )
)
def test_what_is_within_the_limits_is_taken_and_told_as_it_is(
    someone: Client, profile: dict[str, Any]
) -> None:
    changed = someone.patch("/users/me", profile)
    assert changed.status_code == 200, changed.text
    assert changed.json().items() >= profile.items()
    assert someone.get("/me").json().items() >= profile.items()
