"""Signing up, signing in, staying signed in, and signing out."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from functools import partial
from typing import Annotated, Any, Final
from uuid import UUID

import msgspec
from litestar import Controller, Request, get, post
from litestar.params import JSONBody
from litestar.response.base import ASGIResponse
from msgspec import Meta

from api.authentication import (
    BEARER,
    authenticate,
    bearer_token,
    caller_of,
    in_person,
    signed_in,
    was_signed_in,
)
from api.backend import Backend, BackendParts
from api.client_address import address_of
from api.cookies import REFRESH, cookie
from api.documentation import answers
from api.fields import (
    Age,
    Email,
    FullName,
    Gender,
    KnownPassword,
    Password,
    PersonName,
    Phone,
    Token,
    Username,
    split_name,
)
from api.input import Body, Faults, OptionalUrl, optional_body
from api.limits import RESEND_OF_ACCOUNT, charge_strictly
from api.models import CsrfToken, Done, SignedInAnswer, Tokens, ValidToken
from api.problems import envelope
from api.users import account_of, shown
from api.wire import answer, encode
from application.accounts.passwords import ChangePassword, RequestPasswordReset, ResetPassword
from application.accounts.people import Origin, SignedIn
from application.accounts.registering import NewPerson, RegisterAccount
from application.accounts.signing_in import LogIn, LogOut, RefreshSession
from application.accounts.verifying import RequestEmailVerification, VerifyEmail
from application.errors import AuthenticationError
from domain.accounts.account import Account
from domain.accounts.events import Profile, Role
from domain.kernel import AccountId, InvalidInputError
from projections.wire import time

HttpRequest = Request[Any, Any, Any]

_NO_SESSION: Final = UUID(int=0)
LONGEST_MINUTES: Final = 60
"""What ``expiresInMins`` may ask for (C12)."""


class RegisterBody(Body, frozen=True, kw_only=True):
    """One of ``firstName`` + ``lastName``, ``fullName``, ``name``, ``displayName``, ``username`` is required (C11)."""

    email: Email
    password: Password
    first_name: PersonName = ""
    last_name: PersonName = ""
    full_name: FullName = ""
    name: FullName = ""
    display_name: FullName = ""
    username: Username | None = None
    gender: Gender = ""
    image: OptionalUrl | None = None
    phone: Phone = ""
    age: Age | None = None

    @classmethod
    def absent(cls, given: Mapping[str, Any]) -> Faults:
        if given.keys() & {"fullName", "name", "displayName", "username"}:
            return {}
        return {name: ["Is required"] for name in ("firstName", "lastName") if name not in given}

    def person(self, roles: frozenset[Role]) -> NewPerson:
        first, last = split_name(self.full_name or self.name or self.display_name)
        return NewPerson(
            email=self.email,
            password=self.password,
            username=self.username or "",
            profile=Profile(
                first_name=self.first_name or first,
                last_name=self.last_name or last,
                display_name=self.display_name,
                gender=self.gender,
                phone=self.phone,
                age=self.age,
            ),
            image=self.image or "",
            roles=roles,
        )


class LoginBody(Body, frozen=True, kw_only=True):
    """``email`` and ``username`` may each hold either (C12)."""

    password: Annotated[str, Meta(min_length=8, max_length=128, examples=["SecurePass123"])]
    email: Annotated[str, Meta(min_length=1, max_length=254, examples=["newuser@example.com"])] = ""
    username: Annotated[str, Meta(min_length=1, max_length=254)] = ""
    expires_in_mins: Annotated[int, Meta(ge=1)] | None = None

    @classmethod
    def absent(cls, given: Mapping[str, Any]) -> Faults:
        return {} if given.keys() & {"email", "username"} else {"email": ["Is required"]}


class RefreshBody(Body, frozen=True, kw_only=True):
    refresh_token: Annotated[str, Meta(max_length=500)] = ""
    expires_in_mins: Annotated[int, Meta(ge=1)] | None = None


class EmailBody(Body, frozen=True, kw_only=True):
    email: Email


class TokenBody(Body, frozen=True, kw_only=True):
    token: Token


class ResetPasswordBody(Body, frozen=True, kw_only=True):
    """The new password is called ``newPassword`` or ``password`` (C56)."""

    token: Token
    new_password: Password | None = None
    password: Password | None = None

    @classmethod
    def absent(cls, given: Mapping[str, Any]) -> Faults:
        return {} if given.keys() & {"newPassword", "password"} else {"newPassword": ["Is required"]}

    @property
    def wanted(self) -> str:
        wanted = self.new_password or self.password
        assert wanted is not None, "one of them is there"
        return wanted


class ChangePasswordBody(Body, frozen=True, kw_only=True):
    current_password: KnownPassword
    new_password: Password


class SignInController(Controller):
    path = "/auth"
    tags = ("Accounts",)

    @post("/register", status_code=201, responses=answers(SignedInAnswer, 201, 409, 429))
    async def register(
        self, request: HttpRequest, data: JSONBody[RegisterBody], backend: Backend
    ) -> ASGIResponse:
        """Sign up. A link to prove the e-mail address is sent; until then ``emailVerified`` is false (C53)."""
        return await _register(request, data, backend, frozenset())

    @post(
        "/signup",
        status_code=201,
        responses=answers(SignedInAnswer, 201, 409, 422, 429),
    )
    async def sign_up(
        self, request: HttpRequest, data: JSONBody[RegisterBody], backend: Backend
    ) -> ASGIResponse:
        """Sign up, and be allowed to sell at once (C24)."""
        roles = frozenset({Role.SELLER}) if backend.settings.signup_grants_seller else frozenset[Role]()
        return await _register(request, data, backend, roles)

    @post("/login", status_code=200, responses=answers(SignedInAnswer, 200, 403, 423, 429))
    async def log_in(self, request: HttpRequest, data: JSONBody[LoginBody], backend: Backend) -> ASGIResponse:
        """Sign in with e-mail address or username. A wrong password is 400 ``INVALID_CREDENTIALS`` (C5).

        After five failures 423 ``ACCOUNT_LOCKED`` for 15 minutes, whether or not anybody has that name.
        """
        command = LogIn(login=data.email or data.username, password=data.password, origin=origin_of(request))
        lifetime = _lifetime(data.expires_in_mins)
        return await signed_in_answer(request, command, backend, status=200, lifetime=lifetime)

    @post("/refresh", status_code=200, body=RefreshBody, responses=answers(Tokens, 200, 401, 403, 429))
    async def refresh(self, request: HttpRequest, backend: Backend) -> ASGIResponse:
        """Exchange a refresh token, from the body, as Bearer token or from the cookie, for new tokens (C13).

        Each can be used once. The one before it is answered for 30 s more, should an answer have been lost; any older
        one ends the session, for somebody has stolen it.
        """
        body = await _refresh_body(request)
        token = body.refresh_token or bearer_token(request)
        by_cookie = "" if token else cookie(request, REFRESH)
        if not token and not by_cookie:
            if await request.body():
                raise InvalidInputError({"refreshToken": ["Is required"]})
            raise AuthenticationError("Invalid or expired token")
        session_id, generation = backend.write.tokens.read_refresh(token or by_cookie)
        if by_cookie:
            backend.cookies.require_csrf(request, session_id)
        command = RefreshSession(session_id=session_id, generation=generation)
        lifetime = _lifetime(body.expires_in_mins)
        try:
            carried = await backend.commands.carry_out(
                request, command, partial(_tokens, backend=backend, lifetime=lifetime), person=whose
            )
        except AuthenticationError:
            backend.authenticator.ended(session_id)  # a token that was used before has ended it
            raise
        return carried.response(_cookies(request, carried.body, backend))

    @post(
        "/logout",
        status_code=200,
        security=BEARER,
        body=RefreshBody,
        responses=answers(Done, 200, 401, 403),
    )
    async def log_out(self, request: HttpRequest, backend: Backend) -> ASGIResponse:
        """End this session: its tokens are good for nothing any more. To ask for this twice changes nothing.

        Whose access token has just expired may name the session by its refresh token (C55).
        """
        body = await _refresh_body(request)
        session_id = await _session_to_end(request, body.refresh_token, backend)
        carried = await backend.commands.carry_out(
            request, LogOut(session_id=session_id), lambda _: {"message": "Logged out successfully"}
        )
        backend.authenticator.ended(session_id)
        return carried.response(backend.cookies.cleared_cookies(request))

    @post("/validate", status_code=200, security=BEARER, responses=answers(ValidToken, 200, 401))
    async def validate(self, request: HttpRequest, backend: Backend) -> ASGIResponse:
        """Whether the access token is good, and whose it is."""
        try:
            access = await authenticate(request)
        except AuthenticationError:
            access = None
        if access is None:
            # S2 §4.2.3 has a body of its own for this; ours holds it and the envelope of all errors (C55).
            request_id = request.scope["state"]["request_id"]
            problem = envelope(401, "UNAUTHORIZED", "Token expired or invalid", {}, request_id)
            return answer(encode({"isValid": False, **problem}), status=401)
        user = await account_of(request, backend)
        return answer(encode({"isValid": True, "user": user}))

    @get("/csrf", responses=answers(CsrfToken, 200, 401))
    async def csrf(self, request: HttpRequest, backend: Backend) -> ASGIResponse:
        """What a page that works with cookies sends as ``X-CSRF-Token`` when it changes something (C17).

        It belongs to the session, which the refresh cookie is enough to name. A visitor without one gets a token too,
        though there is nothing that they need it for.
        """
        by_cookie = cookie(request, REFRESH)
        try:
            access = await authenticate(request)
        except AuthenticationError:
            if not by_cookie:
                raise
            access = None
        if access is not None:
            session_id = access.session_id
        elif by_cookie:
            session_id, _ = backend.write.tokens.read_refresh(by_cookie)
        else:
            session_id = _NO_SESSION
        body = encode({"csrfToken": backend.cookies.csrf_token(session_id)})
        return answer(body, headers=(backend.cookies.csrf_cookie(session_id),))

    @post("/forgot-password", status_code=200, responses=answers(Done, 200, 429))
    async def forgot_password(
        self, request: HttpRequest, data: JSONBody[EmailBody], backend: Backend
    ) -> ASGIResponse:
        """Ask for a link to set a new password. The answer is the same whether anybody has that address (S2 §4.2.6)."""
        command = RequestPasswordReset(email=data.email)
        return await backend.commands.answer(
            request, command, lambda _: {"message": "Password reset email sent"}
        )

    @post("/reset-password", status_code=200, responses=answers(Done, 200, 429))
    async def reset_password(
        self, request: HttpRequest, data: JSONBody[ResetPasswordBody], backend: Backend
    ) -> ASGIResponse:
        """Set a new password with the token of a link, once. All sessions end, and a lock does too (A25)."""
        account_id, number = backend.write.one_time_tokens.read("reset-password", data.token)
        command = ResetPassword(account_id=AccountId(account_id), number=number, new_password=data.wanted)
        response = await backend.commands.answer(
            request, command, lambda _: {"message": "Password reset successfully"}, person=_id_of
        )
        backend.authenticator.changed(account_id)
        return response

    @post(
        "/change-password",
        status_code=200,
        guards=[in_person],
        security=BEARER,
        responses=answers(Done, 200, 401, 429),
    )
    async def change_password(
        self, request: HttpRequest, data: JSONBody[ChangePasswordBody], backend: Backend
    ) -> ASGIResponse:
        """Change the password; all other sessions end."""
        caller = caller_of(request)
        command = ChangePassword(
            account_id=caller.account_id,
            session_id=request.scope["state"]["access"].session_id,
            current_password=data.current_password,
            new_password=data.new_password,
        )
        response = await backend.commands.answer(
            request, command, lambda _: {"message": "Password changed successfully"}
        )
        backend.authenticator.changed(caller.account_id)
        return response

    @post("/verify-email", status_code=200, responses=answers(Done, 200, 429))
    async def verify_email(
        self, request: HttpRequest, data: JSONBody[TokenBody], backend: Backend
    ) -> ASGIResponse:
        """Prove an e-mail address with the token of the link that was sent there."""
        account_id, number = backend.write.one_time_tokens.read("verify-email", data.token)
        command = VerifyEmail(account_id=AccountId(account_id), number=number)
        return await backend.commands.answer(
            request, command, lambda _: {"message": "Email verified"}, person=_id_of
        )

    @post(
        "/verify-email/resend",
        status_code=202,
        guards=[signed_in],
        security=BEARER,
        responses=answers(Done, 202, 401, 409, 429),
    )
    async def resend_verification(self, request: HttpRequest, backend: Backend) -> ASGIResponse:
        """Ask for another link to prove the e-mail address; the one before is no good any more."""
        account_id = caller_of(request).account_id
        await charge_strictly(request, RESEND_OF_ACCOUNT, account_id)
        command = RequestEmailVerification(account_id=account_id)
        return await backend.commands.answer(
            request, command, lambda _: {"message": "Verification email sent"}, status=202
        )


async def _refresh_body(request: HttpRequest) -> RefreshBody:
    """Forms, which pages of others can send as well, are none: their user would be signed in as somebody else."""
    return await optional_body(request, RefreshBody)


async def _session_to_end(request: HttpRequest, refresh_token: str, backend: BackendParts) -> UUID:
    by_cookie = "" if refresh_token else cookie(request, REFRESH)
    try:
        await was_signed_in(request, request.route_handler)
    except AuthenticationError:
        if not refresh_token and not by_cookie:
            raise
    else:
        session_id: UUID = request.scope["state"]["access"].session_id
        return session_id
    session_id, _ = backend.write.tokens.read_refresh(refresh_token or by_cookie)
    if by_cookie:
        backend.cookies.require_csrf(request, session_id)
    return session_id


async def _register(
    request: HttpRequest, data: RegisterBody, backend: BackendParts, roles: frozenset[Role]
) -> ASGIResponse:
    command = RegisterAccount(person=data.person(roles), origin=origin_of(request))
    return await signed_in_answer(request, command, backend, status=201)


async def signed_in_answer(
    request: HttpRequest,
    command: object,
    backend: BackendParts,
    *,
    status: int,
    lifetime: timedelta | None = None,
) -> ASGIResponse:
    """Somebody is signed in by ``command``: C12's body, and the session's cookies."""
    view = partial(_signed_in_body, backend=backend, lifetime=lifetime)
    carried = await backend.commands.carry_out(request, command, view, status=status, person=whose)
    return carried.response(_cookies(request, carried.body, backend))


def origin_of(request: HttpRequest) -> Origin:
    return Origin(device=request.headers.get("user-agent", "")[:200], address=address_of(request))


class _Given(msgspec.Struct, rename="camel"):
    """What an answer gives a client to stay signed in with, be it a new one or one that was recorded."""

    token: str = ""
    refresh_token: str = ""
    expires_in: int = 0


def _cookies(request: HttpRequest, body: bytes, backend: BackendParts) -> tuple[tuple[bytes, bytes], ...]:
    given = msgspec.json.decode(body or b"{}", type=_Given)
    if not given.refresh_token:
        return ()  # of a person who was erased since
    session_id, _ = backend.write.tokens.read_refresh(given.refresh_token)
    return backend.cookies.session_cookies(
        request,
        access=given.token,
        refresh=given.refresh_token,
        session_id=session_id,
        expires_in=given.expires_in,
    )


def _id_of(account: Account) -> AccountId:
    return account.id


def whose(signed: SignedIn) -> AccountId:
    return signed.account.id


def _signed_in_body(signed: SignedIn, *, backend: BackendParts, lifetime: timedelta | None) -> dict[str, Any]:
    """C12: S2's body, and DummyJSON's flat fields beside."""
    user = shown(signed.account, backend, signed.seller)
    flat = {
        name: user[name] for name in ("id", "username", "email", "firstName", "lastName", "gender", "image")
    }
    return {**_tokens(signed, backend=backend, lifetime=lifetime), "user": user, **flat}


def _tokens(signed: SignedIn, *, backend: BackendParts, lifetime: timedelta | None) -> dict[str, Any]:
    now = backend.write.clock.now()
    tokens = backend.write.tokens
    lasting = lifetime or tokens.lifetime
    access = tokens.access(signed, now, lasting)
    return {
        "token": access,
        "accessToken": access,
        "refreshToken": tokens.refresh(signed.session.id, signed.session.generation),
        "tokenType": "Bearer",
        "expiresIn": int(lasting.total_seconds()),
        "expiresAt": time(now + lasting),
    }


def _lifetime(minutes: int | None) -> timedelta | None:
    return None if minutes is None else timedelta(minutes=min(minutes, LONGEST_MINUTES))
