"""What can stand in the way of a command besides the business itself."""

from __future__ import annotations

from uuid import UUID

from domain.kernel import DomainError


class ConcurrentChangeError(DomainError):
    """Somebody else changed the same thing first, again and again; or ``If-Match`` names an older version."""

    code = "VERSION_CONFLICT"


class IdempotencyKeyReusedError(DomainError):
    """The ``Idempotency-Key`` was used before, for another request."""

    code = "IDEMPOTENCY_KEY_REUSED"


class AuthenticationError(DomainError):
    """We do not know who is asking."""

    code = "UNAUTHORIZED"


class TokenExpiredError(AuthenticationError):
    """The token was good once."""

    code = "TOKEN_EXPIRED"


class UnavailableError(DomainError):
    """Something that we cannot do without is down; the same request may succeed later. Nothing was acknowledged."""

    code = "SERVICE_UNAVAILABLE"


class LogUnavailableError(UnavailableError):
    """The event log does not answer."""


class PaymentProviderError(UnavailableError):
    """The payment provider does not answer, or not as agreed."""

    code = "PAYMENT_PROVIDER_UNAVAILABLE"


class StreamConflictError(Exception):
    """An append met a version that exists already. ``EventStore`` decides again; nobody else sees this."""

    def __init__(self, streams: tuple[UUID, ...] = ()) -> None:
        super().__init__(f"version conflict on {streams}")
        self.streams = streams


class DuplicateCommandError(Exception):
    """An append met its idempotency key in the log: the command was carried out before."""
