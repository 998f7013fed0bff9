"""What read models need from outside, and what can stand in their way."""

from __future__ import annotations

from collections.abc import AsyncIterable, Callable, Collection, Sequence
from typing import Any, Protocol, TypeVar
from uuid import UUID

import msgspec

from domain.kernel import DomainError, Event, Recorded


class Stored(Protocol):
    """An event whose envelope is still closed."""

    @property
    def tag(self) -> str: ...

    @property
    def position(self) -> int: ...


S = TypeVar("S", bound=Stored)


class Log(Protocol[S]):
    """The event log, read in its order."""

    async def head(self) -> int: ...

    async def read(self, after: int, limit: int) -> list[S]: ...

    async def decode(self, stored: Sequence[S]) -> list[Recorded[Event]]: ...

    async def at_positions(self, positions: Sequence[int]) -> list[Recorded[Event]]: ...


class Feed(Protocol[S]):
    """The newest events, as they happen, without a gap."""

    async def after(self, position: int, limit: int, timeout: float) -> Sequence[S] | None:
        """The events that follow ``position``; none when none came in time; ``None`` when that is too far back."""
        ...

    async def decode(self, stored: Sequence[S]) -> list[Recorded[Event]]:
        """As the log does, but each event once for all projections."""
        ...


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """A document as it is after a batch; without ``columns`` it is to be deleted.

    ``columns`` are its own columns in Postgres, or its source in OpenSearch (empty: keep it out of the index);
    ``subjects`` the persons and sellers that it depends on, in order.
    """

    key: UUID
    position: int
    document: bytes | None = None
    columns: dict[str, Any] | None = None
    subjects: Sequence[UUID] = ()


class DeadLetter(msgspec.Struct, frozen=True, kw_only=True):
    """An event that a document could not take, or that waits behind such a one.

    ``key`` is the document; with ``whole`` it is the event's stream, because which documents the event touches is
    what could not be told. ``error`` is a traceback, empty for those that only wait; ``subjects`` are those whom it
    may tell something about.
    """

    key: UUID
    stream: UUID
    version: int
    position: int
    tag: str
    whole: bool
    error: str
    subjects: Sequence[UUID] = ()
    id: int | None = None


class Checkpoint(msgspec.Struct, frozen=True, kw_only=True):
    """Where a generation stands: all up to ``position`` is in it, except what is parked."""

    position: int
    served: bool = False
    parked_keys: frozenset[UUID] = frozenset()
    parked_streams: frozenset[UUID] = frozenset()
    skipped: frozenset[tuple[int, UUID]] = frozenset()


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """Some of what a batch comes to, so that no more documents than these need be at hand at once."""

    changes: Sequence[Change] = ()
    letters: Sequence[DeadLetter] = ()
    settled: Sequence[int] = ()


class Batch(msgspec.Struct, frozen=True, kw_only=True):
    """What is saved at once: the checkpoint moves from ``after`` to ``to``, and the parts with it or not at all.

    ``erased`` are the persons whom it makes us forget, ``erased_to`` the position of the last such event.
    """

    after: int
    to: int
    rate: float = 0.0
    erased: Sequence[UUID] = ()
    erased_to: int = 0


class Passed(msgspec.Struct, frozen=True, kw_only=True):
    """A generation has come by events that are nothing to it: only its checkpoint moves from ``after`` to ``to``."""

    name: str
    generation: int
    after: int
    to: int
    rate: float = 0.0


class Sink(Protocol):
    """Where one generation of a read model is kept."""

    async def open(self) -> Checkpoint:
        """Make it if it is not there, and tell how far it is; ``RetiredError`` once it is neither served nor built."""
        ...

    async def load(self, keys: Sequence[UUID]) -> dict[UUID, tuple[bytes, int]]:
        """The fold state of the documents that exist, and the position of the last event in it."""
        ...

    async def concerned(self, subjects: Collection[UUID]) -> dict[UUID, list[UUID]]:
        """The keys of the documents that depend on each of ``subjects``."""
        ...

    async def save(self, batch: Batch, parts: AsyncIterable[Part] | None = None) -> None:
        """All of it or nothing; ``MovedByAnotherError`` when the checkpoint is not at ``after``.

        ``RefusedRowsError`` when the engine cannot hold a document; then nothing was saved.
        """
        ...

    async def letters(self, letter: int) -> list[DeadLetter]:
        """The dead letter and all that are parked with it, in order."""
        ...

    async def skip(self, letter: int) -> None: ...

    async def finish(self) -> None:
        """What is cheaper to do once most of the log is in (indexes)."""
        ...

    async def serve(self, connection: Any) -> None:
        """Point the readers here, in the transaction of ``connection`` as far as the engine can."""
        ...

    async def defects(self) -> str:
        """What is missing in the engine that the generation's state has; empty when whole."""
        ...

    async def difference(self, connection: Any, generation: int) -> str:
        """How the rows differ from those of another generation, as ``connection`` sees both; empty when they agree."""
        ...

    async def drop(self) -> None: ...


class MovedByAnotherError(Exception):
    """The checkpoint is not where we left it: this batch was delivered before, or to somebody else."""


class RetiredError(Exception):
    """The generation is neither served nor built any more."""


class RefusedRowsError(Exception):
    """The engine cannot hold these documents."""

    def __init__(self, refused: dict[UUID, str]) -> None:
        super().__init__(f"{len(refused)} documents refused")
        self.refused = refused


class StaleReadError(DomainError):
    """The read model has not reached the position that the reader asks for, and did not in the time it may wait."""

    code = "READ_MODEL_BEHIND"


class UnknownProjectionError(DomainError):
    """There is no read model of that name, or nothing of the kind asked for."""

    code = "PROJECTION_NOT_FOUND"


class RebuildRunningError(DomainError):
    """What somebody wants built anew is being built anew."""

    code = "REPLAY_RUNNING"


class Once(msgspec.Struct, frozen=True, kw_only=True):
    """Something that its sender may ask for again: it is done once and answered alike each time.

    ``scope`` is whose key it is, ``request_hash`` tells whether the same is asked for, and ``answer`` makes the
    answer from what was done, before it is recorded.
    """

    scope: str
    key: str
    request_hash: bytes
    answer: Callable[[Any], bytes]


class AlreadyAskedError(Exception):
    """Not a fault: this was asked for before, and ``answer`` is what it was answered then."""

    def __init__(self, answer: bytes) -> None:
        super().__init__("this was asked for before")
        self.answer = answer


class KeyReusedError(DomainError):
    """The key was used before, to ask for something else."""

    code = "IDEMPOTENCY_KEY_REUSED"


class Reads(Protocol):
    """The read models' database. ``query`` is SQL with a ``%s`` for each parameter; rows are tuples."""

    async def one(self, query: str, *parameters: Any) -> tuple[Any, ...] | None: ...

    async def all(self, query: str, *parameters: Any) -> list[tuple[Any, ...]]: ...


class ReadModelsUnavailableError(DomainError):
    """The database that holds the read models does not answer."""

    code = "SERVICE_UNAVAILABLE"
