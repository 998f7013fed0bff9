"""Tells everybody who listens what becomes of listings, in the contract's words (C52, contract README decision 10).

On the stream ``PUBLIC`` a listing is created when everybody can find it, deleted when nobody can any more, and updated
in between; a draft is nobody's business. Its place is what the stream itself holds, so what becomes of a listing is
told at least once and in order; a wiped stream is told all of it again. Several updates that come at once, as sales do,
are told as the last of them: all that is told is that something has changed.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any, Final, Protocol, get_args
from uuid import UUID

import msgspec
from nats.aio.client import Client
from nats.js.api import DiscardPolicy, Header, StorageType, StreamConfig
from nats.js.errors import NotFoundError

from application.adapters.appending import History, Wanted
from application.cancelling import obey_cancellation
from application.ports import StoredEvent
from domain.kernel import Event, Recorded, tag_of
from domain.listings.events import ListingEvent
from domain.listings.listing import LISTINGS, Listing
from projections.product_search.announcements import Announcement
from workers.jetstream import DOORBELL
from workers.relay import BATCH, OUTAGES
from workers.waiting import Bell, patient

STREAM: Final = "PUBLIC"
SUBJECT: Final = "public"
REMEMBERED: Final = 20_000
"""Listings whose state is kept, so that the next event of one needs no look at the others."""

_TAGS: Final = frozenset(tag_of(event) for event in get_args(ListingEvent))
_CONFIG: Final = StreamConfig(
    name=STREAM,
    subjects=[f"{SUBJECT}.>"],
    storage=StorageType.FILE,
    discard=DiscardPolicy.OLD,
    max_age=7 * 24 * 60 * 60,
    max_bytes=256 * 1024**2,
    duplicate_window=120,
)


class Log(Protocol):
    async def read(self, after: int, limit: int) -> list[StoredEvent]: ...

    async def decode(self, stored: Sequence[StoredEvent]) -> list[Recorded[Event]]: ...

    async def histories(self, wanted: Sequence[Wanted]) -> list[History]: ...


class ListingNews(msgspec.Struct, frozen=True, kw_only=True):
    """All that is told: who wants to know more asks for the product, as of ``position`` or later."""

    type: Announcement
    id: int
    uuid: UUID
    position: int
    at: datetime


class Announcer:
    def __init__(self, events: Log, client: Client) -> None:
        self._log = events
        self._client = client
        self._stream = client.jetstream()
        self._known: OrderedDict[UUID, tuple[int, Listing]] = OrderedDict()
        self._bell = Bell()
        self._position: int | None = None

    async def run(self) -> None:
        """Until cancelled. Whatever is down is waited for."""
        bell = await self._client.subscribe(DOORBELL, cb=self._bell.hear)
        # A bug in this one is tried again, too; payments and refunds go on in the same process.
        retrying = patient("announcer", OUTAGES, first=0.1, longest=1.0, bugs=True)
        try:
            while True:
                await retrying(self._go_on)
        finally:
            with suppress(*OUTAGES):
                await bell.unsubscribe()

    async def _go_on(self) -> None:
        """Whatever goes wrong, we look again what was told last."""
        obey_cancellation()
        position, self._position = self._position, None
        self._position = await (self._resume() if position is None else self._announce_next(position))

    async def _resume(self) -> int:
        """The position of what was told last."""
        self._known.clear()
        try:
            info = await self._stream.stream_info(STREAM)
        except NotFoundError:
            info = await self._stream.add_stream(_CONFIG)
        try:
            last = await self._stream.get_msg(STREAM, info.state.last_seq) if info.state.messages else None
        except NotFoundError:
            last = None
        return int(last.headers[Header.MSG_ID]) if last is not None and last.headers else 0

    async def _announce_next(self, position: int) -> int:
        self._bell.hush()
        stored = await self._log.read(position, BATCH)
        if not stored:
            await self._bell.wait()
            return position
        recorded = await self._log.decode([event for event in stored if event.tag in _TAGS])
        await self._tell([await self._news_of(each) for each in recorded])
        return stored[-1].position

    async def _tell(self, news: Sequence[ListingNews | None]) -> None:
        """By position, because the last message says from where to go on."""
        told: dict[int, ListingNews] = {}
        last: dict[UUID, ListingNews] = {}
        for each in news:
            if each is None:
                continue
            before = last.get(each.uuid)
            if before is not None and before.type is each.type is Announcement.UPDATED:
                del told[before.position]
            told[each.position] = last[each.uuid] = each
        for position in sorted(told):
            await self._stream.publish(
                f"{SUBJECT}.{told[position].type}",
                msgspec.json.encode(told[position]),
                headers={Header.MSG_ID: str(position)},
            )

    async def _news_of(self, recorded: Recorded[Any]) -> ListingNews | None:
        before = await self._before(recorded)
        after = Listing.evolve(before, recorded.event)
        self._known[recorded.stream] = (recorded.version, after)
        self._known.move_to_end(recorded.stream)
        if len(self._known) > REMEMBERED:
            self._known.popitem(last=False)
        announcement = announcement_of(before, after)
        if announcement is None:
            return None
        return ListingNews(
            type=announcement,
            id=after.number,
            uuid=after.id,
            position=recorded.position,
            at=recorded.timestamp,
        )

    async def _before(self, recorded: Recorded[Any]) -> Listing | None:
        if recorded.version == 1:
            return None
        version, listing = self._known.get(recorded.stream, (0, None))
        if version == recorded.version - 1:
            return listing
        (history,) = await self._log.histories([Wanted(recorded.stream)])
        earlier = [event for event in history.events if event.version < recorded.version]
        return LISTINGS.fold(None, [each.event for each in await self._log.decode(earlier)])  # type: ignore[misc]


def announcement_of(before: Listing | None, after: Listing) -> Announcement | None:
    """What it means to those who can only find what is on sale."""
    was_found = before is not None and before.on_sale
    if after.on_sale:
        return Announcement.UPDATED if was_found else Announcement.CREATED
    return Announcement.DELETED if was_found else None
