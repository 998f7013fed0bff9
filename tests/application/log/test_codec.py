"""Events as bytes and back: envelope, personal part, former shapes."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import msgspec
import pytest
from cryptography.exceptions import InvalidTag

from application.adapters.codec import EventCodec, UnknownEventError
from application.adapters.keys import MemoryPersonKeys
from application.adapters.upcasters import Upcasters
from application.ports import Metadata, StoredEvent
from domain.kernel import Event, PersonalText
from tests.application.log.jars import AGGREGATES, EVENTS, SOMEBODY, HintDropped, JarOpened, NoteStuck, jar_id

A = jar_id("a")
AT = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def keys() -> MemoryPersonKeys:
    return MemoryPersonKeys()


@pytest.fixture
def codec(keys: MemoryPersonKeys) -> EventCodec:
    return EventCodec(EVENTS, AGGREGATES, keys)


async def stored(codec: EventCodec, event: Event, *, metadata: Metadata = SOMEBODY) -> StoredEvent:
    tag, state = await codec.encode(event, A, AT, metadata)
    return StoredEvent(A, 1, tag, state, 1)


async def back(codec: EventCodec, row: StoredEvent) -> Event:
    (recorded,) = await codec.decode([row])
    return recorded.event


async def test_what_is_stored_is_json_with_the_tag_beside_it(codec: EventCodec) -> None:
    row = await stored(codec, JarOpened(size=3))
    envelope = msgspec.json.decode(row.state)
    assert row.tag == "jar_opened"
    assert UUID(envelope.pop("id")).version == 4
    assert envelope == {
        "at": "2026-03-01T12:00:00Z",
        "actor": "somebody",
        "request_id": "r-1",
        "data": {"size": 3},
    }


async def test_only_the_personal_fields_are_encrypted(codec: EventCodec) -> None:
    ada = uuid4()
    row = await stored(codec, NoteStuck(person=ada, text="secret", stars=4))
    envelope = msgspec.json.decode(row.state)
    assert envelope["data"] == {"person": str(ada), "colour": "yellow"}
    assert envelope["person"] == str(ada)
    assert b"secret" not in base64.b64decode(envelope["personal"])
    assert await back(codec, row) == NoteStuck(person=ada, text="secret", stars=4)


async def test_personal_data_of_nobody_known_is_encrypted_too(codec: EventCodec) -> None:
    row = await stored(codec, HintDropped(address="203.0.113.9"))
    assert b"203.0.113.9" not in row.state
    assert msgspec.json.decode(row.state)["data"] == {}
    assert await back(codec, row) == HintDropped(address="203.0.113.9")


async def test_the_ciphertext_belongs_to_its_event_and_stream(codec: EventCodec) -> None:
    row = await stored(codec, NoteStuck(person=uuid4(), text="secret"))
    with pytest.raises(InvalidTag):
        await codec.decode([msgspec.structs.replace(row, stream=jar_id("b"))])
    envelope = msgspec.json.decode(row.state)
    envelope["id"] = str(uuid4())
    with pytest.raises(InvalidTag):
        await codec.decode([msgspec.structs.replace(row, state=msgspec.json.encode(envelope))])


async def test_keys_of_a_whole_batch_are_fetched_at_once(keys: MemoryPersonKeys, codec: EventCodec) -> None:
    persons = [uuid4() for _ in range(5)]
    rows = [await stored(codec, NoteStuck(person=person, text="x")) for person in persons for _ in range(2)]
    fetches: list[int] = []

    class Counting(MemoryPersonKeys):
        async def _fetch(self, persons: Any) -> dict[UUID, bytes | None]:
            fetches.append(len(persons))
            return await super()._fetch(persons)

    fresh = Counting()
    fresh.stored = keys.stored
    reader = EventCodec(EVENTS, AGGREGATES, fresh)
    assert len(await reader.decode(rows)) == 10
    await reader.decode(rows)
    assert fetches == [5]


async def test_an_unknown_tag_stops_the_reader(codec: EventCodec) -> None:
    with pytest.raises(UnknownEventError, match="jar_melted"):
        await codec.decode(
            [StoredEvent(A, 1, "jar_melted", b'{"id":"%s","at":"2026-03-01T12:00:00Z"}' % str(A).encode(), 7)]
        )


async def test_an_envelope_from_before_all_later_fields_is_read(codec: EventCodec) -> None:
    oldest = b'{"id":"%s","at":"2026-03-01T12:00:00Z","data":{"size":3}}' % str(A).encode()
    (recorded,) = await codec.decode([StoredEvent(A, 1, "jar_opened", oldest, 7)])
    assert (recorded.event, recorded.actor, recorded.schema, recorded.cause) == (
        JarOpened(size=3),
        "",
        1,
        None,
    )


async def test_an_envelope_from_newer_code_is_read(codec: EventCodec) -> None:
    newer = (
        b'{"id":"%s","at":"2026-03-01T12:00:00Z","seal":1,"data":{"size":3,"shape":"round"}}'
        % str(A).encode()
    )
    (recorded,) = await codec.decode([StoredEvent(A, 1, "jar_opened", newer, 7)])
    assert recorded.event == JarOpened(size=3)


class TestFormerShapes:
    """A jar's size was counted in dozens, and a note's text was not yet a personal field."""

    class Opened(Event, frozen=True, kw_only=True, tag="jar_opened"):
        size: int
        unit: str

    class Note(Event, frozen=True, kw_only=True, tag="note_stuck"):
        subject = "person"

        person: UUID
        text: PersonalText
        length: int

    def lifted(self, keys: MemoryPersonKeys) -> EventCodec:
        def count_singly(fields: dict[str, Any]) -> dict[str, Any]:
            return {"size": fields["size"] * 12}

        def name_the_unit(fields: dict[str, Any]) -> dict[str, Any]:
            return {**fields, "unit": "coins"}

        def measure(fields: dict[str, Any]) -> dict[str, Any]:
            return {**fields, "length": len(fields["text"])}

        upcasters = Upcasters(
            {"jar_opened": [(1, count_singly), (2, name_the_unit)], "note_stuck": [(1, measure)]}
        )
        events: dict[str, type[Event]] = {"jar_opened": self.Opened, "note_stuck": self.Note}
        return EventCodec(events, AGGREGATES, keys, upcasters)

    async def test_all_steps_are_taken(self, keys: MemoryPersonKeys, codec: EventCodec) -> None:
        row = await stored(codec, JarOpened(size=2))
        assert await back(self.lifted(keys), row) == self.Opened(size=24, unit="coins")

    async def test_only_those_that_are_left(self, keys: MemoryPersonKeys) -> None:
        state = b'{"id":"%s","at":"2026-03-01T12:00:00Z","schema":2,"data":{"size":24}}' % str(A).encode()
        row = StoredEvent(A, 1, "jar_opened", state, 1)
        assert await back(self.lifted(keys), row) == self.Opened(size=24, unit="coins")

    async def test_todays_shape_takes_none(self, keys: MemoryPersonKeys) -> None:
        row = await stored(self.lifted(keys), self.Opened(size=24, unit="coins"))
        assert msgspec.json.decode(row.state)["schema"] == 3
        assert await back(self.lifted(keys), row) == self.Opened(size=24, unit="coins")

    async def test_a_step_sees_personal_fields_or_what_stands_for_them(
        self, keys: MemoryPersonKeys, codec: EventCodec
    ) -> None:
        ada = uuid4()
        row = await stored(codec, NoteStuck(person=ada, text="four"))
        assert await back(self.lifted(keys), row) == self.Note(person=ada, text="four", length=4)
        await keys.destroy(ada)
        assert await back(self.lifted(keys), row) == self.Note(person=ada, text="", length=0)

    async def test_a_field_that_has_become_personal_keeps_its_old_value(self, codec: EventCodec) -> None:
        ada = uuid4()
        plain = b'{"id":"%s","at":"2026-03-01T12:00:00Z","data":{"person":"%s","text":"old"}}'
        row = StoredEvent(A, 1, "note_stuck", plain % (str(A).encode(), str(ada).encode()), 1)
        assert await back(codec, row) == NoteStuck(person=ada, text="old", stars=None)

    def test_steps_must_lead_from_the_first_shape_to_todays(self) -> None:
        with pytest.raises(ValueError, match="follow each other"):
            Upcasters({"jar_opened": [(2, dict)]})


def test_the_person_must_be_named_by_a_plain_field(keys: MemoryPersonKeys) -> None:
    class Whispered(Event, frozen=True, kw_only=True, tag="whispered"):
        subject = "person"

        person: PersonalText

    with pytest.raises(TypeError, match="plain field"):
        EventCodec({"whispered": Whispered}, {"whispered": "jars"}, keys)
