"""Uploading, processing, showing and clearing away files, on a log and with files in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from application.accounts.avatars import ChangeAvatar
from application.accounts.standing import EraseAccount, RequestDeletion
from application.errors import ConcurrentChangeError, InvalidImageError, StorageUnavailableError
from application.listings.creating import CreateListing
from application.media.attaching import AttachMedia, DetachMedia, ReorderMedia
from application.media.expiring import ExpireMedia
from application.media.kinds import kind_of
from application.media.uploading import CompleteUpload, DeleteMedia, RequestUpload
from application.ports import AlreadyAnsweredError, Answer, Metadata, Once, Renditions
from domain.accounts.account import GRACE
from domain.accounts.events import Caller, Role
from domain.kernel import ForbiddenError, InvalidInputError, ListingId, MediaId
from domain.listings.events import ListingMediaAttached, ListingMediaDetached, ListingMediaReordered
from domain.listings.listing import Listing, ProductNotFoundError
from domain.media.events import (
    MediaAttached,
    MediaDeleted,
    MediaDetached,
    MediaExpired,
    MediaProcessed,
    MediaProcessingFailed,
    MediaUploaded,
)
from domain.media.media import (
    MEDIA,
    SENT_WITHIN,
    USED_WITHIN,
    Media,
    MediaAlreadyCompletedError,
    MediaInUseError,
    MediaNotFoundError,
    MediaStatus,
)
from domain.money import Money
from domain.sellers.events import seller_of
from tests.application.shop import METADATA, NO_PICTURE, PlainImages, Shop
from tests.application.test_images import an_image
from tests.workers.test_reactor import MemoryPlaces
from workers.reactor import REACTIONS, Reaction, Reactor

JPEG = an_image("JPEG")
NAMES = ("thumbnail", "small", "large", "full")


def reaction(name: str) -> Reaction:
    (found,) = (each for each in REACTIONS if each.name == name)
    return found


PROCESSING, DROPPING = reaction("process-media"), reaction("drop-media-files")


class Studio:
    """A shop with people who upload pictures, and somebody who works on them when asked to."""

    def __init__(self) -> None:
        self.shop = Shop()
        self.places = MemoryPlaces()
        self.reactor = Reactor(self.shop.log, self.places, self.shop.bus, self.shop.clock)

    async def announced(
        self, caller: Caller, *, size: int = len(JPEG), mime_type: str = "image/jpeg"
    ) -> Media:
        command = RequestUpload(
            media_id=MediaId(uuid4()), account_id=caller.account_id, mime_type=mime_type, size=size
        )
        media: Media = (await self.shop.handle(command)).state
        return media

    async def sent(self, caller: Caller, content: bytes = JPEG) -> Media:
        media = await self.announced(caller, size=len(content))
        await self.shop.objects.put(media.key, content, content_type="image/jpeg")
        return media

    async def uploaded(self, caller: Caller) -> Media:
        media = await self.sent(caller)
        await self.complete(media)
        return await self.now(media)

    async def complete(self, media: Media, metadata: Metadata = METADATA, **changed: Any) -> Any:
        given = {"media_id": media.id, "account_id": media.owner_id, "key": media.key, **changed}
        return await self.shop.handle(CompleteUpload(**given), metadata)

    async def process(self) -> None:
        while await self.reactor.catch_up(PROCESSING):
            pass

    async def drop(self) -> None:
        while await self.reactor.catch_up(DROPPING):
            pass

    async def now(self, media: Media) -> Media:
        now: Media = await self.shop.now(MEDIA, media.id)
        return now

    async def offered(self, caller: Caller, title: str = "Lamp") -> Listing:
        await self.shop.listing(title=f"Before {title}")  # there are categories now
        command = CreateListing(
            seller_id=seller_of(caller.account_id),
            title=title,
            description="Worth having.",
            price=Money(1000),
            category="things",
        )
        listing: Listing = (await self.shop.handle(command)).state
        return listing

    def below(self, media: Media) -> dict[str, bytes]:
        files = self.shop.objects.files
        return {key.rpartition("/")[2]: file for key, file in files.items() if str(media.id) in key}


@pytest.fixture
def studio() -> Studio:
    return Studio()


@pytest.fixture
async def emily(studio: Studio) -> Caller:
    return await studio.shop.buyer()


@pytest.fixture
async def other(studio: Studio) -> Caller:
    return await studio.shop.buyer("other")


def once(key: str) -> Metadata:
    wanted = Once(
        scope="tests", key=key, request_hash=b"same", answer=lambda _: Answer(status=200, body=b"done")
    )
    return Metadata(actor="test", once=wanted)


class TestCompleting:
    async def test_records_what_was_found(self, studio: Studio, emily: Caller) -> None:
        media = await studio.sent(emily)
        head = await studio.shop.log.head()
        await studio.complete(media, width=60, height=40)
        (event,) = await studio.shop.events_after(head)
        assert isinstance(event, MediaUploaded)
        assert (event.key, event.mime_type, event.size) == (media.key, "image/jpeg", len(JPEG))
        assert (event.width, event.height, len(event.checksum)) == (60, 40, 64)

    async def test_is_for_who_announced_it(self, studio: Studio, emily: Caller, other: Caller) -> None:
        media = await studio.sent(emily)
        head = await studio.shop.log.head()
        with pytest.raises(ForbiddenError):
            await studio.complete(media, account_id=other.account_id)
        for changed in ({"media_id": MediaId(uuid4())}, {"key": f"uploads/{emily.account_id}/{uuid4()}"}):
            with pytest.raises(MediaNotFoundError):
                await studio.complete(media, **changed)
        assert await studio.shop.log.head() == head

    async def test_of_nothing_is_refused(self, studio: Studio, emily: Caller) -> None:
        media = await studio.announced(emily)
        with pytest.raises(InvalidInputError) as refused:
            await studio.complete(media)
        assert set(refused.value.details) == {"key"}

    async def test_twice_is_refused_and_repeated_is_answered_alike(
        self, studio: Studio, emily: Caller
    ) -> None:
        media = await studio.sent(emily)
        await studio.complete(media, once("a"))
        head = await studio.shop.log.head()
        with pytest.raises(AlreadyAnsweredError) as before:
            await studio.complete(media, once("a"))
        assert before.value.answer.body == b"done"
        with pytest.raises(MediaAlreadyCompletedError):
            await studio.complete(media)
        assert await studio.shop.log.head() == head


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (an_image("JPEG"), "image/jpeg"),
        (an_image("PNG"), "image/png"),
        (an_image("WEBP"), "image/webp"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "image/heic"),
        (b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic", "image/heic"),
        (b"\0\0\0\x18ftypavif\0\0\0\0mif1avif", ""),
        (b"\0\0\0\x18ftypisom\0\0\0\0", ""),
        (an_image("GIF"), ""),
        (b"RIFF\0\0\0\0WAVE", ""),
        (b"<svg", ""),
        (b"", ""),
    ],
)
def test_the_first_bytes_tell_what_it_is(content: bytes, kind: str) -> None:
    assert kind_of(content[:32]) == kind


class TestProcessing:
    async def test_leaves_the_pictures_and_not_what_was_sent(self, studio: Studio, emily: Caller) -> None:
        media = await studio.uploaded(emily)
        head = await studio.shop.log.head()
        await studio.process()
        (event,) = await studio.shop.events_after(head)
        assert isinstance(event, MediaProcessed)
        assert (event.width, event.height) == (4000, 3000)
        assert [variant.name for variant in event.variants] == list(NAMES)
        assert studio.below(media) == {f"{name}.webp": name.encode() + b" of " + JPEG for name in NAMES}
        assert (await studio.now(media)).status is MediaStatus.READY

    async def test_of_no_picture_leaves_the_reason(self, studio: Studio, emily: Caller) -> None:
        media = await studio.sent(emily, b"\xff\xd8\xff looks like one")
        studio.shop.objects.files[media.key] = NO_PICTURE
        await studio.shop.store.change(MEDIA, media.id, lambda _: [_uploaded(media)], METADATA)
        await studio.process()
        now = await studio.now(media)
        assert (now.status, now.reason) == (MediaStatus.FAILED, "Must be a picture")
        assert studio.below(media) == {}

    async def test_of_a_file_that_is_gone_says_so(self, studio: Studio, emily: Caller) -> None:
        media = await studio.uploaded(emily)
        studio.shop.objects.files.clear()
        await studio.process()
        assert (await studio.now(media)).reason == "The file is gone"

    @pytest.mark.parametrize("step", range(7))
    async def test_that_dies_anywhere_comes_to_the_same(
        self, studio: Studio, emily: Caller, step: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Four pictures are put, one event is recorded, one file deleted; and the place moves."""
        media = await studio.uploaded(emily)
        steps = 0

        def dying(method: Any) -> Any:
            async def work(*arguments: Any, **options: Any) -> Any:
                nonlocal steps
                steps += 1
                if steps > step:
                    raise KeyboardInterrupt
                return await method(*arguments, **options)

            return work

        shop = studio.shop
        with monkeypatch.context() as patched:
            patched.setattr(shop.objects, "put", dying(shop.objects.put))
            patched.setattr(shop.objects, "delete_prefix", dying(shop.objects.delete_prefix))
            patched.setattr(shop.log, "append", dying(shop.log.append))
            patched.setattr(studio.places, "move", dying(studio.places.move))
            with pytest.raises(KeyboardInterrupt):
                await studio.process()
        await studio.process()
        assert studio.below(media) == {f"{name}.webp": name.encode() + b" of " + JPEG for name in NAMES}
        events = [each for each in await shop.events_after(0) if isinstance(each, MediaProcessed)]
        assert len(events) == 1

    async def test_waits_for_a_store_that_is_away(
        self, studio: Studio, emily: Caller, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def away(*_: object, **__: object) -> None:
            raise StorageUnavailableError("away")

        media = await studio.uploaded(emily)
        with monkeypatch.context() as patched:
            patched.setattr(studio.shop.objects, "put", away)
            with pytest.raises(StorageUnavailableError):
                await studio.process()
        assert (await studio.now(media)).status is MediaStatus.PROCESSING
        await studio.process()
        assert (await studio.now(media)).status is MediaStatus.READY

    async def test_of_somebody_who_is_erased_meanwhile_leaves_nothing(
        self, studio: Studio, emily: Caller, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        shop = studio.shop
        media = await studio.uploaded(emily)
        await shop.handle(RequestDeletion(account_id=emily.account_id, password="Secret123"))
        shop.clock.at += GRACE
        await _meanwhile(studio, monkeypatch, EraseAccount(account_id=emily.account_id))
        await studio.process()
        assert studio.below(media) == {}
        assert (await studio.now(media)).gone

    async def test_of_what_is_deleted_meanwhile_leaves_nothing(
        self, studio: Studio, emily: Caller, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        media = await studio.uploaded(emily)
        await _meanwhile(studio, monkeypatch, DeleteMedia(media_id=media.id, account_id=emily.account_id))
        await studio.drop()
        await studio.process()
        assert studio.below(media) == {}
        assert (await studio.now(media)).variants == ()

    async def test_that_takes_long_keeps_nothing_else_waiting(
        self, studio: Studio, emily: Caller, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        working, finish = asyncio.Event(), asyncio.Event()
        draw = PlainImages.renditions

        async def slowly(
            self: PlainImages, content: bytes, mime_type: str, sides: Sequence[tuple[str, int]]
        ) -> Renditions:
            working.set()
            await finish.wait()
            return await draw(self, content, mime_type, sides)

        monkeypatch.setattr(PlainImages, "renditions", slowly)
        media = await studio.uploaded(emily)
        unwanted = await studio.uploaded(emily)
        running = asyncio.create_task(studio.reactor.run([PROCESSING, DROPPING]))
        try:
            await asyncio.wait_for(working.wait(), 10)
            await studio.shop.handle(DeleteMedia(media_id=unwanted.id, account_id=emily.account_id))
            head = await studio.shop.log.head()
            async with asyncio.timeout(10):
                while studio.places.positions.get(DROPPING.name, 0) < head:
                    await asyncio.sleep(0)
            assert studio.below(unwanted) == {}
            finish.set()
            async with asyncio.timeout(10):
                while (await studio.now(media)).status is not MediaStatus.READY:
                    await asyncio.sleep(0)
        finally:
            running.cancel()
            await asyncio.wait([running])


def _uploaded(media: Media) -> MediaUploaded:
    return MediaUploaded(
        media_id=media.id,
        owner_id=media.owner_id,
        key=media.key,
        mime_type=media.mime_type,
        size=media.size,
        uploaded_at=media.requested_at,
    )


async def _meanwhile(studio: Studio, monkeypatch: pytest.MonkeyPatch, command: object) -> None:
    """Have something else happen while the picture is worked on."""
    draw = PlainImages.renditions

    async def draw_and_lose(
        self: PlainImages, content: bytes, mime_type: str, sides: Sequence[tuple[str, int]]
    ) -> Renditions:
        await studio.shop.handle(command)
        return await draw(self, content, mime_type, sides)

    monkeypatch.setattr(PlainImages, "renditions", draw_and_lose)


class TestShowing:
    async def test_is_one_append_over_listing_and_file(self, studio: Studio, emily: Caller) -> None:
        listing, media = await studio.offered(emily), await studio.uploaded(emily)
        head = await studio.shop.log.head()
        await studio.shop.handle(
            AttachMedia(listing_id=listing.id, caller=emily, media_ids=(media.id,), index=0)
        )
        assert await studio.shop.events_after(head) == [
            ListingMediaAttached(listing_id=listing.id, media=media.for_listing, index=0),
            MediaAttached(media_id=media.id, owner_id=emily.account_id, listing_id=listing.id),
        ]

    async def test_is_for_seller_and_owner_in_one(self, studio: Studio, emily: Caller, other: Caller) -> None:
        theirs, mine = await studio.offered(other, "Theirs"), await studio.offered(emily, "Mine")
        media, stolen = await studio.uploaded(emily), await studio.uploaded(other)
        head = await studio.shop.log.head()
        for listing, file in ((theirs, media), (mine, stolen)):
            with pytest.raises(ForbiddenError):
                await studio.shop.handle(
                    AttachMedia(listing_id=listing.id, caller=emily, media_ids=(file.id,))
                )
        with pytest.raises(MediaNotFoundError):
            await studio.shop.handle(
                AttachMedia(listing_id=mine.id, caller=emily, media_ids=(MediaId(uuid4()),))
            )
        unknown = ListingId(uuid4())
        with pytest.raises(ProductNotFoundError):
            await studio.shop.handle(AttachMedia(listing_id=unknown, caller=emily, media_ids=(media.id,)))
        assert await studio.shop.log.head() == head

    async def test_two_listings_do_not_get_the_same_file(self, studio: Studio, emily: Caller) -> None:
        one, two = await studio.offered(emily, "One"), await studio.offered(emily, "Two")
        media = await studio.uploaded(emily)
        results = await asyncio.gather(
            *(
                studio.shop.handle(AttachMedia(listing_id=each.id, caller=emily, media_ids=(media.id,)))
                for each in (one, two)
            ),
            return_exceptions=True,
        )
        assert sorted(isinstance(result, MediaInUseError) for result in results) == [False, True]

    async def test_can_be_in_another_order(self, studio: Studio, emily: Caller) -> None:
        listing = await studio.offered(emily)
        files = [await studio.uploaded(emily) for _ in range(3)]
        ids = tuple(file.id for file in files)
        await studio.shop.handle(AttachMedia(listing_id=listing.id, caller=emily, media_ids=ids))
        head = await studio.shop.log.head()
        turned = ids[::-1]
        changed = await studio.shop.handle(
            ReorderMedia(listing_id=listing.id, caller=emily, media_ids=turned)
        )
        assert [media.id for media in changed.state.media] == list(turned)
        assert await studio.shop.events_after(head) == [
            ListingMediaReordered(listing_id=listing.id, media_ids=turned)
        ]
        for wrong in (turned[:2], (*turned, MediaId(uuid4())), (turned[0], turned[0], turned[1])):
            with pytest.raises(InvalidInputError):
                await studio.shop.handle(ReorderMedia(listing_id=listing.id, caller=emily, media_ids=wrong))

    async def test_ends_by_the_seller_or_by_an_admin(
        self, studio: Studio, emily: Caller, other: Caller
    ) -> None:
        admin = Caller(account_id=other.account_id, number=other.number, roles=frozenset({Role.ADMIN}))
        listing, media = await studio.offered(emily), await studio.uploaded(emily)
        for caller in (emily, admin):
            await studio.shop.handle(AttachMedia(listing_id=listing.id, caller=emily, media_ids=(media.id,)))
            with pytest.raises(ForbiddenError):
                await studio.shop.handle(DetachMedia(listing_id=listing.id, caller=other, media_id=media.id))
            head = await studio.shop.log.head()
            await studio.shop.handle(DetachMedia(listing_id=listing.id, caller=caller, media_id=media.id))
            assert await studio.shop.events_after(head) == [
                ListingMediaDetached(listing_id=listing.id, media_id=media.id),
                MediaDetached(
                    media_id=media.id,
                    owner_id=emily.account_id,
                    listing_id=listing.id,
                    detached_at=studio.shop.clock.at,
                ),
            ]
            with pytest.raises(MediaNotFoundError):
                await studio.shop.handle(DetachMedia(listing_id=listing.id, caller=caller, media_id=media.id))

    async def test_ends_with_the_news_that_it_is_no_picture(
        self, studio: Studio, emily: Caller, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def refuse(*_: object) -> Renditions:
            raise InvalidImageError({"image": ["Must be a picture"]})

        monkeypatch.setattr(PlainImages, "renditions", refuse)
        listing, media = await studio.offered(emily), await studio.uploaded(emily)
        await studio.shop.handle(AttachMedia(listing_id=listing.id, caller=emily, media_ids=(media.id,)))
        head = await studio.shop.log.head()
        await studio.process()
        told = await studio.shop.events_after(head)
        assert {type(event) for event in told} == {
            MediaProcessingFailed,
            MediaDetached,
            ListingMediaDetached,
        }
        assert (await studio.shop.listing_now(listing)).media == ()

    async def test_that_begins_while_it_is_found_to_be_none_ends_all_the_same(
        self, studio: Studio, emily: Caller, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def refuse(*_: object) -> Renditions:
            raise InvalidImageError({"image": ["Must be a picture"]})

        monkeypatch.setattr(PlainImages, "renditions", refuse)
        listing, media = await studio.offered(emily), await studio.uploaded(emily)
        load, loads = studio.shop.store.load, 0

        async def load_and_lose(decider: Any, stream: Any) -> Any:
            nonlocal loads
            found = await load(decider, stream)
            if decider is MEDIA:
                loads += 1
                if loads == 2:
                    await studio.shop.handle(
                        AttachMedia(listing_id=listing.id, caller=emily, media_ids=(media.id,))
                    )
            return found

        with monkeypatch.context() as patched:
            patched.setattr(studio.shop.store, "load", load_and_lose)
            with pytest.raises(ConcurrentChangeError):
                await studio.process()
        await studio.process()
        assert (await studio.now(media)).status is MediaStatus.FAILED
        assert (await studio.shop.listing_now(listing)).media == ()


class TestGoing:
    async def test_takes_all_files_along(self, studio: Studio, emily: Caller) -> None:
        media, kept = await studio.uploaded(emily), await studio.uploaded(emily)
        await studio.process()
        await studio.shop.handle(DeleteMedia(media_id=media.id, account_id=emily.account_id))
        await studio.drop()
        assert studio.below(media) == {}
        assert len(studio.below(kept)) == 4
        head = await studio.shop.log.head()
        await studio.shop.handle(DeleteMedia(media_id=media.id, account_id=emily.account_id))
        assert await studio.shop.log.head() == head

    async def test_is_not_for_others_to_ask_for(self, studio: Studio, emily: Caller, other: Caller) -> None:
        media = await studio.uploaded(emily)
        with pytest.raises(ForbiddenError):
            await studio.shop.handle(DeleteMedia(media_id=media.id, account_id=other.account_id))
        with pytest.raises(MediaNotFoundError):
            await studio.shop.handle(DeleteMedia(media_id=MediaId(uuid4()), account_id=other.account_id))

    async def test_happens_when_nobody_sends_or_uses_it(self, studio: Studio, emily: Caller) -> None:
        announced, sent = await studio.announced(emily), await studio.sent(emily)
        unused = await studio.uploaded(emily)
        await studio.process()
        head = await studio.shop.log.head()
        for media in (announced, sent, unused):
            await studio.shop.handle(ExpireMedia(media_id=media.id))
        assert await studio.shop.log.head() == head
        studio.shop.clock.at += SENT_WITHIN
        for media in (announced, sent, unused):
            await studio.shop.handle(ExpireMedia(media_id=media.id))
        assert [type(event) for event in await studio.shop.events_after(head)] == [MediaExpired] * 2
        studio.shop.clock.at += USED_WITHIN - SENT_WITHIN
        await studio.shop.handle(ExpireMedia(media_id=unused.id))
        await studio.drop()
        assert studio.shop.objects.files == {}

    async def test_happens_to_everything_of_somebody_who_is_erased(
        self, studio: Studio, emily: Caller, other: Caller
    ) -> None:
        await studio.uploaded(emily)
        kept = await studio.uploaded(other)
        await studio.process()
        await studio.sent(emily)
        await studio.shop.handle(RequestDeletion(account_id=emily.account_id, password="Secret123"))
        studio.shop.clock.at += GRACE + timedelta(seconds=1)
        await studio.shop.handle(EraseAccount(account_id=emily.account_id))
        while await studio.reactor.catch_up(reaction("forget-files")):
            pass
        assert len(studio.below(kept)) == len(studio.shop.objects.files) == 4


class TestAnAvatar:
    async def test_may_be_an_upload_that_has_been_processed(self, studio: Studio, emily: Caller) -> None:
        media = await studio.uploaded(emily)
        await studio.process()
        changed = await studio.shop.handle(ChangeAvatar(account_id=emily.account_id, image=media.key))
        assert studio.shop.objects.files[changed.state.image] == b"full of " + JPEG

    async def test_is_not_made_of_what_is_gone(self, studio: Studio, emily: Caller, other: Caller) -> None:
        media = await studio.uploaded(emily)
        await studio.process()
        await studio.shop.handle(DeleteMedia(media_id=media.id, account_id=emily.account_id))
        await studio.drop()
        for key in (media.key, f"uploads/{emily.account_id}/{uuid4()}", f"uploads/{emily.account_id}/x"):
            with pytest.raises(MediaNotFoundError):
                await studio.shop.handle(ChangeAvatar(account_id=emily.account_id, image=key))
        theirs = await studio.uploaded(other)
        await studio.process()
        # Under a prefix of one's own, with the id of somebody else's.
        stolen = f"uploads/{emily.account_id}/{theirs.id}"
        with pytest.raises(MediaNotFoundError):
            await studio.shop.handle(ChangeAvatar(account_id=emily.account_id, image=stolen))


async def test_a_deletion_that_is_recorded_is_told_once(studio: Studio, emily: Caller) -> None:
    media = await studio.announced(emily)
    head = await studio.shop.log.head()
    await studio.shop.handle(DeleteMedia(media_id=media.id, account_id=emily.account_id))
    assert await studio.shop.events_after(head) == [
        MediaDeleted(media_id=media.id, owner_id=emily.account_id)
    ]
