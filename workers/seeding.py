"""Fills an empty shop with DummyJSON's catalogue and people, through the same commands as everybody else."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from application.accounts.registering import CreateAccount, NewPerson
from application.bootstrap import WriteSide, write_side
from application.categories.creating import CreateCategory
from application.listings.creating import CreateListing
from application.ports import AlreadyAnsweredError, Answer, Changed, Metadata, Once
from application.reviews.importing import ImportReview
from application.sellers.opening import OpenHouseSeller
from application.settings import Settings
from domain.accounts.events import Profile, Role
from domain.kernel import ListingId
from domain.money import Money, minor_units
from domain.sellers.events import HOUSE_SELLER
from projections.bootstrap import read_side
from workers.departments import ATTRIBUTES, DEPARTMENTS, PARENTS

CATALOGUE = Path(__file__).parent / "catalogue"
ACTOR = "worker:seed"

OWN_FIELDS = frozenset(
    [
        "id",
        "title",
        "description",
        "category",
        "price",
        "discountPercentage",
        "rating",
        "stock",
        "tags",
        "brand",
        "reviews",
        "images",
        "thumbnail",
    ]
)
"""DummyJSON's fields that are fields of ours; the others are kept as extras (C50)."""

_ROLES = {"admin": Role.ADMIN, "moderator": Role.AUDITOR}

Advance = Callable[[str], None]
"""Called with what was done, after each step."""


class Catalogue(msgspec.Struct, frozen=True, kw_only=True):
    users: list[dict[str, Any]]
    products: list[dict[str, Any]]

    @classmethod
    def read(cls) -> Catalogue:
        return cls(
            users=msgspec.json.decode((CATALOGUE / "users.json").read_bytes()),
            products=msgspec.json.decode((CATALOGUE / "products.json").read_bytes()),
        )

    @property
    def categories(self) -> list[str]:
        return list(dict.fromkeys(product["category"] for product in self.products))

    @property
    def last_key(self) -> str:
        """The idempotency key of the last step."""
        product = self.products[-1]
        return f"review-{product['id']}-{len(product['reviews']) - 1}"

    def __len__(self) -> int:
        """How many steps it takes."""
        reviews = sum(len(product["reviews"]) for product in self.products)
        categories = len(DEPARTMENTS) + len(self.categories)
        return len(self.users) + categories + len(self.products) + reviews


async def seed_shop(environment: Mapping[str, str], console: Console, *, demo_roles: bool) -> None:
    """Seed, with a progress bar, and wait until what was seeded can be read. Done before, it is done at once."""
    settings = Settings.read(environment)
    catalogue = Catalogue.read()
    async with (
        write_side(settings) as write,
        read_side(settings.database_url, connections=2) as read,
        AsyncExitStack() as stack,
    ):
        if await write.log.result_of(ACTOR, catalogue.last_key) is not None:
            return
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        progress = stack.enter_context(Progress(*columns, console=console))
        task = progress.add_task("filling the shop", total=len(catalogue))
        seeder = Seeder(write, catalogue, demo_roles=demo_roles, advance=lambda _: progress.advance(task))
        position = await seeder.run()
        await read.positions.wait("products", position, timeout=60)


class Seeder:
    """Each step bears an idempotency key of its own, so a seeding that was cut short goes on where it stopped.

    The demo people's roles and passwords are public knowledge: ``demo_roles`` is for a stack on this machine only.
    """

    def __init__(self, write: WriteSide, catalogue: Catalogue, *, demo_roles: bool, advance: Advance) -> None:
        self._write = write
        self._catalogue = catalogue
        self._demo_roles = demo_roles
        self._advance = advance
        self._accounts: dict[str, UUID] = {}

    async def run(self) -> int:
        """Returns the log position that includes everything."""
        await self.prepare()
        for user in self._catalogue.users:
            self._accounts[user["email"]] = await self._user(user)
        for product in self._catalogue.products:
            listing_id = ListingId(await self._product(product))
            for number, review in enumerate(product["reviews"]):
                await self._review(listing_id, f"review-{product['id']}-{number}", review)
        return await self._write.log.head()

    async def prepare(self) -> None:
        """The house and the tree of categories, without which nothing can be offered."""
        await self._write.bus.handle(OpenHouseSeller(), Metadata(actor=ACTOR))
        # The departments first, each after the one that it is below.
        for department in DEPARTMENTS:
            command = CreateCategory(
                name=department.name,
                slug=department.slug,
                parent=department.parent,
                attributes=department.attributes,
            )
            await self._once(f"category-{department.slug}", command)
        for slug in self._catalogue.categories:
            command = CreateCategory(
                name=slug.replace("-", " ").title(),
                slug=slug,
                parent=PARENTS.get(slug, ""),
                attributes=ATTRIBUTES.get(slug, ()),
            )
            await self._once(f"category-{slug}", command)

    async def _user(self, user: dict[str, Any]) -> UUID:
        role = _ROLES.get(user["role"]) if self._demo_roles else None
        person = NewPerson(
            email=user["email"],
            password=user["password"],
            username=user["username"],
            profile=Profile(
                first_name=user["firstName"],
                last_name=user["lastName"],
                gender=user["gender"],
                phone=user["phone"],
                age=user["age"],
            ),
            image=user["image"],
            roles=frozenset({role} if role else ()),
            email_verified=True,
        )
        command = CreateAccount(person=person)
        return await self._once(f"user-{user['id']}", command)

    async def _product(self, product: dict[str, Any]) -> UUID:
        command = CreateListing(
            seller_id=HOUSE_SELLER,
            title=product["title"],
            description=product["description"],
            price=Money(minor_units(product["price"])),
            discount_percentage=Decimal(str(product["discountPercentage"])),
            category=product["category"],
            brand=product.get("brand", ""),
            tags=tuple(product["tags"]),
            stock=product["stock"],
            thumbnail=product["thumbnail"],
            images=tuple(product["images"]),
            publish=True,
            imported_rating=Decimal(str(product["rating"])),
            extras={name: value for name, value in product.items() if name not in OWN_FIELDS},
        )
        return await self._once(f"product-{product['id']}", command)

    async def _review(self, listing_id: ListingId, key: str, review: dict[str, Any]) -> None:
        email = review["reviewerEmail"]
        command = ImportReview(
            listing_id=listing_id,
            reviewer_id=self._accounts.get(email) or self._write.keys.claim_id("reviewer", email),
            rating=review["rating"],
            comment=review["comment"],
            reviewer_name=review["reviewerName"],
            reviewer_email=email,
            submitted_at=datetime.fromisoformat(review["date"]),
        )
        await self._once(key, command)

    async def _once(self, key: str, command: object) -> UUID:
        """The id of what the command made, now or when it was first carried out."""
        request_hash = self._write.keys.request_hash(key.encode())
        once = Once(scope=ACTOR, key=key, request_hash=request_hash, answer=_made)
        try:
            # Asked beforehand, so that a number is not used up for something that is there already.
            await self._write.store.raise_if_answered(once)
            changed = await self._write.bus.handle(command, Metadata(actor=ACTOR, once=once))
            return _id_of(changed)
        except AlreadyAnsweredError as answered:
            return UUID(msgspec.json.decode(answered.answer.body))
        finally:
            self._advance(key)


def _id_of(changed: Changed[Any]) -> UUID:
    made: UUID = changed.state.id
    return made


def _made(changed: Changed[Any]) -> Answer:
    return Answer(status=201, body=msgspec.json.encode(_id_of(changed)))
