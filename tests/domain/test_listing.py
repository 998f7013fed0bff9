"""What can be done with a listing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from msgspec.structs import replace

from domain.accounts.events import Caller
from domain.attributes import Attribute, AttributeType
from domain.kernel import (
    AccountId,
    CategoryId,
    DomainError,
    ForbiddenError,
    InvalidInputError,
    MediaId,
    OrderId,
    stream_id,
)
from domain.listings.events import (
    ListingCategorized,
    ListingDeleted,
    ListingDetailsChanged,
    ListingDiscountChanged,
    ListingEvent,
    ListingExpired,
    ListingFlagged,
    ListingHidden,
    ListingMedia,
    ListingMediaAttached,
    ListingMediaDetached,
    ListingMediaReordered,
    ListingPriceChanged,
    ListingPublished,
    ListingRelocated,
    ListingRemoved,
    ListingRenewed,
    ListingShippingChosen,
    ListingSlugChanged,
    ListingSold,
    ListingStatus,
    ListingUnhidden,
    ListingUnpublished,
    Location,
    Moderation,
    StockAdjusted,
    StockCommitted,
    StockReserved,
)
from domain.listings.listing import (
    LIFETIME,
    LISTINGS,
    MOST_MEDIA,
    InsufficientStockError,
    Listing,
    ListingHiddenError,
    ListingInOrderError,
    ListingNotDeletedError,
    ListingNotHiddenError,
    ListingNotPublishableError,
    ListingSoldError,
    ListingStatusError,
    ProductNotFoundError,
    TooManyMediaError,
    discount_meant,
    expiry_of,
    merged,
    said_of,
)
from domain.media.events import Variant
from domain.money import Money
from domain.sellers.events import SellerKind, seller_of
from tests.domain.builders import ADMIN, BUYER, NOW, ORDER_ID, a_listing, a_listing_created, listing_id

ID = listing_id(1)
SELLER = Caller(account_id=AccountId(stream_id("account", 9)), number=9)
SIZE = Attribute(key="size", label="Size", type=AttributeType.ENUM, options=("S", "M"), required=True)
CATEGORIES = [CategoryId(stream_id("category", number)) for number in range(1, 5)]
SOLD = (
    StockReserved(listing_id=ID, order_id=ORDER_ID, quantity=1),
    StockCommitted(listing_id=ID, order_id=ORDER_ID, quantity=1),
    ListingSold(listing_id=ID, order_id=ORDER_ID),
)


def a_draft(**fields: Any) -> Listing:
    return Listing.evolve(None, a_listing_created(**fields))


def a_picture(number: int) -> ListingMedia:
    key = f"media/9/{media_id(number)}/large.webp"
    variant = Variant(name="large", key=key, mime_type="image/webp", width=9, height=9, size=9)
    return ListingMedia(media_id=media_id(number), mime_type="image/png", size=9, variants=(variant,))


def media_id(number: int) -> MediaId:
    return MediaId(stream_id("media", number))


def illustrated(count: int) -> Listing:
    return a_listing(
        *(
            ListingMediaAttached(listing_id=ID, media=a_picture(number), index=number)
            for number in range(count)
        )
    )


def after(listing: Listing, events: Sequence[ListingEvent]) -> Listing:
    return LISTINGS.after(listing, events)


def reserved(quantity: int) -> StockReserved:
    return StockReserved(listing_id=ID, order_id=ORDER_ID, quantity=quantity)


class TestPublishing:
    def test_a_draft_becomes_active(self) -> None:
        draft = Listing.evolve(None, a_listing_created())
        assert draft.status is ListingStatus.DRAFT
        assert draft.publish() == [ListingPublished(listing_id=ID)]

    def test_publishing_twice_changes_nothing(self) -> None:
        assert a_listing().publish() == []

    def test_what_is_incomplete_is_refused_and_every_gap_named(self) -> None:
        draft = Listing.evolve(None, a_listing_created(images=(), description=""))
        with pytest.raises(ListingNotPublishableError) as refused:
            draft.publish()
        assert set(refused.value.details) == {"images", "description"}

    def test_an_active_one_goes_back_to_draft(self) -> None:
        assert a_listing().unpublish() == [ListingUnpublished(listing_id=ID)]

    def test_one_that_was_sold_stays_what_it_is(self) -> None:
        sold = a_listing(*SOLD, stock=1, unique=True)
        for decide in (sold.publish, sold.unpublish):
            with pytest.raises(ListingSoldError):
                decide()

    def test_what_its_category_asks_for_must_be_there_and_be_right(self) -> None:
        draft = a_draft(attributes={"style": "loud", "shoe": 4})
        with pytest.raises(ListingNotPublishableError) as refused:
            draft.publish(schema=(SIZE,), category_open=False)
        assert refused.value.details == {
            "category": ["Is not active"],
            "attributes.shoe": ["Is not an attribute of this category"],
            "attributes.size": ["Is required"],
        }
        whole = a_draft(attributes={"size": "M", "style": "loud"})
        assert whole.publish(schema=(SIZE,)) == [ListingPublished(listing_id=ID)]

    @pytest.mark.parametrize("pictured", [{"thumbnail": "https://a.example/1"}, {"images": ("https://a",)}])
    def test_any_picture_and_any_description_will_do(self, pictured: dict[str, Any]) -> None:
        bare = {"images": (), "description": "", "description_short": "A lamp", **pictured}
        assert a_draft(**bare).publish() == [ListingPublished(listing_id=ID)]

    def test_an_upload_is_a_picture_too(self) -> None:
        draft = a_draft(images=())
        attached = after(draft, draft.attach_media(a_picture(1)))
        assert attached.publish() == [ListingPublished(listing_id=ID)]


class TestTime:
    """What people offer leaves the catalogue by itself; what a shop offers does not (A25)."""

    def test_is_given_to_people_alone(self) -> None:
        assert expiry_of(SellerKind.PERSONAL, NOW, LIFETIME) == NOW + timedelta(days=60)
        for kind in (SellerKind.HOUSE, SellerKind.SHOP, None):
            assert expiry_of(kind, NOW, LIFETIME) is None

    def test_is_over_when_it_is_over_and_not_before(self) -> None:
        draft = a_draft()
        active = after(draft, draft.publish(expires_at=NOW))
        assert active.expire(NOW - timedelta(microseconds=1)) == []
        assert active.expire(NOW) == [ListingExpired(listing_id=ID)]
        expired = after(active, active.expire(NOW))
        assert expired.status is ListingStatus.EXPIRED
        assert not expired.on_sale
        assert expired.expire(NOW) == []
        assert draft.expire(NOW) == a_listing().expire(NOW) == []

    def test_can_be_had_more_of(self) -> None:
        later = NOW + timedelta(days=60)
        draft = a_draft()
        active = after(draft, draft.publish(expires_at=NOW))
        assert active.renew(later) == [ListingRenewed(listing_id=ID, expires_at=later)]
        assert active.renew(NOW) == []
        renewed = after(active, [*active.expire(NOW), ListingRenewed(listing_id=ID, expires_at=later)])
        assert (renewed.status, renewed.expires_at) == (ListingStatus.ACTIVE, later)

    def test_brings_back_only_what_could_be_published(self) -> None:
        expired = a_listing(ListingExpired(listing_id=ID))
        with pytest.raises(ListingNotPublishableError) as refused:
            expired.renew(None, schema=(SIZE,), category_open=False)
        assert set(refused.value.details) == {"category", "attributes.size"}
        # It is in the catalogue: what has become of its category since does not end it.
        active = a_listing(ListingRenewed(listing_id=ID, expires_at=NOW))
        assert active.renew(None, schema=(SIZE,), category_open=False) == [ListingRenewed(listing_id=ID)]

    def test_is_not_for_what_is_not_in_the_catalogue(self) -> None:
        for listing in (a_draft(), a_listing(*SOLD, stock=1, unique=True)):
            with pytest.raises(ListingStatusError):
                listing.renew(NOW)


class TestModerating:
    def test_what_is_hidden_is_hidden_once_and_shown_again(self) -> None:
        hidden = a_listing(*a_listing().hide("fake"))
        assert (hidden.moderation, hidden.moderation_reason) == (Moderation.HIDDEN, "fake")
        assert not hidden.on_sale
        with pytest.raises(ListingHiddenError):
            hidden.hide("again")
        assert hidden.unhide() == [ListingUnhidden(listing_id=ID)]
        shown = after(hidden, hidden.unhide())
        assert (shown.on_sale, shown.moderation_reason) == (True, "")
        with pytest.raises(ListingNotHiddenError):
            shown.unhide()

    def test_what_is_removed_is_for_admins_alone(self) -> None:
        removed = a_listing(
            ListingRemoved(listing_id=ID, reason="fake"), seller_id=seller_of(SELLER.account_id)
        )
        removed.require_editable_by(ADMIN)
        with pytest.raises(ForbiddenError) as refused:
            removed.require_editable_by(SELLER)
        assert refused.value.details == {"reason": "fake"}
        assert removed.remove("again") == []
        for decide in (removed.unhide, lambda: removed.hide("x")):
            with pytest.raises((ListingHiddenError, ListingNotHiddenError)):
                decide()

    def test_flags_are_all_that_there_are_from_then_on(self) -> None:
        flagged = after(a_listing(), a_listing().flag(("odd",), "look"))
        assert (flagged.flags, flagged.flag_note) == (("odd",), "look")
        assert flagged.flag(("odd",), "look") == []
        assert flagged.flag((), "") == [ListingFlagged(listing_id=ID, flags=())]


class TestDeleting:
    def test_is_soft_and_can_be_taken_back(self) -> None:
        listing = a_listing()
        deleted = after(listing, listing.delete(NOW, "spam"))
        assert (deleted.deleted_at, deleted.status) == (NOW, ListingStatus.ACTIVE)
        assert not deleted.on_sale
        assert deleted.delete(NOW) == []
        assert after(deleted, deleted.restore()) == listing

    def test_leaves_nothing_there_for_anybody_to_edit(self) -> None:
        deleted = a_listing(ListingDeleted(listing_id=ID, deleted_at=NOW))
        for caller in (ADMIN, BUYER):
            with pytest.raises(ProductNotFoundError):
                deleted.require_editable_by(caller)

    def test_waits_for_open_orders(self) -> None:
        with pytest.raises(ListingInOrderError) as refused:
            a_listing(reserved(4)).delete(NOW)
        assert refused.value.details == {"reserved": 4}

    def test_restoring_brings_back_what_was_removed_and_leaves_hidden_what_was_hidden(self) -> None:
        removed = a_listing(ListingRemoved(listing_id=ID), ListingDeleted(listing_id=ID, deleted_at=NOW))
        assert after(removed, removed.restore()).on_sale
        hidden = a_listing(
            ListingHidden(listing_id=ID, reason="fake"), ListingDeleted(listing_id=ID, deleted_at=NOW)
        )
        assert after(hidden, hidden.restore()).moderation is Moderation.HIDDEN
        with pytest.raises(ListingNotDeletedError):
            a_listing().restore()


class TestPictures:
    def test_come_at_the_end_or_where_they_are_wanted_and_once(self) -> None:
        listing = illustrated(2)
        assert [media.media_id for media in after(listing, listing.attach_media(a_picture(7), 1)).media] == [
            media_id(0), media_id(7), media_id(1),
        ]  # fmt: skip
        assert listing.attach_media(a_picture(7), 99) == listing.attach_media(a_picture(7))
        assert listing.attach_media(a_picture(1)) == []

    def test_are_twelve_at_most(self) -> None:
        with pytest.raises(TooManyMediaError):
            illustrated(MOST_MEDIA).attach_media(a_picture(99))

    def test_are_brought_into_an_order_that_names_each(self) -> None:
        listing = illustrated(3)
        wanted = [media_id(2), media_id(0), media_id(1)]
        assert listing.reorder_media(wanted) == [
            ListingMediaReordered(listing_id=ID, media_ids=tuple(wanted))
        ]
        assert [media.media_id for media in after(listing, listing.reorder_media(wanted)).media] == wanted
        for wrong in (wanted[:2], [*wanted, wanted[0]], [*wanted[:2], media_id(9)]):
            with pytest.raises(InvalidInputError):
                listing.reorder_media(wrong)

    def test_are_taken_away(self) -> None:
        listing = illustrated(2)
        assert listing.detach_media(media_id(0)) == [
            ListingMediaDetached(listing_id=ID, media_id=media_id(0))
        ]
        assert listing.detach_media(media_id(9)) == []

    def test_of_ones_own_are_not_taken_for_somebody_elses(self) -> None:
        """Clients are shown both as ``images``, and send back what they were shown (C59)."""
        early = replace(a_picture(7), variants=())
        listing = after(illustrated(1), illustrated(1).attach_media(early))
        # What was attached before it was processed is shown soon after, which the listing does not hear of.
        for shown in (a_picture(0), a_picture(7)):
            ours = f"https://cdn.example.com/{shown.variants[0].key}"
            assert listing.change_details(images=(ours, *listing.images), thumbnail=ours) == []


class TestChanging:
    def test_only_what_differs_is_recorded(self) -> None:
        listing = a_listing()
        assert listing.change_details(title="New", brand=listing.brand) == [
            ListingDetailsChanged(listing_id=ID, title="New")
        ]
        assert listing.change_details(title=listing.title) == []

    def test_a_new_price(self) -> None:
        assert a_listing().change_price(Money(1)) == [ListingPriceChanged(listing_id=ID, price=Money(1))]
        assert a_listing().change_price(Money(1000)) == []

    def test_descriptions_that_say_the_same_go_on_saying_the_same(self) -> None:
        """The one was made of the other when there was only one (C26)."""
        draft = a_draft(description="A lamp", description_short="A lamp")
        (changed,) = draft.change_details(description="A good lamp")
        assert changed == ListingDetailsChanged(
            listing_id=ID, description="A good lamp", description_short="A good lamp"
        )
        (changed,) = draft.change_details(description_short="Lamp")
        assert changed == ListingDetailsChanged(listing_id=ID, description="Lamp", description_short="Lamp")
        long = a_draft(description="A good lamp")
        assert long.change_details(description="A good lamp", description_short="A good lamp") == []
        assert draft.change_details(description="") == []
        assert draft.change_details(description_short="") == [
            ListingDetailsChanged(listing_id=ID, description_short="")
        ]
        nothing = draft.change_details(description="", description_short="")
        assert nothing == [ListingDetailsChanged(listing_id=ID, description="", description_short="")]
        both = a_draft(description="A good lamp", description_short="A lamp")
        assert both.change_details(description="Light") == [
            ListingDetailsChanged(listing_id=ID, description="Light")
        ]
        assert both.change_details(description="") == [
            ListingDetailsChanged(listing_id=ID, description="A lamp")
        ]

    def test_a_thumbnail_that_was_the_first_image_goes_on_being_it(self) -> None:
        draft = a_draft(images=("a", "b"), thumbnail="a")
        (changed,) = draft.change_details(images=("b", "a"))
        assert changed == ListingDetailsChanged(listing_id=ID, images=("b", "a"), thumbnail="b")
        own = a_draft(images=("a", "b"), thumbnail="c")
        assert own.change_details(images=("b",)) == [ListingDetailsChanged(listing_id=ID, images=("b",))]
        assert own.change_details(thumbnail="") == [ListingDetailsChanged(listing_id=ID, thumbnail="a")]

    def test_images_that_others_keep_are_twelve_at_most(self) -> None:
        addresses = tuple(f"https://a.example/{number}" for number in range(MOST_MEDIA + 1))
        with pytest.raises(InvalidInputError) as refused:
            a_listing().change_details(images=addresses)
        assert refused.value.details == {"images": ["Must have at most 12 entries"]}
        assert a_listing().change_details(images=addresses[1:])

    def test_its_slug_and_those_that_it_had(self) -> None:
        listing = a_listing()
        renamed = after(listing, listing.change_slug("lamp"))
        assert (renamed.slug, renamed.former_slugs) == ("lamp", ("listing-1",))
        assert renamed.change_slug("lamp") == []
        back = after(renamed, [ListingSlugChanged(listing_id=ID, slug="listing-1")])
        assert (back.slug, back.former_slugs) == ("listing-1", ("lamp",))

    def test_its_categories_are_each_there_once(self) -> None:
        first, second, third, _ = CATEGORIES
        listing = a_listing(category_id=first)
        assert listing.categorize(first, "things") == []
        assert listing.categorize(second, "lamps", [first, second, third, third]) == [
            ListingCategorized(
                listing_id=ID, category_id=second, category="lamps", further_category_ids=(first, third)
            )
        ]

    def test_its_place_is_never_known_to_the_metre(self) -> None:
        exact = Location(lat=52.516272, lng=13.377722, city="Berlin")
        (moved,) = a_listing().relocate(exact)
        assert moved == ListingRelocated(
            listing_id=ID, location=Location(lat=52.52, lng=13.38, city="Berlin")
        )
        there = a_listing(moved)
        assert there.relocate(exact) == []
        assert there.relocate(None) == [ListingRelocated(listing_id=ID, location=None)]

    def test_how_it_is_sent(self) -> None:
        chosen = ListingShippingChosen(listing_id=ID, shipping_profile_id=UUID(int=7))
        assert a_listing().choose_shipping(UUID(int=7)) == [chosen]
        assert a_listing(chosen).choose_shipping(UUID(int=7)) == []

    def test_a_draft_may_leave_out_what_a_published_one_may_not(self) -> None:
        a_draft(images=(), description="").require_described((SIZE,))
        with pytest.raises(InvalidInputError) as refused:
            a_listing(ListingDetailsChanged(listing_id=ID, images=())).require_described((SIZE,))
        assert set(refused.value.details) == {"images", "attributes.size"}
        with pytest.raises(InvalidInputError) as refused:
            a_draft(attributes={"size": "XL"}).require_described((SIZE,))
        assert refused.value.details == {"attributes.size": ["Must be one of S, M"]}

    def test_attributes_are_given_one_by_one(self) -> None:
        assert merged({"a": 1, "b": 2}, {"b": None, "c": 3}) == {"a": 1, "c": 3}
        assert said_of({"size": "S"}, {"size": "S", "color": "red"}, {"size": "M"}) == {
            "size": "M",
            "color": "red",
        }
        assert said_of({"size": "S"}, {"size": "M"}, {"size": "S"}) == {"size": "M"}

    def test_a_stranger_may_not(self) -> None:
        with pytest.raises(ForbiddenError):
            a_listing().require_editable_by(BUYER)

    def test_its_seller_and_admins_may(self) -> None:
        a_listing().require_editable_by(ADMIN)
        seller = Caller(account_id=AccountId(stream_id("account", 9)), number=9)
        a_listing(seller_id=seller_of(seller.account_id)).require_editable_by(seller)


class TestPrice:
    def test_a_discount_can_be_said_in_two_ways(self) -> None:
        assert discount_meant(Money(1000), None, None) is None
        assert discount_meant(Money(1000), Decimal(10), None) == 10
        assert discount_meant(Money(1000), None, Money(900)) == 10
        assert discount_meant(Money(1000), Decimal(10), Money(900)) == 10
        for percentage, sale_price in ((None, 1001), (Decimal(10), 901)):
            with pytest.raises(InvalidInputError) as refused:
                discount_meant(Money(1000), percentage, Money(sale_price))
            assert set(refused.value.details) == {"salePrice"}

    def test_of_two_ways_the_one_that_is_as_it_was_says_nothing_new(self) -> None:
        listing = a_listing(discount_percentage=Decimal(10))
        assert listing.change_terms(price=Money(2000), percentage=Decimal(10), sale_price=Money(900)) == [
            ListingPriceChanged(listing_id=ID, price=Money(2000))
        ]
        assert listing.change_terms(percentage=Decimal(10), sale_price=Money(800)) == [
            ListingDiscountChanged(listing_id=ID, discount_percentage=Decimal(20))
        ]
        with pytest.raises(InvalidInputError):
            listing.change_terms(percentage=Decimal(5), sale_price=Money(800))

    @given(st.integers(1, 10**10), st.integers(0, 10**10))
    def test_a_sale_price_comes_out_as_it_was_said(self, price: int, sale_price: int) -> None:
        sale_price = min(price, sale_price)
        percent = discount_meant(Money(price), None, Money(sale_price))
        assert percent is not None
        assert 0 <= percent <= 100
        assert Money(price).less(percent) == Money(sale_price)
        # Clients are shown a float, and may send it back.
        assert Decimal(str(float(percent))) == percent


class TestStock:
    def test_what_is_reserved_is_not_available(self) -> None:
        assert a_listing(reserved(4)).available == 6

    def test_more_than_is_available_is_refused(self) -> None:
        with pytest.raises(InsufficientStockError) as refused:
            a_listing(reserved(4)).reserve(ORDER_ID, 7)
        assert refused.value.details == {"productId": 1, "available": 6, "requested": 7}

    def test_a_draft_cannot_be_bought(self) -> None:
        with pytest.raises(ProductNotFoundError):
            Listing.evolve(None, a_listing_created()).reserve(ORDER_ID, 1)

    def test_what_is_paid_is_gone(self) -> None:
        listing = a_listing(reserved(4), StockCommitted(listing_id=ID, order_id=ORDER_ID, quantity=4))
        assert (listing.stock, listing.reserved, listing.available) == (6, 0, 6)

    def test_the_only_one_is_sold_once_it_is_paid_and_comes_back_with_its_order(self) -> None:
        only = a_listing(reserved(1), stock=1, unique=True)
        assert only.commit(ORDER_ID, 1) == [*SOLD[1:]]
        sold = after(only, only.commit(ORDER_ID, 1))
        assert (sold.status, sold.stock, sold.in_sight) == (ListingStatus.SOLD, 0, True)
        with pytest.raises(ListingSoldError):
            sold.reserve(ORDER_ID, 1)
        with pytest.raises(ListingSoldError):
            sold.require_editable_by(ADMIN)
        back = after(sold, sold.restore_stock(ORDER_ID, 1))
        assert (back.status, back.available) == (ListingStatus.ACTIVE, 1)

    @pytest.mark.parametrize("meanwhile", [ListingUnpublished(listing_id=ID), ListingExpired(listing_id=ID)])
    def test_what_left_the_catalogue_before_it_was_paid_does_not_come_back_into_it(
        self, meanwhile: ListingEvent
    ) -> None:
        withdrawn = a_listing(reserved(1), meanwhile, stock=1, unique=True)
        sold = after(withdrawn, withdrawn.commit(ORDER_ID, 1))
        assert sold.status is ListingStatus.SOLD
        back = after(sold, sold.restore_stock(ORDER_ID, 1))
        assert (back.status, back.on_sale) == (withdrawn.status, False)

    def test_of_a_unique_thing_there_is_never_a_second_one(self) -> None:
        only = a_listing(stock=1, unique=True)
        for listing, stock in ((only, 2), (after(only, [reserved(1)]), 2)):
            with pytest.raises(InvalidInputError) as refused:
                listing.adjust_stock(stock)
            assert refused.value.details == {"stock": ["There is only one of it"]}
        assert only.adjust_stock(0) == [StockAdjusted(listing_id=ID, stock=0)]

    def test_of_many_there_may_be_none_left_and_it_is_not_sold(self) -> None:
        listing = a_listing(reserved(10))
        none_left = after(listing, listing.commit(ORDER_ID, 10))
        assert (none_left.status, none_left.stock) == (ListingStatus.ACTIVE, 0)

    def test_what_is_not_in_sight_cannot_be_bought(self) -> None:
        for out_of_sight in (
            ListingHidden(listing_id=ID),
            ListingRemoved(listing_id=ID),
            ListingDeleted(listing_id=ID, deleted_at=NOW),
            ListingExpired(listing_id=ID),
        ):
            with pytest.raises(ProductNotFoundError):
                a_listing(out_of_sight).reserve(ORDER_ID, 1)

    def test_a_count_below_what_orders_hold_is_refused(self) -> None:
        with pytest.raises(InsufficientStockError):
            a_listing(reserved(4)).adjust_stock(3)
        assert a_listing(reserved(4)).adjust_stock(4) == [StockAdjusted(listing_id=ID, stock=4)]

    @given(
        st.lists(st.tuples(st.sampled_from(["reserve", "commit", "adjust"]), st.integers(0, 12)), max_size=30)
    )
    def test_it_never_goes_below_zero_whatever_happens(self, steps: list[tuple[str, int]]) -> None:
        listing = a_listing()
        open_orders: list[int] = []
        for step, quantity in steps:
            try:
                if step == "reserve":
                    events = listing.reserve(ORDER_ID, quantity)
                    open_orders.append(quantity)
                elif step == "commit" and open_orders:
                    events = listing.commit(ORDER_ID, open_orders.pop())
                else:
                    events = listing.adjust_stock(quantity)
            except InsufficientStockError:
                continue
            folded = LISTINGS.after(listing, events)
            listing = folded
            assert 0 <= listing.reserved <= listing.stock


STATUSES = {
    ListingPublished: {ListingStatus.DRAFT, ListingStatus.EXPIRED},
    ListingUnpublished: {ListingStatus.ACTIVE, ListingStatus.EXPIRED},
    ListingExpired: {ListingStatus.ACTIVE},
    ListingRenewed: {ListingStatus.ACTIVE, ListingStatus.EXPIRED},
}
"""From which status which event leads on (C-3). Anything can be sold that an order holds."""


class Lives(RuleBasedStateMachine):
    """Everything that anybody may ask of a listing, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.now = NOW
        self.orders: dict[OrderId, int] = {}
        self.paid: dict[OrderId, int] = {}
        self.count = 0
        self.listing = a_draft(stock=3)
        self.history: list[ListingEvent] = [a_listing_created(stock=3)]

    @initialize(unique=st.booleans(), stock=st.integers(0, 3), published=st.booleans())
    def begin(self, *, unique: bool, stock: int, published: bool) -> None:
        created = a_listing_created(stock=stock, unique=unique)
        self.listing, self.history = Listing.evolve(None, created), [created]
        if published:
            self.decided(self.listing.publish)

    @rule(
        what=st.sampled_from(
            ["publish", "unpublish", "expire", "renew", "unhide", "restore", "delete", "hide", "remove"]
        ),
        days=st.integers(0, 40),
    )
    def live_on(self, what: str, days: int) -> None:
        self.now += timedelta(days=days)
        until = self.now + LIFETIME
        decide: dict[str, Callable[[], list[ListingEvent]]] = {
            "publish": lambda: self.listing.publish(expires_at=until),
            "unpublish": self.listing.unpublish,
            "expire": lambda: self.listing.expire(self.now),
            "renew": lambda: self.listing.renew(until),
            "unhide": self.listing.unhide,
            "restore": self.listing.restore,
            "delete": lambda: self.listing.delete(self.now),
            "hide": lambda: self.listing.hide(""),
            "remove": lambda: self.listing.remove(""),
        }
        self.decided(decide[what])

    @rule(
        images=st.none() | st.lists(st.sampled_from("abc"), max_size=3).map(tuple),
        description=st.none() | st.sampled_from(["", "words"]),
        attributes=st.none() | st.dictionaries(st.sampled_from("xy"), st.integers(0, 1)),
        price=st.integers(1, 3),
    )
    def edit(self, *, images: Any, description: Any, attributes: Any, price: int) -> None:
        listing = self.listing
        self.decided(
            lambda: [
                *listing.change_details(images=images, description=description, attributes=attributes),
                *listing.change_price(Money(price)),
            ]
        )

    @rule(
        slug=st.sampled_from(["lamp", "light", "listing-1"]),
        further=st.lists(st.sampled_from(CATEGORIES), max_size=4),
        place=st.none() | st.builds(Location, lat=st.floats(-90, 90), lng=st.floats(-180, 180)),
    )
    def refile(self, *, slug: str, further: Any, place: Any) -> None:
        listing = self.listing
        self.decided(
            lambda: [
                *listing.change_slug(slug),
                *listing.categorize(CATEGORIES[0], "things", further),
                *listing.relocate(place),
            ]
        )

    @rule(number=st.integers(0, 14), index=st.none() | st.integers(0, 3))
    def attach(self, number: int, index: int | None) -> None:
        self.decided(lambda: self.listing.attach_media(a_picture(number), index))

    @rule(number=st.integers(0, 14))
    def detach(self, number: int) -> None:
        self.decided(lambda: self.listing.detach_media(media_id(number)))

    @rule(numbers=st.permutations(range(4)))
    def reorder(self, numbers: list[int]) -> None:
        self.decided(lambda: self.listing.reorder_media([media_id(number) for number in numbers]))

    @rule(stock=st.integers(0, 5))
    def count_stock(self, stock: int) -> None:
        def count() -> list[ListingEvent]:
            self.listing.require_editable_by(ADMIN)
            return self.listing.adjust_stock(stock)

        self.decided(count)

    @rule(quantity=st.integers(1, 3))
    def order(self, quantity: int) -> None:
        self.count += 1
        order_id = OrderId(stream_id("order", self.count))
        if self.decided(lambda: self.listing.reserve(order_id, quantity)):
            self.orders[order_id] = quantity

    @rule(paid=st.booleans())
    def settle(self, paid: bool) -> None:
        if self.orders:
            order_id, quantity = self.orders.popitem()
            settled = self.listing.commit if paid else self.listing.release
            self.decided(lambda: settled(order_id, quantity))
            if paid:
                self.paid[order_id] = quantity

    @rule()
    def send_back(self) -> None:
        if self.paid:
            order_id, quantity = self.paid.popitem()
            self.decided(lambda: self.listing.restore_stock(order_id, quantity))

    def decided(self, decide: Callable[[], list[ListingEvent]]) -> bool:
        """Whether it was not refused; whatever was decided can be folded."""
        try:
            events = decide()
        except DomainError:
            return False
        for event in events:
            legal = STATUSES.get(type(event))
            assert legal is None or self.listing.status in legal
            self.listing = Listing.evolve(self.listing, event)
        self.history += events
        return True

    @invariant()
    def stock_is_never_promised_twice(self) -> None:
        assert 0 <= self.listing.reserved <= self.listing.stock
        assert self.listing.reserved == sum(self.orders.values())

    @invariant()
    def what_is_sold_was_the_only_one(self) -> None:
        if self.listing.status is ListingStatus.SOLD:
            assert self.listing.unique
            assert self.listing.stock == 0

    @invariant()
    def what_is_deleted_owes_nobody_anything(self) -> None:
        assert not (self.listing.deleted and self.listing.reserved)

    @invariant()
    def pictures_and_categories_are_there_once(self) -> None:
        shown = [media.media_id for media in self.listing.media]
        assert len(set(shown)) == len(shown) <= MOST_MEDIA
        assert len(set(self.listing.category_ids)) == len(self.listing.category_ids)
        assert self.listing.slug not in self.listing.former_slugs

    @invariant()
    def its_history_tells_all_of_it(self) -> None:
        assert LISTINGS.fold(None, self.history) == self.listing


def test_whatever_is_asked_of_it_it_stays_right() -> None:
    asked = settings(max_examples=150, stateful_step_count=40, deadline=None)
    run_state_machine_as_test(Lives, settings=asked)
