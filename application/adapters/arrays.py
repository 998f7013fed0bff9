"""Arrays in Postgres' binary format, built in one go: a thousand values cost no call per value."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import ClassVar
from uuid import UUID

from psycopg.abc import AdaptContext
from psycopg.adapt import Buffer, Dumper
from psycopg.pq import Format

_EMPTY = struct.Struct("!iiI")
_HEADER = struct.Struct("!iiIii")
_LENGTH = struct.Struct("!i")
_INT4 = struct.Struct("!ii")
_INT8 = struct.Struct("!iq")
_UUID_LENGTH = _LENGTH.pack(16)


class Array(bytes):
    """An array as it travels; each subclass is one element type."""

    array_oid: ClassVar[int]
    element_oid: ClassVar[int]


class Int4Array(Array):
    array_oid, element_oid = 1007, 23


class Int8Array(Array):
    array_oid, element_oid = 1016, 20


class TextArray(Array):
    array_oid, element_oid = 1009, 25


class ByteaArray(Array):
    array_oid, element_oid = 1001, 17


class UuidArray(Array):
    array_oid, element_oid = 2951, 2950


def _frame(kind: type[Array], count: int) -> bytes:
    if not count:
        return _EMPTY.pack(0, 0, kind.element_oid)
    return _HEADER.pack(1, 0, kind.element_oid, count, 1)


def int4s(values: Sequence[int]) -> Int4Array:
    return Int4Array(_frame(Int4Array, len(values)) + b"".join([_INT4.pack(4, value) for value in values]))


def int8s(values: Sequence[int]) -> Int8Array:
    return Int8Array(_frame(Int8Array, len(values)) + b"".join([_INT8.pack(8, value) for value in values]))


def byteas(values: Sequence[bytes]) -> ByteaArray:
    parts = [part for value in values for part in (_LENGTH.pack(len(value)), value)]
    return ByteaArray(_frame(ByteaArray, len(values)) + b"".join(parts))


def texts(values: Sequence[str]) -> TextArray:
    parts = [
        part
        for value in values
        for encoded in (value.encode(),)
        for part in (_LENGTH.pack(len(encoded)), encoded)
    ]
    return TextArray(_frame(TextArray, len(values)) + b"".join(parts))


def uuids(values: Sequence[UUID]) -> UuidArray:
    return UuidArray(
        _frame(UuidArray, len(values)) + b"".join([_UUID_LENGTH + value.bytes for value in values])
    )


class _ArrayDumper(Dumper):
    format = Format.BINARY

    def dump(self, obj: Array) -> Buffer:
        return obj


def register_arrays(context: AdaptContext) -> None:
    """Let ``context`` (a connection) send these arrays as they are."""
    for kind in (Int4Array, Int8Array, TextArray, ByteaArray, UuidArray):
        dumper = type(f"{kind.__name__}Dumper", (_ArrayDumper,), {"oid": kind.array_oid})
        context.adapters.register_dumper(kind, dumper)
