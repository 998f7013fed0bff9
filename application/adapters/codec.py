"""Events as bytes: the envelope, the part that is encrypted, and the way back from every former shape."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID, uuid4

import msgspec

from application.adapters.keys import Cipher, PersonKeys
from application.adapters.upcasters import UPCASTERS, Upcasters
from application.ports import Metadata, StoredEvent
from domain.kernel import Event, Recorded, personal_fields, tag_of


class UnknownEventError(LookupError):
    """An event's tag is none of ours: it was written by newer code than this."""


class Envelope(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is stored of an event. Yesterday's rows must decode for ever: every new field needs a default.

    ``data`` holds the fields that are nobody's secret. ``personal`` is the ciphertext of the others, with the
    key of ``person``, or with the system's key where they belong to nobody in particular.
    """

    id: UUID
    at: datetime
    actor: str = ""
    request_id: str = ""
    impersonator: str | None = None
    cause: int | None = None
    schema: int = 1
    person: UUID | None = None
    personal: bytes | None = None
    data: msgspec.Raw = msgspec.Raw(b"{}")


_encode: Final = msgspec.json.Encoder().encode
_decode_envelope: Final = msgspec.json.Decoder(Envelope).decode


class _Shape:
    """What is worked out once per event type."""

    __slots__ = (
        "aggregate",
        "decode",
        "erased",
        "erases",
        "personal",
        "plain",
        "prefix",
        "schema",
        "subject",
        "tag",
        "type",
    )

    def __init__(self, event_type: type[Event], aggregate: str, schema: int) -> None:
        self.type = event_type
        self.aggregate = aggregate
        self.schema = schema
        self.tag = tag_of(event_type)
        self.decode = msgspec.json.Decoder(event_type).decode
        self.subject = event_type.subject
        self.erases = event_type.erases
        markers = personal_fields(event_type)
        fields = msgspec.structs.fields(event_type)
        # The tag is a column of its own already.
        self.prefix = len(_encode({event_type.__struct_config__.tag_field: self.tag})) - 1
        self.personal = tuple((field.name, field.encode_name) for field in fields if field.name in markers)
        self.plain = tuple((field.name, field.encode_name) for field in fields if field.name not in markers)
        self.erased = _encode({stored: markers[name].erased for name, stored in self.personal})
        if self.subject is not None and self.subject not in dict(self.plain):
            raise TypeError(
                f"{event_type.__name__}.{self.subject} names the person, so it must be a plain field"
            )

    def data(self, event: Event) -> bytes:
        if self.personal:
            return _encode({stored: getattr(event, name) for name, stored in self.plain})
        return b"{" + _encode(event)[self.prefix :].lstrip(b",")

    def secret(self, event: Event) -> bytes:
        return _encode({stored: getattr(event, name) for name, stored in self.personal})


class EventCodec:
    """Turns events into stored bytes and back; ``aggregates`` names the kind of aggregate of each tag."""

    def __init__(
        self,
        events: Mapping[str, type[Event]],
        aggregates: Mapping[str, str],
        keys: PersonKeys,
        upcasters: Upcasters = UPCASTERS,
    ) -> None:
        self._keys = keys
        self._upcasters = upcasters
        self._shapes = {
            tag: _Shape(event_type, aggregates[tag], self._upcasters.current(tag))
            for tag, event_type in events.items()
        }
        self._shape_of = {shape.type: shape for shape in self._shapes.values()}
        self._erasing = frozenset(shape.tag for shape in self._shapes.values() if shape.erases)

    async def encode(self, event: Event, stream: UUID, at: datetime, metadata: Metadata) -> tuple[str, bytes]:
        """The event's tag and its stored bytes. Nothing personal is written of people who were erased."""
        shape = self._shape_of[type(event)]
        event_id = uuid4()
        person: UUID | None = None
        personal: bytes | None = None
        # Where nothing personal is said, it reads as if that had been erased.
        if shape.personal and (secret := shape.secret(event)) != shape.erased:
            person = None if shape.subject is None else getattr(event, shape.subject)
            cipher = self._keys.system if person is None else await self._keys.cipher_for(person)
            if cipher is not None:
                personal = cipher.seal(secret, event_id.bytes + stream.bytes)
        envelope = Envelope(
            id=event_id,
            at=at,
            actor=metadata.actor,
            request_id=metadata.request_id,
            impersonator=metadata.impersonator,
            cause=metadata.cause,
            schema=shape.schema,
            person=person,
            personal=personal,
            data=msgspec.Raw(shape.data(event)),
        )
        return shape.tag, _encode(envelope)

    async def decode(self, stored: Sequence[StoredEvent]) -> list[Recorded[Event]]:
        """The events in the order given; keys that are not at hand are fetched with one query for all.

        From the event on that somebody is erased by, nothing that is personal is read of them, nor what is read
        together with it.
        """
        opened: list[tuple[StoredEvent, Envelope]] = []
        persons: set[UUID] = set()
        for row in stored:
            if row.tag in self._erasing:
                self._keys.withdraw(row.stream)
            envelope = _decode_envelope(row.state)
            if envelope.personal is not None and envelope.person is not None:
                persons.add(envelope.person)
            opened.append((row, envelope))
        ciphers = await self._keys.ciphers(persons) if persons else {}
        return [self._recorded(row, envelope, ciphers) for row, envelope in opened]

    def _recorded(
        self, row: StoredEvent, envelope: Envelope, ciphers: Mapping[UUID, Cipher | None]
    ) -> Recorded[Event]:
        shape = self._shapes.get(row.tag)
        if shape is None:
            raise UnknownEventError(f"position {row.position}: no event is called {row.tag!r}")
        data = bytes(envelope.data)
        if shape.personal or envelope.personal is not None:
            data = _merged(data, self._secret(row, envelope, shape, ciphers))
        if envelope.schema < shape.schema:
            fields: dict[str, Any] = msgspec.json.decode(data)
            data = _encode(self._upcasters.lift(row.tag, envelope.schema, fields))
        return Recorded(
            event=shape.decode(data),
            id=envelope.id,
            stream=row.stream,
            aggregate=shape.aggregate,
            version=row.version,
            position=row.position,
            timestamp=envelope.at,
            actor=envelope.actor,
            request_id=envelope.request_id,
            impersonator=envelope.impersonator,
            cause=envelope.cause,
            schema=envelope.schema,
        )

    def _secret(
        self, row: StoredEvent, envelope: Envelope, shape: _Shape, ciphers: Mapping[UUID, Cipher | None]
    ) -> bytes:
        if envelope.personal is None:
            # Written after the erasure, or before the field was a personal one: what is plain overrides this.
            return shape.erased
        cipher = self._keys.system if envelope.person is None else ciphers[envelope.person]
        if cipher is None:
            return shape.erased
        return cipher.open(envelope.personal, envelope.id.bytes + row.stream.bytes)


def _merged(data: bytes, secret: bytes) -> bytes:
    """Both objects as one. Where a name stands in both, the plain one comes last and so counts."""
    if data == b"{}":
        return secret
    if secret == b"{}":
        return data
    return secret[:-1] + b"," + data[1:]
