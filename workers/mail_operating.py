"""What operators do to mail by hand: look, have one tried again, give one up."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Final

from rich.console import Console
from rich.table import Table

from application.adapters.database import Database
from application.adapters.mail.queue import PostgresMails
from application.mail.ports import MailQueue, MailState, QueuedMail

PAGE: Final = 500


class PostOffice:
    def __init__(self, queue: MailQueue, console: Console) -> None:
        self._queue = queue
        self._console = console

    async def show(self, state: str | None) -> None:
        table = Table()
        for heading in ("cause", "template", "state", "attempts", "next", "sent", "error"):
            table.add_column(heading, no_wrap=heading != "error")
        after = 0
        while mails := await self._queue.listed(MailState(state) if state else None, after=after, limit=PAGE):
            for mail in mails:
                table.add_row(*_cells(mail))
            after = mails[-1].cause
        self._console.print(table)

    async def retry(self, cause: int, template: str) -> None:
        self._tell(await self._queue.retry(cause, template))

    async def drop(self, cause: int, template: str) -> None:
        self._tell(await self._queue.drop(cause, template))

    def _tell(self, mail: QueuedMail) -> None:
        self._console.print(f"{mail.template} because of event {mail.cause} is {mail.state.value}")


def _cells(mail: QueuedMail) -> tuple[str, ...]:
    waits = mail.state is MailState.WAITING
    return (
        str(mail.cause),
        mail.template,
        mail.state.value,
        str(mail.attempts),
        f"{mail.next_at:%Y-%m-%d %H:%M:%S}" if waits else "",
        f"{mail.sent_at:%Y-%m-%d %H:%M:%S}" if mail.sent_at else "",
        mail.error,
    )


@asynccontextmanager
async def open_post_office(environment: Mapping[str, str], console: Console) -> AsyncIterator[PostOffice]:
    async with Database(environment["DATABASE_URL"], connections=2) as database:
        yield PostOffice(PostgresMails(database), console)
