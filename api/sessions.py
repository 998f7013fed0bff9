"""Where one is signed in, and how to end that."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from litestar import Controller, Request, delete, get
from litestar.params import FromPath
from litestar.response.base import ASGIResponse

from api.authentication import BEARER, caller_of, in_person, signed_in
from api.backend import Backend
from api.documentation import answers
from api.models import Session
from api.wire import answer, encode
from application.accounts.signing_in import RevokeOtherSessions, RevokeSession
from application.slugs import reference_kind
from domain.accounts.session import SessionNotFoundError
from projections.sessions.projector import SessionDocument
from projections.sessions.query import sessions_of
from projections.wire import time

HttpRequest = Request[Any, Any, Any]


class SessionController(Controller):
    path = "/auth/sessions"
    tags = ("Accounts",)

    @get(guards=[signed_in], security=BEARER, responses=answers(list[Session], 200, 401))
    async def sessions(self, request: HttpRequest, backend: Backend) -> ASGIResponse:
        """The devices on which one is signed in, the one that was used last first."""
        position = await backend.reading.fresh(request, "sessions")
        now = backend.write.clock.now()
        found = await sessions_of(backend.read.reads, caller_of(request).account_id, now)
        current = _current(request)
        return answer(encode([session_body(session, current) for session in found]), position=position)

    @delete(status_code=200, guards=[in_person], security=BEARER, responses=answers(None, 204, 401, 403))
    async def revoke_others(self, request: HttpRequest, backend: Backend) -> ASGIResponse:
        """Sign out everywhere else."""
        account_id = caller_of(request).account_id
        command = RevokeOtherSessions(account_id=account_id, spared=_current(request))
        response = await backend.commands.answer(request, command, None, status=204)
        backend.authenticator.changed(account_id)
        return response

    @delete(
        "/{session_id:str}",
        status_code=200,
        guards=[signed_in],
        security=BEARER,
        responses=answers(None, 204, 401, 404),
    )
    async def revoke(self, request: HttpRequest, session_id: FromPath[str], backend: Backend) -> ASGIResponse:
        """Sign out one device; its tokens are good for nothing from now on."""
        session = reference_kind(session_id)
        if not isinstance(session, UUID):
            raise SessionNotFoundError("Session not found")
        command = RevokeSession(account_id=caller_of(request).account_id, session_id=session)
        response = await backend.commands.answer(request, command, None, status=204)
        backend.authenticator.ended(session)
        return response


def _current(request: HttpRequest) -> UUID:
    session_id: UUID = request.scope["state"]["access"].session_id
    return session_id


def session_body(session: SessionDocument, current: UUID) -> dict[str, Any]:
    return {
        "id": str(session.id),
        "device": session.device,
        "userAgent": session.device,
        "ip": session.address,
        "method": session.method,
        "createdAt": time(session.started_at),
        "lastSeenAt": time(session.last_used_at),
        "expiresAt": time(session.expires_at),
        "current": session.id == current,
    }
