"""What production must not start with: a secret that is missing, or that somebody else knows too."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterator, Mapping
from typing import Final
from urllib.parse import urlsplit

import psycopg
from psycopg.conninfo import conninfo_to_dict

KNOWN: Final = frozenset(
    {
        "a secret of the tests, of 32 characters and more",
        "admin",
        "changeme",
        "minioadmin",
        "pass",
        "password",
        "postgres",
        "root",
        "secret",
        "sk_test_...",
        "test",
        "testing",
        "tradelog",
        "tradelog-local",
        "user",
        "whsec_...",
        "whsec_tests",
        "your-256-bit-secret",
    }
)
"""What stands in documents, tests and doubles, ours and other people's."""

FEWEST_CHARACTERS: Final = 8
"""That differ. Thirty-two drawn from the sixteen of hexadecimal have fewer once in twenty million times."""

SHORTEST: Final = 32
LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1", "0.0.0.0"})  # noqa: S104 - refused, not listened on

Given = Mapping[str, str]
Faults = Iterator[str]


def faults_of(given: Given) -> dict[str, list[str]]:
    """By variable, what stands in the way. No value is in it, so that it may be logged."""
    found: dict[str, list[str]] = {}
    for name, check in _CHECKS.items():
        if faults := list(check(given.get(name, ""), given)):
            found[name] = faults
    return found


def is_weak(secret: str) -> bool:
    """Known to others, or made of so little that it can be guessed."""
    repeated = secret in (secret + secret)[1:-1]
    return secret.lower() in KNOWN or repeated or len(set(secret)) < FEWEST_CHARACTERS


def _token_secret(secret: str, _: Given) -> Faults:
    if not secret:
        yield "is not set"
    elif len(secret) < SHORTEST:
        yield f"has fewer than {SHORTEST} characters"
    elif is_weak(secret):
        yield "is a default, or easily guessed"


def _previous_secrets(secrets: str, given: Given) -> Faults:
    for secret in filter(None, map(str.strip, secrets.split(","))):
        yield from _token_secret(secret, given)


def _master_key(keys: str, _: Given) -> Faults:
    if not keys:
        yield "is not set"
        return
    for text in keys.split(","):
        try:
            key = base64.b64decode(text.strip(), validate=True)
        except (binascii.Error, ValueError):
            yield "is not base64"
            continue
        if len(key) != 32:
            yield "is not 32 bytes in base64"
        elif is_weak(key.decode("latin-1")):
            yield "is a default, or easily guessed"


def _database(url: str, _: Given) -> Faults:
    if not url:
        yield "is not set"
        return
    try:
        parts = conninfo_to_dict(url)
    except psycopg.ProgrammingError:
        yield "is not the address of a database"
        return
    # Without one it is a certificate, a role of the machine or a file that lets us in.
    password = str(parts.get("password") or "")
    if password and (password.lower() in KNOWN or password == parts.get("user")):
        yield "has a default password"


def _stripe_key(key: str, _: Given) -> Faults:
    if "_test_" in key:
        yield "is a key for tests"


def _stripe_webhook(secret: str, given: Given) -> Faults:
    if not secret and given.get("STRIPE_SECRET_KEY"):
        yield "is not set, though STRIPE_SECRET_KEY is"
    elif secret and is_weak(secret):
        yield "is a default, or easily guessed"


def _webhook_secret(secret: str, _: Given) -> Faults:
    if secret and is_weak(secret):
        yield "is a default, or easily guessed"


def _stripe_base(url: str, _: Given) -> Faults:
    if url:
        yield "sends payments elsewhere than to Stripe"


def _origins(origins: str, _: Given) -> Faults:
    if not origins:
        yield "is not set, and its default is a machine of a developer"
    for origin in map(str.strip, origins.split(",")):
        if "*" in origin:
            yield "allows every origin"
        elif urlsplit(origin).hostname in LOOPBACK:
            yield "allows an origin on the visitor's own machine"


def _storage_key(key: str, _: Given) -> Faults:
    if key and key.lower() in KNOWN:
        yield "is that of a double"


def _storage_secret(key: str, given: Given) -> Faults:
    if key and key.lower() in KNOWN:
        yield "is that of a double"
    elif not key and given.get("AWS_ACCESS_KEY_ID"):
        yield "is not set, though AWS_ACCESS_KEY_ID is"


def _mail(provider: str, given: Given) -> Faults:
    if provider.lower() in {"console", "memory"}:
        yield "sends no mail"
    elif provider == "smtp" and not given.get("SMTP_HOST"):
        yield "is smtp, and SMTP_HOST is not set"
    elif not provider and not given.get("SMTP_HOST"):
        yield "is not set, and neither is SMTP_HOST: no mail would be sent"


def _mail_password(password: str, given: Given) -> Faults:
    if not password and given.get("SMTP_USER"):
        yield "is not set, though SMTP_USER is"
    elif password and password.lower() in KNOWN:
        yield "is a default, or easily guessed"


def _mail_key(key: str, given: Given) -> Faults:
    if not key and given.get("EMAIL_PROVIDER") == "sendgrid":
        yield "is not set, though EMAIL_PROVIDER is sendgrid"


def _mail_tls(tls: str, given: Given) -> Faults:
    if tls == "off" and given.get("SMTP_USER") and given.get("SMTP_HOST") not in LOOPBACK:
        yield "sends SMTP_PASS over the network in the clear"


def _rate_limits(enabled: str, _: Given) -> Faults:
    if enabled.lower() in {"false", "0"}:
        yield "must not be off"


def _issuer(theirs: str) -> Callable[[str, Given], Faults]:
    def check(issuer: str, _: Given) -> Faults:
        if issuer and issuer.rstrip("/") != theirs:
            yield f"must be {theirs}: any other could let people in as anybody"

    return check


def _proxies(networks: str, _: Given) -> Faults:
    if any(network.strip().endswith("/0") for network in networks.split(",")):
        yield "takes everybody's word on where they come from"


def _own_origin(url: str, _: Given) -> Faults:
    if url and (urlsplit(url).scheme != "https" or urlsplit(url).hostname in LOOPBACK):
        yield "is not the https address of a host that others can reach"


_CHECKS: Final[Mapping[str, Callable[[str, Given], Faults]]] = {
    "DATABASE_URL": _database,
    "JWT_SECRET": _token_secret,
    "JWT_SECRET_PREVIOUS": _previous_secrets,
    "TRADELOG_MASTER_KEY": _master_key,
    "STRIPE_SECRET_KEY": _stripe_key,
    "STRIPE_WEBHOOK_SECRET": _stripe_webhook,
    "STRIPE_API_BASE": _stripe_base,
    "SHIPPING_WEBHOOK_SECRET": _webhook_secret,
    "AWS_ACCESS_KEY_ID": _storage_key,
    "AWS_SECRET_ACCESS_KEY": _storage_secret,
    "EMAIL_PROVIDER": _mail,
    "SMTP_PASS": _mail_password,
    "SMTP_TLS": _mail_tls,
    "SENDGRID_API_KEY": _mail_key,
    "WEB_ORIGIN": _own_origin,
    "CORS_ORIGINS": _origins,
    "OAUTH_REDIRECT_BASE": _own_origin,
    "GOOGLE_ISSUER": _issuer("https://accounts.google.com"),
    "APPLE_ISSUER": _issuer("https://appleid.apple.com"),
    "TRUSTED_PROXIES": _proxies,
    "RATE_LIMIT_ENABLED": _rate_limits,
}
