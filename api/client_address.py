"""Where a request comes from, as far as those whom we trust tell us.

Anybody can write ``X-Forwarded-For``. So it counts only when the peer itself is one of ``TRUSTED_PROXIES``, and then
only as far from the right as each hop is one of them: the first that is not was seen by a proxy of ours.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Any, Final

from litestar.connection import ASGIConnection
from litestar.types import HTTPScope

Address = IPv4Address | IPv6Address

_IPV6_OF_ONE_SUBSCRIBER: Final = 64
_FOR: Final = re.compile(r'(?:^|;)\s*for=("[^"]*"|[^;\s]*)', re.IGNORECASE)
_WITH_PORT: Final = re.compile(r"(?:\[([^\]]*)\]|([^:]*))(?::\d{1,5})?")
_MOST_HOPS: Final = 32


class ClientAddresses:
    """Without a proxy to trust, the peer is the client."""

    def __init__(self, trusted: Collection[IPv4Network | IPv6Network] = ()) -> None:
        self._trusted = trusted

    def of(self, scope: HTTPScope) -> str:
        """The client's address; empty where there is none, as on a Unix socket."""
        client = scope["client"]
        peer = client[0] if client else ""
        if not self._trusted:
            return peer
        found = _parsed(peer)
        if found is None or not self._is_trusted(found):
            return peer
        told = {
            str(self._through(found, hops))
            for hops in (_forwarded_for(scope), _forwarded(scope))
            if hops is not None
        }
        # A proxy writes one of the two headers. Where both are there and differ, one of them came through from
        # the client, and nobody can tell which.
        return told.pop() if len(told) == 1 else str(found)

    def _through(self, peer: Address, hops: list[str]) -> Address:
        address = peer
        for hop in reversed(hops[-_MOST_HOPS:]):
            found = _parsed(hop)
            if found is None:
                return address  # what a trusted proxy could not name is not for us to guess
            address = found
            if not self._is_trusted(address):
                break
        return address

    def _is_trusted(self, address: Address) -> bool:
        return any(address in network for network in self._trusted)


def address_of(connection: ASGIConnection[Any, Any, Any, Any]) -> str:
    """Where the request comes from, as the edge found it."""
    address: str = connection.scope["state"]["address"]
    return address


@lru_cache(maxsize=4096)
def neighbourhood(address: str) -> str:
    """Whom limits take for one client: an IPv4 address, or the /64 that an IPv6 subscriber chooses freely from."""
    found = _parsed(address)
    if isinstance(found, IPv6Address):
        return str(IPv6Network((found, _IPV6_OF_ONE_SUBSCRIBER), strict=False))
    return str(found) if found is not None else "unknown"


def is_loopback(address: str) -> bool:
    found = _parsed(address)
    return found is not None and found.is_loopback


def _parsed(text: str) -> Address | None:
    """An address in one spelling: without port, zone and brackets, and IPv4 as IPv4."""
    match = _WITH_PORT.fullmatch(text.strip())
    bare = (match[1] or match[2] or "") if match is not None else text.strip()
    try:
        address = ip_address(bare.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def _values(scope: HTTPScope, wanted: bytes) -> str | None:
    values = [value.decode("latin-1") for name, value in scope["headers"] if name == wanted]
    return ",".join(values) if values else None


def _forwarded_for(scope: HTTPScope) -> list[str] | None:
    given = _values(scope, b"x-forwarded-for")
    return given.split(",") if given is not None else None


def _forwarded(scope: HTTPScope) -> list[str] | None:
    """RFC 7239: ``for=192.0.2.60;proto=https, for="[2001:db8::1]:4711"``."""
    given = _values(scope, b"forwarded")
    if given is None:
        return None
    hops = []
    for element in given.split(","):
        match = _FOR.search(element)
        hops.append(match[1].strip('"') if match is not None else "")
    return hops
