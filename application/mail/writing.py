"""From a cause in the log to a mail that can be sent: its recipient, its links, its words.

Nothing of it is kept anywhere. It is looked up when the mail leaves, so that whoever was erased meanwhile is not
written to, and nobody is sent a link that is not good any more.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final
from uuid import UUID, uuid5

import msgspec

from application.mail.order_mails import OrderMailCause, page_of, quoted, said_of_order
from application.mail.policy import SWITCHED_OFF_BY_PREFERENCE, Template, is_for_admins, useful_until
from application.mail.ports import Attachment, Message, PointlessMailError
from application.mail.rendering import render
from application.ports import Clock, EventStore, OneTimeTokens, StreamRef
from application.reports.spreadsheets import SALES_COLUMNS, csv_of, sales_row
from domain.accounts.account import ACCOUNTS, Account
from domain.accounts.events import (
    AccountDeletionRequested,
    AccountSuspended,
    EmailChanged,
    EmailVerificationRequested,
    PasswordChanged,
    PasswordReset,
    PasswordResetRequested,
    Role,
)
from domain.accounts.sign_in import SIGN_INS
from domain.kernel import AccountId, Event, Recorded
from domain.listings.events import LowStockReached
from domain.listings.listing import LISTINGS, Listing
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
from domain.orders.order import ORDERS, Order
from domain.reports.events import SalesReportGenerated
from domain.sellers.events import SellerReinstated, SellerRejected, SellerSuspended, SellerVerified

_HEADERS: Final = {"Auto-Submitted": "auto-generated", "X-Auto-Response-Suppress": "All"}
"""Machines that answer by themselves need not answer this (RFC 3834)."""

_NAME: Final = re.compile(r"[^\W\d_]+(?:[ '\u2019-][^\W\d_]+)*")
_LONGEST_NAME: Final = 50


class _Content(msgspec.Struct, frozen=True, kw_only=True):
    to: str
    fields: Mapping[str, Any]
    attachments: tuple[Attachment, ...] = ()


class Writer:
    """``origin`` is where the shop's pages are, ``shop`` how it signs, ``sender`` the address that it writes from.

    ``unpaid_after`` is how long an order waits for its payment.
    """

    def __init__(
        self,
        store: EventStore,
        tokens: OneTimeTokens,
        clock: Clock,
        *,
        origin: str,
        shop: str,
        sender: str,
        unpaid_after: timedelta,
    ) -> None:
        self._store = store
        self._tokens = tokens
        self._clock = clock
        self._origin = origin
        self._shop = shop
        self._domain = sender.rpartition("@")[2]
        self._unpaid_after = unpaid_after

    async def write(self, recorded: Recorded[Event], template: Template, to: AccountId) -> Message:
        """``PointlessMailError`` if it is too late for it."""
        if self._clock.now() >= useful_until(recorded):
            raise PointlessMailError("it is too late")
        account = (await self._store.load(ACCOUNTS, to)).state
        if account is None or account.erased:
            raise PointlessMailError("the person was erased")
        if template in SWITCHED_OFF_BY_PREFERENCE and not account.preferences.email_notifications:
            raise PointlessMailError("the person wants no notifications by mail")
        if is_for_admins(recorded.event) and Role.ADMIN not in account.roles:
            raise PointlessMailError("the person is no admin any more")
        content = await self._content(recorded, account)
        if not content.to:
            raise PointlessMailError("the person was erased")
        name = greeted(account.profile.first_name)
        common: dict[str, Any] = {
            "name": name,
            "shop": self._shop,
            "origin": self._origin,
            "at": recorded.timestamp,
        }
        rendered = render(template, {**common, **content.fields})
        return Message(
            to=content.to,
            subject=rendered.subject,
            text=rendered.text,
            html=rendered.html,
            # Of the cause, which has one id for ever: whoever is sent this mail twice can tell.
            message_id=f"<{uuid5(recorded.id, str(to))}.{template}@{self._domain}>",
            headers=_HEADERS,
            attachments=content.attachments,
        )

    async def _content(  # noqa: C901, PLR0911 - one line per event
        self, recorded: Recorded[Event], account: Account
    ) -> _Content:
        match recorded.event:
            case EmailVerificationRequested() as requested:
                return self._verification(requested, account)
            case PasswordResetRequested() as requested:
                return await self._reset(requested, recorded.stream, account)
            case AccountDeletionRequested() as requested:
                return self._deletion(requested, account)
            case EmailChanged(email=email, previous=previous):
                return _Content(to=previous, fields={"address": masked(email)})
            case (
                AccountSuspended(reason=reason)
                | SellerSuspended(reason=reason)
                | SellerRejected(reason=reason)
            ):
                return _Content(to=account.email, fields={"reason": reason})
            case PasswordChanged() | PasswordReset():
                return _Content(to=account.email, fields={"link": f"{self._origin}/forgot-password"})
            case (
                OrderConfirmed()
                | OrderProcessingStarted()
                | OrderPaymentFailed()
                | ParcelShipped()
                | ParcelDelivered()
                | OrderRefunded()
                | OrderCancelled()
                | OrderReturnApproved()
                | OrderReturnRejected()
            ) as event:
                return await self._about_order(event, account)
            case LowStockReached() as reached:
                return await self._low_stock(reached, account)
            case SalesReportGenerated() as report:
                return self._report(report, account)
            case SellerVerified() | SellerReinstated():
                return _Content(to=account.email, fields={"link": f"{self._origin}/seller"})
            case _:
                return _Content(to=account.email, fields={"link": f"{self._origin}/login"})

    def _verification(self, requested: EmailVerificationRequested, account: Account) -> _Content:
        if account.email_verified or requested.number != account.verification.number:
            raise PointlessMailError("its link is not good any more")
        link = self._link("verify-email", account, requested.number)
        return _Content(to=requested.email, fields={"link": link, "until": requested.expires_at})

    async def _reset(self, requested: PasswordResetRequested, stream: UUID, account: Account) -> _Content:
        sign_in = (await self._store.load(SIGN_INS, stream)).present
        if requested.number != sign_in.reset_number or sign_in.reset_expires_at is None:
            raise PointlessMailError("its link is not good any more")
        link = self._link("reset-password", account, requested.number)
        return _Content(to=account.email, fields={"link": link, "until": requested.expires_at})

    def _deletion(self, requested: AccountDeletionRequested, account: Account) -> _Content:
        if account.deletion is None or account.deletion.number != requested.number:
            raise PointlessMailError("its link is not good any more")
        link = self._link("recover-account", account, requested.number)
        return _Content(to=account.email, fields={"link": link, "until": requested.erase_after})

    async def _about_order(self, event: OrderMailCause, account: Account) -> _Content:
        order: Order = (await self._store.load(ORDERS, event.order_id)).present
        said = said_of_order(event, order, self._unpaid_after)
        fields = {"order": order, "number": order.number, "link": page_of(self._origin, order), **said}
        return _Content(to=account.email, fields=fields)

    async def _low_stock(self, reached: LowStockReached, account: Account) -> _Content:
        refs = [StreamRef(LISTINGS, each) for each in (reached.listing_id, *reached.others)]
        listings: list[Listing] = [loaded.present for loaded in await self._store.load_many(refs)]
        low = [listing for listing in listings if listing.on_sale and listing.low_from is not None]
        if not low:
            raise PointlessMailError("there are enough again")
        fields = [
            {
                "title": quoted(listing.title),
                "available": listing.available,
                "link": f"{self._origin}/products/{listing.slug}",
            }
            for listing in low
        ]
        return _Content(to=account.email, fields={"listings": fields})

    def _report(self, report: SalesReportGenerated, account: Account) -> _Content:
        row = sales_row(
            report.day,
            report.orders,
            report.items,
            revenue=report.revenue,
            refunds=report.refunds,
            lost_disputes=report.lost_disputes,
        )
        table = Attachment(
            name=f"sales-{report.day}.csv",
            content_type="text/csv",
            content=csv_of(SALES_COLUMNS, [row]),
        )
        fields = {
            "report": report,
            "net": report.revenue - report.refunds - report.lost_disputes,
            "link": f"{self._origin}/admin/reports/sales",
        }
        return _Content(to=account.email, fields=fields, attachments=(table,))

    def _link(self, kind: str, account: Account, number: int) -> str:
        """The kind of a token is also the page that takes it."""
        return f"{self._origin}/{kind}?token={self._tokens.make(kind, account.id, number)}"


def greeted(first_name: str) -> str:
    """Nothing but a name: whoever signs up in a stranger's name must not have us send them an advertisement."""
    return first_name if len(first_name) <= _LONGEST_NAME and _NAME.fullmatch(first_name) else ""


def masked(address: str) -> str:
    """Enough for its owner to know it by: ``j***@example.com`` (C41)."""
    local, _, domain = address.rpartition("@")
    return f"{local[:1]}***@{domain}" if domain else ""
