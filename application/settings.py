"""Everything that the environment decides, by the names of S2 §13.1, checked once at start."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

_DURATION = re.compile(r"(\d+)([smhd])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


class SettingsError(Exception):
    """The environment is not complete, or says something impossible. The message names the variable."""


class Settings(msgspec.Struct, frozen=True, kw_only=True, rename="upper"):
    database_url: str
    jwt_secret: Annotated[str, Meta(min_length=32)]
    tradelog_master_key: str
    nats_url: str = ""
    opensearch_url: str = ""
    s3_endpoint: str = ""
    smtp_host: str = ""
    smtp_port: int = 587
    stripe_secret_key: str = ""
    stripe_webhook_secret: str = ""
    stripe_api_base: str = ""
    host: str = "127.0.0.1"
    port: int = 3000
    database_pool_size: Annotated[int, Meta(ge=1)] = 20
    jwt_expires_in: str = "15m"
    jwt_refresh_expires_in: str = "7d"
    tax_rate: Decimal = Decimal("0.08")
    cors_origins: str = "http://localhost:5173"
    log_level: str = "info"
    log_format: str = "json"
    wire_case: Literal["camel", "snake"] = "camel"
    metrics_public: bool = False
    signup_grants_seller: bool = True
    tradelog_api_processes: Annotated[int, Meta(ge=1)] = 1

    @property
    def access_lifetime(self) -> timedelta:
        return duration("JWT_EXPIRES_IN", self.jwt_expires_in)

    @property
    def session_lifetime(self) -> timedelta:
        return duration("JWT_REFRESH_EXPIRES_IN", self.jwt_refresh_expires_in)

    @classmethod
    def read(cls, environment: Mapping[str, str]) -> Settings:
        """Raises ``SettingsError``. An empty variable counts as one that is not set."""
        given = {name: value for name, value in environment.items() if value}
        try:
            settings = msgspec.convert(given, cls, strict=False)
        except msgspec.ValidationError as wrong:
            raise SettingsError(str(wrong)) from wrong
        _ = settings.access_lifetime, settings.session_lifetime
        return settings


def duration(name: str, text: str) -> timedelta:
    """``15m``, ``7d``, ``30s``, ``1h`` (S2 §13.1)."""
    match = _DURATION.fullmatch(text)
    if match is None:
        raise SettingsError(f"{name}: '{text}' is not a duration such as 15m or 7d")
    return timedelta(**{_UNITS[match[2]]: int(match[1])})
