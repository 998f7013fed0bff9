"""What somebody may mean who is still typing; and making what is searched anew."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from functools import partial
from typing import Annotated, Any, Final

from litestar import Controller, Request, get, post
from litestar.response.base import ASGIResponse
from msgspec import Meta, field

from api.authentication import BEARER, actor_of, admin
from api.backend import Backend
from api.documentation import answers
from api.input import Body, decode_query, optional_body
from api.models import ReplayStarted, Suggestions
from api.projections import asked_for, request_body
from api.wire import answer, encode
from domain.kernel import InvalidInputError
from projections.product_search.announcements import Announcement, announcements_between
from projections.product_search.projector import PRODUCT_SEARCH

HttpRequest = Request[Any, Any, Any]

_BRIEFLY: Final = (b"cache-control", b"public, max-age=10")
"""Long enough for people who type the same, and not much longer than what is hidden may be seen."""

Words = Annotated[str, Meta(max_length=200)]
Bound = Annotated[int, Meta(ge=0, lt=2**62)] | Annotated[datetime, Meta(tz=True)]


class SuggestQuery(Body, frozen=True, kw_only=True):
    """``q``, ``search`` and ``text`` are one, as in searches (C22)."""

    q: Words = ""
    search: Words = ""
    text: Words = ""
    limit: Annotated[int, Meta(ge=1, le=20)] = 10

    @property
    def words(self) -> str:
        return (self.q or self.search or self.text).strip()


class ReplayBody(Body, frozen=True, kw_only=True):
    """S1 step 10. ``from`` is included and ``to`` is not: log positions, or ISO 8601 times with an offset."""

    since: Bound | None = field(default=None, name="from")
    until: Bound | None = field(default=None, name="to")
    types: Annotated[tuple[Announcement, ...], Meta(min_length=1, max_length=3)] | None = None
    dry_run: bool = False

    @property
    def restricted(self) -> bool:
        return not (self.since is None and self.until is None and self.types is None)

    def require_order(self) -> None:
        since, until = self.since, self.until
        if since is None or until is None:
            return
        if isinstance(since, datetime) is not isinstance(until, datetime):
            raise InvalidInputError({"to": ["Must be of the same kind as from"]})
        if since >= until:  # type: ignore[operator]
            raise InvalidInputError({"to": ["Must be after from"]})


class SearchController(Controller):
    tags = ("Products",)

    @get("/search/suggest", query=SuggestQuery, responses=answers(Suggestions, 200))
    async def suggest(self, request: HttpRequest, backend: Backend) -> ASGIResponse:
        """Products, brands and categories that begin, or nearly begin, with ``q``."""
        asked = decode_query(request.scope["query_string"], SuggestQuery)
        if not asked.words:
            raise InvalidInputError({"q": ["Is required"]})
        search = backend.read.search
        found = await search.suggest(asked.words, asked.limit)
        engine = b"opensearch" if search.read_model == PRODUCT_SEARCH.name else b"postgres"
        return answer(encode({"suggestions": found}), headers=((b"x-search-engine", engine), _BRIEFLY))


class SearchIndexController(Controller):
    tags = ("Operations",)
    guards = (admin,)
    security = BEARER

    @post(
        "/search/index/replay",
        status_code=202,
        body=ReplayBody,
        responses=answers(ReplayStarted, 202, 401, 403, 409),
    )
    async def replay(self, request: HttpRequest, backend: Backend) -> ASGIResponse:
        """Build what is searched anew from the log: the search index, and the catalogue that search falls back to.

        ``replayed`` is how many of the events that were asked for there are. An index is built whole: with those
        events all others are replayed, too, and none at all where there are no such events. ``dryRun`` only counts.
        Searches go on meanwhile.
        """
        asked = await optional_body(request, ReplayBody)
        asked.require_order()
        kinds = asked.types or tuple(Announcement)
        replayed = await announcements_between(backend.read.reads, kinds, asked.since, asked.until)
        idle = asked.dry_run or (asked.restricted and not replayed)
        generations = backend.read.generations
        served = {status.name for status in await generations.list_projections()}
        names = (
            []
            if idle
            else [name for name in ("product_search", "products", "search_words") if name in served]
        )

        def started(numbers: list[int]) -> Mapping[str, Any]:
            requests = [
                request_body("rebuild", name, number) for name, number in zip(names, numbers, strict=True)
            ]
            return {
                "message": "Nothing was replayed" if idle else "Search index replay started",
                "replayed": replayed,
                "dryRun": asked.dry_run,
                "requests": requests,
            }

        ask = partial(generations.request_replay, names, actor=actor_of(request))
        return await asked_for(request, backend, ask, started)
