"""What controllers work with, put together once the servers behind it are in reach."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol

from litestar.di import NamedDependency

from api.authentication import Authenticator
from api.commands import Acknowledged, Commands
from api.cookies import Cookies
from api.counts import Counts
from api.input import AnyReference, Faults
from api.known_categories import KnownCategories
from api.paging import Cursors
from api.reading import Reading
from api.wire import addressing
from application.bootstrap import WriteSide
from application.listings.changing import found, listing_called, listings_called
from application.mail.ports import MailQueue
from application.ports import ProviderMessage
from application.settings import Settings
from domain.kernel import InvalidInputError, ListingId
from projections.bootstrap import ReadSide


class Payments(Protocol):
    def read_webhook(self, body: bytes, signature: str) -> ProviderMessage:
        """What the provider says, if it is the provider that says so."""
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
    categories: KnownCategories
    mails: MailQueue
    counts: Counts = field(default_factory=Counts)

    async def listing_called(self, reference: str) -> ListingId:
        """The listing that an integer id, a uuid or a slug in a path or body names."""
        return await listing_called(reference, self.write.store, self.write.keys)

    async def listings_called(self, references: Sequence[str]) -> list[ListingId | None]:
        """The same of several, with one look; nothing for a slug that nobody has."""
        return await listings_called(references, self.write.store, self.write.keys)

    async def products_named(self, field: str, references: Sequence[AnyReference | None]) -> list[ListingId]:
        """Those that the lines of a body name: refused where one names none, by its place in ``field``."""
        faults: Faults = {
            f"{field}[{index}].productId": ["Is required"]
            for index, reference in enumerate(references)
            if reference is None
        }
        if faults:
            raise InvalidInputError(faults)
        called = await self.listings_called([str(reference) for reference in references])
        return [found(listing_id) for listing_id in called]

    @property
    def payments(self) -> Payments | None:
        """Nothing where no payment provider is configured: orders are taken all the same."""
        return self.write.payments if self.settings.stripe_secret_key else None

    @cached_property
    def addressed(self) -> Callable[[bytes], bytes]:
        """Gives ready bytes of products the addresses where their pictures are to be had."""
        return addressing(self.settings.public_url)


Backend = NamedDependency[BackendParts]
