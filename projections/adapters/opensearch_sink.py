"""One generation of a read model in OpenSearch.

OpenSearch shares no transaction with the checkpoint. So the fold state stays in Postgres, where it moves with the
checkpoint, and documents are indexed before that is committed, with the position as external version: what is
delivered again after a crash folds to the same documents, and an older one is refused. A lost index is filled again
from the state.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, Collection, Sequence
from contextlib import aclosing
from typing import Any, Final
from uuid import UUID

import msgspec
from opensearchpy import AsyncOpenSearch
from opensearchpy.exceptions import RequestError, TransportError
from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool
from sqlalchemy import Boolean, Column

from projections.adapters.postgres_sink import PostgresSink
from projections.ports import Batch, Change, Checkpoint, DeadLetter, Part, RefusedRowsError
from projections.projection import Doc, Projection, SearchIndex, read_model

REFILL: Final = 500
_CONFLICT: Final = 409
_MISSING: Final = 404
_OVERLOADED: Final = 429


class OpenSearchSink:
    def __init__(
        self,
        pool: AsyncConnectionPool[Any],
        client: AsyncOpenSearch,
        projection: Projection[Doc],
        generation: int,
    ) -> None:
        assert isinstance(projection.into, SearchIndex), "this is for OpenSearch"
        self._into: SearchIndex[Any] = projection.into
        self._document = projection.document
        self._name = projection.name
        self._pool = pool
        self._client = client
        self._building = True
        self._served = False
        self.index = f"{projection.name}_g{generation}"
        # Writes name an alias that only we make, so that a lost index is missed rather than made by guesswork.
        self._write_alias = f"{self.index}_write"
        state = read_model(f"{projection.name}_state", Column("indexed", Boolean, nullable=False))
        self._state = PostgresSink(
            pool,
            projection.name,
            generation,
            projection.version,
            state,
            subjects=projection.subjects is not None,
        )

    async def open(self) -> Checkpoint:
        checkpoint = await self._state.open()
        if not await self._client.indices.exists(index=self.index):
            await self._fill()
        self._building = not checkpoint.served
        self._served = checkpoint.served
        if checkpoint.served:
            await self._point_readers_here()
        return checkpoint

    async def load(self, keys: Sequence[UUID]) -> dict[UUID, tuple[bytes, int]]:
        return await self._state.load(keys)

    async def concerned(self, subjects: Collection[UUID]) -> dict[UUID, list[UUID]]:
        return await self._state.concerned(subjects)

    async def save(self, batch: Batch, parts: AsyncIterable[Part] | None = None) -> None:
        if parts is None:
            await self._state.save(batch)
            return
        # The checkpoint is locked meanwhile: a switch must not come between what readers see and what it says.
        async with aclosing(self._indexed(parts)) as states:
            await self._state.save(batch, states)

    async def _indexed(self, parts: AsyncIterable[Part]) -> AsyncGenerator[Part, None]:
        """Each part as the state keeps it, once it is in the index."""
        async for part in parts:
            await self._index(part.changes)
            state = [
                msgspec.structs.replace(
                    each, columns=None if each.columns is None else {"indexed": bool(each.columns)}
                )
                for each in part.changes
            ]
            yield msgspec.structs.replace(part, changes=state)

    async def letters(self, letter: int) -> list[DeadLetter]:
        return await self._state.letters(letter)

    async def skip(self, letter: int) -> None:
        await self._state.skip(letter)

    async def finish(self) -> None:
        await self._state.finish()
        await self._client.indices.refresh(index=self.index)
        self._building = False

    async def serve(self, connection: AsyncConnection[Any]) -> None:
        """One alias call. Should we die before the transaction ends, the generation is still one that is being built,
        and is switched to again.
        """
        await self._state.serve(connection)
        # It may have been opened anew since it was finished.
        await self._client.indices.refresh(index=self.index)
        self._building = False
        await self._point_readers_here()
        self._served = True

    async def _point_readers_here(self) -> None:
        held = await self._client.indices.get_alias(index=f"{self._name}_g*")
        actions: list[dict[str, Any]] = [
            {"remove": {"index": index, "alias": self._name}}
            for index, found in held.items()
            if self._name in found["aliases"] and index != self.index
        ]
        if not actions and self._name in held[self.index]["aliases"]:
            return
        await self._client.indices.update_aliases(
            body={"actions": [*actions, {"add": {"index": self.index, "alias": self._name}}]}
        )

    async def defects(self) -> str:
        """Whether the index holds as many documents as the state says."""
        await self._client.indices.refresh(index=self.index)
        counted: int = (await self._client.count(index=self.index))["count"]
        async with self._pool.connection() as connection:
            found = await connection.execute(
                f"SELECT count(*) FROM {self._state.table.name} WHERE indexed".encode()
            )
            row = await found.fetchone()
        assert row is not None, "an aggregate has one row"
        return "" if row[0] == counted else f"{counted} documents in the index, {row[0]} in its state"

    async def difference(self, connection: AsyncConnection[Any], generation: int) -> str:
        return await self._state.difference(connection, generation)

    async def drop(self) -> None:
        await self._client.indices.delete(index=self.index, ignore_unavailable=True)
        await self._state.drop()

    async def _index(self, changes: Sequence[Change]) -> None:
        if not changes:
            return
        actions: list[dict[str, Any]] = []
        for each in changes:
            action = {"_id": str(each.key), "version": each.position, "version_type": "external_gte"}
            if each.columns:
                actions += [{"index": action}, each.columns]
            else:
                actions.append({"delete": action})
        # A checkpoint that has moved promises that readers see what is before it, hence the refresh.
        answer = await self._bulk(actions, refresh=not self._building)
        refused: dict[UUID, str] = {}
        for item in answer["items"]:
            ((_, result),) = item.items()
            status = result["status"]
            if status == _MISSING and result.get("error", {}).get("type") == "index_not_found_exception":
                await self._fill()
                await self._index(changes)
                if self._served:
                    await self._point_readers_here()  # their alias was lost with the index
                return
            if status == _OVERLOADED or status >= 500:
                raise TransportError(status, str(result.get("error")), result)
            if status >= 400 and status not in (_CONFLICT, _MISSING):
                refused[UUID(result["_id"])] = str(result["error"])
        if refused:
            raise RefusedRowsError(refused)

    async def _bulk(self, actions: list[dict[str, Any]], *, refresh: bool) -> dict[str, Any]:
        answer: dict[str, Any] = await self._client.bulk(
            body=b"".join(msgspec.json.encode(each) + b"\n" for each in actions),
            index=self._write_alias,
            params={"require_alias": "true", "refresh": "true" if refresh else "false"},
        )
        return answer

    async def _fill(self) -> None:
        """Make the index, and put in it what the state says was in it."""
        try:
            await self._client.indices.create(
                index=self.index,
                body={
                    "settings": {"number_of_shards": 1, "number_of_replicas": 0, **self._into.settings},
                    "mappings": dict(self._into.mappings),
                    "aliases": {self._write_alias: {}},
                },
            )
        except RequestError as refusal:
            if refusal.error != "resource_already_exists_exception":
                raise
        last: UUID | None = None
        while True:
            async with self._pool.connection() as connection:
                found = await connection.execute(
                    f"""
                    SELECT key, position, document FROM {self._state.table.name}
                    WHERE indexed AND (%(last)s::uuid IS NULL OR key > %(last)s) ORDER BY key LIMIT {REFILL}
                    """.encode(),
                    {"last": last},
                )
                rows = await found.fetchall()
            if not rows:
                return
            await self._index(
                [
                    Change(
                        key=key,
                        position=position,
                        columns=dict(
                            self._into.source(msgspec.json.decode(document, type=self._document)) or {}
                        ),
                    )
                    for key, position, document in rows
                ]
            )
            last = rows[-1][0]
