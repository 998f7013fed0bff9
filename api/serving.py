"""How requests come in: uvicorn, and what is at hand is answered as soon as a request's headers are there.

Going through ASGI, with a task, a message for the headers and one for the body, and each of twenty headers looked at
anew, takes more than twice as long as all the rest of such an answer. So here it is written in one piece. Whatever is
odd about a request or its connection goes the long way, which the same answer leaves by, too.
"""

from __future__ import annotations

from asyncio import TimerHandle, Transport
from typing import Any, Final, cast
from uuid import uuid4

import uvicorn
from litestar.types import HTTPScope
from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)

from api import security_headers
from api.edge import Edge, Given
from api.problems import CODES, envelope
from api.ready import lines_of
from api.wire import encode
from application.settings import Settings

BACKLOG: Final = 2048
KEPT_ALIVE: Final = 75
"""Seconds that a connection may be idle: more than proxies in front of us leave theirs."""

ENDED_WITHIN: Final = 10
"""Seconds that requests have to end in when the process is to stop."""

HEADERS_WITHIN: Final = 30.0
"""Seconds that a request's line and headers may take to come."""

HEARD_WITHIN: Final = 2.0
"""Seconds in which somebody who was refused has read why."""

MOST_HEADERS: Final = 64 * 1024
"""Bytes of them, after those that came with the first."""


class Protocol(HttpToolsProtocol):
    """uvicorn's, with what is at hand written at once, and with bounds to what a request begins with."""

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        edge = getattr(self.app, "asgi_handler", None)
        assert isinstance(edge, Edge), "the application is ours, and no other"
        self._edge = edge
        self._is_begun = True
        self._began_now = True
        self._is_refused = False
        self._unfinished = 0
        self._patience: TimerHandle | None = None

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(transport)
        self._patience = self.loop.call_later(HEADERS_WITHIN, self._give_up)

    def connection_lost(self, exc: Exception | None) -> None:
        self._be_patient()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._is_refused:
            return
        super().data_received(data)
        if not self._is_begun:
            self._be_patient()
            return
        # The headers are not all here. Where in the data they begin is not known: those that come after it are counted.
        self._unfinished = 0 if self._began_now else self._unfinished + len(data)
        self._began_now = False
        if self._unfinished > MOST_HEADERS:
            self._refuse(431, "The headers are too large")
        elif self._patience is None:
            self._patience = self.loop.call_later(HEADERS_WITHIN, self._give_up)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._is_begun = self._began_now = True

    def on_headers_complete(self) -> None:
        self._is_begun = False
        super().on_headers_complete()

    def send_400_response(self, msg: str) -> None:
        self._refuse(400, "This is no HTTP request")

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        # Who sends many requests at once and takes their answers slowly is answered as slowly, in order.
        if not (self.pipeline or self.flow.write_paused):
            given = self._edge.at_hand(cast(HTTPScope, cycle.scope))
            if given is not None:
                self._give(given, cycle)
                return
        super()._start_asgi_task(cycle, app)

    def _give(self, given: Given, cycle: RequestResponseCycle) -> None:
        parts = [STATUS_LINE[given.status], lines_of(cycle.default_headers), given.in_lines()]
        if not cycle.keep_alive:
            parts.append(b"connection: close\r\n")
        self.transport.write(b"".join([*parts, b"\r\n", given.body]))
        cycle.response_started = cycle.response_complete = True
        if not cycle.keep_alive:
            self.transport.close()
        cycle.on_response()

    def _refuse(self, status: int, message: str) -> None:
        """What cannot be read has no path to be answered by, and nothing after it is read either.

        What was asked before it is answered first, and then the connection ends without a word on the rest: the other
        side takes answers for those to its requests, in their order. Whoever is still sending is left to for a moment,
        for they would not get to hear of it if we closed at once.
        """
        if self.transport.is_closing():
            return
        self._is_refused, self._is_begun = True, False
        newest = self._unanswered()
        if newest is None:
            self.transport.write(self._refusal(status, message))
            self.transport.write_eof()
            self.loop.call_later(HEARD_WITHIN, self._give_up)
        elif newest.more_body:
            # It is the body that makes no sense, and somebody waits for the rest of it.
            if not (self.pipeline or newest.response_started):
                self.transport.write(self._refusal(status, message))
            self.transport.close()
        else:
            newest.keep_alive = False

    def _unanswered(self) -> RequestResponseCycle | None:
        """The last request that has no whole answer yet."""
        if self.pipeline:
            return self.pipeline[0][0]
        newest: RequestResponseCycle | None = self.cycle
        return None if newest is None or newest.response_complete else newest

    def _refusal(self, status: int, message: str) -> bytes:
        request_id = uuid4().hex
        body = encode(envelope(status, CODES[status], message, {}, request_id))
        headers = [
            *self.server_state.default_headers,
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(body)),
            (b"connection", b"close"),
            (b"x-request-id", request_id.encode()),
            *security_headers.API,
        ]
        return b"".join([STATUS_LINE[status], lines_of(headers), b"\r\n", body])

    def _be_patient(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    def _give_up(self) -> None:
        self._patience = None
        if not self.transport.is_closing():
            self.transport.close()


def serve(settings: Settings) -> None:
    """Until a signal ends it. Each of several processes makes the application for itself."""
    uvicorn.run(
        "api.app:application",
        factory=True,
        host=settings.host,
        port=settings.port,
        workers=settings.tradelog_api_processes,
        http=Protocol,
        loop="uvloop",
        ws="none",
        lifespan="on",
        interface="asgi3",
        backlog=BACKLOG,
        timeout_keep_alive=KEPT_ALIVE,
        timeout_graceful_shutdown=ENDED_WITHIN,
        proxy_headers=False,  # whose words are taken for where a request comes from is ours to say (TRUSTED_PROXIES)
        server_header=False,
        access_log=False,
        log_config=None,
    )
