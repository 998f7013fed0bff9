"""The picture that somebody shows of themselves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final

from litestar import Controller, Request, Router, delete, post
from litestar.datastructures import UploadFile
from litestar.exceptions import ClientException
from litestar.exceptions.http_exceptions import RequestEntityTooLarge
from litestar.openapi.spec import OpenAPIMediaType, Operation, RequestBody, Schema
from litestar.openapi.spec.enums import OpenAPIFormat, OpenAPIType
from litestar.response import Response
from litestar.response.base import ASGIResponse
from msgspec import Meta

from api.authentication import BEARER, caller_of, signed_in
from api.backend import Backend
from api.documentation import answers
from api.input import Body, Faults, decode, require_json
from api.models import Avatar
from api.problems import CODES, problem
from application.accounts.avatars import ChangeAvatar, RemoveAvatar
from domain.accounts.account import Account
from domain.kernel import AccountId, InvalidInputError
from domain.media.media import uploads_of

HttpRequest = Request[Any, Any, Any]

FILE_FIELDS: Final = ("image", "avatar", "file")
AROUND_A_FILE: Final = 64 * 1024
"""What a multipart body may have besides the file (A25)."""

_Reference = Annotated[str, Meta(min_length=1, max_length=300)]


class ChosenPicture(Body, frozen=True, kw_only=True):
    """``mediaId`` or ``key`` of a file that was uploaded; ``avatar`` and ``image`` may be either."""

    media_id: _Reference | None = None
    key: _Reference | None = None
    avatar: _Reference | None = None
    image: _Reference | None = None

    @classmethod
    def absent(cls, given: Mapping[str, Any]) -> Faults:
        return {} if given.keys() & {"mediaId", "key", "avatar", "image"} else {"key": ["Is required"]}

    def key_of(self, account_id: AccountId) -> str:
        reference = self.key or self.media_id or self.avatar or self.image or ""
        return reference if "/" in reference else f"{uploads_of(account_id)}{reference}"


def too_large(request: HttpRequest, _: RequestEntityTooLarge) -> Response[bytes]:
    most = request.app.state.backend.settings.upload_max_size
    return problem(
        request,
        413,
        CODES[413],
        "The file is too large",
        details={"image": [f"Must be at most {most} bytes"]},
    )


@dataclass
class TakesAPicture(Operation):
    """What OpenAPI is told of a body that the handler reads by itself."""

    def __post_init__(self) -> None:
        picture = Schema(type=OpenAPIType.STRING, format=OpenAPIFormat.BINARY)
        form = Schema(type=OpenAPIType.OBJECT, properties={"image": picture}, required=["image"])
        names = ("mediaId", "key", "avatar")
        chosen = Schema(
            type=OpenAPIType.OBJECT,
            properties={name: Schema(type=OpenAPIType.STRING) for name in names},
            description="One of them: a file that was uploaded to a signed address",
        )
        self.request_body = RequestBody(
            required=True,
            content={
                "multipart/form-data": OpenAPIMediaType(schema=form),
                "application/json": OpenAPIMediaType(schema=chosen),
            },
        )


class AvatarController(Controller):
    path = "/users/me/avatar"
    tags = ("Accounts",)
    guards = (signed_in,)
    security = BEARER

    @post(
        "",
        status_code=200,
        operation_class=TakesAPicture,
        exception_handlers={RequestEntityTooLarge: too_large},
        responses=answers(Avatar, 200, 401, 404, 413, 415),
    )
    async def change(self, request: HttpRequest, backend: Backend) -> ASGIResponse:
        """Show another picture: a JPEG, PNG or WebP of at most 5 MB (S2 §7.2.3), or one that was uploaded (S1).

        It is made to fit into 512 by 512, and nothing is kept of it but the picture.
        """
        account_id = caller_of(request).account_id
        content = await request.body()
        image: bytes | str
        if request.headers.get("content-type", "").lower().startswith("multipart/"):
            image = await _sent_file(request)
        else:
            require_json(request)
            if not content:
                raise InvalidInputError({"body": ["Is required"]})
            image = decode(content, ChosenPicture).key_of(account_id)

        def view(account: Account) -> dict[str, Any]:
            shown = backend.settings.public_url(account.image)
            return {
                "id": account.number,
                "uuid": str(account.id),
                "image": shown,
                "avatar": shown,
                "avatarUrl": shown,
            }

        return await backend.commands.answer(request, ChangeAvatar(account_id=account_id, image=image), view)

    @delete("", status_code=200, responses=answers(None, 204, 401))
    async def remove(self, request: HttpRequest, backend: Backend) -> ASGIResponse:
        """Show none. To ask for this twice changes nothing."""
        command = RemoveAvatar(account_id=caller_of(request).account_id)
        return await backend.commands.answer(request, command, None, status=204)


def avatar_routes(upload_max_size: int) -> Router:
    """The one place where a large body is welcome."""
    return Router(
        "/", route_handlers=[AvatarController], request_max_body_size=upload_max_size + AROUND_A_FILE
    )


async def _sent_file(request: HttpRequest) -> bytes:
    try:
        form = await request.form()
    except (ClientException, UnicodeDecodeError, LookupError) as broken:
        # The latter two: a field that is no file, in a character set that it is not in or that nobody knows.
        raise InvalidInputError({"image": ["Is not in a readable multipart/form-data body"]}) from broken
    for name in FILE_FIELDS:
        if name in form:
            sent = form[name]
            if not isinstance(sent, UploadFile):
                raise InvalidInputError({"image": ["Must be a file"]})
            return await sent.read()
    raise InvalidInputError({"image": ["Is required"]})
