"""What operators and developers ask: health, measures, and this documentation."""

from __future__ import annotations

from typing import Any

from litestar import Controller, MediaType, Request, get
from litestar.response.base import ASGIResponse
from prometheus_client import CONTENT_TYPE_LATEST

from api.backend import Backend
from api.client_address import address_of, is_loopback
from api.documentation import answers
from api.models import HealthReport
from api.wire import answer, encode
from domain.kernel import ForbiddenError

HttpRequest = Request[Any, Any, Any]


class OperationsController(Controller):
    tags = ("Operations",)

    @get("/health", responses=answers(HealthReport, 200, 503))
    async def health(self, request: HttpRequest) -> ASGIResponse:
        """How each dependency is. 503 only when the log is down, for without it nothing can be done."""
        status, report = await request.app.state.health.check()
        return answer(encode(report), status=status)

    @get("/metrics", media_type=MediaType.TEXT, responses=answers(None, 200, 403))
    async def metrics(self, request: HttpRequest, backend: Backend) -> ASGIResponse:
        """Measures for Prometheus; from this machine only, unless ``METRICS_PUBLIC`` is set."""
        if not backend.settings.metrics_public and not _is_local(request):
            raise ForbiddenError("Metrics are for this machine only")
        return ASGIResponse(
            body=request.app.state.metrics.text(),
            encoded_headers=[(b"content-type", CONTENT_TYPE_LATEST.encode())],
        )


def _is_local(request: HttpRequest) -> bool:
    # Behind a proxy on this machine that we do not know of everybody looks local; what it adds gives it away.
    if "x-forwarded-for" in request.headers or "forwarded" in request.headers:
        return False
    return is_loopback(address_of(request))
