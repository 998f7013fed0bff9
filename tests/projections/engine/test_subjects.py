"""Who is erased, suspended or reinstated is so in every document that depends on them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import msgspec
import psycopg
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sqlalchemy import Boolean, Column, LargeBinary

from domain.accounts.events import AccountErased
from domain.kernel import AccountId, CategoryId, Event, ListingId, Recorded, ReviewId, SellerId
from domain.listings.events import ListingCreated, ListingPriceChanged, ListingUnpublished, StockAdjusted
from domain.money import Money
from domain.reviews.events import ReviewSubmitted
from domain.sellers.events import SellerReinstated, SellerSuspended
from projections.adapters.postgres_sink import PostgresSink
from projections.engine import prepare
from projections.generations import create_schema
from projections.projection import Projection, Rows, SearchIndex, read_model
from tests.projections.engine.shelf import Faults, Stand, open_pool, open_shop, until

POISON = 666
AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
ADA, BOB = UUID(int=101), UUID(int=102)
NORTH, SOUTH = SellerId(UUID(int=201)), SellerId(UUID(int=202))


class Stall(msgspec.Struct, frozen=True, kw_only=True):
    """``events`` counts what must be taken in once; ``names`` are those of people who have said something."""

    seller: UUID
    price: int
    open: bool = True
    names: dict[UUID, str] = {}
    events: int = 1


def stall_keys(recorded: Recorded[Any]) -> Sequence[UUID]:
    return (recorded.event.listing_id,)


def fold_stall(stall: Stall | None, event: Event) -> Stall | None:
    if isinstance(event, ListingCreated):
        return Stall(seller=event.seller_id, price=event.price.minor)
    if stall is None or isinstance(event, StockAdjusted):
        return None
    changed: dict[str, Any] = {"events": stall.events + 1}
    match event:
        case AccountErased(account_id=person):
            changed = {"names": {**stall.names, person: ""}}  # once more makes no difference
        case ListingPriceChanged(price=price):
            changed["price"] = price.minor
        case ReviewSubmitted(reviewer_id=reviewer, reviewer_name=name):
            changed["names"] = {**stall.names, reviewer: name}
        case ListingUnpublished():
            changed["names"] = {}
        case _:
            changed["open"] = isinstance(event, SellerReinstated)
    return msgspec.structs.replace(stall, **changed)


def stall_subjects(stall: Stall) -> set[UUID]:
    return {stall.seller, *stall.names}


def stall_projection(
    name: str, engine: str = "postgres", *, version: int = 2, faults: Faults | None = None
) -> Projection[Stall]:
    """Version 1 knows nobody, as read models did before there were subjects."""
    broken = faults or Faults()

    def fold(stall: Stall | None, recorded: Recorded[Any], _: UUID) -> Stall | None:
        event = recorded.event
        if isinstance(event, ListingCreated | ListingPriceChanged) and event.price.minor in broken.folding:
            raise ValueError(f"poison, says {stall.names if stall else 'nobody'}")
        return fold_stall(stall, event)

    def row(stall: Stall) -> dict[str, Any]:
        return {"open": stall.open, "body": msgspec.json.encode(stall)}

    def source(stall: Stall) -> dict[str, Any] | None:
        built: dict[str, Any] = msgspec.to_builtins(stall)
        return built if stall.open else None

    table = read_model(
        name, Column("open", Boolean, nullable=False), Column("body", LargeBinary, nullable=False)
    )
    return Projection(
        name=name,
        version=version,
        events=(ListingCreated, ListingPriceChanged, ListingUnpublished, ReviewSubmitted, StockAdjusted),
        document=Stall,
        keys=stall_keys,
        fold=fold,
        into=Rows(table=table, row=row)
        if engine == "postgres"
        else SearchIndex(mappings={"dynamic": False, "properties": {}}, source=source),
        subjects=None if version == 1 else stall_subjects,
        concerning={}
        if version == 1
        else {
            AccountErased: lambda erased: erased.account_id,
            SellerSuspended: lambda suspended: suspended.seller_id,
            SellerReinstated: lambda reinstated: reinstated.seller_id,
        },
    )


def created(number: int, seller: UUID = NORTH, price: int = 1) -> Event:
    return ListingCreated(
        listing_id=ListingId(UUID(int=number)),
        number=number,
        seller_id=SellerId(seller),
        slug=f"stall-{number}",
        title="a stall",
        description="",
        price=Money(price),
        category_id=CategoryId(UUID(int=9)),
        category="stalls",
    )


def priced(number: int, price: int) -> Event:
    return ListingPriceChanged(listing_id=ListingId(UUID(int=number)), price=Money(price))


def cleared(number: int) -> Event:
    return ListingUnpublished(listing_id=ListingId(UUID(int=number)))


def removed(number: int) -> Event:
    return StockAdjusted(listing_id=ListingId(UUID(int=number)), stock=0)


def said(number: int, reviewer: UUID, name: str = "") -> Event:
    return ReviewSubmitted(
        review_id=ReviewId(UUID(int=number)),
        number=1,
        listing_id=ListingId(UUID(int=number)),
        reviewer_id=reviewer,
        rating=5,
        comment="good",
        reviewer_name=name or f"name of {reviewer.int}",
        reviewer_email="",
        submitted_at=AT,
    )


def suspended(seller: UUID) -> Event:
    return SellerSuspended(seller_id=SellerId(seller), account_id=AccountId(ADA), cause="admin")


def reinstated(seller: UUID) -> Event:
    return SellerReinstated(seller_id=SellerId(seller), account_id=AccountId(ADA), cause="admin")


def erased(person: UUID) -> Event:
    return AccountErased(account_id=AccountId(person), erased_at=AT)


def stream_of(event: Event) -> UUID:
    match event:
        case AccountErased(account_id=stream):
            return stream
        case SellerSuspended(seller_id=stream) | SellerReinstated(seller_id=stream):
            return stream
        case ReviewSubmitted(listing_id=listing, reviewer_id=reviewer):
            return UUID(int=listing.int * 1_000 + reviewer.int)
    listing_id: UUID = event.listing_id  # type: ignore[attr-defined]
    return listing_id


def one_at_a_time(history: Sequence[Event]) -> dict[UUID, Stall]:
    """What must come of it, by the plainest way there is."""
    stalls: dict[UUID, Stall] = {}
    for event in history:
        match event:
            case AccountErased(account_id=subject):
                keys = [key for key, stall in stalls.items() if subject in stall_subjects(stall)]
            case SellerSuspended(seller_id=subject) | SellerReinstated(seller_id=subject):
                keys = [key for key, stall in stalls.items() if subject in stall_subjects(stall)]
            case _:
                keys = [event.listing_id]  # type: ignore[attr-defined]
        for key in keys:
            stall = fold_stall(stalls.get(key), event)
            if stall is None:
                stalls.pop(key, None)
            else:
                stalls[key] = stall
    return stalls


def as_read(history: Sequence[Event]) -> list[Event]:
    """As the log has it: nobody reads what was sealed with somebody's key after they were erased."""
    gone: set[UUID] = set()
    read: list[Event] = []
    for event in history:
        if isinstance(event, AccountErased):
            gone.add(event.account_id)
        is_sealed = isinstance(event, ReviewSubmitted) and event.reviewer_id in gone
        read.append(msgspec.structs.replace(event, reviewer_name="") if is_sealed else event)
    return read


class Market:
    """A stand with stalls: its history, and what must be seen of it."""

    def __init__(self, stand: Stand) -> None:
        self.stand = stand
        self.history: list[Event] = []

    def projection(self, version: int = 2) -> Projection[Stall]:
        return stall_projection(self.stand.name, self.stand.kind, version=version, faults=self.stand.faults)

    async def record(self, *events: Event) -> None:
        self.history += events
        await self.stand.shop.record([(stream_of(event), event) for event in events])

    async def is_right(self) -> None:
        await self.stand.caught_up()
        expected = one_at_a_time(as_read(self.history))
        if self.stand.kind == "opensearch":
            expected = {key: stall for key, stall in expected.items() if stall.open}
        assert await self.stand.seen_as(Stall) == expected

    async def tables(self) -> set[str]:
        """Of the read model's generations, indexes of the search engine among them."""
        async with self.stand.pool.connection() as connection:
            found = await connection.execute(
                "SELECT relname FROM pg_class WHERE relkind = 'r' AND relname LIKE %s",
                (f"{self.stand.name}%",),
            )
            names = {name async for (name,) in found}
        if self.stand.search is not None:
            names |= set(await self.stand.search.indices.get(index=f"{self.stand.name}_g*"))
        return names

    async def holds(self, text: str) -> bool:
        """Whether the text is anywhere in the read model's tables or indexes, or in what is said of them."""
        async with self.stand.pool.connection() as connection:
            for table in ("dead_letters", "projection_generations", *await self.tables()):
                exists = await connection.execute("SELECT to_regclass(%s)", (table,))
                if await exists.fetchone() == (None,):
                    continue
                for column in ("document", "body", "error"):
                    has = await connection.execute(
                        "SELECT FROM pg_attribute WHERE attrelid = %s::regclass AND attname = %s",
                        (table, column),
                    )
                    if await has.fetchone() is None:
                        continue
                    cast = "" if column == "error" else "convert_from"
                    value = f"{cast}({column}, 'UTF8')" if cast else column
                    found = await connection.execute(
                        f"SELECT count(*) FROM {table} WHERE strpos({value}, %s) > 0".encode(), (text,)
                    )
                    if await found.fetchone() != (0,):
                        return True
        if self.stand.search is not None:
            await self.stand.search.indices.refresh(index=f"{self.stand.name}_g*")
            hits = await self.stand.search.search(index=f"{self.stand.name}_g*", body={"size": 1_000})
            return text in str(hits)
        return False


@pytest.fixture
def market(stand: Stand) -> Market:
    return Market(stand)


SOME = (created(1), created(2, SOUTH), created(3), said(1, ADA), said(2, ADA), said(3, BOB))


class TestConcerned:
    async def test_a_suspended_seller_is_so_everywhere_and_comes_back(self, market: Market) -> None:
        async with market.stand.running(market.projection()):
            await market.record(*SOME)
            await market.is_right()
            await market.record(suspended(NORTH))
            await market.is_right()
            await market.record(priced(1, 5), removed(3))
            await market.is_right()
            await market.record(reinstated(NORTH))
            await market.is_right()
            assert set(await market.stand.seen_as(Stall)) == {UUID(int=1), UUID(int=2)}

    @pytest.mark.parametrize("batch", [1, 2, 3, 500])
    async def test_a_catch_up_comes_to_the_same(self, market: Market, batch: int) -> None:
        """Documents of the same batch count, those that are gone by then do not, nor those that come later."""
        await market.record(
            *SOME,
            suspended(NORTH),
            created(4),
            removed(3),
            erased(ADA),
            created(3),
            cleared(1),
            erased(BOB),
            suspended(SOUTH),
            reinstated(NORTH),
            said(3, BOB),
            erased(ADA),
            suspended(NORTH),
        )
        async with market.stand.running(market.projection(), batch=batch):
            await market.is_right()

    async def test_rebuilt_equals_live(self, market: Market) -> None:
        async with market.stand.running(market.projection(), batch=2):
            for event in (*SOME, suspended(NORTH), erased(ADA), priced(1, 7), reinstated(NORTH), erased(BOB)):
                await market.record(event)
            await market.is_right()
            await market.stand.asked(await market.stand.generations.request_rebuild(market.stand.name))
            await market.stand.served(2)
            await market.is_right()
        assert (await market.stand.latest()).comparison.startswith("equal to generation 1")

    async def test_many_documents_are_saved_some_at_a_time_and_seen_at_once(
        self, market: Market, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The connection breaks after the first part: nothing of it stays."""
        await market.record(*(created(number) for number in range(1, 11)))
        sizes: list[int] = []
        original = PostgresSink.write

        async def write(self: PostgresSink, cursor: Any, changes: Sequence[Any]) -> None:
            await original(self, cursor, changes)
            sizes.append(len(changes))
            if len(sizes) == 2:
                seen = await market.stand.seen_as(Stall)
                if market.stand.kind == "postgres":
                    assert {stall.open for stall in seen.values()} == {True}
                raise psycopg.OperationalError("the connection broke")

        projection = market.projection()
        await prepare(market.stand.pool, [projection], market.stand.sink_for)
        monkeypatch.setattr("projections.runner.LIVE_BATCH", 4)
        runner = market.stand.runner(projection, batch=4)
        await runner._reload()
        for _ in range(3):
            await runner._step()
        assert runner.position == 10
        await market.record(suspended(NORTH))
        monkeypatch.setattr(PostgresSink, "write", write)
        with pytest.raises(psycopg.OperationalError):
            await runner._step()
        assert await market.stand.position() == 10
        await runner._step()
        assert sizes == [4, 4, 4, 4, 2]
        await market.is_right()


class TestParked:
    async def test_what_concerns_it_waits_behind(self, market: Market) -> None:
        """Also for a document that is not there yet, and of which nobody knows whose it will be."""
        market.stand.faults.folding.add(POISON)
        async with market.stand.running(market.projection()):
            await market.record(*SOME, priced(1, POISON), created(5, price=POISON))
            await market.record(suspended(NORTH), priced(1, 8), created(6))
            await market.stand.caught_up()
            letters = await market.stand.generations.dead_letters(market.stand.name)
            assert sorted((each.key.int, each.position) for each in letters) == [
                (1, 7),
                (1, 9),
                (1, 10),
                (5, 8),
                (5, 9),
            ]
            market.stand.faults.folding.clear()
            for key in (1, 5):
                letter = next(each.id for each in letters if each.key.int == key)
                assert await market.stand.asked(await market.stand.generations.retry(letter)) == "settled"
            await market.is_right()
            await market.record(reinstated(NORTH))
            await market.is_right()

    async def test_an_erasure_does_not_wait(self, market: Market) -> None:
        market.stand.faults.folding.add(POISON)
        async with market.stand.running(market.projection()):
            await market.record(*SOME, priced(1, POISON), priced(1, 8))
            await market.stand.caught_up()
            assert await market.holds("name of 101")
            letter = (await market.stand.generations.dead_letters(market.stand.name))[0]
            assert "name of 101" in letter.error
            await market.record(erased(ADA))
            await market.stand.caught_up()
            assert not await market.holds("name of 101")
            letters = await market.stand.generations.dead_letters(market.stand.name)
            assert [each.tag for each in letters] == [
                "listing_price_changed",
                "listing_price_changed",
                "account_erased",
            ]
            assert letters[0].error.startswith("It told of somebody who has been erased.")
            assert "in fold" in letters[0].error
            assert [each.error for each in letters[1:]] == ["", ""]
            market.stand.faults.folding.clear()
            assert await market.stand.asked(await market.stand.generations.retry(letter.id)) == "settled"
            await market.is_right()

    async def test_nor_does_one_whose_own_stream_is_parked(self, market: Market) -> None:
        async with market.stand.running(market.projection()):
            await market.record(*SOME)
            await market.stand.caught_up()
        async with market.stand.pool.connection() as connection:
            await connection.execute(
                """
                INSERT INTO dead_letters
                    (name, generation, version, key, whole, stream, stream_version, position, tag, error)
                VALUES (%s, 1, 2, %s, true, %s, 1, 1, 'review_submitted', 'a bug')
                """,
                (market.stand.name, ADA, ADA),
            )
        async with market.stand.running(market.projection()):
            await market.record(erased(ADA))
            await market.stand.caught_up()
            assert not await market.holds("name of 101")
            letters = await market.stand.generations.dead_letters(market.stand.name)
            assert [(each.tag, each.whole) for each in letters] == [
                ("review_submitted", True),
                ("account_erased", True),
            ]

    async def test_what_is_skipped_stays_skipped(self, market: Market) -> None:
        """In this document, in this version, rebuilt or not; what waited behind is taken in."""
        market.stand.faults.folding.add(POISON)
        async with market.stand.running(market.projection()):
            await market.record(*SOME, priced(1, POISON), suspended(NORTH))
            await market.stand.caught_up()
            generations = market.stand.generations
            letters = await generations.dead_letters(market.stand.name)
            assert await market.stand.asked(await generations.skip(letters[0].id)) == "settled"
            market.history.remove(priced(1, POISON))
            await market.is_right()
            await market.stand.asked(await generations.request_rebuild(market.stand.name))
            await market.stand.served(2)
            await market.is_right()


class TestErased:
    async def test_what_is_kept_for_rollback_is_dropped(self, market: Market) -> None:
        told: list[UUID] = []
        engine = market.stand.engine(market.projection())
        engine._tell_erased = told.append
        async with market.stand.carrying(engine):
            await market.record(*SOME)
            await market.stand.caught_up()
            await market.stand.asked(await market.stand.generations.request_rebuild(market.stand.name))
            await market.stand.served(2)
            await market.record(suspended(NORTH))
            await market.is_right()
            assert (await market.stand.generations.projection(market.stand.name)).previous is not None
            both = await market.tables()
            assert await market.holds("name of 101")
            await market.record(erased(ADA))
            await market.is_right()
            await until(lambda: market.stand.has_state(1, "retired"))
            await until(lambda: gone(market, 1))
            assert await market.tables() == {name for name in both if not name.endswith("_g1")}
            assert not await market.holds("name of 101")
            assert await market.holds("name of 102")
            assert told == [ADA]
            outcome = await market.stand.asked(await market.stand.generations.rollback(market.stand.name))
            assert outcome == "there is no previous generation"

    async def test_so_is_what_was_said_of_a_failure(self, market: Market) -> None:
        """The words of an error may quote whatever was at hand."""
        async with market.stand.running(market.projection()):
            await market.record(*SOME)
            await market.stand.caught_up()
            async with market.stand.pool.connection() as connection:
                await connection.execute("UPDATE projection_generations SET error = 'name of 101'")
            await market.record(erased(ADA))
            await market.is_right()
        assert (await market.stand.latest()).error == ""

    async def test_what_knows_of_the_erasure_stays(self, market: Market) -> None:
        async with market.stand.running(market.projection()):
            await market.record(*SOME, erased(ADA))
            await market.stand.caught_up()
            await market.stand.asked(await market.stand.generations.request_rebuild(market.stand.name))
            await market.stand.served(2)
            await market.record(priced(1, 4))
            await market.is_right()
            assert (await market.stand.generations.projection(market.stand.name)).previous is not None
            assert not await market.holds("name of 101")

    async def test_a_rebuild_that_is_under_way_ends_clean(self, market: Market) -> None:
        """Half of it was read while the person's key was there, the other half when it was not."""
        async with market.stand.running(market.projection(), batch=2) as engine:
            await market.record(*SOME, *(priced(2, price) for price in range(200)))
            await market.is_right()
            name, generations = market.stand.name, market.stand.generations
            await market.stand.asked(await generations.request_rebuild(name))
            await generations.throttle(name, 40)
            engine.ring()
            await until(lambda: engine.is_carrying(name, 2))
            await engine.carried(name, 2).reaches(len(SOME))
            await generations.pause(name)
            engine.ring()
            await market.record(said(3, ADA), said(1, BOB), erased(ADA), priced(1, 3))
            await market.stand.shop.keys.destroy(ADA)
            await market.is_right()
            assert (await market.stand.latest()).state == "building"
            await generations.throttle(name, None)
            await generations.resume(name)
            engine.ring()
            await market.stand.served(2)
            await market.is_right()
            assert not await market.holds("name of 101")
        assert (await market.stand.latest()).comparison.startswith("equal to generation 1")

    async def test_one_who_is_erased_while_generations_are_compared_makes_no_difference(
        self, market: Market, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        original = PostgresSink.difference
        compared: list[str] = []

        async def difference(self: PostgresSink, connection: Any, generation: int) -> str:
            compared.append(await original(self, connection, generation))
            if len(compared) == 1:
                await market.record(erased(ADA))
                return "read with and without the key"
            return compared[-1]

        monkeypatch.setattr(PostgresSink, "difference", difference)
        async with market.stand.running(market.projection()):
            await market.record(*SOME)
            await market.is_right()
            await market.stand.asked(await market.stand.generations.request_rebuild(market.stand.name))
            await market.stand.served(2)
            await market.is_right()
        assert compared == ["", ""]

    async def test_a_database_of_former_code_is_taken_over(self, market: Market) -> None:
        """The new version is built beside the old one, and the first erasure ends the old one for good."""
        async with market.stand.running(market.projection(version=1)):
            await market.record(*SOME)
            await market.stand.caught_up()
        async with market.stand.pool.connection() as connection:
            await connection.execute("ALTER TABLE projection_generations DROP COLUMN erased_to")
            await connection.execute("ALTER TABLE dead_letters DROP COLUMN subjects")
            await create_schema(connection)
            await create_schema(connection)
        async with market.stand.running(market.projection()):
            await market.stand.served(2)
            await market.is_right()
            await market.record(suspended(SOUTH), erased(ADA))
            await market.is_right()
            await until(lambda: gone(market, 1))
            assert not await market.holds("name of 101")
            assert await market.holds("name of 102")


async def gone(market: Market, generation: int) -> bool:
    return not any(name.endswith(f"_g{generation}") for name in await market.tables())


NUMBERS, SELLERS, PEOPLE = st.integers(1, 4), st.sampled_from([NORTH, SOUTH]), st.sampled_from([ADA, BOB])
HISTORIES = st.lists(
    st.one_of(
        st.builds(created, NUMBERS, SELLERS, st.sampled_from([1, POISON])),
        st.builds(priced, NUMBERS, st.sampled_from([2, POISON])),
        st.builds(said, NUMBERS, PEOPLE),
        st.builds(cleared, NUMBERS),
        st.builds(removed, NUMBERS),
        st.builds(suspended, SELLERS),
        st.builds(reinstated, SELLERS),
        st.builds(erased, PEOPLE),
    ),
    max_size=24,
)


@settings(max_examples=60, deadline=None)
@given(HISTORIES, st.lists(st.integers(1, 8), min_size=1), st.integers(1, 3))
@example([created(1), suspended(NORTH), created(1, SOUTH), reinstated(NORTH), suspended(SOUTH)], [5], 1)
@example([created(1, price=POISON), suspended(NORTH), created(2), said(2, ADA), erased(ADA)], [2, 3], 2)
def test_however_it_is_cut_it_comes_to_the_same(
    module_database_url: str, history: list[Event], cuts: list[int], room: int
) -> None:
    """With documents that are parked and settled at the end, and a process that takes over in the middle."""
    asyncio.run(carried_in_cuts(module_database_url, history, cuts, room))


async def carried_in_cuts(url: str, history: list[Event], cuts: list[int], room: int) -> None:
    async with open_shop(url) as shop, open_pool(url) as pool:
        stand = Stand(shop, pool, None, "postgres")
        stand.faults.folding.add(POISON)
        projection = stall_projection(stand.name, faults=stand.faults)
        await prepare(pool, [projection], stand.sink_for)
        recorded = [envelope(event, position) for position, event in enumerate(history, start=1)]
        by_position = {each.position: each for each in recorded}

        async def at_positions(positions: Sequence[int]) -> list[Recorded[Any]]:
            return [by_position[position] for position in positions]

        shop.log.at_positions = at_positions  # type: ignore[method-assign]
        runner = stand.runner(projection, batch=room)
        await runner._reload()
        start = 0
        for turn in range(len(recorded)):
            batch = recorded[start : start + cuts[turn % len(cuts)]]
            if not batch:
                break
            if turn == 2:
                runner = stand.runner(projection, batch=room)
                await runner._reload()
            await runner._advance(batch, batch[-1].position)
            start += len(batch)
        stand.faults.folding.clear()
        while letters := await stand.generations.dead_letters(stand.name):
            await runner.settle(letters[0].id, skip=False)
        expected = one_at_a_time(history)
        assert await stand.seen_as(Stall) == expected
        async with pool.connection() as connection:
            rows = await connection.execute(f"SELECT key, subjects FROM {stand.name}".encode())
            subjects = {key: people async for key, people in rows}
        assert subjects == {key: sorted(stall_subjects(stall)) for key, stall in expected.items()}


def envelope(event: Event, position: int) -> Recorded[Any]:
    return Recorded(
        event=event,
        id=uuid4(),
        stream=stream_of(event),
        aggregate="stalls",
        version=position,
        position=position,
        timestamp=AT,
        actor="tests",
    )
