"""What the Stripe simulator remembers, in one SQLite file."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeAlias

import msgspec

StripeObject: TypeAlias = dict[str, Any]

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(dict[str, Any]).decode


class Delivery(StrEnum):
    """How far an event is on its way to our API; one that was dropped waits until somebody asks for it."""

    PENDING = "pending"
    DROPPED = "dropped"
    DONE = "done"


class Objects:
    """Everything the simulator knows, in the order it was made.

    What is committed outlives the process, not the machine: nobody's money is in it.
    """

    def __init__(self, path: Path | None) -> None:
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
        self._database = sqlite3.connect(":memory:" if path is None else path, isolation_level=None)
        self._database.executescript(
            """
            PRAGMA journal_mode = WAL;
            PRAGMA synchronous = OFF;
            CREATE TABLE IF NOT EXISTS things (
                position INTEGER PRIMARY KEY, id TEXT UNIQUE NOT NULL, kind TEXT NOT NULL,
                intent TEXT NOT NULL, body BLOB NOT NULL
            );
            CREATE INDEX IF NOT EXISTS things_by_kind ON things (kind);
            CREATE INDEX IF NOT EXISTS things_by_intent ON things (intent);
            CREATE TABLE IF NOT EXISTS events (
                position INTEGER PRIMARY KEY, id TEXT UNIQUE NOT NULL, delivery TEXT NOT NULL, body BLOB NOT NULL
            );
            CREATE INDEX IF NOT EXISTS events_under_way ON events (delivery) WHERE delivery <> 'done';
            CREATE TABLE IF NOT EXISTS outcomes (id TEXT PRIMARY KEY, outcome TEXT NOT NULL);
            DROP TABLE IF EXISTS answers; -- of earlier days: without the time, and not to be repeated for long
            CREATE TABLE IF NOT EXISTS given_answers (
                key TEXT PRIMARY KEY, at INTEGER NOT NULL, request TEXT NOT NULL, status INTEGER NOT NULL,
                body BLOB NOT NULL
            );
            """
        )

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All that the block writes, or nothing of it."""
        self._database.execute("BEGIN")
        try:
            yield
        except BaseException:
            self._database.execute("ROLLBACK")
            raise
        self._database.execute("COMMIT")

    def save(self, thing: StripeObject) -> None:
        intent = thing["id"] if thing["object"] == "payment_intent" else thing.get("payment_intent") or ""
        self._database.execute(
            "INSERT INTO things (id, kind, intent, body) VALUES (?, ?, ?, ?)"
            " ON CONFLICT (id) DO UPDATE SET body = excluded.body",
            (thing["id"], thing["object"], intent, _encode(thing)),
        )

    def find(self, kind: str, id_: str) -> StripeObject | None:
        query = "SELECT body FROM things WHERE id = ? AND kind = ?"
        row = self._database.execute(query, (id_, kind)).fetchone()
        return None if row is None else _decode(row[0])

    def newest(self, kind: str, *, intent: str = "") -> Iterator[StripeObject]:
        """All of a kind, newest first, as Stripe lists; ``intent`` keeps to what belongs to one payment intent."""
        if intent:
            query = "SELECT body FROM things WHERE intent = ? AND kind = ? ORDER BY position DESC"
            rows = self._database.execute(query, (intent, kind))
        else:
            query = "SELECT body FROM things WHERE kind = ? ORDER BY position DESC"
            rows = self._database.execute(query, (kind,))
        for (body,) in rows:
            yield _decode(body)

    # Events

    def save_event(self, event: StripeObject, delivery: Delivery) -> None:
        query = "INSERT INTO events (id, delivery, body) VALUES (?, ?, ?)"
        self._database.execute(query, (event["id"], delivery, _encode(event)))

    def mark(self, event_id: str, delivery: Delivery) -> None:
        self._database.execute("UPDATE events SET delivery = ? WHERE id = ?", (delivery, event_id))

    def event(self, id_: str) -> StripeObject | None:
        row = self._database.execute("SELECT body, delivery FROM events WHERE id = ?", (id_,)).fetchone()
        return None if row is None else _event(*row)

    def newest_events(self) -> Iterator[StripeObject]:
        query = "SELECT body, delivery FROM events ORDER BY position DESC"
        for row in self._database.execute(query):
            yield _event(*row)

    def undelivered(self, *deliveries: Delivery) -> list[StripeObject]:
        """In the order in which they happened."""
        query = "SELECT body, delivery FROM events WHERE delivery <> 'done' AND delivery IN (?, ?) ORDER BY position"
        rows = self._database.execute(query, (deliveries[0], deliveries[-1])).fetchall()
        return [_event(*row) for row in rows]

    def deliveries(self) -> dict[str, int]:
        """How many events are how far."""
        counts = dict.fromkeys(Delivery, 0)
        query = "SELECT delivery, count(*) FROM events GROUP BY delivery"
        return {**counts, **dict(self._database.execute(query).fetchall())}

    # What becomes of something later

    def expect(self, id_: str, outcome: str) -> None:
        query = "INSERT OR REPLACE INTO outcomes (id, outcome) VALUES (?, ?)"
        self._database.execute(query, (id_, outcome))

    def expected(self) -> dict[str, str]:
        return dict(self._database.execute("SELECT id, outcome FROM outcomes").fetchall())

    def settled(self, id_: str) -> None:
        self._database.execute("DELETE FROM outcomes WHERE id = ?", (id_,))

    # Answers to be repeated

    def answer_to(self, key: str, *, since: int) -> tuple[str, int, StripeObject] | None:
        """One that was given after ``since``, in seconds of the epoch."""
        query = "SELECT request, status, body FROM given_answers WHERE key = ? AND at > ?"
        row = self._database.execute(query, (key, since)).fetchone()
        return None if row is None else (row[0], row[1], _decode(row[2]))

    def remember_answer(self, key: str, at: int, request: str, status: int, body: StripeObject) -> None:
        query = "INSERT OR REPLACE INTO given_answers (key, at, request, status, body) VALUES (?, ?, ?, ?, ?)"
        self._database.execute(query, (key, at, request, status, _encode(body)))

    def forget_answers(self) -> None:
        self._database.execute("DELETE FROM given_answers")

    def clear(self) -> None:
        for table in ("things", "events", "outcomes", "given_answers"):
            self._database.execute(f"DELETE FROM {table}")

    def close(self) -> None:
        self._database.close()


def _event(body: bytes, delivery: str) -> StripeObject:
    return {**_decode(body), "pending_webhooks": int(delivery != Delivery.DONE)}
