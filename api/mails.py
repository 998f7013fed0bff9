"""Mails that are owed, for operators: what waits, what was given up and why, and trying again. Nobody is named."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, Any

import msgspec
from litestar import Controller, Request, get, post
from litestar.params import FromPath
from litestar.response.base import ASGIResponse
from msgspec import Meta

from api.authentication import BEARER, actor_of, admin
from api.backend import Backend, BackendParts
from api.documentation import answers
from api.input import Body, decode_query
from api.models import Mail, Mails
from api.wire import answer, camel_cased, encode
from application.mail.ports import MailNotFoundError, MailState, QueuedMail
from application.ports import AlreadyAnsweredError, Answer, Metadata
from domain.claims.claim import CLAIMS
from domain.kernel import stream_id

HttpRequest = Request[Any, Any, Any]


class MailsQuery(Body, frozen=True, kw_only=True):
    state: MailState | None = None
    after: Annotated[int, Meta(ge=0, lt=2**62)] = 0
    limit: Annotated[int, Meta(ge=1, le=100)] = 100


class MailController(Controller):
    path = "/admin/mails"
    tags = ("Operations",)
    guards = (admin,)
    security = BEARER

    @get(query=MailsQuery, responses=answers(Mails, 200, 401, 403))
    async def mails(self, request: HttpRequest, backend: Backend) -> ASGIResponse:
        """Mails by the position of the event that they are owed for; ``state=dead`` are those that were given up.

        Those of one event come together: if it is owed to several people, there may be a few more than ``limit``.
        """
        asked = decode_query(request.scope["query_string"], MailsQuery)
        listed = await backend.mails.listed(asked.state, after=asked.after, limit=asked.limit)
        counts = await backend.mails.counts()
        return answer(
            encode(
                {
                    "mails": [_body(mail) for mail in listed],
                    "waiting": counts.waiting,
                    "dead": counts.dead,
                    "oldestWaitingSeconds": round(counts.oldest_waiting.total_seconds()),
                }
            )
        )

    @post(
        "/{cause:str}/{template:str}/retry",
        status_code=200,
        responses=answers(Mail, 200, 401, 403, 404),
    )
    async def retry(
        self, request: HttpRequest, cause: FromPath[str], template: FromPath[str], backend: Backend
    ) -> ASGIResponse:
        """Let a mail that was given up be tried again, as often as a new one; any other stays as it is.

        If it is owed to several people, that is so for each of them, and one of those that change is shown.
        """
        return await _done(request, backend, backend.mails.retry, cause, template)

    @post(
        "/{cause:str}/{template:str}/drop",
        status_code=200,
        responses=answers(Mail, 200, 401, 403, 404),
    )
    async def drop(
        self, request: HttpRequest, cause: FromPath[str], template: FromPath[str], backend: Backend
    ) -> ASGIResponse:
        """Give up a mail that has not been sent, to whomever it is owed; any other stays as it is."""
        return await _done(request, backend, backend.mails.drop, cause, template)


async def _done(
    request: HttpRequest,
    backend: BackendParts,
    act: Callable[[int, str], Awaitable[QueuedMail]],
    cause: str,
    template: str,
) -> ASGIResponse:
    body = b""
    once = await backend.commands.key_of(request, lambda _: Answer(status=200, body=body))
    if once is None:
        return answer(encode(_body(await act(_position(cause, template), template))))
    store = backend.write.store
    try:
        await store.raise_if_answered(once)
        body = encode(_body(await act(_position(cause, template), template)))
        # None of this is an event: of a command without any, the log remembers the answer.
        metadata = Metadata(
            actor=actor_of(request), request_id=request.scope["state"]["request_id"], once=once
        )
        await store.change(CLAIMS, stream_id("mail", f"{cause}:{template}"), lambda _: [], metadata)
    except AlreadyAnsweredError as before:
        return answer(
            before.answer.body, status=before.answer.status, headers=((b"idempotency-replayed", b"true"),)
        )
    return answer(body)


def _position(cause: str, template: str) -> int:
    if cause.isascii() and cause.isdigit() and len(cause) < 19:
        return int(cause)
    raise MailNotFoundError(f"There is no mail {template} because of event {cause}")


def _body(mail: QueuedMail) -> dict[str, Any]:
    body: dict[str, Any] = camel_cased(msgspec.to_builtins(mail))
    return body
