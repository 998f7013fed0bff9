"""Keeping promotions, putting coupons into carts, and using them up, on a log in memory."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from application.carts.couponing import ApplyCoupon, RemoveCoupon
from application.carts.filling import AddToCart, PricedCart, add_to_cart
from application.categories.changing import ChangeCategory, change_category
from application.categories.creating import CreateCategory, category_called
from application.categories.deleting import DeleteCategory
from application.errors import ConcurrentChangeError
from application.orders.placing import Conditions, PlaceOrder, place_order
from application.payments.paying import RequestPayment
from application.ports import AlreadyAnsweredError, Answer, Metadata, Once
from application.processes.request_payment import request_payment_for
from application.promotions.keeping import (
    ChangePromotion,
    CreatePromotion,
    DeletePromotion,
    ScopeWish,
    create_promotion,
)
from domain.accounts.events import Caller
from domain.carts.cart import CARTS, CartEmptyError
from domain.carts.events import CartCheckedOut, CouponRemoved, cart_of
from domain.categories.category import SlugExistsError
from domain.kernel import InvalidInputError
from domain.listings.events import StockCommitted, StockReserved
from domain.listings.listing import Listing
from domain.money import Money
from domain.orders.events import OrderConfirmed, OrderPlaced, OrderStatus
from domain.orders.order import NothingToPayError
from domain.orders.pricing import Tariff
from domain.placing import WantedLine, line_of
from domain.promotions.events import (
    OFFERS_ON,
    CouponRedeemed,
    DiscountType,
    OfferPosted,
    Scope,
    ScopeKind,
    Terms,
    redemptions_of,
)
from domain.promotions.offers import OFFERS
from domain.promotions.promotion import (
    CouponExistsError,
    CouponInvalidError,
    CouponNotAppliedError,
    Promotion,
    PromotionNotFoundError,
)
from domain.promotions.redemptions import REDEMPTIONS
from domain.redeeming import Quote, quote
from tests.application.shop import ADDRESS, METADATA, Counting, Shop


@pytest.fixture
def shop() -> Shop:
    return Shop()


def creation(shop: Shop, **fields: Any) -> CreatePromotion:
    defaults: dict[str, Any] = {
        "name": "Sale",
        "slug": "",
        "discount_type": DiscountType.PERCENTAGE,
        "percentage": Decimal(10),
        "starts_at": shop.clock.at,
    }
    scope = fields.pop("scope", ScopeWish(kind=ScopeKind.ALL))
    active = fields.pop("active", True)
    return CreatePromotion(terms=Terms(**{**defaults, **fields}), scope=scope, active=active)


async def made(shop: Shop, **fields: Any) -> Promotion:
    promotion: Promotion = (await shop.handle(creation(shop, **fields))).state
    return promotion


async def filled(shop: Shop, name: str = "emily", *, price: int = 1000) -> tuple[Caller, Listing]:
    listing, buyer = await shop.listing(price=price), await shop.buyer(name)
    await shop.handle(AddToCart(account_id=buyer.account_id, listing_id=listing.id, quantity=1))
    return buyer, listing


async def apply(shop: Shop, buyer: Caller, code: str) -> PricedCart:
    cart: PricedCart = (await shop.handle(ApplyCoupon(account_id=buyer.account_id, code=code))).state
    return cart


def quoted(shop: Shop, cart: PricedCart) -> Quote:
    tree = cart.dealt.tree
    listings = cart.shelf.listings
    lines = [
        line_of(listings[listing_id], quantity, tree) for listing_id, quantity in cart.cart.lines.items()
    ]
    return quote(lines, cart.dealt.at(shop.clock.now(), Tariff()))


async def used(shop: Shop, promotion: Promotion, buyer: Caller | None = None) -> int:
    count = await shop.now(REDEMPTIONS, redemptions_of(promotion.id, buyer.account_id if buyer else None))
    return count.used if count else 0


async def refused(shop: Shop, command: object, error: type[Exception]) -> Any:
    """The refusal, and that nothing was recorded with it."""
    head = await shop.log.head()
    with pytest.raises(error) as refusal:
        await shop.handle(command)
    assert await shop.log.head() == head
    return refusal.value


class TestKeeping:
    async def test_codes_are_taken_once_whatever_their_capitals(self, shop: Shop) -> None:
        promotion = await made(shop, code="Ten")
        assert promotion.terms.code == "TEN"
        error = await refused(shop, creation(shop, code="tEN"), CouponExistsError)
        assert error.details == {"code": ["Is already taken"]}
        other = await made(shop, code="OTHER")
        taken = ChangePromotion(reference=str(other.number), fields={"code": "ten"})
        await refused(shop, taken, CouponExistsError)
        await shop.handle(ChangePromotion(reference=str(promotion.number), fields={"code": "eleven"}))
        await shop.handle(taken)

    async def test_slugs_are_made_of_names_and_taken_once(self, shop: Shop) -> None:
        assert [(await made(shop)).terms.slug for _ in range(2)] == ["sale", "sale-2"]
        await refused(shop, creation(shop, slug="sale"), SlugExistsError)
        await shop.handle(DeletePromotion(reference="sale"))
        await refused(shop, DeletePromotion(reference="sale"), PromotionNotFoundError)
        assert (await made(shop, slug="sale")).terms.slug == "sale"

    async def test_the_version_that_is_told_is_the_promotions_own(self, shop: Shop) -> None:
        await made(shop)
        created = await shop.handle(creation(shop))
        assert created.version == 1
        change = ChangePromotion(reference=str(created.state.number), fields={"name": "Other"})
        unchanged = Metadata(actor="test", expected_version=created.version)
        assert (await shop.handle(change, unchanged)).version == 2

    async def test_its_creation_is_answered_again_though_its_scope_is_gone(self, shop: Shop) -> None:
        await shop.handle(CreateCategory(name="Lamps"))
        once = Once(scope="admin", key="k", request_hash=b"h", answer=lambda _: Answer(status=201, body=b""))
        metadata = Metadata(actor="test", once=once)
        scope = ScopeWish(kind=ScopeKind.CATEGORIES, references=("lamps",))
        await shop.handle(creation(shop, scope=scope), metadata)
        await shop.handle(DeleteCategory(category="lamps"))
        with pytest.raises(AlreadyAnsweredError):
            await shop.handle(creation(shop, scope=scope), metadata)

    async def test_many_at_once_with_one_code_are_one(self, shop: Shop) -> None:
        tries = await asyncio.gather(
            *(shop.handle(creation(shop, code="ONE")) for _ in range(8)), return_exceptions=True
        )
        assert sum(isinstance(outcome, CouponExistsError) for outcome in tries) == 7

    async def test_a_deleted_one_is_gone_and_its_deletion_is_answered_again(self, shop: Shop) -> None:
        await made(shop, code="TEN")
        once = Once(scope="admin", key="k", request_hash=b"h", answer=lambda _: Answer(status=204, body=b""))
        metadata = Metadata(actor="test", once=once)
        await shop.handle(DeletePromotion(reference="sale"), metadata)
        with pytest.raises(AlreadyAnsweredError):
            await shop.handle(DeletePromotion(reference="sale"), metadata)
        await refused(shop, ChangePromotion(reference="1", fields={}), PromotionNotFoundError)

    @pytest.mark.parametrize("kind", [ScopeKind.CATEGORIES, ScopeKind.PRODUCTS, ScopeKind.SELLERS])
    async def test_a_scope_names_only_what_is_there(self, shop: Shop, kind: ScopeKind) -> None:
        await shop.listing()
        wish = ScopeWish(kind=kind, references=("999", "nobody-and-nothing"))
        error = await refused(shop, creation(shop, scope=wish), InvalidInputError)
        assert error.details == {
            "scopeIds[0]": ["Does not exist"],
            "scopeIds[1]": ["Does not exist"],
        }

    async def test_a_scope_is_kept_by_what_never_changes(self, shop: Shop) -> None:
        listing = await shop.listing()
        wish = ScopeWish(kind=ScopeKind.PRODUCTS, references=(str(listing.number), listing.slug))
        assert (await made(shop, scope=wish)).terms.scope.listings == (listing.id,)
        things = await category_called("things", shop.store, shop.keys)
        for reference in ("1", "things", str(things.id)):
            wish = ScopeWish(kind=ScopeKind.CATEGORIES, references=(reference,))
            assert (await made(shop, scope=wish)).terms.scope.category_ids == (things.id,)


class TestTheScopeOfACategory:
    """It is meant with all that is in it and below it, whatever it is called, then and now."""

    async def scoped(self, shop: Shop, reference: str, **fields: Any) -> Promotion:
        return await made(shop, scope=ScopeWish(kind=ScopeKind.CATEGORIES, references=(reference,)), **fields)

    async def discount(self, shop: Shop, buyer: Caller, listing: Listing) -> int:
        return (await shop.order(buyer, (listing, 1))).discount.minor

    async def test_holds_for_what_comes_in_after_the_category_was_renamed(self, shop: Shop) -> None:
        buyer, old = await shop.buyer(), await shop.listing()
        things = await category_called("things", shop.store, shop.keys)
        await self.scoped(shop, "things")
        await shop.handle(ChangeCategory(category_id=things.id, slug="stuff"))
        new = await shop.listing(category="stuff")
        assert (new.category, old.category) == ("stuff", "things")
        for listing in (old, new):
            assert await self.discount(shop, buyer, listing) == 100

    async def test_holds_for_what_is_below_it_however_deep(self, shop: Shop) -> None:
        buyer, other = await shop.buyer(), await shop.listing()
        for name, parent in (("Home", ""), ("Rooms", "home"), ("Lamps", "rooms")):
            await shop.handle(CreateCategory(name=name, parent=parent))
        lamp = await shop.listing(category="lamps")
        await self.scoped(shop, "home")
        order = await shop.order(buyer, (lamp, 1), (other, 1))
        assert order.discount == Money(100)
        named = [await category_called(slug, shop.store, shop.keys) for slug in ("lamps", "rooms", "home")]
        assert order.lines[0].category_path == tuple(category.id for category in named)
        cart = AddToCart(account_id=buyer.account_id, listing_id=lamp.id, quantity=1)
        assert quoted(shop, (await shop.handle(cart)).state).totals.discount == Money(100)

    async def test_follows_a_category_to_where_it_is_moved(self, shop: Shop) -> None:
        buyer = await shop.buyer()
        for name in ("Home", "Garden", "Lamps"):
            await shop.handle(CreateCategory(name=name))
        lamp = await shop.listing(category="lamps")
        await self.scoped(shop, "garden")
        assert await self.discount(shop, buyer, lamp) == 0
        lamps = await category_called("lamps", shop.store, shop.keys)
        # By another process: what is remembered of the tree here is out of date.
        here, shop.store = shop.store, shop.another_store()
        await change_category(
            ChangeCategory(category_id=lamps.id, parent="garden"), METADATA, store=shop.store, keys=shop.keys
        )
        shop.store = here
        assert await self.discount(shop, buyer, lamp) == 100

    async def test_takes_over_what_was_in_a_category_that_was_deleted_in_its_favour(self, shop: Shop) -> None:
        buyer, old = await shop.buyer(), await shop.listing()
        for name in ("Rest", "Other"):
            await shop.handle(CreateCategory(name=name))
        rest = await shop.listing(category="rest")
        coupon = await self.scoped(shop, "things", code="TEN")
        await shop.handle(DeleteCategory(category="things", reassign_to="rest"))
        await self.scoped(shop, "rest")
        for listing in (old, rest):
            assert await self.discount(shop, buyer, listing) == 100
        # And whoever meant what was in it means just that, not all that it is together with now.
        await shop.handle(DeletePromotion(reference="sale-2"))
        assert (await shop.order(buyer, (old, 1), coupon_code="TEN")).discount == Money(100)
        refused_order = PlaceOrder(
            caller=buyer,
            lines=(WantedLine(listing_id=rest.id, quantity=1),),
            shipping_address=ADDRESS,
            coupon_code="TEN",
        )
        await refused(shop, refused_order, CouponInvalidError)
        assert coupon.terms.scope.category_ids

    async def test_by_slugs_as_promotions_had_it_once_still_holds(self, shop: Shop) -> None:
        buyer, listing = await shop.buyer(), await shop.listing()
        other = await shop.handle(CreateCategory(name="Other"))
        assert other.state.category.slug == "other"
        await shop.handle(creation(shop))
        posted = (await shop.now(OFFERS, OFFERS_ON)).posted
        (offer,) = posted.values()
        scope = Scope(kind=ScopeKind.CATEGORIES, categories=("things",))
        old = msgspec.structs.replace(offer, terms=msgspec.structs.replace(offer.terms, scope=scope))
        await shop.store.change(OFFERS, OFFERS_ON, lambda _: [OfferPosted(offer=old)], METADATA)
        assert await self.discount(shop, buyer, listing) == 100
        assert await self.discount(shop, buyer, await shop.listing(category="other")) == 0

    async def test_changes_of_the_tree_are_no_conflict_of_orders(self) -> None:
        """They only read it, so orders of one moment do not wait for each other there."""
        shop = Counting()
        buyers = [await shop.buyer(f"buyer{number}") for number in range(5)]
        listings = [await shop.listing() for _ in buyers]
        await self.scoped(shop, "things")
        for buyer, listing in zip(buyers, listings, strict=True):
            await shop.order(buyer, (listing, 1))
        before = shop.round_trips
        orders = [shop.order(buyer, (listing, 1)) for buyer, listing in zip(buyers, listings, strict=True)]
        assert {order.discount for order in await asyncio.gather(*orders)} == {Money(100)}
        assert shop.round_trips == before + 5


class TestWhatAppliesByItself:
    async def test_is_in_the_cart_and_in_the_order_alike(self, shop: Shop) -> None:
        await made(shop)
        buyer, _ = await filled(shop)
        other = await shop.listing()
        add = AddToCart(account_id=buyer.account_id, listing_id=other.id, quantity=2)
        cart = (await shop.handle(add)).state
        totals = quoted(shop, cart).totals
        order = await shop.order(buyer)
        assert (order.subtotal, order.discount, order.tax, order.shipping, order.total) == (
            totals.subtotal,
            totals.discount,
            totals.tax,
            totals.shipping,
            totals.total,
        )
        assert order.discount == Money(300)
        assert sum(line.promotion_discount.minor for line in order.lines) == 300
        await shop.handle(RequestPayment(order_id=order.id))
        assert [intent.amount for intent in shop.provider.intents.values()] == [order.total.minor]

    async def test_ends_when_it_is_switched_off_made_a_coupon_deleted_or_over(self, shop: Shop) -> None:
        buyer, listing = await shop.buyer(), await shop.listing()

        async def discount() -> int:
            return (await shop.order(buyer, (listing, 1))).discount.minor

        end = shop.clock.at + timedelta(hours=1)
        promotion = await made(shop, ends_at=end)
        reference = str(promotion.number)
        assert await discount() == 100
        await shop.handle(ChangePromotion(reference=reference, fields={}, active=False))
        assert await discount() == 0
        await shop.handle(ChangePromotion(reference=reference, fields={}, active=True))
        await shop.handle(ChangePromotion(reference=reference, fields={"percentage": Decimal(20)}))
        assert await discount() == 200
        await shop.handle(ChangePromotion(reference=reference, fields={"code": "TWENTY"}))
        assert await discount() == 0
        await shop.handle(ChangePromotion(reference=reference, fields={"code": ""}))
        assert await discount() == 200
        shop.clock.at = end + timedelta(seconds=1)
        assert await discount() == 0
        await shop.handle(ChangePromotion(reference=reference, fields={"ends_at": None}))
        assert await discount() == 200
        await shop.handle(DeletePromotion(reference=reference))
        assert await discount() == 0

    async def test_holds_for_the_next_order_of_another_process(self, shop: Shop) -> None:
        buyer, listing = await shop.buyer(), await shop.listing()
        assert (await shop.order(buyer, (listing, 1))).discount == Money(0)
        store = shop.another_store()
        await create_promotion(
            creation(shop), METADATA, store=store, keys=shop.keys, numbers=Numbers(), clock=shop.clock
        )
        assert (await shop.order(buyer, (listing, 1))).discount == Money(100)

    async def test_costs_no_round_trip_of_its_own(self) -> None:
        shop = Counting()
        await made(shop)
        buyer, listing = await filled(shop)
        for _ in range(2):
            add = AddToCart(account_id=buyer.account_id, listing_id=listing.id, quantity=1)
            before = shop.round_trips
            await shop.handle(add)
            assert shop.round_trips == before + 1
            before = shop.round_trips
            order = await shop.order(buyer)
            assert (order.discount.minor > 0, shop.round_trips) == (True, before + 1)
            await shop.handle(add)
        before = shop.round_trips
        await shop.order(buyer, (listing, 1))
        assert shop.round_trips == before + 1

    async def test_nor_does_a_coupon_that_is_in_the_cart(self) -> None:
        shop = Counting()
        await made(shop, code="TEN", usage_limit=5)
        buyer, listing = await filled(shop)
        await apply(shop, buyer, "ten")
        before = shop.round_trips
        await shop.handle(AddToCart(account_id=buyer.account_id, listing_id=listing.id, quantity=1))
        assert shop.round_trips == before + 1
        before = shop.round_trips
        assert (await shop.order(buyer)).coupon_code == "TEN"
        assert shop.round_trips == before + 1


class TestCoupons:
    async def test_one_is_applied_counted_with_the_order_and_gone_from_the_cart(self, shop: Shop) -> None:
        promotion = await made(shop, code="TEN", usage_limit=1)
        buyer, _ = await filled(shop)
        cart = await apply(shop, buyer, " ten ")
        head = await shop.log.head()
        order = await shop.order(buyer)
        assert [type(event) for event in await shop.events_after(head)] == [
            OrderPlaced,
            StockReserved,
            CouponRedeemed,
            CouponRedeemed,
            CartCheckedOut,
            CouponRemoved,
        ]
        assert order.total == quoted(shop, cart).totals.total == Money(1472)
        assert (await used(shop, promotion), await used(shop, promotion, buyer)) == (1, 1)
        assert (await shop.now(CARTS, cart_of(buyer.account_id))).coupon is None

    async def test_another_one_takes_its_place(self, shop: Shop) -> None:
        await made(shop, code="TEN")
        await made(shop, code="FIVE", percentage=Decimal(5))
        buyer, _ = await filled(shop)
        await apply(shop, buyer, "TEN")
        await apply(shop, buyer, "FIVE")
        assert (await shop.order(buyer)).coupon_code == "FIVE"

    async def test_it_is_taken_out_once(self, shop: Shop) -> None:
        await made(shop, code="TEN")
        buyer, _ = await filled(shop)
        remove = RemoveCoupon(account_id=buyer.account_id)
        await refused(shop, remove, CouponNotAppliedError)
        stranger = await shop.buyer("stranger")
        await refused(shop, RemoveCoupon(account_id=stranger.account_id), CouponNotAppliedError)
        await apply(shop, buyer, "TEN")
        await shop.handle(remove)
        await refused(shop, remove, CouponNotAppliedError)
        assert (await shop.order(buyer)).discount == Money(0)

    async def test_none_is_for_an_empty_cart(self, shop: Shop) -> None:
        await made(shop, code="TEN")
        buyer = await shop.buyer()
        await refused(shop, ApplyCoupon(account_id=buyer.account_id, code="TEN"), CartEmptyError)

    async def test_unknown_is_told_like_over(self, shop: Shop) -> None:
        await made(shop, code="OVER", ends_at=shop.clock.at + timedelta(hours=1))
        shop.clock.at += timedelta(hours=2)
        buyer, _ = await filled(shop)
        told = [
            await refused(shop, ApplyCoupon(account_id=buyer.account_id, code=code), CouponInvalidError)
            for code in ("OVER", "NONE")
        ]
        assert told[0].message == told[1].message
        assert [error.details["reason"] for error in told] == ["NOT_VALID", "NOT_VALID"]

    async def test_in_the_cart_it_refuses_the_order_once_it_is_no_longer_good(self, shop: Shop) -> None:
        promotion = await made(shop, code="TEN")
        buyer, listing = await filled(shop)
        await apply(shop, buyer, "TEN")
        await shop.handle(ChangePromotion(reference=str(promotion.number), fields={}, active=False))
        order = PlaceOrder(caller=buyer, lines=(), shipping_address=ADDRESS)
        error = await refused(shop, order, CouponInvalidError)
        assert error.details == {"code": "TEN", "reason": "NOT_VALID"}
        add = AddToCart(account_id=buyer.account_id, listing_id=listing.id, quantity=1)
        assert quoted(shop, (await shop.handle(add)).state).fault == "NOT_VALID"
        await shop.handle(RemoveCoupon(account_id=buyer.account_id))
        assert (await shop.order(buyer)).discount == Money(0)

    async def test_an_order_of_named_lines_has_the_coupon_that_it_names(self, shop: Shop) -> None:
        await made(shop, code="TEN")
        await made(shop, code="FIVE", percentage=Decimal(5))
        buyer, listing = await filled(shop)
        await apply(shop, buyer, "TEN")
        assert (await shop.order(buyer, (listing, 1), coupon_code="five")).coupon_code == "FIVE"
        assert (await shop.now(CARTS, cart_of(buyer.account_id))).coupon is not None
        await refused(
            shop,
            PlaceOrder(
                caller=buyer,
                lines=(WantedLine(listing_id=listing.id, quantity=1),),
                shipping_address=ADDRESS,
                coupon_code="none",
            ),
            CouponInvalidError,
        )

    async def test_or_else_the_one_in_the_cart(self, shop: Shop) -> None:
        """A client of S2 puts it into the cart and names what is in the cart when it orders."""
        ten = await made(shop, code="TEN")
        buyer, listing = await filled(shop)
        cart = await apply(shop, buyer, "TEN")
        order = await shop.order(buyer, (listing, 1), expected_total=quoted(shop, cart).totals.total)
        assert order.coupon_code == "TEN"
        assert (await shop.now(CARTS, cart_of(buyer.account_id))).coupon is None
        await shop.handle(AddToCart(account_id=buyer.account_id, listing_id=listing.id, quantity=1))
        await apply(shop, buyer, "TEN")
        await shop.handle(ChangePromotion(reference=str(ten.number), fields={}, active=False))
        lines = (WantedLine(listing_id=listing.id, quantity=1),)
        command = PlaceOrder(caller=buyer, lines=lines, shipping_address=ADDRESS)
        await refused(shop, command, CouponInvalidError)

    async def test_which_need_not_be_for_other_things_than_are_in_the_cart(self, shop: Shop) -> None:
        buyer, listing = await filled(shop)
        other = await shop.listing()
        await made(
            shop, code="TEN", scope=ScopeWish(kind=ScopeKind.PRODUCTS, references=(str(listing.number),))
        )
        await apply(shop, buyer, "TEN")
        assert (await shop.order(buyer, (other, 1))).coupon_code == ""
        assert (await shop.now(CARTS, cart_of(buyer.account_id))).coupon is not None
        await shop.handle(AddToCart(account_id=buyer.account_id, listing_id=other.id, quantity=1))
        assert (await shop.order(buyer, (listing, 1))).coupon_code == "TEN"

    async def test_also_where_another_process_has_put_it_there_just_now(self, shop: Shop) -> None:
        ten = await made(shop, code="TEN")
        buyer, listing = await filled(shop)
        await shop.order(buyer, (listing, 1))
        await shop.handle(AddToCart(account_id=buyer.account_id, listing_id=listing.id, quantity=1))
        await shop.another_store().change(
            CARTS,
            cart_of(buyer.account_id),
            lambda cart: cart.apply_coupon(ten.id, "TEN") if cart else [],
            METADATA,
        )
        assert (await shop.order(buyer, (listing, 1))).coupon_code == "TEN"

    async def test_put_in_by_another_process_it_is_not_overlooked(self, shop: Shop) -> None:
        await made(shop, code="TEN")
        buyer, listing = await filled(shop)
        here, shop.store = shop.store, shop.another_store()
        owner = (await made(shop, code="OWN")).id
        await shop.store.change(
            CARTS,
            cart_of(buyer.account_id),
            lambda cart: cart.apply_coupon(owner, "OWN") if cart else [],
            METADATA,
        )
        shop.store = here
        add = AddToCart(account_id=buyer.account_id, listing_id=listing.id, quantity=1)
        cart = (await add_to_cart(add, METADATA, store=here, clock=shop.clock)).state
        assert cart.dealt.coupon is not None
        assert (await shop.order(buyer)).coupon_code == "OWN"


class TestLimits:
    async def test_of_twenty_orders_at_once_one_gets_the_only_use(self, shop: Shop) -> None:
        promotion = await made(shop, code="ONE", usage_limit=1)
        listing = await shop.listing(stock=100)
        buyers = [await shop.buyer(f"buyer{number}") for number in range(20)]
        tries = await asyncio.gather(
            *(shop.order(buyer, (listing, 1), coupon_code="ONE") for buyer in buyers), return_exceptions=True
        )
        refusals = [outcome for outcome in tries if isinstance(outcome, CouponInvalidError)]
        assert len(refusals) == 19
        assert {refusal.details["reason"] for refusal in refusals} == {"USAGE_LIMIT_REACHED"}
        assert await used(shop, promotion) == 1
        assert (await shop.listing_now(listing)).reserved == 1

    async def test_nor_do_two_processes_give_it_away_twice(self, shop: Shop) -> None:
        promotion = await made(shop, code="THREE", usage_limit=3)
        listing = await shop.listing(stock=100)
        buyers = [await shop.buyer(f"buyer{number}") for number in range(12)]
        stores = (shop.store, shop.another_store())
        numbers = Numbers()

        async def buy(number: int) -> object:
            lines = (WantedLine(listing_id=listing.id, quantity=1),)
            return await place_order(
                PlaceOrder(caller=buyers[number], lines=lines, shipping_address=ADDRESS, coupon_code="three"),
                METADATA,
                store=stores[number % 2],
                keys=shop.keys,
                numbers=numbers,
                clock=shop.clock,
                payments=shop.provider,
                conditions=Conditions(tariff=Tariff()),
            )

        tries = await asyncio.gather(*(buy(number) for number in range(12)), return_exceptions=True)
        assert sum(isinstance(outcome, CouponInvalidError) for outcome in tries) == 9
        assert not any(isinstance(outcome, ConcurrentChangeError) for outcome in tries)
        assert await used(shop, promotion) == 3

    async def test_each_customer_has_their_own(self, shop: Shop) -> None:
        await made(shop, code="MINE", per_customer_limit=1)
        listing = await shop.listing(stock=100)
        emily, jane = await shop.buyer("emily"), await shop.buyer("jane")
        tries = await asyncio.gather(
            *(
                shop.order(buyer, (listing, 1), coupon_code="MINE")
                for buyer in (emily, jane)
                for _ in range(5)
            ),
            return_exceptions=True,
        )
        refusals = [outcome for outcome in tries if isinstance(outcome, CouponInvalidError)]
        assert {refusal.details["reason"] for refusal in refusals} == {"CUSTOMER_LIMIT_REACHED"}
        assert len(refusals) == 8


class Numbers:
    def __init__(self) -> None:
        self.last = 0

    async def next(self, _: str) -> int:
        self.last += 1
        return self.last

    def give_back(self, name: str, number: int) -> None:
        """A hole does not matter here."""


class TestNothingToPay:
    async def test_an_order_of_nothing_is_paid_as_soon_as_it_is_placed(self, shop: Shop) -> None:
        await made(shop, percentage=Decimal(100), stackable=True)
        await made(shop, discount_type=DiscountType.FREE_SHIPPING, stackable=True)
        listing, buyer = await shop.listing(), await shop.buyer()
        head = await shop.log.head()
        order = await shop.order(buyer, (listing, 2))
        assert (order.total, order.status) == (Money(0), OrderStatus.PROCESSING)
        events = await shop.events_after(head)
        assert [type(event) for event in events] == [
            OrderPlaced,
            OrderConfirmed,
            StockReserved,
            StockCommitted,
        ]
        now = await shop.listing_now(listing)
        assert (now.stock, now.reserved) == (8, 0)
        assert isinstance(events[0], OrderPlaced)
        assert request_payment_for(events[0]) == []
        await refused(shop, RequestPayment(order_id=order.id), NothingToPayError)
