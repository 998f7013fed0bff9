"""Signing in by Google and Apple against an issuer that signs real tokens, and changing our own keys meanwhile."""

from __future__ import annotations

import json
import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from application.adapters.identity_providers import OpenIdProviders
from application.adapters.keys import MasterKeys
from tests.api.shop import PASSWORD, Client, Shop, a_registration, assert_problem
from tests.conftest import FreshDatabase
from tests.issuer import APP, WEB, Issuer, posted, private_pem, public_pem

OLD, NEW = "the secret of last year that is long", "the secret of this year that is long"
SIGNING = Ed25519PrivateKey.generate()
PAGE = "http://localhost:5173/welcome?from=shop#top"
PATHS = ("/auth/google", "/auth/apple", "/auth/oauth/google", "/auth/oauth/apple")


@pytest.fixture(scope="module")
def issuer() -> Iterator[Issuer]:
    with Issuer().listening() as issuer:
        yield issuer


@pytest.fixture(scope="module")
def shop(fresh_database: FreshDatabase, servers_folder: Path, issuer: Issuer) -> Iterator[Shop]:
    """It knows the keys to come already and does not sign with them yet."""
    folder = servers_folder / "oauth"
    environment: dict[str, Any] = {
        **issuer.environment(),
        "JWT_SECRET": OLD,
        "JWT_SECRET_PREVIOUS": NEW,
        "JWT_PUBLIC_KEYS_PREVIOUS": public_pem(SIGNING).replace("\n", "\\n"),
        "RATE_LIMIT_ENABLED": "false",
    }
    with fresh_database() as url, Shop(url, folder, **environment) as shop:
        yield shop
        assert [line for line in shop.log_lines().splitlines() if "request failed" in line] == []
    shutil.rmtree(folder, ignore_errors=True)


def set_cookies(response: httpx.Response) -> dict[str, str]:
    """Each cookie that an answer sets, whole, by its name."""
    return {cookie.partition("=")[0]: cookie for cookie in response.headers.get_list("set-cookie")}


class Browser:
    """Keeps cookies as browsers do, also such as need https where there is only http."""

    def __init__(self, shop: Shop) -> None:
        self.http = httpx.Client(base_url=shop.origin, timeout=20)
        self.jar: dict[str, str] = {}

    def __call__(self, method: str, address: str, **options: Any) -> httpx.Response:
        cookies = "; ".join(f"{name}={value}" for name, value in self.jar.items())
        response = self.http.request(method, address, headers={"Cookie": cookies}, **options)
        self.http.cookies.clear()
        for name, cookie in set_cookies(response).items():
            value = cookie.partition("=")[2].partition(";")[0]
            self.jar.pop(name, None)
            if value:
                self.jar[name] = value
        return response

    def leave(self, provider: str, page: str = "") -> str:
        """To the provider; the address that it is asked by."""
        query = {"redirectUri": page} if page else {}
        left = self("GET", f"/api/v1/auth/oauth/{provider}", params=query)
        assert left.status_code == 302, left.text
        return left.headers["location"]

    def come_back(self, provider: str, answered: dict[str, str]) -> httpx.Response:
        path = f"/api/v1/auth/oauth/{provider}/callback"
        if provider == "apple":
            return self("POST", path, data=answered)
        return self("GET", path, params=answered)


def answered_by(address: str) -> dict[str, str]:
    """What the provider sends the browser back with."""
    answer = httpx.get(address)
    if answer.status_code == 200:
        return posted(answer.text)[1]
    location = urlsplit(answer.headers["location"])
    return {name: values[0] for name, values in parse_qs(location.query).items()}


@pytest.fixture
def browsers(shop: Shop) -> Iterator[Callable[[], Browser]]:
    """Opens another one."""
    with ExitStack() as stack:

        def another() -> Browser:
            browser = Browser(shop)
            stack.callback(browser.http.close)
            return browser

        yield another


@pytest.fixture
def browser(browsers: Callable[[], Browser]) -> Browser:
    return browsers()


class TestAnApp:
    @pytest.mark.parametrize("path", PATHS)
    @pytest.mark.parametrize("audience", [WEB, APP])
    def test_makes_an_account_the_first_time_and_signs_into_it_ever_after(
        self, shop: Shop, issuer: Issuer, path: str, audience: str
    ) -> None:
        person = issuer.sign_in(given_name="Ada", family_name="Lovelace")
        response = shop.guest.post(path, {"idToken": issuer.id_token(aud=audience)})
        assert response.status_code == 200
        first = response.json()
        assert first["token"] == first["accessToken"]
        assert (first["tokenType"], first["expiresIn"]) == ("Bearer", 900)
        assert {"refreshToken", "expiresAt", "id", "username", "gender", "image"} <= set(first)
        assert (first["email"], first["firstName"], first["lastName"]) == (person["email"], "Ada", "Lovelace")
        assert {"accessToken", "refreshToken", "csrfToken"} <= set(set_cookies(response))
        me = shop.client(first["token"]).get("/me").json()
        assert (me["id"], me["email"], me["emailVerified"]) == (first["id"], person["email"], True)

        issuer.person["email"] = "moved@example.com"  # it is the subject that counts
        again = shop.guest.made(path, {"id_token": issuer.id_token(aud=audience)})
        assert (again["id"], again["email"]) == (first["id"], person["email"])
        assert again["refreshToken"] != first["refreshToken"]

    @pytest.mark.parametrize(
        "names",
        [
            {"user": {"name": {"firstName": "Ada", "lastName": "King Lovelace"}, "email": "x@example.com"}},
            {"name": {"first_name": "Ada", "last_name": "King Lovelace"}},
            {"fullName": "Ada King Lovelace"},
            {"name": "Ada King Lovelace"},
            {"firstName": "Ada", "lastName": "King Lovelace"},
        ],
    )
    def test_tells_the_name_that_apple_tells_only_once(
        self, shop: Shop, issuer: Issuer, names: dict[str, Any]
    ) -> None:
        person = issuer.sign_in(email_verified="true")
        user = shop.guest.made("/auth/apple", {"idToken": issuer.id_token(), **names})["user"]
        assert (user["firstName"], user["lastName"], user["email"]) == (
            "Ada",
            "King Lovelace",
            person["email"],
        )
        later = {"idToken": issuer.id_token(), "fullName": "Somebody Else"}
        assert shop.guest.made("/auth/apple", later)["user"]["firstName"] == "Ada"

    def test_has_no_name_to_tell(self, shop: Shop, issuer: Issuer) -> None:
        issuer.sign_in()
        user = shop.guest.made("/auth/apple", {"idToken": issuer.id_token()})["user"]
        assert (user["firstName"], user["lastName"]) == ("", "")

    @pytest.mark.parametrize("path", PATHS)
    def test_is_refused_with_anything_but_a_good_token_of_its_own(
        self, shop: Shop, issuer: Issuer, path: str
    ) -> None:
        issuer.sign_in()
        shop.guest.made(path, {"idToken": issuer.id_token()})
        head = shop.head()
        another = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        for token in (
            issuer.id_token(aud="other.example"),
            issuer.id_token(aud=[WEB, "other.example"]),
            issuer.id_token(iss="https://other.example"),
            issuer.id_token(exp=1),
            issuer.id_token(iat=10**10),
            issuer.id_token(key=another),
            issuer.id_token(kid="unknown"),
            issuer.id_token(alg="none", key=""),
            issuer.id_token(alg="HS256", key="a secret that is long enough for it"),
            issuer.id_token(alg="PS256"),
            issuer.id_token()[:-3],
            "no token at all",
            jwt.encode({"sub": "7"}, OLD, algorithm="HS256"),
        ):
            refused = shop.guest.post(path, {"idToken": token})
            problem = assert_problem(refused, 401, "INVALID_TOKEN")
            assert problem["message"] == "The identity token is invalid or expired"
            assert not set_cookies(refused)
        for nonce in ("another", None):
            token = issuer.id_token(nonce=nonce)
            assert_problem(shop.guest.post(path, {"idToken": token, "nonce": "mine"}), 401, "INVALID_TOKEN")
        assert shop.head() == head
        shop.guest.made(path, {"idToken": issuer.id_token(nonce="mine"), "nonce": "mine"})

    def test_is_told_what_is_missing(self, shop: Shop) -> None:
        head = shop.head()
        for body in ({}, {"idToken": ""}, {"idToken": 7}, {"idToken": "x" * 16_385}):
            assert_problem(shop.guest.post("/auth/google", body), 400, "VALIDATION_ERROR", "idToken")
            assert_problem(shop.guest.post("/auth/apple", body), 422, "VALIDATION_ERROR", "idToken")
        long = {"idToken": "x", "nonce": "x" * 513, "fullName": "x" * 201}
        assert_problem(shop.guest.post("/auth/google", long), 400, "VALIDATION_ERROR", "nonce", "fullName")
        assert_problem(shop.guest.post("/auth/oauth/myspace", {"idToken": "x"}), 404, "PROVIDER_NOT_FOUND")
        assert shop.head() == head


class TestLinking:
    def test_joins_only_what_is_verified_on_both_sides(self, shop: Shop, issuer: Issuer) -> None:
        person = issuer.sign_in()
        first = shop.guest.made("/auth/google", {"idToken": issuer.id_token()})
        issuer.sign_in(email=person["email"], email_verified=False)
        head = shop.head()
        refused = shop.guest.post("/auth/apple", {"idToken": issuer.id_token()})
        assert_problem(refused, 409, "EMAIL_EXISTS", "email")
        assert shop.head() == head
        issuer.person["email_verified"] = "true"
        linked = shop.guest.made("/auth/apple", {"idToken": issuer.id_token()})
        assert linked["id"] == first["id"]
        issuer.person |= {"email": None, "email_verified": None}
        assert shop.guest.made("/auth/apple", {"idToken": issuer.id_token()})["id"] == first["id"]

    def test_never_gives_an_account_to_whoever_registered_its_address_first(
        self, shop: Shop, issuer: Issuer
    ) -> None:
        registered = shop.guest.made("/auth/register", a_registration())
        issuer.sign_in(email=registered["email"].upper())
        head = shop.head()
        for path in PATHS:
            refused = shop.guest.post(path, {"idToken": issuer.id_token()})
            assert_problem(refused, 409, "EMAIL_EXISTS", "email")
        assert shop.head() == head
        login = {"email": registered["email"], "password": PASSWORD}
        assert shop.guest.made("/auth/login", login)["id"] == registered["id"]

    def test_an_address_is_needed_the_first_time(self, shop: Shop, issuer: Issuer) -> None:
        issuer.sign_in(email=None)
        head = shop.head()
        refused = shop.guest.post("/auth/google", {"idToken": issuer.id_token()})
        assert_problem(refused, 400, "VALIDATION_ERROR", "idToken")
        assert shop.head() == head


class TestABrowser:
    @pytest.mark.parametrize("provider", ["google", "apple"])
    def test_goes_there_and_comes_back_to_the_page_that_it_wants(
        self, shop: Shop, issuer: Issuer, browser: Browser, provider: str
    ) -> None:
        person = issuer.sign_in()
        back = browser.come_back(provider, answered_by(browser.leave(provider, PAGE)))
        assert (back.status_code, back.headers["location"]) == (302, PAGE)
        assert back.content == b""
        assert set(browser.jar) >= {"accessToken", "refreshToken", "csrfToken"}
        assert "oauthSecret" not in browser.jar
        assert browser("GET", "/api/v1/me").json()["email"] == person["email"]

    @pytest.mark.parametrize("provider", ["google", "apple"])
    def test_gets_the_answer_itself_where_it_wants_none(
        self, shop: Shop, issuer: Issuer, browser: Browser, provider: str
    ) -> None:
        issuer.sign_in()
        answered = answered_by(browser.leave(provider))
        user = {"user": json.dumps({"name": {"firstName": "Ada", "lastName": "King"}})}
        back = browser.come_back(provider, answered | user)
        assert back.status_code == 200
        assert back.json()["user"]["firstName"] == "Ada"
        assert shop.client(back.json()["token"]).get("/me").json()["id"] == back.json()["id"]
        assert "oauthSecret" not in browser.jar

    def test_keeps_a_secret_that_only_its_way_back_needs(self, browser: Browser) -> None:
        cookies = {}
        for provider in ("google", "apple"):
            left = browser("GET", f"/api/v1/auth/oauth/{provider}")
            assert left.headers["cache-control"] == "no-store"
            _, *attributes = set_cookies(left)["oauthSecret"].split("; ")
            assert attributes[0] == f"Path=/api/v1/auth/oauth/{provider}/callback"
            cookies[provider] = attributes[1:]
        assert cookies["google"] == ["Max-Age=600", "HttpOnly", "SameSite=Lax"]
        assert cookies["apple"] == ["Max-Age=600", "HttpOnly", "SameSite=None", "Secure"]

    def test_is_sent_to_no_page_but_our_own(self, shop: Shop, browser: Browser) -> None:
        for page in (
            "https://evil.example/",
            "http://localhost:5173.evil.example/",
            "http://localhost:5173@evil.example/",
            "http://localhost:5173\\@evil.example/",
            "http://localhost:51730/",
            "https://localhost:5173/",
            "http://localhost:5173/\r\nSet-Cookie: a=b",
            "http://localhost:5173/\u00e9",
            "//localhost:5173/",
            "/welcome",
            "javascript:alert(1)",
        ):
            refused = browser("GET", "/api/v1/auth/oauth/google", params={"redirect_uri": page})
            assert_problem(refused, 400, "VALIDATION_ERROR", "redirectUri")
            assert not browser.jar
        for page in ("http://localhost:5173", "http://localhost:5173/", "http://localhost:5173?a=b"):
            browser.leave("google", page)

    def test_must_be_the_one_that_left_and_must_hurry(
        self, shop: Shop, issuer: Issuer, browser: Browser, browsers: Callable[[], Browser]
    ) -> None:
        issuer.sign_in()
        answered = answered_by(browser.leave("google", PAGE))
        other = browsers()
        other.leave("google", PAGE)
        head = shop.head()
        state = answered["state"]
        refusals = [
            other.come_back("google", answered),
            browsers().come_back("google", answered),
            browser.come_back(
                "google", answered | {"state": state[:-2] + ("AA" if state[-2:] != "AA" else "BB")}
            ),
            browser.come_back("google", answered | {"state": ""}),
            browser.come_back("google", {"code": answered["code"]}),
            browser("GET", "/api/v1/auth/oauth/apple/callback", params=answered),
        ]

        class LongAgo:
            def now(self) -> datetime:
                return datetime.now(UTC) - timedelta(minutes=11)

        async def left_long_ago() -> tuple[str, str]:
            providers = OpenIdProviders.from_settings(
                shop.settings, MasterKeys.parse(shop.settings.tradelog_master_key), LongAgo()
            )
            departure = await providers.depart("google", PAGE)
            await providers.close()
            return departure.url, departure.secret

        late = browsers()
        address, late.jar["oauthSecret"] = shop.run(left_long_ago())
        refusals.append(late.come_back("google", answered_by(address)))
        for refused in refusals:
            assert_problem(refused, 400, "INVALID_STATE", "state")
        assert shop.head() == head
        assert browser.come_back("google", answered).status_code == 302  # and that one was good all the time

    @pytest.mark.parametrize("provider", ["google", "apple"])
    def test_comes_back_once(self, shop: Shop, issuer: Issuer, browser: Browser, provider: str) -> None:
        issuer.sign_in()
        answered = answered_by(browser.leave(provider))
        jar = dict(browser.jar)
        assert browser.come_back(provider, answered).status_code == 200
        head = shop.head()
        assert_problem(browser.come_back(provider, answered), 400, "INVALID_STATE", "state")
        browser.jar = jar
        assert_problem(browser.come_back(provider, answered), 400, "INVALID_CODE", "code")
        assert_problem(browser.come_back(provider, {"state": answered["state"]}), 400, "INVALID_CODE", "code")
        assert shop.head() == head

    def test_learns_on_its_page_what_went_wrong(self, shop: Shop, issuer: Issuer, browser: Browser) -> None:
        registered = shop.guest.made("/auth/register", a_registration())
        issuer.sign_in(email=registered["email"])
        head = shop.head()
        where = "http://localhost:5173/welcome?from=shop&error={}#top"
        back = browser.come_back("google", answered_by(browser.leave("google", PAGE)))
        assert (back.status_code, back.headers["location"]) == (302, where.format("EMAIL_EXISTS"))
        for provider, error in (("google", "access_denied"), ("apple", "user_cancelled_authorize")):
            state = answered_by(browser.leave(provider, PAGE))["state"]
            back = browser.come_back(provider, {"state": state, "error": error})
            assert (back.status_code, back.headers["location"]) == (302, where.format("access_denied"))
        assert not browser.jar
        answered = answered_by(browser.leave("google"))
        assert_problem(browser.come_back("google", answered), 409, "EMAIL_EXISTS", "email")
        assert shop.head() == head

    @pytest.mark.parametrize("changed", [{"nonce": "another"}, {"aud": APP}, {"exp": 1}, {"sub": ""}])
    def test_is_not_signed_in_by_what_should_not_have_come_for_its_code(
        self, shop: Shop, issuer: Issuer, browser: Browser, changed: dict[str, Any]
    ) -> None:
        issuer.sign_in(**changed)
        head = shop.head()
        back = browser.come_back("google", answered_by(browser.leave("google")))
        assert_problem(back, 401, "INVALID_TOKEN")
        assert shop.head() == head

    def test_at_a_provider_that_there_is_none_of(self, browser: Browser) -> None:
        for path in ("/api/v1/auth/oauth/myspace", "/api/v1/auth/oauth/myspace/callback"):
            assert_problem(browser("GET", path), 404, "PROVIDER_NOT_FOUND")


def test_a_provider_that_is_not_configured_says_so(shop: Shop, issuer: Issuer) -> None:
    nothing = dict.fromkeys(issuer.environment(), "")
    with shop.another_api(**nothing) as origin:
        guest = shop.client(origin=origin)
        for name in ("google", "apple"):
            assert_problem(guest.get(f"/auth/oauth/{name}"), 503, "PROVIDER_NOT_CONFIGURED")
            assert_problem(guest.post(f"/auth/{name}", {"idToken": "x"}), 503, "PROVIDER_NOT_CONFIGURED")


def test_a_new_key_of_the_issuer_is_found(shop: Shop, issuer: Issuer) -> None:
    """In a process of its own: it asks no more than once a minute, and other tests name unknown keys too."""
    issuer.sign_in()
    before = issuer.kid, issuer.key
    with shop.another_api() as origin:
        guest = shop.client(origin=origin)
        first = guest.made("/auth/google", {"idToken": issuer.id_token()})
        old = issuer.id_token()
        issuer.rotate()
        assert guest.made("/auth/google", {"idToken": issuer.id_token()})["id"] == first["id"]
        assert_problem(guest.post("/auth/google", {"idToken": old}), 401, "INVALID_TOKEN")
    issuer.kid, issuer.key = before


class TestChangingOurOwnKeys:
    """First every process knows the new keys, then one after another signs with them (README)."""

    AFTER = {  # noqa: RUF012 - nobody changes it
        "JWT_SECRET": NEW,
        "JWT_SECRET_PREVIOUS": OLD,
        "JWT_PRIVATE_KEY": private_pem(SIGNING),
        "JWT_PUBLIC_KEYS_PREVIOUS": "",
    }

    def test_signs_nobody_out(self, shop: Shop) -> None:
        with shop.another_api(**self.AFTER) as origin:
            before, after = shop.guest, shop.client(origin=origin)
            old = before.made("/auth/register", a_registration())
            new = after.made("/auth/register", a_registration())
            for token, algorithm in ((old["token"], "HS256"), (new["token"], "EdDSA")):
                assert jwt.get_unverified_header(token)["alg"] == algorithm
                for there in (shop.origin, origin):
                    assert shop.client(token, origin=there).get("/me").status_code == 200
            renewed = after.made("/auth/refresh", {"refreshToken": old["refreshToken"]})
            assert jwt.get_unverified_header(renewed["token"])["alg"] == "EdDSA"
            again = before.made("/auth/refresh", {"refreshToken": renewed["refreshToken"]})
            assert shop.client(again["token"], origin=origin).get("/me").json()["id"] == old["id"]
            before.made("/auth/refresh", {"refreshToken": new["refreshToken"]})

    @pytest.mark.parametrize("path", ["/.well-known/jwks.json", "/api/v1/.well-known/jwks.json"])
    def test_the_public_keys_are_told_to_everybody(self, shop: Shop, path: str) -> None:
        with shop.another_api(**self.AFTER) as origin:
            token = shop.client(origin=origin).made("/auth/register", a_registration())["token"]
            for there in (shop.origin, origin):
                found = httpx.get(f"{there}{path}")
                assert found.status_code == 200
                assert found.headers["cache-control"] == "public, max-age=300"
                key = jwt.PyJWKSet.from_dict(found.json())[jwt.get_unverified_header(token)["kid"]]
                assert jwt.decode(token, key, algorithms=["EdDSA"], issuer="tradelog")["uid"]
                assert len(found.json()["keys"]) == 1

    def test_a_forged_token_is_none_in_either_process(self, shop: Shop) -> None:
        claims = jwt.decode(
            shop.guest.made("/auth/register", a_registration())["token"], options={"verify_signature": False}
        )
        with shop.another_api(**self.AFTER) as origin:
            kid = httpx.get(f"{origin}/.well-known/jwks.json").json()["keys"][0]["kid"]
            for forged in (
                jwt.encode(claims, Ed25519PrivateKey.generate(), algorithm="EdDSA", headers={"kid": kid}),
                jwt.encode(claims, NEW, algorithm="HS256", headers={"kid": kid}),
                jwt.encode(claims, "", algorithm="none", headers={"kid": kid}),
                jwt.encode(claims, SIGNING, algorithm="EdDSA"),
                jwt.encode(claims, OLD, algorithm="HS256", headers={"kid": uuid.uuid4().hex}),
            ):
                for there in (shop.origin, origin):
                    refused: Client = shop.client(forged, origin=there)
                    assert_problem(refused.get("/me"), 401, "UNAUTHORIZED")
