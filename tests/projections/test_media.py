"""The list of uploads: events in, rows out, the same after a rebuild, and nothing of who was erased."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from msgspec.structs import replace

from domain.accounts.events import AccountErased
from domain.kernel import AccountId, Event, MediaId, stream_id
from domain.media.media import SENT_WITHIN, USED_WITHIN, Media
from projections.media.projector import MEDIA_LIST
from projections.media.query import media_body, media_by_id, media_due, open_uploads
from tests.domain.builders import NOW
from tests.domain.test_media import (
    ATTACHED,
    DELETED,
    DETACHED,
    FAILED,
    KEY,
    LATER,
    MEDIA_ID,
    OWNER,
    PROCESSED,
    REQUESTED,
    UPLOADED,
    after,
)
from tests.projections.test_forgetting import Shown, showing

SOMEBODY = AccountId(stream_id("account", 7))
SECOND, THEIRS = (MediaId(stream_id("media", number)) for number in (2, 3))


@pytest.fixture
async def shown(database_url: str) -> AsyncIterator[Shown]:
    async with showing(database_url, MEDIA_LIST) as shown:
        yield shown


async def record(shown: Shown, *events: Any) -> None:
    def stream_of(event: Any) -> UUID:
        return event.account_id if isinstance(event, AccountErased) else event.media_id

    recorded: list[tuple[UUID, Event]] = [(stream_of(event), event) for event in events]
    await shown.stand.shop.record(recorded)
    await shown.caught_up()


async def found(shown: Shown, media_id: UUID = MEDIA_ID) -> Media | None:
    return await media_by_id(shown.reads, media_id)


async def due(shown: Shown, at: Any) -> list[UUID]:
    return await media_due(shown.reads, at, 10)


async def test_an_upload_is_what_its_events_say(shown: Shown) -> None:
    history: list[Any] = [REQUESTED]
    await record(shown, REQUESTED)
    for event in (UPLOADED, PROCESSED, ATTACHED, DETACHED):
        history.append(event)
        await record(shown, event)
        assert await found(shown) == after(*history[1:])
    assert (await shown.rebuilt(MEDIA_LIST)).startswith("equal to generation 1")


async def test_one_that_is_gone_is_not_listed(shown: Shown) -> None:
    await record(shown, REQUESTED, UPLOADED, DELETED)
    assert await found(shown) is None
    assert await open_uploads(shown.reads, OWNER, 60) == 0


async def test_those_are_due_that_nothing_uses(shown: Shown) -> None:
    second = replace(REQUESTED, media_id=SECOND)
    await record(shown, REQUESTED, UPLOADED, second)
    assert await due(shown, NOW + SENT_WITHIN - timedelta(seconds=1)) == []
    assert await due(shown, NOW + SENT_WITHIN) == [SECOND]
    assert await due(shown, LATER + USED_WITHIN) == [SECOND, MEDIA_ID]
    await record(shown, ATTACHED)
    assert await due(shown, LATER + USED_WITHIN) == [SECOND]
    await record(shown, DETACHED)
    assert await due(shown, LATER + USED_WITHIN) == [SECOND]
    assert await due(shown, DETACHED.detached_at + USED_WITHIN) == [SECOND, MEDIA_ID]


async def test_open_uploads_are_counted_for_each_and_no_further_than_asked(shown: Shown) -> None:
    await record(
        shown,
        REQUESTED,
        replace(REQUESTED, media_id=SECOND),
        replace(REQUESTED, media_id=THEIRS, owner_id=SOMEBODY),
    )
    assert [await open_uploads(shown.reads, OWNER, most) for most in (1, 2, 60)] == [1, 2, 2]
    assert await open_uploads(shown.reads, SOMEBODY, 60) == 1
    await record(shown, UPLOADED, ATTACHED)
    assert await open_uploads(shown.reads, OWNER, 60) == 1


async def test_somebody_who_is_erased_has_uploaded_nothing(shown: Shown) -> None:
    theirs = replace(REQUESTED, media_id=THEIRS, owner_id=SOMEBODY, key="theirs")
    await record(shown, REQUESTED, UPLOADED, theirs, AccountErased(account_id=OWNER, erased_at=NOW))
    assert await found(shown) is None
    # What was being worked on then.
    await record(shown, PROCESSED)
    assert await found(shown) is None
    assert (await found(shown, THEIRS)) is not None
    await shown.has_forgotten(str(MEDIA_ID))
    assert (await shown.rebuilt(MEDIA_LIST)).startswith("equal to generation 1")


async def test_both_questions_use_an_index(shown: Shown) -> None:
    await record(shown, REQUESTED)
    await shown.rebuilt(MEDIA_LIST)
    async with shown.stand.pool.connection() as connection:
        await connection.execute("SET enable_seqscan = off")
        for statement in (
            "SELECT key FROM media WHERE due_at <= now() ORDER BY due_at LIMIT 500",
            f"SELECT 1 FROM media WHERE owner_id = '{OWNER}' AND due_at IS NOT NULL LIMIT 60",
        ):
            rows = await (await connection.execute(f"EXPLAIN {statement}".encode())).fetchall()
            assert "Index" in " ".join(line for (line,) in rows)


class TestTheBody:
    def test_tells_where_the_picture_will_be(self) -> None:
        body = media_body(after(UPLOADED), lambda key: f"https://cdn/{key}")
        assert body == {
            "id": str(MEDIA_ID),
            "key": KEY,
            "mimeType": "image/jpeg",
            "sizeBytes": 1000,
            "width": 40,
            "height": 30,
            "url": f"https://cdn/media/{OWNER}/{MEDIA_ID}/full.webp",
            "thumbnailUrl": f"https://cdn/media/{OWNER}/{MEDIA_ID}/thumbnail.webp",
            "status": "processing",
            "purpose": "product",
            "reason": "",
            "variants": [],
            "attached": False,
            "createdAt": "2026-11-21T12:00:00.000Z",
        }

    def test_tells_where_it_is(self) -> None:
        body = media_body(after(UPLOADED, PROCESSED, ATTACHED), str)
        assert (body["width"], body["height"], body["status"]) == (4000, 3000, "ready")
        assert body["url"] == PROCESSED.variants[-1].key
        assert body["attached"]
        assert body["variants"][0] == {
            "name": "thumbnail",
            "url": PROCESSED.variants[0].key,
            "mimeType": "image/webp",
            "sizeBytes": 256,
            "width": 256,
            "height": 256,
        }

    def test_tells_why_there_is_none(self) -> None:
        body = media_body(after(UPLOADED, FAILED), str)
        assert (body["status"], body["reason"], body["url"]) == ("failed", FAILED.reason, "")
