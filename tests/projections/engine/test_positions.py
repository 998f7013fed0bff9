"""How long a reader waits at most."""

from __future__ import annotations

import pytest

from projections.adapters.positions import Positions
from projections.engine import prepare
from projections.ports import StaleReadError
from tests.projections.engine.shelf import Stand


async def test_a_reader_is_told_when_it_takes_too_long(stand: Stand) -> None:
    await prepare(stand.pool, [stand.projection()], stand.sink_for)
    positions = Positions(stand.pool)
    with pytest.raises(StaleReadError):
        await positions.wait(stand.name, 1, timeout=0.05)
    await positions.close()
