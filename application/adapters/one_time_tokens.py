"""Tokens that stand in mails: who may verify an address, choose a new password, or have an account back."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from typing import Final
from uuid import UUID

from application.adapters.keys import MasterKeys
from domain.accounts.account import InvalidTokenError

_ID: Final = 16
_NUMBER: Final = 6
_MAC: Final = 32
# 54 bytes are 72 characters without a bit to spare: a token can be spelled in one way only.
_TOKEN: Final = re.compile(r"[A-Za-z0-9_-]{72}")


class SealedOneTimeTokens:
    """Account, number and MAC, in letters that need no escaping in a link.

    The MAC covers the kind, and its key hangs on the master key: neither the log nor a dump of the whole database
    holds anything that a token could be made from, nor even a hash to try tokens on.
    """

    def __init__(self, master: MasterKeys) -> None:
        self._key = master.derive("one-time tokens")

    def make(self, kind: str, account_id: UUID, number: int) -> str:
        named = account_id.bytes + number.to_bytes(_NUMBER)
        return base64.urlsafe_b64encode(named + self._mac(kind, named)).decode()

    def read(self, kind: str, token: str) -> tuple[UUID, int]:
        """``InvalidTokenError`` for a token that is none of ours, or of another kind."""
        raw = base64.urlsafe_b64decode(token) if _TOKEN.fullmatch(token) else bytes(_ID + _NUMBER + _MAC)
        named, mac = raw[:-_MAC], raw[-_MAC:]
        if not hmac.compare_digest(mac, self._mac(kind, named)):
            raise InvalidTokenError("Invalid or expired token")
        return UUID(bytes=named[:_ID]), int.from_bytes(named[_ID:])

    def _mac(self, kind: str, named: bytes) -> bytes:
        return hmac.digest(self._key, kind.encode() + b"\0" + named, hashlib.sha256)
