"""Tokens: signed access tokens (JWT), and refresh tokens that are numbered within their session."""

from __future__ import annotations

import base64
import hashlib
import hmac
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import jwt
import msgspec

from application.accounts.registering import SignedIn
from application.errors import AuthenticationError, TokenExpiredError
from domain.accounts.events import Caller, Role
from domain.kernel import AccountId

ISSUER = "tradelog"


class AccessToken(msgspec.Struct, frozen=True, kw_only=True):
    """What an access token says: who is asking, and in which session."""

    caller: Caller
    session_id: UUID
    expires_at: datetime


class Tokens:
    """HS256 with one secret (contract README, decision 5). A refresh token is session, number and MAC.

    The MAC makes a token of the past recognisable as such, so that no token has to be stored, nor its hash.
    """

    def __init__(self, secret: str, *, lifetime: timedelta) -> None:
        if len(secret) < 32:
            raise ValueError("JWT_SECRET needs 256 bits: at least 32 characters")
        self._secret = secret
        self._refresh_key = hmac.digest(secret.encode(), b"tradelog refresh tokens", hashlib.sha256)
        self.lifetime = lifetime

    def access(self, signed_in: SignedIn, now: datetime) -> str:
        account = signed_in.account
        claims = {
            "iss": ISSUER,
            "sub": str(account.number),
            "uid": str(account.id),
            "email": account.email,
            "role": account.role.value,
            "roles": sorted(account.roles),
            "sid": str(signed_in.session.id),
            "iat": int(now.timestamp()),
            "exp": int((now + self.lifetime).timestamp()),
            "jti": str(uuid4()),
        }
        return jwt.encode(claims, self._secret, algorithm="HS256")

    def read_access(self, token: str) -> AccessToken:
        """``TokenExpiredError`` when it was good once, ``AuthenticationError`` when it never was."""
        try:
            claims: dict[str, Any] = jwt.decode(
                token,
                self._secret,
                algorithms=["HS256"],
                issuer=ISSUER,
                options={"require": ["sub", "uid", "sid", "exp", "iat", "roles"]},
            )
            return AccessToken(
                caller=Caller(
                    account_id=AccountId(UUID(claims["uid"])),
                    number=int(claims["sub"]),
                    roles=frozenset(Role(role) for role in claims["roles"]),
                ),
                session_id=UUID(claims["sid"]),
                expires_at=datetime.fromtimestamp(claims["exp"], UTC),
            )
        except jwt.ExpiredSignatureError as expired:
            raise TokenExpiredError("Invalid or expired token") from expired
        except (jwt.InvalidTokenError, ValueError, TypeError) as forged:
            raise AuthenticationError("Invalid or expired token") from forged

    def refresh(self, session_id: UUID, generation: int) -> str:
        named = session_id.bytes + generation.to_bytes(4)
        return base64.urlsafe_b64encode(named + self._mac(named)).decode().rstrip("=")

    def read_refresh(self, token: str) -> tuple[UUID, int]:
        """The session and the number of a refresh token of ours; whether it is still good is the session's to say."""
        try:
            raw = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
        except ValueError as forged:
            raise AuthenticationError("Invalid or expired token") from forged
        named, mac = raw[:20], raw[20:]
        if len(named) < 20 or not hmac.compare_digest(mac, self._mac(named)):
            raise AuthenticationError("Invalid or expired token")
        return UUID(bytes=named[:16]), int.from_bytes(named[16:])

    def _mac(self, named: bytes) -> bytes:
        return hmac.digest(self._refresh_key, named, hashlib.sha256)
