"""Checking out: what an order would cost, where it goes and how, on a log in memory."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from application.accounts.addresses import AddAddress, RemoveAddress, UpdateAddress
from application.accounts.standing import GrantRole
from application.carts.filling import AddToCart
from application.countries import country_code, is_country
from application.listings.changing import ChangeListing
from application.orders.placing import CheckedOut, CheckOut, Conditions, PlaceOrder, SavedAddress
from application.orders.previewing import preview_order, shipping_rates
from application.ports import EventStore
from application.sellers.keeping import RemoveShippingProfile
from domain.accounts.account import ACCOUNTS, AddressNotFoundError, EmailNotVerifiedError
from domain.accounts.events import Caller, PostalDetails, Role
from domain.carts.cart import CartEmptyError, OwnListingError
from domain.kernel import InvalidInputError, stream_id
from domain.listings.listing import InsufficientStockError, Listing, ProductNotFoundError
from domain.money import Money
from domain.orders.events import OrderPlaced, PlacedParcel, PostalAddress
from domain.orders.order import ORDERS, Order, PriceChangedError
from domain.orders.pricing import Tariff
from domain.orders.shipping import ShippingMethod, ShippingNotAvailableError, ShippingRates
from domain.placing import WantedLine
from domain.redeeming import OfferedMethod
from domain.sellers.events import HOUSE_SELLER, seller_of
from tests.application.shop import ADDRESS, METADATA, Counting, Shop
from tests.application.test_promotions import made
from tests.domain.builders import ADMIN

HOME = PostalDetails(
    label="Home",
    first_name="Emily",
    last_name="Smith",
    address="1 Main St",
    address_line2="Flat 2",
    city="Berlin",
    zip_code="10115",
    country="Germany",
)
AT_HOME = PostalAddress(
    first_name="Emily",
    last_name="Smith",
    address="1 Main St, Flat 2",
    city="Berlin",
    zip_code="10115",
    country="Germany",
)
EXPRESS = ShippingMethod.EXPRESS
OPEN = Conditions(tariff=Tariff())


@pytest.fixture
def shop() -> Shop:
    return Shop()


def wish(buyer: Caller, *wanted: tuple[Listing, int], **fields: Any) -> PlaceOrder:
    lines = tuple(WantedLine(listing_id=listing.id, quantity=quantity) for listing, quantity in wanted)
    return PlaceOrder(**{"caller": buyer, "lines": lines, "shipping_address": ADDRESS, **fields})


async def preview(
    shop: Shop, order: PlaceOrder, *, store: EventStore | None = None, conditions: Conditions = OPEN
) -> CheckedOut:
    return await preview_order(
        order, store=store or shop.store, keys=shop.keys, clock=shop.clock, conditions=conditions
    )


async def rates(shop: Shop, order: PlaceOrder) -> list[OfferedMethod]:
    return await shipping_rates(order, store=shop.store, keys=shop.keys, clock=shop.clock, conditions=OPEN)


async def a_seller(shop: Shop, name: str = "jane") -> Caller:
    seller = await shop.buyer(name)
    await shop.handle(GrantRole(account_id=seller.account_id, role=Role.SELLER))
    return seller


async def at_home(shop: Shop, buyer: Caller, details: PostalDetails = HOME) -> int:
    changed = await shop.handle(AddAddress(account_id=buyer.account_id, details=details))
    number: int = changed.state.addresses[-1].number
    return number


def costs(order: Order) -> dict[str, Any]:
    names = ("lines", "subtotal", "discount", "promotions", "tax", "taxes", "shipping", "parcels", "total")
    return {name: getattr(order, name) for name in names}


class TestAPreview:
    async def test_records_nothing_takes_no_number_and_asks_nobody(self, shop: Shop) -> None:
        listing, buyer = await shop.listing(), await shop.buyer()
        await shop.handle(AddToCart(account_id=buyer.account_id, listing_id=listing.id, quantity=2))
        head = await shop.log.head()
        seen = await preview(shop, wish(buyer))
        assert await shop.log.head() == head
        assert (await shop.listing_now(listing)).available == 10
        assert shop.provider.intents == {}
        assert seen.order.total == Money(2000 + 160 + 500)
        assert (await shop.order(buyer)).number == "ORD-2026112101"

    @settings(max_examples=40, deadline=None)
    @given(
        lines=st.lists(
            st.tuples(st.integers(60, 9_000), st.integers(1, 4), st.booleans()), min_size=1, max_size=4
        ),
        percent=st.integers(1, 100),
        express=st.booleans(),
        from_cart=st.booleans(),
    )
    async def test_says_what_the_order_that_follows_costs(
        self, lines: Sequence[tuple[int, int, bool]], percent: int, *, express: bool, from_cart: bool
    ) -> None:
        shop = Shop()
        buyer = await shop.buyer()
        profile = await shop.shipping(base_cost=Money(310), per_item_cost=Money(20))
        wanted = [
            (await shop.listing(price=price, shipping_profile_id=profile if own else None), quantity)
            for price, quantity, own in lines
        ]
        await made(shop, percentage=Decimal(percent))
        if from_cart:
            for listing, quantity in wanted:
                command = AddToCart(account_id=buyer.account_id, listing_id=listing.id, quantity=quantity)
                await shop.handle(command)
        method = EXPRESS if express else ShippingMethod.STANDARD
        asked = wish(buyer, *(() if from_cart else wanted), shipping_method=method)
        seen = await preview(shop, asked)
        (chosen,) = [each for each in seen.methods if each.method is method]
        assert chosen.shipping == seen.order.shipping
        order = (await shop.handle(replace(asked, expected_total=seen.order.total))).state
        assert costs(order) == costs(seen.order)

    async def test_of_a_price_that_changes_meanwhile_no_order_is_placed_unawares(self, shop: Shop) -> None:
        listing, buyer, elsewhere = await shop.listing(), await shop.buyer(), shop.another_store()
        seen = await preview(shop, wish(buyer, (listing, 1)), store=elsewhere)
        await shop.handle(ChangeListing(listing_id=listing.id, caller=ADMIN, price=Money(1100)))
        asked = wish(buyer, (listing, 1), expected_total=seen.order.total)
        with pytest.raises(PriceChangedError) as refused:
            await shop.bus_on(elsewhere).handle(asked, METADATA)
        again = await preview(shop, wish(buyer, (listing, 1)), store=elsewhere)
        assert again.order.total.units() == refused.value.details["total"]
        order = (await shop.handle(replace(asked, expected_total=again.order.total))).state
        assert costs(order) == costs(again.order)

    async def test_sees_the_cart_as_another_process_has_filled_it_just_now(self, shop: Shop) -> None:
        one, two, buyer = await shop.listing(), await shop.listing(), await shop.buyer()
        elsewhere = shop.another_store()
        for count, listing in enumerate((one, two), 1):
            command = AddToCart(account_id=buyer.account_id, listing_id=listing.id, quantity=1)
            await shop.handle(command)
            seen = await preview(shop, wish(buyer), store=elsewhere)
            assert len(seen.order.lines) == count

    async def test_is_refused_as_the_order_would_be(self, shop: Shop) -> None:
        listing, buyer = await shop.listing(stock=1), await shop.buyer()
        seller = await a_seller(shop)
        own = await shop.listing(seller_id=seller_of(seller.account_id))
        for order, refusal in (
            (wish(buyer), CartEmptyError),
            (wish(buyer, (listing, 2)), InsufficientStockError),
            (wish(seller, (own, 1)), OwnListingError),
            (wish(buyer, (listing, 1), shipping_address=SavedAddress(named=9)), AddressNotFoundError),
            (wish(buyer, (listing, 1), expected_total=Money(1)), PriceChangedError),
        ):
            with pytest.raises(refusal):
                await preview(shop, order)
            with pytest.raises(refusal):
                await shop.handle(order)

    async def test_takes_one_round_trip(self) -> None:
        shop = Counting()
        listing, buyer = await shop.listing(), await shop.buyer()
        await shop.handle(AddToCart(account_id=buyer.account_id, listing_id=listing.id, quantity=1))
        await preview(shop, wish(buyer))
        for order in (wish(buyer), wish(buyer, (listing, 1))):
            before = shop.round_trips
            await preview(shop, order)
            assert shop.round_trips == before + 1
        before = shop.round_trips
        await shop.handle(CheckOut(order=wish(buyer)))
        assert shop.round_trips == before + 1

    async def test_tells_of_every_way_to_send_it(self, shop: Shop) -> None:
        profile = await shop.shipping(handling_days=3)
        listing, buyer = await shop.listing(shipping_profile_id=profile), await shop.buyer()
        seen = await preview(shop, wish(buyer, (listing, 1)))
        assert seen.methods == [
            OfferedMethod(method=ShippingMethod.STANDARD, shipping=Money(700), days=7),
            OfferedMethod(method=EXPRESS, shipping=Money(1700), days=4),
        ]
        bought: CheckedOut = (await shop.handle(CheckOut(order=wish(buyer, (listing, 1))))).state
        assert bought.methods == seen.methods
        assert bought.order == await shop.now(ORDERS, bought.order.id)


class TestTheAddress:
    async def test_is_taken_from_the_buyers_book_as_it_is_then(self, shop: Shop) -> None:
        listing, buyer = await shop.listing(), await shop.buyer()
        number = await at_home(shop, buyer)
        placed = []
        for named in (number, stream_id("address", number), None):
            address = SavedAddress(named=named)
            asked = wish(buyer, (listing, 1), shipping_address=address, billing_address=address)
            placed.append((await shop.handle(asked)).state)
        moved = UpdateAddress(account_id=buyer.account_id, number=number, changes={"city": "Bonn"})
        await shop.handle(moved)
        for order in [await shop.now(ORDERS, order.id) for order in placed]:
            assert (order.shipping_address, order.billing_address) == (AT_HOME, AT_HOME)
        last = (await shop.handle(wish(buyer, (listing, 1), shipping_address=SavedAddress()))).state
        assert last.shipping_address.city == "Bonn"

    async def test_of_somebody_else_is_not_found(self, shop: Shop) -> None:
        listing, buyer, other = await shop.listing(), await shop.buyer(), await shop.buyer("mary")
        theirs = await at_home(shop, other)
        head = await shop.log.head()
        with pytest.raises(AddressNotFoundError):
            await shop.handle(wish(buyer, (listing, 1), shipping_address=SavedAddress(named=theirs)))
        assert await shop.log.head() == head

    async def test_is_needed_but_where_an_order_may_lack_it(self, shop: Shop) -> None:
        listing, buyer = await shop.listing(), await shop.buyer()
        nowhere = wish(buyer, (listing, 1), shipping_address=SavedAddress())
        with pytest.raises(InvalidInputError) as refused:
            await shop.handle(nowhere)
        assert refused.value.details == {"shippingAddress": ["Is required"]}
        order = (await shop.handle(replace(nowhere, may_lack_address=True))).state
        assert order.shipping_address == PostalAddress()
        number = await at_home(shop, buyer)
        order = (await shop.handle(replace(nowhere, may_lack_address=True))).state
        assert order.shipping_address == AT_HOME
        await shop.handle(RemoveAddress(account_id=buyer.account_id, number=number))
        with pytest.raises(InvalidInputError):
            await shop.handle(nowhere)


class TestSending:
    async def test_each_seller_has_a_parcel_and_its_share(self, shop: Shop) -> None:
        buyer, jane = await shop.buyer(), await a_seller(shop)
        theirs = await shop.shipping(
            seller_of(jane.account_id), base_cost=Money(400), per_item_cost=Money(100)
        )
        one = await shop.listing(seller_id=seller_of(jane.account_id), shipping_profile_id=theirs)
        two = await shop.listing()
        order = await shop.order(buyer, (one, 3), (two, 1), shipping_method=EXPRESS)
        (placed,) = [event for event in await shop.events_after(0) if isinstance(event, OrderPlaced)]
        assert placed.parcels == (
            PlacedParcel(seller_id=seller_of(jane.account_id), shipping=Money(600 + 750)),
            PlacedParcel(seller_id=HOUSE_SELLER, shipping=Money(500 + 250)),
        )
        assert (placed.shipping_method, placed.taxes) == ("express", order.taxes)
        assert order.shipping == Money(600 + 500 + 1000)
        assert [line.shipping_profile_id for line in order.lines] == [theirs, None]

    @pytest.mark.parametrize("country", ["USA", "us", "United States", "U.S.A."])
    async def test_a_country_may_be_called_anything(self, shop: Shop, country: str) -> None:
        profile = await shop.shipping(countries=("United States", "Canada"))
        listing, buyer = await shop.listing(shipping_profile_id=profile), await shop.buyer()
        address = replace(ADDRESS, country=country)
        order = (await shop.handle(wish(buyer, (listing, 1), shipping_address=address))).state
        assert (order.shipping, order.shipping_address.country) == (Money(700), country)

    async def test_where_it_cannot_be_sent_there_is_no_order(self, shop: Shop) -> None:
        profile = await shop.shipping(countries=("US",))
        listing, buyer = await shop.listing(shipping_profile_id=profile), await shop.buyer()
        abroad = wish(buyer, (listing, 1), shipping_address=AT_HOME)
        head = await shop.log.head()
        for attempt in (preview(shop, abroad), rates(shop, abroad), shop.handle(abroad)):
            with pytest.raises(ShippingNotAvailableError) as refused:
                await attempt
            assert refused.value.details == {"country": "DE", "productIds": [listing.number]}
        assert await shop.log.head() == head
        await shop.handle(RemoveShippingProfile(seller_id=HOUSE_SELLER, profile_id=profile))
        assert (await shop.handle(abroad)).state.shipping == Money(500)

    async def test_rates_are_told_of_what_is_sold_out_but_not_of_what_is_gone(self, shop: Shop) -> None:
        listing, buyer = await shop.listing(stock=1), await shop.buyer()
        jane = await a_seller(shop)
        other = await shop.listing(seller_id=seller_of(jane.account_id))
        for each in (listing, other):
            await shop.handle(AddToCart(account_id=buyer.account_id, listing_id=each.id, quantity=1))
        await shop.order(await shop.buyer("mary"), (listing, 1))
        both = [Money(500), Money(1500)]
        assert [each.shipping for each in await rates(shop, wish(buyer))] == both
        assert [each.shipping for each in await rates(shop, wish(buyer, (listing, 9)))] == both
        await shop.suspend(jane.account_id)
        seller = await shop.store.load(ACCOUNTS, jane.account_id)
        assert seller.present.suspended
        with pytest.raises(ProductNotFoundError):
            await rates(shop, wish(buyer, (replace(listing, id=stream_id("listing", 99)), 1)))
        nowhere = wish(buyer, shipping_address=SavedAddress())
        with pytest.raises(InvalidInputError) as refused:
            await rates(shop, nowhere)
        assert refused.value.details == {"address": ["Is required"]}

    async def test_rates_of_a_shop_that_sends_by_country(self, shop: Shop) -> None:
        listing, buyer = await shop.listing(), await shop.buyer()
        conditions = Conditions(
            tariff=Tariff(shipping=ShippingRates(elsewhere=None, by_country={"US": 500, "DE": 900}))
        )
        for address, shipping in ((ADDRESS, 500), (AT_HOME, 900)):
            asked = wish(buyer, (listing, 1), shipping_address=address)
            assert (await preview(shop, asked, conditions=conditions)).order.shipping == Money(shipping)


class TestProof:
    async def test_only_who_has_proved_their_address_may_order_where_the_shop_wants_that(
        self, shop: Shop
    ) -> None:
        listing, buyer = await shop.listing(), await shop.buyer()
        strict = Conditions(tariff=Tariff(), verified_only=True)
        asked = wish(buyer, (listing, 1))
        with pytest.raises(EmailNotVerifiedError):
            await preview(shop, asked, conditions=strict)
        await shop.store.change(
            ACCOUNTS,
            buyer.account_id,
            lambda account: account.prove_email() if account else [],
            METADATA,
        )
        assert (await preview(shop, asked, conditions=strict)).order.total == Money(1580)


class TestCountries:
    @pytest.mark.parametrize(
        ("text", "code"),
        [
            ("us", "US"),
            ("USA", "US"),
            (" united  states ", "US"),
            ("840", "US"),
            ("UK", "GB"),
            ("Türkiye", "TR"),
            ("Turkey", "TR"),
            ("Germany", "DE"),
            ("Atlantis", "ATLANTIS"),
            ("", ""),
        ],
    )
    def test_are_known_by_name_and_code(self, text: str, code: str) -> None:
        assert country_code(text) == code

    def test_which_are_countries(self) -> None:
        assert [is_country(code) for code in ("US", "us", "XX", "ATLANTIS", "")] == [
            True,
            True,
            False,
            False,
            False,
        ]
