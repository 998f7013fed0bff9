"""The read models, for operators: how far they are, building them anew, and what could not be folded."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from litestar import Controller, Request, get, post
from litestar.params import FromPath
from litestar.response.base import ASGIResponse
from msgspec import Meta

from api.authentication import BEARER, admin
from api.backend import Backend
from api.documentation import answers
from api.input import Body, decode_query
from api.models import DeadLetters, ProjectionList, ProjectionRequest, ProjectionView, ReplayStarted
from api.wire import answer, camel_cased, encode
from projections.generations import Generation, ProjectionStatus
from projections.ports import UnknownProjectionError

HttpRequest = Request[Any, Any, Any]


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
    async def rebuild(self, name: FromPath[str], backend: Backend) -> ASGIResponse:
        """Build it anew from the log beside the one that is served, compare, and switch."""
        return _accepted("rebuild", name, await backend.read.generations.request_rebuild(name))

    @post(
        "/projections/{name:str}/rollback",
        status_code=202,
        responses=answers(ProjectionRequest, 202, 401, 403, 404),
    )
    async def rollback(self, name: FromPath[str], backend: Backend) -> ASGIResponse:
        """Serve the previous generation again, as soon as it has caught up."""
        return _accepted("rollback", name, await backend.read.generations.rollback(name))

    @post(
        "/projections/{name:str}/pause",
        status_code=200,
        responses=answers(ProjectionView, 200, 401, 403, 404),
    )
    async def pause(self, name: FromPath[str], backend: Backend) -> ASGIResponse:
        """Halt what is being built, or else what is served."""
        await backend.read.generations.pause(name)
        return await self._one(name, backend)

    @post(
        "/projections/{name:str}/resume",
        status_code=200,
        responses=answers(ProjectionView, 200, 401, 403, 404),
    )
    async def resume(self, name: FromPath[str], backend: Backend) -> ASGIResponse:
        """Go on with what was halted."""
        await backend.read.generations.resume(name)
        return await self._one(name, backend)

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
    async def retry(self, letter: FromPath[str], backend: Backend) -> ASGIResponse:
        """Fold again what is parked with this dead letter, in order."""
        return _accepted("retry", letter, await backend.read.generations.retry(_number(letter)))

    @post(
        "/dead-letters/{letter:str}/skip",
        status_code=202,
        responses=answers(ProjectionRequest, 202, 401, 403, 404),
    )
    async def skip(self, letter: FromPath[str], backend: Backend) -> ASGIResponse:
        """Do without the first event that is parked with this dead letter, and fold the rest again."""
        return _accepted("skip", letter, await backend.read.generations.skip(_number(letter)))

    @get(
        "/projection-requests/{request_number:str}", responses=answers(ProjectionRequest, 200, 401, 403, 404)
    )
    async def request(self, request_number: FromPath[str], backend: Backend) -> ASGIResponse:
        """What became of something that was asked for above."""
        asked = await backend.read.generations.request(_number(request_number))
        return answer(encode(camel_cased(msgspec.to_builtins(asked))))

    async def _one(self, name: str, backend: Backend) -> ASGIResponse:
        head = await backend.write.log.head()
        return answer(encode(_status_body(await backend.read.generations.projection(name), head)))


class SearchIndexController(Controller):
    tags = ("Operations",)
    guards = (admin,)
    security = BEARER

    @post("/search/index/replay", status_code=202, responses=answers(ReplayStarted, 202, 401, 403))
    async def replay(self, backend: Backend) -> ASGIResponse:
        """Build what is searched anew from the log: the search index, and the catalogue that search falls back to."""
        generations = backend.read.generations
        served = {status.name for status in await generations.list_projections()}
        asked = {
            name: await generations.request_rebuild(name)
            for name in ("product_search", "products")
            if name in served
        }
        requests = [{"id": number, "name": name, "action": "rebuild"} for name, number in asked.items()]
        return answer(encode({"message": "Search index replay started", "requests": requests}), status=202)


def _accepted(action: str, name: str, request: int) -> ASGIResponse:
    return answer(encode({"id": request, "name": name, "action": action}), status=202)


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
