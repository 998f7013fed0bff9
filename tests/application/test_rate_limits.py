import asyncio
from collections.abc import AsyncIterator

import psycopg
import pytest
from limits import RateLimitItemPerMinute
from limits.aio.strategies import FixedWindowRateLimiter

from application.adapters.database import Database
from application.adapters.keys import MemoryPersonKeys
from application.adapters.rate_limits import PostgresRateLimits, sweep_rate_limits
from application.adapters.schema import create_schema_async
from application.errors import UnavailableError
from application.ports import Hits


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as connection:
        await create_schema_async(connection)
    async with Database(database_url) as database:
        yield database


@pytest.fixture
def counters(database: Database) -> PostgresRateLimits:
    return PostgresRateLimits(database, MemoryPersonKeys().request_hash)


async def ends_now(database: Database) -> None:
    """As if time had passed."""
    await database.rows("UPDATE rate_limits SET ends_at = now() - interval '1 second'")


class TestCounting:
    async def test_every_hit_counts_whoever_counts_it(
        self, database: Database, counters: PostgresRateLimits
    ) -> None:
        others = PostgresRateLimits(database, MemoryPersonKeys().request_hash)
        hit = Hits(key="login/192.0.2.1", seconds=900)
        both = await asyncio.gather(*(each.count([hit]) for each in (counters, others) for _ in range(20)))
        assert sorted(counted.hits for (counted,) in both) == list(range(1, 41))
        assert all(0 < counted.seconds_left <= 900 for (counted,) in both)

    async def test_several_are_counted_at_once_in_the_order_asked(self, counters: PostgresRateLimits) -> None:
        asked = [Hits(key=name, seconds=60, amount=amount) for name, amount in (("b", 2), ("a", 5), ("c", 1))]
        assert [counted.hits for counted in await counters.count(asked)] == [2, 5, 1]
        assert [counted.hits for counted in await counters.count(asked[::-1])] == [2, 10, 4]

    async def test_statements_that_share_counters_do_not_wait_for_each_other_for_ever(
        self, counters: PostgresRateLimits
    ) -> None:
        asked = [Hits(key=f"k{number}", seconds=60) for number in range(200)]
        await asyncio.gather(*(counters.count(asked if turn % 2 else asked[::-1]) for turn in range(16)))
        assert {counted.hits for counted in await counters.count(asked)} == {17}

    async def test_a_counter_that_has_ended_begins_anew(
        self, database: Database, counters: PostgresRateLimits
    ) -> None:
        hit = Hits(key="login/192.0.2.1", seconds=900)
        await counters.count([hit, Hits(key="other", seconds=900)])
        await ends_now(database)
        (counted,) = await counters.count([hit])
        assert counted.hits == 1
        assert counted.seconds_left > 899

    async def test_what_is_refused_here_is_not_counted_there(self, counters: PostgresRateLimits) -> None:
        address, email = Hits(key="address", seconds=900), Hits(key="e-mail", seconds=900)
        seen = [await counters.count_in_turn(address, 2, email) for _ in range(4)]
        assert [[counted.hits for counted in each] for each in seen] == [[1, 1], [2, 2], [3], [4]]
        (other, known) = await counters.count_in_turn(Hits(key="another", seconds=900), 2, email)
        assert (other.hits, known.hits) == (1, 3)
        (alone,) = await counters.count_in_turn(address, 2, None)
        assert alone.hits == 5

    async def test_nobodys_address_can_be_read_in_the_table(
        self, database: Database, counters: PostgresRateLimits
    ) -> None:
        await counters.count([Hits(key="login/192.0.2.1/jane@example.com", seconds=900)])
        (row,) = await database.rows("SELECT rate_limits::text FROM rate_limits")
        assert "192" not in row[0].partition(",")[0]
        assert "jane" not in row[0]
        stranger = PostgresRateLimits(database, lambda key: key[::-1] * 16)
        (counted,) = await stranger.count([Hits(key="login/192.0.2.1/jane@example.com", seconds=900)])
        assert counted.hits == 1


class TestAsAStorageOfTheLibrary:
    async def test_its_strategies_count_with_it(self, counters: PostgresRateLimits) -> None:
        limiter, item = FixedWindowRateLimiter(counters), RateLimitItemPerMinute(3)
        assert [await limiter.hit(item, "jane") for _ in range(4)] == [True, True, True, False]
        assert not await limiter.test(item, "jane")
        assert await limiter.test(item, "ada")
        stats = await limiter.get_window_stats(item, "jane")
        assert stats.remaining == 0
        await limiter.clear(item, "jane")
        assert await limiter.hit(item, "jane")
        assert await counters.check()
        assert await counters.reset() == 1
        assert await counters.get("unknown") == 0


class TestSweeping:
    async def test_removes_what_has_ended_and_nothing_else(
        self, database: Database, counters: PostgresRateLimits
    ) -> None:
        await counters.count([Hits(key=f"old {number}", seconds=60) for number in range(5_001)])
        await ends_now(database)
        await counters.count([Hits(key="new", seconds=60)])
        assert await sweep_rate_limits(database) == 5_001
        assert await sweep_rate_limits(database) == 0
        assert await counters.get("new") == 1


async def test_counters_that_are_not_there_are_an_outage_and_no_bug(database_url: str) -> None:
    async with Database(database_url) as database:
        counters = PostgresRateLimits(database, MemoryPersonKeys().request_hash)
        with pytest.raises(UnavailableError):
            await counters.count([Hits(key="a", seconds=60)])
        assert not await counters.check()
