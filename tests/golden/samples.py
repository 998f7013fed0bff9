"""A sample of any event, made from its type alone and always the same."""

from __future__ import annotations

import hashlib
from typing import Any
from uuid import NAMESPACE_OID, uuid5

import msgspec
from msgspec import inspect

from domain.kernel import Event


def sample_of(event_type: type[Event]) -> Event:
    """An event with a value in every field; optional ones included, collections with one item."""
    return msgspec.convert(_sample(inspect.type_info(event_type), "event"), event_type)


def shape_of(event_type: type[Event]) -> str:
    """Tells whether the stored form of a type has changed: its fields and their types, without the words
    about them."""
    schema = _wordless(msgspec.json.schema(event_type))
    return hashlib.sha256(msgspec.json.encode(schema, order="deterministic")).hexdigest()[:16]


def _wordless(schema: Any) -> Any:
    if isinstance(schema, dict):
        # A schema's own title and description are strings; a field of that name is a schema.
        return {
            name: _wordless(part)
            for name, part in schema.items()
            if not (name in ("title", "description") and isinstance(part, str))
        }
    return [_wordless(part) for part in schema] if isinstance(schema, list) else schema


def _sample(kind: inspect.Type, name: str) -> Any:  # noqa: C901, PLR0911, PLR0912 - one case per kind of type
    match kind:
        case inspect.StructType():
            fields = {field.encode_name: _sample(field.type, field.name) for field in kind.fields}
            return {kind.tag_field: kind.tag, **fields} if kind.tag_field else fields
        case inspect.Metadata():
            return _sample(kind.type, name)
        case inspect.UnionType():
            return _sample(next(one for one in kind.types if not isinstance(one, inspect.NoneType)), name)
        case inspect.ListType() | inspect.SetType() | inspect.FrozenSetType() | inspect.VarTupleType():
            return [_sample(kind.item_type, name)]
        case inspect.TupleType():
            return [_sample(one, name) for one in kind.item_types]
        case inspect.DictType():
            return {_sample(kind.key_type, "key"): _sample(kind.value_type, name)}
        case inspect.EnumType():
            return next(iter(kind.cls)).value
        case inspect.LiteralType():
            return kind.values[0]
        case inspect.UUIDType():
            return str(uuid5(NAMESPACE_OID, name))
        case inspect.DateTimeType():
            return "2026-02-03T04:05:06.789000Z"
        case inspect.DateType():
            return "2026-02-03"
        case inspect.DecimalType():
            return "12.50"
        case inspect.StrType():
            return name
        case inspect.BytesType():
            return "Ynl0ZXM="
        case inspect.BoolType():
            return True
        case inspect.IntType():
            return 7
        case inspect.FloatType():
            return 4.5
        case inspect.AnyType():
            return {"anything": [1, None]}
        case inspect.NoneType():
            return None
        case _:
            raise NotImplementedError(f"{name}: no sample of {type(kind).__name__} yet")
