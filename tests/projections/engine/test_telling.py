"""What is told of each batch, so that whoever holds answers knows which of them are old."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from uuid import UUID

import msgspec
import pytest

from projections import runner
from projections.adapters.positions import Positions
from projections.engine import Engine
from projections.generations import Moved
from projections.projection import Projection
from projections.runner import Advanced
from tests.projections.engine.shelf import Polled, Shelf, Stand, until
from workers.lease import lone_connection
from workers.projector import OUTAGES

POISON = 666
ONE, TWO = UUID(int=1), UUID(int=2)

pytestmark = pytest.mark.parametrize("search_url", [None], ids=["postgres"])


def effects(before: Shelf | None, after: Shelf | None) -> list[str]:
    """Which fields are another."""
    if before is None or after is None:
        return ["new"]
    return [name for name in ("price", "stock") if getattr(before, name) != getattr(after, name)]


class Told:
    """An engine, and what it says."""

    def __init__(self, stand: Stand) -> None:
        self._stand = stand
        self.said: list[Advanced] = []
        projection: Projection[Any] = replace(stand.projection(), effects=effects)
        self.engine: Engine[Any] = Engine(
            (projection,),
            pool=stand.pool,
            connect=lambda: lone_connection(stand.shop.url),
            log=stand.shop.log,
            feed=Polled(stand.shop.log),
            sink_for=stand.sink_for,
            outages=OUTAGES,
            advanced=self.said.append,
        )

    async def caught_up(self) -> None:
        await self._stand.caught_up()
        await until(lambda: any(each.position >= self._stand.shop.position for each in self.said))

    def changed(self) -> dict[UUID, set[str]]:
        found: dict[UUID, set[str]] = {}
        for each in self.said:
            assert each.changed is not None
            for key, names in each.changed.items():
                found.setdefault(key, set()).update(names)
        self.said.clear()
        return found


class TestBatches:
    async def test_name_the_documents_that_are_another_and_what_that_means(self, stand: Stand) -> None:
        told = Told(stand)
        async with stand.carrying(told.engine):
            one, two = await stand.shop.create(1), await stand.shop.create(2)
            await told.caught_up()
            assert told.changed() == {one: {"new"}, two: {"new"}}
            await stand.shop.price(one, 7)
            await stand.shop.stock(two, 7)
            await told.caught_up()
            assert told.changed() == {one: {"price"}, two: {"stock"}}

    async def test_are_a_chain(self, stand: Stand) -> None:
        told = Told(stand)
        async with stand.carrying(told.engine):
            for number in range(1, 30):
                await stand.shop.create(number)
            await told.caught_up()
        assert [each.after for each in told.said] == [0, *(each.position for each in told.said[:-1])]
        assert told.said[-1].position == stand.shop.position

    async def test_of_too_many_only_tell_that_they_are(
        self, stand: Stand, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(runner, "MOST_NAMED", 5)
        await stand.shop.fill(50)
        told = Told(stand)
        async with stand.carrying(told.engine):
            await told.caught_up()
        assert [each.changed for each in told.said if each.changes > 5] == [None]

    async def test_a_parked_document_is_named_once_it_is_repaired(self, stand: Stand) -> None:
        stand.faults.folding.add(POISON)
        told = Told(stand)
        async with stand.carrying(told.engine):
            one = await stand.shop.create(1, price=1)
            await stand.shop.price(one, POISON)
            await told.caught_up()
            assert told.changed() == {one: {"new"}}
            stand.faults.folding.clear()
            (letter,) = await stand.generations.dead_letters(stand.name)
            assert await stand.asked(await stand.generations.retry(letter.id)) == "settled"
            assert (await stand.seen())[one].price == POISON
            assert told.changed() == {one: {"price"}}

    async def test_another_generation_may_be_another_in_everything(self, stand: Stand) -> None:
        told = Told(stand)
        async with stand.carrying(told.engine):
            await stand.shop.create(1)
            await told.caught_up()
            told.said.clear()
            await stand.asked(await stand.generations.request_rebuild(stand.name))
            await stand.served(2)
            await until(lambda: bool(told.said))
        assert [(each.generation, each.changed) for each in told.said] == [(2, None)]


class TestLooking:
    async def test_tells_how_far_which_generation_is(self, stand: Stand) -> None:
        found: list[tuple[str, int, int]] = []

        class Listener:
            def hear(self, moved: Moved) -> None:
                raise AssertionError(moved)

            def find(self, name: str, generation: int, position: int) -> None:
                found.append((name, generation, position))

        async with stand.running():
            await stand.shop.create(1)
            await stand.caught_up()
        positions = Positions(stand.pool)
        positions.tell(Listener())
        await positions.look()
        assert found == [(stand.name, 1, stand.shop.position)]
        assert positions.known(stand.name) == stand.shop.position


def moved(after: int, position: int, changed: Any, generation: int = 1) -> Moved:
    return Moved(name="shelves", generation=generation, after=after, position=position, changed=changed)


def many(first: int) -> dict[UUID, list[str]]:
    return {UUID(int=number): [] for number in range(first, first + 4_000)}


class TestSeveralAtOnce:
    def test_are_one(self, search_url: None) -> None:
        both = moved(1, 3, {ONE: ["price"]}).then(moved(3, 4, {ONE: ["stock"], TWO: []}))
        assert both == moved(1, 4, {ONE: {"price", "stock"}, TWO: set()})
        assert msgspec.json.decode(msgspec.json.encode(both), type=Moved).after == 1

    @pytest.mark.parametrize(
        ("first", "second"),
        [
            (moved(1, 3, None), moved(3, 4, {})),
            (moved(1, 3, {}), moved(3, 4, None)),
            (moved(1, 3, {}), moved(4, 5, {})),
            (moved(1, 3, {}), moved(3, 4, {}, generation=2)),
            (moved(1, 3, many(0)), moved(3, 4, many(4_000))),
        ],
        ids=["unknown before", "unknown after", "a hole", "another generation", "too many"],
    )  # fmt: skip
    def test_are_unknown_where_one_of_them_is(self, search_url: None, first: Moved, second: Moved) -> None:
        assert first.then(second).changed is None
        assert first.then(second).position == second.position
