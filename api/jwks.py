"""The public keys by which others can verify our tokens themselves."""

from __future__ import annotations

from litestar import Controller, get
from litestar.response.base import ASGIResponse

from api.backend import Backend
from api.documentation import answers
from api.models import KeySet
from api.wire import answer

_CACHED = (b"cache-control", b"public, max-age=300")


class JwksController(Controller):
    tags = ("Operations",)

    @get("/.well-known/jwks.json", responses=answers(KeySet, 200))
    async def keys(self, backend: Backend) -> ASGIResponse:
        """RFC 7517. Empty where tokens are signed with a secret; a key that is to come may be here before its time."""
        return answer(backend.write.tokens.jwks, headers=(_CACHED,))
