"""The event log in memory: for unit tests, with the same answers as the one on Postgres."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from types import TracebackType
from uuid import UUID

from msgspec.structs import replace

from application.adapters.appending import Append, CommandResult, History, Snapshot, Wanted
from application.adapters.codec import EventCodec
from application.errors import DuplicateCommandError, LogUnavailableError, StreamConflictError
from application.ports import Doorbell, StoredEvent
from domain.kernel import Event, Recorded


class MemoryEventLog:
    """Keeps stored events, not live ones, so that whatever does not survive storing fails here too.

    ``available`` can be set to false, to see what happens when the log is down.
    """

    def __init__(self, codec: EventCodec, *, doorbell: Doorbell | None = None) -> None:
        self.available = True
        self._codec = codec
        self._doorbell = doorbell
        self._events: list[StoredEvent] = []
        self._streams: dict[UUID, list[StoredEvent]] = {}
        self._results: dict[tuple[str, str], CommandResult] = {}
        self._snapshots: dict[UUID, Snapshot] = {}

    async def __aenter__(self) -> MemoryEventLog:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.available = False

    async def append(self, append: Append) -> int:
        append.set_off()
        try:
            position = self._append(append)
        except BaseException:
            append.lose()
            raise
        append.land()
        return position

    def _append(self, append: Append) -> int:
        expected = append.next_versions()
        self._check_available()
        if any(other.landed is not True for other in append.upon):
            raise StreamConflictError(tuple(expected))
        result = append.result
        if result is not None and (result.scope, result.key) in self._results:
            raise DuplicateCommandError
        if any(len(self._streams.get(stream, ())) + 1 != version for stream, version in expected.items()):
            raise StreamConflictError(tuple(expected))
        for event in append.events:
            stored = StoredEvent(event.stream, event.version, event.tag, event.state, len(self._events) + 1)
            self._events.append(stored)
            self._streams.setdefault(event.stream, []).append(stored)
        position = len(self._events)
        if result is not None:
            self._results[result.scope, result.key] = replace(result, position=position)
        if self._doorbell is not None and append.events:
            self._doorbell.ring(position)
        return position

    async def begin_turn(self, stream: UUID, *, patiently: bool = True) -> bool:
        """What is in memory is one process's."""
        return False

    async def end_turn(self, stream: UUID) -> None:
        raise NotImplementedError

    async def head(self) -> int:
        self._check_available()
        return len(self._events)

    async def read(self, after: int, limit: int) -> list[StoredEvent]:
        self._check_available()
        return self._events[after : after + limit]

    async def decode(self, stored: Sequence[StoredEvent]) -> list[Recorded[Event]]:
        return await self._codec.decode(stored)

    async def read_stream(
        self, stream: UUID, *, after: int = 0, up_to: int | None = None, until: datetime | None = None
    ) -> list[Recorded[Event]]:
        self._check_available()
        recorded = await self.decode(self._streams.get(stream, [])[after:up_to])
        return [event for event in recorded if until is None or event.timestamp <= until]

    async def at_positions(self, positions: Sequence[int]) -> list[Recorded[Event]]:
        self._check_available()
        wanted = sorted(position for position in set(positions) if 0 < position <= len(self._events))
        return await self.decode([self._events[position - 1] for position in wanted])

    async def histories(self, wanted: Sequence[Wanted]) -> list[History]:
        self._check_available()
        found = []
        for one in wanted:
            snapshot = self._snapshots.get(one.stream)
            if snapshot is not None and (snapshot.topic != one.topic or snapshot.version <= one.after):
                snapshot = None
            after = one.after if snapshot is None else snapshot.version
            found.append(History(snapshot=snapshot, events=self._streams.get(one.stream, [])[after:]))
        return found

    async def result_of(self, scope: str, key: str) -> CommandResult | None:
        self._check_available()
        return self._results.get((scope, key))

    async def save_snapshot(self, snapshot: Snapshot) -> None:
        self._check_available()
        kept = self._snapshots.get(snapshot.stream)
        if kept is None or kept.version <= snapshot.version:
            self._snapshots[snapshot.stream] = snapshot

    def _check_available(self) -> None:
        if not self.available:
            raise LogUnavailableError("The event log does not answer")
