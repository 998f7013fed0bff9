"""The address book, under both of its paths and with every spelling of its fields (C20)."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Annotated, Any

from litestar import Controller, HttpMethod, Request, delete, get, post, route
from litestar.params import FromPath, JSONBody
from litestar.response.base import ASGIResponse
from msgspec import Meta, structs

from api.authentication import BEARER, caller_of, signed_in
from api.backend import Backend, BackendParts
from api.documentation import answers
from api.fields import Phone, split_name
from api.input import Body, Faults
from api.models import SavedAddress
from api.users import document_of
from api.wire import answer, encode
from application.accounts.addresses import AddAddress, RemoveAddress, UpdateAddress
from application.slugs import reference_kind
from domain.accounts.account import ACCOUNTS, Account, AddressNotFoundError
from domain.accounts.events import PostalDetails
from domain.kernel import AccountId, stream_id
from projections.accounts.account import address_body, addresses_body

HttpRequest = Request[Any, Any, Any]

Line = Annotated[str, Meta(min_length=1, max_length=200)]
Optional = Annotated[str, Meta(max_length=200)]
ZipCode = Annotated[str, Meta(min_length=1, max_length=20)]
Name = Annotated[str, Meta(max_length=100)]
FullNameOrNone = Annotated[str, Meta(max_length=101)]
"""Empty where nobody is named, as in our answers (C59)."""


class AddressChangeBody(Body, frozen=True, kw_only=True):
    """``address`` is also called ``addressLine1`` or ``line1``, ``zipCode`` ``postalCode``, ``postCode`` or ``zip``."""

    label: Name | None = None
    first_name: Name | None = None
    last_name: Name | None = None
    full_name: FullNameOrNone | None = None
    name: FullNameOrNone | None = None
    address: Line | None = None
    address_line2: Optional | None = None
    line2: Optional | None = None
    city: Line | None = None
    state: Name | None = None
    zip_code: ZipCode | None = None
    country: Line | None = None
    phone: Phone | None = None
    is_default: bool | None = None

    def changes(self) -> dict[str, Any]:
        """The new values of fields of ``PostalDetails``."""
        given = {name: value for name, value in structs.asdict(self).items() if value is not None}
        given.pop("is_default", None)
        names = (given.pop("full_name", ""), given.pop("name", ""))
        line2 = given.pop("line2", None)
        if line2 is not None:
            given.setdefault("address_line2", line2)
        if name := names[0] or names[1]:
            first, last = split_name(name)
            given = {"first_name": first, "last_name": last, **given}
        return given


class AddressBody(AddressChangeBody, frozen=True, kw_only=True):
    @classmethod
    def absent(cls, given: Mapping[str, Any]) -> Faults:
        required = ("address", "city", "zipCode", "country")
        return {name: ["Is required"] for name in required if name not in given}


class AddressController(Controller):
    tags = ("Accounts",)

    @get(
        ["/users/me/addresses", "/users/addresses"],
        guards=[signed_in],
        security=BEARER,
        responses=answers(list[SavedAddress], 200, 401),
    )
    async def addresses(self, request: HttpRequest, backend: Backend) -> ASGIResponse:
        """All of one's addresses, the oldest first."""
        document = await document_of(request, backend)
        return answer(encode(addresses_body(document.account)), position=backend.reading.known("accounts"))

    @post(
        ["/users/me/addresses", "/users/addresses"],
        status_code=201,
        guards=[signed_in],
        security=BEARER,
        responses=answers(SavedAddress, 201, 401, 422),
    )
    async def add(self, request: HttpRequest, data: JSONBody[AddressBody], backend: Backend) -> ASGIResponse:
        """Add one. The first is the default; one with ``isDefault`` takes that over."""
        command = AddAddress(
            account_id=caller_of(request).account_id,
            details=PostalDetails(**data.changes()),
            default=bool(data.is_default),
        )
        return await backend.commands.answer(request, command, _newest, status=201)

    @get(
        ["/users/me/addresses/{ref:str}", "/users/addresses/{ref:str}"],
        guards=[signed_in],
        security=BEARER,
        responses=answers(SavedAddress, 200, 401, 404),
    )
    async def address(self, request: HttpRequest, ref: FromPath[str], backend: Backend) -> ASGIResponse:
        """One of one's own, by integer id or uuid."""
        account = (await document_of(request, backend)).account
        body = address_body(account, account.address(_number(account, ref)))
        return answer(encode(body), position=backend.reading.known("accounts"))

    @route(
        ["/users/me/addresses/{ref:str}", "/users/addresses/{ref:str}"],
        http_method=[HttpMethod.PUT, HttpMethod.PATCH],
        status_code=200,
        guards=[signed_in],
        security=BEARER,
        responses=answers(SavedAddress, 200, 401, 404),
    )
    async def update(
        self, request: HttpRequest, ref: FromPath[str], data: JSONBody[AddressChangeBody], backend: Backend
    ) -> ASGIResponse:
        """Change what is given."""
        caller = caller_of(request)
        number = await _number_of(ref, backend, caller.account_id)
        command = UpdateAddress(
            account_id=caller.account_id, number=number, changes=data.changes(), default=data.is_default
        )
        return await backend.commands.answer(
            request, command, lambda account: address_body(account, account.address(number))
        )

    @delete(
        ["/users/me/addresses/{ref:str}", "/users/addresses/{ref:str}"],
        status_code=200,
        guards=[signed_in],
        security=BEARER,
        responses=answers(None, 204, 401, 404),
    )
    async def remove(self, request: HttpRequest, ref: FromPath[str], backend: Backend) -> ASGIResponse:
        """Forget one. If it was the default, the oldest of the others becomes that."""
        caller = caller_of(request)
        number = await _number_of(ref, backend, caller.account_id)
        command = RemoveAddress(account_id=caller.account_id, number=number)
        return await backend.commands.answer(request, command, None, status=204)


def _newest(account: Account) -> dict[str, Any]:
    return address_body(account, account.addresses[-1])


async def _number_of(reference: str, backend: BackendParts, account_id: AccountId) -> int:
    """What the reference names; 0 for what is not there, which the command refuses unless it took it away itself."""
    account = (await backend.write.store.load(ACCOUNTS, account_id)).present
    with suppress(AddressNotFoundError):
        return _number(account, reference)
    return 0


def _number(account: Account, reference: str) -> int:
    kind = reference_kind(reference)
    for address in account.addresses:
        if kind in (address.number, stream_id("address", address.number)):
            return address.number
    raise AddressNotFoundError("Address not found")
