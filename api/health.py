"""Whether we can work, and what with."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from time import monotonic
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

PATIENCE: Final = 1.0

Probe = Callable[[], Awaitable[object]]


class Dependency(msgspec.Struct, frozen=True, kw_only=True):
    """``required``: without it nothing at all can be done."""

    probe: Probe
    required: bool = False
    engine: str = ""


class Health:
    """Asks everything at once, and waits no longer than a second for any of it."""

    def __init__(self, version: str, dependencies: Mapping[str, Dependency]) -> None:
        self._version = version
        self._dependencies = dependencies
        self._since = monotonic()

    async def check(self) -> tuple[int, dict[str, Any]]:
        """The status to answer with, and the answer."""
        checked = await asyncio.gather(*map(_checked, self._dependencies.values()))
        found = dict(zip(self._dependencies, checked, strict=True))
        down = {name for name, state in found.items() if state["status"] == "down"}
        lame = any(self._dependencies[name].required for name in down)
        status = "down" if lame else "degraded" if down else "ok"
        return (503 if lame else 200), {
            "status": status,
            "version": self._version,
            "uptime": round(monotonic() - self._since, 1),
            "dependencies": found,
        }


async def answers_on(url: str) -> None:
    """Something listens there."""
    parts = urlsplit(url if "//" in url else f"//{url}")
    port = parts.port or (443 if parts.scheme == "https" else 80)
    _, writer = await asyncio.open_connection(parts.hostname, port)
    writer.close()


async def _checked(dependency: Dependency) -> dict[str, Any]:
    began = monotonic()
    state: dict[str, Any] = {"status": "ok"}
    if dependency.engine:
        state["engine"] = dependency.engine
    try:
        async with asyncio.timeout(PATIENCE):
            if await dependency.probe() is False:
                state |= {"status": "down", "error": "NoAnswer"}
    # Whatever is wrong with it, by whichever library: this is where it is told.
    except Exception as wrong:  # noqa: BLE001
        state |= {"status": "down", "error": type(wrong).__name__}
    return state | {"ms": round((monotonic() - began) * 1000, 1)}
