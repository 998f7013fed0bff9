"""Mails as text and as HTML, from the templates beside this file."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any, Final

import msgspec
from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from application.mail.policy import Template
from domain.money import Money

SUBJECTS: Final[Mapping[Template, str]] = {
    Template.VERIFY_EMAIL: "Confirm your e-mail address",
    Template.RESET_PASSWORD: "Choose a new password",
    Template.PASSWORD_CHANGED: "Your password was changed",
    Template.EMAIL_CHANGED: "Your e-mail address was changed",
    Template.ACCOUNT_DELETION_SCHEDULED: "Your account will be deleted",
    Template.ACCOUNT_DELETION_CANCELLED: "Your account will not be deleted",
    Template.ACCOUNT_SUSPENDED: "Your account was suspended",
    Template.ACCOUNT_RESTORED: "Your account is open again",
    Template.SELLER_VERIFIED: "Your shop has been verified",
    Template.SELLER_REJECTED: "Your application for a shop",
    Template.SELLER_SUSPENDED: "Your shop was suspended",
    Template.SELLER_REINSTATED: "Your shop is open again",
    Template.ORDER_CONFIRMATION: "Your order {number} is confirmed",
    Template.PAYMENT_FAILED: "The payment of your order {number} failed",
    Template.ORDER_SHIPPED: "A parcel of your order {number} is on its way",
    Template.ORDER_DELIVERED: "A parcel of your order {number} has arrived",
    Template.ORDER_REFUNDED: "A refund for your order {number}",
    Template.ORDER_CANCELLED: "Your order {number} was cancelled",
    Template.RETURN_APPROVED: "Your return of order {number} was approved",
    Template.RETURN_REJECTED: "Your return of order {number} was not accepted",
    Template.LOW_STOCK: "Low stock",
    Template.SALES_REPORT: "The sales of a day",
}
"""Constant but for an order's number, so that nothing that anybody typed gets into a header or onto a locked screen."""


class Rendered(msgspec.Struct, frozen=True, kw_only=True):
    subject: str
    text: str
    html: str


def render(template: Template, fields: Mapping[str, Any]) -> Rendered:
    """A field that a template asks for and nobody gave is an error, not a hole in a mail."""
    subject = SUBJECTS[template].format_map(fields)
    known = {"subject": subject, **fields}
    text = _templates().get_template(f"{template}.txt").render(known)
    html = _templates().get_template(f"{template}.html").render(known)
    return Rendered(subject=subject, text=text, html=html)


@lru_cache(maxsize=1)
def _templates() -> Environment:
    templates = Environment(
        loader=PackageLoader("application.mail"),
        autoescape=select_autoescape(enabled_extensions=("html",), default=False),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    templates.filters["day"] = _day
    templates.filters["minute"] = _minute
    templates.filters["money"] = _money
    return templates


def _money(amount: Money) -> str:
    """With its currency: ``2,449.42 USD``."""
    return f"{Decimal(amount.minor) / 100:,.2f} {amount.currency}"


def _day(at: date) -> str:
    """The same in every locale: ``21 November 2026``."""
    return f"{at.day} {_MONTHS[at.month - 1]} {at.year}"


def _minute(at: datetime) -> str:
    return f"{_day(at)}, {at:%H:%M} UTC"


_MONTHS: Final = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
    "December",
)  # fmt: skip
