"""A made-up business for the log's tests: jars with coins in them, and notes that people stick on them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, TypeAlias
from uuid import UUID

import msgspec

from application.ports import Metadata
from domain.kernel import Decider, Event, Personal, PersonalText, RuleViolatedError, stream_id


class JarOpened(Event, frozen=True, kw_only=True, tag="jar_opened"):
    size: int


class CoinsAdded(Event, frozen=True, kw_only=True, tag="coins_added"):
    coins: int


class CoinsTaken(Event, frozen=True, kw_only=True, tag="coins_taken"):
    coins: int


class NoteStuck(Event, frozen=True, kw_only=True, tag="note_stuck"):
    subject = "person"

    person: UUID
    text: PersonalText
    stars: Annotated[int | None, Personal(erased=None)] = None
    colour: str = "yellow"


class HintDropped(Event, frozen=True, kw_only=True, tag="hint_dropped"):
    """Personal, but nobody knows about whom."""

    address: PersonalText


JarEvent: TypeAlias = JarOpened | CoinsAdded | CoinsTaken | NoteStuck | HintDropped


class JarFullError(RuleViolatedError):
    code = "JAR_FULL"


class JarEmptyError(RuleViolatedError):
    code = "JAR_EMPTY"


class Jar(msgspec.Struct, frozen=True, kw_only=True):
    size: int
    coins: int = 0
    note: str = ""

    @staticmethod
    def open(jar: Jar | None, size: int) -> list[JarEvent]:
        return [] if jar is not None else [JarOpened(size=size)]

    def add(self, coins: int) -> list[JarEvent]:
        if not coins:
            return []
        if self.coins + coins > self.size:
            raise JarFullError(f"{self.coins} of {self.size}")
        return [CoinsAdded(coins=coins)]

    def take(self, coins: int) -> list[JarEvent]:
        if self.coins < coins:
            raise JarEmptyError(f"only {self.coins} left")
        return [CoinsTaken(coins=coins)]

    @classmethod
    def evolve(cls, jar: Jar | None, event: JarEvent) -> Jar:
        if isinstance(event, JarOpened):
            return cls(size=event.size)
        assert jar is not None, "a jar's first event is JarOpened"
        match event:
            case CoinsAdded(coins=coins):
                return msgspec.structs.replace(jar, coins=jar.coins + coins)
            case CoinsTaken(coins=coins):
                return msgspec.structs.replace(jar, coins=jar.coins - coins)
            case NoteStuck(text=text):
                return msgspec.structs.replace(jar, note=text)
            case HintDropped():
                return jar


JARS: Decider[Jar, JarEvent] = Decider("jars", Jar.evolve)
JARS_WITH_SNAPSHOTS: Decider[Jar, JarEvent] = Decider("jars", Jar.evolve, snapshot=Jar)

EVENTS: dict[str, type[Event]] = {
    "jar_opened": JarOpened,
    "coins_added": CoinsAdded,
    "coins_taken": CoinsTaken,
    "note_stuck": NoteStuck,
    "hint_dropped": HintDropped,
}
AGGREGATES = dict.fromkeys(EVENTS, "jars")

SOMEBODY = Metadata(actor="somebody", request_id="r-1")


def jar_id(name: str) -> UUID:
    return stream_id("jar", name)


def opened(jar: Jar | None) -> Sequence[JarEvent]:
    return Jar.open(jar, 1_000_000)


def one_more(jar: Jar | None) -> Sequence[JarEvent]:
    assert jar is not None
    return jar.add(1)


class TickingClock:
    """Goes on by a second with each look."""

    def __init__(self) -> None:
        self.time = datetime(2026, 1, 1, tzinfo=UTC)

    def now(self) -> datetime:
        self.time += timedelta(seconds=1)
        return self.time
