"""From the cart to the paid order, on a log in memory."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from uuid import UUID

import pytest

from application.accounts.standing import GrantRole
from application.carts.filling import AddToCart, ChangeCartItem, add_to_cart
from application.categories.creating import CreateCategory
from application.listings.creating import CreateListing
from application.orders.placing import PlaceOrder
from application.payments.paying import (
    ConfirmPayment,
    PaymentResult,
    RecordPaymentResult,
    RequestPayment,
    record_payment_result,
)
from application.ports import AlreadyAnsweredError, Answer, Metadata, Once
from domain.accounts.account import (
    ACCOUNTS,
    AccountSuspendedError,
    DeletionScheduledError,
    UserNotFoundError,
)
from domain.accounts.events import AccountErased, Caller, Role
from domain.carts.cart import CartEmptyError, OwnListingError
from domain.carts.events import CartCheckedOut
from domain.kernel import AccountId, AlreadyExistsError, ForbiddenError, InvalidInputError, NotFoundError
from domain.listings.events import StockCommitted, StockReserved
from domain.listings.listing import InsufficientStockError, ProductNotFoundError
from domain.money import Money
from domain.orders.events import OrderConfirmed, OrderPaymentLinked, OrderPlaced, OrderStatus, PaymentStatus
from domain.orders.order import ORDERS, PaymentAmountMismatchError, PriceChangedError
from domain.payments.events import PaymentIntentCreated, PaymentSucceeded
from domain.placing import WantedLine
from domain.sellers.events import HOUSE_SELLER, seller_of
from tests.application.shop import ADDRESS, METADATA, Counting, Shop
from tests.domain.builders import listing_id


@pytest.fixture
def shop() -> Shop:
    return Shop()


class TestTheCart:
    async def test_it_shows_every_line_with_its_listing(self, shop: Shop) -> None:
        one, two, buyer = await shop.listing(), await shop.listing(), await shop.buyer()
        await shop.handle(AddToCart(account_id=buyer.account_id, listing_id=one.id, quantity=2))
        changed = await shop.handle(AddToCart(account_id=buyer.account_id, listing_id=two.id, quantity=1))
        assert changed.state.cart.lines == {one.id: 2, two.id: 1}
        assert set(changed.state.shelf.listings) == {one.id, two.id}

    async def test_more_than_there_is_is_refused(self, shop: Shop) -> None:
        listing, buyer = await shop.listing(stock=3), await shop.buyer()
        await shop.handle(AddToCart(account_id=buyer.account_id, listing_id=listing.id, quantity=2))
        head = await shop.log.head()
        with pytest.raises(InsufficientStockError):
            await shop.handle(AddToCart(account_id=buyer.account_id, listing_id=listing.id, quantity=2))
        assert await shop.log.head() == head

    async def test_an_unknown_product(self, shop: Shop) -> None:
        buyer = await shop.buyer()
        with pytest.raises(ProductNotFoundError):
            await shop.handle(AddToCart(account_id=buyer.account_id, listing_id=listing_id(99), quantity=1))

    async def test_zero_removes_a_line(self, shop: Shop) -> None:
        listing, buyer = await shop.listing(), await shop.buyer()
        await shop.handle(AddToCart(account_id=buyer.account_id, listing_id=listing.id, quantity=2))
        await shop.handle(ChangeCartItem(account_id=buyer.account_id, listing_id=listing.id, quantity=0))
        assert await shop.cart_lines(buyer) == {}


class TestPlacing:
    async def test_order_stock_and_cart_move_in_one_append(self, shop: Shop) -> None:
        listing, buyer = await shop.listing(), await shop.buyer()
        await shop.handle(AddToCart(account_id=buyer.account_id, listing_id=listing.id, quantity=2))
        head = await shop.log.head()
        order = await shop.order(buyer)
        assert [type(event) for event in await shop.events_after(head)] == [
            OrderPlaced,
            StockReserved,
            CartCheckedOut,
        ]
        assert order.number == "ORD-2026112101"
        assert (await shop.listing_now(listing)).available == 8
        assert await shop.cart_lines(buyer) == {}

    async def test_an_empty_cart(self, shop: Shop) -> None:
        with pytest.raises(CartEmptyError):
            await shop.order(await shop.buyer())

    async def test_named_lines_leave_the_rest_of_the_cart(self, shop: Shop) -> None:
        one, two, buyer = await shop.listing(), await shop.listing(), await shop.buyer()
        for listing in (one, two):
            await shop.handle(AddToCart(account_id=buyer.account_id, listing_id=listing.id, quantity=1))
        await shop.order(buyer, (one, 1))
        assert await shop.cart_lines(buyer) == {two.id: 1}

    @pytest.mark.parametrize("filled_before", [True, False])
    async def test_the_cart_is_bought_as_another_process_has_filled_it_just_now(
        self, shop: Shop, *, filled_before: bool
    ) -> None:
        one, two, buyer = await shop.listing(), await shop.listing(), await shop.buyer()
        if filled_before:
            await shop.handle(AddToCart(account_id=buyer.account_id, listing_id=one.id, quantity=1))
        else:
            with pytest.raises(CartEmptyError):
                await shop.order(buyer)
        added = AddToCart(account_id=buyer.account_id, listing_id=two.id, quantity=2)
        await add_to_cart(added, METADATA, store=shop.another_store(), clock=shop.clock)
        order = await shop.order(buyer)
        assert {line.listing_id for line in order.lines} == ({one.id, two.id} if filled_before else {two.id})

    async def test_many_at_once_never_sell_more_than_there_is(self, shop: Shop) -> None:
        listing, buyer = await shop.listing(stock=5), await shop.buyer()
        tries = await asyncio.gather(
            *(shop.order(buyer, (listing, 1)) for _ in range(20)), return_exceptions=True
        )
        assert sum(isinstance(outcome, InsufficientStockError) for outcome in tries) == 15
        assert (await shop.listing_now(listing)).available == 0

    async def test_what_comes_to_nothing_leaves_no_hole_in_the_numbers(self, shop: Shop) -> None:
        listing, buyer = await shop.listing(stock=2), await shop.buyer()
        once = Once(
            scope=f"user:{buyer.account_id}",
            key="k1",
            request_hash=b"h",
            answer=lambda _: Answer(status=201, body=b""),
        )
        lines = (WantedLine(listing_id=listing.id, quantity=1),)
        command = PlaceOrder(caller=buyer, lines=lines, shipping_address=ADDRESS)
        await shop.handle(command, Metadata(actor="test", once=once))
        for _ in range(3):
            with pytest.raises(AlreadyAnsweredError):
                await shop.handle(command, Metadata(actor="test", once=once))
            with pytest.raises(InsufficientStockError):
                await shop.order(buyer, (listing, 2))
        assert (await shop.order(buyer, (listing, 1))).number == "ORD-2026112102"

    async def test_the_version_that_is_told_is_the_orders_own(self, shop: Shop) -> None:
        listing, buyer = await shop.listing(), await shop.buyer()
        for quantity in (1, 2):
            add = AddToCart(account_id=buyer.account_id, listing_id=listing.id, quantity=quantity)
            await shop.handle(add)
        placed = await shop.handle(PlaceOrder(caller=buyer, lines=(), shipping_address=ADDRESS))
        assert placed.version == (await shop.store.load(ORDERS, placed.state.id)).version == 1

    async def test_nobody_buys_what_they_sell(self, shop: Shop) -> None:
        seller = await shop.buyer("seller")
        await shop.handle(GrantRole(account_id=seller.account_id, role=Role.SELLER))
        listing = await shop.listing(seller_id=seller_of(seller.account_id))
        head = await shop.log.head()
        with pytest.raises(OwnListingError):
            await shop.order(seller, (listing, 1))
        assert await shop.log.head() == head
        await shop.order(await shop.buyer(), (listing, 1))

    @pytest.mark.parametrize("way", ["suspended", "leaving", "erased"])
    async def test_who_may_not_sign_in_any_more_buys_nothing(self, shop: Shop, way: str) -> None:
        """Decided by another process, while the order is under way in this one."""
        listing, buyer = await shop.listing(), await shop.buyer()
        await shop.order(buyer, (listing, 1))  # so that all of it is remembered here
        await shop.handle(AddToCart(account_id=buyer.account_id, listing_id=listing.id, quantity=1))
        away = {
            "suspended": lambda account: account.suspend("fraud", shop.clock.at),
            "leaving": lambda account: account.request_deletion("", shop.clock.at),
            "erased": lambda account: [
                *account.request_deletion("", shop.clock.at, timedelta()),
                AccountErased(account_id=buyer.account_id, erased_at=shop.clock.at),
            ],
        }[way]
        await shop.another_store().change(ACCOUNTS, buyer.account_id, away, METADATA)
        head = await shop.log.head()
        refusal = {
            "suspended": AccountSuspendedError,
            "leaving": DeletionScheduledError,
            "erased": UserNotFoundError,
        }[way]
        for wanted in ([(listing, 1)], []):
            with pytest.raises(refusal):
                await shop.order(buyer, *wanted)
        assert await shop.log.head() == head
        with pytest.raises(UserNotFoundError):
            await shop.order(Caller(account_id=AccountId(UUID(int=7)), number=7), (listing, 1))

    async def test_two_orders_of_one_buyer_do_not_wait_for_each_other(self) -> None:
        shop = Counting()
        one, two, buyer = await shop.listing(stock=50), await shop.listing(stock=50), await shop.buyer()
        for listing in (one, two):
            await shop.order(buyer, (listing, 1))
        before = shop.round_trips
        orders = [shop.order(buyer, ((one, two)[turn % 2], 1)) for turn in range(10)]
        await asyncio.gather(*orders)
        assert shop.round_trips == before + 10

    async def test_another_total_than_the_client_showed_is_refused_with_the_new_one(self, shop: Shop) -> None:
        listing, buyer = await shop.listing(), await shop.buyer()
        head = await shop.log.head()
        with pytest.raises(PriceChangedError) as refused:
            await shop.order(buyer, (listing, 1), expected_total=Money(1579))
        assert refused.value.details == {
            "subtotal": 10.0,
            "discount": 0.0,
            "tax": 0.8,
            "shipping": 5.0,
            "total": 15.8,
        }
        assert await shop.log.head() == head
        assert (await shop.order(buyer, (listing, 1), expected_total=Money(1580))).total == Money(1580)

    async def test_a_repeated_request_is_answered_with_the_first_answer(self, shop: Shop) -> None:
        listing, buyer = await shop.listing(), await shop.buyer()
        once = Once(
            scope=f"user:{buyer.account_id}",
            key="k1",
            request_hash=b"h",
            answer=lambda changed: Answer(status=201, body=changed.state.number.encode()),
        )
        metadata = Metadata(actor="test", once=once)
        await shop.handle(AddToCart(account_id=buyer.account_id, listing_id=listing.id, quantity=1))

        command = PlaceOrder(caller=buyer, lines=(), shipping_address=ADDRESS)
        first = await shop.handle(command, metadata)
        head = await shop.log.head()
        with pytest.raises(AlreadyAnsweredError) as answered:
            await shop.handle(command, metadata)
        assert answered.value.answer == Answer(status=201, body=first.state.number.encode())
        assert await shop.log.head() == head


class TestPaying:
    async def test_asked_twice_it_is_the_same_intent(self, shop: Shop) -> None:
        listing, buyer = await shop.listing(), await shop.buyer()
        order = await shop.order(buyer, (listing, 1))
        head = await shop.log.head()
        first = await shop.handle(RequestPayment(order_id=order.id, caller=buyer))
        second = await shop.handle(RequestPayment(order_id=order.id, caller=buyer))
        assert first.state == second.state
        assert [type(event) for event in await shop.events_after(head)] == [
            PaymentIntentCreated,
            OrderPaymentLinked,
        ]

    async def test_another_amount_or_a_stranger_is_refused(self, shop: Shop) -> None:
        listing, buyer, stranger = await shop.listing(), await shop.buyer(), await shop.buyer("mallory")
        order = await shop.order(buyer, (listing, 1))
        with pytest.raises(PaymentAmountMismatchError):
            await shop.handle(RequestPayment(order_id=order.id, caller=buyer, amount=Money(1)))
        with pytest.raises(ForbiddenError):
            await shop.handle(RequestPayment(order_id=order.id, caller=stranger))

    async def test_the_webhook_pays_order_and_stock_together(self, shop: Shop) -> None:
        listing, buyer = await shop.listing(), await shop.buyer()
        order = await shop.order(buyer, (listing, 4))
        await shop.handle(RequestPayment(order_id=order.id))
        (intent,) = shop.provider.intents.values()
        head = await shop.log.head()
        await shop.handle(shop.paid(intent))
        await shop.handle(shop.paid(intent))
        events = await shop.events_after(head)
        assert [type(event) for event in events] == [PaymentSucceeded, OrderConfirmed, StockCommitted]
        paid = await shop.now(ORDERS, order.id)
        assert (paid.status, paid.payment_status) == (OrderStatus.PROCESSING, PaymentStatus.PAID)
        after = await shop.listing_now(listing)
        assert (after.stock, after.reserved) == (6, 0)

    async def test_a_webhook_that_comes_before_we_know_the_intent_is_enough(self, shop: Shop) -> None:
        listing, buyer = await shop.listing(), await shop.buyer()
        order = await shop.order(buyer, (listing, 1))
        intent = await shop.provider.create_intent(
            amount=order.total.minor,
            currency="usd",
            metadata={"orderId": order.number},
            idempotency_key="lost",
        )
        await shop.handle(shop.paid(intent))
        assert (await shop.now(ORDERS, order.id)).payment_status is PaymentStatus.PAID

    async def test_a_webhook_is_not_ignored_for_having_looked_before_the_order_was_there(
        self, shop: Shop
    ) -> None:
        listing, buyer = await shop.listing(), await shop.buyer()
        here, shop.store = shop.store, shop.another_store()
        intent = await shop.provider.create_intent(
            amount=1580, currency="usd", metadata={"orderId": "ORD-2026112101"}, idempotency_key="early"
        )
        early = await record_payment_result(shop.paid(intent), METADATA, store=shop.store, clock=shop.clock)
        assert early.state is None
        order = await shop.order(buyer, (listing, 1))
        assert (order.number, order.total) == ("ORD-2026112101", Money(1580))
        paid = await record_payment_result(shop.paid(intent), METADATA, store=shop.store, clock=shop.clock)
        assert paid.state is not None
        shop.store = here
        assert (await shop.now(ORDERS, order.id)).payment_status is PaymentStatus.PAID

    async def test_failure_and_success_in_any_order_end_in_success(self, shop: Shop) -> None:
        listing, buyer = await shop.listing(), await shop.buyer()
        for turn in range(2):
            order = await shop.order(buyer, (listing, 1))
            await shop.handle(RequestPayment(order_id=order.id))
            intent = shop.provider.intents[f"order-{order.id}"]
            failed = RecordPaymentResult(
                result=PaymentResult.FAILED, intent=intent, failure_code="card_declined"
            )
            messages = [failed, shop.paid(intent)]
            for message in messages if turn else reversed(messages):
                await shop.handle(message)
            assert (await shop.now(ORDERS, order.id)).payment_status is PaymentStatus.PAID

    async def test_an_intent_that_is_not_ours_changes_nothing(self, shop: Shop) -> None:
        await shop.listing()
        intent = await shop.provider.create_intent(
            amount=1, currency="usd", metadata={}, idempotency_key="foreign"
        )
        head = await shop.log.head()
        assert (await shop.handle(shop.paid(intent))).state is None
        assert await shop.log.head() == head

    async def test_confirming_by_the_client(self, shop: Shop) -> None:
        listing, buyer, stranger = await shop.listing(), await shop.buyer(), await shop.buyer("mallory")
        order = await shop.order(buyer, (listing, 1))
        payment = (await shop.handle(RequestPayment(order_id=order.id))).state
        with pytest.raises(ForbiddenError):
            await shop.handle(
                ConfirmPayment(intent_id=payment.intent_id, payment_method="pm_card_visa", caller=stranger)
            )
        confirm = ConfirmPayment(intent_id=payment.intent_id, payment_method="pm_card_visa", caller=buyer)
        changed = await shop.handle(confirm)
        assert (changed.state.status, changed.state.brand, changed.state.last4) == (
            "succeeded",
            "visa",
            "4242",
        )
        with pytest.raises(NotFoundError):
            await shop.handle(
                ConfirmPayment(intent_id="pi_none", payment_method="pm_card_visa", caller=buyer)
            )


class TestCreatingListings:
    async def test_the_same_title_twice_gets_two_slugs(self, shop: Shop) -> None:
        one, two = await shop.listing(title="Red Lipstick"), await shop.listing(title="Red Lipstick")
        assert (one.slug, two.slug) == ("red-lipstick", "red-lipstick-2")

    async def test_an_unknown_category_is_named(self, shop: Shop) -> None:

        with pytest.raises(InvalidInputError) as refused:
            await shop.handle(
                CreateListing(
                    seller_id=HOUSE_SELLER, title="Thing", description="", price=Money(1), category="nowhere"
                )
            )
        assert refused.value.details == {"category": ["Does not exist"]}

    async def test_a_category_slug_is_taken_once(self, shop: Shop) -> None:

        await shop.handle(CreateCategory(name="Things", slug="things"))
        with pytest.raises(AlreadyExistsError):
            await shop.handle(CreateCategory(name="Other Things", slug="things"))
