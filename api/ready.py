"""Answers that are the same for everybody, at hand as ready bytes for as long as nothing has changed that is in them.

What has changed is told by the projector, once a read model shows it: which documents, and whether lists that do not
show them are concerned (``Projection.effects``). So an answer at hand is what the read model would say at the position
that we have heard of, and no event has to be understood here. The messages are a chain: each begins where the one
before ended. Whoever hears one that does not begin there has missed something and lets everything go; that no message
came although the table has moved is noticed within ``MISSED_AFTER`` of looking. While we are not told, nothing is held.

S2 §12.2 says how long an answer may be held at most.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Collection, Iterable, Sequence
from hashlib import blake2b
from time import perf_counter
from typing import Any, Final
from uuid import UUID

import msgspec
from litestar.connection import ASGIConnection

from api.input import is_understood
from projections.generations import Moved
from projections.products.effects import IN_STOCK, LISTED, RATED

Connection = ASGIConnection[Any, Any, Any, Any]
Header = tuple[bytes, bytes]
Key = tuple[str, bytes, bool]
"""Path, query in the order of its names, and whether the keys are in snake_case."""

PRODUCTS_FOR: Final = 300.0
CATEGORIES_FOR: Final = 3600.0
"""Seconds (S2 §12.2)."""

ANY_PRODUCT: Final = frozenset({LISTED, RATED, IN_STOCK})
CATEGORIES: Final = frozenset({"categories"})
COLLECTIONS: Final = frozenset({"collections"})
SELLERS: Final = frozenset({"sellers"})

MISSED_AFTER: Final = 1.0
"""Seconds that a message may take to come once the table shows what it is about."""

MOST_BYTES: Final = 64 * 1024 * 1024
MOST_ANSWERS: Final = 50_000
MOST_REMEMBERED: Final = 20_000
"""Documents of which it is remembered that they have changed while answers were being made."""

_LARGEST_SHARE: Final = 16
"""No answer takes more than one part in so many of the room."""

_LONGEST_QUERY: Final = 512
_BESIDES: Final = 2_700
"""Bytes that an answer takes besides its body, roughly: headers twice, keys, and where it is found."""

_NAMED: Final = ("products", "categories", "collections", "sellers")
"""The read models of which we are told what changes: those with ``Projection.effects``."""

_MODELS: Final = {LISTED: "products", RATED: "products", IN_STOCK: "products"}
_VERSION: Final = re.compile(rb'"(\d+)"')
_ETAG: Final = re.compile(rb'(?:W/)?("[^"]*")')


class Shared(msgspec.Struct, frozen=True, kw_only=True):
    """What an answer depends on, as the controller says that made it; see ``share``."""

    shows: Collection[UUID]
    on: frozenset[str]
    models: frozenset[str]
    seconds: float
    holdable: bool


def share(
    request: Connection,
    *,
    shows: Collection[UUID] = (),
    of: Collection[str] = ("products",),
    on: frozenset[str] = frozenset(),
    seconds: float = PRODUCTS_FOR,
) -> None:
    """Say of the answer to this request that it is everybody's: it gets an ETag, and is held if it is a 200 and may be.

    ``shows`` are the keys of the documents in it, ``of`` their read models. It is let go when one of them changes, or
    when something happens that is named by ``on``: ``LISTED``, ``RATED``, ``IN_STOCK``, ``CATEGORIES``,
    ``COLLECTIONS``, ``SELLERS``. With parameters that mean nothing to the route's ``query`` it is not held: nobody is
    to fill our memory with names of their own.
    """
    models = {_MODELS.get(effect, effect) for effect in on}.union(of if shows else ())
    request.scope["state"]["shared"] = Shared(
        shows=shows,
        on=on,
        models=frozenset(models),
        seconds=seconds,
        holdable=_is_understood(request),
    )


def etag_of(body: bytes, given: bytes = b"") -> bytes:
    """``"7-0f3a…"``: the version of what the answer is about, where one is ``given``, and of its bytes.

    ``If-Match`` heeds the version alone: the answer also changes with what others do, who write a review or buy one.
    """
    version = _VERSION.fullmatch(given)
    digest = blake2b(body, digest_size=8).hexdigest().encode()
    return b'"%b-%b"' % (version[1], digest) if version is not None else b'"h%b"' % digest


def is_among(etag: bytes, given: bytes) -> bool:
    """Whether ``If-None-Match`` names this ETag (RFC 9110 §13.1.2: weakly compared)."""
    return given == etag or given.strip() == b"*" or etag in _ETAG.findall(given)


class Ready:
    """An answer at hand; ``headers`` are all but those that differ from one request to the next."""

    __slots__ = (
        "at",
        "body",
        "etag",
        "headers",
        "is_used",
        "key",
        "lines",
        "models",
        "not_modified",
        "on",
        "position",
        "route",
        "shows",
        "size",
        "until",
    )

    def __init__(
        self,
        key: Key,
        shared: Shared,
        body: bytes,
        *,
        route: str,
        etag: bytes,
        position: int,
        headers: Sequence[Header] = (),
        not_modified: Sequence[Header] = (),
    ) -> None:
        self.key = key
        self.shows = shared.shows
        self.on = shared.on
        self.models: Sequence[_Model] = ()
        self.body = body
        self.route = route
        self.etag = etag
        self.headers = list(headers)
        self.lines = b""
        self.not_modified = list(not_modified)
        self.position = position
        self.at: Header = (b"x-log-position", b"%d" % position)
        # A path is as long as its client likes, and what names nothing there can be an answer as well.
        self.size = len(body) + _BESIDES + 100 * len(shared.shows) + 4 * len(key[0]) + len(key[1])
        self.until = perf_counter() + shared.seconds
        self.is_used = False

    def in_lines(self) -> bytes:
        """The headers as they are sent, joined once for all requests."""
        if not self.lines:
            self.lines = lines_of(self.headers)
        return self.lines


def lines_of(headers: Iterable[Header]) -> bytes:
    """Headers as HTTP/1.1 has them."""
    return b"".join([b"%b: %b\r\n" % header for header in headers])


class _Model:
    """How far we have heard of a read model, and how far it is known to be."""

    __slots__ = ("behind_since", "generation", "heard", "known")

    def __init__(self) -> None:
        self.generation = 0
        self.heard = 0
        self.known = 0
        self.behind_since = 0.0


class ReadyAnswers:
    """Bounded by bytes. What is not asked for again makes room first, so a stranger who asks for everything once
    pushes out what others have asked for once, and not what is wanted all the time.
    """

    def __init__(self, *, most_bytes: int = MOST_BYTES, most_answers: int = MOST_ANSWERS) -> None:
        self._most_bytes = most_bytes
        self._most_answers = most_answers
        self._listening = False
        self._models = {name: _Model() for name in _NAMED}
        self._held: OrderedDict[Key, Ready] = OrderedDict()
        self._showing: dict[UUID, set[Key]] = {}
        self._on: dict[str, set[Key]] = {}
        self._changed: OrderedDict[UUID, int] = OrderedDict()
        self._happened: dict[str, int] = {}
        self._oldest = 0
        self.moment = 0
        """Grows with each change that we hear of: what is read from now on has those before in it."""
        self.bytes = 0
        self.hits = 0
        self.misses = 0
        self.evicted = 0
        self.dropped = 0

    def __len__(self) -> int:
        return len(self._held)

    def follow(self, listening: bool) -> None:
        """From now on we are told what changes; or no more, and then there is nothing to be held."""
        self._listening = listening
        for model in self._models.values():
            model.generation = model.heard = model.known = 0
        self._let_all_go()

    def at(self, key: Key, now: float, wanted: int = 0) -> Ready | None:
        """The answer, if it includes the position ``wanted`` for sure; ``now`` by ``perf_counter``."""
        ready = self._held.get(key)
        if ready is None:
            return None
        for model in ready.models:
            if model.heard < model.known or model.heard < wanted:
                return None
        if now > ready.until:
            self._drop(ready)
            return None
        if wanted > ready.position:
            # Nothing that is in it has changed since.
            ready.position = min(model.heard for model in ready.models)
            ready.at = (b"x-log-position", b"%d" % ready.position)
        ready.is_used = True
        self.hits += 1
        return ready

    def keep(self, ready: Ready, shared: Shared, begun: int) -> bool:
        """``begun`` is the ``moment`` before anything was read for it: what has happened since may not be in there."""
        self.misses += 1
        models = [self._models[name] for name in shared.models]
        if not (self._listening and shared.holdable and ready.position and models) or begun < self._oldest:
            return False
        if not all(model.generation for model in models):
            return False
        if any(self._changed.get(document, 0) > begun for document in shared.shows):
            return False
        if any(self._happened.get(effect, 0) > begun for effect in shared.on):
            return False
        if ready.size > self._most_bytes // _LARGEST_SHARE:
            return False
        before = self._held.get(ready.key)
        if before is not None:
            self._drop(before)
        ready.models = models
        self._held[ready.key] = ready
        self.bytes += ready.size
        for document in ready.shows:
            self._showing.setdefault(document, set()).add(ready.key)
        for effect in ready.on:
            self._on.setdefault(effect, set()).add(ready.key)
        self._make_room()
        return True

    def stands(self, on: Collection[str], *, since: int, wanted: int) -> bool:
        """Whether what was read after the moment ``since``, and depends on these effects alone, is as it was then.

        So it includes the position ``wanted`` for sure.
        """
        if not self._listening or since < self._oldest:
            return False
        models = [self._models[_MODELS.get(effect, effect)] for effect in on]
        if not all(model.generation and model.heard >= max(model.known, wanted) for model in models):
            return False
        return all(self._happened.get(effect, 0) <= since for effect in on)

    # From here on: what we are told.

    def hear(self, moved: Moved) -> None:
        model = self._models.get(moved.name)
        if model is None or not self._listening:
            return
        is_next = moved.generation == model.generation and moved.after <= model.heard
        if not is_next or moved.changed is None:
            self._let_all_go()
            if moved.generation != model.generation:
                model.heard = 0
        elif moved.changed:
            self._let_go(
                moved.changed.keys(), {each for effects in moved.changed.values() for each in effects}
            )
        model.generation = moved.generation
        model.heard = max(model.heard, moved.position)
        model.known = max(model.known, moved.position)

    def find(self, name: str, generation: int, position: int) -> None:
        model = self._models.get(name)
        if model is None or not self._listening:
            return
        if generation != model.generation:
            # What we hear of next begins here or earlier, for it was not said before we asked.
            self._let_all_go()
            model.generation, model.heard = generation, position
        model.known = max(model.known, position)
        if model.heard >= model.known:
            model.behind_since = 0.0
        elif not model.behind_since:
            model.behind_since = perf_counter()
        elif perf_counter() - model.behind_since > MISSED_AFTER:
            self._let_all_go()
            model.heard = model.known
            model.behind_since = 0.0

    def _let_go(self, documents: Collection[UUID], effects: Collection[str]) -> None:
        self.moment += 1
        gone: set[Key] = set()
        for document in documents:
            gone |= self._showing.get(document, _NONE)
            self._changed[document] = self.moment
            self._changed.move_to_end(document)
        for effect in effects:
            gone |= self._on.get(effect, _NONE)
            self._happened[effect] = self.moment
        for key in gone:
            self._drop(self._held[key])
        self.dropped += len(gone)
        while len(self._changed) > MOST_REMEMBERED:
            _, forgotten = self._changed.popitem(last=False)
            self._oldest = max(self._oldest, forgotten)

    def _let_all_go(self) -> None:
        self.moment += 1
        self._oldest = self.moment
        self.dropped += len(self._held)
        self.bytes = 0
        for each in (self._held, self._showing, self._on, self._changed, self._happened):
            each.clear()

    def _make_room(self) -> None:
        while self.bytes > self._most_bytes or len(self._held) > self._most_answers:
            _, oldest = self._held.popitem(last=False)
            if oldest.is_used:
                oldest.is_used = False
                self._held[oldest.key] = oldest
            else:
                self._held[oldest.key] = oldest
                self._drop(oldest)
                self.evicted += 1

    def _drop(self, ready: Ready) -> None:
        del self._held[ready.key]
        self.bytes -= ready.size
        for document in ready.shows:
            self._forget(self._showing, document, ready.key)
        for effect in ready.on:
            self._forget(self._on, effect, ready.key)

    def _forget(self, keys: dict[Any, set[Key]], name: UUID | str, key: Key) -> None:
        found = keys[name]
        found.discard(key)
        if not found:
            del keys[name]


def _is_understood(request: Connection) -> bool:
    query: bytes = request.scope["query_string"]
    asked = request.scope["route_handler"].opt.get("query")
    if not query or asked is None:
        return not query
    return len(query) <= _LONGEST_QUERY and is_understood(query, asked)


_NONE: Final[frozenset[Key]] = frozenset()
