"""One generation of a read model in Postgres: rows, what is parked and the checkpoint move in one transaction."""

from __future__ import annotations

import traceback
from collections.abc import AsyncIterable, Collection, Sequence
from typing import Any, Final
from uuid import UUID

import psycopg
from psycopg import AsyncConnection, AsyncCursor
from psycopg.rows import class_row, tuple_row
from psycopg.types.json import Jsonb
from psycopg_pool import AsyncConnectionPool
from sqlalchemy import JSON, Column, Index, MetaData, Table
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.dialects.postgresql import UUID as PG_UUID
from sqlalchemy.dialects.postgresql.base import PGDialect
from sqlalchemy.schema import CreateIndex, CreateTable
from sqlalchemy.sql import quoted_name

from projections.generations import FORGET_ERRORS
from projections.ports import (
    Batch,
    Change,
    Checkpoint,
    DeadLetter,
    MovedByAnotherError,
    Part,
    RefusedRowsError,
    RetiredError,
)

COPY_FROM: Final = 40
"""From so many rows on, COPY and one upsert beat one upsert per row."""

SAMPLE: Final = 5

SUBJECTS: Final = "subjects"
"""The column that says whom a document depends on."""

# Values that no retry will make acceptable: text with NUL, numbers out of range, a key too long for its index.
_REFUSALS: Final = (psycopg.DataError, psycopg.IntegrityError, psycopg.errors.ProgramLimitExceeded)
# With a parameter style that does not double the percent signs of what we execute without parameters.
_DIALECT: Final = PGDialect(paramstyle="named")  # type: ignore[no-untyped-call]  # SQLAlchemy leaves it untyped

_MOVE: Final = """
UPDATE projection_generations
SET position = %(to)s, rate = %(rate)s, erased_to = greatest(erased_to, %(erased_to)s), updated_at = now()
WHERE name = %(name)s AND generation = %(generation)s AND position = %(after)s AND state IN ('building', 'active')
"""
# Nothing is lost when such a move is: no row changed between the two positions. So it need not wait for the disk.
_MOVE_QUIETLY: Final = f"""
WITH quiet AS (SELECT set_config('synchronous_commit', 'off', true) AS setting)
{_MOVE.replace("WHERE", "FROM quiet WHERE setting = 'off' AND")}
"""
# What made it stop once may have been told in words that quote anybody. It goes on, so they are not needed any more.
_FORGET_FAILURE: Final = """
UPDATE projection_generations SET error = '' WHERE name = %s AND generation = %s AND error <> ''
"""
_PARK: Final = """
INSERT INTO dead_letters
    (name, generation, version, key, whole, stream, stream_version, position, tag, error, subjects)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
ON CONFLICT (name, generation, key, position, whole)
DO UPDATE SET error = EXCLUDED.error, subjects = EXCLUDED.subjects, at = now()
"""
_GROUP: Final = """
FROM dead_letters d JOIN dead_letters chosen
    ON (d.name, d.generation, d.key, d.whole) = (chosen.name, chosen.generation, chosen.key, chosen.whole)
WHERE chosen.id = %s AND d.skipped_at IS NULL
ORDER BY d.position
"""


class PostgresSink:
    def __init__(
        self,
        pool: AsyncConnectionPool[Any],
        name: str,
        generation: int,
        version: int,
        template: Table,
        *,
        subjects: bool,
    ) -> None:
        """``subjects`` says whether documents are looked for by whom they depend on."""
        self.name = name
        self.generation = generation
        self.table = _physical(template, generation, subjects=subjects)
        self._pool = pool
        self._version = version
        self._columns = [column.name for column in self.table.columns if column.computed is None]
        self._own = [each for each in self._columns[3:] if each != SUBJECTS]
        self._has_subjects = subjects
        self._is_indexed = False
        self._json = {column.name for column in self.table.columns if isinstance(column.type, JSON)}
        columns = ", ".join(map(_quoted, self._columns))
        values = ", ".join(["%s"] * len(self._columns))
        updates = ", ".join(f"{_quoted(each)} = EXCLUDED.{_quoted(each)}" for each in self._columns[1:])
        upsert = f"ON CONFLICT (key) DO UPDATE SET {updates}"
        self._stage = (
            f"CREATE TEMP TABLE batch ON COMMIT DROP AS SELECT {columns} FROM {self.table.name} WITH NO DATA"
        )
        self._copy = f"COPY batch ({columns}) FROM STDIN"
        self._merge = f"""
            INSERT INTO {self.table.name} ({columns}) SELECT {columns} FROM batch {upsert};
            DROP TABLE batch
        """
        self._upsert = f"INSERT INTO {self.table.name} ({columns}) VALUES ({values}) {upsert}"
        self._delete = f"DELETE FROM {self.table.name} WHERE key = ANY(%s)"
        self._load = f"SELECT key, document, position FROM {self.table.name} WHERE key = ANY(%s)"
        self._concerned = f"""
            SELECT subject, key FROM {self.table.name} CROSS JOIN unnest({SUBJECTS}) AS subject
            WHERE {SUBJECTS} && %(subjects)s::uuid[] AND subject = ANY(%(subjects)s)
        """

    async def open(self) -> Checkpoint:
        async with self._pool.connection() as connection:
            stood = await self._row(connection)
            if stood is None:
                raise RetiredError(f"{self.name} generation {self.generation}")
            served = stood[1] == "active"
            async with connection.transaction():
                await self._alone(connection)
                await self._create(connection)
                if served:
                    await self.serve(connection)
            letters = await connection.execute(
                """
                SELECT key, whole, position, skipped_at IS NOT NULL FROM dead_letters
                WHERE name = %s AND (generation = %s OR skipped_at IS NOT NULL AND version = %s)
                """,
                (self.name, self.generation, self._version),
            )
            parked = await letters.fetchall()
        if served:
            await self.finish()
        return Checkpoint(
            position=stood[0],
            served=served,
            parked_keys=frozenset(key for key, whole, _, skipped in parked if not skipped and not whole),
            parked_streams=frozenset(key for key, whole, _, skipped in parked if not skipped and whole),
            skipped=frozenset((position, key) for key, _, position, skipped in parked if skipped),
        )

    async def load(self, keys: Sequence[UUID]) -> dict[UUID, tuple[bytes, int]]:
        async with self._pool.connection() as connection:
            found = await connection.execute(self._load.encode(), (list(keys),), binary=True)
            return {key: (document, position) async for key, document, position in found}

    async def concerned(self, subjects: Collection[UUID]) -> dict[UUID, list[UUID]]:
        async with self._pool.connection() as connection:
            if not self._is_indexed:
                # While the table is being filled this index is made when it is first needed, the others at the end.
                async with connection.transaction():
                    await self._alone(connection)
                    await self._make_indexes(connection, [_subjects_index(self.table)])
            found = await connection.execute(
                self._concerned.encode(), {"subjects": list(subjects)}, binary=True
            )
            keys: dict[UUID, list[UUID]] = {}
            async for subject, key in found:
                keys.setdefault(subject, []).append(key)
            return keys

    async def save(self, batch: Batch, parts: AsyncIterable[Part] | None = None) -> None:
        """The parts are asked for once the checkpoint is ours to move, and before it is seen to have moved."""
        quiet = parts is None and not batch.erased
        part = Part()
        async with self._pool.connection() as connection:
            try:
                async with connection.transaction(), connection.cursor() as cursor:
                    await self._move(cursor, batch, _MOVE_QUIETLY if quiet else _MOVE)
                    if parts is not None:
                        async for part in parts:
                            await self.write(cursor, part.changes)
                            await self._park(cursor, part.letters)
                            await self._settle(cursor, part.settled)
                    if batch.erased:
                        await cursor.execute(
                            FORGET_ERRORS,
                            {"name": self.name, "generation": None, "persons": list(batch.erased)},
                        )
                        await cursor.execute(_FORGET_FAILURE, (self.name, self.generation))
            except _REFUSALS as refusal:
                refused = await self._refused(connection, part.changes)
                if not refused:
                    raise
                raise RefusedRowsError(refused) from refusal

    async def write(self, cursor: AsyncCursor[Any], changes: Sequence[Change]) -> None:
        gone = [each.key for each in changes if each.columns is None]
        rows = [self._values(each) for each in changes if each.columns is not None]
        if gone:
            await cursor.execute(self._delete.encode(), (gone,))
        if len(rows) < COPY_FROM:
            await cursor.executemany(self._upsert.encode(), rows)
            return
        await cursor.execute(self._stage.encode())
        async with cursor.copy(self._copy.encode()) as copy:
            for row in rows:
                await copy.write_row(row)
        await cursor.execute(self._merge.encode())

    async def letters(self, letter: int) -> list[DeadLetter]:
        async with self._pool.connection() as connection:
            cursor = connection.cursor(row_factory=class_row(DeadLetter))
            await cursor.execute(
                "SELECT d.id, d.key, d.stream, d.stream_version AS version, d.position, d.tag, d.whole, d.error"
                f"{_GROUP}",
                (letter,),
            )
            return list(await cursor.fetchall())

    async def skip(self, letter: int) -> None:
        async with self._pool.connection() as connection:
            await connection.execute(
                f"UPDATE dead_letters SET skipped_at = now() WHERE id = (SELECT d.id {_GROUP} LIMIT 1)",
                (letter,),
            )

    async def finish(self) -> None:
        """Indexes of a table that is full already are built in one go, several times as fast."""
        async with self._pool.connection() as connection, connection.transaction():
            await self._alone(connection)
            await self._make_indexes(connection, self.table.indexes)
        self._is_indexed = True

    async def serve(self, connection: AsyncConnection[Any]) -> None:
        """The view has the read model's name. It is replaced where the columns are the same, else made anew."""
        select = f"SELECT * FROM {self.table.name}"
        described = await (
            await connection.execute(
                """
                SELECT c.relkind = 'v', array_agg((a.attname, a.atttypid, a.atttypmod)::text ORDER BY a.attnum),
                       pg_get_viewdef(c.oid) LIKE %(from)s
                FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
                WHERE c.oid IN (to_regclass(%(view)s), to_regclass(%(table)s)) GROUP BY c.oid, c.relkind
                """,
                {"view": _quoted(self.name), "table": self.table.name, "from": f"%FROM {self.table.name};"},
            )
        ).fetchall()
        views = [(columns, is_here) for is_view, columns, is_here in described if is_view]
        tables = [columns for is_view, columns, _ in described if not is_view]
        if views and views[0][1]:
            return
        if views and views[0][0] != tables[0]:
            await connection.execute(f"DROP VIEW {_quoted(self.name)}".encode())
        await connection.execute(f"CREATE OR REPLACE VIEW {_quoted(self.name)} AS {select}".encode())

    async def defects(self) -> str:
        return ""

    async def difference(self, connection: AsyncConnection[Any], generation: int) -> str:
        """Counts and checksums of all columns, without what is parked in either; the first keys where they differ."""
        ours, theirs = self.table.name, f"{self.table.name.rsplit('_g', 1)[0]}_g{generation}"
        row = f"ROW({', '.join(map(_quoted, self._columns))})::text"
        parked = f"""
            key NOT IN (SELECT key FROM dead_letters WHERE name = '{self.name}'
                        AND generation IN ({self.generation}, {generation}))
        """
        sums = [
            await (
                await connection.execute(
                    f"""
                    SELECT count(*), coalesce(sum(hashtextextended({row}, 0)::numeric), 0) FROM {table} WHERE {parked}
                    """.encode()
                )
            ).fetchone()
            for table in (ours, theirs)
        ]
        (our_sums, their_sums) = sums
        assert our_sums is not None, "an aggregate has one row"
        assert their_sums is not None, "as above"
        if our_sums == their_sums:
            return ""
        different = await connection.execute(
            f"""
            SELECT coalesce(o.key, t.key) FROM (SELECT key, {row} AS content FROM {ours} WHERE {parked}) o
            FULL JOIN (SELECT key, {row} AS content FROM {theirs} WHERE {parked}) t ON o.key = t.key
            WHERE o.content IS DISTINCT FROM t.content LIMIT {SAMPLE}
            """.encode()
        )
        keys = ", ".join(str(key) for (key,) in await different.fetchall())
        return f"{our_sums[0]} rows against {their_sums[0]} in generation {generation}; different among others: {keys}"

    async def drop(self) -> None:
        async with self._pool.connection() as connection:
            await connection.execute(f"DROP TABLE IF EXISTS {self.table.name}".encode())

    async def _row(self, connection: AsyncConnection[Any]) -> tuple[int, str] | None:
        cursor = connection.cursor(row_factory=tuple_row)
        await cursor.execute(
            """
            SELECT position, state FROM projection_generations
            WHERE name = %s AND generation = %s AND state IN ('building', 'active')
            """,
            (self.name, self.generation),
        )
        return await cursor.fetchone()

    async def _alone(self, connection: AsyncConnection[Any]) -> None:
        """Postgres' IF NOT EXISTS does not bear two who make the same thing at once."""
        await connection.execute("SELECT pg_advisory_xact_lock(hashtext(%s))", (self.table.name,))

    async def _make_indexes(self, connection: AsyncConnection[Any], indexes: Collection[Index]) -> None:
        for index in indexes:
            await connection.execute(
                str(CreateIndex(index, if_not_exists=True).compile(dialect=_DIALECT)).encode()
            )

    async def _create(self, connection: AsyncConnection[Any]) -> None:
        await connection.execute(
            str(CreateTable(self.table, if_not_exists=True).compile(dialect=_DIALECT)).encode()
        )

    async def _move(self, cursor: AsyncCursor[Any], batch: Batch, statement: str) -> None:
        await cursor.execute(
            statement.encode(),
            {
                "name": self.name,
                "generation": self.generation,
                "after": batch.after,
                "to": batch.to,
                "rate": batch.rate,
                "erased_to": batch.erased_to,
            },
        )
        if cursor.rowcount != 1:
            raise MovedByAnotherError(f"{self.name} is not at {batch.after}")

    async def _park(self, cursor: AsyncCursor[Any], letters: Sequence[DeadLetter]) -> None:
        if not letters:
            return
        await cursor.executemany(
            _PARK,
            [
                (
                    self.name,
                    self.generation,
                    self._version,
                    each.key,
                    each.whole,
                    each.stream,
                    each.version,
                    each.position,
                    each.tag,
                    each.error.replace("\x00", "\\x00"),
                    list(each.subjects),
                )
                for each in letters
            ],
        )

    async def _settle(self, cursor: AsyncCursor[Any], settled: Sequence[int]) -> None:
        if settled:
            await cursor.execute("DELETE FROM dead_letters WHERE id = ANY(%s)", (list(settled),))

    async def _refused(self, connection: AsyncConnection[Any], changes: Sequence[Change]) -> dict[UUID, str]:
        """Which rows it was: each is tried alone, and nothing of it kept."""
        refused: dict[UUID, str] = {}
        async with connection.transaction(force_rollback=True):
            for each in changes:
                try:
                    async with connection.transaction(), connection.cursor() as cursor:
                        await self.write(cursor, [each])
                except _REFUSALS:
                    refused[each.key] = traceback.format_exc()
        return refused

    def _values(self, change: Change) -> list[Any]:
        columns = change.columns or {}
        own = [Jsonb(columns[each]) if each in self._json else columns[each] for each in self._own]
        subjects = [list(change.subjects)] if self._has_subjects else []
        return [change.key, change.position, change.document, *own, *subjects]


def _physical(template: Table, generation: int, *, subjects: bool) -> Table:
    """The table of one generation, with index names of its own."""
    table = template.to_metadata(MetaData(), name=f"{template.name}_g{generation}")
    if subjects:
        table.append_column(Column(SUBJECTS, ARRAY(PG_UUID(as_uuid=True)), nullable=False))
        Index(f"idx_{template.name}_{SUBJECTS}", table.c[SUBJECTS], postgresql_using="gin")
    for index in table.indexes:
        index.name = quoted_name(f"{table.name}_{index.name}"[-63:], quote=None)
    return table


def _subjects_index(table: Table) -> Index:
    return next(index for index in table.indexes if SUBJECTS in index.columns)


def _quoted(name: str) -> str:
    return f'"{name}"'
