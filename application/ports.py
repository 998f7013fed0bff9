"""What handlers need from outside, in the handlers' words."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Generic, Protocol, TypeVar
from uuid import UUID

import msgspec

from domain.kernel import Decider, Event

S = TypeVar("S")
E = TypeVar("E", bound=Event)
T = TypeVar("T")


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What the first try of a command was answered with: kept, and given again to every retry of it."""

    status: int
    body: bytes


class Once(msgspec.Struct, frozen=True, kw_only=True):
    """A command that its sender may repeat: it is carried out once and answered alike each time.

    ``scope`` is whose key it is (an account, the payment provider), ``request_hash`` a keyed hash of the request,
    ``answer`` makes the answer from what the decision came to, before it is recorded.
    """

    scope: str
    key: str
    request_hash: bytes
    answer: Callable[[Any], Answer]


class Metadata(msgspec.Struct, frozen=True, kw_only=True):
    """Who asks, on whose behalf, in which request, because of what, and under which conditions."""

    actor: str
    request_id: str = ""
    impersonator: str | None = None
    cause: int | None = None
    expected_version: int | None = None
    once: Once | None = None


class AlreadyAnsweredError(Exception):
    """Not a fault: the command was carried out before, and ``answer`` is what it was answered then."""

    def __init__(self, answer: Answer, position: int) -> None:
        super().__init__("this command was carried out before")
        self.answer = answer
        self.position = position


class Changed(msgspec.Struct, Generic[S], frozen=True, kw_only=True):
    """What a command came to: the new state, the stream's version, and the log position that includes it.

    ``position`` is 0 while the answer to an idempotent command is being made, and where nothing was recorded.
    """

    state: S
    version: int
    position: int = 0


class StreamRef(msgspec.Struct, Generic[S, E], frozen=True):
    """A stream and how to fold it."""

    decider: Decider[S, E]
    id: UUID


class Loaded(msgspec.Struct, Generic[S], frozen=True, kw_only=True):
    """An aggregate as the log has it now; ``version`` 0 and no state where nothing has happened yet."""

    state: S | None
    version: int

    @property
    def present(self) -> S:
        """The state of something that the caller has seen to exist: nothing in the log ever goes away."""
        assert self.state is not None
        return self.state


class Proposal(msgspec.Struct, Generic[T], frozen=True, kw_only=True):
    """What a decision over several streams comes to: all of ``events`` or nothing, and ``outcome`` for the caller."""

    outcome: T
    events: Sequence[tuple[StreamRef[Any, Any], Sequence[Event]]]


class EventStore(Protocol):
    """The write side's door to the log."""

    async def load(self, decider: Decider[S, E], stream: UUID) -> Loaded[S]: ...

    async def load_many(self, refs: Sequence[StreamRef[Any, Any]]) -> list[Loaded[Any]]:
        """Several aggregates as the log has them now, with one query, in the order asked."""
        ...

    async def glance(self, refs: Sequence[StreamRef[Any, Any]], *, within: float = 1.0) -> list[Loaded[Any]]:
        """The same as they were at most ``within`` seconds ago: mostly without asking the log."""
        ...

    async def raise_if_answered(self, once: Once) -> None:
        """``AlreadyAnsweredError`` if the command was carried out before."""
        ...

    async def change(
        self,
        decider: Decider[S, E],
        stream: UUID,
        decide: Callable[[S | None], Sequence[E]],
        metadata: Metadata,
    ) -> Changed[S]:
        """Load, decide, append; decide again when somebody else got there first."""
        ...

    async def change_together(
        self,
        refs: Sequence[StreamRef[Any, Any]],
        decide: Callable[[Sequence[Loaded[Any]]], Proposal[T]],
        metadata: Metadata,
    ) -> Changed[T]:
        """The same over several streams at once: one append, all or nothing.

        ``decide`` may also propose events for streams that are not in ``refs``; those must be new.
        ``Changed.version`` is that of the first stream in ``refs``.
        """
        ...


class StoredEvent(msgspec.Struct, frozen=True, array_like=True):
    """An event as its bytes stand in the log and travel on the stream; personal fields are ciphertext."""

    stream: UUID
    version: int
    tag: str
    state: bytes
    position: int


class Keys(Protocol):
    """Keys of persons, and names that tell nothing: what makes erasure possible."""

    def claim_id(self, kind: str, value: str) -> UUID:
        """The claim stream of a unique value, by a keyed hash, so that the log does not hold the value itself."""
        ...

    def request_hash(self, request: bytes) -> bytes:
        """Tells whether a repeated request is the same, without telling what it was."""
        ...


class Numbers(Protocol):
    """Numbers that people read: given once, never twice, ascending, and without holes as far as can be."""

    async def next(self, name: str) -> int: ...


class Clock(Protocol):
    def now(self) -> datetime:
        """The time, in UTC and aware of it."""
        ...


class Passwords(Protocol):
    """Slow on purpose, so both run off the event loop."""

    async def hash(self, password: str) -> str: ...

    async def matches(self, password: str, password_hash: str | None) -> bool:
        """Whether it matches; takes the same time when there is no hash to match, so that nobody can tell."""
        ...


class PaymentIntent(msgspec.Struct, frozen=True, kw_only=True):
    """A payment as the provider has it; ``amount`` in minor units."""

    id: str
    client_secret: str
    amount: int
    currency: str
    status: str
    created_at: datetime
    payment_method_id: str = ""
    brand: str = ""
    last4: str = ""
    metadata: Mapping[str, str] = {}


class PaymentProvider(Protocol):
    async def create_intent(
        self, *, amount: int, currency: str, metadata: Mapping[str, str], idempotency_key: str
    ) -> PaymentIntent: ...

    async def confirm_intent(
        self, intent_id: str, payment_method: str, *, idempotency_key: str
    ) -> PaymentIntent: ...

    async def intent(self, intent_id: str) -> PaymentIntent: ...


class Doorbell(Protocol):
    """Wakes the relay after an append. Best effort: the relay also looks by itself."""

    def ring(self, position: int) -> None: ...
