"""How answers are written: one encoder, and the same body in snake_case for whoever asks (README, decision 1)."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final

import msgspec
from litestar.response.base import ASGIResponse

from projections.products.product import MEDIA_ADDRESS

encode: Final = msgspec.json.Encoder(decimal_format="number").encode

_JSON: Final = (b"content-type", b"application/json")
_PICTURE: Final = f'"{MEDIA_ADDRESS}'.encode()
_HUMP: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


def answer(
    body: bytes,
    *,
    status: int = 200,
    position: int = 0,
    version: int = 0,
    headers: tuple[tuple[bytes, bytes], ...] = (),
) -> ASGIResponse:
    """Ready bytes as an answer; ``position`` is how far of the log it includes."""
    encoded = [*headers] if status == 204 else [_JSON, *headers]
    if position:
        encoded.append((b"x-log-position", b"%d" % position))
    if version:
        encoded.append((b"etag", b'"%d"' % version))
    return ASGIResponse(body=body, status_code=status, encoded_headers=encoded)


def addressing(public_url: Callable[[str], str]) -> Callable[[bytes], bytes]:
    """Ready bytes know pictures by their keys alone: where these are to be had depends on who serves them."""
    here = f'"{public_url("-").removesuffix("-")}'.encode()
    return lambda body: body.replace(_PICTURE, here)


def snake_cased(body: bytes) -> bytes:
    return msgspec.json.encode(_snake(msgspec.json.decode(body)))


def _snake(value: Any) -> Any:
    if isinstance(value, dict):
        return {_snake_key(key): _snake(item) for key, item in value.items()}
    return [_snake(item) for item in value] if isinstance(value, list) else value


def camel_cased(value: Any, *, masked: frozenset[str] = frozenset()) -> Any:
    """What was written for ourselves, in the spelling of the wire, without the values of ``masked`` keys."""
    if isinstance(value, dict):
        return {
            _camel_key(key): "***" if key in masked and item else camel_cased(item, masked=masked)
            for key, item in value.items()
        }
    return [camel_cased(item, masked=masked) for item in value] if isinstance(value, list | tuple) else value


@lru_cache(maxsize=2048)
def _camel_key(key: str) -> str:
    first, *others = key.split("_")
    return first + "".join(part[:1].upper() + part[1:] for part in others)


@lru_cache(maxsize=2048)
def _snake_key(key: str) -> str:
    return _HUMP.sub("_", key).lower()
