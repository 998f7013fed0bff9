"""Moves the checkpoints of read models that are not concerned by what happens, all of them in one go.

Most of what happens is nothing to most read models, yet readers wait for each of them to have come by it. A transaction
costs the same for one checkpoint as for all.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from projections.ports import Passed

SHORTEST: Final = 0.005
PER_EVENT: Final = 0.001
LONGEST: Final = 0.05
LONGEST_GATHERING: Final = 0.1
"""Seconds of rest: the least, for each event that was come by, and the most; that of who has something to save last."""

MoveAll = Callable[[Sequence[Passed]], Awaitable[set[Passed]]]
"""Moves those that nobody stands in the way of, and tells which."""


def gathering_after(events: int) -> float:
    """Seconds to gather what is next, after a batch of so many: a transaction costs the same for one event as for many.

    Who waits for their one write waits for milliseconds, and from some 950 events a second on, when there is better to
    do, a read model is saved ten times a second.
    """
    return min(SHORTEST + PER_EVENT * events, LONGEST_GATHERING)


class Idling:
    """Whoever asks while a statement is under way shares the next one; who rests wakes together with the others."""

    def __init__(self, move_all: MoveAll) -> None:
        self._move_all = move_all
        self._asked: list[tuple[Passed, asyncio.Future[bool]]] = []
        self._moving: asyncio.Task[None] | None = None
        self._beat: asyncio.Event | None = None

    async def move(self, passed: Passed) -> bool:
        """Whether it was moved. Else it is held, has moved or has retired, which only asking for it alone tells."""
        moved: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._asked.append((passed, moved))
        if self._moving is None or self._moving.done():
            self._moving = asyncio.create_task(self._move_on())
        return await moved

    async def rest(self, events: int) -> None:
        """Until the next beat, so that those who are idle go on at the same moment, and move together.

        ``events`` is how many there were since the last one.
        """
        if self._beat is None:
            self._beat = asyncio.Event()
            delay = min(SHORTEST + PER_EVENT * events, LONGEST)
            asyncio.get_running_loop().call_later(delay, self._ring, self._beat)
        await self._beat.wait()

    async def close(self) -> None:
        """What is under way is finished first."""
        if self._moving is not None:
            await asyncio.wait([self._moving])

    def _ring(self, beat: asyncio.Event) -> None:
        self._beat = None
        beat.set()

    async def _move_on(self) -> None:
        while self._asked:
            asked, self._asked = self._asked, []
            try:
                moved = await self._move_all([passed for passed, _ in asked])
            except BaseException as error:
                for _, answer in asked:
                    if not answer.done():
                        answer.set_exception(error)
                if not isinstance(error, Exception):
                    raise
            else:
                for passed, answer in asked:
                    if not answer.done():  # its runner may have been stopped meanwhile
                        answer.set_result(passed in moved)
