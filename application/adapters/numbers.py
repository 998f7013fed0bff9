"""Numbers that people read: orders, products, accounts."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Callable
from heapq import heappop, heappush
from time import monotonic
from typing import Final

from application.adapters.database import Database

_MOST: Final = 64


class _Block:
    """Numbers of one name that are this process's to give."""

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.returned: list[int] = []
        self.next = 1
        self.last = 0
        self.size = 1
        self.reserved_at = float("-inf")


class Numbers(ABC):
    """Reserves numbers in blocks that grow with the demand.

    While numbers are asked for now and then, they are reserved one by one and so follow each other without
    holes, whichever process gives them. Under load a block doubles with each reservation, so that the round
    trip is shared by up to 64; a hole is left only where a process ends with a block in hand, or where nobody knows
    whether a number was used.
    """

    def __init__(self, *, idle_after: float = 1.0, clock: Callable[[], float] = monotonic) -> None:
        self._idle_after = idle_after
        self._clock = clock
        self._blocks: defaultdict[str, _Block] = defaultdict(_Block)

    async def next(self, name: str) -> int:
        block = self._blocks[name]
        async with block.lock:
            if block.returned:
                return heappop(block.returned)
            if block.next > block.last:
                now = self._clock()
                block.size = min(block.size * 2, _MOST) if now - block.reserved_at < self._idle_after else 1
                block.last = await self._reserve(name, block.size)
                block.next = block.last - block.size + 1
                block.reserved_at = now
            number = block.next
            block.next += 1
            return number

    def give_back(self, name: str, number: int) -> None:
        heappush(self._blocks[name].returned, number)

    @abstractmethod
    async def _reserve(self, name: str, count: int) -> int:
        """Take the next ``count`` numbers, and return the last of them."""


class PostgresNumbers(Numbers):
    """Counters beside the log, shared by all processes."""

    def __init__(
        self, database: Database, *, idle_after: float = 1.0, clock: Callable[[], float] = monotonic
    ) -> None:
        super().__init__(idle_after=idle_after, clock=clock)
        self._database = database

    async def _reserve(self, name: str, count: int) -> int:
        ((last,),) = await self._database.rows(
            """
            INSERT INTO counters AS counter (name, last) VALUES (%s, %s)
            ON CONFLICT (name) DO UPDATE SET last = counter.last + excluded.last
            RETURNING last
            """,
            [name, count],
        )
        assert isinstance(last, int)
        return last


class MemoryNumbers(Numbers):
    """The same without a database, for unit tests."""

    def __init__(self, *, idle_after: float = 1.0, clock: Callable[[], float] = monotonic) -> None:
        super().__init__(idle_after=idle_after, clock=clock)
        self._last: defaultdict[str, int] = defaultdict(int)

    async def _reserve(self, name: str, count: int) -> int:
        self._last[name] += count
        return self._last[name]
