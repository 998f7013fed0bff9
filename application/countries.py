"""Countries: what people write of them, and the two letters by which taxes, rates and shipping profiles know them."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import pycountry

_ALSO_CALLED: Final = {
    "BRITAIN": "GB",
    "ENGLAND": "GB",
    "GREAT BRITAIN": "GB",
    "HOLLAND": "NL",
    "IVORY COAST": "CI",
    "NORTHERN IRELAND": "GB",
    "RUSSIA": "RU",
    "SCOTLAND": "GB",
    "TURKEY": "TR",
    "UAE": "AE",
    "UK": "GB",
    "WALES": "GB",
}
"""What addresses say and ISO 3166 does not."""


@lru_cache(maxsize=4096)
def country_code(text: str) -> str:
    """ISO 3166's two letters of a country by name or code; what is no country stays as it is, in capitals."""
    plain = " ".join(text.replace(".", "").split()).upper()
    if not plain or plain in _ALSO_CALLED:
        return _ALSO_CALLED.get(plain, plain)
    try:
        found = pycountry.countries.lookup(plain)
    except LookupError:
        return plain
    code: str = found.alpha_2
    return code


def is_country(code: str) -> bool:
    return pycountry.countries.get(alpha_2=code) is not None
