"""How values look on the wire, wherever they stand in an answer (C48, C59)."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache

import msgspec

encode = msgspec.json.Encoder(decimal_format="number").encode


@lru_cache(maxsize=16_384)
def time(at: datetime) -> str:
    """ISO 8601 in UTC with milliseconds and Z, as DummyJSON and browsers write it."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"


def masked_email(address: str) -> str:
    """``j***@example.com``: a reader sees that there is one, and not whose (C41)."""
    name, at, host = address.partition("@")
    return f"{name[:1]}***@{host}" if at else ""
