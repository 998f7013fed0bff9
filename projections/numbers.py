"""The small numbers that people know things by, from the ids that are computed of them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Final
from uuid import UUID

from domain.kernel import stream_id

_FEW: Final = 1_000
_MANY: Final = 20_000


def number_behind(kind: str, computed: UUID) -> int | None:
    """The number of which ``stream_id`` made this id; nothing where it was made otherwise.

    Events name a category or a collection by its id, and an event that a read model follows cannot ask others what
    their number is. But numbers are given out in order, so those that there can be are tried once and kept: for kinds
    of which there are few.
    """
    number = _numbers(kind, _FEW).get(computed)
    return _numbers(kind, _MANY).get(computed) if number is None else number


@lru_cache(maxsize=8)
def _numbers(kind: str, most: int) -> Mapping[UUID, int]:
    return {stream_id(kind, number): number for number in range(1, most + 1)}
