"""Everything that the environment decides, by the names of S2 §13.1, checked once at start."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from application.countries import country_code, is_country
from application.production import faults_of
from domain.money import minor_units
from domain.orders.pricing import Tariff
from domain.orders.shipping import ShippingRates
from domain.orders.taxes import FlatTax, TaxByCountry

EVERYWHERE: Final = "*"

_AMOUNT = re.compile(r"\d{1,9}(\.\d{1,9})?")
_DURATION = re.compile(r"(\d+)([smhd])")
_ORIGIN = re.compile(r"https?://[A-Za-z0-9.-]+(?::\d{1,5})?|https?://\[[0-9a-fA-F:.]+\](?::\d{1,5})?")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


class SettingsError(Exception):
    """The environment is not complete, or says something impossible. The message names the variable."""


class Settings(msgspec.Struct, frozen=True, kw_only=True, rename="upper"):
    database_url: str
    jwt_secret: Annotated[str, Meta(min_length=32)]
    tradelog_master_key: str
    nats_url: str = ""
    opensearch_url: str = ""
    app_env: Literal["development", "staging", "production"] = "development"
    s3_endpoint: str = ""
    """A server of one's own that speaks S3; without it, and with a bucket, it is AWS."""
    s3_bucket: str = ""
    s3_public_url: str = ""
    """Where clients reach that server, if not where we do."""
    cdn_url: str = ""
    """What the addresses of public files begin with."""
    aws_region: str = ""
    aws_default_region: str = ""
    aws_access_key_id: str = ""
    aws_secret_access_key: str = ""
    aws_session_token: str = ""
    upload_max_size: Annotated[int, Meta(ge=1)] = 5_242_880
    command_results_days: Annotated[int, Meta(ge=1)] = 30
    """How long a repeated ``Idempotency-Key`` is known."""
    smtp_host: str = ""
    smtp_port: int = 587
    smtp_user: str = ""
    smtp_pass: str = ""
    smtp_tls: Literal["auto", "starttls", "implicit", "off"] = "auto"
    sendgrid_api_key: str = ""
    sendgrid_api_base: str = ""
    email_provider: Literal["", "smtp", "sendgrid", "console", "memory"] = ""
    email_from: str = "noreply@ecom.com"
    email_from_name: str = "Tradelog"
    mail_attempts: Annotated[int, Meta(ge=1)] = 10
    mail_retry_first: str = "5s"
    mail_retry_longest: str = "6h"
    """Each wait is four times the one before: with the defaults the last attempt is made after about 20 hours."""
    web_origin: str = ""
    """Where the shop's pages are, for links in mails; the first of ``CORS_ORIGINS`` where it is not set."""
    stripe_secret_key: str = ""
    stripe_webhook_secret: str = ""
    stripe_api_base: str = ""
    shipping_webhook_secret: str = ""
    """By which carriers sign what they tell of parcels; without one they tell us nothing."""
    host: str = "127.0.0.1"
    port: int = 3000
    database_pool_size: Annotated[int, Meta(ge=1)] = 20
    jwt_expires_in: str = "15m"
    jwt_refresh_expires_in: str = "7d"
    jwt_secret_previous: str = ""
    """With commas between. These and the keys below verify tokens and sign none."""
    jwt_private_key: str = ""
    """PEM of Ed25519 or RSA; where it is given, tokens are signed with it and no longer with the secret."""
    jwt_private_key_previous: str = ""
    jwt_public_keys_previous: str = ""
    google_client_id: str = ""
    """The client of the web; further ones, of apps, whose tokens are taken too, stand in the next, with commas."""
    google_client_ids: str = ""
    google_client_secret: str = ""
    google_issuer: str = "https://accounts.google.com"
    apple_client_id: str = ""
    apple_client_ids: str = ""
    apple_team_id: str = ""
    apple_key_id: str = ""
    apple_private_key: str = ""
    apple_issuer: str = "https://appleid.apple.com"
    oauth_redirect_base: str = ""
    """The origin by which browsers reach this API: there Google and Apple send them back to."""
    account_deletion_grace: str = "30d"
    """How long somebody who leaves may come back (C21)."""
    listing_lifetime: str = "60d"
    """How long what a person offers stays in the catalogue unless it is renewed (A25)."""
    tax_rate: Decimal = Decimal("0.08")
    tax_rates: str = ""
    """``DE=0.19,FR=0.20``: where another rate is due than ``TAX_RATE``."""
    shipping_rates: str = "*=5.00"
    """``US=5.00,CA=12.00,*=8.00``: flat rates by country. Without ``*`` nothing is sent anywhere else."""
    free_shipping_from: Decimal = Decimal("150.00")
    """The subtotal from which on the flat rate is free (A25)."""
    express_surcharge: Decimal = Decimal("10.00")
    """What express costs beside what standard does, once per order."""
    require_email_verification: bool = False
    """Whether only those may order who have proved their address (C53)."""
    low_stock_threshold: Annotated[int, Meta(ge=0, le=1_000_000)] = 5
    """Units up to which sellers are told that there are but few left."""
    order_unpaid_after: str = "30m"
    """How long an order waits for its payment before it is cancelled (A25)."""
    return_window: str = "30d"
    """For how long after its delivery something can be returned."""
    refund_retry_after: str = "1h"
    """How long a refund that failed is left alone before it is tried again."""
    cart_abandoned_after: str = "30d"
    """How long nobody must have touched a cart before it is emptied (A10)."""
    smallest_payment: Annotated[int, Meta(ge=0)] = 50
    """The least that the payment provider takes, in cents: at Stripe 0.50 USD."""
    invoice_fonts: str = ""
    """Folders with commas between, whose fonts are taken for what ours do not have."""
    cors_origins: str = "http://localhost:5173"
    trusted_proxies: str = ""
    """Networks (CIDR) with commas between, whose word on where a request comes from is taken."""
    rate_limit_enabled: bool = True
    rate_limit_window_ms: Annotated[int, Meta(ge=1000)] = 60_000
    rate_limit_max_requests: Annotated[int, Meta(ge=1)] = 100
    login_failure_status: Literal[400, 401] = 400
    """For a wrong password (C5)."""
    log_level: str = "info"
    log_format: str = "json"
    wire_case: Literal["camel", "snake"] = "camel"
    metrics_public: bool = False
    signup_grants_seller: bool = True
    seller_auto_approve: bool = False
    tradelog_api_processes: Annotated[int, Meta(ge=1)] = 1
    answer_cache_bytes: Annotated[int, Meta(ge=0)] = 67_108_864
    """What each API process may hold of answers that are everybody's; with 0 it holds none."""

    @property
    def access_lifetime(self) -> timedelta:
        return duration("JWT_EXPIRES_IN", self.jwt_expires_in)

    @property
    def session_lifetime(self) -> timedelta:
        return duration("JWT_REFRESH_EXPIRES_IN", self.jwt_refresh_expires_in)

    @property
    def previous_secrets(self) -> tuple[str, ...]:
        return tuple(part.strip() for part in self.jwt_secret_previous.split(",") if part.strip())

    @property
    def deletion_grace(self) -> timedelta:
        return duration("ACCOUNT_DELETION_GRACE", self.account_deletion_grace)

    @property
    def unpaid_after(self) -> timedelta:
        return duration("ORDER_UNPAID_AFTER", self.order_unpaid_after)

    @property
    def cart_patience(self) -> timedelta:
        return duration("CART_ABANDONED_AFTER", self.cart_abandoned_after)

    @property
    def tariff(self) -> Tariff:
        """What orders cost beside their goods."""
        rates = amounts_by_country("TAX_RATES", self.tax_rates)
        other_rate = rates.pop(EVERYWHERE, self.tax_rate)
        if other_rate < 0:
            raise SettingsError(f"TAX_RATE: {other_rate} is less than nothing")
        flat = {
            country: _minor("SHIPPING_RATES", amount)
            for country, amount in amounts_by_country("SHIPPING_RATES", self.shipping_rates).items()
        }
        elsewhere = flat.pop(EVERYWHERE, None)
        return Tariff(
            taxes=TaxByCountry(rates=rates, elsewhere=other_rate) if rates else FlatTax(rate=other_rate),
            shipping=ShippingRates(
                elsewhere=elsewhere,
                by_country=flat,
                free_from=_minor("FREE_SHIPPING_FROM", self.free_shipping_from),
                express=_minor("EXPRESS_SURCHARGE", self.express_surcharge),
            ),
            smallest_payment=self.smallest_payment,
        )

    @property
    def returnable_for(self) -> timedelta:
        return duration("RETURN_WINDOW", self.return_window)

    @property
    def refund_patience(self) -> timedelta:
        return duration("REFUND_RETRY_AFTER", self.refund_retry_after)

    @property
    def offer_lifetime(self) -> timedelta:
        return duration("LISTING_LIFETIME", self.listing_lifetime)

    @property
    def font_folders(self) -> tuple[Path, ...]:
        folders = tuple(Path(part.strip()) for part in self.invoice_fonts.split(",") if part.strip())
        for folder in folders:
            if not folder.is_dir():
                raise SettingsError(f"INVOICE_FONTS: '{folder}' is not a folder")
        return folders

    @property
    def proxies(self) -> tuple[IPv4Network | IPv6Network, ...]:
        return networks("TRUSTED_PROXIES", self.trusted_proxies)

    @property
    def origins(self) -> tuple[str, ...]:
        """The web origins that may use the API from a browser, each by its name."""
        origins = tuple(part.strip().rstrip("/") for part in self.cors_origins.split(",") if part.strip())
        for origin in origins:
            if not _ORIGIN.fullmatch(origin):
                raise SettingsError(f"CORS_ORIGINS: '{origin}' is not an origin such as https://ecom.com")
        return origins

    @property
    def in_production(self) -> bool:
        return self.app_env == "production"

    @property
    def stores_objects(self) -> bool:
        return bool(self.s3_endpoint or self.s3_bucket)

    @property
    def bucket(self) -> str:
        return self.s3_bucket or "tradelog"

    @property
    def region(self) -> str:
        return self.aws_region or self.aws_default_region or "us-east-1"

    @property
    def s3_public_endpoint(self) -> str:
        return self.s3_public_url or self.s3_endpoint

    def public_url(self, file: str) -> str:
        """Where everybody finds a public file by its key. An address of somebody else's stays as it is."""
        if not file or "://" in file:
            return file
        at_s3 = (
            f"{self.s3_public_endpoint.rstrip('/')}/{self.bucket}"
            if self.s3_public_endpoint
            else f"https://{self.bucket}.s3.{self.region}.amazonaws.com"
        )
        return f"{(self.cdn_url or at_s3).rstrip('/')}/{file}"

    @property
    def mail_provider(self) -> Literal["smtp", "sendgrid", "console", "memory"]:
        return self.email_provider or ("smtp" if self.smtp_host else "console")

    @property
    def mail_waits(self) -> tuple[timedelta, timedelta]:
        """Before the second attempt to send a mail, and at most."""
        first = duration("MAIL_RETRY_FIRST", self.mail_retry_first)
        return first, duration("MAIL_RETRY_LONGEST", self.mail_retry_longest)

    @property
    def pages(self) -> str:
        """The origin of the shop's own pages."""
        return self.web_origin.rstrip("/") or next(iter(self.origins), "http://localhost:5173")

    @classmethod
    def read(cls, environment: Mapping[str, str]) -> Settings:
        """Raises ``SettingsError``. An empty variable counts as one that is not set.

        Every process comes in by this door, so that all refuse alike to run in production with what is not safe.
        """
        given = {name: value for name, value in environment.items() if value}
        if "APP_ENV" not in given and "NODE_ENV" in given:
            given["APP_ENV"] = given["NODE_ENV"]
        if given.get("APP_ENV") == "production" and (faults := faults_of(given)):
            lines = [f"  {name} {fault}" for name, found in faults.items() for fault in found]
            raise SettingsError("\n".join(["production does not start like this:", *lines]))
        try:
            settings = msgspec.convert(given, cls, strict=False)
        except msgspec.ValidationError as wrong:
            raise SettingsError(str(wrong)) from wrong
        _ = settings.access_lifetime, settings.session_lifetime, settings.deletion_grace, settings.mail_waits
        _ = (
            settings.unpaid_after,
            settings.offer_lifetime,
            settings.cart_patience,
            settings.proxies,
            settings.origins,
            settings.tariff,
            settings.returnable_for,
            settings.refund_patience,
            settings.font_folders,
        )
        _require_mail_provider(settings)
        return settings


def _require_mail_provider(settings: Settings) -> None:
    if settings.mail_provider == "smtp" and not settings.smtp_host:
        raise SettingsError("SMTP_HOST: EMAIL_PROVIDER is smtp, and no server is named")
    if settings.mail_provider == "sendgrid" and not settings.sendgrid_api_key:
        raise SettingsError("SENDGRID_API_KEY: EMAIL_PROVIDER is sendgrid, and no key is given")


def duration(name: str, text: str) -> timedelta:
    """``15m``, ``7d``, ``30s``, ``1h`` (S2 §13.1)."""
    match = _DURATION.fullmatch(text)
    if match is None:
        raise SettingsError(f"{name}: '{text}' is not a duration such as 15m or 7d")
    return timedelta(**{_UNITS[match[2]]: int(match[1])})


def amounts_by_country(name: str, text: str) -> dict[str, Decimal]:
    """``US=5.00,CA=12.00,*=8.00``, by ISO 3166's two letters; a country may be written in any way."""
    found: dict[str, Decimal] = {}
    for part in filter(None, (each.strip() for each in text.split(","))):
        country, _, amount = (side.strip() for side in part.partition("="))
        if not country or not _AMOUNT.fullmatch(amount):
            raise SettingsError(f"{name}: '{part}' is not a country and an amount such as US=5.00")
        code = EVERYWHERE if country == EVERYWHERE else country_code(country)
        if code != EVERYWHERE and not is_country(code):
            raise SettingsError(f"{name}: '{country}' is not a country")
        found[code] = Decimal(amount)
    return found


def _minor(name: str, amount: Decimal) -> int:
    try:
        minor = minor_units(amount)
    except (ValueError, ArithmeticError) as wrong:
        raise SettingsError(f"{name}: {amount} is not an amount of money") from wrong
    if minor < 0:
        raise SettingsError(f"{name}: {amount} is less than nothing")
    return minor


def networks(name: str, text: str) -> tuple[IPv4Network | IPv6Network, ...]:
    """``10.0.0.0/8,2001:db8::/32``; a lone address is a network of one."""
    try:
        return tuple(ip_network(part.strip()) for part in text.split(",") if part.strip())
    except ValueError as wrong:
        raise SettingsError(f"{name}: {wrong}") from wrong
