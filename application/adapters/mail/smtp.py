"""Mail by a server that speaks SMTP."""

from __future__ import annotations

import asyncio
import re
import ssl
from contextlib import suppress
from email.errors import MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP as SMTP_POLICY
from email.utils import format_datetime
from typing import Final, Literal

import aiosmtplib

from application.mail.ports import MailDelayedError, MailRefusedError, Message
from application.ports import Clock

Tls = Literal["auto", "starttls", "implicit", "off"]

IMPLICIT_TLS_PORT: Final = 465
NO_ADDRESS: Final = "the address is none that mail can be sent to"
_PERMANENT: Final = range(500, 600)
_ENHANCED: Final = re.compile(r"[245]\.\d{1,3}\.\d{1,3}\b")


class SmtpMailer:
    """One connection per mail. ``within`` is how many seconds the server may take for all of it.

    ``tls``: with ``auto`` it is implicit on port 465 and STARTTLS wherever that is offered; a password never travels
    in the clear unless that is asked for with ``off``.
    """

    def __init__(
        self,
        host: str,
        port: int,
        *,
        clock: Clock,
        sender: str,
        sender_name: str = "",
        user: str = "",
        password: str = "",
        tls: Tls = "auto",
        trusted: ssl.SSLContext | None = None,
        within: float = 30.0,
    ) -> None:
        self._host = host
        self._port = port
        self._clock = clock
        self._sender = sender
        self._sender_name = sender_name
        self._user = user
        self._password = password
        self._tls = tls
        self._trusted = trusted
        self._within = within

    async def send(self, message: Message) -> None:
        to = _deliverable(message.to)
        mail = self._mime(message, to)
        client = self._client()
        try:
            async with asyncio.timeout(self._within):
                await self._open(client)
                await client.send_message(mail, sender=self._sender, recipients=[to])
        except aiosmtplib.SMTPRecipientsRefused as refused:
            raise _of_answer(refused.recipients[0], "the recipient") from refused
        except aiosmtplib.SMTPDataError as refused:
            raise _of_answer(refused, "the mail") from refused
        except aiosmtplib.SMTPNotSupported as lacking:
            # An address that is not ASCII, say: only another server could deliver it.
            raise MailRefusedError("the mail server lacks what this mail needs") from lacking
        except aiosmtplib.SMTPResponseException as refused:
            # It refuses us rather than this mail, be it for good (a wrong password, a sender that it does not know):
            # that is ours to put right, and no reason to give up every mail of that hour.
            raise MailDelayedError(f"the mail server does not serve us: {_code(refused)}") from refused
        except (aiosmtplib.SMTPException, OSError, TimeoutError) as away:
            raise MailDelayedError(f"the mail server does not answer: {type(away).__name__}") from away
        else:
            # The server has taken it: whatever it says to our farewell changes nothing.
            with suppress(aiosmtplib.SMTPException, OSError, TimeoutError):
                await client.quit(timeout=1)
        finally:
            client.close()

    def _client(self) -> aiosmtplib.SMTP:
        implicit = self._tls == "implicit" or (self._tls == "auto" and self._port == IMPLICIT_TLS_PORT)
        starting: dict[Tls, bool | None] = {"starttls": True, "auto": None}
        return aiosmtplib.SMTP(
            hostname=self._host,
            port=self._port,
            use_tls=implicit,
            start_tls=False if implicit else starting.get(self._tls, False),
            tls_context=self._trusted,
            timeout=self._within,
        )

    async def _open(self, client: aiosmtplib.SMTP) -> None:
        try:
            await client.connect()
            if not self._user:
                return
            if self._tls != "off" and client.get_transport_info("sslcontext") is None:
                raise MailDelayedError("the mail server offers no TLS, and SMTP_TLS=off is not set")
            await client.login(self._user, self._password)
        except aiosmtplib.SMTPException as failure:
            # The library has no more precise error for a server without STARTTLS.
            if type(failure) in (aiosmtplib.SMTPException, aiosmtplib.SMTPNotSupported):
                lacking = "the mail server does not offer what SMTP_TLS or SMTP_USER asks for"
                raise MailDelayedError(lacking) from failure
            raise

    def _mime(self, message: Message, to: str) -> EmailMessage:
        mail = EmailMessage(policy=SMTP_POLICY)
        try:
            mail["From"] = Address(self._sender_name, addr_spec=self._sender)
            mail["To"] = Address(addr_spec=to)
            mail["Subject"] = message.subject
            mail["Date"] = format_datetime(self._clock.now())
            mail["Message-ID"] = message.message_id
            for name, value in message.headers.items():
                mail[name] = value
        except (ValueError, IndexError, MessageError) as wrong:
            raise MailRefusedError(NO_ADDRESS) from wrong
        mail.set_content(message.text)
        mail.add_alternative(message.html, subtype="html")
        for attached in message.attachments:
            kind, _, subtype = attached.content_type.partition("/")
            mail.add_attachment(attached.content, maintype=kind, subtype=subtype, filename=attached.name)
        return mail


def _deliverable(address: str) -> str:
    """With its domain as the name service knows it: not every server takes the letters of other languages."""
    local, at, domain = address.rpartition("@")
    try:
        return f"{local}{at}{domain.encode('idna').decode()}"
    except UnicodeError as wrong:
        raise MailRefusedError(NO_ADDRESS) from wrong


def _of_answer(answer: aiosmtplib.SMTPResponseException, what: str) -> MailDelayedError | MailRefusedError:
    refused = f"the mail server refused {what}: {_code(answer)}"
    return MailRefusedError(refused) if answer.code in _PERMANENT else MailDelayedError(refused)


def _code(answer: aiosmtplib.SMTPResponseException) -> str:
    """The numbers alone: in the server's words there is often the address."""
    enhanced = _ENHANCED.match(answer.message)
    return f"{answer.code} {enhanced[0]}" if enhanced else str(answer.code)
