"""Which web origins may use the API from a browser, with cookies and all (A16).

By hand and before the framework, so that what the edge answers by itself (a product at hand, a refusal for asking too
often) can be read by browsers like everything else.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

Header = tuple[bytes, bytes]

_METHODS: Final = (b"GET", b"HEAD", b"POST", b"PUT", b"PATCH", b"DELETE")
_ASKED: Final = (
    b"Accept",
    b"Authorization",
    b"Content-Type",
    b"Idempotency-Key",
    b"If-Match",
    b"If-None-Match",
    b"X-CSRF-Token",
    b"X-Min-Log-Position",
    b"X-Request-ID",
)
_SIMPLE: Final = (b"accept-language", b"content-language")
"""What browsers may send without asking, and some ask for all the same."""

_EXPOSED: Final = (
    b"Content-Disposition",
    b"ETag",
    b"Idempotency-Replayed",
    b"RateLimit-Limit",
    b"RateLimit-Remaining",
    b"RateLimit-Reset",
    b"Retry-After",
    b"X-Log-Position",
    b"X-Request-ID",
    b"X-Search-Engine",
)
_SECONDS_TO_REMEMBER: Final = b"600"


class Cors:
    """``origins`` are named one by one: a pattern, with credentials, would invite everybody."""

    def __init__(self, origins: Iterable[str]) -> None:
        self._granted: dict[bytes, tuple[Header, ...]] = {}
        for origin in origins:
            self._granted[origin.encode()] = (
                (b"access-control-allow-origin", origin.encode()),
                (b"access-control-allow-credentials", b"true"),
                (b"access-control-expose-headers", b", ".join(_EXPOSED)),
            )
        self._allowed = frozenset(name.lower() for name in _ASKED) | frozenset(_SIMPLE)
        self._preflight = (
            (b"access-control-allow-methods", b", ".join(_METHODS)),
            (b"access-control-allow-headers", b", ".join(_ASKED)),
            (b"access-control-max-age", _SECONDS_TO_REMEMBER),
        )

    def granted(self, origin: bytes) -> tuple[Header, ...]:
        """What lets a page of this origin read the answer; nothing for a stranger's."""
        return self._granted.get(origin, ())

    def preflight(self, origin: bytes, method: bytes, headers: bytes) -> tuple[Header, ...]:
        """The answer to a browser's question whether it may send a request; nothing if it may not."""
        granted = self._granted.get(origin)
        wanted = {name.strip().lower() for name in headers.split(b",") if name.strip()}
        if granted is None or method not in _METHODS or not wanted <= self._allowed:
            return ()
        return (*granted, *self._preflight)
