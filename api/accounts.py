"""Signing up, signing in, staying signed in, and who one is."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Final

import msgspec
from litestar import Controller, Request, get, patch, post
from litestar.params import FromPath, JSONBody
from litestar.response.base import ASGIResponse
from msgspec import Meta

from api.authentication import BEARER, admin, authenticate, bearer_token, caller_of, signed_in, was_signed_in
from api.backend import Backend, BackendParts
from api.documentation import answers
from api.input import Body, Check, Faults, decode
from api.models import LoggedOut, SignedInAnswer, Tokens, User, ValidToken
from api.problems import envelope
from api.wire import answer, encode
from application.accounts.registering import RegisterAccount, SignedIn
from application.accounts.roles import GrantRole
from application.accounts.signing_in import LogIn, LogOut, RefreshSession
from application.errors import AuthenticationError
from application.slugs import reference_kind
from domain.accounts.account import UserNotFoundError
from domain.accounts.events import Role
from domain.kernel import AccountId, InvalidInputError, stream_id
from projections.accounts.projector import account_body
from projections.accounts.query import account_by_id
from projections.ports import StaleReadError
from projections.wire import time

HttpRequest = Request[Any, Any, Any]

_EMAIL: Final = re.compile(r"[^@\s]+@[^@\s.]+(\.[^@\s.]+)+")
_USERNAME: Final = re.compile(r"[A-Za-z0-9._-]+")


def _email_faults(email: str) -> list[str]:
    return [] if _EMAIL.fullmatch(email) else ["Invalid email format"]


def _username_faults(username: str) -> list[str]:
    return [] if _USERNAME.fullmatch(username) else ["Must consist of letters, digits, '.', '_' and '-'"]


def _password_faults(password: str) -> list[str]:
    """S2's rule, in S2's words; the upper bound keeps hashing cheap."""
    faults = []
    if len(password) < 8:
        faults.append("Must be at least 8 characters")
    if len(password) > 128:
        faults.append("Must be at most 128 characters")
    if not any(character.isupper() for character in password):
        faults.append("Must contain an uppercase letter")
    if not any(character.isdigit() for character in password):
        faults.append("Must contain a number")
    return faults


FullName = Annotated[str, Meta(min_length=1, max_length=100)]


class RegisterBody(Body, frozen=True, kw_only=True):
    """One of ``firstName`` + ``lastName``, ``fullName``, ``name``, ``displayName``, ``username`` is required (C11)."""

    email: Annotated[str, Meta(max_length=254, examples=["newuser@example.com"]), Check(_email_faults)]
    password: Annotated[str, Meta(examples=["SecurePass123"]), Check(_password_faults)]
    first_name: Annotated[str, Meta(min_length=2, max_length=50, examples=["Jane"])] = ""
    last_name: Annotated[str, Meta(min_length=2, max_length=50, examples=["Smith"])] = ""
    full_name: FullName = ""
    name: FullName = ""
    display_name: FullName = ""
    username: Annotated[str, Meta(min_length=3, max_length=50), Check(_username_faults)] | None = None
    gender: Annotated[str, Meta(max_length=30)] = ""
    image: Annotated[str, Meta(max_length=2048)] = ""
    phone: Annotated[str, Meta(max_length=40)] = ""
    age: Annotated[int, Meta(ge=0, le=150)] | None = None

    @classmethod
    def absent(cls, given: Mapping[str, Any]) -> Faults:
        if given.keys() & {"fullName", "name", "displayName", "username"}:
            return {}
        return {name: ["Is required"] for name in ("firstName", "lastName") if name not in given}

    def names(self) -> tuple[str, str]:
        first, _, last = (self.full_name or self.name or self.display_name).strip().partition(" ")
        return self.first_name or first, self.last_name or last.strip()


class LoginBody(Body, frozen=True, kw_only=True):
    """``email`` and ``username`` may each hold either (C12)."""

    password: Annotated[str, Meta(min_length=8, max_length=128, examples=["SecurePass123"])]
    email: Annotated[str, Meta(min_length=1, max_length=254, examples=["newuser@example.com"])] = ""
    username: Annotated[str, Meta(min_length=1, max_length=254)] = ""

    @classmethod
    def absent(cls, given: Mapping[str, Any]) -> Faults:
        return {} if given.keys() & {"email", "username"} else {"email": ["Is required"]}


class RefreshBody(Body, frozen=True, kw_only=True):
    refresh_token: str = ""


class RoleBody(Body, frozen=True, kw_only=True):
    role: Annotated[str, Meta(examples=["seller"])]


class AuthController(Controller):
    path = "/auth"
    tags = ("Accounts",)

    @post("/register", status_code=201, responses=answers(SignedInAnswer, 201, 409))
    async def register(
        self, request: HttpRequest, data: JSONBody[RegisterBody], backend: Backend
    ) -> ASGIResponse:
        """Sign up."""
        return await _register(request, data, backend, frozenset())

    @post("/signup", status_code=201, responses=answers(SignedInAnswer, 201, 409))
    async def sign_up(
        self, request: HttpRequest, data: JSONBody[RegisterBody], backend: Backend
    ) -> ASGIResponse:
        """Sign up, and be allowed to sell at once (C24)."""
        roles = frozenset({Role.SELLER}) if backend.settings.signup_grants_seller else frozenset[Role]()
        return await _register(request, data, backend, roles)

    @post("/login", status_code=200, responses=answers(SignedInAnswer, 200))
    async def log_in(self, request: HttpRequest, data: JSONBody[LoginBody], backend: Backend) -> ASGIResponse:
        """Sign in with e-mail address or username. A wrong password is 400 ``INVALID_CREDENTIALS`` (C5)."""
        device, address = _origin(request)
        command = LogIn(
            login=data.email or data.username, password=data.password, device=device, address=address
        )
        return await _sign_in(request, command, backend, status=200)

    @post("/refresh", status_code=200, responses=answers(Tokens, 200, 401))
    async def refresh(self, request: HttpRequest, backend: Backend) -> ASGIResponse:
        """Exchange a refresh token, from the body or as Bearer token, for new tokens. Each can be used once (C13)."""
        content = await request.body()
        body = decode(content, RefreshBody) if content else RefreshBody()
        token = body.refresh_token or bearer_token(request)
        if not token:
            raise AuthenticationError("Invalid or expired token")
        session_id, generation = backend.write.tokens.read_refresh(token)
        command = RefreshSession(session_id=session_id, generation=generation)
        return await backend.commands.answer(request, command, lambda state: _tokens(state, backend))

    @post(
        "/logout",
        status_code=200,
        guards=[was_signed_in],
        security=BEARER,
        responses=answers(LoggedOut, 200, 401),
    )
    async def log_out(self, request: HttpRequest, backend: Backend) -> ASGIResponse:
        """End this session: its tokens are good for nothing any more. To ask for this twice changes nothing."""
        session_id = request.scope["state"]["access"].session_id
        response = await backend.commands.answer(
            request, LogOut(session_id=session_id), lambda _: {"message": "Logged out successfully"}
        )
        backend.authenticator.forget(session_id)
        return response

    @post("/validate", status_code=200, security=BEARER, responses=answers(ValidToken, 200, 401))
    async def validate(self, request: HttpRequest, backend: Backend) -> ASGIResponse:
        """Whether the access token is good, and whose it is."""
        try:
            access = await authenticate(request)
        except AuthenticationError:
            access = None
        if access is None:
            # S2 §4.2.3 has a body of its own for this; ours holds it and the envelope of all errors.
            request_id = request.scope["state"]["request_id"]
            problem = envelope(401, "UNAUTHORIZED", "Token expired or invalid", {}, request_id)
            return answer(encode({"isValid": False, **problem}), status=401)
        return answer(encode({"isValid": True, "user": msgspec.Raw(await _account(request, backend))}))


class UserController(Controller):
    tags = ("Accounts",)

    @get(
        ["/auth/me", "/users/me", "/me"],
        guards=[signed_in],
        security=BEARER,
        responses=answers(User, 200, 401),
    )
    async def me(self, request: HttpRequest, backend: Backend) -> ASGIResponse:
        """Who one is signed in as."""
        return answer(await _account(request, backend), position=backend.reading.known("accounts"))

    @patch(
        "/admin/users/{ref:str}/role",
        guards=[admin],
        security=BEARER,
        responses=answers(User, 200, 401, 403, 404),
    )
    async def grant_role(
        self, request: HttpRequest, ref: FromPath[str], data: JSONBody[RoleBody], backend: Backend
    ) -> ASGIResponse:
        """Give somebody a role; it is in their tokens from their next sign-in or refresh on."""
        if data.role.lower() not in set(Role):
            raise InvalidInputError({"role": [f"Must be one of {', '.join(Role)}"]})
        command = GrantRole(account_id=_account_called(ref), role=Role(data.role.lower()))
        return await backend.commands.answer(request, command, account_body)


async def _register(
    request: HttpRequest, data: RegisterBody, backend: BackendParts, roles: frozenset[Role]
) -> ASGIResponse:
    first_name, last_name = data.names()
    device, address = _origin(request)
    command = RegisterAccount(
        email=data.email,
        password=data.password,
        username=data.username or "",
        first_name=first_name,
        last_name=last_name,
        gender=data.gender,
        image=data.image,
        phone=data.phone,
        age=data.age,
        roles=roles,
        device=device,
        address=address,
    )
    return await _sign_in(request, command, backend, status=201)


async def _sign_in(
    request: HttpRequest, command: object, backend: BackendParts, *, status: int
) -> ASGIResponse:
    carried = await backend.commands.carry_out(
        request, command, lambda state: _signed_in_body(state, backend), status=status
    )
    if carried.changed is not None:
        account: AccountId = carried.changed.state.account.id
        backend.acknowledged.note(f"user:{account}", carried.position)
    return carried.response()


def _signed_in_body(signed_in: SignedIn, backend: BackendParts) -> dict[str, Any]:
    """C12: S2's body, and DummyJSON's flat fields beside."""
    user = account_body(signed_in.account)
    flat = {
        name: user[name] for name in ("id", "username", "email", "firstName", "lastName", "gender", "image")
    }
    return {**_tokens(signed_in, backend), "user": user, **flat}


def _tokens(signed_in: SignedIn, backend: BackendParts) -> dict[str, Any]:
    now = backend.write.clock.now()
    tokens = backend.write.tokens
    access = tokens.access(signed_in, now)
    return {
        "token": access,
        "accessToken": access,
        "refreshToken": tokens.refresh(signed_in.session.id, signed_in.session.generation),
        "tokenType": "Bearer",
        "expiresIn": int(tokens.lifetime.total_seconds()),
        "expiresAt": time(now + tokens.lifetime),
    }


async def _account(request: HttpRequest, backend: BackendParts) -> bytes:
    await backend.reading.fresh(request, "accounts")
    body = await account_by_id(backend.read.reads, caller_of(request).account_id)
    if body is None:
        raise StaleReadError("The account is not in the list of accounts yet")
    return body


def _account_called(reference: str) -> AccountId:
    match reference_kind(reference):
        case int() as number:
            return AccountId(stream_id("account", number))
        case str():
            raise UserNotFoundError("User not found")
        case account_id:
            return AccountId(account_id)


def _origin(request: HttpRequest) -> tuple[str, str]:
    """The device and the address that a session is started from."""
    client = request.client
    return request.headers.get("user-agent", "")[:200], client.host if client else ""
