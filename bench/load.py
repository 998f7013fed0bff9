"""A load on an HTTP server: connections that each send the next request when the last one is answered.

The client shares the machine with the server, so it does as little as possible: no header is looked at but the status
and the content's length.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

ADDRESS = {
    "firstName": "Emily",
    "lastName": "Johnson",
    "address": "626 Main Street",
    "city": "Phoenix",
    "state": "MS",
    "zipCode": "29112",
    "country": "United States",
    "phone": "+81 965-431-3024",
}

Requests = Callable[[int], Iterator[bytes]]
"""The requests of connection number n, ready to be sent."""


@dataclass
class Load:
    """What became of it: ``latencies`` in seconds, ``statuses`` with how often each was answered.

    ``last_of`` says after how many seconds each was answered for the last time.
    """

    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    bodies: list[bytes] = field(default_factory=list)
    started: float = field(default_factory=perf_counter)
    last_of: dict[int, float] = field(default_factory=dict)

    @property
    def rate(self) -> float:
        return len(self.latencies) / self.seconds

    def percentile(self, share: float) -> float:
        """In milliseconds."""
        ordered = sorted(self.latencies)
        return ordered[min(len(ordered) - 1, int(len(ordered) * share))] * 1000

    def require(self, *statuses: int) -> Load:
        """A load test that measures errors measures nothing."""
        unexpected = {status: count for status, count in self.statuses.items() if status not in statuses}
        if unexpected:
            raise SystemExit(f"unexpected answers: {unexpected}; for instance {self.bodies[:1]}")
        return self


def request(
    method: str, path: str, *, token: str = "", body: object = None, headers: dict[str, str] | None = None
) -> bytes:
    content = b"" if body is None else json.dumps(body).encode()
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost", f"Content-Length: {len(content)}"]
    if body is not None:
        lines.append("Content-Type: application/json")
    if token:
        lines.append(f"Authorization: Bearer {token}")
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    return "\r\n".join([*lines, "", ""]).encode() + content


def order_request(token: str, *products: int, key: str) -> bytes:
    """An order of one unit of each product, which may be sent again."""
    body = {
        "products": [{"id": product, "quantity": 1} for product in products],
        "shippingAddress": ADDRESS,
        "paymentMethod": "card",
    }
    return request("POST", "/api/v1/orders", token=token, body=body, headers={"Idempotency-Key": key})


async def drive(port: int, requests: Requests, *, connections: int, seconds: float = 1e9) -> Load:
    """Send until the requests or the ``seconds`` are used up."""
    load = Load()
    loop = asyncio.get_running_loop()

    async def connect(number: int) -> None:
        _, connection = await loop.create_connection(
            lambda: _Connection(requests(number), load, load.started + seconds), "127.0.0.1", port
        )
        await connection.done

    await asyncio.gather(*map(connect, range(connections)))
    load.seconds = perf_counter() - load.started
    return load


class Caller:
    """One connection that sends a request and waits for the whole answer, for who needs what is in it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def to(cls, port: int) -> Caller:
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    async def ask(self, message: bytes, *statuses: int) -> bytes:
        """The answer's body; any other status than these ends the run."""
        self._writer.write(message)
        head = await self._reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n", 1)[0] or 0)
        body = await self._reader.readexactly(length)
        if int(head[9:12]) not in statuses:
            raise SystemExit(f"unexpected answer: {head[9:12].decode()} {body[:500]!r}")
        return body

    def close(self) -> None:
        self._writer.close()


class _Connection(asyncio.Protocol):
    """Streams would cost more than the fastest answers do, and we would measure ourselves."""

    def __init__(self, requests: Iterator[bytes], load: Load, until: float) -> None:
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._requests = requests
        self._load = load
        self._until = until
        self._received = b""
        self._sent = 0.0

    def connection_made(self, transport: Any) -> None:
        self._transport: asyncio.Transport = transport
        self._send()

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, end, body = self._received.partition(b"\r\n\r\n")
        if not end:
            return
        length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n", 1)[0] or 0)
        if len(body) < length:
            return
        self._received = b""
        now = perf_counter()
        self._load.latencies.append(now - self._sent)
        status = int(head[9:12])
        self._load.statuses[status] += 1
        self._load.last_of[status] = now - self._load.started
        if status >= 400 and len(self._load.bodies) < 5:
            self._load.bodies.append(body)
        self._send()

    def connection_lost(self, error: Exception | None) -> None:
        if not self.done.done():
            self.done.set_exception(error or ConnectionError("the server has closed the connection"))

    def _send(self) -> None:
        message = next(self._requests, None) if perf_counter() <= self._until else None
        if message is None:
            self.done.set_result(None)
            self._transport.close()
            return
        self._sent = perf_counter()
        self._transport.write(message)
