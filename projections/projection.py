"""What a read model is: which events it follows, how they become documents, and how those are laid out to be read."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Generic, TypeVar
from uuid import UUID

import msgspec
from sqlalchemy import BigInteger, Column, LargeBinary, MetaData, Table, Uuid
from sqlalchemy.schema import SchemaItem

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
    """

    name: str
    version: int
    events: Sequence[type[Event]]
    document: type[Doc]
    keys: Callable[[Recorded[Any]], Sequence[UUID]]
    fold: Callable[[Doc | None, Recorded[Any], UUID], Doc | None]
    into: Rows[Doc] | SearchIndex[Doc]
    append_only: bool = False

    @cached_property
    def tags(self) -> frozenset[str]:
        return frozenset(tag_of(event) for event in self.events)

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


def by_stream(recorded: Recorded[Any]) -> Sequence[UUID]:
    """The keys of a read model that has a document for each stream."""
    return (recorded.stream,)
