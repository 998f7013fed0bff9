"""Fills the shop with as many listings as wanted, for load tests and to look at: in bulk, and yet through the log.

What a command for each listing would record is recorded here for hundreds in one append: the same events in the same
streams, decided by the same aggregates. Sellers are made, and things are sold, by the commands themselves.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from time import monotonic
from typing import Any, Final
from uuid import UUID

import msgspec
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from application.accounts.registering import CreateAccount, NewPerson
from application.bootstrap import WriteSide, write_side
from application.categories.creating import THE_TREE, category_called
from application.listings.creating import LISTING_SLUG
from application.orders.placing import PlaceOrder
from application.payments.paying import PaymentResult, RecordPaymentResult
from application.ports import (
    AlreadyAnsweredError,
    Answer,
    Loaded,
    Metadata,
    Once,
    PaymentIntent,
    Proposal,
    StreamRef,
)
from application.sellers.applying import ApplyToSell
from application.sellers.judging import VerifySeller
from application.settings import Settings
from application.slugs import slug_of
from domain.accounts.events import Caller, Profile
from domain.categories.category import CATEGORIES
from domain.categories.events import ListingShelved, shelf_of
from domain.categories.shelf import CATEGORY_SHELVES
from domain.claims.claim import CLAIMS, Claim
from domain.kernel import AccountId, CategoryId, Event, ListingId, RuleViolatedError, SellerId, stream_id
from domain.listings.events import ListingCreated, ListingEvent
from domain.listings.listing import LISTINGS, Listing
from domain.orders.events import PostalAddress
from domain.orders.order import ORDERS
from domain.placing import WantedLine
from domain.sellers.events import HOUSE_SELLER, ShopProfile, seller_of
from domain.sellers.seller import SELLERS, Seller, require_selling
from projections.bootstrap import read_side
from workers.assortment import CITIES, Article, Assortment, Fate
from workers.seeding import Catalogue, Seeder

ACTOR: Final = "worker:generate"
BATCH: Final = 250
"""Listings in one append: other writers wait for that long."""

FOLLOWING_WITHIN: Final = 900.0
ADDRESS: Final = PostalAddress(address="1 High Street", city="London", zip_code="N1 9AA", country="GB")

Advance = Callable[[int], None]


class NotHereError(Exception):
    """Made-up listings are nothing for a shop that real people buy from."""


class Stocked(msgspec.Struct, frozen=True, kw_only=True):
    """What a batch came to: how many were ``made`` of each fate, and the numbers of those that are still to be sold."""

    made: dict[str, int]
    to_sell: list[int]

    @property
    def count(self) -> int:
        return sum(self.made.values())


class AccountMade(msgspec.Struct, frozen=True, kw_only=True):
    account_id: AccountId
    number: int


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """``position`` is that of the log once everything is in it."""

    fates: Counter[str]
    sellers: int
    position: int
    seconds: float


async def generate_listings(
    environment: Mapping[str, str], console: Console, *, listings: int, sellers: int, seed: int
) -> Figures:
    """Generate, with a progress bar, and wait until the product list has them. What is there already is left alone."""
    settings = Settings.read(environment)
    if settings.in_production:
        raise NotHereError("APP_ENV is production: nothing is made up there")
    async with (
        write_side(settings) as write,
        read_side(settings.database_url, connections=2) as read,
        AsyncExitStack() as stack,
    ):
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        progress = stack.enter_context(Progress(*columns, console=console))
        task = progress.add_task("generating listings", total=listings)
        generator = Generator(
            write, sellers=sellers, seed=seed, advance=lambda count: progress.advance(task, count)
        )
        figures = await generator.run(listings)
        progress.update(task, description="waiting for the product list")
        await read.positions.wait("products", figures.position, timeout=FOLLOWING_WITHIN)
    fates = ", ".join(f"{count:,} {fate}" for fate, count in figures.fates.most_common())
    console.print(
        f"{sum(figures.fates.values()):,} listings of {figures.sellers:,} sellers ({fates}); "
        f"{figures.position:,} events in the log; {figures.seconds:.0f} s"
    )
    return figures


class Generator:
    """Each step bears an idempotency key of its own, so what was cut short, or is wanted in greater number, goes on."""

    def __init__(
        self, write: WriteSide, *, sellers: int, seed: int, advance: Advance = lambda count: None
    ) -> None:
        self._write = write
        self._catalogue = Catalogue.read()
        self._assortment = Assortment(self._catalogue, sellers=sellers, seed=seed)
        self._count = sellers
        self._seed = seed
        self._advance = advance
        self._sellers: list[AccountMade] = []
        self._shopper: AccountMade | None = None
        self._categories: dict[str, CategoryId] = {}

    async def run(self, listings: int) -> Figures:
        began = monotonic()
        await Seeder(self._write, self._catalogue, demo_roles=False, advance=lambda _: None).prepare()
        for slug in self._catalogue.categories:
            category = await category_called(slug, self._write.store, self._write.keys)
            self._categories[slug] = category.id
        self._sellers = [await self._seller(index) for index in range(self._count)]
        self._shopper = await self._account("shopper", "shopper", Profile(first_name="Shopper"))
        fates: Counter[str] = Counter()
        first = 0
        while first < listings:
            stocked = await self._stock(first, min(BATCH, listings - first))
            for number in stocked.to_sell:
                await self._sell(number)
            fates.update(stocked.made)
            first += stocked.count
            self._advance(stocked.count)
        return Figures(
            fates=fates,
            sellers=self._count,
            position=await self._write.log.head(),
            seconds=monotonic() - began,
        )

    async def _seller(self, index: int) -> AccountMade:
        """One without a password: whoever wants to be this seller has it reset."""
        city = list(CITIES)[index % len(CITIES)]
        name = Profile(first_name=city.split()[0], last_name=f"Seller {index + 1}")
        seller = await self._account(f"seller-{index}", f"seller{index + 1}", name)
        profile = ShopProfile(shop_name=f"{city} Goods {index + 1}", bio=f"All sorts of things, from {city}.")
        steps = {
            "apply": ApplyToSell(caller=caller_of(seller), profile=profile, agreed_to_terms=True),
            "verify": VerifySeller(seller_id=seller_of(seller.account_id)),
        }
        for step, command in steps.items():
            await self._command(f"{self._seed}-{step}-{index}", AccountMade, command, lambda _: seller)
        return seller

    async def _account(self, key: str, mailbox: str, profile: Profile) -> AccountMade:
        email = f"{mailbox}.{self._seed}@generated.example.com"
        person = NewPerson(email=email, profile=profile, email_verified=True)

        def made(account: Any) -> AccountMade:
            return AccountMade(account_id=account.id, number=account.number)

        command = CreateAccount(person=person)
        account: AccountMade = await self._command(f"{self._seed}-{key}", AccountMade, command, made)
        return account

    async def _stock(self, first: int, count: int) -> Stocked:
        async def stock(once: Once) -> None:
            articles = [self._assortment.article(index) for index in range(first, first + count)]
            numbers = [await self._write.numbers.next("listings") for _ in articles]
            batch = _Batch(self, list(zip(numbers, articles, strict=True)))
            await self._write.store.change_together(
                batch.refs, batch.decide, Metadata(actor=ACTOR, once=once)
            )

        stocked: Stocked = await self._once(f"{self._seed}-listings-{first}", Stocked, stock)
        return stocked

    async def _sell(self, number: int) -> None:
        """To somebody who sells nothing, so that it is never their own, and who pays at once.

        No provider ever hears of it.
        """
        assert self._shopper is not None, "there is somebody before there is anything to be sold"
        listing_id = ListingId(stream_id("listing", number))
        command = PlaceOrder(
            caller=caller_of(self._shopper),
            lines=(WantedLine(listing_id=listing_id, quantity=1),),
            shipping_address=ADDRESS,
        )

        def owed(placed: Any) -> _Owed:
            return _Owed(number=placed.number, amount=placed.total.minor, currency=placed.total.currency)

        placed: _Owed = await self._command(f"{self._seed}-order-{number}", _Owed, command, owed)
        intent = PaymentIntent(
            id=f"pi_generated_{self._seed}_{number}",
            client_secret="",
            amount=placed.amount,
            currency=placed.currency,
            status="succeeded",
            created_at=self._write.clock.now(),
            metadata={"orderId": placed.number},
        )
        try:
            await self._pay(intent)
        except RuleViolatedError:
            # The reactor was faster, and an intent of the provider's is the order's already.
            linked = (await self._write.store.load(ORDERS, stream_id("order", placed.number))).present
            await self._pay(msgspec.structs.replace(intent, id=linked.intent_id))

    async def _pay(self, intent: PaymentIntent) -> None:
        paid = RecordPaymentResult(result=PaymentResult.SUCCEEDED, intent=intent)
        await self._write.bus.handle(paid, Metadata(actor=ACTOR))

    async def _command(self, key: str, kind: type[Any], command: object, told: Callable[[Any], Any]) -> Any:
        async def carry_out(once: Once) -> None:
            await self._write.bus.handle(command, Metadata(actor=ACTOR, once=once))

        return await self._once(key, kind, carry_out, lambda changed: told(changed.state))

    async def _once(
        self,
        key: str,
        kind: type[Any],
        carry_out: Callable[[Once], Awaitable[None]],
        told: Callable[[Any], Any] = lambda changed: changed.state,
    ) -> Any:
        """What it came to, now or when it was first carried out."""
        heard: list[Any] = []

        def answer(changed: Any) -> Answer:
            heard[:] = [told(changed)]
            return Answer(status=201, body=msgspec.json.encode(heard[0]))

        request_hash = self._write.keys.request_hash(key.encode())
        once = Once(scope=ACTOR, key=key, request_hash=request_hash, answer=answer)
        try:
            # Asked beforehand, so that no number is used up for what is there already.
            await self._write.store.raise_if_answered(once)
            await carry_out(once)
            return heard[0]
        except AlreadyAnsweredError as answered:
            return msgspec.json.decode(answered.answer.body, type=kind)

    def seller_of(self, article: Article) -> SellerId:
        return seller_of(self._sellers[article.seller].account_id) if self._sellers else HOUSE_SELLER

    def categories_of(self, article: Article) -> list[CategoryId]:
        """Where it belongs first."""
        return [self._categories[slug] for slug in dict.fromkeys((article.category, article.further)) if slug]

    @property
    def write(self) -> WriteSide:
        return self._write


class _Owed(msgspec.Struct, frozen=True, kw_only=True):
    number: str
    amount: int
    currency: str


class _Batch:
    """Listings that come to be in one append, with all that is decided upon for it."""

    def __init__(self, generator: Generator, articles: Sequence[tuple[int, Article]]) -> None:
        self._generator = generator
        self._articles = articles
        self._now = generator.write.clock.now()
        self._slugs = {number: _slugs(number, article) for number, article in articles}
        refs: dict[UUID, StreamRef[Any, Any]] = {THE_TREE.id: THE_TREE}
        for number, article in articles:
            seller: StreamRef[Any, Any] = StreamRef(SELLERS, generator.seller_of(article))
            refs[seller.id] = seller
            for slug in self._slugs[number]:
                claim: StreamRef[Any, Any] = StreamRef(CLAIMS, self._claim_id(slug))
                refs[claim.id] = claim
            for category_id in generator.categories_of(article):
                category: StreamRef[Any, Any] = StreamRef(CATEGORIES, category_id)
                shelf: StreamRef[Any, Any] = StreamRef(CATEGORY_SHELVES, shelf_of(category_id, number))
                refs[category.id], refs[shelf.id] = category, shelf
        self.refs = list(refs.values())

    def decide(self, loaded: Sequence[Loaded[Any]]) -> Proposal[Stocked]:
        states = {ref.id: each.state for ref, each in zip(self.refs, loaded, strict=True)}
        events: dict[UUID, tuple[StreamRef[Any, Any], list[Event]]] = {}

        def record(ref: StreamRef[Any, Any], *recorded: Event) -> None:
            events.setdefault(ref.id, (ref, []))[1].extend(recorded)

        fates: Counter[str] = Counter()
        to_sell: list[int] = []
        for number, article in self._articles:
            require_selling(states[self._generator.seller_of(article)])
            listing_id = ListingId(stream_id("listing", number))
            for slug in self._slugs[number]:
                claim_id = self._claim_id(slug)
                taken = Claim.take(states[claim_id], LISTING_SLUG, listing_id)
                if taken is not None:
                    break
            else:
                raise AssertionError("no title ends with one number twice")
            states[claim_id] = CLAIMS.fold(states[claim_id], taken)
            record(StreamRef(CLAIMS, claim_id), *taken)
            categories = self._generator.categories_of(article)
            for category_id in categories:
                assert states[category_id] is not None, "the catalogue's categories are there"
            seller: Seller | None = states[self._generator.seller_of(article)]
            created = _created(
                number,
                article,
                slug=slug,
                categories=categories,
                seller_id=self._generator.seller_of(article),
                account_id=None if seller is None else seller.account_id,
            )
            record(StreamRef(LISTINGS, listing_id), *self._life_of(created, article))
            for category_id in categories:
                shelved = ListingShelved(category_id=category_id, listing_id=listing_id)
                record(StreamRef(CATEGORY_SHELVES, shelf_of(category_id, number)), shelved)
            fates[article.fate] += 1
            if article.fate is Fate.SOLD:
                to_sell.append(number)
        return Proposal(
            outcome=Stocked(made=dict(fates), to_sell=to_sell),
            events=[(ref, recorded) for ref, recorded in events.values()],
        )

    def _life_of(self, created: ListingCreated, article: Article) -> list[ListingEvent]:
        listing = Listing.evolve(None, created)
        events: list[ListingEvent] = [created]
        if article.fate is Fate.DRAFT:
            return events
        events += listing.publish(expires_at=article.expires_at(self._now))
        published = LISTINGS.after(None, events)
        match article.fate:
            case Fate.UNPUBLISHED:
                events += published.unpublish()
            case Fate.EXPIRED:
                events += published.expire(self._now)
            case Fate.HIDDEN:
                events += published.hide(article.reason)
            case Fate.REMOVED:
                events += published.remove(article.reason)
            case Fate.DELETED:
                events += published.delete(self._now)
        return events

    def _claim_id(self, slug: str) -> UUID:
        return self._generator.write.keys.claim_id(LISTING_SLUG, slug)


def caller_of(account: AccountMade) -> Caller:
    return Caller(account_id=account.account_id, number=account.number)


def _created(
    number: int,
    article: Article,
    *,
    slug: str,
    categories: Sequence[CategoryId],
    seller_id: SellerId,
    account_id: AccountId | None,
) -> ListingCreated:
    return ListingCreated(
        listing_id=ListingId(stream_id("listing", number)),
        number=number,
        seller_id=seller_id,
        account_id=account_id,
        slug=slug,
        title=article.title,
        description=article.description,
        description_short=article.description_short,
        price=article.price,
        discount_percentage=article.discount_percentage,
        category_id=categories[0],
        category=article.category,
        further_category_ids=tuple(categories[1:]),
        brand=article.brand,
        tags=article.tags,
        stock=article.stock,
        unique=article.unique,
        thumbnail=article.thumbnail,
        images=article.images,
        imported_rating=article.rating,
        attributes=article.attributes,
        location=article.location,
        extras=article.extras,
    )


def _slugs(number: int, article: Article) -> tuple[str, ...]:
    """As for a listing that comes without a slug; one more, because titles may end with other listings' numbers."""
    wished = slug_of(article.title)
    return wished, f"{wished}-{number}", f"{wished}-{number}-{number}"
