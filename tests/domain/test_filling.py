"""What may be put into a cart, and what is told of what is in it."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.carts.cart import CARTS, Cart, CartItemNotFoundError, OwnListingError
from domain.carts.events import (
    CartEvent,
    CartItemAdded,
    CartItemQuantityChanged,
    CartLine,
    CartOpened,
    cart_of,
)
from domain.categories.tree import CategoryTree
from domain.filling import (
    LeftOut,
    Reason,
    SeenLine,
    Shelf,
    Wish,
    acknowledged,
    added,
    changed,
    merged,
    orderable,
    sale_price,
    seen,
    synced,
    tree_for,
)
from domain.kernel import InvalidInputError, ListingId, PromotionId, SellerId
from domain.listings.events import (
    ListingDeleted,
    ListingExpired,
    ListingHidden,
    ListingPriceChanged,
    ListingRemoved,
    ListingSold,
    ListingUnpublished,
    StockAdjusted,
)
from domain.listings.listing import InsufficientStockError, Listing, ListingSoldError, ProductNotFoundError
from domain.money import Money
from domain.promotions.events import DiscountType, Offer, Scope, ScopeKind, Terms
from domain.promotions.offers import Offers
from domain.sellers.events import PersonalSellerOpened, SellerEvent, SellerSuspended, ShopProfile, seller_of
from domain.sellers.seller import SELLERS, Seller
from tests.domain.builders import BUYER, NOW, ORDER_ID, a_listing, deals, listing_id

ID = cart_of(BUYER.account_id)
OTHER = SellerId(listing_id(77))
PROMOTION = PromotionId(listing_id(78))


def cart_with(*events: CartEvent) -> Cart:
    return CARTS.after(None, [CartOpened(cart_id=ID, account_id=BUYER.account_id), *events])


def in_it(number: int, quantity: int = 1, price: int | None = 1000) -> CartItemAdded:
    shown = None if price is None else Money(price)
    return CartItemAdded(cart_id=ID, listing_id=listing_id(number), quantity=quantity, price=shown, at=NOW)


def shelf_of(*listings: Listing, sellers: tuple[Seller, ...] = ()) -> Shelf:
    return Shelf(
        listings={listing.id: listing for listing in listings}, sellers={each.id: each for each in sellers}
    )


def a_seller(*, suspended: bool = False) -> Seller:
    account = BUYER.account_id
    events: list[SellerEvent] = [
        PersonalSellerOpened(
            seller_id=OTHER,
            account_id=account,
            account_number=1,
            profile=ShopProfile(shop_name="S", slug="s"),
        ),
        *([SellerSuspended(seller_id=OTHER, account_id=account, cause="admin")] if suspended else []),
    ]
    return SELLERS.after(None, events)


def seen_one(
    listing: Listing, quantity: int = 1, *, price: int | None = 1000, hidden: bool = False
) -> SeenLine:
    ids = frozenset({listing.id}) if hidden else frozenset[ListingId]()
    (line,) = seen(cart_with(in_it(listing.number, quantity, price)), {listing.id: listing}, ids, None)
    return line


class TestLooking:
    def test_a_line_that_is_to_be_had(self) -> None:
        line = seen_one(a_listing(price=Money(2000), discount_percentage=Decimal(50)), 2)
        assert (line.reason, line.sale_price, line.shown_before) == (None, Money(1000), None)
        assert line.line is not None
        assert (line.line.total, line.line.discounted_total) == (Money(4000), Money(2000))
        assert orderable([line]) == [line.line]

    @pytest.mark.parametrize(
        "gone",
        [
            ListingHidden(listing_id=listing_id(1), reason="fake"),
            ListingRemoved(listing_id=listing_id(1), reason="fake"),
            ListingDeleted(listing_id=listing_id(1), deleted_at=NOW),
            ListingUnpublished(listing_id=listing_id(1)),
            ListingExpired(listing_id=listing_id(1)),
        ],
        ids=lambda event: type(event).__name__,
    )
    def test_of_what_nobody_may_see_only_the_number_is_told(self, gone: ListingHidden) -> None:
        line = seen_one(a_listing(gone), 2, price=500)
        told = SeenLine(
            listing_id=listing_id(1), number=1, quantity=2, added_at=NOW, reason=Reason.UNAVAILABLE
        )
        assert line == told
        assert orderable([line]) == []

    def test_nor_of_what_is_sold_by_somebody_who_is_suspended(self) -> None:
        listing = a_listing(seller_id=OTHER)
        assert shelf_of(listing, sellers=(a_seller(),)).hidden == frozenset()
        assert shelf_of(listing, a_listing(number=2), sellers=(a_seller(suspended=True),)).hidden == {
            listing.id
        }
        assert seen_one(listing, hidden=True).line is None

    @pytest.mark.parametrize(
        ("stock", "quantity", "reason"),
        [(0, 1, Reason.OUT_OF_STOCK), (3, 4, Reason.INSUFFICIENT_STOCK), (3, 3, None)],
    )
    def test_says_why_it_cannot_be_had(self, stock: int, quantity: int, reason: Reason | None) -> None:
        line = seen_one(a_listing(StockAdjusted(listing_id=listing_id(1), stock=stock)), quantity)
        assert (line.reason, line.available) == (reason, stock)
        assert line.line is not None, "what everybody may read of is shown as it is"

    def test_a_sold_one_is_still_told_of(self) -> None:
        line = seen_one(a_listing(ListingSold(listing_id=listing_id(1), order_id=ORDER_ID)))
        assert (line.reason, line.line is None) == (Reason.SOLD, False)
        assert orderable([line]) == []

    def test_a_price_is_another_one_than_was_shown(self) -> None:
        dearer = a_listing(ListingPriceChanged(listing_id=listing_id(1), price=Money(1200)))
        assert seen_one(dearer).shown_before == Money(1000)
        assert seen_one(dearer, price=1200).shown_before is None
        assert seen_one(dearer, price=None).shown_before is None

    @given(st.integers(1, 10**8), st.decimals(0, 100, places=2))
    def test_prices_are_the_listings_own(self, price: int, percentage: Decimal) -> None:
        listing = a_listing(price=Money(price), discount_percentage=percentage)
        assert sale_price(listing) == listing.sale_price

    def test_where_things_are_matters_only_to_promotions_for_categories(self) -> None:
        tree = CategoryTree(places={})

        def promoting(scope: Scope) -> Offers:
            terms = Terms(
                name="A", slug="a", discount_type=DiscountType.FREE_SHIPPING, starts_at=NOW, scope=scope
            )
            return Offers({PROMOTION: Offer(promotion_id=PROMOTION, number=1, terms=terms)})

        assert tree_for(deals(tree=tree, offers=promoting(Scope()))) is None
        scope = Scope(kind=ScopeKind.CATEGORIES, categories=("things",))
        assert tree_for(deals(tree=tree, offers=promoting(scope))) is tree


class TestAdding:
    def test_says_what_it_costs(self) -> None:
        events = added(cart_with(), listing_id(1), 2, shelf_of(a_listing(price=Money(700))), NOW)
        assert events == [in_it(1, 2, 700)]

    def test_what_cannot_be_had_is_refused(self) -> None:
        listing = a_listing(seller_id=OTHER)
        for shelf, refusal in (
            (shelf_of(), ProductNotFoundError),
            (shelf_of(listing, sellers=(a_seller(suspended=True),)), ProductNotFoundError),
            (shelf_of(a_listing(ListingHidden(listing_id=listing.id, reason=""))), ProductNotFoundError),
            (shelf_of(a_listing(stock=1)), InsufficientStockError),
            (shelf_of(a_listing(seller_id=seller_of(BUYER.account_id))), OwnListingError),
            (shelf_of(a_listing(ListingSold(listing_id=listing.id, order_id=ORDER_ID))), ListingSoldError),
        ):
            with pytest.raises(refusal):
                added(cart_with(), listing.id, 2, shelf, NOW)


class TestChanging:
    def test_less_of_what_cannot_be_had_is_no_question(self) -> None:
        hidden = a_listing(ListingHidden(listing_id=listing_id(1), reason="fake"))
        events = changed(cart_with(in_it(1, 5)), listing_id(1), 2, shelf_of(hidden), NOW)
        fewer = CartItemQuantityChanged(cart_id=ID, listing_id=listing_id(1), quantity=2, price=None, at=NOW)
        assert events == [fewer], "nobody was shown what it costs"
        with pytest.raises(ProductNotFoundError):
            changed(cart_with(in_it(1, 5)), listing_id(1), 6, shelf_of(hidden), NOW)

    def test_what_never_was_there_is_not_in_the_cart(self) -> None:
        with pytest.raises(CartItemNotFoundError):
            changed(cart_with(), listing_id(9), 0, shelf_of(), NOW)

    def test_nobody_acknowledges_a_price_that_they_are_not_shown(self) -> None:
        hidden = a_listing(
            ListingPriceChanged(listing_id=listing_id(1), price=Money(5)),
            ListingHidden(listing_id=listing_id(1), reason="fake"),
        )
        assert acknowledged(cart_with(in_it(1)), shelf_of(hidden), NOW) == []


class TestSyncing:
    def test_more_than_there_may_be_of_one_is_refused(self) -> None:
        plenty = shelf_of(a_listing(stock=5000))
        wishes = [Wish(reference="1", listing_id=listing_id(1), quantity=999)] * 2
        with pytest.raises(InvalidInputError):
            synced(cart_with(), wishes, plenty, NOW)
        events, left_out = merged(cart_with(), wishes, plenty, NOW)
        assert CARTS.fold(cart_with(), events) is not None
        left = LeftOut(reference=1, requested=1998, quantity=999, reason=Reason.CART_FULL)
        assert left_out == [left]

    def test_a_price_that_the_client_showed_has_the_discount_of_now(self) -> None:
        shelf = shelf_of(a_listing(price=Money(2000), discount_percentage=Decimal(10)))
        for shown, known in ((None, 1800), (2000, 1800), (1000, 900)):
            price = None if shown is None else Money(shown)
            wish = Wish(reference="1", listing_id=listing_id(1), quantity=1, price=price)
            cart = CARTS.after(cart_with(), synced(cart_with(), [wish], shelf, NOW))
            assert cart.content == [CartLine(listing_id=listing_id(1), quantity=1, price=Money(known))]


@given(
    held=st.dictionaries(st.integers(1, 4), st.integers(1, 999)),
    wished=st.lists(st.tuples(st.integers(1, 6), st.integers(1, 999)), max_size=8),
    stocks=st.lists(st.integers(0, 1500), min_size=5, max_size=5),
)
def test_merging_takes_nothing_away_and_gives_no_more_than_there_is(
    held: dict[int, int], wished: list[tuple[int, int]], stocks: list[int]
) -> None:
    listings = [a_listing(number=number, stock=stock) for number, stock in enumerate(stocks, 1)]
    cart = cart_with(*(in_it(number, quantity) for number, quantity in held.items()))
    wishes = [
        Wish(reference=str(number), listing_id=listing_id(number), quantity=quantity)
        for number, quantity in wished
    ]
    events, left_out = merged(cart, wishes, shelf_of(*listings), NOW)
    after = CARTS.after(cart, events)
    left = {each.reference: each for each in left_out}
    for number in range(1, 7):
        before, now = (each.lines.get(listing_id(number), 0) for each in (cart, after))
        asked = sum(quantity for other, quantity in wished if other == number)
        assert before <= now <= 999
        assert now == before or now <= stocks[number - 1]
        assert now <= before + asked
        if asked and now < before + asked:
            expected = now if number <= 5 else 0
            assert (left[number].quantity, left[number].requested) == (expected, before + asked)
        else:
            assert number not in left
