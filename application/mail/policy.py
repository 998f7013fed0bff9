"""Which mails are owed because of an event, and until when each is worth sending."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, TypeAlias

from domain.accounts.events import (
    AccountDeletionCancelled,
    AccountDeletionRequested,
    AccountRestored,
    AccountSuspended,
    EmailChanged,
    EmailVerificationRequested,
    PasswordChanged,
    PasswordReset,
    PasswordResetRequested,
)
from domain.kernel import AccountId, Event, Recorded
from domain.listings.events import LowStockReached
from domain.orders.events import (
    OrderCancelled,
    OrderConfirmed,
    OrderPaymentFailed,
    OrderProcessingStarted,
    OrderRefunded,
    OrderReturnApproved,
    OrderReturnRejected,
    ParcelDelivered,
    ParcelShipped,
)
from domain.reports.events import SalesReportGenerated
from domain.sellers.events import SellerReinstated, SellerRejected, SellerSuspended, SellerVerified

Admins: TypeAlias = Callable[[], Awaitable[Collection[AccountId]]]
"""Those who can sign in, as they are now."""

NOTICES_LAST: Final = timedelta(days=7)
"""A notice that comes later than this would only frighten: somebody did something, once."""


class Template(StrEnum):
    """The names are kept in the queue: never rename one."""

    VERIFY_EMAIL = "verify-email"
    RESET_PASSWORD = "reset-password"
    PASSWORD_CHANGED = "password-changed"
    EMAIL_CHANGED = "email-changed"
    ACCOUNT_DELETION_SCHEDULED = "account-deletion-scheduled"
    ACCOUNT_DELETION_CANCELLED = "account-deletion-cancelled"
    ACCOUNT_SUSPENDED = "account-suspended"
    ACCOUNT_RESTORED = "account-restored"
    SELLER_VERIFIED = "seller-verified"
    SELLER_REJECTED = "seller-rejected"
    SELLER_SUSPENDED = "seller-suspended"
    SELLER_REINSTATED = "seller-reinstated"
    ORDER_CONFIRMATION = "order-confirmation"
    PAYMENT_FAILED = "payment-failed"
    ORDER_SHIPPED = "order-shipped"
    ORDER_DELIVERED = "order-delivered"
    ORDER_REFUNDED = "order-refunded"
    ORDER_CANCELLED = "order-cancelled"
    RETURN_APPROVED = "return-approved"
    RETURN_REJECTED = "return-rejected"
    LOW_STOCK = "low-stock"
    SALES_REPORT = "sales-report"


SWITCHED_OFF_BY_PREFERENCE: Final = frozenset(
    {
        Template.SELLER_VERIFIED,
        Template.SELLER_REINSTATED,
        Template.ORDER_SHIPPED,
        Template.ORDER_DELIVERED,
        Template.LOW_STOCK,
    }
)
"""Good news and progress, which whoever wants no notifications by mail reads in the shop (A9). All else protects
somebody's account, or tells them what was decided about them and why; or it is a receipt for their money, or about
goods that they have bought: that is sent whatever they prefer.
"""


_OWED: Final[Mapping[type[Event], Template]] = {
    EmailVerificationRequested: Template.VERIFY_EMAIL,
    PasswordResetRequested: Template.RESET_PASSWORD,
    PasswordChanged: Template.PASSWORD_CHANGED,
    PasswordReset: Template.PASSWORD_CHANGED,
    EmailChanged: Template.EMAIL_CHANGED,
    AccountDeletionRequested: Template.ACCOUNT_DELETION_SCHEDULED,
    AccountDeletionCancelled: Template.ACCOUNT_DELETION_CANCELLED,
    AccountSuspended: Template.ACCOUNT_SUSPENDED,
    AccountRestored: Template.ACCOUNT_RESTORED,
    SellerVerified: Template.SELLER_VERIFIED,
    SellerRejected: Template.SELLER_REJECTED,
    SellerSuspended: Template.SELLER_SUSPENDED,
    SellerReinstated: Template.SELLER_REINSTATED,
    OrderConfirmed: Template.ORDER_CONFIRMATION,
    OrderProcessingStarted: Template.ORDER_CONFIRMATION,
    OrderPaymentFailed: Template.PAYMENT_FAILED,
    ParcelShipped: Template.ORDER_SHIPPED,
    ParcelDelivered: Template.ORDER_DELIVERED,
    OrderRefunded: Template.ORDER_REFUNDED,
    OrderCancelled: Template.ORDER_CANCELLED,
    OrderReturnApproved: Template.RETURN_APPROVED,
    OrderReturnRejected: Template.RETURN_REJECTED,
    LowStockReached: Template.LOW_STOCK,
    SalesReportGenerated: Template.SALES_REPORT,
}

CAUSES: Final = tuple(_OWED)
"""The events that anybody is written to because of."""


def mails_for(event: Event) -> list[Template]:
    match event:
        case PasswordResetRequested(account_id=None):
            return []  # nobody is known by the address that was typed
        case SellerSuspended(cause="account") | SellerReinstated(cause="account"):
            return []  # what happens to an account happens to its shop, and its owner is told once
        case OrderConfirmed(account_id=None) | OrderRefunded(account_id=None):
            return []  # of the days before anybody was written to because of it
        case OrderPaymentFailed(account_id=None) | OrderPaymentFailed(repeated=True):
            return []  # who tries one card after the other was told once, and sees the rest
        case LowStockReached(told_with=first) if first is not None:
            return []  # the first one's mail tells of it
        case _:
            template = _OWED.get(type(event))
            return [template] if template is not None else []


def is_for_admins(event: Event) -> bool:
    """It is about nobody's account. Nobody but they look after what the house sells."""
    match event:
        case SalesReportGenerated() | LowStockReached(account_id=None):
            return True
        case _:
            return False


async def recipients_of(event: Event, admins: Admins) -> Sequence[AccountId]:
    """Who is written to because of one of ``CAUSES``, each a mail of their own."""
    if isinstance(event, SalesReportGenerated):
        return event.recipients
    if is_for_admins(event):
        return sorted(await admins())
    return [account_of(event)]


def account_of(event: Event) -> AccountId:
    """Whose account one of ``CAUSES`` is about."""
    account_id: AccountId | None = getattr(event, "account_id", None)
    assert account_id is not None, "a cause of mail tells whose account it is about"
    return account_id


def useful_until(recorded: Recorded[Event]) -> datetime:
    """When it is too late: the link is not good any more, or what happened is history."""
    match recorded.event:
        case EmailVerificationRequested(expires_at=at) | PasswordResetRequested(expires_at=at):
            return at
        case _:
            return recorded.timestamp + NOTICES_LAST


def owed_because_of(recorded: Recorded[Event], now: datetime) -> Sequence[Template]:
    """Nothing for what is too old: a mailer that reads a long log for the first time must not send all of it."""
    return mails_for(recorded.event) if now < useful_until(recorded) else ()
