"""The category tree is read again when it may have changed, and only then."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any
from uuid import UUID

import pytest

from api.known_categories import KnownCategories
from api.ready import ReadyAnswers
from projections.generations import Moved

BOOKS = UUID(int=1)


class Table:
    """It is empty, and counts how often somebody looks."""

    def __init__(self) -> None:
        self.looks = 0

    async def one(self, query: str, *parameters: Any) -> tuple[Any, ...] | None:
        raise AssertionError("the tree is read as a whole")

    async def all(self, query: str, *parameters: Any) -> list[tuple[Any, ...]]:
        self.looks += 1
        return []


class Known:
    def __init__(self) -> None:
        self.table = Table()
        self.answers = ReadyAnswers()
        self.answers.follow(True)
        for name in ("products", "categories"):
            self.answers.find(name, 1, 10)
        self.categories = KnownCategories(self.table, self.answers)

    def hear(self, name: str, changed: dict[UUID, Collection[str]] | None, *, position: int = 11) -> None:
        self.answers.hear(Moved(name=name, generation=1, position=position, after=10, changed=changed))

    async def looks(self, position: int) -> int:
        before = self.table.looks
        await self.categories.at(position)
        return self.table.looks - before


@pytest.fixture
async def known() -> Known:
    known = Known()
    assert await known.looks(10) == 1
    return known


class TestKnownCategories:
    async def test_are_read_once(self, known: Known) -> None:
        assert await known.looks(10) == 0

    async def test_stand_while_products_change(self, known: Known) -> None:
        known.hear("products", {UUID(int=7): ("listed",)})
        assert await known.looks(10) == 0

    async def test_stand_at_a_later_position_at_which_nothing_had_changed(self, known: Known) -> None:
        known.hear("categories", {})
        assert await known.looks(11) == 0

    async def test_are_read_again_when_one_has_changed(self, known: Known) -> None:
        known.hear("categories", {BOOKS: ("categories",)})
        assert [await known.looks(11), await known.looks(11)] == [1, 0]

    async def test_are_read_again_for_somebody_who_has_changed_one_that_we_have_not_heard_of(
        self, known: Known
    ) -> None:
        assert [await known.looks(11), await known.looks(11)] == [1, 1]

    async def test_are_read_again_while_the_table_is_ahead_of_what_we_have_heard(self, known: Known) -> None:
        known.answers.find("categories", 1, 12)
        assert await known.looks(10) == 1

    async def test_are_read_again_when_it_cannot_be_told_what_has_changed(self, known: Known) -> None:
        known.hear("categories", None)
        assert await known.looks(11) == 1

    async def test_are_read_again_when_another_generation_is_served(self, known: Known) -> None:
        known.answers.find("categories", 2, 10)
        assert await known.looks(10) == 1

    async def test_are_read_each_time_while_nobody_tells_us(self, known: Known) -> None:
        known.answers.follow(False)
        assert [await known.looks(10), await known.looks(10)] == [1, 1]

    async def test_what_changed_while_they_were_read_is_read_again(self, known: Known) -> None:
        known.hear("categories", {BOOKS: ("categories",)})
        reading = known.categories.at(11)
        all_before = known.table.all

        async def all_and_a_change(query: str, *parameters: Any) -> list[tuple[Any, ...]]:
            rows = await all_before(query, *parameters)
            moved = Moved(
                name="categories", generation=1, position=12, after=11, changed={BOOKS: ("categories",)}
            )
            known.answers.hear(moved)
            return rows

        known.table.all = all_and_a_change  # type: ignore[method-assign]
        await reading
        known.table.all = all_before  # type: ignore[method-assign]
        assert [await known.looks(12), await known.looks(12)] == [1, 0]
