"""What the environment may say, and with what no process starts in production."""

from __future__ import annotations

import base64
import os
import secrets
import subprocess
import sys
from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from application.production import faults_of, is_weak
from application.settings import Settings, SettingsError
from domain.orders.pricing import Tariff
from domain.orders.shipping import ShippingRates
from domain.orders.taxes import TaxByCountry

ROOT = Path(__file__).parents[2]

GOOD: Mapping[str, str] = {
    "APP_ENV": "production",
    "DATABASE_URL": f"postgresql://shop:{secrets.token_hex(12)}@db.internal:5432/shop",
    "JWT_SECRET": secrets.token_urlsafe(48),
    "TRADELOG_MASTER_KEY": base64.b64encode(secrets.token_bytes(32)).decode(),
    "STRIPE_SECRET_KEY": f"sk_live_{secrets.token_hex(16)}",
    "STRIPE_WEBHOOK_SECRET": f"whsec_{secrets.token_hex(16)}",
    "CORS_ORIGINS": "https://shop.example.com,https://www.example.com",
    "SMTP_HOST": "smtp.example.com",
    "S3_BUCKET": "shop-files",
}

REFUSED: tuple[tuple[str, str, str], ...] = (
    ("JWT_SECRET", "", "is not set"),
    ("JWT_SECRET", secrets.token_hex(15), "has fewer than 32 characters"),
    ("JWT_SECRET", "a secret of the tests, of 32 characters and more", "is a default, or easily guessed"),
    ("JWT_SECRET", "x" * 64, "is a default, or easily guessed"),
    ("JWT_SECRET", "abcdefghijklmnop" * 3, "is a default, or easily guessed"),
    ("JWT_SECRET_PREVIOUS", "your-256-bit-secret", "has fewer than 32 characters"),
    ("TRADELOG_MASTER_KEY", "", "is not set"),
    ("TRADELOG_MASTER_KEY", base64.b64encode(bytes(32)).decode(), "is a default, or easily guessed"),
    ("TRADELOG_MASTER_KEY", base64.b64encode(secrets.token_bytes(16)).decode(), "is not 32 bytes in base64"),
    ("TRADELOG_MASTER_KEY", "not base64 at all", "is not base64"),
    (
        "TRADELOG_MASTER_KEY",
        f"{GOOD['TRADELOG_MASTER_KEY']},{base64.b64encode(bytes(32)).decode()}",
        "is a default, or easily guessed",
    ),
    ("DATABASE_URL", "", "is not set"),
    ("DATABASE_URL", "postgresql://postgres:postgres@db/shop", "has a default password"),
    ("DATABASE_URL", "postgresql://tradelog:tradelog@db/shop", "has a default password"),
    ("DATABASE_URL", "postgresql://shop:shop@db/shop", "has a default password"),
    ("DATABASE_URL", "host=db user=shop password=Password", "has a default password"),
    ("DATABASE_URL", "mysql://shop@db", "is not the address of a database"),
    ("STRIPE_SECRET_KEY", f"sk_test_{secrets.token_hex(16)}", "is a key for tests"),
    ("STRIPE_WEBHOOK_SECRET", "", "is not set, though STRIPE_SECRET_KEY is"),
    ("STRIPE_WEBHOOK_SECRET", "whsec_tests", "is a default, or easily guessed"),
    ("SHIPPING_WEBHOOK_SECRET", "secret", "is a default, or easily guessed"),
    ("STRIPE_API_BASE", "http://stripe:12111", "sends payments elsewhere than to Stripe"),
    ("CORS_ORIGINS", "", "is not set, and its default is a machine of a developer"),
    ("CORS_ORIGINS", "*", "allows every origin"),
    ("CORS_ORIGINS", "https://shop.example.com,http://localhost:5173", "allows an origin on the visitor's"),
    ("EMAIL_PROVIDER", "console", "sends no mail"),
    ("EMAIL_PROVIDER", "memory", "sends no mail"),
    ("SMTP_HOST", "", "EMAIL_PROVIDER is not set, and neither is SMTP_HOST"),
    ("SMTP_USER", "mailer", "SMTP_PASS is not set, though SMTP_USER is"),
    ("SMTP_PASS", "changeme", "is a default, or easily guessed"),
    ("EMAIL_PROVIDER", "sendgrid", "SENDGRID_API_KEY is not set, though EMAIL_PROVIDER is sendgrid"),
    ("WEB_ORIGIN", "http://localhost:5173", "is not the https address of a host"),
    ("AWS_ACCESS_KEY_ID", "tradelog", "is that of a double"),
    ("AWS_SECRET_ACCESS_KEY", "tradelog-local", "is that of a double"),
    ("RATE_LIMIT_ENABLED", "false", "must not be off"),
    ("OAUTH_REDIRECT_BASE", "http://api.example.com", "is not the https address"),
    ("GOOGLE_ISSUER", "http://127.0.0.1:8080/issuer", "must be https://accounts.google.com"),
    ("APPLE_ISSUER", "http://127.0.0.1:8080/issuer", "must be https://appleid.apple.com"),
    ("TRUSTED_PROXIES", "10.0.0.0/8,0.0.0.0/0", "takes everybody's word"),
    ("TRUSTED_PROXIES", "::/0", "takes everybody's word"),
    ("RATE_LIMIT_ENABLED", "0", "must not be off"),
)


def refusal_of(environment: Mapping[str, str]) -> str:
    with pytest.raises(SettingsError) as refused:
        Settings.read(environment)
    return str(refused.value)


class TestProduction:
    def test_starts_with_secrets_of_its_own(self) -> None:
        assert Settings.read(GOOD).in_production

    @pytest.mark.parametrize(("name", "value", "fault"), REFUSED)
    def test_does_not_start_otherwise_and_says_why(self, name: str, value: str, fault: str) -> None:
        refusal = refusal_of({**GOOD, name: value})
        first, *lines = refusal.splitlines()
        assert first == "production does not start like this:"
        assert len(lines) >= 1
        assert fault in lines[0]
        assert name in lines[0]
        if len(value) > 20:
            assert value not in refusal

    def test_names_everything_that_is_wrong_at_once(self) -> None:
        refusal = refusal_of({"APP_ENV": "production"})
        names = ("DATABASE_URL", "JWT_SECRET", "TRADELOG_MASTER_KEY", "EMAIL_PROVIDER", "CORS_ORIGINS")
        assert [line.split()[0] for line in refusal.splitlines()[1:]] == list(names)

    def test_is_also_what_node_calls_so(self) -> None:
        given = {**GOOD, "NODE_ENV": "production", "JWT_SECRET": "x" * 32}
        del given["APP_ENV"]
        assert "JWT_SECRET is a default" in refusal_of(given)
        assert not Settings.read({**given, "APP_ENV": "development"}).in_production

    def test_misspelt_is_not_taken_for_something_else(self) -> None:
        assert "APP_ENV" in refusal_of({**GOOD, "APP_ENV": "prod"})

    @pytest.mark.parametrize("environment", ["development", "staging"])
    def test_alone_is_so_strict(self, environment: str) -> None:
        weak = {**GOOD, "APP_ENV": environment, "JWT_SECRET": "x" * 32, "STRIPE_SECRET_KEY": "sk_test_1"}
        assert Settings.read(weak).app_env == environment

    def test_takes_any_secret_that_was_drawn(self) -> None:
        for _ in range(2_000):
            assert not is_weak(secrets.token_hex(16))
            assert not is_weak(secrets.token_bytes(32).decode("latin-1"))
        assert faults_of(GOOD) == {}


@pytest.mark.parametrize(
    "module",
    ["api", "workers.relay", "workers.projector", "workers.reactor", "workers.mailer", "workers.scheduler"],
)
def test_every_process_refuses_alike(module: str) -> None:
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    weak = {**GOOD, "JWT_SECRET": "s3cr3t" * 8, "STRIPE_SECRET_KEY": "sk_test_4eC39HqLyjWDarjtT1zdp7dc"}
    ended = subprocess.run(
        [sys.executable, "-m", module],
        cwd=ROOT,
        env={**kept, **weak},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr == (
        f"tradelog {module.removeprefix('workers.')}: production does not start like this:\n"
        "  JWT_SECRET is a default, or easily guessed\n"
        "  STRIPE_SECRET_KEY is a key for tests\n"
    )


class TestWhatOrdersCost:
    @staticmethod
    def tariff(**given: str) -> Tariff:
        return Settings.read({**GOOD, **given}).tariff

    def test_is_what_the_contract_says_unless_something_else_is_said(self) -> None:
        assert self.tariff() == Tariff()

    def test_rates_are_by_country_however_it_is_written(self) -> None:
        tariff = self.tariff(
            SHIPPING_RATES="United States=5.00, can = 12.5,*=20",
            FREE_SHIPPING_FROM="99.90",
            EXPRESS_SURCHARGE="7.50",
            TAX_RATES="DE=0.19,uk=0.2",
            TAX_RATE="0.05",
        )
        assert tariff.shipping == ShippingRates(
            elsewhere=2000, by_country={"US": 500, "CA": 1250}, free_from=9990, express=750
        )
        taxes = TaxByCountry(rates={"DE": Decimal("0.19"), "GB": Decimal("0.2")}, elsewhere=Decimal("0.05"))
        assert tariff.taxes == taxes

    def test_without_a_star_nothing_is_sent_elsewhere(self) -> None:
        assert self.tariff(SHIPPING_RATES="US=5").shipping.elsewhere is None

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("SHIPPING_RATES", "US"),
            ("SHIPPING_RATES", "US=-5"),
            ("SHIPPING_RATES", "US=5.001"),
            ("SHIPPING_RATES", "Atlantis=5"),
            ("SHIPPING_RATES", "=5"),
            ("TAX_RATES", "DE=19%"),
            ("TAX_RATE", "-0.1"),
            ("FREE_SHIPPING_FROM", "-1"),
            ("EXPRESS_SURCHARGE", "0.001"),
        ],
    )
    def test_what_makes_no_sense_is_named(self, name: str, value: str) -> None:
        with pytest.raises(SettingsError, match=name):
            Settings.read({**GOOD, name: value})


def test_how_long_things_can_be_returned_and_refunds_wait_is_said_in_the_environment() -> None:
    given = {"DATABASE_URL": "postgresql://db", "JWT_SECRET": "x" * 32, "TRADELOG_MASTER_KEY": "key"}
    settings = Settings.read(given)
    assert (settings.returnable_for, settings.refund_patience) == (timedelta(days=30), timedelta(hours=1))
    settings = Settings.read({**given, "RETURN_WINDOW": "14d", "REFUND_RETRY_AFTER": "30m"})
    assert (settings.returnable_for, settings.refund_patience) == (timedelta(days=14), timedelta(minutes=30))
    for name in ("RETURN_WINDOW", "REFUND_RETRY_AFTER"):
        with pytest.raises(SettingsError, match=name):
            Settings.read({**given, name: "soon"})


def test_further_fonts_are_in_folders_that_are_there(tmp_path: Path) -> None:
    given = {"DATABASE_URL": "postgresql://db", "JWT_SECRET": "x" * 32, "TRADELOG_MASTER_KEY": "key"}
    assert Settings.read(given).font_folders == ()
    settings = Settings.read({**given, "INVOICE_FONTS": f"{tmp_path}, {tmp_path.parent}"})
    assert settings.font_folders == (tmp_path, tmp_path.parent)
    missing = tmp_path / "missing"
    with pytest.raises(SettingsError, match=f"INVOICE_FONTS: '{missing}' is not a folder"):
        Settings.read({**given, "INVOICE_FONTS": str(missing)})
