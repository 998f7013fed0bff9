"""The server in front of the application, spoken to by the byte: in order, within bounds, and whole."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from typing import Any, cast

import pytest
import uvicorn
from litestar.types import Receive, Scope, Send

from api import serving
from api.client_address import ClientAddresses
from api.cors import Cors
from api.edge import Edge
from api.metrics import Metrics
from api.ready import ReadyAnswers
from tests.api.shop import Client, Shop, soon
from workers.local.process import LOOPBACK, free_port


class Wire:
    """A connection of our own, of which answers are read one by one."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection((LOOPBACK, port), timeout=20)
        self.file = self.socket.makefile("rb")

    def send(self, *requests: str) -> None:
        self.socket.sendall("".join(requests).encode())

    def answer(self, *, has_body: bool = True) -> tuple[int, dict[str, str], bytes]:
        status = int(self.file.readline().split()[1])
        headers: dict[str, str] = {}
        while line := self.file.readline().strip().decode():
            name, _, value = line.partition(": ")
            assert name not in headers, f"{name} comes once"
            headers[name] = value
        body = self.file.read(int(headers.get("content-length", "0"))) if has_body else b""
        return status, headers, body

    @property
    def is_closed(self) -> bool:
        return self.file.read(1) == b""


@contextmanager
def connected(shop: Shop) -> Iterator[Wire]:
    wire = Wire(shop.port)
    try:
        yield wire
    finally:
        wire.file.close()
        wire.socket.close()


def asked(path: str, method: str = "GET", version: str = "1.1", **headers: str) -> str:
    lines = [f"{method} /api/v1{path} HTTP/{version}", "Host: localhost"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""])


class Nothing:
    """As little of an application as the server can do with."""

    def __init__(self) -> None:
        self.asgi_handler = Edge(
            self.answer,
            metrics=Metrics(),
            answers=ReadyAnswers(),
            cors=Cors(()),
            addresses=ClientAddresses(),
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.asgi_handler(scope, receive, send)

    async def answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


@asynccontextmanager
async def served() -> AsyncIterator[int]:
    """That, on a port of this process's."""
    port = free_port()
    config = uvicorn.Config(
        cast("Any", Nothing()),
        host=LOOPBACK,
        port=port,
        http=serving.Protocol,
        ws="none",
        interface="asgi3",
        lifespan="off",
        proxy_headers=False,
        log_config=None,
    )
    server = uvicorn.Server(config)
    serving_it = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0)
    try:
        yield port
    finally:
        server.should_exit = True
        await serving_it


@pytest.fixture
def hot(shop: Shop, product: dict[str, Any]) -> str:
    """The path of a product that is at hand."""
    path = f"/products/{product['id']}"
    newest = {"X-Min-Log-Position": str(shop.head())}
    assert shop.guest.get(path, headers=newest).status_code == 200

    def is_at_hand(client: Client) -> bool:
        before = hits(shop)
        assert client.get(path).status_code == 200
        return hits(shop) == before + 1

    soon(partial(is_at_hand, shop.guest), "the product being at hand")
    return path


def hits(shop: Shop) -> float:
    (line,) = [
        line
        for line in shop.guest.get(f"{shop.origin}/metrics").text.splitlines()
        if line.startswith("tradelog_answers_at_hand_hits_total ")
    ]
    return float(line.split()[1])


class TestWhatIsAtHand:
    def test_many_requests_in_one_piece_are_answered_in_their_order(self, shop: Shop, hot: str) -> None:
        paths = [hot, "/cart", hot, hot, "/products/nothing-like-it", hot, *[hot] * 400]
        with connected(shop) as wire:
            wire.send(*(asked(path, X_Request_Id=f"nr-{number}") for number, path in enumerate(paths)))
            found = [wire.answer() for _ in paths]
        statuses = {hot: 200, "/cart": 401, "/products/nothing-like-it": 404}
        assert [status for status, *_ in found] == [statuses[path] for path in paths]
        assert [headers["x-request-id"] for _, headers, _ in found] == [
            f"nr-{number}" for number in range(len(paths))
        ]
        assert len({body for status, _, body in found if status == 200}) == 1

    def test_is_the_same_however_it_leaves(self, shop: Shop, hot: str) -> None:
        """Behind a request that takes its time it goes the long way."""
        with connected(shop) as wire:
            wire.send(asked(hot), asked("/cart"), asked(hot))
            short, _, long = (wire.answer() for _ in range(3))
        differing = ("x-request-id", "date", "ratelimit-remaining", "ratelimit-reset")
        for _, headers, _ in (short, long):
            for name in differing:
                headers.pop(name, None)
        assert short == long

    def test_head_has_no_body_and_304_neither(self, shop: Shop, hot: str) -> None:
        with connected(shop) as wire:
            wire.send(asked(hot))
            _, whole, body = wire.answer()
            wire.send(asked(hot, "HEAD"))
            status, headers, _ = wire.answer(has_body=False)
            assert (status, headers["content-length"], headers["etag"]) == (
                200,
                str(len(body)),
                whole["etag"],
            )
            wire.send(asked(hot, If_None_Match=whole["etag"]))
            status, headers, nothing = wire.answer()
            assert (status, headers["etag"], nothing) == (304, whole["etag"], b"")

    @pytest.mark.parametrize(("version", "headers"), [("1.1", {"Connection": "close"}), ("1.0", {})])
    def test_a_connection_ends_where_it_is_to(
        self, shop: Shop, hot: str, version: str, headers: dict[str, str]
    ) -> None:
        with connected(shop) as wire:
            wire.send(asked(hot, version=version, **headers))
            status, told, _ = wire.answer()
            assert (status, told["connection"]) == (200, "close")
            assert wire.is_closed

    def test_a_body_that_nobody_asked_for_is_passed_over(self, shop: Shop, hot: str) -> None:
        with connected(shop) as wire:
            wire.send(asked(hot, Content_Length="5"), "hello", asked(hot))
            assert [wire.answer()[0] for _ in range(2)] == [200, 200]

    def test_who_does_not_read_is_not_written_to_without_end(self, shop: Shop, hot: str) -> None:
        """Answers of some megabytes to requests of some kilobytes; all of them come once they are read."""
        many = 3_000
        with connected(shop) as wire:
            wire.send(*[asked(hot)] * many)
            assert {wire.answer()[0] for _ in range(many)} == {200}


class TestWhatARequestBeginsWith:
    @pytest.mark.parametrize(
        "sent",
        [
            "nothing like a request\r\n\r\n",
            "GET / HTTP/1.1\r\nHost localhost\r\n\r\n",
            "BREW /api/v1/products HTTP/1.1\r\nHost: localhost\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        ],
    )
    def test_what_is_no_request_is_refused_in_the_envelope(self, shop: Shop, sent: str) -> None:
        with connected(shop) as wire:
            wire.send(sent)
            status, headers, body = wire.answer()
            assert (status, json.loads(body)["error"]["code"]) == (400, "VALIDATION_ERROR")
            assert headers["connection"] == "close"
            assert wire.is_closed

    def test_what_was_asked_before_is_answered_and_nothing_else(self, shop: Shop) -> None:
        """Or the other side would take the refusal for the answer to that."""
        with connected(shop) as wire:
            wire.send(asked("/cart"), asked("/products/nothing-like-it"), "nothing like a request\r\n\r\n")
            assert [wire.answer()[0] for _ in range(2)] == [401, 404]
            assert wire.is_closed

    def test_a_body_that_makes_no_sense_is_refused_and_nobody_waits_for_it(self, shop: Shop) -> None:
        head = asked("/cart/items", "POST", Content_Type="application/json", Transfer_Encoding="chunked")
        with connected(shop) as wire:
            wire.send(head, "no length\r\n")
            assert wire.answer()[0] == 400
            assert wire.is_closed

    def test_headers_are_bounded(self, shop: Shop) -> None:
        with connected(shop) as wire:
            wire.send("GET /api/v1/products HTTP/1.1\r\nHost: localhost\r\nX-Long: ")
            wire.send("x" * 8 * serving.MOST_HEADERS)
            status, _, body = wire.answer()
            assert (status, json.loads(body)["error"]["code"]) == (431, "HEADERS_TOO_LARGE")
            assert wire.is_closed

    async def test_who_takes_too_long_is_let_go(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(serving, "HEADERS_WITHIN", 0.01)
        async with served() as port:
            for begun in (b"", b"GET / HTT", b"GET / HTTP/1.1\r\nHost: localhost\r\n"):
                reader, writer = await asyncio.open_connection(LOOPBACK, port)
                writer.write(begun)
                assert await reader.read() == b""
                writer.close()
