"""The default tree: departments over DummyJSON's categories, and what listings in them can say of themselves.

Nothing is required, because DummyJSON's products say none of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from domain.attributes import Attribute, AttributeType

_COLORS: Final = (
    "black", "white", "grey", "red", "orange", "yellow", "green", "blue", "purple", "pink", "brown", "gold", "silver",
)  # fmt: skip

_CONDITION: Final = Attribute(
    key="condition",
    label="Condition",
    type=AttributeType.ENUM,
    options=("new", "like new", "good", "fair"),
    filterable=True,
)
_COLOR: Final = Attribute(
    key="color", label="Color", type=AttributeType.MULTI, options=_COLORS, filterable=True
)
_MATERIAL: Final = Attribute(key="material", label="Material", type=AttributeType.STRING, filterable=True)
_GENDER: Final = Attribute(
    key="gender",
    label="Gender",
    type=AttributeType.ENUM,
    options=("women", "men", "unisex"),
    filterable=True,
)
_STYLE: Final = Attribute(key="style", label="Style", type=AttributeType.STRING, filterable=True)
_SIZE: Final = Attribute(
    key="size",
    label="Size",
    type=AttributeType.ENUM,
    options=("XS", "S", "M", "L", "XL", "XXL"),
    filterable=True,
)
_SHOE_SIZE: Final = Attribute(
    key="shoeSize",
    label="Shoe size",
    type=AttributeType.NUMBER,
    unit="EU",
    min=15,
    max=55,
    filterable=True,
)
_VOLUME: Final = Attribute(key="volume", label="Volume", type=AttributeType.NUMBER, unit="ml", min=0)
_SCREEN: Final = Attribute(
    key="screenSize",
    label="Screen size",
    type=AttributeType.NUMBER,
    unit="in",
    min=1,
    max=120,
    filterable=True,
)
_STORAGE: Final = Attribute(
    key="storage", label="Storage", type=AttributeType.NUMBER, unit="GB", min=0, filterable=True
)
_REFURBISHED: Final = Attribute(key="refurbished", label="Refurbished", type=AttributeType.BOOLEAN)
_ORGANIC: Final = Attribute(key="organic", label="Organic", type=AttributeType.BOOLEAN, filterable=True)
_YEAR: Final = Attribute(
    key="year", label="Year", type=AttributeType.NUMBER, min=1880, max=2100, filterable=True
)
_MILEAGE: Final = Attribute(key="mileage", label="Mileage", type=AttributeType.NUMBER, unit="km", min=0)


class Department(msgspec.Struct, frozen=True, kw_only=True):
    """A category that DummyJSON does not have; ``parent`` is the slug of another one, or empty."""

    slug: str
    name: str
    parent: str = ""
    attributes: tuple[Attribute, ...] = ()


DEPARTMENTS: Final = (
    Department(slug="electronics", name="Electronics", attributes=(_CONDITION, _COLOR, _REFURBISHED)),
    Department(slug="beauty-and-care", name="Beauty & Care", attributes=(_VOLUME,)),
    Department(slug="home-and-living", name="Home & Living", attributes=(_CONDITION, _COLOR, _MATERIAL)),
    Department(slug="fashion", name="Fashion", attributes=(_CONDITION, _COLOR, _MATERIAL, _GENDER, _STYLE)),
    Department(slug="mens-fashion", name="Men's Fashion", parent="fashion"),
    Department(slug="womens-fashion", name="Women's Fashion", parent="fashion"),
    Department(slug="sports-and-vehicles", name="Sports & Vehicles", attributes=(_CONDITION, _COLOR)),
)

PARENTS: Final[Mapping[str, str]] = {
    "beauty": "beauty-and-care",
    "fragrances": "beauty-and-care",
    "skin-care": "beauty-and-care",
    "furniture": "home-and-living",
    "home-decoration": "home-and-living",
    "kitchen-accessories": "home-and-living",
    "laptops": "electronics",
    "mobile-accessories": "electronics",
    "smartphones": "electronics",
    "tablets": "electronics",
    "mens-shirts": "mens-fashion",
    "mens-shoes": "mens-fashion",
    "mens-watches": "mens-fashion",
    "sunglasses": "fashion",
    "tops": "womens-fashion",
    "womens-bags": "womens-fashion",
    "womens-dresses": "womens-fashion",
    "womens-jewellery": "womens-fashion",
    "womens-shoes": "womens-fashion",
    "womens-watches": "womens-fashion",
    "motorcycle": "sports-and-vehicles",
    "sports-accessories": "sports-and-vehicles",
    "vehicle": "sports-and-vehicles",
}
"""The department of each of DummyJSON's categories; those that have none are roots."""

ATTRIBUTES: Final[Mapping[str, tuple[Attribute, ...]]] = {
    "groceries": (_ORGANIC,),
    "laptops": (_SCREEN, _STORAGE),
    "smartphones": (_SCREEN, _STORAGE),
    "tablets": (_SCREEN, _STORAGE),
    "mens-shirts": (_SIZE,),
    "tops": (_SIZE,),
    "womens-dresses": (_SIZE,),
    "mens-shoes": (_SHOE_SIZE,),
    "womens-shoes": (_SHOE_SIZE,),
    "motorcycle": (_YEAR, _MILEAGE),
    "vehicle": (_YEAR, _MILEAGE),
}
"""What DummyJSON's categories add to that of their departments."""
