"""What the reactor does for reviews: whoever has paid for something is known as its buyer, whenever they spoke."""

from __future__ import annotations

from application.payments.paying import RequestPayment
from application.reviews.submitting import SubmitReview
from domain.reviews.events import purchase_of
from domain.reviews.purchase import PURCHASES, Purchase
from domain.reviews.review import REVIEWS
from tests.application.shop import Shop
from tests.workers.test_reactor import MemoryPlaces
from workers.reactor import REACTIONS, Reactor

NOTING = next(each for each in REACTIONS if each.name == "note-purchases")


async def test_a_payment_marks_what_was_said_and_an_unpaid_order_does_not() -> None:
    shop, places = Shop(), MemoryPlaces()
    reactor = Reactor(shop.log, places, shop.bus, shop.clock)
    buyer, listing = await shop.buyer(), await shop.listing()
    command = SubmitReview(caller=buyer, listing_id=listing.id, rating=4, comment="Very satisfied!")
    review = (await shop.handle(command)).state.review
    order = await shop.order(buyer, (listing, 1))
    await shop.handle(RequestPayment(order_id=order.id))
    head = await shop.log.head()
    await reactor.catch_up(NOTING)
    assert await shop.log.head() == head
    (intent,) = shop.provider.intents.values()
    await shop.handle(shop.paid(intent))
    for _ in range(2):
        await reactor.catch_up(NOTING)
        places.positions.clear()
    assert await shop.now(PURCHASES, purchase_of(buyer.account_id, listing.id)) == Purchase(order_id=order.id)
    assert (await shop.now(REVIEWS, review.id)).verified_purchase
