"""Made-up listings that read like real ones: DummyJSON's catalogue put together anew, as often as wanted.

Nothing here knows the log. The same seed and index make the same listing, on every machine.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from math import log
from statistics import median
from typing import Any, Final

import msgspec

from domain.attributes import Attribute, AttributeType, Schema
from domain.listings.events import Location
from domain.money import Money
from workers.departments import ATTRIBUTES, DEPARTMENTS, PARENTS
from workers.seeding import OWN_FIELDS, Catalogue

CITIES: Final[Mapping[str, tuple[float, float]]] = {
    "Amsterdam": (52.37, 4.90), "Athens": (37.98, 23.73), "Atlanta": (33.75, -84.39), "Auckland": (-36.85, 174.76),
    "Austin": (30.27, -97.74), "Barcelona": (41.39, 2.17), "Berlin": (52.52, 13.40), "Boston": (42.36, -71.06),
    "Brussels": (50.85, 4.35), "Budapest": (47.50, 19.04), "Buenos Aires": (-34.60, -58.38),
    "Chicago": (41.88, -87.63), "Copenhagen": (55.68, 12.57), "Dallas": (32.78, -96.80), "Denver": (39.74, -104.99),
    "Dublin": (53.35, -6.26), "Edinburgh": (55.95, -3.19), "Hamburg": (53.55, 9.99), "Helsinki": (60.17, 24.94),
    "Istanbul": (41.01, 28.98), "Lisbon": (38.72, -9.14), "London": (51.51, -0.13), "Los Angeles": (34.05, -118.24),
    "Lyon": (45.76, 4.84), "Madrid": (40.42, -3.70), "Manchester": (53.48, -2.24), "Melbourne": (-37.81, 144.96),
    "Mexico City": (19.43, -99.13), "Miami": (25.76, -80.19), "Milan": (45.46, 9.19), "Montreal": (45.50, -73.57),
    "Mumbai": (19.08, 72.88), "Munich": (48.14, 11.58), "New York": (40.71, -74.01), "Oslo": (59.91, 10.75),
    "Paris": (48.86, 2.35), "Philadelphia": (39.95, -75.17), "Phoenix": (33.45, -112.07),
    "Portland": (45.52, -122.68), "Prague": (50.08, 14.44), "Rome": (41.90, 12.50), "San Francisco": (37.77, -122.42),
    "Seattle": (47.61, -122.33), "Seoul": (37.57, 126.98), "Singapore": (1.35, 103.82), "Stockholm": (59.33, 18.07),
    "Sydney": (-33.87, 151.21), "Tokyo": (35.68, 139.65), "Toronto": (43.65, -79.38), "Vancouver": (49.28, -123.12),
    "Vienna": (48.21, 16.37), "Warsaw": (52.23, 21.01), "Zurich": (47.37, 8.54),
}  # fmt: skip

_EDITIONS: Final = (
    "Classic", "Pro", "Mini", "Plus", "Lite", "Sport", "Studio", "Vintage", "Deluxe", "Original", "Travel",
    "Limited Edition", "Signature", "Heritage", "Urban", "Essential", "Premium", "Compact", "Max", "Summer", "Winter",
)  # fmt: skip
_QUALITIES: Final = (
    "Beautiful", "Sturdy", "Handmade", "Elegant", "Lightweight", "Rare", "Practical", "Colorful", "Modern", "Cozy",
    "Refined", "Simple", "Bold", "Soft", "Durable", "Portable",
)  # fmt: skip
_MATERIALS: Final = (
    "cotton", "leather", "wool", "silk", "linen", "denim", "oak", "walnut", "steel", "aluminium", "glass", "ceramic",
    "bamboo", "polyester", "nylon", "gold", "silver", "marble",
)  # fmt: skip
_STYLES: Final = ("casual", "classic", "vintage", "sporty", "elegant", "bohemian", "minimalist", "streetwear")
_CONDITIONS: Final = ("new", "like new", "good", "fair")
_REMARKS: Final = (
    "Worn twice.", "From a smoke-free home.", "Comes in its original box.", "A gift that was never used.",
    "Shipped the next day.", "Pick-up is possible.", "Small scratches on the back.", "Tested and cleaned.",
    "Bought last year.", "The price is negotiable for two.", "With receipt.", "One of a kind.",
)  # fmt: skip
_STORAGES: Final = (32, 64, 128, 256, 512, 1024, 2048)
_REASONS: Final = ("Misleading pictures", "Wrong category", "Reported by several buyers")

_WEIGHTS: Final[Mapping[str, float]] = {
    "womens-dresses": 3, "mens-shirts": 3, "womens-shoes": 3, "mens-shoes": 3, "smartphones": 3, "tops": 2.5,
    "mobile-accessories": 2, "furniture": 2, "home-decoration": 2, "kitchen-accessories": 2, "womens-bags": 2,
    "vehicle": 0.5, "motorcycle": 0.5, "groceries": 0.5,
}  # fmt: skip
"""How often a category is offered, against 1 for the others."""


class Fate(StrEnum):
    """What has become of a listing by the time that it is recorded."""

    ON_SALE = "on sale"
    DRAFT = "draft"
    UNPUBLISHED = "unpublished"
    EXPIRED = "expired"
    HIDDEN = "hidden"
    REMOVED = "removed"
    DELETED = "deleted"
    SOLD = "sold"


_FATES: Final[Mapping[Fate, float]] = {
    Fate.ON_SALE: 92,
    Fate.DRAFT: 2.5,
    Fate.UNPUBLISHED: 0.5,
    Fate.EXPIRED: 1.5,
    Fate.HIDDEN: 1,
    Fate.REMOVED: 0.5,
    Fate.DELETED: 1,
    Fate.SOLD: 1,
}


class Article(msgspec.Struct, frozen=True, kw_only=True):
    """``seller`` is the index of one of the sellers there are, ``further`` another category that it is found in.

    ``expires_in`` days from now, in the past where that has happened already; ``None`` is never.
    """

    title: str
    description: str
    description_short: str
    category: str
    further: str
    brand: str
    tags: tuple[str, ...]
    price: Money
    discount_percentage: Decimal
    stock: int
    unique: bool
    thumbnail: str
    images: tuple[str, ...]
    rating: Decimal | None
    attributes: dict[str, Any]
    location: Location | None
    extras: dict[str, Any]
    seller: int
    fate: Fate
    expires_in: int | None
    reason: str

    def expires_at(self, now: datetime) -> datetime | None:
        """To the day, so that those who are generated on the same day are the same."""
        if self.expires_in is None:
            return None
        midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
        return midnight + timedelta(days=self.expires_in)


class Assortment:
    """All listings that there could be of one ``seed``, by their index."""

    def __init__(self, catalogue: Catalogue, *, sellers: int, seed: int) -> None:
        self._sellers = sellers
        self._seed = seed
        self._products: dict[str, list[dict[str, Any]]] = {}
        for product in catalogue.products:
            self._products.setdefault(product["category"], []).append(product)
        self._categories = list(self._products)
        self._weights = [_WEIGHTS.get(category, 1.0) for category in self._categories]
        self._schemas = {category: schema_of(category) for category in self._categories}
        self._prices = {
            category: median([product["price"] for product in products])
            for category, products in self._products.items()
        }
        self._brands = {
            category: sorted({product["brand"] for product in products if product.get("brand")})
            for category, products in self._products.items()
        }
        self._tags = {
            category: sorted({tag for product in products for tag in product["tags"]})
            for category, products in self._products.items()
        }

    def article(self, index: int) -> Article:
        chance = random.Random(f"{self._seed}:{index}")  # noqa: S311  # no secret, and the same each time
        (category,) = chance.choices(self._categories, self._weights)
        product, other = (chance.choice(self._products[category]) for _ in range(2))
        (fate,) = chance.choices(list(_FATES), list(_FATES.values()))
        unique = fate is Fate.SOLD or chance.random() < 0.2
        attributes = self._attributes(chance, category)
        brand = self._brand(chance, category, product)
        return Article(
            title=_title(chance, product, other, brand, attributes),
            description=_description(chance, product, other),
            description_short=_sentences(product)[0] if chance.random() < 0.3 else "",
            category=category,
            further=chance.choice(self._categories) if chance.random() < 0.05 else "",
            brand=brand,
            tags=tuple(dict.fromkeys((*product["tags"], chance.choice(self._tags[category])))),
            price=_price(chance, self._prices[category]),
            discount_percentage=_discount(chance),
            stock=1 if unique else _stock(chance),
            unique=unique,
            thumbnail=product["thumbnail"],
            images=tuple(product["images"]),
            rating=_rating(chance),
            attributes=attributes,
            location=_location(chance),
            extras=_extras(chance, product),
            # A few sell much, and many a little.
            seller=min(int(self._sellers * chance.random() ** 2), self._sellers - 1),
            fate=fate,
            expires_in=_expires_in(chance, fate),
            reason=chance.choice(_REASONS),
        )

    def _brand(self, chance: random.Random, category: str, product: dict[str, Any]) -> str:
        own: str = product.get("brand", "")
        known = self._brands[category]
        return chance.choice(known) if known and chance.random() < 0.5 else own

    def _attributes(self, chance: random.Random, category: str) -> dict[str, Any]:
        said = {
            attribute.key: _said(chance, attribute)
            for attribute in self._schemas[category]
            if chance.random() < 0.85
        }
        if "condition" not in said and chance.random() < 0.3:
            said["condition"] = chance.choice(_CONDITIONS)
        return said


def schema_of(category: str) -> Schema:
    """What a listing in one of DummyJSON's categories can say of itself, all that it inherits included."""
    departments = {department.slug: department for department in DEPARTMENTS}
    inherited: list[Attribute] = []
    slug = PARENTS.get(category, "")
    while slug:
        inherited = [*departments[slug].attributes, *inherited]
        slug = departments[slug].parent
    return (*inherited, *ATTRIBUTES.get(category, ()))


def _said(chance: random.Random, attribute: Attribute) -> Any:
    match attribute.type:
        case AttributeType.ENUM:
            return chance.choice(attribute.options)
        case AttributeType.MULTI:
            return sorted(chance.sample(attribute.options, chance.choice((1, 1, 1, 2))))
        case AttributeType.BOOLEAN:
            return chance.random() < 0.3
        case AttributeType.NUMBER:
            return _number(chance, attribute.key)
        case AttributeType.STRING:
            return chance.choice(_MATERIALS if attribute.key == "material" else _STYLES)


def _number(chance: random.Random, key: str) -> float:
    match key:
        case "storage":
            return chance.choice(_STORAGES)
        case "screenSize":
            return round(min(max(chance.gauss(10, 5), 4), 32), 1)
        case "shoeSize":
            return round(min(max(chance.gauss(41, 3), 34), 50))
        case "year":
            return 2026 - min(int(chance.expovariate(0.12)), 60)
        case "mileage":
            return round(chance.lognormvariate(log(60_000), 0.9), -2)
        case _:  # millilitres
            return chance.choice((15, 30, 50, 75, 100, 150, 200, 250, 400, 500))


def _title(
    chance: random.Random,
    product: dict[str, Any],
    other: dict[str, Any],
    brand: str,
    attributes: Mapping[str, Any],
) -> str:
    core: str = chance.choice((product["title"], product["title"], other["title"]))
    own = product.get("brand", "")
    if brand and own and core.startswith(own):
        core = f"{brand}{core.removeprefix(own)}"
    colors = [color.capitalize() for color in attributes.get("color", ())]
    before = [chance.choice(_QUALITIES)] if chance.random() < 0.25 else []
    after = [chance.choice(_EDITIONS)] if chance.random() < 0.5 else []
    after += colors[:1] if chance.random() < 0.6 else []
    if "size" in attributes and chance.random() < 0.5:
        after.append(f"Size {attributes['size']}")
    if chance.random() < 0.35:
        after.append(str(chance.randint(100, 9999)))
    return " ".join([*before, core, *after])[:200]


def _sentences(product: dict[str, Any]) -> Sequence[str]:
    return re.split(r"(?<=[.!?])\s+", product["description"])


def _description(chance: random.Random, product: dict[str, Any], other: dict[str, Any]) -> str:
    said = [*_sentences(product), chance.choice(_sentences(other)), *chance.sample(_REMARKS, 2)]
    return " ".join(dict.fromkeys(said))


def _price(chance: random.Random, usual: float) -> Money:
    amount = chance.lognormvariate(log(usual), 0.6)
    cents = chance.choice((99, 99, 50, 0, chance.randint(1, 99)))
    return Money(max(49, int(amount) * 100 + cents))


def _discount(chance: random.Random) -> Decimal:
    return Decimal(0) if chance.random() < 0.4 else Decimal(chance.randint(50, 3500)) / 100


def _stock(chance: random.Random) -> int:
    return 0 if chance.random() < 0.06 else int(chance.lognormvariate(log(20), 1.1)) + 1


def _rating(chance: random.Random) -> Decimal | None:
    if chance.random() < 0.4:
        return None
    return Decimal(round(min(max(chance.gauss(4.0, 0.6), 1), 5) * 100)) / 100


def _location(chance: random.Random) -> Location | None:
    if chance.random() < 0.2:
        return None
    city = chance.choice(list(CITIES))
    lat, lng = CITIES[city]
    return Location(
        lat=round(lat + chance.gauss(0, 0.05), 2), lng=round(lng + chance.gauss(0, 0.05), 2), city=city
    )


def _extras(chance: random.Random, product: dict[str, Any]) -> dict[str, Any]:
    kept = {name: value for name, value in product.items() if name not in OWN_FIELDS}
    return kept | {"sku": f"{product['sku']}-{chance.randrange(16**6):06X}", "weight": chance.randint(1, 40)}


def _expires_in(chance: random.Random, fate: Fate) -> int | None:
    if fate is Fate.EXPIRED:
        return -chance.randint(0, 60)
    return chance.randint(7, 180) if chance.random() < 0.2 else None
