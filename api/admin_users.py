"""People, as admins look after them."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any

from litestar import Controller, Request, delete, get, patch, post, put
from litestar.params import FromPath, JSONBody
from litestar.response.base import ASGIResponse
from msgspec import Meta

from api.authentication import BEARER, admin, caller_of
from api.backend import Backend, BackendParts
from api.documentation import answers
from api.fields import Reason
from api.input import Body, decode_query, optional_body
from api.models import Flags, Impersonation, ManagedUser, User, UserPage
from api.paging import CursorQuery
from api.sign_in import origin_of, whose
from api.users import shown, view_of
from api.wire import answer, encode
from application.accounts.impersonating import LASTS, Impersonate
from application.accounts.people import SignedIn, account_called
from application.accounts.standing import FlagAccount, RestoreAccount, SetRole, SuspendAccount
from domain.accounts.account import Account, UserNotFoundError
from domain.accounts.events import Role
from domain.kernel import AccountId, InvalidInputError
from projections.accounts.account import moderated_body
from projections.accounts.query import AccountFilter, account_by_id, accounts_page
from projections.wire import time

HttpRequest = Request[Any, Any, Any]


class UserQuery(CursorQuery, frozen=True, kw_only=True):
    q: Annotated[str, Meta(max_length=200)] = ""
    search: Annotated[str, Meta(max_length=200)] = ""
    role: Annotated[str, Meta(max_length=20)] = ""
    deleted: bool | None = None


class RoleBody(Body, frozen=True, kw_only=True):
    role: Annotated[str, Meta(examples=["seller"])]


class ReasonBody(Body, frozen=True, kw_only=True):
    reason: Reason = ""


class FlagsBody(Body, frozen=True, kw_only=True):
    flags: Annotated[tuple[Annotated[str, Meta(min_length=1, max_length=50)], ...], Meta(max_length=20)]
    note: Reason = ""


class ImpersonationBody(Body, frozen=True, kw_only=True):
    reason: Annotated[str, Meta(min_length=3, max_length=1000, examples=["Ticket 4711: cannot check out"])]


class AdminUserController(Controller):
    path = "/admin/users"
    tags = ("Accounts",)
    guards = (admin,)
    security = BEARER

    @get(query=UserQuery, responses=answers(UserPage, 200, 401, 403))
    async def users(self, request: HttpRequest, backend: Backend) -> ASGIResponse:
        """All people, by id; ``q`` is part of an e-mail address, username or name."""
        asked = decode_query(request.scope["query_string"], UserQuery)
        role = _role(asked.role) if asked.role else ""
        position = await backend.reading.fresh(request, "accounts")
        question = asked.question("users")
        found = await accounts_page(
            backend.read.reads,
            AccountFilter(words=asked.q or asked.search, role=role, deleted=asked.deleted),
            backend.cursors.piece(asked, question),
        )
        users = [moderated_body(document, backend.settings.public_url) for document in found.documents]
        return backend.cursors.answer("users", users, asked, question, found, position=position)

    @get("/{ref:str}", responses=answers(ManagedUser, 200, 401, 403, 404))
    async def user(self, request: HttpRequest, ref: FromPath[str], backend: Backend) -> ASGIResponse:
        """Somebody by integer id, uuid or username, deleted or not."""
        account_id = await _called(ref, backend)
        position = await backend.reading.fresh(request, "accounts")
        document = await account_by_id(backend.read.reads, account_id)
        if document is None or document.account.erased:
            raise UserNotFoundError("User not found")
        return answer(encode(moderated_body(document, backend.settings.public_url)), position=position)

    @patch("/{ref:str}/role", responses=answers(User, 200, 401, 403, 404, 422))
    async def set_role(
        self, request: HttpRequest, ref: FromPath[str], data: JSONBody[RoleBody], backend: Backend
    ) -> ASGIResponse:
        """Make ``role`` the highest that somebody has, at once. Nobody changes their own, and one admin remains."""
        account_id = await _called(ref, backend)
        by = caller_of(request).account_id
        command = SetRole(account_id=account_id, role=Role(_role(data.role)), by=by)
        return await _changed(request, account_id, command, backend)

    @delete("/{ref:str}", status_code=200, body=ReasonBody, responses=answers(None, 204, 401, 403, 404, 422))
    async def suspend(self, request: HttpRequest, ref: FromPath[str], backend: Backend) -> ASGIResponse:
        """Soft-delete somebody: they are signed out and stay out, and their shop is closed, until they are restored."""
        data = await optional_body(request, ReasonBody)
        account_id = await _called(ref, backend)
        command = SuspendAccount(account_id=account_id, reason=data.reason, by=caller_of(request).account_id)
        response = await backend.commands.answer(request, command, None, status=204)
        backend.authenticator.changed(account_id)
        return response

    @post("/{ref:str}/restore", status_code=200, responses=answers(User, 200, 401, 403, 404, 409))
    async def restore(self, request: HttpRequest, ref: FromPath[str], backend: Backend) -> ASGIResponse:
        """Let somebody in again who was deleted, or who had asked to be and whose 30 days are not over."""
        account_id = await _called(ref, backend)
        return await _changed(request, account_id, RestoreAccount(account_id=account_id), backend)

    @put("/{ref:str}/flags", responses=answers(Flags, 200, 401, 403, 404))
    async def flag(
        self, request: HttpRequest, ref: FromPath[str], data: JSONBody[FlagsBody], backend: Backend
    ) -> ASGIResponse:
        """The moderators' flags, as they are from now on."""
        account_id = await _called(ref, backend)
        flags = tuple(dict.fromkeys(data.flags))
        command = FlagAccount(account_id=account_id, flags=flags, note=data.note)
        return await backend.commands.answer(request, command, _flags, person=_id_of)

    @post(
        "/{ref:str}/impersonate", status_code=201, responses=answers(Impersonation, 201, 401, 403, 404, 429)
    )
    async def impersonate(
        self, request: HttpRequest, ref: FromPath[str], data: JSONBody[ImpersonationBody], backend: Backend
    ) -> ASGIResponse:
        """Act as somebody else for 15 minutes, to help them; never as another admin (A25).

        What is done with the token bears both names in the audit. It changes neither password nor e-mail address,
        deletes and exports nothing, and cannot be refreshed.
        """
        account_id = await _called(ref, backend)
        command = Impersonate(
            account_id=account_id,
            by=caller_of(request).account_id,
            reason=data.reason,
            origin=origin_of(request),
        )
        view = partial(_impersonation, admin=caller_of(request).number, backend=backend)
        return await backend.commands.answer(request, command, view, status=201, person=whose)


async def _changed(
    request: HttpRequest, account_id: AccountId, command: object, backend: BackendParts
) -> ASGIResponse:
    view = await view_of(account_id, backend)
    response = await backend.commands.answer(request, command, view, person=_id_of)
    backend.authenticator.changed(account_id)
    return response


def _id_of(account: Account) -> AccountId:
    return account.id


async def _called(reference: str, backend: BackendParts) -> AccountId:
    return await account_called(reference, backend.write.store, backend.write.keys)


def _impersonation(signed: SignedIn, *, admin: int, backend: BackendParts) -> dict[str, Any]:
    now = backend.write.clock.now()
    token = backend.write.tokens.access(signed, now, LASTS)
    return {
        "token": token,
        "accessToken": token,
        "tokenType": "Bearer",
        "expiresIn": int(LASTS.total_seconds()),
        "expiresAt": time(now + LASTS),
        "impersonator": {"id": admin},
        "user": shown(signed.account, backend),
    }


def _flags(account: Account) -> dict[str, Any]:
    return {"flags": account.flags}


def _role(role: str) -> str:
    """Whatever its case: one of the documents writes them in capitals (C16)."""
    if role.lower() not in set(Role):
        raise InvalidInputError({"role": [f"Must be one of {', '.join(Role)}"]})
    return role.lower()
