"""What is believed of Google and Apple, and of whoever says that they come from there."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from application.adapters.identity_providers import (
    ASK_AGAIN,
    JOURNEY,
    KEYS_FOR,
    LONGEST_NAME,
    RESTING,
    AppleSecret,
    Client,
    OpenIdProviders,
)
from application.adapters.keys import MasterKeys
from application.errors import (
    IdentityProviderError,
    IdentityRefusedError,
    InvalidCodeError,
    InvalidStateError,
    ProviderNotConfiguredError,
    UnknownProviderError,
)
from application.ports import Departure, VerifiedIdentity
from application.settings import Settings, SettingsError
from tests.issuer import APP, GOOGLE_SECRET, KEY_ID, TEAM, WEB, Issuer, posted, private_pem, public_pem

ORIGIN = "https://api.shop.example"
TARGET = "https://shop.example/welcome"


class SteppedClock:
    def __init__(self) -> None:
        self.at = datetime(2026, 11, 21, 12, tzinfo=UTC)

    def now(self) -> datetime:
        return self.at


class Ticks:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def issuer() -> Issuer:
    issuer = Issuer()
    issuer.sign_in(sub="7", email="emily@example.com", given_name="Emily", family_name="Johnson")
    return issuer


@pytest.fixture
def clock() -> SteppedClock:
    return SteppedClock()


@pytest.fixture
def ticks() -> Ticks:
    return Ticks()


Making = Callable[..., OpenIdProviders]


@pytest.fixture
async def making(issuer: Issuer, clock: SteppedClock, ticks: Ticks) -> AsyncIterator[Making]:
    """Makes what another API process has of the same configuration."""
    http = httpx.AsyncClient(transport=httpx.MockTransport(issuer.handle))

    def make(**changed: Any) -> OpenIdProviders:
        secret = AppleSecret(issuer.client_key, key_id=KEY_ID, team=TEAM, client=WEB, issuer=issuer.url)
        google = Client(issuer=issuer.url, id=WEB, apps=frozenset({APP}), secret=lambda: GOOGLE_SECRET)
        apple = Client(
            issuer=issuer.url, id=WEB, apps=frozenset({APP}), secret=secret, scope="name email", posts=True
        )
        clients: dict[str, Client | None] = {"google": google, "apple": apple, **changed}
        return OpenIdProviders(
            clients, http=http, master=MasterKeys([bytes(32)]), clock=clock, origin=ORIGIN, ticks=ticks
        )

    async with http:
        yield make


@pytest.fixture
def providers(making: Making) -> OpenIdProviders:
    return making()


def emily(provider: str = "google") -> VerifiedIdentity:
    return VerifiedIdentity(
        provider=provider,
        subject="7",
        email="emily@example.com",
        email_verified=True,
        first_name="Emily",
        last_name="Johnson",
    )


def asked(departure: Departure) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(departure.url).query).items()}


def code_at(issuer: Issuer, departure: Departure) -> str:
    """The code that the browser comes back with."""
    answer = issuer.handle(httpx.Request("GET", departure.url))
    if answer.status_code == 200:
        return posted(answer.text)[1]["code"]
    return parse_qs(urlsplit(answer.headers["location"]).query)["code"][0]


class TestAToken:
    @pytest.mark.parametrize("algorithm", ["RS256", "ES256"])
    @pytest.mark.parametrize("audience", [WEB, APP, [APP]])
    async def test_of_the_web_or_of_an_app_says_who_it_is(
        self, providers: OpenIdProviders, issuer: Issuer, algorithm: str, audience: Any
    ) -> None:
        issuer.rotate(algorithm)
        for provider in ("google", "apple"):
            found = await providers.verify(provider, issuer.id_token(aud=audience), "")
            assert found == emily(provider)

    @pytest.mark.parametrize("told", [True, "true"])
    async def test_tells_that_an_address_is_verified(
        self, providers: OpenIdProviders, issuer: Issuer, told: object
    ) -> None:
        assert (await providers.verify("apple", issuer.id_token(email_verified=told), "")).email_verified

    @pytest.mark.parametrize("told", [False, "false", "TRUE", None])
    async def test_or_that_it_is_not(self, providers: OpenIdProviders, issuer: Issuer, told: object) -> None:
        assert not (await providers.verify("apple", issuer.id_token(email_verified=told), "")).email_verified
        nothing = issuer.id_token(email=None, email_verified=True)
        assert not (await providers.verify("apple", nothing, "")).email_verified

    async def test_long_names_are_cut(self, providers: OpenIdProviders, issuer: Issuer) -> None:
        found = await providers.verify("google", issuer.id_token(given_name="x" * 300), "")
        assert found.first_name == "x" * LONGEST_NAME

    async def test_google_may_leave_the_scheme_out(self, providers: OpenIdProviders, issuer: Issuer) -> None:
        assert await providers.verify("google", issuer.id_token(iss="issuer.example"), "") == emily()

    @pytest.mark.parametrize(
        "changed",
        [
            {"aud": "other.example"},
            {"aud": [WEB, "other.example"]},
            {"aud": []},
            {"aud": None},
            {"iss": "https://other.example"},
            {"iss": None},
            {"exp": 1},
            {"exp": None},
            {"iat": None},
            {"iat": 10**10},
            {"sub": None},
            {"sub": ""},
            {"sub": 7},
            {"kid": "unknown"},
            {"kid": 7},
            {"email": 7},
            {"email_verified": [True]},
        ],
    )
    async def test_that_says_something_else_is_refused(
        self, providers: OpenIdProviders, issuer: Issuer, changed: dict[str, Any]
    ) -> None:
        try:
            token = issuer.id_token(**changed)
        except (TypeError, jwt.InvalidTokenError):  # what the library does not sign may still be sent
            token = _signed_by_hand(issuer, changed)
        with pytest.raises(IdentityRefusedError) as refused:
            await providers.verify("google", token, "")
        assert refused.value.code == "INVALID_TOKEN"

    async def test_signed_by_another_way_than_its_key_is_for_is_refused(
        self, providers: OpenIdProviders, issuer: Issuer
    ) -> None:
        another = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        jwk_secret = public_pem(issuer.key)
        for token in (
            issuer.id_token(alg="none", key=""),
            _hs256(issuer, jwk_secret.encode()),
            issuer.id_token(alg="RS512"),
            issuer.id_token(alg="PS256"),
            issuer.id_token(key=another),
            issuer.id_token(key=ec.generate_private_key(ec.SECP256R1()), alg="ES256"),
            issuer.id_token()[:-4] + "AAAA",
            issuer.id_token().rpartition(".")[0] + ".",
        ):
            with pytest.raises(IdentityRefusedError):
                await providers.verify("google", token, "")

    @pytest.mark.parametrize("text", ["", ".", "a.b.c", "é.é.é", "e30.e30.e30", "\ud7ff", "x" * 5000])
    async def test_that_is_none_is_refused(self, providers: OpenIdProviders, text: str) -> None:
        with pytest.raises(IdentityRefusedError):
            await providers.verify("google", text, "")

    async def test_has_the_nonce_that_the_app_made_or_its_hash(
        self, providers: OpenIdProviders, issuer: Issuer
    ) -> None:
        hashed = hashlib.sha256(b"once").hexdigest()
        for good in ("once", hashed):
            assert await providers.verify("google", issuer.id_token(nonce=good), "once") == emily()
        for told in ("twice", "", None):
            with pytest.raises(IdentityRefusedError):
                await providers.verify("google", issuer.id_token(nonce=told), "once")


def _hs256(issuer: Issuer, secret: bytes) -> str:
    """PyJWT refuses to sign with what looks like a public key; who forges does not."""
    import hmac

    from jwt.utils import base64url_encode as base64url

    head, payload, _ = issuer.id_token().split(".")
    head = base64url(b'{"alg":"HS256","typ":"JWT","kid":"%b"}' % issuer.kid.encode()).decode()
    signed = f"{head}.{payload}".encode()
    return f"{head}.{payload}." + base64url(hmac.digest(secret, signed, "sha256")).decode()


def _signed_by_hand(issuer: Issuer, changed: dict[str, Any]) -> str:
    """PyJWT checks a few claims and headers before it signs."""
    import json

    from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
    from cryptography.hazmat.primitives.hashes import SHA256
    from jwt.utils import base64url_encode as base64url

    assert isinstance(issuer.key, rsa.RSAPrivateKey)
    kid = changed.pop("kid", issuer.kid)
    claims = jwt.decode(issuer.id_token(), options={"verify_signature": False}) | changed
    head = base64url(json.dumps({"alg": "RS256", "kid": kid}).encode())
    signed = head + b"." + base64url(json.dumps(claims).encode())
    return (signed + b"." + base64url(issuer.key.sign(signed, PKCS1v15(), SHA256()))).decode()


class TestKeysOfTheIssuer:
    async def test_are_asked_for_once(self, providers: OpenIdProviders, issuer: Issuer) -> None:
        for _ in range(3):
            await providers.verify("google", issuer.id_token(), "")
        assert issuer.requests == ["/.well-known/openid-configuration", "/keys"]

    async def test_a_new_one_is_found_when_a_token_names_it(
        self, providers: OpenIdProviders, issuer: Issuer, ticks: Ticks
    ) -> None:
        before = issuer.id_token()
        await providers.verify("google", before, "")
        issuer.rotate("ES256")
        assert await providers.verify("google", issuer.id_token(), "") == emily()
        with pytest.raises(IdentityRefusedError):
            await providers.verify("google", before, "")
        issuer.rotate()
        with pytest.raises(IdentityRefusedError):
            await providers.verify("google", issuer.id_token(), "")  # we asked only just
        ticks.now += ASK_AGAIN
        assert await providers.verify("google", issuer.id_token(), "") == emily()

    async def test_forged_names_do_not_make_us_ask_again_and_again(
        self, providers: OpenIdProviders, issuer: Issuer, ticks: Ticks
    ) -> None:
        for round_ in range(1, 4):
            for number in range(20):
                with pytest.raises(IdentityRefusedError):
                    await providers.verify("google", issuer.id_token(kid=f"forged-{number}"), "")
            assert issuer.requests.count("/keys") == 1 + round_
            ticks.now += ASK_AGAIN
        assert await providers.verify("google", issuer.id_token(), "") == emily()
        assert issuer.requests.count("/keys") == 4

    async def test_many_at_once_ask_once(self, providers: OpenIdProviders, issuer: Issuer) -> None:
        token = issuer.id_token()
        found = await asyncio.gather(*(providers.verify("google", token, "") for _ in range(20)))
        assert found == [emily()] * 20
        assert issuer.requests.count("/keys") == 1

    async def test_one_that_was_withdrawn_is_not_believed_for_ever(
        self, providers: OpenIdProviders, issuer: Issuer, ticks: Ticks
    ) -> None:
        before = issuer.id_token()
        await providers.verify("google", before, "")
        issuer.rotate()
        ticks.now += KEYS_FOR
        with pytest.raises(IdentityRefusedError):
            await providers.verify("google", before, "")

    async def test_an_issuer_that_is_down_is_left_alone_for_a_while(
        self, providers: OpenIdProviders, issuer: Issuer, ticks: Ticks
    ) -> None:
        issuer.down = True
        for _ in range(3):
            with pytest.raises(IdentityProviderError):
                await providers.verify("google", issuer.id_token(), "")
        assert len(issuer.requests) == 1
        issuer.down = False
        ticks.now += RESTING
        assert await providers.verify("google", issuer.id_token(), "") == emily()

    async def test_one_that_says_to_be_another_is_not_believed(self, making: Making, issuer: Issuer) -> None:
        client = Client(issuer="https://other.example", id=WEB, secret=lambda: GOOGLE_SECRET)
        with pytest.raises(IdentityProviderError):
            await making(google=client).verify("google", issuer.id_token(), "")


class TestAJourney:
    async def test_asks_for_a_code_with_pkce_state_and_nonce(self, providers: OpenIdProviders) -> None:
        google, apple = [await providers.depart(name, TARGET) for name in ("google", "apple")]
        for departure in (google, apple):
            told = asked(departure)
            assert departure.url.startswith("https://issuer.example/authorize?")
            assert (told["client_id"], told["response_type"]) == (WEB, "code")
            assert told["code_challenge_method"] == "S256"
            assert len(told["code_challenge"]) == 43
            assert told["nonce"]
            assert departure.secret not in departure.url
        assert asked(google)["redirect_uri"] == f"{ORIGIN}/api/v1/auth/oauth/google/callback"
        assert asked(apple)["redirect_uri"] == f"{ORIGIN}/api/v1/auth/oauth/apple/callback"
        assert "response_mode" not in asked(google)
        assert asked(apple)["response_mode"] == "form_post"
        assert (google.posts, apple.posts) == (False, True)
        assert asked(google)["nonce"] != asked(apple)["nonce"]

    @pytest.mark.parametrize("provider", ["google", "apple"])
    async def test_ends_with_an_identity_in_any_process(
        self, making: Making, issuer: Issuer, provider: str
    ) -> None:
        departure = await making().depart(provider, TARGET)
        code = code_at(issuer, departure)
        another = making()
        journey = another.returned(provider, asked(departure)["state"], departure.secret)
        assert journey.target == TARGET
        assert await another.exchange(journey, code) == emily(provider)
        with pytest.raises(InvalidCodeError) as refused:
            await another.exchange(journey, code)
        assert refused.value.details == {"code": ["Is not good, or no longer"]}

    async def test_is_not_ended_by_another_browser_nor_at_another_provider(
        self, providers: OpenIdProviders
    ) -> None:
        departure, other = [await providers.depart("google", TARGET) for _ in range(2)]
        state = asked(departure)["state"]
        for provider, told, secret in (
            ("google", state, other.secret),
            ("google", state, ""),
            ("google", asked(other)["state"], departure.secret),
            ("apple", state, departure.secret),
            ("google", "", departure.secret),
            ("google", "é", departure.secret),
            ("google", "A", departure.secret),
            ("google", "A" * 400, departure.secret),
            *(
                (
                    "google",
                    state[:place] + ("B" if state[place] == "A" else "A") + state[place + 1 :],
                    departure.secret,
                )
                for place in range(0, len(state) - 1, 7)
            ),
        ):
            with pytest.raises(InvalidStateError):
                providers.returned(provider, told, secret)

    async def test_takes_no_longer_than_ten_minutes(
        self, providers: OpenIdProviders, clock: SteppedClock
    ) -> None:
        departure = await providers.depart("google", TARGET)
        clock.at += JOURNEY - timedelta(seconds=1)
        providers.returned("google", asked(departure)["state"], departure.secret)
        clock.at += timedelta(seconds=1)
        with pytest.raises(InvalidStateError):
            providers.returned("google", asked(departure)["state"], departure.secret)

    async def test_a_code_of_another_journey_is_of_no_use(
        self, providers: OpenIdProviders, issuer: Issuer
    ) -> None:
        mine, theirs = [await providers.depart("google", TARGET) for _ in range(2)]
        stolen = code_at(issuer, theirs)
        journey = providers.returned("google", asked(mine)["state"], mine.secret)
        with pytest.raises(InvalidCodeError):  # the verifier is another one
            await providers.exchange(journey, stolen)

    @pytest.mark.parametrize("changed", [{"nonce": "another"}, {"nonce": None}, {"aud": APP}, {"exp": 1}])
    async def test_what_comes_for_the_code_is_verified_too(
        self, providers: OpenIdProviders, issuer: Issuer, changed: dict[str, Any]
    ) -> None:
        issuer.person |= changed
        departure = await providers.depart("google", TARGET)
        code = code_at(issuer, departure)
        journey = providers.returned("google", asked(departure)["state"], departure.secret)
        with pytest.raises(IdentityRefusedError):
            await providers.exchange(journey, code)

    async def test_an_issuer_that_is_down(self, providers: OpenIdProviders, issuer: Issuer) -> None:
        departure = await providers.depart("google", TARGET)
        code = code_at(issuer, departure)
        journey = providers.returned("google", asked(departure)["state"], departure.secret)
        issuer.down = True
        with pytest.raises(IdentityProviderError):
            await providers.exchange(journey, code)


class TestConfiguration:
    async def test_without_an_account_there_nobody_signs_in(self, making: Making, issuer: Issuer) -> None:
        providers = making(apple=None)
        with pytest.raises(ProviderNotConfiguredError):
            await providers.depart("apple", TARGET)
        with pytest.raises(ProviderNotConfiguredError):
            await providers.verify("apple", issuer.id_token(), "")
        with pytest.raises(ProviderNotConfiguredError):
            providers.returned("apple", "state", "secret")
        with pytest.raises(UnknownProviderError):
            await providers.verify("myspace", issuer.id_token(), "")

    async def test_apps_need_no_secret_and_browsers_do(self, making: Making, issuer: Issuer) -> None:
        apps = Client(issuer=issuer.url, id="", secret=None, apps=frozenset({APP}))
        providers = making(google=apps)
        assert await providers.verify("google", issuer.id_token(aud=APP), "") == emily()
        for audience in (WEB, ""):
            with pytest.raises(IdentityRefusedError):
                await providers.verify("google", issuer.id_token(aud=audience), "")
        with pytest.raises(ProviderNotConfiguredError):
            await providers.depart("google", TARGET)

    async def test_is_read_from_the_environment(self, issuer: Issuer) -> None:
        providers = OpenIdProviders.from_settings(
            _settings(**issuer.environment()), MasterKeys([bytes(32)]), SteppedClock()
        )
        assert {name for name, provider in providers._providers.items() if provider} == {"google", "apple"}
        await providers.close()
        nothing = OpenIdProviders.from_settings(_settings(), MasterKeys([bytes(32)]), SteppedClock())
        assert set(nothing._providers.values()) == {None}
        await nothing.close()

    @pytest.mark.parametrize(
        ("variable", "value"),
        [
            ("APPLE_TEAM_ID", ""),
            ("APPLE_KEY_ID", ""),
            ("APPLE_CLIENT_ID", ""),
            ("APPLE_PRIVATE_KEY", "no key"),
            ("APPLE_PRIVATE_KEY", private_pem(ec.generate_private_key(ec.SECP384R1()))),
        ],
    )
    def test_what_is_wrong_with_it_is_told_at_the_start(
        self, issuer: Issuer, variable: str, value: str
    ) -> None:
        settings = _settings(**{**issuer.environment(), variable: value})
        with pytest.raises(SettingsError, match=variable):
            OpenIdProviders.from_settings(settings, MasterKeys([bytes(32)]), SteppedClock())


def _settings(**more: str) -> Settings:
    return Settings.read({"DATABASE_URL": "x", "JWT_SECRET": "x" * 32, "TRADELOG_MASTER_KEY": "x", **more})
