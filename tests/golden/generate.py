"""Adds a golden file for each event whose shape has none yet: ``python -m tests.golden.generate``.

Run it after adding an event or a field, look at the new file, and commit it together with the change.
"""

from __future__ import annotations

import asyncio
import sys
from datetime import UTC, datetime
from uuid import NAMESPACE_OID, uuid5

import msgspec

from application.adapters.codec import EventCodec
from application.ports import Metadata
from domain.registry import AGGREGATES, EVENTS
from tests.golden.files import EVENTS_FOLDER, Golden, golden_files, golden_keys, name_of, read, save_keys
from tests.golden.samples import sample_of, shape_of

STREAM = uuid5(NAMESPACE_OID, "golden")
AT = datetime(2026, 2, 3, 4, 5, 6, 789000, tzinfo=UTC)
METADATA = Metadata(actor="user:golden", request_id="request-1", impersonator="user:admin", cause=41)


async def generate() -> list[str]:
    """The names of the files that were added."""
    known = {(golden.tag, golden.shape) for golden in map(read, golden_files())}
    keys = golden_keys()
    codec = EventCodec(EVENTS, AGGREGATES, keys)
    added = []
    for tag, event_type in EVENTS.items():
        shape = shape_of(event_type)
        if (tag, shape) in known:
            continue
        event = sample_of(event_type)
        _, state = await codec.encode(event, STREAM, AT, METADATA)
        golden = Golden(
            tag=tag, shape=shape, state=msgspec.json.decode(state), event=msgspec.to_builtins(event)
        )
        number = 1 + max((n for of, n in map(name_of, golden_files()) if of == tag), default=0)
        path = EVENTS_FOLDER / f"{tag}.{number}.json"
        path.write_bytes(msgspec.json.format(msgspec.json.encode(golden), indent=2) + b"\n")
        added.append(path.name)
    save_keys(keys)
    return added


if __name__ == "__main__":
    for name in asyncio.run(generate()):
        sys.stdout.write(f"added tests/golden/events/{name}\n")
