"""Golden files: what events of each shape looked like in the log. They are added to and never rewritten."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import msgspec

from application.adapters.keys import MasterKeys, MemoryPersonKeys

FOLDER: Final = Path(__file__).parent
EVENTS_FOLDER: Final = FOLDER / "events"
_KEYS: Final = FOLDER / "person_keys.json"


class Golden(msgspec.Struct, frozen=True, kw_only=True):
    """``state`` is what is stored (never touch it), ``event`` what it must be read as (as JSON, in today's
    shape)."""

    tag: str
    shape: str
    state: dict[str, Any]
    event: dict[str, Any]


def name_of(path: Path) -> tuple[str, int]:
    """The tag and the number of a golden file: ``order_placed.2.json`` is the second shape of that event."""
    found = re.fullmatch(r"([a-z0-9_]+)\.(\d+)\.json", path.name)
    assert found, f"{path.name} is not named <tag>.<number>.json"
    return found[1], int(found[2])


def golden_files() -> list[Path]:
    return sorted(EVENTS_FOLDER.glob("*.json"), key=name_of)


def read(path: Path) -> Golden:
    return msgspec.json.decode(path.read_bytes(), type=Golden)


def golden_keys() -> MemoryPersonKeys:
    """The keys of the people in the files, wrapped with a master key that everyone may know."""
    keys = MemoryPersonKeys(MasterKeys([b"golden files hold no secrets ..."]))
    if _KEYS.exists():
        keys.stored.update(msgspec.json.decode(_KEYS.read_bytes(), type=dict[UUID, bytes | None]))
    return keys


def save_keys(keys: MemoryPersonKeys) -> None:
    _KEYS.write_bytes(msgspec.json.format(msgspec.json.encode(keys.stored), indent=2) + b"\n")
