"""Draws the pictures of one upload in a process of its own: ``python -m application.adapters.drawing TYPE SIDES``.

Whoever sends a file chooses what the decoders have to cope with, and they are written in C. What one of them breaks is
this process, which has no secrets, little time and no more memory than a picture takes; the shop goes on.

The file comes by standard input, and what became of it goes to standard output.
"""

from __future__ import annotations

import os
import resource
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec

from application.adapters.pixels import pictures_in_sizes
from application.errors import InvalidImageError
from application.ports import Renditions

MOST_SECONDS: Final = 30
MOST_MEMORY: Final = 2 * 1024**3


class Drawn(msgspec.Struct, frozen=True, kw_only=True):
    """The pictures, or what is wrong with the file."""

    renditions: Renditions | None = None
    faults: dict[str, list[str]] = {}


def main(mime_type: str, sides: str) -> None:
    answer = os.dup(1)
    os.dup2(2, 1)  # whatever a library has to say must not get into the answer
    # Whoever stops a service stops all its processes; what that means for this one, its parent says.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for limit, most in (
        (resource.RLIMIT_CPU, MOST_SECONDS),
        (resource.RLIMIT_AS, MOST_MEMORY),
        (resource.RLIMIT_CORE, 0),
    ):
        with suppress(ValueError, OSError):  # not everywhere may each be set
            resource.setrlimit(limit, (most, most))
    # Where there is no memory left for all, it is to be this one that goes.
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")
    wanted = msgspec.json.decode(sides, type=tuple[tuple[str, int], ...])
    try:
        drawn = Drawn(renditions=pictures_in_sizes(sys.stdin.buffer.read(), mime_type, wanted))
    except InvalidImageError as refused:
        drawn = Drawn(faults=refused.details)
    with os.fdopen(answer, "wb") as out:
        out.write(msgspec.msgpack.encode(drawn))


if __name__ == "__main__":
    main(*sys.argv[1:])
