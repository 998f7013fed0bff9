"""An uploaded file, from its announcement on."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from msgspec.structs import replace

from domain.accounts.events import Caller
from domain.illustrating import attach, attachable, detach, withdraw
from domain.kernel import AccountId, ForbiddenError, InvalidInputError, MediaId, stream_id
from domain.listings.events import ListingMediaAttached, ListingMediaDetached
from domain.listings.listing import MOST_MEDIA, TooManyMediaError
from domain.media.events import (
    MediaAttached,
    MediaDeleted,
    MediaDetached,
    MediaEvent,
    MediaExpired,
    MediaProcessed,
    MediaProcessingFailed,
    MediaPurpose,
    MediaUploaded,
    MediaUploadRequested,
    Variant,
)
from domain.media.media import (
    MEDIA,
    SENT_WITHIN,
    TYPES,
    USED_WITHIN,
    Media,
    MediaAlreadyCompletedError,
    MediaInUseError,
    MediaNotFoundError,
    MediaNotUsableError,
    MediaStatus,
    SentFile,
)
from tests.domain.builders import ADMIN, BUYER, NOW, a_listing, listing_id

MEDIA_ID = MediaId(UUID("6b3d6c7e-2f43-4f0a-9d52-3a7a40a5d9b1"))
OWNER = BUYER.account_id
KEY = f"uploads/{OWNER}/{MEDIA_ID}"
MOST = 5_242_880
REQUESTED = MediaUploadRequested(
    media_id=MEDIA_ID, owner_id=OWNER, key=KEY, mime_type="image/jpeg", size=1000, requested_at=NOW
)
SENT = SentFile(mime_type="image/jpeg", size=1000, kind="image/jpeg", checksum="abc")
LATER = NOW + timedelta(hours=1)
UPLOADED = MediaUploaded(
    media_id=MEDIA_ID,
    owner_id=OWNER,
    key=KEY,
    mime_type="image/jpeg",
    size=1000,
    checksum="abc",
    width=40,
    height=30,
    uploaded_at=LATER,
)
VARIANTS = tuple(
    Variant(
        name=name,
        key=f"media/{OWNER}/{MEDIA_ID}/{name}.webp",
        mime_type="image/webp",
        width=side,
        height=side,
        size=side,
    )
    for name, side in (("thumbnail", 256), ("full", 2048))
)
PROCESSED = MediaProcessed(media_id=MEDIA_ID, owner_id=OWNER, width=4000, height=3000, variants=VARIANTS)
FAILED = MediaProcessingFailed(media_id=MEDIA_ID, owner_id=OWNER, reason="Must be a whole JPEG image")
ATTACHED = MediaAttached(media_id=MEDIA_ID, owner_id=OWNER, listing_id=listing_id(1))
DETACHED = MediaDetached(
    media_id=MEDIA_ID, owner_id=OWNER, listing_id=listing_id(1), detached_at=NOW + timedelta(days=30)
)
DELETED = MediaDeleted(media_id=MEDIA_ID, owner_id=OWNER)
EXPIRED = MediaExpired(media_id=MEDIA_ID, owner_id=OWNER)
SOMEBODY = Caller(account_id=AccountId(stream_id("account", 9)), number=9)


def after(*events: MediaEvent) -> Media:
    return MEDIA.after(None, [REQUESTED, *events])


def another(number: int, *events: MediaEvent) -> Media:
    """A file of the same owner's, as far as ``events`` of the first one would have brought it."""
    return replace(after(*events), id=MediaId(stream_id("media", number)))


def requested(**changed: Any) -> list[MediaEvent]:
    given = {"mime_type": "image/jpeg", "size": 1000, "purpose": MediaPurpose.PRODUCT, **changed}
    return Media.request(MEDIA_ID, OWNER, most=MOST, at=NOW, **given)


class TestAnnouncing:
    @pytest.mark.parametrize("purpose", MediaPurpose)
    def test_is_of_what_the_purpose_allows(self, purpose: MediaPurpose) -> None:
        for mime_type in TYPES[purpose]:
            assert requested(purpose=purpose, mime_type=mime_type) == [
                replace(REQUESTED, purpose=purpose, mime_type=mime_type)
            ]

    @pytest.mark.parametrize(
        ("changed", "fields"),
        [
            ({"mime_type": "image/gif"}, {"mimeType"}),
            ({"mime_type": "image/heic", "purpose": MediaPurpose.AVATAR}, {"mimeType"}),
            ({"size": 0}, {"sizeBytes"}),
            ({"size": MOST + 1}, {"sizeBytes"}),
            ({"mime_type": "text/html", "size": -1}, {"mimeType", "sizeBytes"}),
        ],
    )
    def test_of_anything_else_is_refused(self, changed: dict[str, Any], fields: set[str]) -> None:
        with pytest.raises(InvalidInputError) as refused:
            requested(**changed)
        assert set(refused.value.details) == fields


class TestCompleting:
    def test_takes_what_was_announced(self) -> None:
        assert after().complete(SENT, width=40, height=30, at=LATER) == [UPLOADED]
        assert after(UPLOADED).status is MediaStatus.PROCESSING

    @pytest.mark.parametrize(
        ("sent", "field"),
        [
            ({"size": 999}, "sizeBytes"),
            ({"size": 5000}, "sizeBytes"),
            ({"mime_type": "image/png"}, "mimeType"),
            ({"kind": "image/png"}, "mimeType"),
            ({"kind": ""}, "mimeType"),
        ],
    )
    def test_takes_nothing_else(self, sent: dict[str, Any], field: str) -> None:
        with pytest.raises(InvalidInputError) as refused:
            after().complete(replace(SENT, **sent), width=0, height=0, at=LATER)
        assert set(refused.value.details) == {field}

    @pytest.mark.parametrize("events", [[UPLOADED], [UPLOADED, PROCESSED], [UPLOADED, FAILED]])
    def test_is_done_once(self, events: list[MediaEvent]) -> None:
        with pytest.raises(MediaAlreadyCompletedError):
            after(*events).complete(SENT, width=0, height=0, at=LATER)


class TestProcessing:
    def test_tells_what_can_be_shown(self) -> None:
        media = after(UPLOADED)
        assert media.main_key == f"media/{OWNER}/{MEDIA_ID}/full.webp"
        assert media.process(width=4000, height=3000, variants=VARIANTS) == [PROCESSED]
        ready = after(UPLOADED, PROCESSED)
        assert (ready.status, ready.width, ready.height) == (MediaStatus.READY, 4000, 3000)
        assert (ready.main_key, ready.thumbnail_key) == (VARIANTS[1].key, VARIANTS[0].key)

    @pytest.mark.parametrize("events", [[], [UPLOADED, PROCESSED], [UPLOADED, FAILED], [UPLOADED, DELETED]])
    def test_again_changes_nothing(self, events: list[MediaEvent]) -> None:
        assert after(*events).process(width=1, height=1, variants=VARIANTS) == []
        assert after(*events).fail("broken") == []

    def test_of_what_is_no_picture_says_why(self) -> None:
        assert after(UPLOADED).fail(FAILED.reason) == [FAILED]
        assert (after(UPLOADED, FAILED).status, after(UPLOADED, FAILED).reason) == (
            MediaStatus.FAILED,
            FAILED.reason,
        )


class TestAttaching:
    @pytest.mark.parametrize("events", [[UPLOADED], [UPLOADED, PROCESSED], [UPLOADED, ATTACHED, DETACHED]])
    def test_what_was_sent_is_shown(self, events: list[MediaEvent]) -> None:
        media = after(*events)
        decided = attach(a_listing(), [media], BUYER)
        assert decided.media_events == [[ATTACHED]]
        assert decided.listing_events == [
            ListingMediaAttached(listing_id=listing_id(1), media=media.for_listing, index=0)
        ]
        assert decided.listing.media == (media.for_listing,)

    def test_stands_behind_the_others_or_where_it_is_wanted(self) -> None:
        first, second, third = (another(number, UPLOADED) for number in range(3))
        listing = attach(a_listing(), [first, second], BUYER).listing
        assert [shown.media_id for shown in attach(listing, [third], BUYER).listing.media] == [
            first.id,
            second.id,
            third.id,
        ]
        assert [shown.media_id for shown in attach(listing, [third], BUYER, index=1).listing.media] == [
            first.id,
            third.id,
            second.id,
        ]

    def test_again_changes_nothing(self) -> None:
        media = after(UPLOADED)
        listing = attach(a_listing(), [media], BUYER).listing
        again = attach(listing, [after(UPLOADED, ATTACHED)], BUYER)
        assert (again.listing_events, again.media_events) == ([], [[]])
        twice = attach(a_listing(), [media, media], BUYER)
        assert (len(twice.listing_events), twice.media_events) == (1, [[ATTACHED], []])

    def test_is_for_one_listing_only(self) -> None:
        with pytest.raises(MediaInUseError):
            attach(a_listing(number=2), [after(UPLOADED, ATTACHED)], BUYER)

    def test_has_an_end(self) -> None:
        many = [another(number, UPLOADED) for number in range(MOST_MEDIA + 1)]
        assert len(attach(a_listing(), many[:-1], BUYER).listing.media) == MOST_MEDIA
        with pytest.raises(TooManyMediaError):
            attach(a_listing(), many, BUYER)

    @pytest.mark.parametrize("caller", [SOMEBODY, ADMIN])
    def test_is_for_its_owner(self, caller: Caller) -> None:
        with pytest.raises(ForbiddenError):
            attachable(after(UPLOADED), caller)

    @pytest.mark.parametrize("media", [None, after(EXPIRED), after(UPLOADED, DELETED)])
    def test_of_what_is_not_there_is_not_possible(self, media: Media | None) -> None:
        with pytest.raises(MediaNotFoundError):
            attachable(media, BUYER)

    @pytest.mark.parametrize(
        ("media", "fault"),
        [
            (after(), "has not been completed"),
            (after(UPLOADED, FAILED), f"cannot be shown: {FAILED.reason}"),
            (replace(after(UPLOADED), purpose=MediaPurpose.AVATAR), "was sent for another purpose: avatar"),
        ],
    )
    def test_of_what_cannot_be_shown_is_refused(self, media: Media, fault: str) -> None:
        with pytest.raises(MediaNotUsableError) as refused:
            attachable(media, BUYER)
        assert refused.value.details == {"mediaIds": [f"{MEDIA_ID} {fault}"]}


class TestDetaching:
    def test_frees_it_for_others(self) -> None:
        listing = attach(a_listing(), [after(UPLOADED)], BUYER).listing
        decided = detach(listing, MEDIA_ID, after(UPLOADED, ATTACHED), DETACHED.detached_at)
        assert decided.listing_events == [ListingMediaDetached(listing_id=listing_id(1), media_id=MEDIA_ID)]
        assert decided.media_events == [[DETACHED]]
        assert decided.listing.media == ()

    def test_of_what_it_does_not_show_is_refused(self) -> None:
        with pytest.raises(MediaNotFoundError):
            detach(a_listing(), MEDIA_ID, after(UPLOADED), NOW)

    def test_happens_to_what_turns_out_to_be_no_picture(self) -> None:
        shown = after(UPLOADED, ATTACHED)
        listing = attach(a_listing(), [after(UPLOADED)], BUYER).listing
        listing_events, events = withdraw(listing, shown, FAILED.reason, DETACHED.detached_at)
        assert listing_events == [ListingMediaDetached(listing_id=listing_id(1), media_id=MEDIA_ID)]
        assert events == [FAILED, DETACHED]
        assert withdraw(None, after(UPLOADED), FAILED.reason, NOW) == ([], [FAILED])
        assert withdraw(listing, after(UPLOADED, PROCESSED), FAILED.reason, NOW) == ([], [])


class TestGoing:
    def test_what_is_never_sent_goes_after_a_day(self) -> None:
        assert after().expire(NOW + SENT_WITHIN - timedelta(seconds=1)) == []
        assert after().expire(NOW + SENT_WITHIN) == [EXPIRED]

    @pytest.mark.parametrize("events", [[UPLOADED], [UPLOADED, PROCESSED], [UPLOADED, FAILED]])
    def test_what_is_never_used_goes_after_a_week(self, events: list[MediaEvent]) -> None:
        assert after(*events).expire(LATER + USED_WITHIN - timedelta(seconds=1)) == []
        assert after(*events).expire(LATER + USED_WITHIN) == [EXPIRED]

    def test_what_is_used_stays_and_goes_a_week_after_that(self) -> None:
        assert after(UPLOADED, PROCESSED, ATTACHED).expire(NOW + timedelta(days=365)) == []
        left = after(UPLOADED, PROCESSED, ATTACHED, DETACHED)
        assert left.expire(DETACHED.detached_at + USED_WITHIN - timedelta(seconds=1)) == []
        assert left.expire(DETACHED.detached_at + USED_WITHIN) == [EXPIRED]

    def test_is_for_its_owner_to_ask_for_while_nothing_shows_it(self) -> None:
        assert after(UPLOADED).delete() == [DELETED]
        assert after(UPLOADED, DELETED).delete() == []
        assert after(UPLOADED, DELETED).expire(NOW + timedelta(days=365)) == []
        with pytest.raises(MediaInUseError):
            after(UPLOADED, ATTACHED).delete()

    def test_does_not_ask_what_shows_it_when_its_owner_is_erased(self) -> None:
        assert after(UPLOADED, ATTACHED).forget() == [DELETED]
        assert after(UPLOADED, DELETED).forget() == []
