"""The read side, put together: which read models there are, and what the API asks them with."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

from nats.aio.client import Client
from opensearchpy import AsyncOpenSearch

from projections.accounts.projector import ACCOUNT_LIST
from projections.adapters.opensearch_client import opensearch_client
from projections.adapters.opensearch_products import FallbackSearch, OpenSearchProductSearch
from projections.adapters.positions import Positions
from projections.adapters.read_pool import ReadPool
from projections.audit.projector import AUDIT_TRAIL
from projections.carts.projector import CART_CONTENTS
from projections.categories.projector import CATEGORY_TREE
from projections.collections.projector import COLLECTION_LIST
from projections.follows.projector import FOLLOW_LIST
from projections.generations import CONTROL_SUBJECT, Generations
from projections.inventory.projector import INVENTORY
from projections.media.projector import MEDIA_LIST
from projections.orders.projector import ORDER_LIST
from projections.payments.projector import PAYMENT_LIST
from projections.product_search.postgres import PostgresProductSearch
from projections.product_search.projector import PRODUCT_SEARCH
from projections.product_search.vocabulary import VOCABULARY
from projections.products.projector import PRODUCTS
from projections.products.query import ProductSearch
from projections.projection import Projection
from projections.promotions.projector import PROMOTION_LIST, REDEMPTION_COUNTS
from projections.refunds.projector import REFUND_LIST
from projections.returns.projector import RETURN_LIST
from projections.reviews.projector import REVIEW_LIST
from projections.sales.projector import SALES
from projections.sellers.projector import SELLER_LIST
from projections.sessions.projector import SESSION_LIST
from projections.wishlists.projector import WISHLIST_ITEMS

IN_POSTGRES: tuple[Projection[Any], ...] = (
    PRODUCTS,
    INVENTORY,
    VOCABULARY,
    ORDER_LIST,
    PAYMENT_LIST,
    RETURN_LIST,
    REFUND_LIST,
    CART_CONTENTS,
    CATEGORY_TREE,
    COLLECTION_LIST,
    ACCOUNT_LIST,
    SESSION_LIST,
    SELLER_LIST,
    FOLLOW_LIST,
    REVIEW_LIST,
    WISHLIST_ITEMS,
    MEDIA_LIST,
    PROMOTION_LIST,
    REDEMPTION_COUNTS,
    SALES,
    AUDIT_TRAIL,
)


def projections_of(*, search: bool) -> tuple[Projection[Any], ...]:
    """All read models; the search index only where there is an OpenSearch to hold it."""
    return (*IN_POSTGRES, PRODUCT_SEARCH) if search else IN_POSTGRES


@dataclass(frozen=True, kw_only=True)
class ReadSide:
    """``opensearch`` is none where search is on Postgres alone."""

    reads: ReadPool
    positions: Positions
    generations: Generations
    search: ProductSearch
    search_in_postgres: ProductSearch
    opensearch: AsyncOpenSearch | None


@asynccontextmanager
async def read_side(
    database_url: str, *, nats: Client | None = None, opensearch_url: str = "", connections: int = 16
) -> AsyncIterator[ReadSide]:
    """The read side, open. ``nats`` may connect later; who wants to hear of positions at once then calls ``listen``."""

    async def ring() -> None:
        if nats is not None and nats.is_connected:
            await nats.publish(CONTROL_SUBJECT, b"")

    async with AsyncExitStack() as stack:
        reads = await stack.enter_async_context(ReadPool(database_url, connections=connections))
        positions = Positions(reads.pool)
        stack.push_async_callback(positions.close)
        in_postgres = PostgresProductSearch(reads)
        search: ProductSearch = in_postgres
        opensearch = opensearch_client(opensearch_url, timeout=2.0) if opensearch_url else None
        if opensearch is not None:
            stack.push_async_callback(opensearch.close)
            search = FallbackSearch(OpenSearchProductSearch(opensearch, reads), in_postgres)
        yield ReadSide(
            reads=reads,
            positions=positions,
            generations=Generations(reads.pool, ring),
            search=search,
            search_in_postgres=in_postgres,
            opensearch=opensearch,
        )
