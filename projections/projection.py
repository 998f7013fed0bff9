"""What a read model is: which events it follows, how they become documents, and how those are laid out to be read."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Generic, TypeVar
from uuid import UUID

import msgspec
from sqlalchemy import BigInteger, Column, LargeBinary, MetaData, Table, Uuid
from sqlalchemy.schema import SchemaItem

from domain.accounts.events import AccountErased
from domain.kernel import Event, Recorded, tag_of

Doc = TypeVar("Doc", bound=msgspec.Struct)


@dataclass(frozen=True, kw_only=True)
class Rows(Generic[Doc]):
    """A read model in Postgres: ``table`` (see ``read_model``) is what queries ask, ``row`` fills its own columns."""

    table: Table
    row: Callable[[Doc], Mapping[str, Any]]


@dataclass(frozen=True, kw_only=True)
class SearchIndex(Generic[Doc]):
    """A read model in OpenSearch. ``source`` is what is indexed; ``None`` keeps the document out of the index."""

    mappings: Mapping[str, Any]
    source: Callable[[Doc], Mapping[str, Any] | None]
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Projection(Generic[Doc]):
    """One read model, as pure functions.

    ``keys`` says which documents an event touches, ``fold`` what it makes of one of them (``None``: it is gone).
    Whoever changes what these functions make of the same events raises ``version``, and the read model is built anew
    beside the living one. ``fold`` returns a new document rather than change the one that it is given.

    Where each event makes a document of its own (``append_only``) nothing is loaded and no fold state is kept.

    Some events touch documents that nobody could name from the event alone: a person is erased who wrote some of the
    reviews, a seller is suspended. ``subjects`` tells which persons and sellers a document depends on, ``concerning``
    whom such an event is about, if anybody; it is folded into every document that depends on them then, besides
    ``keys``.
    What comes to be later does not hear of it.

    Of a read model whose answers others hold at hand (``api/ready.py``), ``effects`` says in words of its own what it
    means to answers which do not show a document that it has changed: they may have to show it now, or to show it
    elsewhere. Only then is told which documents each batch has changed.
    """

    name: str
    version: int
    events: Sequence[type[Event]]
    document: type[Doc]
    keys: Callable[[Recorded[Any]], Sequence[UUID]]
    fold: Callable[[Doc | None, Recorded[Any], UUID], Doc | None]
    into: Rows[Doc] | SearchIndex[Doc]
    append_only: bool = False
    subjects: Callable[[Doc], Collection[UUID]] | None = None
    concerning: Mapping[type[Event], Callable[[Any], UUID | None]] = field(default_factory=dict)
    effects: Callable[[Doc | None, Doc | None], Collection[str]] | None = None

    def __post_init__(self) -> None:
        assert self.subjects is not None or not self.concerning, "who is concerned is found by its subjects"
        assert self.subjects is None or not self.append_only, "what is only appended to never changes"

    @cached_property
    def tags(self) -> frozenset[str]:
        return frozenset(tag_of(event) for event in (*self.events, *self.concerning))

    @cached_property
    def forgets(self) -> bool:
        """Whether it hears of erased persons: then generations that are superseded may hold what it has forgotten."""
        return AccountErased in (*self.events, *self.concerning)

    @cached_property
    def _keyed(self) -> frozenset[type[Event]]:
        return frozenset(self.events)

    def touched(self, recorded: Recorded[Any]) -> Sequence[UUID]:
        """The documents that the event itself names."""
        if self.concerning and type(recorded.event) not in self._keyed:
            return ()
        return self.keys(recorded)

    def subject_of(self, recorded: Recorded[Any]) -> UUID | None:
        """Whom the event concerns, wherever they are mentioned."""
        concerned = self.concerning.get(type(recorded.event))
        return None if concerned is None else concerned(recorded.event)

    def subjects_of(self, document: Doc | None) -> Collection[UUID]:
        return () if document is None or self.subjects is None else self.subjects(document)

    def takes(self, document: Doc | None, recorded: Recorded[Any], key: UUID) -> bool:
        """Whether an event that concerns somebody is for this document, as it is by then."""
        return self.subject_of(recorded) in self.subjects_of(document) or key in self.touched(recorded)

    @property
    def engine(self) -> str:
        return "postgres" if isinstance(self.into, Rows) else "opensearch"


def read_model(name: str, *columns: SchemaItem) -> Table:
    """The table of a read model: ``columns`` (and indexes) of its own, after those that every one of them has.

    ``key`` names the document, ``position`` is that of the last event in it, ``document`` is the state that the
    next event is folded into (JSON). Readers use the name; behind it is a view of the generation that is served.
    """
    return Table(
        name,
        MetaData(),
        Column("key", Uuid, primary_key=True),
        Column("position", BigInteger, nullable=False),
        Column("document", LargeBinary),
        *columns,
    )


def erased_person(recorded: Recorded[Any]) -> UUID | None:
    """Who is to be forgotten because of the event."""
    return recorded.event.account_id if isinstance(recorded.event, AccountErased) else None


def by_stream(recorded: Recorded[Any]) -> Sequence[UUID]:
    """The keys of a read model that has a document for each stream."""
    return (recorded.stream,)
