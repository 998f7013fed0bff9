"""A payment: the money for one order, as far as the provider has told us."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Final, assert_never

import msgspec
from msgspec.structs import replace

from domain.kernel import AccountId, Decider, NotFoundError, OrderId, PaymentId, RuleViolatedError
from domain.money import Money
from domain.payments.events import (
    PaymentActionRequired,
    PaymentCardNoted,
    PaymentDisputed,
    PaymentEvent,
    PaymentFailed,
    PaymentIntentCancelled,
    PaymentIntentCreated,
    PaymentLinkedToOrder,
    PaymentProcessing,
    PaymentSucceeded,
    RefundFailed,
    RefundNoted,
    RefundRequested,
    RefundRetried,
    RefundSucceeded,
)


class PaymentNotFoundError(NotFoundError):
    code = "PAYMENT_NOT_FOUND"


class PaymentFailedError(RuleViolatedError):
    code = "PAYMENT_FAILED"


class RefundTooLargeError(RuleViolatedError):
    """Nobody gets back more than they paid."""

    code = "REFUND_TOO_LARGE"


class RefundNotFoundError(NotFoundError):
    code = "REFUND_NOT_FOUND"


class RefundNotFailedError(RuleViolatedError):
    """Only what failed is tried again."""

    code = "REFUND_NOT_FAILED"


class NothingPaidError(RuleViolatedError):
    """What was never paid cannot go back."""

    code = "NOT_PAID"


class RefundState(StrEnum):
    REQUESTED = "requested"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


class Refund(msgspec.Struct, frozen=True, kw_only=True):
    """``retry_of`` is the refund that failed and that this one stands in for.

    ``failure`` is why it failed, in the provider's words.
    """

    amount: Money
    status: RefundState = RefundState.REQUESTED
    reason: str = ""
    provider_id: str = ""
    retry_of: str = ""
    note: str = ""
    requested_at: datetime | None = None
    failure: str = ""


LOST_DISPUTE: Final = "lost"
ENDED_DISPUTES: Final = frozenset({"won", LOST_DISPUTE, "warning_closed", "prevented"})
"""The provider's words for those of which nothing more will come."""


class PaymentState(StrEnum):
    """S2 §9.1's five words."""

    REQUIRES_PAYMENT_METHOD = "requires_payment_method"
    REQUIRES_CONFIRMATION = "requires_confirmation"
    PROCESSING = "processing"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


class Payment(msgspec.Struct, frozen=True, kw_only=True):
    """``order_id`` is none as long as it is prepared for an order that is still to be placed (C35).

    ``disputes`` are what the payer's bank asks for, by the provider's names for them, in the provider's words.
    ``lost`` is what went back to the payer by those that the bank has decided for them.
    ``failed_attempts`` are the tries that failed, by the provider's names: each is told of once.
    """

    id: PaymentId
    intent_id: str
    order_id: OrderId | None
    account_id: AccountId
    amount: Money
    client_secret: str
    created_at: datetime
    status: PaymentState
    brand: str = ""
    last4: str = ""
    cancelled: bool = False
    action_url: str = ""
    order_number: str = ""
    account_number: int = 0
    failure_code: str = ""
    failure_message: str = ""
    failed_attempts: tuple[str, ...] = ()
    disputes: dict[str, str] = msgspec.field(default_factory=dict)
    lost: dict[str, Money] = msgspec.field(default_factory=dict)
    refunds: dict[str, Refund] = msgspec.field(default_factory=dict)

    @property
    def refundable(self) -> Money:
        """What is left of the money, if all refunds that are asked for succeed: nothing, if others were faster.

        What the payer has by their bank already they do not get from us once more.
        """
        nothing = Money(0, self.amount.currency)
        left = self.amount if self.made else nothing
        for refund in self.refunds.values():
            if refund.status is not RefundState.FAILED:
                left -= refund.amount
        for amount in self.lost.values():
            left -= amount
        return max(left, nothing)

    @property
    def made(self) -> bool:
        """Whether its money has come, be it that some of it went back."""
        return self.status is PaymentState.SUCCEEDED

    @property
    def over(self) -> bool:
        """Whether nothing will come of it any more that has not: it was made, or will not be."""
        return self.made or self.cancelled

    @property
    def unsettled(self) -> bool:
        """Whether the provider may know more of it than we do, or it waits for something that may never come."""
        pending = any(refund.status is RefundState.REQUESTED for refund in self.refunds.values())
        return not self.over or pending or bool(self.order_id is None and self.refundable.minor)

    def cancel(self) -> list[PaymentEvent]:
        """The provider says that it will not be made; one that was made stays so."""
        if self.over:
            return []
        return [PaymentIntentCancelled(payment_id=self.id)]

    def request_refund(
        self, amount: Money, reason: str, *, note: str = "", at: datetime | None = None
    ) -> list[PaymentEvent]:
        """Nothing where that is nothing, which the provider would refuse again and again."""
        if not amount.minor:
            return []
        self._require_left(amount)
        # The same name for the same refund, however often it is carried out: so the provider too makes it once.
        refund_id = self._next_refund_id()
        return [
            RefundRequested(
                payment_id=self.id,
                refund_id=refund_id,
                amount=amount,
                reason=reason,
                account_id=self.account_id if note else None,
                note=note,
                requested_at=at,
                order_id=self.order_id,
            )
        ]

    def refund(self, refund_id: str) -> Refund:
        found = self.refunds.get(refund_id)
        if found is None:
            raise RefundNotFoundError("Refund not found")
        return found

    def first_try(self, refund_id: str) -> str:
        """The name of the refund that this one is a further try of, which is what its order knows it by."""
        while retry_of := self.refunds[refund_id].retry_of:
            refund_id = retry_of
        return refund_id

    def tries(self, refund_id: str) -> int:
        """How often this money was tried to be sent, with this one."""
        tries = 1
        while retry_of := self.refunds[refund_id].retry_of:
            refund_id, tries = retry_of, tries + 1
        return tries

    def settle_refund(self, refund_id: str, provider_id: str) -> list[PaymentEvent]:
        """The provider has sent it. One that failed before, and is tried again under another name, stays failed."""
        if self.refunds[refund_id].status is not RefundState.REQUESTED:
            return []
        return [RefundSucceeded(payment_id=self.id, refund_id=refund_id, provider_id=provider_id)]

    def fail_refund(self, refund_id: str, code: str, message: str) -> list[PaymentEvent]:
        """Also of one that had succeeded: a bank may send money back days later, to us."""
        if self.refunds[refund_id].status is RefundState.FAILED:
            return []
        return [RefundFailed(payment_id=self.id, refund_id=refund_id, code=code, message=message)]

    def _require_left(self, amount: Money) -> None:
        if amount > self.refundable:
            raise RefundTooLargeError(
                "This is more than is left of the payment", details={"refundable": self.refundable.units()}
            )

    def _next_refund_id(self) -> str:
        return f"{self.intent_id}-{len(self.refunds) + 1}"

    def link(self, order_id: OrderId, order_number: str) -> list[PaymentEvent]:
        """What was prepared before there was an order belongs to this one from now on."""
        if self.order_id == order_id:
            return []
        if self.order_id is not None:
            raise RuleViolatedError("This payment is another order's")
        return [PaymentLinkedToOrder(payment_id=self.id, order_id=order_id, order_number=order_number)]

    def require_action(self, url: str) -> list[PaymentEvent]:
        """The buyer is asked for something more; what has come to its end since is not asked for again."""
        waiting = self.status is PaymentState.REQUIRES_CONFIRMATION and self.action_url == url
        if waiting or self.over:
            return []
        return [PaymentActionRequired(payment_id=self.id, url=url, account_id=self.account_id)]

    def start_processing(self) -> list[PaymentEvent]:
        if self.over or self.status is PaymentState.PROCESSING:
            return []
        return [PaymentProcessing(payment_id=self.id)]

    def retried(self, refund_id: str) -> str:
        """The name under which a refund that failed is tried again already; empty where it is not."""
        return next((name for name, each in self.refunds.items() if each.retry_of == refund_id), "")

    def retry_refund(self, refund_id: str) -> list[PaymentEvent]:
        """One that failed, once more; nothing where that has been asked for already."""
        refund = self.refund(refund_id)
        if self.retried(refund_id):
            return []
        if refund.status is not RefundState.FAILED:
            raise RefundNotFailedError(
                f"A refund that is {refund.status} is not tried again",
                details={"status": refund.status.value},
            )
        self._require_left(refund.amount)
        return [
            RefundRetried(
                payment_id=self.id,
                refund_id=refund_id,
                retry_id=self._next_refund_id(),
                amount=refund.amount,
                tries=self.tries(refund_id) + 1,
                order_id=self.order_id,
            )
        ]

    def note_refund(self, provider_id: str, amount: Money) -> list[PaymentEvent]:
        """Money that went back without us, by the provider's name for it: noted once."""
        if any(refund.provider_id == provider_id for refund in self.refunds.values()):
            return []
        refund_id = self._next_refund_id()
        return [RefundNoted(payment_id=self.id, refund_id=refund_id, provider_id=provider_id, amount=amount)]

    def dispute(self, dispute_id: str, amount: Money, reason: str, status: str) -> list[PaymentEvent]:
        """What came to its end does not go on by a message that is late."""
        known = self.disputes.get(dispute_id)
        if known == status or (known in ENDED_DISPUTES and status not in ENDED_DISPUTES):
            return []
        return [
            PaymentDisputed(
                payment_id=self.id, dispute_id=dispute_id, amount=amount, reason=reason, status=status
            )
        ]

    def succeed(self, brand: str, last4: str, taken: Money | None = None) -> list[PaymentEvent]:
        """Money that has come does not go away by a later message of failure, and comes only once."""
        if self.made:
            return []
        amount = None if taken == self.amount else taken
        return [
            PaymentSucceeded(
                payment_id=self.id, brand=brand, last4=last4, amount=amount, account_id=self.account_id
            )
        ]

    def note_card(self, brand: str, last4: str) -> list[PaymentEvent]:
        if self.last4 or not last4:
            return []
        return [PaymentCardNoted(payment_id=self.id, account_id=self.account_id, brand=brand, last4=last4)]

    def fail(self, code: str, message: str, attempt: str = "") -> list[PaymentEvent]:
        """A try failed, of which we hear by the client's confirmation as by the provider's message: it is one."""
        again = self.status is PaymentState.FAILED and not attempt and self.failure_code == code
        if self.over or again or (attempt and attempt in self.failed_attempts):
            return []
        return [PaymentFailed(payment_id=self.id, code=code, message=message, attempt=attempt)]

    @classmethod
    def evolve(cls, payment: Payment | None, event: PaymentEvent) -> Payment:
        if isinstance(event, PaymentIntentCreated):
            return cls(
                id=event.payment_id,
                intent_id=event.intent_id,
                order_id=event.order_id,
                account_id=event.account_id,
                amount=event.amount,
                client_secret=event.client_secret,
                created_at=event.created_at,
                status=PaymentState.REQUIRES_PAYMENT_METHOD,
                order_number=event.order_number,
                account_number=event.account_number,
            )
        assert payment is not None, "a payment's first event is PaymentIntentCreated"
        match event:
            case PaymentLinkedToOrder(order_id=order_id, order_number=number):
                return replace(payment, order_id=order_id, order_number=number)
            case PaymentActionRequired(url=url):
                return replace(_tried(payment, PaymentState.REQUIRES_CONFIRMATION), action_url=url)
            case PaymentProcessing():
                return _tried(payment, PaymentState.PROCESSING)
            case PaymentSucceeded(brand=brand, last4=last4, amount=taken):
                made = _tried(payment, PaymentState.SUCCEEDED)
                return replace(made, brand=brand, last4=last4, amount=taken or payment.amount)
            case PaymentCardNoted(brand=brand, last4=last4):
                return replace(payment, brand=brand, last4=last4)
            case PaymentFailed(code=code, message=message, attempt=attempt):
                failed = replace(
                    _tried(payment, PaymentState.FAILED), failure_code=code, failure_message=message
                )
                if not attempt:
                    return failed
                return replace(failed, failed_attempts=(*payment.failed_attempts, attempt))
            case PaymentIntentCancelled():
                return replace(payment, status=PaymentState.FAILED, cancelled=True, action_url="")
            case RefundRequested(refund_id=refund_id):
                asked = Refund(
                    amount=event.amount,
                    reason=event.reason,
                    note=event.note,
                    requested_at=event.requested_at,
                )
                return _with_refund(payment, refund_id, asked)
            case RefundSucceeded(refund_id=refund_id, provider_id=provider_id):
                settled = replace(
                    payment.refunds[refund_id], status=RefundState.SUCCEEDED, provider_id=provider_id
                )
                return _with_refund(payment, refund_id, settled)
            case RefundFailed(refund_id=refund_id, message=message):
                refused = replace(payment.refunds[refund_id], status=RefundState.FAILED, failure=message)
                return _with_refund(payment, refund_id, refused)
            case RefundRetried(refund_id=refund_id, retry_id=retry_id):
                again = replace(
                    payment.refunds[refund_id],
                    status=RefundState.REQUESTED,
                    provider_id="",
                    failure="",
                    retry_of=refund_id,
                )
                return _with_refund(payment, retry_id, again)
            case RefundNoted(refund_id=refund_id, provider_id=provider_id, amount=amount):
                noted = Refund(
                    amount=amount,
                    status=RefundState.SUCCEEDED,
                    reason="at_the_provider",
                    provider_id=provider_id,
                )
                return _with_refund(payment, refund_id, noted)
            case PaymentDisputed(dispute_id=dispute_id, status=status):
                disputed = replace(payment, disputes={**payment.disputes, dispute_id: status})
                lost = {other: amount for other, amount in payment.lost.items() if other != dispute_id}
                if status == LOST_DISPUTE:
                    same = event.amount.currency == payment.amount.currency
                    lost[dispute_id] = event.amount if same else payment.amount
                return replace(disputed, lost=lost)
            case _:
                assert_never(event)


def _tried(payment: Payment, status: PaymentState) -> Payment:
    """After another try, whatever became of it: what the one before has left is forgotten."""
    return replace(payment, status=status, action_url="", failure_code="", failure_message="")


def _with_refund(payment: Payment, refund_id: str, refund: Refund) -> Payment:
    return replace(payment, refunds={**payment.refunds, refund_id: refund})


PAYMENTS: Decider[Payment, PaymentEvent] = Decider("payments", Payment.evolve)
