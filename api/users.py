"""People, as they see themselves and as others see them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Literal

import msgspec
from litestar import Controller, HttpMethod, Request, get, post, route
from litestar.params import FromPath, JSONBody
from litestar.response.base import ASGIResponse
from msgspec import UNSET, UnsetType

from api.authentication import (
    BEARER,
    caller_of,
    in_person,
    require_in_person,
    require_recent_sign_in,
    signed_in,
)
from api.backend import Backend, BackendParts
from api.documentation import answers
from api.fields import (
    Age,
    Bio,
    Currency,
    Email,
    FullName,
    Gender,
    Interests,
    KnownPassword,
    Language,
    LastName,
    Password,
    PersonName,
    Phone,
    Picture,
    Reason,
    Token,
    Username,
    split_name,
)
from api.input import Body, Faults, optional_body
from api.limits import OTHER_EMAIL, charge_strictly
from api.models import Done, Preferences, Privacy, PublicUser, User
from api.wire import answer, encode
from application.accounts.avatars import avatars_of
from application.accounts.people import account_called, found
from application.accounts.profile import (
    NewPassword,
    UpdateAccount,
    UpdatePreferences,
    UpdatePrivacy,
)
from application.accounts.standing import (
    CancelDeletion,
    CancelDeletionByPassword,
    RequestDeletion,
)
from application.ports import StreamRef
from domain.accounts.account import ACCOUNTS, Account, UserNotFoundError
from domain.kernel import AccountId, InvalidInputError
from domain.sellers.events import seller_of
from domain.sellers.seller import SELLERS, Seller
from projections.accounts.account import (
    AccountDocument,
    Shop,
    account_body,
    preferences_body,
    privacy_body,
    public_body,
)
from projections.accounts.query import account_by_id
from projections.ports import StaleReadError

HttpRequest = Request[Any, Any, Any]


class ProfileBody(Body, frozen=True, kw_only=True):
    """The fields that are given change; null clears one (C19)."""

    keeps_null: ClassVar[bool] = True

    first_name: PersonName | UnsetType = UNSET
    last_name: LastName | UnsetType | None = UNSET
    full_name: FullName | UnsetType = UNSET
    name: FullName | UnsetType = UNSET
    display_name: FullName | UnsetType | None = UNSET
    gender: Gender | UnsetType | None = UNSET
    phone: Phone | UnsetType | None = UNSET
    age: Age | UnsetType | None = UNSET
    bio: Bio | UnsetType | None = UNSET
    interests: Interests | UnsetType | None = UNSET
    image: Picture = UNSET
    avatar: Picture = UNSET
    avatar_url: Picture = UNSET
    username: Username | UnsetType = UNSET
    email: Email | UnsetType = UNSET
    password: Password | UnsetType = UNSET
    new_password: Password | UnsetType = UNSET
    current_password: KnownPassword | UnsetType | None = UNSET

    def profile(self) -> dict[str, Any]:
        """The new values of fields of the domain's ``Profile``."""
        changes: dict[str, Any] = {}
        if name := self.full_name or self.name:
            changes["first_name"], changes["last_name"] = split_name(name)
        for field, empty in _PROFILE.items():
            value = getattr(self, field)
            if value is not UNSET:
                changes[field] = empty if value is None else value
        return changes

    def picture(self) -> str | None:
        for given in (self.image, self.avatar, self.avatar_url):
            if given is not UNSET:
                return given or ""
        return None


_PROFILE: Mapping[str, Any] = {
    "first_name": "",
    "last_name": "",
    "display_name": "",
    "gender": "",
    "phone": "",
    "age": None,
    "bio": "",
    "interests": (),
}


class PreferencesBody(Body, frozen=True, kw_only=True):
    theme: Literal["light", "dark"] | None = None
    notifications: bool | None = None
    email_notifications: bool | None = None
    currency: Currency | None = None
    language: Language | None = None


class PrivacyBody(Body, frozen=True, kw_only=True):
    """``profileVisible`` says with true and false what ``profileVisibility`` says with words."""

    profile_visibility: Literal["public", "private"] | None = None
    profile_visible: bool | None = None
    show_email: bool | None = None
    show_phone: bool | None = None
    show_name: bool | None = None
    allow_messages: bool | None = None

    def changes(self) -> dict[str, Any]:
        changes = _given(self)
        visible = changes.pop("profile_visible", None)
        if visible is not None and "profile_visibility" not in changes:
            changes["profile_visibility"] = "public" if visible else "private"
        return changes


class DeletionBody(Body, frozen=True, kw_only=True):
    password: KnownPassword | None = None
    reason: Reason = ""


class RecoveryBody(Body, frozen=True, kw_only=True):
    """The token of the link in the mail; or else e-mail address (or username) and password."""

    token: Token | None = None
    email: str = ""
    username: str = ""
    password: KnownPassword | None = None

    @classmethod
    def absent(cls, given: Mapping[str, Any]) -> Faults:
        if "token" in given or ("password" in given and given.keys() & {"email", "username"}):
            return {}
        return {"token": ["Is required"]}


class UserController(Controller):
    tags = ("Accounts",)

    @get(
        ["/auth/me", "/users/me", "/me"],
        guards=[signed_in],
        security=BEARER,
        responses=answers(User, 200, 401),
    )
    async def me(self, request: HttpRequest, backend: Backend) -> ASGIResponse:
        """Who one is signed in as (C18)."""
        body = encode(await account_of(request, backend))
        return answer(body, position=backend.reading.known("accounts"))

    @route(
        ["/users/me", "/users/profile", "/me"],
        http_method=[HttpMethod.PUT, HttpMethod.PATCH],
        status_code=200,
        guards=[signed_in],
        security=BEARER,
        responses=answers(User, 200, 401, 403, 409, 429),
    )
    async def update(
        self, request: HttpRequest, data: JSONBody[ProfileBody], backend: Backend
    ) -> ASGIResponse:
        """Change what is given, all at once or nothing (C19).

        Another e-mail address and a new ``password`` take ``currentPassword``, or a sign-in of the last 15 minutes,
        else 403 ``REAUTH_REQUIRED``. The address has to be proved again; with the password all other sessions end.
        """
        caller = caller_of(request)
        current_password = await _password_for_another_email(request, data, backend)
        command = UpdateAccount(
            account_id=caller.account_id,
            profile=data.profile(),
            image=_another_picture(data, caller.account_id, backend),
            username=data.username or None,
            email=data.email or None,
            current_password=current_password,
            password=_new_password(request, data),
        )
        view = await view_of(caller.account_id, backend)
        response = await backend.commands.answer(request, command, view, conditional=True)
        if command.password is not None:
            backend.authenticator.changed(caller.account_id)
        return response

    @get(
        "/users/me/preferences",
        guards=[signed_in],
        security=BEARER,
        responses=answers(Preferences, 200, 401),
    )
    async def preferences(self, request: HttpRequest, backend: Backend) -> ASGIResponse:
        """What one likes to see and hear (S2 §7.2.4)."""
        document = await document_of(request, backend)
        return answer(encode(preferences_body(document.account)), position=backend.reading.known("accounts"))

    @route(
        "/users/me/preferences",
        http_method=[HttpMethod.PUT, HttpMethod.PATCH],
        status_code=200,
        guards=[signed_in],
        security=BEARER,
        responses=answers(Preferences, 200, 401),
    )
    async def update_preferences(
        self, request: HttpRequest, data: JSONBody[PreferencesBody], backend: Backend
    ) -> ASGIResponse:
        """Change those that are given."""
        command = UpdatePreferences(account_id=caller_of(request).account_id, changes=_given(data))
        return await backend.commands.answer(request, command, preferences_body, conditional=True)

    @get("/users/me/privacy", guards=[signed_in], security=BEARER, responses=answers(Privacy, 200, 401))
    async def privacy(self, request: HttpRequest, backend: Backend) -> ASGIResponse:
        """What others see of one's profile."""
        document = await document_of(request, backend)
        return answer(encode(privacy_body(document.account)), position=backend.reading.known("accounts"))

    @route(
        "/users/me/privacy",
        http_method=[HttpMethod.PUT, HttpMethod.PATCH],
        status_code=200,
        guards=[signed_in],
        security=BEARER,
        responses=answers(Privacy, 200, 401),
    )
    async def update_privacy(
        self, request: HttpRequest, data: JSONBody[PrivacyBody], backend: Backend
    ) -> ASGIResponse:
        """Change those that are given."""
        command = UpdatePrivacy(account_id=caller_of(request).account_id, changes=data.changes())
        return await backend.commands.answer(request, command, privacy_body, conditional=True)

    @get(
        "/users/{ref:str}",
        guards=[signed_in],
        security=BEARER,
        responses=answers(PublicUser, 200, 401, 404),
    )
    async def user(self, request: HttpRequest, ref: FromPath[str], backend: Backend) -> ASGIResponse:
        """Somebody by integer id, uuid or username; of others what their privacy lets one see (C54)."""
        caller = caller_of(request)
        account_id = await account_called(ref, backend.write.store, backend.write.keys)
        position = await backend.reading.fresh(request, "accounts")
        document = await account_by_id(backend.read.reads, account_id)
        own = caller.account_id == account_id or caller.is_admin
        if document is None or not (document.account.may_sign_in or (own and not document.account.erased)):
            raise UserNotFoundError("User not found")
        body = (account_body if own else public_body)(document, backend.settings.public_url)
        return answer(encode(body), position=position)

    @post(
        "/users/me/delete",
        status_code=200,
        guards=[in_person],
        security=BEARER,
        responses=answers(Done, 200, 401, 403, 422, 429),
    )
    async def delete_with_password(
        self, request: HttpRequest, data: JSONBody[DeletionBody], backend: Backend
    ) -> ASGIResponse:
        """Leave: in 30 days everything about one is forgotten for good, and until then a link takes it back (C21).

        All sessions end at once. Who signs in through Google or Apple only needs no password, but must have signed in
        within the last 15 minutes.
        """
        account = found((await backend.write.store.load(ACCOUNTS, caller_of(request).account_id)).state)
        if data.password is None and account.password_hash:
            raise InvalidInputError({"password": ["Is required"]})
        return await _delete(request, data, backend)

    @route(
        "/users/me",
        http_method=[HttpMethod.DELETE],
        status_code=200,
        body=DeletionBody,
        guards=[in_person],
        security=BEARER,
        responses=answers(Done, 200, 401, 403, 422, 429),
    )
    async def delete(self, request: HttpRequest, backend: Backend) -> ASGIResponse:
        """The same; without a ``password`` one must have signed in within the last 15 minutes."""
        return await _delete(request, await optional_body(request, DeletionBody), backend)

    @post("/users/me/restore", status_code=200, responses=answers(Done, 200, 403, 422, 423, 429))
    async def restore(
        self, request: HttpRequest, data: JSONBody[RecoveryBody], backend: Backend
    ) -> ASGIResponse:
        """Stay after all: with the token of the link, or with e-mail address and password, within 30 days (C21)."""
        command: object
        if data.token is not None:
            account_id, number = backend.write.one_time_tokens.read("recover-account", data.token)
            command = CancelDeletion(account_id=AccountId(account_id), number=number)
        else:
            command = CancelDeletionByPassword(
                login=data.email or data.username, password=data.password or ""
            )
        return await backend.commands.answer(
            request, command, lambda _: {"message": "Account restored"}, person=lambda account: account.id
        )


async def _delete(request: HttpRequest, data: DeletionBody, backend: BackendParts) -> ASGIResponse:
    account_id = caller_of(request).account_id
    if data.password is None:
        require_recent_sign_in(request)
    command = RequestDeletion(account_id=account_id, password=data.password, reason=data.reason)
    carried = await backend.commands.carry_out(
        request, command, lambda _: {"message": "Account scheduled for deletion"}
    )
    backend.authenticator.changed(account_id)
    return carried.response(backend.cookies.cleared_cookies(request))


def _new_password(request: HttpRequest, data: ProfileBody) -> NewPassword | None:
    wanted = data.new_password or data.password
    if not wanted:
        return None
    require_in_person(request)
    if not data.current_password:
        require_recent_sign_in(request)
    return NewPassword(
        current=data.current_password or None,
        password=wanted,
        session_id=request.scope["state"]["access"].session_id,
    )


async def _password_for_another_email(
    request: HttpRequest, data: ProfileBody, backend: BackendParts
) -> str | None:
    """What proves who asks for another address: whoever reads that mailbox can have the account by it."""
    if not data.email:
        return None
    account_id = caller_of(request).account_id
    if found((await backend.write.store.load(ACCOUNTS, account_id)).state).email == data.email:
        return None
    require_in_person(request)
    if not data.current_password:
        require_recent_sign_in(request)
    await charge_strictly(request, OTHER_EMAIL, account_id, data.email)
    return data.current_password or None


def _another_picture(data: ProfileBody, account_id: AccountId, backend: BackendParts) -> str | None:
    """A picture elsewhere. The address of one's own one here, sent back with the rest of a profile, changes nothing."""
    picture = data.picture()
    ours = backend.settings.public_url(avatars_of(account_id))
    return None if picture and picture.startswith(ours) else picture


async def document_of(request: HttpRequest, backend: BackendParts) -> AccountDocument:
    """One's own account, as far as one has seen it already."""
    await backend.reading.fresh(request, "accounts")
    document = await account_by_id(backend.read.reads, caller_of(request).account_id)
    if document is None:
        raise StaleReadError("The account is not in the list of accounts yet")
    return document


async def account_of(request: HttpRequest, backend: BackendParts) -> dict[str, Any]:
    return account_body(await document_of(request, backend), backend.settings.public_url)


async def view_of(account_id: AccountId, backend: BackendParts) -> Callable[[Account], dict[str, Any]]:
    """How an account is shown that was just changed, with the shop that it is; mostly nobody is asked for that."""
    (seller,) = await backend.write.store.glance([StreamRef(SELLERS, seller_of(account_id))])
    return lambda account: shown(account, backend, seller.state)


def shown(account: Account, backend: BackendParts, seller: Seller | None = None) -> dict[str, Any]:
    """An account as a command answers with it: from the log, so that nothing needs to catch up.

    Without ``updatedAt``; and who registered before accounts knew since when they are shows that in reads only.
    """
    document = AccountDocument(
        account=account,
        created_at=account.registered_at or backend.write.clock.now(),
        shop=None if seller is None else _shop(seller),
    )
    return account_body(document, backend.settings.public_url)


def _shop(seller: Seller) -> Shop:
    return Shop(
        id=str(seller.id),
        shop_name=seller.profile.shop_name,
        slug=seller.profile.slug,
        kind=seller.kind,
        status=seller.status,
    )


def _given(body: Body) -> dict[str, Any]:
    """What a body changes."""
    return {name: value for name, value in msgspec.structs.asdict(body).items() if value is not None}
