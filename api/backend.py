"""What controllers work with, put together once the servers behind it are in reach."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Final, Protocol

from litestar.di import NamedDependency

from api.authentication import Authenticator
from api.commands import Acknowledged, Commands
from api.cookies import Cookies
from api.counts import Counts
from api.paging import Cursors
from api.reading import Reading
from application.bootstrap import WriteSide
from application.mail.ports import MailQueue
from application.payments.paying import RecordPaymentResult
from application.settings import Settings
from projections.bootstrap import ReadSide
from projections.products.product import MEDIA_ADDRESS

_MEDIA: Final = f'"{MEDIA_ADDRESS}'.encode()


class Payments(Protocol):
    def read_webhook(self, body: bytes, signature: str) -> tuple[str, RecordPaymentResult | None]:
        """The id of the provider's message, and what it says of a payment, if that is what it is about."""
        ...


@dataclass(frozen=True, kw_only=True)
class BackendParts:
    settings: Settings
    write: WriteSide
    read: ReadSide
    authenticator: Authenticator
    cookies: Cookies
    cursors: Cursors
    acknowledged: Acknowledged
    commands: Commands
    reading: Reading
    mails: MailQueue
    counts: Counts = field(default_factory=Counts)

    @property
    def payments(self) -> Payments | None:
        """Nothing where no payment provider is configured: orders are taken all the same."""
        return self.write.payments if self.settings.stripe_secret_key else None

    def addressed(self, body: bytes) -> bytes:
        """Ready bytes of a product, with the addresses where its pictures are to be had from here."""
        return body.replace(_MEDIA, self._media)

    @cached_property
    def _media(self) -> bytes:
        return f'"{self.settings.public_url("-").removesuffix("-")}'.encode()


Backend = NamedDependency[BackendParts]
