"""What operators do to read models by hand: look, rebuild with a progress bar, pause, resume, roll back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import nats
import nats.errors
from psycopg_pool import AsyncConnectionPool
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from application.adapters.database import Database
from application.adapters.event_log import LogDatastore, PostgresEventLog
from projections.generations import CONTROL_SUBJECT, Generations

LOOK_EVERY = 0.2


class OperationFailedError(RuntimeError):
    """The projector could not do what was asked; the message is its own."""


class Operator:
    """Writes down what is wanted, as the API does; the projector carries it out."""

    def __init__(self, generations: Generations, database: Database, console: Console) -> None:
        self.generations = generations
        self._log = PostgresEventLog(LogDatastore(database.url), database=database)
        self._console = console

    async def show(self) -> None:
        table = Table()
        table.add_column("read model", no_wrap=True)
        for heading in (
            "on",
            "version",
            "generation",
            "state",
            "position",
            "lag",
            "rate/s",
            "parked",
        ):
            table.add_column(heading)
        head = await self._log.head()
        for row in await self.generations.rows():
            if row.state not in ("active", "building", "previous"):
                continue
            kept = row.state != "previous"
            state = f"{row.state}, paused" if row.paused else row.state
            progress = (str(row.lag(head)), f"{row.rate:,.0f}") if kept else ("", "")
            known = (row.name, row.engine, row.version, row.generation, state, row.position)
            table.add_row(*(str(cell) for cell in known), *progress, str(row.parked))
        self._console.print(table)

    async def rebuild(self, name: str) -> None:
        """Ask for it, and follow it until the new generation serves."""
        before = (await self.generations.projection(name)).active.generation
        request = await self.generations.request_rebuild(name)
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=self._console) as progress:
            task = progress.add_task(f"rebuilding {name}", total=await self._log.head())
            while True:
                taken_up = (await self.generations.request(request)).done_at is not None
                status = await self.generations.projection(name)
                if status.building is not None:
                    progress.update(task, completed=status.building.position, total=await self._log.head())
                elif taken_up:
                    break
                await asyncio.sleep(LOOK_EVERY)
        if status.active.generation == before:
            reasons = (
                status.latest.error,
                status.latest.comparison,
                (await self.generations.request(request)).outcome,
            )
            raise OperationFailedError(next(filter(None, reasons), "the projector gave no reason"))
        self._console.print(f"{name} is served from generation {status.active.generation}")

    async def rollback(self, name: str) -> None:
        """Ask for it, and wait until the generation before serves again: it has to catch up first."""
        before = (await self.generations.projection(name)).active.generation
        request = await self.generations.rollback(name)
        while True:
            asked = await self.generations.request(request)
            status = await self.generations.projection(name)
            if asked.done_at is not None and status.building is None:
                break
            await asyncio.sleep(LOOK_EVERY)
        if status.active.generation == before:
            raise OperationFailedError(f"{name} is still served from generation {before}: {asked.outcome}")
        self._console.print(f"{name} is served from generation {status.active.generation}")


@asynccontextmanager
async def open_operator(environment: Mapping[str, str], console: Console) -> AsyncIterator[Operator]:
    nats_url = environment.get("NATS_URL", "")

    async def ring() -> None:
        try:
            client = await nats.connect(nats_url, allow_reconnect=False, connect_timeout=1)
        except (nats.errors.Error, OSError):
            return  # the projector looks by itself, a little later
        await client.publish(CONTROL_SUBJECT, b"")
        await client.drain()

    url = environment["DATABASE_URL"]
    async with (
        Database(url, connections=2) as database,
        AsyncConnectionPool(url, min_size=1, max_size=2, open=False) as pool,
    ):
        yield Operator(Generations(pool, ring if nats_url else None), database, console)
