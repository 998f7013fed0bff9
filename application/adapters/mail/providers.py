"""Which way mail leaves, as the environment says."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx

from application.adapters.clock import SystemClock
from application.adapters.mail.console import ConsoleMailer
from application.adapters.mail.memory import MemoryMailer
from application.adapters.mail.sendgrid import SENDGRID, SendGridMailer
from application.adapters.mail.smtp import SmtpMailer
from application.mail.ports import Mailer
from application.settings import Settings


@asynccontextmanager
async def mailer_of(settings: Settings) -> AsyncIterator[Mailer]:
    match settings.mail_provider:
        case "smtp":
            yield SmtpMailer(
                settings.smtp_host,
                settings.smtp_port,
                clock=SystemClock(),
                sender=settings.email_from,
                sender_name=settings.email_from_name,
                user=settings.smtp_user,
                password=settings.smtp_pass,
                tls=settings.smtp_tls,
            )
        case "sendgrid":
            async with httpx.AsyncClient(timeout=30) as client:
                yield SendGridMailer(
                    client,
                    settings.sendgrid_api_key,
                    api_base=settings.sendgrid_api_base or SENDGRID,
                    sender=settings.email_from,
                    sender_name=settings.email_from_name,
                )
        case "console":
            yield ConsoleMailer()
        case "memory":
            yield MemoryMailer()
