"""What mail needs from outside: a place to wait, and a way out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Protocol
from uuid import UUID

import msgspec

from domain.kernel import NotFoundError


class Attachment(msgspec.Struct, frozen=True, kw_only=True):
    """A file that goes with a mail: ``content_type`` as in ``text/csv``, ``name`` as its reader keeps it."""

    name: str
    content_type: str
    content: bytes


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """One mail to one person. ``message_id`` is the same whenever the same mail is sent again."""

    to: str
    subject: str
    text: str
    html: str
    message_id: str
    headers: Mapping[str, str] = {}
    attachments: tuple[Attachment, ...] = ()


class MailDelayedError(Exception):
    """It was not sent, and may well be later. The message names no person: it is kept and logged."""


class MailRefusedError(Exception):
    """It was not sent, and would not be if it were tried again. The message names no person either."""


class PointlessMailError(Exception):
    """Nobody is to get this mail any more."""


class Mailer(Protocol):
    """A way out: a mail server, a service that takes mail by HTTP, or a double."""

    async def send(self, message: Message) -> None:
        """``MailDelayedError`` or ``MailRefusedError`` unless it was taken."""
        ...


class MailState(StrEnum):
    WAITING = "waiting"
    SENT = "sent"
    DEAD = "dead"
    DROPPED = "dropped"


class QueuedMail(msgspec.Struct, frozen=True, kw_only=True):
    """A mail that is owed because of the event at position ``cause``: nothing in it tells about the person."""

    cause: int
    template: str
    account_id: UUID
    state: MailState
    attempts: int
    next_at: datetime
    error: str
    created_at: datetime
    sent_at: datetime | None = None


class OwedMail(msgspec.Struct, frozen=True):
    """What is to be written down: once per cause, template and person, whoever says it how often."""

    cause: int
    template: str
    account_id: UUID


class MailCounts(msgspec.Struct, frozen=True, kw_only=True):
    waiting: int
    dead: int
    oldest_waiting: timedelta


class MailNotFoundError(NotFoundError):
    code = "MAIL_NOT_FOUND"


class MailQueue(Protocol):
    """Mails that are owed, and what has become of them. Times are the queue's own."""

    async def owe(self, mails: Sequence[OwedMail]) -> None:
        """Write them down, but for those that were written down before."""
        ...

    async def claim(self, most: int, lease: timedelta) -> list[QueuedMail]:
        """Some that are due. Nobody else is given them before ``lease`` is over; each counts as one more attempt."""
        ...

    async def sent(self, mail: QueuedMail) -> None: ...

    async def delay(self, mail: QueuedMail, wait: timedelta, error: str) -> None: ...

    async def bury(self, mail: QueuedMail, error: str) -> None: ...

    async def discard(self, mail: QueuedMail, reason: str) -> None: ...

    async def discard_all_of(self, account_id: UUID, reason: str) -> None:
        """All that is still owed to somebody."""
        ...

    async def forget(self, older_than: timedelta) -> None:
        """Remove what was sent or dropped so long ago that its cause is history."""
        ...

    async def counts(self) -> MailCounts: ...

    async def listed(self, state: MailState | None, *, after: int, limit: int) -> list[QueuedMail]:
        """In the order of their causes; ``limit`` of them, or a few more: those of one cause come together."""
        ...

    async def retry(self, cause: int, template: str) -> QueuedMail:
        """Let one that was given up wait again, with all its attempts; any other stays as it is.

        Where several people are owed it, it is so for each of them; one that was changed is told.
        """
        ...

    async def drop(self, cause: int, template: str) -> QueuedMail:
        """Give up one that has not been sent, as above; any other stays as it is."""
        ...
