"""What every answer tells a browser to refuse: S2's whole list (§11.3, A16), as bytes that are ready to be sent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

Header = tuple[bytes, bytes]

_SHARED: Final[tuple[Header, ...]] = (
    (b"cross-origin-embedder-policy", b"require-corp"),
    (b"cross-origin-opener-policy", b"same-origin"),
    # Of the shop's own sites (ecom.com beside api.ecom.com) each may embed what we answer, an invoice for instance.
    # Web origins in CORS_ORIGINS need nothing of this: they read by CORS, which this header does not touch.
    (b"cross-origin-resource-policy", b"same-site"),
    (b"origin-agent-cluster", b"?1"),
    (b"referrer-policy", b"no-referrer"),
    (b"strict-transport-security", b"max-age=31536000; includeSubDomains"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-dns-prefetch-control", b"off"),
    (b"x-download-options", b"noopen"),
    (b"x-frame-options", b"SAMEORIGIN"),
    (b"x-permitted-cross-domain-policies", b"none"),
    # The server names its software where no name is given, and cannot be told to give none.
    (b"server", b"Tradelog"),
    # The filters that this switched on did more harm than good; helmet switches them off too.
    (b"x-xss-protection", b"0"),
    # Whom CORS lets in depends on the origin, also where an answer was given without one.
    (b"vary", b"Origin"),
)

API: Final[Sequence[Header]] = (
    *_SHARED,
    (
        b"content-security-policy",
        b"default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'",
    ),
)
"""Answers are data: should a browser take one for a page, that page may do nothing at all."""

NOT_TO_BE_KEPT: Final[Header] = (b"cache-control", b"no-store")
"""For answers that are somebody's own."""


def for_documentation(script: str) -> Sequence[Header]:
    """The page of Swagger UI: our own files, and the one inline script whose hash is ``script``.

    Swagger UI styles its elements in place, which no hash covers.
    """
    policy = (
        f"default-src 'none'; script-src 'self' '{script}'; style-src 'self' 'unsafe-inline'; "
        "img-src 'self' data:; font-src 'self' data:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
    )
    return (*_SHARED, (b"content-security-policy", policy.encode()))
