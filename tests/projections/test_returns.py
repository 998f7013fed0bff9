"""The lists of what comes back, and of the money that goes back; of one whose buyer is erased, too."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from domain.accounts.events import AccountErased
from domain.kernel import AccountId, Event, OrderId, PaymentId, stream_id
from domain.money import Money
from domain.orders.events import (
    OrderRefunded,
    OrderRefundFailed,
    OrderReturnApproved,
    OrderReturnReceived,
    OrderReturnRejected,
    OrderReturnRequested,
    ReturnedLine,
    ReturnStatus,
)
from domain.payments.events import (
    RefundFailed,
    RefundNoted,
    RefundRequested,
    RefundRetried,
    RefundSucceeded,
)
from domain.sellers.events import seller_of
from projections.keyset import Piece
from projections.refunds.projector import REFUND_LIST
from projections.refunds.query import FailedRefund, refunds_failed_before
from projections.returns.projector import RETURN_LIST
from projections.returns.query import ReturnFilter, returns_page
from projections.returns.returned import bodies_for, return_body
from tests.domain.builders import NOW, listing_id
from tests.projections.test_forgetting import Shown, showing

ADA, BOB = AccountId(stream_id("account", 1)), AccountId(stream_id("account", 2))
NORTH, SOUTH = seller_of(AccountId(stream_id("account", 3))), seller_of(AccountId(stream_id("account", 4)))
ORDER = OrderId(stream_id("order", "ORD-2026112101"))
FIRST, SECOND = (stream_id("return", number) for number in (1, 2))
PAYMENT = PaymentId(stream_id("payment", "pi_1"))
LINES = (
    ReturnedLine(listing_id=listing_id(1), quantity=2, number=1, title="Listing 1", seller_id=NORTH),
    ReturnedLine(listing_id=listing_id(2), quantity=1, number=2, title="Listing 2", seller_id=SOUTH),
)
OF_ORDER: dict[str, Any] = {"order_id": ORDER, "account_id": ADA}


@pytest.fixture
async def shown(database_url: str) -> AsyncIterator[Shown]:
    async with showing(database_url, RETURN_LIST, REFUND_LIST) as shown:
        yield shown


def asked(
    return_id: UUID = FIRST, lines: tuple[ReturnedLine, ...] = LINES, at: datetime = NOW, **of: Any
) -> OrderReturnRequested:
    return OrderReturnRequested(
        **{**OF_ORDER, **of},
        return_id=return_id,
        lines=lines,
        reason="Augusta is too tall for it",
        requested_at=at,
        number="ORD-2026112101",
    )


def received(return_id: UUID = FIRST) -> OrderReturnReceived:
    return OrderReturnReceived(
        **OF_ORDER,
        return_id=return_id,
        restocked=True,
        refund=Money(1234),
        refund_id="pi_1-1",
        received_at=NOW,
    )


def refunded(**fields: Any) -> OrderRefunded:
    given = {"intent_id": "pi_1", "refund_id": "pi_1-1", "amount": Money(1234), "return_id": FIRST}
    return OrderRefunded(**{**OF_ORDER, **given, **fields})


async def listed(shown: Shown, **asked_for: Any) -> list[tuple[UUID, str]]:
    page = await returns_page(shown.reads, ReturnFilter(**asked_for), Piece())
    assert page.total == len(page.returns)
    return [(each.id, each.status.value) for each in page.returns]


class TestReturns:
    async def test_are_listed_the_last_first_by_how_far_they_are_and_whose_they_are(
        self, shown: Shown
    ) -> None:
        later = NOW + timedelta(minutes=1)
        await shown.record(
            asked(),
            asked(SECOND, LINES[:1], later),
            OrderReturnApproved(**OF_ORDER, return_id=FIRST, approved_at=NOW),
        )
        assert await listed(shown) == [(SECOND, "requested"), (FIRST, "approved")]
        assert await listed(shown, status=ReturnStatus.APPROVED) == [(FIRST, "approved")]
        assert await listed(shown, seller_id=SOUTH) == [(FIRST, "approved")]
        assert await listed(shown, seller_id=NORTH, status=ReturnStatus.REQUESTED) == [(SECOND, "requested")]
        first = await returns_page(shown.reads, ReturnFilter(), Piece(limit=1))
        behind = await returns_page(shown.reads, ReturnFilter(), Piece(limit=1, after=first.last))
        assert [each.id for each in (*first.returns, *behind.returns)] == [SECOND, FIRST]

    async def test_follow_their_money(self, shown: Shown) -> None:
        await shown.record(asked(), received())
        (found,) = (await returns_page(shown.reads, ReturnFilter(), Piece())).returns
        body = return_body(found)
        assert (body["status"], body["refundAmount"], body["refundId"], body["restocked"]) == (
            "received",
            12.34,
            "pi_1-1",
            True,
        )
        await shown.record(refunded(), refunded(refund_id="pi_1-2", return_id=None))
        assert await listed(shown) == [(FIRST, "refunded")]
        failed = OrderRefundFailed(
            **OF_ORDER, intent_id="pi_1", refund_id="pi_1-1", amount=Money(1234), return_id=FIRST
        )
        await shown.record(failed)
        assert await listed(shown) == [(FIRST, "received")]
        assert (await shown.rebuilt(RETURN_LIST)).startswith("equal to generation 1")

    async def test_a_seller_sees_what_is_theirs_of_them(self, shown: Shown) -> None:
        await shown.record(asked(), received())
        found = (await returns_page(shown.reads, ReturnFilter(seller_id=NORTH), Piece())).returns
        (body,) = bodies_for(found, NORTH)
        assert [item["productId"] for item in body["items"]] == [1]
        assert (body["refundAmount"], body["refundId"], body["partial"]) == (None, None, True)
        assert bodies_for(found, seller_of(ADA)) == []

    async def test_say_no_more_why_once_the_buyer_is_erased(self, shown: Shown) -> None:
        rejected = OrderReturnRejected(**OF_ORDER, return_id=FIRST, reason="Augusta wore it", rejected_at=NOW)
        await shown.record(asked(), rejected, asked(SECOND, account_id=BOB))
        assert await shown.holds("Augusta wore it")
        await shown.record(AccountErased(account_id=ADA, erased_at=NOW))
        by_id = {each.id: each for each in (await returns_page(shown.reads, ReturnFilter(), Piece())).returns}
        assert (by_id[FIRST].reason, by_id[FIRST].rejection) == ("", "")
        assert by_id[SECOND].reason != ""
        assert not await shown.holds("Augusta wore it")
        await shown.stand.shop.keys.destroy(ADA)
        assert (await shown.rebuilt(RETURN_LIST)).startswith("equal to generation 1")


class TestRefunds:
    def asked(self, refund_id: str) -> RefundRequested:
        return RefundRequested(payment_id=PAYMENT, refund_id=refund_id, amount=Money(100), reason="x")

    def failed(self, refund_id: str) -> RefundFailed:
        return RefundFailed(payment_id=PAYMENT, refund_id=refund_id, code="x", message="no")

    async def record(self, shown: Shown, *events: Event) -> None:
        await shown.stand.shop.record([(PAYMENT, event) for event in events])
        await shown.caught_up()

    async def due(self, shown: Shown, tries: int = 24) -> list[str]:
        late = NOW + timedelta(days=10_000)
        found: list[FailedRefund] = await refunds_failed_before(shown.reads, late, tries, None, 10)
        assert {each.payment_id for each in found} <= {PAYMENT}
        return [each.refund_id for each in found]

    async def test_that_failed_are_to_be_tried_again_unless_they_are_or_were_often_enough(
        self, shown: Shown
    ) -> None:
        await self.record(shown, self.asked("pi_1-1"), self.asked("pi_1-2"), self.failed("pi_1-1"))
        assert await self.due(shown) == ["pi_1-1"]
        assert await refunds_failed_before(shown.reads, NOW - timedelta(days=10_000), 24, None, 10) == []
        sent = RefundSucceeded(payment_id=PAYMENT, refund_id="pi_1-2", provider_id="re_2")
        retried = RefundRetried(
            payment_id=PAYMENT, refund_id="pi_1-1", retry_id="pi_1-3", amount=Money(100), tries=2
        )
        await self.record(shown, sent, retried)
        assert await self.due(shown) == []
        await self.record(shown, self.failed("pi_1-3"), self.failed("pi_1-2"))
        assert set(await self.due(shown)) == {"pi_1-3", "pi_1-2"}
        late = NOW + timedelta(days=10_000)
        (first,) = await refunds_failed_before(shown.reads, late, 24, None, 1)
        (second,) = await refunds_failed_before(shown.reads, late, 24, first, 1)
        assert {first.refund_id, second.refund_id} == {"pi_1-3", "pi_1-2"}
        assert await refunds_failed_before(shown.reads, late, 24, second, 1) == []
        assert await self.due(shown, tries=2) == ["pi_1-2"]
        noted = RefundNoted(payment_id=PAYMENT, refund_id="pi_1-4", provider_id="re_4", amount=Money(5))
        await self.record(shown, noted)
        assert (await shown.rebuilt(REFUND_LIST)).startswith("equal to generation 1")
