"""Command in, handler called: the one door to the write side."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from application.ports import Changed, Metadata

Handler = Callable[[Any, Metadata], Awaitable[Changed[Any]]]


class CommandBus:
    def __init__(self, handlers: dict[type, Handler]) -> None:
        self._handlers = handlers

    async def handle(self, command: object, metadata: Metadata) -> Changed[Any]:
        return await self._handlers[type(command)](command, metadata)

    @property
    def commands(self) -> frozenset[type]:
        """Every command that has a handler."""
        return frozenset(self._handlers)
