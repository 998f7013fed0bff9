"""One round of a job: commands that are carried out one after the other, or a few at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Protocol, TypeVar

import structlog

from application.errors import ConcurrentChangeError, UnavailableError
from application.ports import Metadata
from domain.kernel import DomainError

T = TypeVar("T")

log = structlog.get_logger()


class Bus(Protocol):
    async def handle(self, command: object, metadata: Metadata) -> object: ...


class Round:
    """``what`` is its word in the log. One command that cannot be carried out is told of, and holds up no other."""

    def __init__(self, bus: Bus, actor: str, what: str, *, at_once: int = 1) -> None:
        self._bus = bus
        self._actor = actor
        self._what = what
        self._at_once = at_once
        self._done = 0
        self._failures: list[Exception] = []

    async def all_of(self, commands: Mapping[str, object]) -> None:
        """Each by the name of its request. ``UnavailableError`` ends it: there is nothing to be done meanwhile."""
        waiting = iter(commands.items())
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(min(self._at_once, len(commands))):
                    group.create_task(self._some_of(waiting))
        except* UnavailableError as away:
            outage: BaseException = away
            while isinstance(outage, BaseExceptionGroup):
                outage = outage.exceptions[0]
            raise outage from away

    def ended(self) -> int:
        """How many were carried out; raises what went wrong with others."""
        if self._failures:
            raise ExceptionGroup(f"some could not be done: {self._what}", self._failures)
        return self._done

    async def _some_of(self, waiting: Iterator[tuple[str, object]]) -> None:
        for name, command in waiting:
            try:
                await self._bus.handle(command, Metadata(actor=self._actor, request_id=name))
            except UnavailableError:
                raise
            except ConcurrentChangeError as busy:
                self._failures.append(busy)
            except DomainError as refusal:
                log.info("refused", job=self._what, subject=name, reason=refusal.message)
            except Exception as bug:  # noqa: BLE001 - with this one alone; it is raised in the end
                self._failures.append(bug)
            else:
                self._done += 1


async def in_batches(
    read: Callable[[T | None], Awaitable[Sequence[T]]],
    commands_of: Callable[[Sequence[T]], Mapping[str, object]],
    round_: Round,
) -> int:
    """All that there is to do, each batch read from where the last one ended: the list hears of it only later."""
    batch = await read(None)
    while batch:
        await round_.all_of(commands_of(batch))
        batch = await read(batch[-1])
    return round_.ended()
