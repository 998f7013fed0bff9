"""What can stand in the way of a command besides the business itself."""

from __future__ import annotations

from uuid import UUID

from domain.kernel import DomainError, InvalidInputError, NotFoundError


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


class IdentityRefusedError(AuthenticationError):
    """What should prove who somebody is at another provider does not."""

    code = "INVALID_TOKEN"


class UnknownProviderError(NotFoundError):
    """There is no such provider of identities."""

    code = "PROVIDER_NOT_FOUND"


class InvalidStateError(InvalidInputError):
    """The browser did not leave from here, or too long ago, or it was another one."""

    code = "INVALID_STATE"


class InvalidCodeError(InvalidInputError):
    """The provider does not know the code that the browser came back with, or no longer."""

    code = "INVALID_CODE"


class CsrfError(DomainError):
    """A browser sent its cookies, and nothing shows that a page of ours made it do so."""

    code = "CSRF_FAILED"


class ReauthenticationError(DomainError):
    """What is asked for takes somebody who has signed in just now."""

    code = "REAUTH_REQUIRED"


class RateLimitedError(DomainError):
    """This was asked for too often; ``details["retryAfter"]`` says in how many seconds it may be again."""

    code = "RATE_LIMITED"


class UnavailableError(DomainError):
    """Something that we cannot do without is down; the same request may succeed later. Nothing was acknowledged."""

    code = "SERVICE_UNAVAILABLE"


class LogUnavailableError(UnavailableError):
    """The event log does not answer."""


class PaymentProviderError(UnavailableError):
    """The payment provider does not answer, or not as agreed."""

    code = "PAYMENT_PROVIDER_UNAVAILABLE"


class IdentityProviderError(UnavailableError):
    """The provider of identities does not answer, or not as agreed."""

    code = "IDENTITY_PROVIDER_UNAVAILABLE"


class ProviderNotConfiguredError(UnavailableError):
    """We know the provider of identities, and have no account with it."""

    code = "PROVIDER_NOT_CONFIGURED"


class CarrierNotConfiguredError(UnavailableError):
    """Nobody could prove to us that a message is a carrier's."""

    code = "CARRIER_NOT_CONFIGURED"


class StorageUnavailableError(UnavailableError):
    """The object storage does not answer, or not as agreed."""

    code = "STORAGE_UNAVAILABLE"


class InvalidImageError(InvalidInputError):
    """What was sent is not a picture that we can show; ``details`` name the field ``image``."""


class StreamConflictError(Exception):
    """An append met a version that exists already. ``EventStore`` decides again; nobody else sees this."""

    def __init__(self, streams: tuple[UUID, ...] = ()) -> None:
        super().__init__(f"version conflict on {streams}")
        self.streams = streams


class NotOurTurnError(StreamConflictError):
    """Another process has one of the streams to itself for a moment, because several want it all the time."""


class DuplicateCommandError(Exception):
    """An append met its idempotency key in the log: the command was carried out before."""
