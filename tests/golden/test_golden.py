"""Every event that was ever stored can be read for ever, also after the person it tells about was erased."""

from __future__ import annotations

from pathlib import Path
from uuid import UUID

import msgspec
import pytest

from application.adapters.codec import EventCodec
from application.ports import StoredEvent
from domain.kernel import Event, Recorded, personal_fields, tag_of
from domain.registry import AGGREGATES, EVENTS
from tests.golden.files import Golden, golden_files, golden_keys, name_of, read
from tests.golden.generate import AT, METADATA, STREAM
from tests.golden.samples import shape_of

FILES = golden_files()


async def recorded_from(golden: Golden, *, erased: bool = False) -> Recorded[Event]:
    keys = golden_keys()
    if erased:
        for person in list(keys.stored):
            await keys.destroy(person)
    codec = EventCodec(EVENTS, AGGREGATES, keys)
    row = StoredEvent(STREAM, 3, golden.tag, msgspec.json.encode(golden.state), 17)
    (recorded,) = await codec.decode([row])
    return recorded


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
async def test_it_is_read_as_it_was_meant(path: Path) -> None:
    golden = read(path)
    recorded = await recorded_from(golden)
    assert recorded.event == msgspec.convert(golden.event, EVENTS[golden.tag])
    assert (recorded.id, recorded.timestamp) == (UUID(golden.state["id"]), AT)
    assert (recorded.actor, recorded.request_id) == (METADATA.actor, METADATA.request_id)
    assert (recorded.impersonator, recorded.cause) == (METADATA.impersonator, METADATA.cause)
    assert (recorded.stream, recorded.version, recorded.position) == (STREAM, 3, 17)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
async def test_it_is_read_without_the_persons_key(path: Path) -> None:
    golden = read(path)
    event = (await recorded_from(golden, erased=True)).event
    expected = msgspec.convert(golden.event, EVENTS[golden.tag])
    if golden.state.get("person") is not None:
        # A field that was no personal one then is stored plainly, and read so for ever.
        erased = {
            name: marker.erased
            for name, marker in personal_fields(type(event)).items()
            if name not in golden.state["data"]
        }
        expected = msgspec.structs.replace(expected, **erased)
    assert event == expected


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_it_is_named_after_its_event(path: Path) -> None:
    golden = read(path)
    assert name_of(path)[0] == golden.tag == tag_of(EVENTS[golden.tag])


@pytest.mark.parametrize("tag", sorted(EVENTS))
def test_todays_shape_has_a_golden_file(tag: str) -> None:
    shapes = {golden.shape for golden in map(read, FILES) if golden.tag == tag}
    assert shape_of(EVENTS[tag]) in shapes, "run `python -m tests.golden.generate` and commit what it adds"
