"""What read models keep is the same bytes in every process: or a rebuild could not be compared with what is served."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec.inspect
import pytest

from projections.bootstrap import IN_POSTGRES
from projections.product_search.projector import PRODUCT_SEARCH
from projections.projection import Projection


def sets_in(kept: msgspec.inspect.Type, path: str, inside: frozenset[type] = frozenset()) -> Iterator[str]:
    """Where there are sets, whose order is another one in each process."""
    if isinstance(kept, msgspec.inspect.SetType | msgspec.inspect.FrozenSetType):
        yield path
    if isinstance(kept, msgspec.inspect.StructType) and kept.cls not in inside:
        for field in kept.fields:
            yield from sets_in(field.type, f"{path}.{field.name}", inside | {kept.cls})
    parts = [getattr(kept, name, None) for name in ("item_type", "key_type", "value_type", "type")]
    for name in ("types", "item_types"):
        parts += getattr(kept, name, ())
    for part in parts:
        if isinstance(part, msgspec.inspect.Type):
            yield from sets_in(part, path, inside)


@pytest.mark.parametrize(
    "projection", [*IN_POSTGRES, PRODUCT_SEARCH], ids=lambda projection: str(projection.name)
)
def test_no_document_holds_a_set(projection: Projection[Any]) -> None:
    assert list(sets_in(msgspec.inspect.type_info(projection.document), projection.name)) == []
