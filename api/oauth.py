"""Signing in by Google and Apple: browsers go there and come back, apps bring the token that they got by themselves."""

from __future__ import annotations

import re
from typing import Annotated, Any, Final
from urllib.parse import urlencode, urlsplit, urlunsplit

import msgspec
from litestar import Controller, Request, get, post
from litestar.params import FromPath, JSONBody
from litestar.response.base import ASGIResponse
from msgspec import Meta

from api.backend import Backend, BackendParts
from api.cookies import cookie
from api.documentation import answers
from api.fields import split_name
from api.input import Body, Text, decode, decode_query
from api.models import SignedInAnswer
from api.sign_in import origin_of, signed_in_answer
from api.wire import answer
from application.accounts.identities import SignInWithIdentity
from application.errors import InvalidCodeError
from application.ports import IdentityProviders, VerifiedIdentity
from domain.kernel import DomainError, InvalidInputError

HttpRequest = Request[Any, Any, Any]
Header = tuple[bytes, bytes]

_SECRET: Final = "oauthSecret"
_CALLBACK: Final = "/api/v1/auth/oauth/{}/callback"
_SECONDS: Final = 600
_LONGEST_NAME: Final = 50
_ERROR: Final = re.compile(r"[a-z_]{1,50}")

IdToken = Annotated[str, Meta(min_length=1, max_length=16_384)]


class Name(Body, frozen=True, kw_only=True):
    first_name: Text | None = None
    last_name: Text | None = None


class AppleUser(Body, frozen=True, kw_only=True):
    """What Apple's page says of somebody, in the browser and unsigned: a name is believed, an address is not."""

    name: Name | None = None


class IdentityBody(Body, frozen=True, kw_only=True):
    """``nonce`` is what the app had put into the token, as it is or hashed by SHA-256.

    Apple tells a name only to the app and only the first time: as ``user.name``, or in any of our own spellings.
    """

    id_token: IdToken
    nonce: Annotated[str, Meta(max_length=512)] = ""
    user: AppleUser | None = None
    name: Name | Text | None = None
    full_name: Text | None = None
    first_name: Text | None = None
    last_name: Text | None = None

    def names(self) -> tuple[str, str]:
        named = (self.user and self.user.name) or self.name or self.full_name
        if isinstance(named, str):
            first, last = split_name(named)
            named = Name(first_name=first, last_name=last)
        return _names(named or Name(first_name=self.first_name, last_name=self.last_name))


class DepartureQuery(Body, frozen=True, kw_only=True):
    """``redirectUri``: the page of ours, by its whole address, that the browser ends up on."""

    redirect_uri: Annotated[str, Meta(max_length=1024)] = ""


class CallbackQuery(Body, frozen=True, kw_only=True):
    state: Annotated[str, Meta(max_length=8192)] = ""
    code: Annotated[str, Meta(max_length=4096)] = ""
    error: Annotated[str, Meta(max_length=4096)] = ""
    user: Annotated[str, Meta(max_length=4096)] = ""


class OAuthController(Controller):
    path = "/auth"
    tags = ("Accounts",)

    @get(
        "/oauth/{provider:str}",
        status_code=302,
        opt={"query": DepartureQuery},
        responses=answers(None, 302, 404),
    )
    async def depart(self, request: HttpRequest, provider: FromPath[str], backend: Backend) -> ASGIResponse:
        """Go to Google (``google``) or Apple (``apple``) and sign in there."""
        query = decode_query(request.scope["query_string"], DepartureQuery)
        if query.redirect_uri and not _is_ours(query.redirect_uri, backend.settings.origins):
            raise InvalidInputError({"redirectUri": ["Must be an address on one of our own sites"]})
        departure = await _providers(backend).depart(provider, query.redirect_uri)
        # A form of another site brings no cookie along that does not say that it may.
        is_secure = departure.posts or backend.settings.oauth_redirect_base.startswith("https:")
        same_site = "None" if departure.posts else "Lax"
        kept = _secret_cookie(provider, departure.secret, _SECONDS, same_site, is_secure=is_secure)
        return _redirect(departure.url, kept)

    @get(
        "/oauth/{provider:str}/callback",
        status_code=200,
        opt={"query": CallbackQuery},
        responses=answers(SignedInAnswer, 200, 401, 404, 409),
    )
    async def come_back(
        self, request: HttpRequest, provider: FromPath[str], backend: Backend
    ) -> ASGIResponse:
        """Come back from there. 302 to ``redirectUri``, with the session in cookies, if there was one; else 200."""
        query = decode_query(request.scope["query_string"], CallbackQuery)
        return await _come_back(request, provider, query, backend)

    @post(
        "/oauth/{provider:str}/callback",
        status_code=200,
        responses=answers(SignedInAnswer, 200, 401, 404, 409),
    )
    async def come_back_with_form(
        self, request: HttpRequest, provider: FromPath[str], backend: Backend
    ) -> ASGIResponse:
        """The same as Apple does it: with a form, in which ``user`` tells the name on the very first time."""
        query = decode_query(await request.body(), CallbackQuery)
        return await _come_back(request, provider, query, backend)

    @post(
        "/apple",
        status_code=200,
        responses=answers(SignedInAnswer, 200, 401, 409, 422),
    )
    async def apple(
        self, request: HttpRequest, data: JSONBody[IdentityBody], backend: Backend
    ) -> ASGIResponse:
        """Sign in with the identity token of Apple's that an app has got; the first time makes an account."""
        return await _present(request, "apple", data, backend)

    @post("/google", status_code=200, responses=answers(SignedInAnswer, 200, 401, 409))
    async def google(
        self, request: HttpRequest, data: JSONBody[IdentityBody], backend: Backend
    ) -> ASGIResponse:
        """Sign in with the ID token of Google's that an app has got; the first time makes an account."""
        return await _present(request, "google", data, backend)

    @post("/oauth/{provider:str}", status_code=200, responses=answers(SignedInAnswer, 200, 401, 404, 409))
    async def present(
        self, request: HttpRequest, provider: FromPath[str], data: JSONBody[IdentityBody], backend: Backend
    ) -> ASGIResponse:
        """The same by the provider's name."""
        return await _present(request, provider, data, backend)


async def _present(
    request: HttpRequest, provider: str, data: IdentityBody, backend: BackendParts
) -> ASGIResponse:
    identity = await _providers(backend).verify(provider, data.id_token, data.nonce)
    return await _sign_in(request, _named(identity, data.names()), backend)


async def _come_back(
    request: HttpRequest, provider: str, query: CallbackQuery, backend: BackendParts
) -> ASGIResponse:
    """A browser that is to end up on a page learns there what went wrong, once it is known to be the same browser."""
    providers = _providers(backend)
    journey = providers.returned(provider, query.state, cookie(request, _SECRET))
    over = _secret_cookie(provider, "", 0, "Lax", is_secure=False)
    try:
        if not query.code:
            told = query.error if _ERROR.fullmatch(query.error) else "no code"
            raise InvalidCodeError({"code": [f"Was not given: {told}"]}, "Sign-in failed")
        names = _names(decode(query.user.encode(), AppleUser).name) if query.user else ("", "")
        identity = await providers.exchange(journey, query.code)
        response = await _sign_in(request, _named(identity, names), backend)
    except DomainError as refusal:
        if not journey.target:
            raise
        was_not_let = query.error in {"access_denied", "user_cancelled_authorize"}
        error = "access_denied" if was_not_let else refusal.code
        return _redirect(_with_query(journey.target, error=error), over)
    if not journey.target:
        response.headers.add("set-cookie", over[1].decode())
        return response
    cookies = [(b"set-cookie", kept.encode()) for kept in response.headers.getall("set-cookie")]
    return _redirect(journey.target, *cookies, over)


async def _sign_in(request: HttpRequest, identity: VerifiedIdentity, backend: BackendParts) -> ASGIResponse:
    command = SignInWithIdentity(identity=identity, origin=origin_of(request))
    return await signed_in_answer(request, command, backend, status=200)


def _providers(backend: BackendParts) -> IdentityProviders:
    return backend.write.identity_providers


def _named(identity: VerifiedIdentity, names: tuple[str, str]) -> VerifiedIdentity:
    """With a name that only the client knows, where the provider did not sign one."""
    if identity.first_name or identity.last_name or not any(names):
        return identity
    return msgspec.structs.replace(identity, first_name=names[0], last_name=names[1])


def _names(name: Name | None) -> tuple[str, str]:
    if name is None:
        return "", ""
    return (name.first_name or "")[:_LONGEST_NAME], (name.last_name or "")[:_LONGEST_NAME]


def _is_ours(address: str, origins: tuple[str, ...]) -> bool:
    """Whether it begins with one of the origins, in letters that every browser reads as we do."""
    if not re.fullmatch(
        r"[\x21-\x5b\x5d-\x7e]+", address
    ):  # neither blanks nor control characters nor a backslash
        return False
    return any(address == origin or address.startswith((f"{origin}/", f"{origin}?")) for origin in origins)


def _with_query(address: str, **more: str) -> str:
    parts = urlsplit(address)
    query = "&".join(part for part in (parts.query, urlencode(more)) if part)
    return urlunsplit(parts._replace(query=query))


def _redirect(address: str, *headers: Header) -> ASGIResponse:
    return answer(b"", status=302, headers=((b"location", address.encode()), *headers))


def _secret_cookie(provider: str, secret: str, seconds: int, same_site: str, *, is_secure: bool) -> Header:
    parts = [
        f"{_SECRET}={secret}",
        f"Path={_CALLBACK.format(provider)}",
        f"Max-Age={seconds}",
        "HttpOnly",
        f"SameSite={same_site}",
    ]
    if is_secure:
        parts.append("Secure")
    return b"set-cookie", "; ".join(parts).encode()
