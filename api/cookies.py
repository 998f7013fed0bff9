"""The session in a browser's cookies, beside Bearer tokens (C17), and what keeps other people's pages from using it.

A browser sends cookies along whoever wrote the page that asks. So a request that changes something and is
authenticated by cookie must also say, in a header, what only a page of ours can read: the session's CSRF token.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

from litestar.connection import ASGIConnection, Request

from application.errors import CsrfError

Connection = ASGIConnection[Any, Any, Any, Any]
Header = tuple[bytes, bytes]

ACCESS: Final = "accessToken"
REFRESH: Final = "refreshToken"
CSRF: Final = "csrfToken"
SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
"""Methods that change nothing."""


class Cookies:
    """``secrets``: the first makes CSRF tokens, the others were used before it and are good still."""

    def __init__(self, secrets: Sequence[str], *, secure: bool, session_lifetime: timedelta) -> None:
        self._keys = [
            hmac.digest(secret.encode(), b"tradelog csrf tokens", hashlib.sha256) for secret in secrets
        ]
        self._secure = secure
        self._session_lifetime = session_lifetime

    def session_cookies(
        self, request: Request[Any, Any, Any], *, access: str, refresh: str, session_id: UUID, expires_in: int
    ) -> tuple[Header, ...]:
        """What an answer gives a browser that has just been signed in; ``expires_in`` is the access token's."""
        lasting = int(self._session_lifetime.total_seconds())
        return (
            self._cookie(ACCESS, access, "/", expires_in),
            self._cookie(REFRESH, refresh, _refresh_path(request), lasting),
            self.csrf_cookie(session_id),
        )

    def cleared_cookies(self, request: Request[Any, Any, Any]) -> tuple[Header, ...]:
        """What takes them away again."""
        return (
            self._cookie(ACCESS, "", "/", 0),
            self._cookie(REFRESH, "", _refresh_path(request), 0),
            self._cookie(CSRF, "", "/", 0, readable=True),
        )

    def csrf_token(self, session_id: UUID) -> str:
        return _token(self._keys[0], session_id)

    def csrf_cookie(self, session_id: UUID) -> Header:
        lasting = int(self._session_lifetime.total_seconds())
        return self._cookie(CSRF, self.csrf_token(session_id), "/", lasting, readable=True)

    def require_csrf(self, connection: Connection, session_id: UUID) -> None:
        """``CsrfError`` unless the page that asks can read what we told this session's browser."""
        given = connection.headers.get("x-csrf-token", "").encode()
        if not any(hmac.compare_digest(given, _token(key, session_id).encode()) for key in self._keys):
            raise CsrfError("X-CSRF-Token must be the session's token; GET /auth/csrf tells it")

    def _cookie(self, name: str, value: str, path: str, seconds: int, *, readable: bool = False) -> Header:
        parts = [f"{name}={value}", f"Path={path}", f"Max-Age={seconds}", "SameSite=Lax"]
        if not readable:
            parts.append("HttpOnly")
        if self._secure:
            parts.append("Secure")
        return b"set-cookie", "; ".join(parts).encode()


def cookie(connection: Connection, name: str) -> str:
    return connection.cookies.get(name, "") if "cookie" in connection.headers else ""


def _refresh_path(request: Request[Any, Any, Any]) -> str:
    """Where alone the refresh token is of use, by the name by which this browser knows the API."""
    return f"{request.scope['state']['prefix']}/auth"


def _token(key: bytes, session_id: UUID) -> str:
    return hmac.digest(key, session_id.bytes, hashlib.sha256).hex()
