from collections.abc import Iterator
from datetime import timedelta
from http.cookies import SimpleCookie
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import httpx
import pytest

from api.cookies import Cookies
from application.errors import CsrfError
from tests.api.shop import PASSWORD, Shop, a_registration, assert_problem

SECRET = "a secret of 32 characters, or more"


def some_cookies(*secrets: str, secure: bool = True) -> Cookies:
    return Cookies(secrets or [SECRET], secure=secure, session_lifetime=timedelta(days=7))


def a_request(prefix: str = "/api/v1", token: str = "") -> Any:
    headers = {"x-csrf-token": token} if token else {}
    return SimpleNamespace(scope={"state": {"prefix": prefix}}, headers=headers)


def parsed(headers: Any) -> SimpleCookie:
    cookies: SimpleCookie = SimpleCookie()
    for name, value in headers:
        assert name == b"set-cookie"
        cookies.load(value.decode())
    return cookies


class TestMakingThem:
    @pytest.mark.parametrize("prefix", ["/api/v1", "/v1"])
    def test_scripts_read_one_of_three_and_the_refresh_token_goes_where_it_is_of_use(
        self, prefix: str
    ) -> None:
        made = parsed(
            some_cookies().session_cookies(
                a_request(prefix), access="a.b.c", refresh="r", session_id=uuid4(), expires_in=900
            )
        )
        assert set(made) == {"accessToken", "refreshToken", "csrfToken"}
        assert [made[name]["httponly"] for name in ("accessToken", "refreshToken", "csrfToken")] == [
            True,
            True,
            "",
        ]
        assert {each["samesite"] for each in made.values()} == {"Lax"}
        assert {each["secure"] for each in made.values()} == {True}
        assert (made["accessToken"]["path"], made["refreshToken"]["path"]) == ("/", f"{prefix}/auth")
        assert (made["accessToken"]["max-age"], made["refreshToken"]["max-age"]) == ("900", str(7 * 86400))

    def test_plain_http_is_for_development(self) -> None:
        made = parsed(some_cookies(secure=False).cleared_cookies(a_request()))
        assert {each["secure"] for each in made.values()} == {""}

    def test_what_is_cleared_is_what_was_set(self) -> None:
        cookies = some_cookies()
        made = parsed(
            cookies.session_cookies(a_request(), access="a", refresh="r", session_id=uuid4(), expires_in=900)
        )
        cleared = parsed(cookies.cleared_cookies(a_request()))
        for name, each in made.items():
            assert cleared[name]["path"] == each["path"]
            assert (cleared[name].value, cleared[name]["max-age"]) == ("", "0")


class TestCsrfTokens:
    def test_are_of_one_session_and_one_secret(self) -> None:
        cookies, session_id = some_cookies(), uuid4()
        token = cookies.csrf_token(session_id)
        cookies.require_csrf(a_request(token=token), session_id)
        for wrong in (
            "",
            token[:-1],
            token.upper(),
            some_cookies("another secret").csrf_token(session_id),
            "é",
        ):
            with pytest.raises(CsrfError):
                cookies.require_csrf(a_request(token=wrong), session_id)
        with pytest.raises(CsrfError):
            cookies.require_csrf(a_request(token=token), uuid4())

    def test_outlive_the_secret_by_which_they_were_made(self) -> None:
        session_id = uuid4()
        token = some_cookies("the old secret").csrf_token(session_id)
        some_cookies("the new secret", "the old secret").require_csrf(a_request(token=token), session_id)


@pytest.fixture
def browser(shop: Shop) -> Iterator[httpx.Client]:
    """Keeps its cookies, and was signed in by them."""
    with httpx.Client(base_url=f"{shop.origin}/api/v1", timeout=20) as browser:
        assert browser.post("/auth/register", json=a_registration()).status_code == 201
        yield browser


def csrf(browser: httpx.Client) -> dict[str, str]:
    return {"X-CSRF-Token": browser.cookies["csrfToken"]}


class TestUsingThem:
    def test_somebody_is_signed_in_without_a_header(self, browser: httpx.Client) -> None:
        me = browser.get("/me")
        assert me.status_code == 200
        assert me.headers["cache-control"] == "no-store"
        assert browser.post("/cart", json={"productId": 1}, headers=csrf(browser)).status_code in {201, 404}

    @pytest.mark.parametrize("token", ["", "nonsense", "0" * 64])
    def test_other_peoples_pages_change_nothing(self, shop: Shop, browser: httpx.Client, token: str) -> None:
        head = shop.head()
        headers = {"X-CSRF-Token": token} if token else {}
        for method, path in (
            ("POST", "/cart"),
            ("PATCH", "/users/me"),
            ("POST", "/auth/logout"),
            ("POST", "/orders"),
            ("POST", "/auth/refresh"),
        ):
            assert_problem(browser.request(method, path, headers=headers), 403, "CSRF_FAILED")
        assert shop.head() == head
        assert browser.get("/me").status_code == 200

    def test_a_token_of_another_session_is_no_token_of_this_one(
        self, shop: Shop, browser: httpx.Client
    ) -> None:
        stranger = shop.guest.post("/auth/register", a_registration())
        theirs = {"X-CSRF-Token": stranger.cookies["csrfToken"]}
        assert_problem(browser.post("/auth/logout", headers=theirs), 403, "CSRF_FAILED")

    def test_a_bearer_token_wins_and_needs_no_more(self, shop: Shop, browser: httpx.Client) -> None:
        other = shop.guest.made("/auth/register", a_registration())
        bearer = {"Authorization": f"Bearer {other['token']}"}
        assert browser.get("/me", headers=bearer).json()["email"] == other["email"]
        assert browser.post("/auth/validate", headers=bearer).json()["user"]["email"] == other["email"]
        bad = {"Authorization": "Bearer not.a.token"}
        assert_problem(browser.get("/me", headers=bad), 401, "UNAUTHORIZED")

    def test_signing_in_needs_none_whatever_a_browser_has_kept(self, browser: httpx.Client) -> None:
        email = browser.get("/me").json()["email"]
        before = browser.cookies["csrfToken"]
        assert browser.post("/auth/login", json={"email": email, "password": PASSWORD}).status_code == 200
        assert browser.cookies["csrfToken"] != before

    def test_the_token_can_be_asked_for(self, browser: httpx.Client) -> None:
        known = browser.cookies["csrfToken"]
        del browser.cookies["csrfToken"]
        assert browser.get("/auth/csrf").json() == {"csrfToken": known}
        assert browser.cookies["csrfToken"] == known

    def test_refreshing_renews_them_and_signing_out_takes_them_away(self, browser: httpx.Client) -> None:
        before = dict(browser.cookies)
        renewed = browser.post("/auth/refresh", headers=csrf(browser))
        assert renewed.status_code == 200
        assert browser.cookies["refreshToken"] == renewed.json()["refreshToken"] != before["refreshToken"]
        assert browser.cookies["accessToken"] == renewed.json()["accessToken"]
        out = browser.post("/auth/logout", headers=csrf(browser))
        assert out.status_code == 200
        assert not {"accessToken", "refreshToken", "csrfToken"} & set(browser.cookies)
        assert_problem(browser.get("/me"), 401, "UNAUTHORIZED")
        browser.cookies.set("accessToken", before["accessToken"])
        assert_problem(browser.get("/me"), 401, "UNAUTHORIZED")

    def test_the_refresh_token_goes_only_to_where_it_is_of_use(self, shop: Shop) -> None:
        for prefix in ("/api/v1", "/v1"):
            answer = httpx.post(f"{shop.origin}{prefix}/auth/register", json=a_registration())
            made = parsed([(b"set-cookie", each.encode()) for each in answer.headers.get_list("set-cookie")])
            assert made["refreshToken"]["path"] == f"{prefix}/auth"
