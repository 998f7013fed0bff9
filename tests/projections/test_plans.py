"""What lists of read models other than the catalogue's cost: every question that they are asked goes by an index.

The questions are put to the queries' own functions. What these ask is explained in a database that is full, and carried
out in one that is empty, so that no row needs to make sense. Left out are promotions and collections by a part of their
names, which admins ask and of which a shop has dozens; and the category tree, which is always read as a whole.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg import AsyncConnection
from sqlalchemy import ARRAY, Boolean, Column, Date, DateTime, LargeBinary, Table, Text, Uuid

from domain.kernel import ListingId, SellerId
from domain.orders.events import OrderStatus, ParcelStatus, PaymentStatus, ReturnStatus
from domain.orders.pricing import Tariff
from domain.payments.payment import RefundState
from domain.sellers.events import SellerStatus
from projections.accounts.query import AccountFilter, account_by_id, accounts_due, accounts_page
from projections.adapters.read_pool import ReadPool
from projections.audit.query import AuditFilter, audited_positions
from projections.bootstrap import IN_POSTGRES
from projections.carts.query import cart_of_account
from projections.collections.query import (
    CollectionFilter,
    active_collections,
    collection_by,
    collections_page,
)
from projections.engine import prepare
from projections.generations import DEAD_LETTERS
from projections.inventory.query import LowStock, inventory_page, low_stock_untold
from projections.keyset import Piece
from projections.orders.query import (
    OrderFilter,
    order_by_id,
    orders_of,
    orders_page,
    orders_sold_by,
    orders_tracked_by,
    orders_waiting_since,
)
from projections.ports import Reads
from projections.projection import Rows
from projections.promotions.query import PromotionFilter, promotion_by, promotions_page, running_promotions
from projections.refunds.query import refunds_failed_before, refunds_page
from projections.returns.query import ReturnFilter, returns_page
from projections.reviews.query import (
    ReviewedProduct,
    SortReviews,
    review_by,
    reviews_by,
    reviews_of,
    reviews_to_moderate,
)
from projections.sales.query import (
    first_day_of_sales,
    sales_by_day,
    sales_by_product,
    sales_by_seller,
    sales_of_seller,
)
from projections.sellers.profiles import sellers_of
from projections.sellers.query import (
    SellerFilter,
    SortSellers,
    followed_by,
    follower_count_of,
    follows_seller,
    seller_by,
    sellers_page,
)
from projections.sessions.query import sessions_of
from projections.wishlists.query import wishes_of, wishlist_page
from tests.conftest import FreshDatabase
from tests.projections.plans import Plan, explained
from workers.projector import sinks

ROWS = 4_000
NOW = datetime(2026, 11, 21, tzinfo=UTC)
FEW = 40
"""How many different persons, listings and sellers the rows are about, so that each has a hundred of them."""

PIECE = Piece(skip=10, limit=20)

FEBRUARY = (date(2026, 2, 1), date(2026, 2, 28))

READ_WHOLE = {"categories_g1"}
"""The tree has few categories, and takes all of them."""

Question = Callable[[Reads], Awaitable[object]]


def someone(kind: str, number: int = 7) -> UUID:
    """As Postgres computes it for the rows below."""
    return UUID(hashlib.md5(f"{kind}{number}".encode(), usedforsecurity=False).hexdigest())


PRODUCT = ReviewedProduct(
    id=someone("listing"), number=7, visible=True, seller_id=someone("seller"), review_count=9
)


def sellers(asked: SellerFilter) -> Question:
    return lambda reads: sellers_page(reads, asked, PIECE)


def orders(**asked: Any) -> Question:
    return lambda reads: orders_page(reads, OrderFilter(**asked), PIECE)


def reviews_sorted(sort: SortReviews) -> Question:
    return lambda reads: reviews_of(reads, PRODUCT, sort, PIECE)


QUESTIONS: dict[str, Question] = {
    "an order": lambda reads: order_by_id(reads, someone("orders")),
    "somebody's orders": lambda reads: orders_of(reads, someone("account"), PIECE),
    "somebody's orders that are to be paid": lambda reads: orders_of(
        reads, someone("account"), PIECE, status=OrderStatus.PENDING
    ),
    "all orders": orders(),
    "orders of a status": orders(status=OrderStatus.PENDING),
    "orders of a payment status": orders(payment_status=PaymentStatus.FAILED),
    "orders of an account": orders(account_id=someone("account")),
    "orders of a time": orders(since=NOW, until=NOW),
    "orders by number": orders(number="NUMBER77"),
    "orders by all of these": orders(
        status=OrderStatus.PENDING, account_id=someone("account"), since=NOW, number="NUMBER77"
    ),
    "orders that a seller sold": lambda reads: orders_sold_by(reads, someone("listing"), None, PIECE),
    "orders that a seller has to send": lambda reads: orders_sold_by(
        reads, someone("listing"), ParcelStatus.PROCESSING, PIECE
    ),
    "orders by a tracking number": lambda reads: orders_tracked_by(reads, "1Z 999-77"),
    "orders that wait for their payment": lambda reads: orders_waiting_since(reads, NOW, None, 10),
    "all returns": lambda reads: returns_page(reads, ReturnFilter(), PIECE),
    "returns to decide on": lambda reads: returns_page(
        reads, ReturnFilter(status=ReturnStatus.REQUESTED), PIECE
    ),
    "what comes back to a seller": lambda reads: returns_page(
        reads, ReturnFilter(seller_id=someone("seller")), PIECE
    ),
    "what of that is to be decided on": lambda reads: returns_page(
        reads, ReturnFilter(status=ReturnStatus.REQUESTED, seller_id=someone("seller")), PIECE
    ),
    "all refunds": lambda reads: refunds_page(reads, None, PIECE),
    "refunds that failed": lambda reads: refunds_page(reads, RefundState.FAILED, PIECE),
    "refunds to try again": lambda reads: refunds_failed_before(reads, NOW, 24, None, 10),
    "who several sellers are": lambda reads: sellers_of(reads, [someone("seller")]),
    "an account": lambda reads: account_by_id(reads, someone("accounts")),
    "all accounts": lambda reads: accounts_page(reads, AccountFilter(), PIECE),
    "accounts by words": lambda reads: accounts_page(reads, AccountFilter(words="word77"), PIECE),
    "accounts with a role": lambda reads: accounts_page(reads, AccountFilter(role="admin"), PIECE),
    "accounts that are suspended": lambda reads: accounts_page(reads, AccountFilter(deleted=True), PIECE),
    "accounts that are not": lambda reads: accounts_page(reads, AccountFilter(deleted=False), PIECE),
    "accounts to be erased": lambda reads: accounts_due(reads, NOW, 10),
    "a seller by id": lambda reads: seller_by(reads, someone("seller")),
    "a seller by number": lambda reads: seller_by(reads, 7),
    "a seller by slug": lambda reads: seller_by(reads, "slug7"),
    **{f"sellers by {sort}": sellers(SellerFilter(sort=sort)) for sort in SortSellers},
    "sellers by words": sellers(SellerFilter(words="shop_name77")),
    "sellers to decide on": sellers(SellerFilter(status=SellerStatus.PENDING)),
    **{
        f"sellers of any status by {sort}": sellers(SellerFilter(status=None, sort=sort))
        for sort in SortSellers
    },
    "whom somebody follows": lambda reads: followed_by(reads, someone("account"), PIECE),
    "whether they follow one": lambda reads: follows_seller(reads, someone("account"), someone("seller")),
    "a seller's followers": lambda reads: follower_count_of(reads, someone("seller")),
    "a review": lambda reads: review_by(reads, someone("reviews")),
    **{f"reviews of a product by {sort}": reviews_sorted(sort) for sort in SortReviews},
    "somebody's reviews": lambda reads: reviews_by(reads, someone("reviewer"), PIECE),
    "all reviews": lambda reads: reviews_to_moderate(reads, None, PIECE),
    "hidden reviews": lambda reads: reviews_to_moderate(reads, True, PIECE),
    "visible reviews": lambda reads: reviews_to_moderate(reads, False, PIECE),
    "a wishlist": lambda reads: wishlist_page(reads, someone("account"), PIECE),
    "all that somebody wishes for": lambda reads: wishes_of(reads, someone("account")),
    "promotions that run": lambda reads: running_promotions(reads, NOW),
    "a promotion by number": lambda reads: promotion_by(reads, 7),
    "a promotion by slug": lambda reads: promotion_by(reads, "slug7"),
    "all promotions": lambda reads: promotions_page(reads, PromotionFilter(), PIECE),
    "active promotions": lambda reads: promotions_page(reads, PromotionFilter(active=True), PIECE),
    "active collections": active_collections,
    "a collection by number": lambda reads: collection_by(reads, 7),
    "a collection by slug": lambda reads: collection_by(reads, "slugs7"),
    "all collections": lambda reads: collections_page(reads, CollectionFilter(), PIECE),
    "collections that are not active": lambda reads: collections_page(
        reads, CollectionFilter(active=False), PIECE
    ),
    "what there are few of": lambda reads: inventory_page(reads, 5, PIECE),
    "of what few are left that are not told of": lambda reads: low_stock_untold(
        reads, 5, LowStock(2, 7, ListingId(someone("listing")), SellerId(someone("seller"))), 10
    ),
    "a cart": lambda reads: cart_of_account(reads, someone("account"), 7, Tariff(), NOW),
    "somebody's sessions": lambda reads: sessions_of(reads, someone("account"), NOW),
    "what was sold by days": lambda reads: sales_by_day(reads, *FEBRUARY),
    "what a seller sold": lambda reads: sales_of_seller(reads, someone("listing"), *FEBRUARY),
    "which sellers sold most": lambda reads: sales_by_seller(reads, *FEBRUARY),
    "which products were sold most": lambda reads: sales_by_product(reads, *FEBRUARY),
    "the first day of sales": first_day_of_sales,
    "the audit trail": lambda reads: audited_positions(reads, AuditFilter(after=2_000)),
    "the audit trail of a stream": lambda reads: audited_positions(
        reads, AuditFilter(stream=someone("stream"))
    ),
    "the audit trail of a person": lambda reads: audited_positions(
        reads, AuditFilter(person=someone("account"))
    ),
    "the audit trail of an actor": lambda reads: audited_positions(reads, AuditFilter(actor="actor7")),
    "the audit trail of a type": lambda reads: audited_positions(reads, AuditFilter(type="type7")),
    "the audit trail of a time": lambda reads: audited_positions(reads, AuditFilter(since=NOW, until=NOW)),
}


class Explaining:
    """Asks the empty database, and keeps the plans that the full one would have followed."""

    def __init__(self, full: AsyncConnection[Any], empty: ReadPool) -> None:
        self._full = full
        self._empty = empty
        self.plans: list[Plan] = []

    async def explain(self, query: str, parameters: Any) -> None:
        self.plans.append(await explained(self._full, query, parameters))

    async def one(self, query: str, *parameters: Any) -> tuple[Any, ...] | None:
        await self.explain(query, parameters)
        return await self._empty.one(query, *parameters)

    async def all(self, query: str, *parameters: Any) -> list[tuple[Any, ...]]:
        await self.explain(query, parameters)
        return await self._empty.all(query, *parameters)

    @property
    def scanned(self) -> list[str]:
        """The tables that would be read from one end to the other."""
        return [table for plan in self.plans for table in plan.scanned_whole() if table not in READ_WHOLE]


@pytest.fixture(scope="module")
def urls(fresh_database: FreshDatabase) -> Iterator[tuple[str, str]]:
    """A full database and an empty one."""
    with fresh_database() as full, fresh_database() as empty:
        for url in (full, empty):
            asyncio.run(_prepare(url))
        # What is not on the disk yet is nothing that VACUUM calls visible to all, without which no index is enough.
        with psycopg.connect(full, autocommit=True, options="-c synchronous_commit=on") as connection:
            for projection in IN_POSTGRES:
                assert isinstance(projection.into, Rows)
                more = "" if projection.subjects is None else "subjects"
                connection.execute(_filling(projection.into.table, more).encode())
            connection.execute(DEAD_LETTERS_FILLED.encode())
            connection.execute("VACUUM ANALYZE")
        yield full, empty


@pytest.fixture
async def explaining(urls: tuple[str, str]) -> AsyncIterator[Explaining]:
    full, empty = urls
    async with ReadPool(empty) as reads, await AsyncConnection.connect(full, autocommit=True) as connection:
        yield Explaining(connection, reads)


async def _prepare(url: str) -> None:
    async with ReadPool(url) as reads:
        await prepare(reads.pool, IN_POSTGRES, sinks(reads.pool, None))


KEYS = {"products": "listing", "sellers": "seller"}
VALUES = {
    "status": "(ARRAY['verified', 'active', 'pending_verification', 'suspended', 'erased'])[1 + i % 5]",
    "role": "CASE WHEN i % 100 = 0 THEN 'admin' ELSE 'user' END",
    "pieces": "ARRAY['p' || i, 'shared']",
    "code": "CASE WHEN i % 20 = 0 THEN '' ELSE 'code' || i END",
    "active": "i % 100 = 0",
    "hidden": "i % 10 = 0",
    "back_days": "ARRAY[date '2026-01-01' + i / 10]",
    "back_lost": "ARRAY[i % 100 = 0]",
    "last_back_day": "CASE WHEN i % 50 = 0 THEN date '2026-01-01' + i / 10 END",
    "erase_after": "CASE WHEN i % 50 = 0 THEN timestamptz '2026-11-20' + i * interval '1 minute' END",
}
TYPICAL: dict[type[Any], str] = {
    ARRAY: "ARRAY['{name}' || i]",
    Boolean: "i % 10 > 0",
    Date: "date '2026-01-01' + i / 10",
    DateTime: "timestamptz '2026-01-01' + i * interval '1 minute'",
    LargeBinary: "convert_to(repeat('x', 900), 'utf8')",
    Text: "'{name}' || i",
    Uuid: "md5('{name}' || i)::uuid",
}
"""By the column's type; of all others it is the row's number."""

ABOUT = ("account_id", "listing_id", "seller_id", "reviewer_id", "stream", "person")


def _filling(table: Table, subjects: str) -> str:
    """A few thousand rows of what looks like it: a hundred for each person, listing and seller."""
    columns = [column for column in table.columns if column.computed is None]
    names = ", ".join([*(f'"{column.name}"' for column in columns), *([subjects] if subjects else [])])
    about = [f"ARRAY[md5('account' || i % {FEW})::uuid]"] if subjects else []
    values = ", ".join([*(_value(table, column) for column in columns), *about])
    return f"INSERT INTO {table.name}_g1 ({names}) SELECT {values} FROM generate_series(1, {ROWS}) AS i"


def _value(table: Table, column: Column[Any]) -> str:
    name = column.name
    if name == "key":
        return f"md5('{KEYS.get(table.name, table.name)}' || i)::uuid"
    if name in ABOUT:
        kind = "account" if name == "person" else name.removesuffix("_id")
        return f"md5('{kind}' || i % {FEW})::uuid"
    if name in VALUES:
        return VALUES[name]
    if isinstance(column.type, ARRAY) and isinstance(column.type.item_type, Uuid):
        return "ARRAY[md5('listing' || i)::uuid]"
    if isinstance(column.type, ARRAY) and not isinstance(column.type.item_type, Text):
        return "ARRAY[i]"
    typical = next((value for kind, value in TYPICAL.items() if isinstance(column.type, kind)), "i")
    return typical.format(name=name)


DEAD_LETTERS_FILLED = f"""
INSERT INTO dead_letters (name, generation, version, key, whole, stream, stream_version, position, tag, error)
SELECT CASE WHEN i % 2 = 0 THEN 'orders' ELSE 'accounts' END, 1, 1, md5('key' || i)::uuid, false,
       md5('stream' || i)::uuid, i, i, 'tag', repeat('x', 2000)
FROM generate_series(1, {ROWS}) AS i
"""


class TestLists:
    @pytest.mark.parametrize("question", QUESTIONS)
    async def test_no_read_model_is_read_from_end_to_end(self, explaining: Explaining, question: str) -> None:
        explaining.plans.clear()
        await QUESTIONS[question](explaining)
        assert explaining.plans, "the question asks something"
        assert explaining.scanned == []

    @pytest.mark.parametrize(
        ("question", "index"),
        [
            ("accounts by words", "accounts_g1_idx_accounts_pieces"),
            ("sellers by words", "sellers_g1_idx_sellers_pieces"),
        ],
    )
    async def test_parts_of_texts_are_found_by_their_pieces(
        self, explaining: Explaining, question: str, index: str
    ) -> None:
        explaining.plans.clear()
        await QUESTIONS[question](explaining)
        used = [node.get("Index Name") for plan in explaining.plans for node in plan.nodes]
        assert used.count(index) == 2, "for how many there are, and for the page"

    @pytest.mark.parametrize("name", [None, "orders"])
    async def test_dead_letters_are_not_read_from_end_to_end(
        self, explaining: Explaining, name: str | None
    ) -> None:
        explaining.plans.clear()
        await explaining.explain(DEAD_LETTERS, {"name": name, "after": 100, "limit": 50})
        assert "dead_letters" not in explaining.scanned
