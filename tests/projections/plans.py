"""A read model that is full, and how Postgres goes about the questions that it is asked.

A question asks ``Asked`` as it would ask the database, and is answered; afterwards ``Asked`` tells how.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import msgspec
import psycopg
from psycopg import AsyncConnection

from projections.engine import prepare
from projections.ports import Batch, Change, Part
from projections.projection import Doc, Projection, Rows
from tests.projections.engine.shelf import open_pool, until
from workers.projector import sinks


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """A statement and the nodes of its plan, the outermost first."""

    statement: str
    nodes: list[dict[str, Any]]

    def scanned_whole(self) -> set[str]:
        """The tables that are read from one end to the other."""
        return {node["Relation Name"] for node in self.nodes if node["Node Type"] == "Seq Scan"}

    def indexes(self) -> set[str]:
        return {node["Index Name"] for node in self.nodes if "Index Name" in node}


async def explained(connection: AsyncConnection[Any], query: str, parameters: Any) -> Plan:
    explaining = await connection.execute(f"EXPLAIN (FORMAT JSON) {query}".encode(), parameters)
    row = await explaining.fetchone()
    assert row is not None
    return Plan(statement=query, nodes=list(_nodes(row[0][0]["Plan"])))


class Asked:
    """The read models' database to whoever asks, with the plan of each question."""

    def __init__(self, connection: AsyncConnection[Any]) -> None:
        self._connection = connection
        self.plans: list[Plan] = []

    async def one(self, query: str, *parameters: Any) -> tuple[Any, ...] | None:
        rows = await self.all(query, *parameters)
        return rows[0] if rows else None

    async def all(self, query: str, *parameters: Any) -> list[tuple[Any, ...]]:
        self.plans.append(await explained(self._connection, query, parameters))
        cursor = self._connection.cursor(binary=True)
        await cursor.execute(query.encode(), parameters)
        return await cursor.fetchall()

    def never_scans(self, *read_models: str) -> None:
        """The planner is free to choose: it is the size of the tables that makes it take an index."""
        for plan in self.plans:
            whole = {table.rsplit("_g", 1)[0] for table in plan.scanned_whole()}
            assert not whole & set(read_models), f"{plan.statement}\n{_told(plan)}"


def _told(plan: Plan) -> str:
    told = [{key: node[key] for key in _TOLD if key in node} for node in plan.nodes]
    return msgspec.json.format(msgspec.json.encode(told), indent=1).decode()


_TOLD = ("Node Type", "Relation Name", "Index Name", "Index Cond", "Filter", "Plan Rows", "Total Cost")


@asynccontextmanager
async def filled(
    url: str, *contents: tuple[Projection[Any], Iterable[tuple[UUID, Any]]]
) -> AsyncIterator[AsyncConnection[Any]]:
    """The read models with these documents in them, as they are after Postgres has looked after itself."""
    async with open_pool(url) as pool:
        sink_for = sinks(pool, None)
        await prepare(pool, [projection for projection, _ in contents], sink_for)
        for projection, documents in contents:
            sink = sink_for(projection, 1)
            part = Part(changes=[change_of(projection, key, document) for key, document in documents])
            await sink.save(Batch(after=0, to=1), _parts(part))
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:

        async def is_tidy() -> bool:
            """Nobody, not even who has filled them and is leaving, may still see them as they were before."""
            await connection.execute("VACUUM ANALYZE")
            seen = await connection.execute(
                "SELECT count(*) FROM pg_class WHERE relname ~ '_g1$' AND relkind = 'r' AND relallvisible < relpages"
            )
            return await seen.fetchone() == (0,)

        await until(is_tidy)
        yield connection


def change_of(projection: Projection[Doc], key: UUID, document: Doc) -> Change:
    assert isinstance(projection.into, Rows)
    return Change(
        key=key,
        position=1,
        document=msgspec.json.encode(document),
        columns=dict(projection.into.row(document)),
        subjects=sorted(set(projection.subjects_of(document))),
    )


async def _parts(part: Part) -> AsyncIterator[Part]:
    yield part


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield {key: value for key, value in plan.items() if key != "Plans"}
    for below in plan.get("Plans", ()):
        yield from _nodes(below)
