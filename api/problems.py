"""Refusals and faults on the wire: one table from families of errors to statuses, one envelope for all (C3)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

import structlog
from litestar.connection import Request
from litestar.exceptions import HTTPException, ValidationException
from litestar.response import Response

from api.input import MalformedJsonError
from api.wire import encode
from application.accounts.signing_in import InvalidCredentialsError
from application.errors import (
    AuthenticationError,
    ConcurrentChangeError,
    CsrfError,
    IdempotencyKeyReusedError,
    RateLimitedError,
    ReauthenticationError,
    UnavailableError,
)
from domain.accounts.account import InvalidTokenError
from domain.accounts.account import InvalidTokenError as UsedTokenError
from domain.accounts.sign_in import AccountLockedError
from domain.kernel import (
    AlreadyExistsError,
    DomainError,
    ForbiddenError,
    InvalidInputError,
    NotFoundError,
    RuleViolatedError,
    StillReferencedError,
)
from projections.ports import (
    KeyReusedError,
    ReadModelsUnavailableError,
    RebuildRunningError,
    StaleReadError,
    UnknownProjectionError,
)

log = structlog.get_logger()

STATUSES: Final[Mapping[type[DomainError], int]] = {
    InvalidInputError: 400,
    InvalidCredentialsError: 400,
    InvalidTokenError: 400,
    UsedTokenError: 400,
    AuthenticationError: 401,
    ForbiddenError: 403,
    CsrfError: 403,
    ReauthenticationError: 403,
    NotFoundError: 404,
    UnknownProjectionError: 404,
    AlreadyExistsError: 409,
    StillReferencedError: 409,
    ConcurrentChangeError: 409,
    RebuildRunningError: 409,
    IdempotencyKeyReusedError: 422,
    KeyReusedError: 422,
    RuleViolatedError: 422,
    AccountLockedError: 423,
    RateLimitedError: 429,
    UnavailableError: 503,
    StaleReadError: 503,
    ReadModelsUnavailableError: 503,
}

CODES: Final[Mapping[int, str]] = {
    400: "VALIDATION_ERROR",
    401: "UNAUTHORIZED",
    403: "FORBIDDEN",
    404: "NOT_FOUND",
    405: "METHOD_NOT_ALLOWED",
    413: "PAYLOAD_TOO_LARGE",
    415: "UNSUPPORTED_MEDIA_TYPE",
    431: "HEADERS_TOO_LARGE",
    500: "INTERNAL_ERROR",
    503: "SERVICE_UNAVAILABLE",
}
"""The codes of what the framework refuses."""

RETRY_AFTER: Final = 1

_NAMED_BY_S0_ALONE: Final = re.compile(
    r"/api/v1/(?:auth/(?:signup|apple)|media/.*|cart/items(?:/.*)?|(?:admin/)?threads(?:/.*)?"
    r"|products/\{[^/]*\}/publish|orders/\{[^/]*\}/confirm|notifications/test)"
)


def validation_status(template: str) -> int:
    """How a route refuses input (C4): S0 has 422 for that, and on the paths that S0 alone names it is heard."""
    return 422 if _NAMED_BY_S0_ALONE.fullmatch(template) else 400


def status_of(error: DomainError) -> int:
    return next(STATUSES[family] for family in type(error).__mro__ if family in STATUSES)


def envelope(
    status: int, code: str, message: str, details: Mapping[str, Any], request_id: str
) -> dict[str, Any]:
    return {
        "message": message,
        "status": status,
        "code": code,
        "details": details,
        "error": {"code": code, "message": message, "details": details},
        "requestId": request_id,
    }


def problem(
    request: Request[Any, Any, Any],
    status: int,
    code: str,
    message: str,
    *,
    details: Mapping[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response[bytes]:
    request_id = request.scope["state"].get("request_id", "")
    body = encode(envelope(status, code, message, details or {}, request_id))
    return Response(body, status_code=status, media_type="application/json", headers=headers)


def refused(request: Request[Any, Any, Any], error: DomainError) -> Response[bytes]:
    status = status_of(error)
    if isinstance(error, InvalidCredentialsError):
        status = request.app.state.login_failure_status
    elif isinstance(error, InvalidInputError) and not isinstance(error, MalformedJsonError):
        status = validation_status(request.scope.get("path_template", ""))
    headers = {}
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        headers["Retry-After"] = str(RETRY_AFTER)
    elif "retryAfter" in error.details:
        headers["Retry-After"] = str(error.details["retryAfter"])
    elif status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    return problem(request, status, error.code, error.message, details=error.details, headers=headers)


def refused_by_framework(request: Request[Any, Any, Any], error: HTTPException) -> Response[bytes]:
    status = error.status_code
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return failed(request, error)
    details: dict[str, list[str]] = {}
    if isinstance(error, ValidationException) and isinstance(error.extra, list):
        for fault in error.extra:
            name = "body" if fault.get("key") == "data" else fault.get("key", "request")
            details[name] = ["Is required" if name == "body" else fault["message"]]
    message = "Validation failed" if details else error.detail or HTTPStatus(status).phrase
    allowed = {name: value for name, value in (error.headers or {}).items() if name.lower() == "allow"}
    code = CODES.get(status, HTTPStatus(status).name)
    return problem(request, status, code, message, details=details, headers=allowed)


def failed(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """A bug: the log has the traceback, the client learns nothing but the request id."""
    log.error("request failed", exc_info=error)
    return problem(request, 500, CODES[500], "Internal server error")


def unavailable(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """Something outside that should answer does not, and whoever called it did not say so in our words."""
    log.warning("unavailable", error=f"{type(error).__name__}: {error}")
    headers = {"Retry-After": str(RETRY_AFTER)}
    return problem(request, 503, CODES[503], "The service is not available for the moment", headers=headers)
