"""Counts round trips to Postgres: a proxy that hears where a client stops to wait for an answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

_SYNC = ord("S")
_QUERY = ord("Q")


class Counter:
    """``round_trips`` counts the messages after which a client waits: Sync of the extended protocol, simple Query."""

    def __init__(self) -> None:
        self.round_trips = 0

    async def pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, count: bool) -> None:
        try:
            if count:
                start = await reader.readexactly(4)
                writer.write(start + await reader.readexactly(int.from_bytes(start) - 4))
            while True:
                if not count:
                    chunk = await reader.read(65_536)
                    if not chunk:
                        return
                    writer.write(chunk)
                    continue
                head = await reader.readexactly(5)
                writer.write(head + await reader.readexactly(int.from_bytes(head[1:]) - 4))
                self.round_trips += head[0] in (_SYNC, _QUERY)
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            writer.close()


@asynccontextmanager
async def counting_proxy(url: str) -> AsyncIterator[tuple[str, Counter]]:
    """The URL of a proxy for the database at ``url``, and its counter."""
    counter = Counter()
    address = urlsplit(url)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream_reader, upstream_writer = await asyncio.open_connection(address.hostname, address.port)
        await asyncio.gather(
            counter.pump(reader, upstream_writer, count=True),
            counter.pump(upstream_reader, writer, count=False),
        )

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        port = server.sockets[0].getsockname()[1]
        # In plain text, and without asking for anything else first: the proxy reads along.
        proxied = url.replace(f"{address.hostname}:{address.port}", f"127.0.0.1:{port}")
        yield f"{proxied}?sslmode=disable&gssencmode=disable", counter
    finally:
        server.close()
