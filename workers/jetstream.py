"""The stream of events on NATS: its name, its limits, and how an event travels as a message."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from uuid import UUID

import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js import JetStreamContext
from nats.js.api import DiscardPolicy, Header, RetentionPolicy, StorageType, StreamConfig
from nats.js.errors import NotFoundError

from application.ports import StoredEvent

STREAM: Final = "EVENTS"
SUBJECTS: Final = "events.>"
DOORBELL: Final = "log.appended"
PARTITIONS: Final = 16
LOCAL_NATS: Final = "nats://127.0.0.1:4222"
"""Where it is looked for when nobody says where it is."""

_DAY: Final = 24 * 60 * 60
_CONFIG: Final = StreamConfig(
    name=STREAM,
    subjects=[SUBJECTS],
    storage=StorageType.FILE,
    retention=RetentionPolicy.LIMITS,
    discard=DiscardPolicy.OLD,
    max_age=7 * _DAY,
    max_bytes=1024**3,
    duplicate_window=120,
)

log = structlog.get_logger()


async def connect(url: str, name: str, client: Client | None = None) -> Client:
    """A connection that never gives up, neither now nor later; that of ``client`` where there is one already."""

    async def failed(error: Exception) -> None:
        log.warning("nats", error=str(error) or repr(error))

    client = client or Client()
    await client.connect(
        url,
        name=name,
        max_reconnect_attempts=-1,
        reconnect_time_wait=0.25,  # type: ignore[arg-type]  # only ever slept
        connect_timeout=2,
        ping_interval=5,
        error_cb=failed,
    )
    return client


async def ensure_stream(stream: JetStreamContext) -> tuple[int, StoredEvent | None]:
    """The stream's last sequence, and the event in that message; the stream is made where it is missing."""
    try:
        info = await stream.stream_info(STREAM)
    except NotFoundError:
        info = await stream.add_stream(_CONFIG)
        log.info("stream made")
    if not info.state.messages:
        return info.state.last_seq, None
    try:
        last = await stream.get_msg(STREAM, info.state.last_seq)
    except NotFoundError:
        return info.state.last_seq, None
    return info.state.last_seq, _stored(last.headers, last.data)


def subject_of(stored: StoredEvent, aggregates: Mapping[str, str]) -> str:
    """Of an event that a newer program wrote we may not know the aggregate; it travels all the same."""
    return f"events.{stored.stream.int % PARTITIONS}.{aggregates.get(stored.tag, 'unknown')}.{stored.tag}"


def headers_of(stored: StoredEvent) -> dict[str, str]:
    return {
        Header.MSG_ID: str(stored.position),
        "Tradelog-Stream": str(stored.stream),
        "Tradelog-Version": str(stored.version),
        "Tradelog-Tag": stored.tag,
    }


def stored_of(message: Msg) -> StoredEvent:
    return _stored(message.headers, message.data)


def _stored(headers: Mapping[str, str] | None, data: bytes | None) -> StoredEvent:
    assert headers is not None, "all messages of this stream have headers"
    assert data is not None, "and a body"
    return StoredEvent(
        UUID(headers["Tradelog-Stream"]),
        int(headers["Tradelog-Version"]),
        headers["Tradelog-Tag"],
        data,
        int(headers[Header.MSG_ID]),
    )
