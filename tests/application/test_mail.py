"""Which mails are owed, what they say, and what becomes of them at real servers."""

from __future__ import annotations

import asyncio
import io
import json
import ssl
import threading
from base64 import b64encode
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime, timedelta
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from msgspec.structs import replace

from application.adapters.clock import SystemClock
from application.adapters.mail.console import ConsoleMailer
from application.adapters.mail.memory import MemoryMailer
from application.adapters.mail.providers import mailer_of
from application.adapters.mail.sendgrid import SendGridMailer
from application.adapters.mail.smtp import SmtpMailer
from application.mail.order_mails import Line
from application.mail.policy import (
    CAUSES,
    Template,
    account_of,
    is_for_admins,
    mails_for,
    owed_because_of,
    recipients_of,
    useful_until,
)
from application.mail.ports import Attachment, MailDelayedError, MailRefusedError, Message
from application.mail.rendering import SUBJECTS, render
from application.mail.writing import greeted, masked
from application.production import faults_of
from application.settings import Settings, SettingsError
from domain.accounts.events import (
    AccountDeletionCancelled,
    AccountDeletionRequested,
    AccountRestored,
    AccountSuspended,
    EmailChanged,
    EmailVerificationRequested,
    EmailVerified,
    PasswordChanged,
    PasswordReset,
    PasswordResetRequested,
)
from domain.kernel import AccountId, Event, ListingId, OrderId, Recorded, SellerId
from domain.listings.events import LowStockReached
from domain.money import Money
from domain.orders.events import (
    CancelCause,
    OrderCancelled,
    OrderConfirmed,
    OrderPaymentFailed,
    OrderProcessingStarted,
    OrderRefunded,
    OrderReturnApproved,
    OrderReturnRejected,
    ParcelDelivered,
    ParcelShipped,
)
from domain.orders.parcels import Parcel, Shipment
from domain.reports.events import SalesReportGenerated
from domain.sellers.events import SellerReinstated, SellerRejected, SellerSuspended, SellerVerified
from workers.local.process import LOOPBACK, free_port

NOW = datetime(2026, 11, 21, 12, 5, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)
ANN = AccountId(UUID("5e0e7d5c-0000-4000-8000-000000000001"))
BOB = AccountId(UUID("5e0e7d5c-0000-4000-8000-0000000000b0"))
SHOP = SellerId(UUID("5e0e7d5c-0000-4000-8000-000000000002"))
LINK = "https://shop.example/page?token=abc"
SALES = SalesReportGenerated(
    day=date(2026, 11, 20),
    orders=3,
    revenue=Money(180_000),
    refunds=Money(30_000),
    lost_disputes=Money(1_205),
    items=7,
    recipients=(ANN,),
)
FIELDS: dict[str, Any] = {
    "name": "Ann",
    "shop": "Tradelog",
    "origin": "https://shop.example",
    "at": NOW,
    "until": LATER,
    "link": LINK,
    "address": "a***@example.com",
    "reason": "Counterfeit goods",
    "number": "ORD-2026112101",
    "order": SimpleNamespace(
        number="ORD-2026112101",
        paid=True,
        subtotal=Money(226798),
        discount=Money(1000),
        shipping=Money(500),
        tax=Money(18144),
        total=Money(244442),
    ),
    "lines": [Line(quantity=2, title="A phone", total=Money(226798))],
    "deliver_to": ["Ann Smith", "626 Main Street", "29112 Phoenix"],
    "amount": Money(1250),
    "owed": Money(244442),
    "cause": CancelCause.ADMIN,
    "parcel": Parcel(
        number=1, seller_id=SHOP, shipping=Money(0), shipment=Shipment(estimated_delivery=date(2026, 11, 24))
    ),
    "parcels": 2,
    "carrier": "DHL",
    "tracking_number": "JJD0001",
    "tracking_link": "https://dhl.example/JJD0001",
    "listings": [{"title": "A phone", "available": 3, "link": LINK}],
    "report": SALES,
    "net": Money(148_795),
}
MESSAGE = Message(
    to="ann@example.com",
    subject="Grüße",
    text="Hello Ann, a text with ß\n",
    html="<p>Hello <b>Ann</b></p>\n",
    message_id="<1.verify-email@ecom.com>",
    headers={"Auto-Submitted": "auto-generated"},
)
REPORT = Attachment(name="sales 2026-11-20.csv", content_type="text/csv", content="a;ß\r\n1;2\r\n".encode())
WITH_REPORT = replace(MESSAGE, attachments=(REPORT,))


def recorded(event: Event, at: datetime = NOW) -> Recorded[Event]:
    return Recorded(
        event=event,
        id=uuid4(),
        stream=uuid4(),
        aggregate="accounts",
        version=1,
        position=1,
        timestamp=at,
        actor="tests",
    )


def a_deletion() -> AccountDeletionRequested:
    return AccountDeletionRequested(
        account_id=ANN, number=1, reason="", requested_at=NOW, erase_after=NOW + timedelta(days=30)
    )


ORDER = OrderId(UUID("5e0e7d5c-0000-4000-8000-000000000003"))
RETURN = UUID("5e0e7d5c-0000-4000-8000-000000000004")
OF_ORDER: dict[str, Any] = {"order_id": ORDER, "account_id": ANN}
PAID: dict[str, Any] = {"intent_id": "pi_1"}
DECLINED: dict[str, Any] = {**PAID, "code": "card_declined", "message": "Your card was declined."}
PARCEL: dict[str, Any] = {"parcel": 1, "seller_id": SHOP}

THING = ListingId(UUID("5e0e7d5c-0000-4000-8000-000000000005"))
LOW: dict[str, Any] = {"listing_id": THING, "seller_id": SHOP, "available": 3, "threshold": 5}

OWED: list[tuple[Event, list[Template]]] = [
    (
        EmailVerificationRequested(account_id=ANN, number=1, email="a@b.c", expires_at=LATER),
        [Template.VERIFY_EMAIL],
    ),
    (
        PasswordResetRequested(subject_id=ANN, account_id=ANN, number=1, expires_at=LATER),
        [Template.RESET_PASSWORD],
    ),
    (PasswordResetRequested(subject_id=ANN, account_id=None, number=1, expires_at=LATER), []),
    (PasswordChanged(account_id=ANN, password_hash="x"), [Template.PASSWORD_CHANGED]),
    (PasswordReset(account_id=ANN, password_hash="x"), [Template.PASSWORD_CHANGED]),
    (EmailChanged(account_id=ANN, email="new@b.c", previous="a@b.c"), [Template.EMAIL_CHANGED]),
    (a_deletion(), [Template.ACCOUNT_DELETION_SCHEDULED]),
    (AccountDeletionCancelled(account_id=ANN), [Template.ACCOUNT_DELETION_CANCELLED]),
    (AccountSuspended(account_id=ANN, reason="", suspended_at=NOW), [Template.ACCOUNT_SUSPENDED]),
    (AccountRestored(account_id=ANN), [Template.ACCOUNT_RESTORED]),
    (SellerVerified(seller_id=SHOP, account_id=ANN), [Template.SELLER_VERIFIED]),
    (SellerRejected(seller_id=SHOP, account_id=ANN), [Template.SELLER_REJECTED]),
    (SellerSuspended(seller_id=SHOP, account_id=ANN, cause="admin"), [Template.SELLER_SUSPENDED]),
    (SellerSuspended(seller_id=SHOP, account_id=ANN, cause="account"), []),
    (SellerReinstated(seller_id=SHOP, account_id=ANN, cause="admin"), [Template.SELLER_REINSTATED]),
    (SellerReinstated(seller_id=SHOP, account_id=ANN, cause="account"), []),
    (EmailVerified(account_id=ANN, email="a@b.c"), []),
    (OrderConfirmed(**OF_ORDER, **PAID, confirmed_at=NOW), [Template.ORDER_CONFIRMATION]),
    (OrderConfirmed(order_id=ORDER, **PAID, confirmed_at=NOW), []),
    (OrderProcessingStarted(**OF_ORDER, started_at=NOW), [Template.ORDER_CONFIRMATION]),
    (OrderPaymentFailed(**OF_ORDER, **DECLINED), [Template.PAYMENT_FAILED]),
    (OrderPaymentFailed(**OF_ORDER, **DECLINED, repeated=True), []),
    (OrderPaymentFailed(order_id=ORDER, **DECLINED), []),
    (ParcelShipped(**OF_ORDER, **PARCEL, shipped_at=NOW), [Template.ORDER_SHIPPED]),
    (ParcelDelivered(**OF_ORDER, **PARCEL, delivered_at=NOW), [Template.ORDER_DELIVERED]),
    (OrderRefunded(**OF_ORDER, **PAID, refund_id="re_1", amount=Money(1)), [Template.ORDER_REFUNDED]),
    (OrderRefunded(order_id=ORDER, **PAID, refund_id="re_1", amount=Money(1)), []),
    (
        OrderCancelled(**OF_ORDER, cause=CancelCause.ADMIN, cancelled_at=NOW),
        [Template.ORDER_CANCELLED],
    ),
    (OrderReturnApproved(**OF_ORDER, return_id=RETURN, approved_at=NOW), [Template.RETURN_APPROVED]),
    (OrderReturnRejected(**OF_ORDER, return_id=RETURN, rejected_at=NOW), [Template.RETURN_REJECTED]),
    (LowStockReached(**LOW, account_id=ANN, others=(THING,)), [Template.LOW_STOCK]),
    (LowStockReached(**LOW, account_id=ANN, told_with=THING), []),
    (SALES, [Template.SALES_REPORT]),
]


class TestWhatIsOwed:
    @pytest.mark.parametrize(("event", "templates"), OWED)
    def test_because_of_an_event(self, event: Event, templates: list[Template]) -> None:
        assert mails_for(event) == templates
        if templates and not is_for_admins(event):
            assert account_of(event) == ANN

    async def test_to_whose_account_it_is_about(self) -> None:
        async def admins() -> list[AccountId]:
            raise AssertionError("nobody asks for them")

        changed = PasswordChanged(account_id=ANN, password_hash="x")
        assert await recipients_of(changed, admins) == [ANN]
        assert await recipients_of(LowStockReached(**LOW, account_id=ANN), admins) == [ANN]

    async def test_to_all_admins_where_it_is_about_the_house(self) -> None:
        async def admins() -> set[AccountId]:
            return {ANN, BOB}

        assert await recipients_of(LowStockReached(**LOW), admins) == [ANN, BOB]
        assert mails_for(LowStockReached(**LOW)) == [Template.LOW_STOCK]

    async def test_of_sales_to_those_who_were_admins_when_they_were_counted(self) -> None:
        async def admins() -> list[AccountId]:
            raise AssertionError("nobody asks for them")

        assert await recipients_of(SALES, admins) == (ANN,)

    def test_every_cause_and_every_template_stands_in_the_table_above(self) -> None:
        assert {type(event) for event, templates in OWED if templates} == set(CAUSES)
        assert {template for _, templates in OWED for template in templates} == set(Template)

    def test_nothing_because_of_what_is_history(self) -> None:
        link = recorded(EmailVerificationRequested(account_id=ANN, number=1, email="a@b.c", expires_at=LATER))
        assert useful_until(link) == LATER
        assert owed_because_of(link, LATER - timedelta(seconds=1)) == [Template.VERIFY_EMAIL]
        assert owed_because_of(link, LATER) == ()
        notice = recorded(PasswordChanged(account_id=ANN, password_hash="x"))
        assert owed_because_of(notice, NOW + timedelta(days=7) - timedelta(seconds=1))
        assert not owed_because_of(notice, NOW + timedelta(days=7))


class TestWhatAMailSays:
    @pytest.mark.parametrize("template", Template)
    def test_it_is_there_in_text_and_in_html(self, template: Template) -> None:
        mail = render(template, FIELDS)
        assert mail.subject == SUBJECTS[template].replace("{number}", "ORD-2026112101")
        assert mail.text.startswith("Hello Ann,\n\n")
        assert mail.text.rstrip().endswith("Tradelog\nhttps://shop.example")
        assert mail.html.startswith("<!doctype html>")
        assert "<p>Hello Ann,</p>" in mail.html
        assert 'name="color-scheme" content="light dark"' in mail.html
        assert all(len(line) <= 110 for line in mail.text.splitlines())
        # Both say the same: whoever reads one of them misses no link.
        assert (LINK in mail.text) == (LINK in mail.html)
        assert "{{" not in mail.text + mail.html

    @pytest.mark.parametrize(
        ("template", "words"),
        [
            (Template.VERIFY_EMAIL, "24 hours, until 21 November 2026, 13:05 UTC"),
            (Template.RESET_PASSWORD, "1 hour, until 21 November 2026, 13:05 UTC"),
            (Template.RESET_PASSWORD, "If it was not you, ignore this mail"),
            (Template.PASSWORD_CHANGED, "was changed on 21 November 2026, 12:05 UTC"),
            (Template.EMAIL_CHANGED, "a***@example.com"),
            (Template.ACCOUNT_DELETION_SCHEDULED, "21 November 2026"),
            (Template.ACCOUNT_SUSPENDED, "The reason: Counterfeit goods"),
            (Template.SELLER_REJECTED, "The reason: Counterfeit goods"),
            (Template.SELLER_SUSPENDED, "The reason: Counterfeit goods"),
            (Template.ORDER_CONFIRMATION, "ORD-2026112101"),
            (Template.ORDER_CONFIRMATION, "2,267.98 USD"),
            (Template.SALES_REPORT, "20 November 2026"),
            (Template.SALES_REPORT, "1,800.00 USD"),
            (Template.SALES_REPORT, "Lost disputes: 12.05 USD"),
            (Template.SALES_REPORT, "1,487.95 USD"),
            (Template.ORDER_CONFIRMATION, "-10.00 USD"),
            (Template.ORDER_CONFIRMATION, "181.44 USD"),
            (Template.ORDER_CONFIRMATION, "2,444.42 USD"),
            (Template.ORDER_CONFIRMATION, "29112 Phoenix"),
            (Template.PAYMENT_FAILED, "until 21 November 2026, 13:05 UTC"),
            (Template.PAYMENT_FAILED, "The reason: Counterfeit goods"),
            (Template.ORDER_SHIPPED, "Parcel 1 of 2"),
            (Template.ORDER_SHIPPED, "Carrier: DHL"),
            (Template.ORDER_SHIPPED, "Tracking number: JJD0001"),
            (Template.ORDER_SHIPPED, "https://dhl.example/JJD0001"),
            (Template.ORDER_SHIPPED, "Expected on 24 November 2026"),
            (Template.ORDER_DELIVERED, "A phone"),
            (Template.ORDER_REFUNDED, "12.50 USD"),
            (Template.ORDER_CANCELLED, "You get 2,444.42 USD back"),
            (Template.ORDER_CANCELLED, "The reason: Counterfeit goods"),
            (Template.RETURN_APPROVED, "A phone"),
            (Template.RETURN_REJECTED, "The reason: Counterfeit goods"),
            (Template.LOW_STOCK, "few left of this:"),
        ],
    )
    def test_what_its_reader_must_know(self, template: Template, words: str) -> None:
        mail = render(template, FIELDS)
        assert words in " ".join(mail.text.split())
        assert words.rsplit("until ", maxsplit=1)[-1] in mail.html

    def test_without_a_name_or_a_reason_nothing_is_missing(self) -> None:
        mail = render(Template.SELLER_REJECTED, {**FIELDS, "name": "", "reason": ""})
        assert mail.text.startswith("Hello,\n")
        assert "reason" not in mail.text + mail.html

    def test_nothing_that_somebody_typed_becomes_html(self) -> None:
        evil = '<img src=x onerror="x">'
        names = ("name", "reason", "address", "carrier", "tracking_number")
        fields = {
            **FIELDS,
            **dict.fromkeys(names, evil),
            **dict.fromkeys(("link", "tracking_link"), f"https://x/{evil}"),
            "lines": [Line(quantity=1, title=evil, total=Money(1))],
            "deliver_to": [evil],
            "listings": [{"title": evil, "available": 3, "link": f"https://x/{evil}"}],
        }
        for template in Template:
            assert "<img" not in render(template, fields).html
        assert evil in render(Template.SELLER_REJECTED, fields).text

    def test_what_is_not_given_is_an_error_and_no_hole(self) -> None:
        without = {name: value for name, value in FIELDS.items() if name != "link"}
        with pytest.raises(Exception, match="'link' is undefined"):
            render(Template.VERIFY_EMAIL, without)

    @pytest.mark.parametrize("name", ["Ann", "Zoë", "Jean-Luc", "Mary Ann", "O'Neil", "李小龙"])
    def test_people_are_called_by_their_names(self, name: str) -> None:
        assert greeted(name) == name

    @pytest.mark.parametrize(
        "name", ["", "win at evil.com", "https://evil.example", "call +49123", "a" * 51, "Ann\nBcc: x", "<b>"]
    )
    def test_nobody_is_called_an_advertisement(self, name: str) -> None:
        assert greeted(name) == ""

    def test_an_address_is_hinted_at(self) -> None:
        assert masked("jane@example.com") == "j***@example.com"
        assert masked("") == ""


class Answering:
    """What a mail server answers to whom, and what it took."""

    def __init__(self) -> None:
        self.taken: list[tuple[Envelope, Session]] = []
        self.recipient_answer = "250 OK"
        self.data_answer = "250 OK"

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if self.recipient_answer.startswith("2"):
            envelope.rcpt_tos.append(address)
        return self.recipient_answer

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        if self.data_answer.startswith("2"):
            self.taken.append((envelope, session))
        return self.data_answer

    def mail(self) -> EmailMessage:
        ((envelope, _),) = self.taken
        content = envelope.original_content
        assert content is not None
        return message_from_bytes(content, policy=default)


def login(server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: Any) -> AuthResult:
    good = isinstance(data, LoginPassword) and (data.login, data.password) == (b"shop", b"secret")
    return AuthResult(success=good, handled=False)


@asynccontextmanager
async def serving(answering: Answering, **options: Any) -> AsyncIterator[int]:
    """A mail server, and its port; nothing of it is left afterwards."""
    loop = asyncio.get_running_loop()
    sessions: list[SMTP] = []

    def session() -> SMTP:
        sessions.append(SMTP(answering, loop=loop, authenticator=login, **options))
        return sessions[-1]

    async with await loop.create_server(session, LOOPBACK, 0) as server:
        yield server.sockets[0].getsockname()[1]
        for each in sessions:
            for transport in (each.transport, each._original_transport):  # the latter is the one below TLS
                if isinstance(transport, asyncio.Transport):
                    transport.abort()
        handling = [each._handler_coroutine for each in sessions if each._handler_coroutine is not None]
        for task in handling:
            task.cancel()
        await asyncio.gather(*handling, return_exceptions=True)


@pytest.fixture
def answering() -> Answering:
    return Answering()


@pytest.fixture
async def port(answering: Answering) -> AsyncIterator[int]:
    async with serving(answering, auth_require_tls=False) as port:
        yield port


class Certified:
    """A certificate of this test's own for localhost, and who believes in it."""

    def __init__(self, folder: Path) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
        now = datetime.now(UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(1)
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(key, hashes.SHA256())
        )
        pem = certificate.public_bytes(serialization.Encoding.PEM)
        secret = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        path = folder / "localhost.pem"
        path.write_bytes(secret + pem)
        self.server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.server.load_cert_chain(path)
        self.believer = ssl.create_default_context(cadata=pem.decode())


@pytest.fixture
def certified(tmp_path: Path) -> Certified:
    return Certified(tmp_path)


def smtp(port: int, **options: Any) -> SmtpMailer:
    options = {"host": LOOPBACK, "within": 5.0, **options}
    host = options.pop("host")
    return SmtpMailer(
        host, port, clock=SystemClock(), sender="noreply@ecom.com", sender_name="Trade & Log", **options
    )


class TestBySmtp:
    async def test_a_mail_arrives_whole(self, port: int, answering: Answering) -> None:
        await smtp(port).send(MESSAGE)
        ((envelope, _),) = answering.taken
        assert (envelope.mail_from, envelope.rcpt_tos) == ("noreply@ecom.com", ["ann@example.com"])
        mail = answering.mail()
        (sender,) = mail["From"].addresses
        assert (sender.display_name, sender.addr_spec) == ("Trade & Log", "noreply@ecom.com")
        assert mail["To"] == "ann@example.com"
        assert mail["Subject"] == "Grüße"
        assert mail["Message-ID"] == MESSAGE.message_id
        assert mail["Auto-Submitted"] == "auto-generated"
        assert abs(mail["Date"].datetime - datetime.now(UTC)) < timedelta(minutes=1)
        text, html = mail.get_body(("plain",)), mail.get_body(("html",))
        assert text is not None
        assert html is not None
        assert text.get_content().splitlines() == MESSAGE.text.splitlines()
        assert html.get_content().splitlines() == MESSAGE.html.splitlines()

    async def test_what_is_attached_arrives_as_it_is(self, port: int, answering: Answering) -> None:
        await smtp(port).send(WITH_REPORT)
        mail = answering.mail()
        text, (attached,) = mail.get_body(("plain",)), mail.iter_attachments()
        assert text is not None
        assert text.get_content().splitlines() == MESSAGE.text.splitlines()
        assert (attached.get_filename(), attached.get_content_type()) == (REPORT.name, "text/csv")
        assert attached.get_payload(decode=True) == REPORT.content

    @pytest.mark.parametrize("stage", ["recipient_answer", "data_answer"])
    @pytest.mark.parametrize(
        ("answer", "error"),
        [
            ("451 4.7.1 <ann@example.com>: try again later", MailDelayedError),
            ("550 5.1.1 <ann@example.com>: no such user", MailRefusedError),
        ],
    )
    async def test_a_refusal_is_for_now_or_for_good_and_repeats_no_address(
        self, port: int, answering: Answering, stage: str, answer: str, error: type[Exception]
    ) -> None:
        setattr(answering, stage, answer)
        with pytest.raises(error) as refused:
            await smtp(port).send(MESSAGE)
        assert str(refused.value).endswith(f": {answer[:9]}")
        assert "ann" not in str(refused.value)
        assert answering.taken == []

    async def test_a_server_that_is_away_may_come_back(self) -> None:
        with pytest.raises(MailDelayedError, match="does not answer"):
            await smtp(free_port()).send(MESSAGE)

    async def test_a_server_that_says_nothing_is_not_waited_for_for_ever(self) -> None:
        left = asyncio.Event()

        async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read()
            writer.close()
            await writer.wait_closed()
            left.set()

        async with await asyncio.start_server(say_nothing, LOOPBACK, 0) as silent:
            with pytest.raises(MailDelayedError, match="does not answer"):
                await smtp(silent.sockets[0].getsockname()[1], within=0.1).send(MESSAGE)
            await left.wait()

    async def test_what_is_no_address_is_refused(self, port: int, answering: Answering) -> None:
        injected = "ann@example.com\r\nBcc: bob@example.com"
        for wrong in ("", "ann", "@", "a@", "a..b@c.d", injected, "a b@c.d", f"a@{'b' * 64}.com", "änn@c.d"):
            with pytest.raises(MailRefusedError):
                await smtp(port).send(Message(**{**_fields(MESSAGE), "to": wrong}))
        assert answering.taken == []

    async def test_a_domain_of_another_alphabet_is_reached(self, port: int, answering: Answering) -> None:
        await smtp(port).send(Message(**{**_fields(MESSAGE), "to": "ann@exämple.com"}))
        ((envelope, _),) = answering.taken
        assert envelope.rcpt_tos == ["ann@xn--exmple-cua.com"]

    async def test_a_password_is_shown_to_nobody_in_the_clear(self, port: int, answering: Answering) -> None:
        with pytest.raises(MailDelayedError, match="offers no TLS"):
            await smtp(port, user="shop", password="secret").send(MESSAGE)
        await smtp(port, user="shop", password="secret", tls="off").send(MESSAGE)
        assert len(answering.taken) == 1

    async def test_a_wrong_password_is_no_fault_of_the_mail(self, port: int) -> None:
        with pytest.raises(MailDelayedError, match="does not serve us: 535"):
            await smtp(port, user="shop", password="wrong", tls="off").send(MESSAGE)

    async def test_starttls_is_used_where_it_is_offered(
        self, answering: Answering, certified: Certified
    ) -> None:
        async with serving(answering, tls_context=certified.server, require_starttls=True) as port:
            for tls in ("auto", "starttls"):
                mailer = smtp(
                    port,
                    host="localhost",
                    tls=tls,
                    trusted=certified.believer,
                    user="shop",
                    password="secret",
                )
                await mailer.send(MESSAGE)
            assert [session.ssl is not None for _, session in answering.taken] == [True, True]
            with pytest.raises(MailDelayedError):
                await smtp(port, host="localhost").send(MESSAGE)  # a certificate that nobody vouches for

    async def test_starttls_that_is_insisted_on_and_not_offered_sends_nothing(
        self, port: int, answering: Answering
    ) -> None:
        with pytest.raises(MailDelayedError, match="does not offer what SMTP_TLS"):
            await smtp(port, tls="starttls").send(MESSAGE)
        assert answering.taken == []


def _fields(message: Message) -> dict[str, Any]:
    return {name: getattr(message, name) for name in message.__struct_fields__}


class SendGrid:
    """A server that speaks as SendGrid does."""

    def __init__(self) -> None:
        self.status = 202
        self.asked: list[tuple[str, str, dict[str, Any]]] = []
        service = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                content = self.rfile.read(int(self.headers["Content-Length"]))
                service.asked.append((self.path, self.headers["Authorization"], json.loads(content)))
                self.send_response(service.status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer((LOOPBACK, 0), Handler)
        self.url = f"http://{LOOPBACK}:{self.server.server_port}"


@pytest.fixture
def sendgrid() -> Iterator[SendGrid]:
    service = SendGrid()
    thread = threading.Thread(target=service.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield service
    service.server.shutdown()
    thread.join()
    service.server.server_close()


async def send_by(base: str, message: Message = MESSAGE) -> None:
    async with httpx.AsyncClient() as client:
        await SendGridMailer(
            client, "SG.key", api_base=base, sender="noreply@ecom.com", sender_name="Tradelog"
        ).send(message)


class TestByHttp:
    async def test_a_mail_is_handed_over_whole(self, sendgrid: SendGrid) -> None:
        await send_by(sendgrid.url)
        assert sendgrid.asked == [
            (
                "/v3/mail/send",
                "Bearer SG.key",
                {
                    "personalizations": [{"to": [{"email": "ann@example.com"}]}],
                    "from": {"email": "noreply@ecom.com", "name": "Tradelog"},
                    "subject": "Grüße",
                    "content": [
                        {"type": "text/plain", "value": MESSAGE.text},
                        {"type": "text/html", "value": MESSAGE.html},
                    ],
                    "headers": {"Message-ID": MESSAGE.message_id, "Auto-Submitted": "auto-generated"},
                    "tracking_settings": {
                        "click_tracking": {"enable": False},
                        "open_tracking": {"enable": False},
                    },
                },
            )
        ]

    async def test_with_what_is_attached(self, sendgrid: SendGrid) -> None:
        await send_by(sendgrid.url, WITH_REPORT)
        ((_, _, body),) = sendgrid.asked
        assert body["attachments"] == [
            {
                "content": b64encode(REPORT.content).decode(),
                "type": "text/csv",
                "filename": REPORT.name,
                "disposition": "attachment",
            }
        ]

    @pytest.mark.parametrize("status", [401, 403, 408, 429, 500, 503])
    async def test_what_may_pass_is_tried_again(self, sendgrid: SendGrid, status: int) -> None:
        sendgrid.status = status
        with pytest.raises(MailDelayedError, match=f"answered {status}$"):
            await send_by(sendgrid.url)

    @pytest.mark.parametrize("status", [400, 413])
    async def test_what_is_refused_is_not(self, sendgrid: SendGrid, status: int) -> None:
        sendgrid.status = status
        with pytest.raises(MailRefusedError, match=f"answered {status}$"):
            await send_by(sendgrid.url)

    async def test_a_service_that_is_away_may_come_back(self) -> None:
        with pytest.raises(MailDelayedError, match="does not answer"):
            await send_by(f"http://{LOOPBACK}:{free_port()}")

    async def test_a_service_that_answers_bit_by_bit_holds_up_the_queue_no_longer_than_any_other(
        self,
    ) -> None:
        class Dripping(httpx.AsyncByteStream):
            async def __aiter__(self) -> AsyncIterator[bytes]:
                while True:
                    await asyncio.sleep(0)
                    yield b" "

        answer = httpx.Response(202, stream=Dripping())
        async with httpx.AsyncClient(transport=httpx.MockTransport(lambda _: answer)) as client:
            mailer = SendGridMailer(client, "SG.key", sender="noreply@ecom.com", sender_name="", within=0.05)
            with pytest.raises(MailDelayedError, match="does not answer"):
                await mailer.send(MESSAGE)


async def test_on_a_console_links_can_be_followed() -> None:
    output = io.StringIO()
    await ConsoleMailer(output).send(MESSAGE)
    assert output.getvalue() == "Mail to ann@example.com\nSubject: Grüße\n\nHello Ann, a text with ß\n\n"


async def test_on_a_console_what_is_attached_is_named() -> None:
    output = io.StringIO()
    await ConsoleMailer(output).send(WITH_REPORT)
    assert output.getvalue().endswith("Attached: sales 2026-11-20.csv (text/csv, 11 bytes)\n")


async def test_in_memory_it_stays() -> None:
    mailer = MemoryMailer()
    await mailer.send(MESSAGE)
    assert mailer.sent == [MESSAGE]


NEEDED = {"DATABASE_URL": "x", "JWT_SECRET": "x" * 32, "TRADELOG_MASTER_KEY": "x"}


class TestTheEnvironmentDecides:
    @pytest.mark.parametrize(
        ("given", "kind"),
        [
            ({}, ConsoleMailer),
            ({"SMTP_HOST": "mail"}, SmtpMailer),
            ({"SMTP_HOST": "mail", "EMAIL_PROVIDER": "console"}, ConsoleMailer),
            ({"EMAIL_PROVIDER": "memory"}, MemoryMailer),
            ({"EMAIL_PROVIDER": "sendgrid", "SENDGRID_API_KEY": "SG.key"}, SendGridMailer),
        ],
    )
    async def test_how_mail_leaves(self, given: dict[str, str], kind: type) -> None:
        async with mailer_of(Settings.read(NEEDED | given)) as mailer:
            assert type(mailer) is kind

    @pytest.mark.parametrize(
        ("given", "variable"),
        [
            ({"EMAIL_PROVIDER": "smtp"}, "SMTP_HOST"),
            ({"EMAIL_PROVIDER": "sendgrid"}, "SENDGRID_API_KEY"),
            ({"EMAIL_PROVIDER": "pigeon"}, "EMAIL_PROVIDER"),
            ({"MAIL_RETRY_FIRST": "soon"}, "MAIL_RETRY_FIRST"),
        ],
    )
    def test_what_makes_no_sense_is_named(self, given: dict[str, str], variable: str) -> None:
        with pytest.raises(SettingsError, match=variable):
            Settings.read(NEEDED | given)

    def test_in_production_no_password_is_sent_in_the_clear(self) -> None:
        given = {"SMTP_HOST": "mail.example.com", "SMTP_USER": "shop", "SMTP_TLS": "off"}
        assert faults_of(given)["SMTP_TLS"] == ["sends SMTP_PASS over the network in the clear"]
        assert "SMTP_TLS" not in faults_of({**given, "SMTP_HOST": "localhost"})
        assert "SMTP_TLS" not in faults_of({**given, "SMTP_TLS": "auto"})

    @pytest.mark.parametrize(
        ("given", "origin"),
        [
            ({}, "http://localhost:5173"),
            ({"CORS_ORIGINS": "https://shop.example/, https://b"}, "https://shop.example"),
            ({"CORS_ORIGINS": "https://a", "WEB_ORIGIN": "https://shop.example/"}, "https://shop.example"),
        ],
    )
    def test_where_links_lead(self, given: dict[str, str], origin: str) -> None:
        assert Settings.read(NEEDED | given).pages == origin
