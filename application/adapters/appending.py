"""What is handed to a log in one piece, and what comes back: the words between ``EventStore`` and logs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol
from uuid import UUID

import msgspec

from application.ports import StoredEvent


class NewEvent(msgspec.Struct, frozen=True, array_like=True):
    """An event that has its place in its stream already, but none in the log yet."""

    stream: UUID
    version: int
    tag: str
    state: bytes


class CommandResult(msgspec.Struct, frozen=True, kw_only=True):
    """What a command that is carried out once was answered with; ``body`` is ciphertext."""

    scope: str
    key: str
    request_hash: bytes
    status: int
    body: bytes
    position: int = 0


class Append(msgspec.Struct, kw_only=True, eq=False):
    """What one command adds to the log: all of it or nothing.

    ``read`` maps streams that the decision only looked at to the version it saw: if one has moved on, the
    decision is void just as if it had written there.

    ``upon`` are appends of this process that were still on their way when this was decided, and that the decision
    reckons with: where one of them is refused, so is this one, whatever the versions say. ``landed`` tells what has
    become of it, as soon as that is known; ``followers`` are those on their way that were decided upon it.
    """

    events: Sequence[NewEvent]
    read: Mapping[UUID, int] = {}
    result: CommandResult | None = None
    upon: Sequence[Append] = ()
    landed: bool | None = None
    followers: list[Append] = []

    def set_off(self) -> None:
        """It is on its way: from now on it is lost with the first that is lost of those that it was decided upon."""
        for other in self.upon:
            if other.landed is False:
                self.lose()
            elif other.landed is None:
                other.followers.append(self)

    def land(self) -> None:
        """It is in the log, and so is what it was decided upon, of which there may have been many in a row."""
        self.landed = True
        self.upon = ()
        self.followers = []

    def lose(self) -> None:
        """It is not in the log, or nobody can tell; nor will be what was decided upon it, however far that goes."""
        unseen = [self]
        while unseen:
            append = unseen.pop()
            if append.landed is None:
                append.landed = False
                unseen.extend(append.followers)
                append.followers = []

    def next_versions(self) -> dict[UUID, int]:
        """The version that must be the next one of each stream which the command adds to or has read."""
        expected: dict[UUID, int] = {}
        last: dict[UUID, int] = {}
        for event in self.events:
            if event.stream not in last:
                expected[event.stream] = event.version
            elif event.version != last[event.stream] + 1:
                raise ValueError(f"{event.stream}: version {event.version} after {last[event.stream]}")
            last[event.stream] = event.version
        for stream, version in self.read.items():
            expected.setdefault(stream, version + 1)
        return expected


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """The state of a stream at a version; ``topic`` names the kind and shape of the state."""

    stream: UUID
    version: int
    topic: str
    state: bytes


class Wanted(msgspec.Struct, frozen=True, array_like=True):
    """A stream to be read on from version ``after``, or from a newer snapshot of ``topic`` if any."""

    stream: UUID
    after: int = 0
    topic: str = ""


class History(msgspec.Struct, frozen=True, kw_only=True):
    """What a log has of a ``Wanted`` stream: perhaps a snapshot, and the events that follow."""

    snapshot: Snapshot | None
    events: Sequence[StoredEvent]


class CommandLog(Protocol):
    """A log as ``EventStore`` needs it."""

    async def append(self, append: Append) -> int:
        """Record it, and return the position of its last event (or of the log, if it brings none).

        Raises ``StreamConflictError``, ``DuplicateCommandError`` or ``LogUnavailableError``; then nothing of
        it is acknowledged.
        """
        ...

    async def begin_turn(self, stream: UUID, *, patiently: bool = True) -> bool:
        """Wait until the stream is ours alone: then every other process's appends to it are refused.

        False where there is no such thing to be had, and whoever comes first gets it. Who has turns of other streams
        must not wait ``patiently`` until this process has fewer of them.
        """
        ...

    async def end_turn(self, stream: UUID) -> None: ...

    async def histories(self, wanted: Sequence[Wanted]) -> list[History]:
        """What follows in each of the streams, in one query, in the order asked."""
        ...

    async def result_of(self, scope: str, key: str) -> CommandResult | None: ...

    async def save_snapshot(self, snapshot: Snapshot) -> None:
        """Keep it instead of older ones of the same stream."""
        ...
