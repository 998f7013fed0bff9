"""The log itself, as tests read it that believe nothing else."""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from application.bootstrap import WriteSide
from domain.kernel import Event, Recorded


async def whole_log(write: WriteSide) -> list[Recorded[Event]]:
    return await write.log.decode(await write.log.read(0, 1_000_000))


def events_of(recorded: Sequence[Recorded[Any]], kind: type[Any]) -> list[Any]:
    return [each.event for each in recorded if isinstance(each.event, kind)]


def streams_of(recorded: Sequence[Recorded[Any]], aggregate: str) -> dict[uuid.UUID, list[Recorded[Any]]]:
    """The histories of all things of a kind."""
    histories: dict[uuid.UUID, list[Recorded[Any]]] = defaultdict(list)
    for each in recorded:
        if each.aggregate == aggregate:
            histories[each.stream].append(each)
    return histories


def assert_dense(recorded: Sequence[Recorded[Any]]) -> None:
    """Positions and versions have no holes, and none is there twice."""
    assert [each.position for each in recorded] == list(range(1, len(recorded) + 1))
    versions: dict[uuid.UUID, list[int]] = defaultdict(list)
    for each in recorded:
        versions[each.stream].append(each.version)
    assert all(found == list(range(1, len(found) + 1)) for found in versions.values())
