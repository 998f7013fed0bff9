"""One readable log out of many: follows the children's log files and prefixes each line with its writer's name."""

import asyncio
import json
from collections.abc import Callable
from io import BufferedReader
from pathlib import Path
from typing import Final

INTERVAL: Final = 0.1
LONGEST_LINE: Final = 2_000
# What structlog adds to each line, and what the reader of a terminal already knows.
HEADINGS: Final = ("timestamp", "level", "event", "logger")


class LogFollower:
    """Reads what is appended to the followed files and hands on whole lines."""

    def __init__(self, tell: Callable[[str, str], None]) -> None:
        self._tell = tell
        self._files: dict[str, _Followed] = {}

    def follow(self, name: str, path: Path) -> None:
        """From the present end of the file on; the file need not exist yet."""
        self._files[name] = _Followed(path, path.stat().st_size if path.exists() else 0)

    async def run(self) -> None:
        try:
            while True:
                self.read()
                await asyncio.sleep(INTERVAL)
        finally:
            self.read()
            for followed in self._files.values():
                followed.close()

    def read(self) -> None:
        for name, followed in self._files.items():
            for line in followed.new_lines():
                self._tell(name, readable(line))


class _Followed:
    def __init__(self, path: Path, position: int) -> None:
        self._path = path
        self._position = position
        self._file: BufferedReader | None = None
        self._rest = b""

    def new_lines(self) -> list[str]:
        if self._file is None:
            if not self._path.exists():
                return []
            self._file = self._path.open("rb")
            self._file.seek(self._position)
        elif not self._file.closed and self._path.exists() and not self._same_file():
            self._file.close()  # it was rotated: begin with the new one
            self._file = self._path.open("rb")
        *lines, self._rest = (self._rest + self._file.read()).split(b"\n")
        return [line.decode(errors="replace") for line in lines]

    def _same_file(self) -> bool:
        assert self._file is not None
        return self._path.stat().st_size >= self._file.tell()

    def close(self) -> None:
        if self._file is not None:
            self._file.close()


def readable(line: str) -> str:
    """A structured line as `12:30:01 info order placed position=7`; any other line as it is."""
    if line.startswith("{"):
        try:
            fields = json.loads(line)
        except ValueError:
            return line[:LONGEST_LINE]
        if isinstance(fields, dict) and "event" in fields:
            time = str(fields.get("timestamp", ""))[11:19]
            rest = (f"{name}={value}" for name, value in fields.items() if name not in HEADINGS)
            head = (time, str(fields.get("level", "")), str(fields["event"]))
            return " ".join(part for part in (*head, *rest) if part)[:LONGEST_LINE]
    return line[:LONGEST_LINE]
