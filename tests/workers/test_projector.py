"""What the projector tells others, and what becomes of it while there is nobody to carry it."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any, cast
from uuid import UUID

import msgspec
import nats.errors

from projections.generations import Moved
from projections.runner import Advanced
from workers.projector import Projector

PHONE, LAPTOP = UUID(int=1), UUID(int=2)


class Wire:
    """A connection that can be away."""

    def __init__(self) -> None:
        self.is_connected = True
        self.is_broken = False
        self.heard: list[Moved] = []
        self.asked = asyncio.Event()

    async def publish(self, subject: str, message: bytes) -> None:
        self.asked.set()
        if self.is_broken:
            raise nats.errors.ConnectionClosedError
        self.heard.append(msgspec.json.decode(message, type=Moved))


def folded_again(key: UUID, position: int = 7) -> Advanced:
    """What was parked is repaired: a document is another, and the position is as it was."""
    return Advanced(name="shelves", generation=1, position=position, after=position, changed={key: ()})


async def test_what_could_not_be_told_is_told_later() -> None:
    wire = Wire()
    projector = Projector((), events=_none(), pool=_none(), connect=_none(), client=cast("Any", wire))
    telling = asyncio.create_task(projector._tell())
    try:
        wire.is_broken = True
        projector._advanced(folded_again(PHONE))
        await asyncio.wait_for(wire.asked.wait(), 5)
        assert wire.heard == []
        wire.is_broken = False
        wire.asked.clear()
        projector._advanced(folded_again(LAPTOP))
        await asyncio.wait_for(wire.asked.wait(), 5)
        (moved,) = wire.heard
        assert set(moved.changed or ()) == {PHONE, LAPTOP}
    finally:
        telling.cancel()
        with suppress(asyncio.CancelledError):
            await telling


def _none() -> Any:
    return None
