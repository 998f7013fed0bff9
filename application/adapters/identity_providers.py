"""Sign-in by Google and Apple (OpenID Connect): browsers are sent there with PKCE, and ID tokens are verified."""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import hmac
import secrets
from collections.abc import Callable, Collection, Mapping
from datetime import timedelta
from time import monotonic, time
from typing import Any, Final, Protocol, TypeVar
from urllib.parse import urlencode

import httpx
import jwt
import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from application.adapters.keys import Cipher, MasterKeys
from application.errors import (
    IdentityProviderError,
    IdentityRefusedError,
    InvalidCodeError,
    InvalidStateError,
    ProviderNotConfiguredError,
    UnknownProviderError,
)
from application.ports import Clock, Departure, Journey, VerifiedIdentity
from application.settings import Settings, SettingsError

JOURNEY: Final = timedelta(minutes=10)
"""How long somebody may take to sign in over there."""

LONGEST_NAME: Final = 50
"""Of a first or a last name here (A2); elsewhere they may be longer."""

KEYS_FOR: Final = 3600.0
"""Seconds after which an issuer's keys are asked for again, so that one that it withdrew is not believed for ever."""

ASK_AGAIN: Final = 60.0
"""Seconds within which unknown keys do not make us ask again: anybody can send tokens that name one."""

RESTING: Final = 5.0
"""Seconds for which an issuer that did not answer is left alone, lest everybody waits for it one after another."""

_LEEWAY: Final = 30
_PATIENCE: Final = 5.0
_CALLBACK: Final = "/api/v1/auth/oauth/{}/callback"
_ALGORITHMS: Final = {("RSA", None): "RS256", ("EC", "P-256"): "ES256"}
_APPLE_SECRET_FOR: Final = 300
_INVALID: Final = "The identity token is invalid or expired"

T = TypeVar("T")


class Discovered(msgspec.Struct, frozen=True, kw_only=True):
    """Where an issuer does what, as it says itself."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str


class _Keys(msgspec.Struct, frozen=True):
    keys: list[dict[str, Any]]


class _Header(msgspec.Struct, frozen=True):
    kid: str


class _Exchanged(msgspec.Struct, frozen=True):
    id_token: str


class _Claims(msgspec.Struct, frozen=True, kw_only=True):
    sub: str
    aud: str | list[str]
    nonce: str = ""
    email: str = ""
    email_verified: bool | str = False
    given_name: str = ""
    family_name: str = ""


class ClientSecret(Protocol):
    """How we prove to a token endpoint who we are."""

    def __call__(self) -> str: ...


class Client(msgspec.Struct, frozen=True, kw_only=True):
    """What a provider knows us as. Tokens for ``apps`` are for us as well; nothing is exchanged without ``secret``."""

    issuer: str
    id: str
    secret: ClientSecret | None
    apps: frozenset[str] = frozenset()
    scope: str = "openid email profile"
    posts: bool = False

    @property
    def audience(self) -> frozenset[str]:
        return self.apps | {self.id} if self.id else self.apps


class Issuer:
    """One issuer's addresses and keys, asked for when they are needed first and remembered."""

    def __init__(self, url: str, http: httpx.AsyncClient, *, clock: Callable[[], float] = monotonic) -> None:
        self._url = url.rstrip("/")
        self._http = http
        self._clock = clock
        self._asking = asyncio.Lock()
        self._discovered: Discovered | None = None
        self._keys: dict[str, tuple[str, jwt.PyJWK]] = {}
        self._good_until = 0.0
        self._ask_after = 0.0
        self._resting_until = 0.0

    async def discovered(self) -> Discovered:
        if self._discovered is None:
            found = await self._got(f"{self._url}/.well-known/openid-configuration", Discovered)
            if found.issuer != self._url:
                raise IdentityProviderError(f"{self._url} says that it is {found.issuer}")
            self._discovered = found
        return self._discovered

    async def key(self, kid: str) -> tuple[str, jwt.PyJWK]:
        """The algorithm that the key is for, and the key."""
        if kid not in self._keys or self._clock() >= self._good_until:
            async with self._asking:
                await self._ask(kid)
        if kid not in self._keys:
            raise IdentityRefusedError(_INVALID)
        return self._keys[kid]

    async def _ask(self, kid: str) -> None:
        now = self._clock()
        known = now < self._good_until
        if known and (kid in self._keys or now < self._ask_after):
            return  # somebody else asked while we waited, or only just
        found = await self._got((await self.discovered()).jwks_uri, _Keys)
        self._keys = dict(_usable(found.keys))
        self._good_until = now + KEYS_FOR
        if known:
            self._ask_after = now + ASK_AGAIN

    async def _got(self, url: str, kind: type[T]) -> T:
        if self._clock() < self._resting_until:
            raise IdentityProviderError("The identity provider does not answer")
        try:
            response = await self._http.get(url)
            response.raise_for_status()
            return msgspec.json.decode(response.content, type=kind)
        except (httpx.HTTPError, msgspec.MsgspecError) as failure:
            self._resting_until = self._clock() + RESTING
            raise IdentityProviderError("The identity provider does not answer") from failure

    async def exchanged(self, form: Mapping[str, str]) -> str:
        """The ID token for a code."""
        endpoint = (await self.discovered()).token_endpoint
        try:
            response = await self._http.post(
                endpoint, data=dict(form), headers={"Accept": "application/json"}
            )
            if response.status_code in {400, 401, 403}:
                raise InvalidCodeError({"code": ["Is not good, or no longer"]}, "Sign-in failed")
            response.raise_for_status()
            return msgspec.json.decode(response.content, type=_Exchanged).id_token
        except (httpx.HTTPError, msgspec.MsgspecError) as failure:
            raise IdentityProviderError("The identity provider does not answer") from failure


class Provider:
    """A provider that we have an account with."""

    def __init__(self, name: str, client: Client, issuer: Issuer, *, callback: str) -> None:
        self._name = name
        self._client = client
        self._issuer = issuer
        self._callback = callback

    @property
    def posts(self) -> bool:
        return self._client.posts

    async def address(self, journey: Journey, state: str) -> str:
        if self._client.secret is None:
            raise ProviderNotConfiguredError(f"Sign-in in a browser by {self._name} is not configured")
        discovered = await self._issuer.discovered()
        asked = {
            "client_id": self._client.id,
            "redirect_uri": self._callback,
            "response_type": "code",
            "scope": self._client.scope,
            "state": state,
            "nonce": journey.nonce,
            "code_challenge": _base64url(hashlib.sha256(journey.verifier.encode()).digest()),
            "code_challenge_method": "S256",
            **({"response_mode": "form_post"} if self._client.posts else {}),
        }
        joint = "&" if "?" in discovered.authorization_endpoint else "?"
        return f"{discovered.authorization_endpoint}{joint}{urlencode(asked)}"

    async def exchange(self, journey: Journey, code: str) -> VerifiedIdentity:
        if self._client.secret is None:
            raise ProviderNotConfiguredError(f"Sign-in in a browser by {self._name} is not configured")
        id_token = await self._issuer.exchanged(
            {
                "grant_type": "authorization_code",
                "code": code,
                "redirect_uri": self._callback,
                "client_id": self._client.id,
                "client_secret": self._client.secret(),
                "code_verifier": journey.verifier,
            }
        )
        claims = await self._claims(id_token, frozenset({self._client.id}))
        if not hmac.compare_digest(claims.nonce.encode(), journey.nonce.encode()):
            raise IdentityRefusedError(_INVALID)
        return self._identity(claims)

    async def verify(self, id_token: str, nonce: str) -> VerifiedIdentity:
        claims = await self._claims(id_token, self._client.audience)
        # Apps keep the nonce and send its hash along, for the token to be worth nothing to whoever sees it pass.
        hashed = hashlib.sha256(nonce.encode()).hexdigest()
        if nonce and claims.nonce not in {nonce, hashed}:
            raise IdentityRefusedError(_INVALID)
        return self._identity(claims)

    async def _claims(self, id_token: str, audience: Collection[str]) -> _Claims:
        try:
            header = msgspec.json.decode(_unpadded(id_token.partition(".")[0]), type=_Header)
            algorithm, key = await self._issuer.key(header.kid)
            issuer = (await self._issuer.discovered()).issuer
            decoded = jwt.decode(
                id_token,
                key,
                algorithms=[algorithm],
                # Google is free to leave the scheme out.
                issuer=[issuer, issuer.removeprefix("https://")],
                audience=audience,
                leeway=_LEEWAY,
                options={"require": ["iss", "aud", "sub", "exp", "iat"]},
            )
            claims = msgspec.convert(decoded, _Claims)
        except (jwt.PyJWTError, msgspec.MsgspecError, ValueError, TypeError) as refused:
            raise IdentityRefusedError(_INVALID) from refused
        heard = {claims.aud} if isinstance(claims.aud, str) else set(claims.aud)
        if not claims.sub or not heard <= set(audience):
            raise IdentityRefusedError(_INVALID)  # it is also for somebody whom we do not know
        return claims

    def _identity(self, claims: _Claims) -> VerifiedIdentity:
        return VerifiedIdentity(
            provider=self._name,
            subject=claims.sub,
            email=claims.email,
            # Apple writes it as a text.
            email_verified=bool(claims.email) and claims.email_verified in {True, "true"},
            first_name=claims.given_name[:LONGEST_NAME],
            last_name=claims.family_name[:LONGEST_NAME],
        )


class OpenIdProviders:
    """Google and Apple, as far as we have accounts with them.

    What a browser leaves with is sealed into ``state``, by a key that hangs on the master key, and bound to a secret
    that only that browser has: nothing is stored, and any API process may meet it when it comes back. It is used once
    because the provider takes each code once, and because the browser's secret is dropped on its return.
    """

    def __init__(
        self,
        clients: Mapping[str, Client | None],
        *,
        http: httpx.AsyncClient,
        master: MasterKeys,
        clock: Clock,
        origin: str,
        ticks: Callable[[], float] = monotonic,
    ) -> None:
        self._http = http
        self._clock = clock
        self._cipher = Cipher(master.derive("sign-in journeys"))
        self._providers = {
            name: None
            if client is None
            else Provider(
                name,
                client,
                Issuer(client.issuer, http, clock=ticks),
                callback=origin.rstrip("/") + _CALLBACK.format(name),
            )
            for name, client in clients.items()
        }

    @classmethod
    def from_settings(cls, settings: Settings, master: MasterKeys, clock: Clock) -> OpenIdProviders:
        """``SettingsError`` names the variable in the way."""
        return cls(
            {"google": _google(settings), "apple": _apple(settings)},
            http=httpx.AsyncClient(timeout=_PATIENCE),
            master=master,
            clock=clock,
            origin=settings.oauth_redirect_base or f"http://localhost:{settings.port}",
        )

    async def close(self) -> None:
        await self._http.aclose()

    async def depart(self, provider: str, target: str) -> Departure:
        configured = self._configured(provider)
        journey = Journey(
            provider=provider,
            verifier=secrets.token_urlsafe(32),
            nonce=secrets.token_urlsafe(16),
            target=target,
            ends_at=self._clock.now() + JOURNEY,
        )
        secret = secrets.token_urlsafe(32)
        state = _base64url(self._cipher.seal(msgspec.json.encode(journey), secret.encode()))
        address = await configured.address(journey, state)
        return Departure(url=address, secret=secret, posts=configured.posts)

    def returned(self, provider: str, state: str, secret: str) -> Journey:
        self._configured(provider)
        try:
            opened = self._cipher.open(_unpadded(state), secret.encode())
        except (InvalidTag, ValueError) as foreign:
            raise _lost() from foreign
        journey = msgspec.json.decode(opened, type=Journey)
        if journey.provider != provider or journey.ends_at <= self._clock.now():
            raise _lost()
        return journey

    async def exchange(self, journey: Journey, code: str) -> VerifiedIdentity:
        return await self._configured(journey.provider).exchange(journey, code)

    async def verify(self, provider: str, id_token: str, nonce: str) -> VerifiedIdentity:
        return await self._configured(provider).verify(id_token, nonce)

    def _configured(self, name: str) -> Provider:
        if name not in self._providers:
            raise UnknownProviderError("There is no such identity provider")
        provider = self._providers[name]
        if provider is None:
            raise ProviderNotConfiguredError(f"Sign-in by {name} is not configured")
        return provider


def _lost() -> InvalidStateError:
    return InvalidStateError({"state": ["Is not of this browser, or too old"]}, "Sign-in failed")


def _google(settings: Settings) -> Client | None:
    in_browsers = settings.google_client_id and settings.google_client_secret
    client = Client(
        issuer=settings.google_issuer,
        id=settings.google_client_id,
        secret=(lambda: settings.google_client_secret) if in_browsers else None,
        apps=_listed(settings.google_client_ids),
    )
    return client if client.audience else None


def _apple(settings: Settings) -> Client | None:
    client = Client(
        issuer=settings.apple_issuer,
        id=settings.apple_client_id,
        secret=AppleSecret.from_settings(settings),
        apps=_listed(settings.apple_client_ids),
        scope="openid name email",
        posts=True,  # Apple insists on it where name or e-mail address is asked for
    )
    return client if client.audience else None


class AppleSecret:
    """Apple takes no fixed secret but a token that we sign, good for as short as we like."""

    def __init__(
        self, key: EllipticCurvePrivateKey, *, key_id: str, team: str, client: str, issuer: str
    ) -> None:
        self._key = key
        self._key_id = key_id
        self._claims = {"iss": team, "sub": client, "aud": issuer}

    @classmethod
    def from_settings(cls, settings: Settings) -> AppleSecret | None:
        if not settings.apple_private_key:
            return None
        needed = {
            "APPLE_CLIENT_ID": settings.apple_client_id,
            "APPLE_TEAM_ID": settings.apple_team_id,
            "APPLE_KEY_ID": settings.apple_key_id,
        }
        for variable, value in needed.items():
            if not value:
                raise SettingsError(f"{variable}: is needed beside APPLE_PRIVATE_KEY")
        try:
            key = load_pem_private_key(settings.apple_private_key.replace("\\n", "\n").encode(), None)
        except (ValueError, TypeError) as broken:
            raise SettingsError("APPLE_PRIVATE_KEY: is not a private key in PEM") from broken
        if not isinstance(key, EllipticCurvePrivateKey) or not isinstance(key.curve, SECP256R1):
            raise SettingsError("APPLE_PRIVATE_KEY: must be a key for ES256")
        return cls(
            key,
            key_id=settings.apple_key_id,
            team=settings.apple_team_id,
            client=settings.apple_client_id,
            issuer=settings.apple_issuer,
        )

    def __call__(self) -> str:
        now = int(time())
        claims = self._claims | {"iat": now, "exp": now + _APPLE_SECRET_FOR}
        return jwt.encode(claims, self._key, algorithm="ES256", headers={"kid": self._key_id})


def _usable(keys: Collection[Mapping[str, Any]]) -> dict[str, tuple[str, jwt.PyJWK]]:
    """Keys for the two algorithms that we believe in, each with its one; an issuer may have others as well."""
    usable = {}
    for jwk in keys:
        algorithm = _ALGORITHMS.get((jwk.get("kty", ""), jwk.get("crv")))
        named = isinstance(jwk.get("kid"), str)
        if not named or algorithm is None or jwk.get("use", "sig") != "sig" or "d" in jwk:
            continue
        if jwk.get("alg", algorithm) != algorithm:
            continue
        try:
            usable[jwk["kid"]] = (algorithm, jwt.PyJWK(dict(jwk), algorithm))
        except jwt.PyJWTError:
            continue
    return usable


def _listed(text: str) -> frozenset[str]:
    return frozenset(each.strip() for each in text.split(",") if each.strip())


def _base64url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def _unpadded(text: str) -> bytes:
    try:
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except binascii.Error as broken:
        raise ValueError("not base64url") from broken
