"""Where carriers tell everybody of their parcels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

_ADDRESSES: Final[Mapping[str, str]] = {
    "ups": "https://www.ups.com/track?tracknum={}",
    "fedex": "https://www.fedex.com/fedextrack/?trknbr={}",
    "usps": "https://tools.usps.com/go/TrackConfirmAction?tLabels={}",
    "dhl": "https://www.dhl.com/global-en/home/tracking.html?tracking-id={}",
    "dhlexpress": "https://www.dhl.com/global-en/home/tracking.html?tracking-id={}",
    "dpd": "https://tracking.dpd.de/status/en_US/parcel/{}",
    "gls": "https://gls-group.com/track/{}",
    "hermes": "https://www.evri.com/track/parcel/{}",
    "evri": "https://www.evri.com/track/parcel/{}",
    "royalmail": "https://www.royalmail.com/track-your-item#/tracking-results/{}",
    "canadapost": "https://www.canadapost-postescanada.ca/track-reperage/en#/search?searchFor={}",
    "auspost": "https://auspost.com.au/mypost/track/details/{}",
    "australiapost": "https://auspost.com.au/mypost/track/details/{}",
    "laposte": "https://www.laposte.fr/outils/suivre-vos-envois?code={}",
    "ontrac": "https://www.ontrac.com/tracking/?number={}",
}
"""By the carrier's name as ``carrier_name`` has it."""


def carrier_name(carrier: str) -> str:
    """What is the same however it is written: ``DHL Express`` and ``dhl-express``."""
    return _bare(carrier).lower()


def as_scanned(tracking_number: str) -> str:
    """A tracking number without the blanks and dashes that make it readable."""
    return _bare(tracking_number).upper()


def tracking_url(carrier: str, tracking_number: str) -> str:
    """Nothing for a carrier that we do not know, or a parcel without a number."""
    address = _ADDRESSES.get(carrier_name(carrier), "")
    number = as_scanned(tracking_number)
    return address.format(number) if address and number else ""


def _bare(text: str) -> str:
    return "".join(character for character in text if character.isascii() and character.isalnum())
