"""The whole history, for auditors: every event there is, and what anything was at any time."""

from __future__ import annotations

import base64
import hmac
from datetime import datetime, timedelta
from typing import Annotated, Any, Final
from uuid import UUID

import msgspec
from litestar import Controller, Request, get
from litestar.params import FromPath
from litestar.response.base import ASGIResponse
from msgspec import Meta

from api.authentication import BEARER, auditor
from api.backend import Backend
from api.documentation import answers
from api.input import Body, decode_query
from api.models import AuditPage, StreamHistory
from api.wire import answer, camel_cased, encode
from application.ports import Keys
from domain.kernel import Event, InvalidInputError, NotFoundError, Recorded, tag_of
from domain.registry import DECIDERS
from projections.audit.query import AuditFilter, audited_positions
from projections.wire import time

HttpRequest = Request[Any, Any, Any]

SECRETS: Final = frozenset({"password_hash", "client_secret", "url", "action_url"})
"""What proves who somebody is, or lets somebody act as them, is nobody's to read: not an auditor's either.

The last two are where a payer has something still to do, with the client's secret in it."""

_MAC_LENGTH: Final = 12
_REST_OF_IT: Final = timedelta(microseconds=999)


class AuditQuery(Body, frozen=True, kw_only=True):
    """Times are ISO 8601 with an offset; ``from`` is included, ``to`` is not."""

    stream: UUID | None = None
    type: Annotated[str, Meta(max_length=100)] = ""
    actor: Annotated[str, Meta(max_length=100)] = ""
    since: Annotated[datetime, Meta(tz=True)] | None = msgspec.field(default=None, name="from")
    until: Annotated[datetime, Meta(tz=True)] | None = msgspec.field(default=None, name="to")
    cursor: Annotated[str, Meta(max_length=100)] = ""
    limit: Annotated[int, Meta(ge=0)] = 20


class AsOfQuery(Body, frozen=True, kw_only=True):
    """``asOf`` is a version, or an ISO 8601 time with an offset; nothing is now."""

    as_of: Annotated[int, Meta(ge=1, lt=2**62)] | Annotated[str, Meta(max_length=40)] | None = None


class AuditController(Controller):
    path = "/audit"
    tags = ("Audit",)
    guards = (auditor,)
    security = BEARER

    @get("/events", query=AuditQuery, responses=answers(AuditPage, 200, 401, 403))
    async def events(self, request: HttpRequest, backend: Backend) -> ASGIResponse:
        """Events in the order of the log, by stream, type, actor and time."""
        asked = decode_query(request.scope["query_string"], AuditQuery)
        limit = min(asked.limit, 100) or 100
        position = await backend.reading.fresh(request, "audit_trail")
        wanted = AuditFilter(
            stream=asked.stream,
            type=asked.type,
            actor=asked.actor,
            since=asked.since,
            until=asked.until,
            after=_opened(asked.cursor, backend.write.keys) if asked.cursor else 0,
            limit=limit,
        )
        positions = await audited_positions(backend.read.reads, wanted)
        events = await backend.write.log.at_positions(positions) if positions else []
        cursor = _sealed(positions[-1], backend.write.keys) if len(positions) == limit else None
        body = {"events": [event_body(event) for event in events], "nextCursor": cursor, "limit": limit}
        return answer(encode(body), position=position)

    @get("/streams/{stream:uuid}", query=AsOfQuery, responses=answers(StreamHistory, 200, 401, 403, 404))
    async def stream(self, request: HttpRequest, stream: FromPath[UUID], backend: Backend) -> ASGIResponse:
        """All that happened to one thing, and what it was after the last of it, or ``asOf`` a version or time."""
        asked = decode_query(request.scope["query_string"], AsOfQuery)
        up_to, until = _moment(asked.as_of)
        events = await backend.write.log.read_stream(stream, up_to=up_to, until=until)
        if not events:
            raise NotFoundError("There is no such stream, or there was not yet")
        decider = DECIDERS[tag_of(type(events[0].event))]
        state = decider.fold(None, [recorded.event for recorded in events])
        body = {
            "stream": stream,
            "aggregate": decider.name,
            "version": events[-1].version,
            "asOf": time(events[-1].timestamp),
            "state": _shown(state),
            "events": [event_body(event) for event in events],
        }
        return answer(encode(body), version=events[-1].version)


def _moment(as_of: int | str | None) -> tuple[int | None, datetime | None]:
    if isinstance(as_of, str):
        if as_of.isascii() and as_of.isdigit() and 0 < len(as_of) < 19 and int(as_of):
            return int(as_of), None
        # In a query a plus sign is a blank.
        try:
            until = msgspec.convert(as_of.replace(" ", "+"), Annotated[datetime, Meta(tz=True)])
        except msgspec.ValidationError as wrong:
            raise InvalidInputError(
                {"asOf": ["Must be a version, or an ISO 8601 time with an offset"]}
            ) from wrong
        # We show times to the millisecond, and one of these means all of it: what we show with it is in it.
        return None, until if until.microsecond % 1000 else until + _REST_OF_IT
    return as_of, None


def event_body(recorded: Recorded[Event]) -> dict[str, Any]:
    return {
        "position": recorded.position,
        "id": recorded.id,
        "stream": recorded.stream,
        "aggregate": recorded.aggregate,
        "version": recorded.version,
        "type": tag_of(type(recorded.event)),
        "at": time(recorded.timestamp),
        "actor": recorded.actor,
        "impersonator": recorded.impersonator,
        "requestId": recorded.request_id,
        "cause": recorded.cause,
        "schema": recorded.schema,
        "data": _shown(recorded.event),
    }


def _shown(value: Any) -> Any:
    return camel_cased(msgspec.to_builtins(value, str_keys=True), masked=SECRETS)


def _sealed(position: int, keys: Keys) -> str:
    """A cursor says nothing to clients and is nothing that they could make up (C8)."""
    raw = position.to_bytes(8)
    return base64.urlsafe_b64encode(raw + _mac(raw, keys)).decode().rstrip("=")


def _opened(cursor: str, keys: Keys) -> int:
    try:
        raw = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
    except ValueError:
        raw = b""
    if not hmac.compare_digest(raw[8:], _mac(raw[:8], keys)):
        raise InvalidInputError({"cursor": ["Is not a cursor of ours"]})
    return int.from_bytes(raw[:8])


def _mac(raw: bytes, keys: Keys) -> bytes:
    return keys.request_hash(b"audit cursor\n" + raw)[:_MAC_LENGTH]
