"""The read models, for operators: how far they are, building them anew, and what could not be folded."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Annotated, Any, TypeVar

import msgspec
import structlog
from litestar import Controller, Request, get, post
from litestar.params import FromPath
from litestar.response.base import ASGIResponse
from msgspec import Meta

from api.authentication import BEARER, actor_of, admin
from api.backend import Backend, BackendParts
from api.documentation import answers
from api.input import Body, decode_query
from api.models import DeadLetters, ProjectionList, ProjectionRequest, ProjectionView
from api.wire import answer, camel_cased, encode
from application.ports import Answer
from projections.generations import Generation, ProjectionStatus
from projections.ports import AlreadyAskedError, Once, UnknownProjectionError

log = structlog.get_logger("api")

HttpRequest = Request[Any, Any, Any]
T = TypeVar("T")


class LettersQuery(Body, frozen=True, kw_only=True):
    after: Annotated[int, Meta(ge=0, lt=2**62)] = 0
    limit: Annotated[int, Meta(ge=1, le=100)] = 100


class ProjectionController(Controller):
    path = "/admin"
    tags = ("Operations",)
    guards = (admin,)
    security = BEARER

    @get("/projections", responses=answers(ProjectionList, 200, 401, 403))
    async def projections(self, backend: Backend) -> ASGIResponse:
        """Every read model with its lag behind the log, and what is being built beside it."""
        head = await backend.write.log.head()
        listed = await backend.read.generations.list_projections()
        return answer(
            encode({"head": head, "projections": [_status_body(status, head) for status in listed]})
        )

    @get("/projections/{name:str}", responses=answers(ProjectionView, 200, 401, 403, 404))
    async def projection(self, name: FromPath[str], backend: Backend) -> ASGIResponse:
        """One read model."""
        head = await backend.write.log.head()
        return answer(encode(_status_body(await backend.read.generations.projection(name), head)))

    @post(
        "/projections/{name:str}/rebuild",
        status_code=202,
        responses=answers(ProjectionRequest, 202, 401, 403, 404),
    )
    async def rebuild(self, request: HttpRequest, name: FromPath[str], backend: Backend) -> ASGIResponse:
        """Build it anew from the log beside the one that is served, compare, and switch."""
        ask = partial(backend.read.generations.request_rebuild, name)
        return await asked_for(request, backend, ask, partial(request_body, "rebuild", name))

    @post(
        "/projections/{name:str}/rollback",
        status_code=202,
        responses=answers(ProjectionRequest, 202, 401, 403, 404),
    )
    async def rollback(self, request: HttpRequest, name: FromPath[str], backend: Backend) -> ASGIResponse:
        """Serve the previous generation again, as soon as it has caught up."""
        ask = partial(backend.read.generations.rollback, name)
        return await asked_for(request, backend, ask, partial(request_body, "rollback", name))

    @post(
        "/projections/{name:str}/pause",
        status_code=200,
        responses=answers(ProjectionView, 200, 401, 403, 404),
    )
    async def pause(self, request: HttpRequest, name: FromPath[str], backend: Backend) -> ASGIResponse:
        """Halt what is being built, or else what is served."""
        head = await backend.write.log.head()
        ask = partial(backend.read.generations.pause, name)
        return await asked_for(request, backend, ask, partial(_status_body, head=head), status=200)

    @post(
        "/projections/{name:str}/resume",
        status_code=200,
        responses=answers(ProjectionView, 200, 401, 403, 404),
    )
    async def resume(self, request: HttpRequest, name: FromPath[str], backend: Backend) -> ASGIResponse:
        """Go on with what was halted."""
        head = await backend.write.log.head()
        ask = partial(backend.read.generations.resume, name)
        return await asked_for(request, backend, ask, partial(_status_body, head=head), status=200)

    @get(
        "/projections/{name:str}/dead-letters",
        query=LettersQuery,
        responses=answers(DeadLetters, 200, 401, 403, 404),
    )
    async def dead_letters(self, request: HttpRequest, name: FromPath[str], backend: Backend) -> ASGIResponse:
        """The events that could not be folded, with the traceback, and those that wait behind them."""
        asked = decode_query(request.scope["query_string"], LettersQuery)
        generations = backend.read.generations
        await generations.projection(name)
        letters = await generations.dead_letters(name, limit=asked.limit, after=asked.after)
        return answer(
            encode({"deadLetters": [camel_cased(msgspec.to_builtins(letter)) for letter in letters]})
        )

    @post(
        "/dead-letters/{letter:str}/retry",
        status_code=202,
        responses=answers(ProjectionRequest, 202, 401, 403, 404),
    )
    async def retry(self, request: HttpRequest, letter: FromPath[str], backend: Backend) -> ASGIResponse:
        """Fold again what is parked with this dead letter, in order."""
        ask = partial(backend.read.generations.retry, _number(letter))
        return await asked_for(request, backend, ask, partial(request_body, "retry", letter))

    @post(
        "/dead-letters/{letter:str}/skip",
        status_code=202,
        responses=answers(ProjectionRequest, 202, 401, 403, 404),
    )
    async def skip(self, request: HttpRequest, letter: FromPath[str], backend: Backend) -> ASGIResponse:
        """Do without the first event that is parked with this dead letter, and fold the rest again."""
        ask = partial(backend.read.generations.skip, _number(letter))
        return await asked_for(request, backend, ask, partial(request_body, "skip", letter))

    @get(
        "/projection-requests/{request_number:str}", responses=answers(ProjectionRequest, 200, 401, 403, 404)
    )
    async def request(self, request_number: FromPath[str], backend: Backend) -> ASGIResponse:
        """What became of something that was asked for above."""
        asked = await backend.read.generations.request(_number(request_number))
        return answer(encode(camel_cased(msgspec.to_builtins(asked))))


async def asked_for(
    request: HttpRequest,
    backend: BackendParts,
    ask: Callable[[Once | None], Awaitable[T]],
    view: Callable[[T], Mapping[str, Any]],
    *,
    status: int = 202,
) -> ASGIResponse:
    """Ask the projector for it and answer with ``view``; who repeats the request is given that answer again.

    None of this is an event, so it has answers of its own. A key that a command has is not free for it all the same.
    """

    def body(done: T) -> bytes:
        return encode(view(done))

    once = None
    known = await backend.commands.key_of(request, lambda done: Answer(status=status, body=body(done)))
    if known is not None:
        await backend.write.store.raise_if_answered(known)
        once = Once(scope=known.scope, key=known.key, request_hash=known.request_hash, answer=body)
    try:
        done = await ask(once)
    except AlreadyAskedError as before:
        return answer(before.answer, status=status, headers=((b"idempotency-replayed", b"true"),))
    log.info("asked of the projector", actor=actor_of(request), path=request.url.path)
    return answer(body(done), status=status)


def request_body(action: str, name: str, request: int) -> dict[str, Any]:
    return {"id": request, "name": name, "action": action}


def _number(reference: str) -> int:
    if reference.isascii() and reference.isdigit() and len(reference) < 19:
        return int(reference)
    raise UnknownProjectionError(f"There is no {reference!r}")


def _status_body(status: ProjectionStatus, head: int) -> dict[str, Any]:
    return {
        "name": status.name,
        "position": status.active.position,
        "lag": status.active.lag(head),
        "parked": status.active.parked,
        "active": _generation_body(status.active, head),
        "building": _generation_body(status.building, head) if status.building else None,
        "previous": _generation_body(status.previous, head) if status.previous else None,
        "latest": _generation_body(status.latest, head),
    }


def _generation_body(generation: Generation, head: int) -> dict[str, Any]:
    body: dict[str, Any] = camel_cased(msgspec.to_builtins(generation))
    return body | {"lag": generation.lag(head), "eta": generation.eta(head)}
