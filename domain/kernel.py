"""The words that every part of the business shares: events, the envelope around them, deciders, refusals."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from functools import lru_cache
from typing import Annotated, Any, ClassVar, Generic, NewType, TypeVar, get_args, get_origin, get_type_hints
from uuid import NAMESPACE_OID, UUID, uuid5

import msgspec

AccountId = NewType("AccountId", UUID)
SellerId = NewType("SellerId", UUID)
CategoryId = NewType("CategoryId", UUID)
CollectionId = NewType("CollectionId", UUID)
ListingId = NewType("ListingId", UUID)
ReviewId = NewType("ReviewId", UUID)
CartId = NewType("CartId", UUID)
OrderId = NewType("OrderId", UUID)
PaymentId = NewType("PaymentId", UUID)
PromotionId = NewType("PromotionId", UUID)
RedemptionsId = NewType("RedemptionsId", UUID)
MediaId = NewType("MediaId", UUID)

_STREAMS = uuid5(NAMESPACE_OID, "tradelog.stream")


@lru_cache(maxsize=16_384)
def stream_id(kind: str, reference: int | str) -> UUID:
    """The stream of the thing that people know as ``reference``.

    A stream's id is computed from the number, order number or provider id that is public anyway, so that a
    command that names one needs no look-up, neither in the log nor in a read model that may lag behind it.
    """
    return uuid5(_STREAMS, f"{kind}:{reference}")


class Personal(msgspec.Struct, frozen=True):
    """Marks an event's field that tells something about a person: ``Annotated[str, Personal()]``.

    Such a field is stored encrypted with that person's key. Once the key is destroyed the field reads
    ``erased``, so that old events load for ever.
    """

    erased: Any = ""


PersonalText = Annotated[str, Personal()]


class Event(msgspec.Struct, frozen=True, kw_only=True, tag_field="type"):
    """A fact, in the past tense. Its tag is its name in the store and outlives every refactoring."""

    subject: ClassVar[str | None] = None
    """The field that holds the id of the person whom the personal fields tell about."""

    erases: ClassVar[bool] = False
    """Whether the person is erased by it whose stream it is in."""


def personal_fields(event_type: type[Event]) -> dict[str, Personal]:
    """Name and marker of each field of ``event_type`` that is stored encrypted."""
    found: dict[str, Personal] = {}
    for name, hint in get_type_hints(event_type, include_extras=True).items():
        if get_origin(hint) is Annotated:
            for extra in get_args(hint)[1:]:
                if isinstance(extra, Personal):
                    found[name] = extra
    return found


def tag_of(event_type: type[Event]) -> str:
    """The name under which events of this type are stored."""
    tag = event_type.__struct_config__.tag
    assert isinstance(tag, str), f"{event_type.__name__} needs a tag"
    return tag


E_co = TypeVar("E_co", bound=Event, covariant=True)
S = TypeVar("S")
E = TypeVar("E", bound=Event)


class Recorded(msgspec.Struct, Generic[E_co], frozen=True, kw_only=True):
    """An event as the log holds it: what happened, and when, where, by whom and why.

    ``version`` counts from 1 within the stream; ``position`` counts from 1 in the whole log, without gaps and
    in commit order. ``cause`` is the position of the event that this one reacts to.
    """

    event: E_co
    id: UUID
    stream: UUID
    aggregate: str
    version: int
    position: int
    timestamp: datetime
    actor: str
    request_id: str = ""
    impersonator: str | None = None
    cause: int | None = None
    schema: int = 1


class Decider(Generic[S, E]):
    """How one kind of aggregate is folded from its events; ``name`` is its word in subjects and in the audit."""

    def __init__(
        self, name: str, evolve: Callable[[S | None, E], S], *, snapshot: type[S] | None = None
    ) -> None:
        self.name = name
        self.evolve = evolve
        self.snapshot = snapshot

    def fold(self, state: S | None, events: Iterable[E]) -> S | None:
        for event in events:
            state = self.evolve(state, event)
        return state

    def after(self, state: S | None, events: Iterable[E]) -> S:
        """As ``fold``, where there is something before or among the events."""
        after = self.fold(state, events)
        assert after is not None, f"{self.name}: nothing has happened to it"
        return after

    def __repr__(self) -> str:
        return f"Decider({self.name!r})"


class DomainError(Exception):
    """The business refuses. ``code`` is public; ``details`` name the fields in the way, if any."""

    code: ClassVar[str]

    def __init__(self, message: str, *, details: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.details = details or {}


class InvalidInputError(DomainError):
    """The input breaks a rule of its own fields; ``details`` maps each field to its faults."""

    code = "VALIDATION_ERROR"

    def __init__(self, details: dict[str, list[str]], message: str = "Validation failed") -> None:
        super().__init__(message, details=details)


class NotFoundError(DomainError):
    """What the caller named is not there."""

    code = "NOT_FOUND"


class ForbiddenError(DomainError):
    """The caller is known, and may not."""

    code = "FORBIDDEN"


class AlreadyExistsError(DomainError):
    """Somebody has it already: a duplicate."""

    code = "ALREADY_EXISTS"


class StillReferencedError(DomainError):
    """It cannot go while something else is in it, or names it."""

    code = "STILL_REFERENCED"


class RuleViolatedError(DomainError):
    """A rule of the business stands in the way."""

    code = "RULE_VIOLATED"
