"""What processes say of themselves: one JSON line per happening, with nothing in it that is nobody's business."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Mapping, MutableMapping
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final

import msgspec
import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

MASK: Final = "***"

SECRET_WORDS: Final = (
    "password", "secret", "token", "authorization", "cookie", "signature", "api_key", "master_key", "card",
)  # fmt: skip
"""A key that contains one of these is masked, whatever it is called otherwise."""

PERSONAL_KEYS: Final = frozenset(
    {
        "email", "phone", "address", "shipping_address", "billing_address", "first_name", "last_name", "full_name",
        "name", "username", "city", "zip_code", "postal_code", "reviewer_name", "reviewer_email", "ip",
        "firstName", "lastName", "fullName", "zipCode", "postalCode", "shippingAddress", "billingAddress",
        "reviewerName", "reviewerEmail", "comment",
    }
)  # fmt: skip

_UNSUSPICIOUS: Final = frozenset(
    {
        "event",
        "level",
        "timestamp",
        "logger",
        "request_id",
        "actor",
        "position",
        "method",
        "path",
        "status",
        "ms",
    }
)


def redact(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Masks secrets and personal fields, at any depth."""
    for key in event.keys() - _UNSUSPICIOUS:
        event[key] = MASK if _is_private(key) else _redacted(event[key])
    return event


def configure(level: str = "info", log_format: str = "json") -> None:
    """For our own log and for that of the libraries; ``log_format`` is ``json`` or ``pretty`` (S2 §13.1)."""
    number = logging.getLevelNamesMapping().get(level.upper(), logging.INFO)
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    rendering: list[Processor]
    if log_format == "pretty":
        rendering = [redact, structlog.dev.ConsoleRenderer(colors=sys.stdout.isatty())]
    else:
        rendering = [
            structlog.processors.format_exc_info,
            redact,
            structlog.processors.JSONRenderer(serializer=_json),
        ]
    structlog.configure(
        processors=[*shared, *rendering],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.WriteLoggerFactory(sys.stdout),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.add_logger_name, structlog.stdlib.ExtraAdder()],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *rendering],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(max(number, logging.INFO))
    for library in ("opensearch", "httpx", "stripe"):
        # What went wrong there comes to us as an exception, and is told by whoever knows what it means.
        logging.getLogger(library).setLevel(logging.ERROR)
    for chatty in ("httpcore", "psycopg.pool"):
        logging.getLogger(chatty).setLevel(max(number, logging.WARNING))


def configure_from(environment: Mapping[str, str]) -> None:
    configure(environment.get("LOG_LEVEL") or "info", environment.get("LOG_FORMAT") or "json")


def request_log() -> Callable[..., None] | None:
    """As it is configured by now; nothing where nobody wants to read of requests.

    There is such a line for every request, so it is written without the processors, which would find nothing to do.
    """
    logger = structlog.get_logger("api").bind()
    if not logger.is_enabled_for(logging.INFO):
        return None
    if isinstance(structlog.get_config()["processors"][-1], structlog.processors.JSONRenderer):
        return _write_request
    return partial(logger.info, "request")


class _RequestLine(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    method: str
    path: str
    status: int
    ms: float
    actor: str
    position: int | None
    request_id: str
    timestamp: datetime
    event: str = "request"
    level: str = "info"


_ENCODER: Final = msgspec.json.Encoder()


def _write_request(**fields: Any) -> None:
    line = _RequestLine(timestamp=datetime.now(UTC), **fields)
    sys.stdout.write(f"{_ENCODER.encode(line).decode()}\n")
    sys.stdout.flush()


def _is_private(key: str) -> bool:
    lowered = key.lower()
    return key in PERSONAL_KEYS or any(word in lowered for word in SECRET_WORDS)


def _redacted(value: Any) -> Any:
    if isinstance(value, MutableMapping | Mapping):
        return {key: MASK if _is_private(str(key)) else _redacted(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_redacted(item) for item in value]
    return value


def _json(event: EventDict, **_: Any) -> str:
    return msgspec.json.encode(event, enc_hook=repr).decode()
