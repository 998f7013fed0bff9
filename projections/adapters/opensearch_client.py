"""The connection to OpenSearch that projector and API share."""

from __future__ import annotations

from opensearchpy import AsyncOpenSearch


def opensearch_client(url: str, *, timeout: float = 10.0) -> AsyncOpenSearch:
    """Without retries of its own: whoever calls knows how long to wait, and for what."""
    return AsyncOpenSearch(hosts=[url], timeout=timeout, max_retries=0, retry_on_timeout=False, maxsize=8)
