"""Two servers to hold an answer at hand against: the framework doing nothing, and nobody doing anything."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import msgspec
from litestar import Litestar, MediaType, get
from litestar.types import Receive, Scope, Send

ANSWER: Final = "TRADELOG_BENCH_ANSWER"
"""The environment variable that names the file with the answer that ``bare`` gives."""

_BODY = b'{"title":"' + b"x" * 686 + b'"}'


class Answer(msgspec.Struct):
    headers: list[tuple[bytes, bytes]]
    body: bytes


@get("/", media_type=MediaType.JSON, sync_to_thread=False)
def empty() -> bytes:
    """With a body as long as a small product's."""
    return _BODY


app = Litestar([empty], openapi_config=None)


class Bare:
    """The very bytes that our answer has, headers and all: what any ASGI application could reach on this server."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        await send({"type": "http.response.start", "status": 200, "headers": self._answer.headers})
        await send({"type": "http.response.body", "body": self._answer.body, "more_body": False})


def bare() -> Bare:
    return Bare(msgspec.msgpack.decode(Path(os.environ[ANSWER]).read_bytes(), type=Answer))
