"""Mails that are owed, beside the log. Rows tell of nobody: a person is but the id of an account here."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final, LiteralString
from uuid import UUID

from application.adapters.arrays import int8s, texts, uuids
from application.adapters.database import Database, Row
from application.mail.ports import (
    MailCounts,
    MailNotFoundError,
    MailState,
    OwedMail,
    QueuedMail,
)

_COLUMNS: Final[LiteralString] = (
    "cause, template, account_id, state, attempts, next_at, error, created_at, sent_at"
)

_OWE: Final[LiteralString] = """
INSERT INTO mails (cause, template, account_id)
SELECT * FROM unnest(%s::bigint[], %s::text[], %s::uuid[])
ON CONFLICT DO NOTHING
"""

# The attempt is counted before it is made, so that a mail that brings the process down is given up some day too.
_CLAIM: Final[LiteralString] = f"""
WITH due AS (
    SELECT cause, template, account_id FROM mails
    WHERE state = 'waiting' AND next_at <= now()
    ORDER BY next_at LIMIT %s FOR UPDATE SKIP LOCKED
)
UPDATE mails SET attempts = mails.attempts + 1, next_at = now() + %s
FROM due
WHERE mails.cause = due.cause AND mails.template = due.template AND mails.account_id = due.account_id
RETURNING {", ".join(f"mails.{column}" for column in _COLUMNS.split(", "))}
"""

# Whoever was too slow and lost the mail to another one must not say what became of it.
_MINE: Final[LiteralString] = (
    "cause = %s AND template = %s AND account_id = %s AND state = 'waiting' AND attempts = %s"
)

_LISTED: Final[LiteralString] = f"""
SELECT * FROM (
    SELECT {_COLUMNS} FROM mails WHERE cause > %s AND (%s::text IS NULL OR state = %s)
    ORDER BY cause FETCH FIRST (%s) ROWS WITH TIES
) AS page
ORDER BY cause, template, account_id
"""

_NAMED: Final[LiteralString] = "cause = %s AND template = %s"

_COUNTS: Final[LiteralString] = """
SELECT count(*) FILTER (WHERE state = 'waiting'), count(*) FILTER (WHERE state = 'dead'),
    coalesce(now() - min(created_at) FILTER (WHERE state = 'waiting'), interval '0')
FROM mails WHERE state IN ('waiting', 'dead')
"""


class PostgresMails:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def owe(self, mails: Sequence[OwedMail]) -> None:
        if mails:
            columns = (
                int8s([mail.cause for mail in mails]),
                texts([mail.template for mail in mails]),
                uuids([mail.account_id for mail in mails]),
            )
            await self._database.rows(_OWE, columns)

    async def claim(self, most: int, lease: timedelta) -> list[QueuedMail]:
        return [_mail(row) for row in await self._database.rows(_CLAIM, [most, lease])]

    async def sent(self, mail: QueuedMail) -> None:
        await self._conclude(mail, "state = 'sent', sent_at = now(), error = ''")

    async def delay(self, mail: QueuedMail, wait: timedelta, error: str) -> None:
        await self._conclude(mail, "next_at = now() + %s, error = %s", wait, error)

    async def bury(self, mail: QueuedMail, error: str) -> None:
        await self._conclude(mail, "state = 'dead', error = %s", error)

    async def discard(self, mail: QueuedMail, reason: str) -> None:
        await self._conclude(mail, "state = 'dropped', error = %s", reason)

    async def discard_all_of(self, account_id: UUID, reason: str) -> None:
        await self._database.rows(
            "UPDATE mails SET state = 'dropped', error = %s "
            "WHERE account_id = %s AND state IN ('waiting', 'dead')",
            [reason, account_id],
        )

    async def forget(self, older_than: timedelta) -> None:
        await self._database.rows(
            "DELETE FROM mails WHERE state IN ('sent', 'dropped') AND created_at < now() - %s", [older_than]
        )

    async def counts(self) -> MailCounts:
        ((waiting, dead, oldest),) = await self._database.rows(_COUNTS)
        return MailCounts(waiting=waiting, dead=dead, oldest_waiting=oldest)

    async def listed(self, state: MailState | None, *, after: int, limit: int) -> list[QueuedMail]:
        asked = state.value if state else None
        return [_mail(row) for row in await self._database.rows(_LISTED, [after, asked, asked, limit])]

    async def retry(self, cause: int, template: str) -> QueuedMail:
        changes: LiteralString = "state = 'waiting', attempts = 0, next_at = now(), error = ''"
        return await self._by_hand(changes, "state IN ('dead', 'dropped')", cause, template)

    async def drop(self, cause: int, template: str) -> QueuedMail:
        changes: LiteralString = "state = 'dropped', error = 'by an operator'"
        return await self._by_hand(changes, "state IN ('waiting', 'dead')", cause, template)

    async def _conclude(self, mail: QueuedMail, changes: LiteralString, *values: Any) -> None:
        known = [mail.cause, mail.template, mail.account_id, mail.attempts]
        await self._database.rows(f"UPDATE mails SET {changes} WHERE {_MINE}", [*values, *known])

    async def _by_hand(
        self, changes: LiteralString, where: LiteralString, cause: int, template: str
    ) -> QueuedMail:
        """One of those that were changed; or of those that stay as they are, if all do."""
        parameters = [cause, template]
        rows = await self._database.rows(
            f"UPDATE mails SET {changes} WHERE {_NAMED} AND {where} RETURNING {_COLUMNS}", parameters
        ) or await self._database.rows(f"SELECT {_COLUMNS} FROM mails WHERE {_NAMED}", parameters)
        if not rows:
            raise MailNotFoundError(f"There is no mail {template} because of event {cause}")
        return min((_mail(row) for row in rows), key=lambda mail: mail.account_id)


def _mail(row: Row) -> QueuedMail:
    cause, template, account_id, state, attempts, next_at, error, created_at, sent_at = row
    return QueuedMail(
        cause=cause,
        template=template,
        account_id=account_id,
        state=MailState(state),
        attempts=attempts,
        next_at=next_at,
        error=error,
        created_at=created_at,
        sent_at=sent_at,
    )
