"""How events of yesterday's shapes are read by today's code."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

Fields: TypeAlias = dict[str, Any]
Upcaster: TypeAlias = Callable[[Fields], Fields]


class Upcasters:
    """Per tag, the steps from each former schema to the next: ``{"order_placed": [(1, add_the_currency)]}``.

    A step takes the fields of an event as stored in that schema, personal ones included (of an erased person,
    under today's names, what stands for them), and returns those of the next. The schema that is written is
    the one after the last step; the steps must lead there without a gap.
    """

    def __init__(self, steps: Mapping[str, Sequence[tuple[int, Upcaster]]] | None = None) -> None:
        self._steps: dict[str, tuple[Upcaster, ...]] = {}
        for tag, of_tag in (steps or {}).items():
            if [schema for schema, _ in of_tag] != list(range(1, len(of_tag) + 1)):
                raise ValueError(f"{tag}: steps must start at schema 1 and follow each other")
            self._steps[tag] = tuple(step for _, step in of_tag)

    def current(self, tag: str) -> int:
        """The schema in which events of this tag are written."""
        return len(self._steps.get(tag, ())) + 1

    def lift(self, tag: str, schema: int, fields: Fields) -> Fields:
        """The fields of an event stored in ``schema`` as they would be written today."""
        for step in self._steps[tag][schema - 1 :]:
            fields = step(fields)
        return fields


UPCASTERS = Upcasters()
"""The steps of our own events: none has changed its shape yet."""
