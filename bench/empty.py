"""What Litestar itself costs: a handler that does nothing, with a body as long as a small product's."""

from __future__ import annotations

from litestar import Litestar, MediaType, get

_BODY = b'{"title":"' + b"x" * 686 + b'"}'


@get("/", media_type=MediaType.JSON, sync_to_thread=False)
def empty() -> bytes:
    return _BODY


app = Litestar([empty], openapi_config=None)
