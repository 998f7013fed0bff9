"""Numbers that people read: never twice, ascending, and without holes while there is no hurry."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from application.adapters.database import Database
from application.adapters.numbers import MemoryNumbers, Numbers, PostgresNumbers


class Time:
    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture(params=["in memory", "on Postgres"])
def process(request: pytest.FixtureRequest, time: Time) -> Callable[[], Numbers]:
    if request.param == "on Postgres":
        database: Database = request.getfixturevalue("database")
        return lambda: PostgresNumbers(database, clock=time)
    shared = MemoryNumbers(clock=time)

    def another() -> Numbers:
        numbers = MemoryNumbers(clock=time)
        numbers._last = shared._last
        return numbers

    return another


async def test_they_follow_each_other_from_1_whoever_gives_them(
    process: Callable[[], Numbers], time: Time
) -> None:
    given = []
    numbers = [process(), process()]
    for turn in range(6):
        time.seconds += 2
        given.append(await numbers[turn % 2].next("orders"))
    assert given == [1, 2, 3, 4, 5, 6]
    assert await numbers[0].next("accounts") == 1


async def test_in_a_hurry_none_is_given_twice_nor_are_there_holes_within_a_process(
    process: Callable[[], Numbers],
) -> None:
    numbers = process()
    given = await asyncio.gather(*(numbers.next("orders") for _ in range(300)))
    assert given == list(range(1, 301))


async def test_in_a_hurry_two_processes_never_give_the_same(process: Callable[[], Numbers]) -> None:
    numbers = [process(), process()]
    given = await asyncio.gather(*(numbers[turn % 2].next("orders") for turn in range(400)))
    assert len(set(given)) == 400
    for one in (given[::2], given[1::2]):
        assert one == sorted(one)
    assert max(given) <= 400 + 2 * 64


async def test_one_that_was_not_used_is_given_to_the_next(process: Callable[[], Numbers], time: Time) -> None:
    numbers = process()
    given = [await numbers.next("orders") for _ in range(3)]
    for unused in (3, 2):
        numbers.give_back("orders", unused)
    time.seconds += 2
    given += [await numbers.next("orders") for _ in range(3)]
    assert given == [1, 2, 3, 2, 3, 4]
    assert await numbers.next("accounts") == 1


async def test_in_a_hurry_round_trips_are_shared(time: Time) -> None:
    taken: list[int] = []

    class Counting(MemoryNumbers):
        async def _reserve(self, name: str, count: int) -> int:
            taken.append(count)
            return await super()._reserve(name, count)

    numbers = Counting(clock=time)
    for _ in range(200):
        await numbers.next("orders")
    assert taken == [1, 2, 4, 8, 16, 32, 64, 64, 64]
    for _ in range(55):
        await numbers.next("orders")
    time.seconds += 2
    await numbers.next("orders")
    assert taken[-1] == 1
