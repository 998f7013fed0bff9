"""An event that cannot be taken in parks its own document, and nothing else."""

from __future__ import annotations

from uuid import UUID

import pytest
from msgspec.structs import replace

from projections.generations import ParkedEvent
from projections.ports import AlreadyAskedError, KeyReusedError, Once, UnknownProjectionError
from tests.projections.engine.shelf import Shelf, Stand

POISON = 666


async def poisoned(stand: Stand) -> UUID:
    """Two more events wait behind the poisonous one; another listing goes on."""
    listing = await stand.shop.create(1, price=1)
    other = await stand.shop.create(2, price=1)
    await stand.shop.price(listing, POISON)
    await stand.shop.stock(listing, 5)
    await stand.caught_up()
    await stand.shop.price(listing, 8)
    await stand.shop.price(other, 2)
    await stand.caught_up()
    return listing


async def parked(stand: Stand) -> list[ParkedEvent]:
    return await stand.generations.dead_letters(stand.name)


class TestFoldingFails:
    async def test_the_document_waits_and_the_others_go_on(self, stand: Stand) -> None:
        stand.faults.folding.add(POISON)
        async with stand.running():
            listing = await poisoned(stand)
            letters = await parked(stand)
            seen = await stand.seen()
        assert [(each.key, each.stream_version, each.tag) for each in letters] == [
            (listing, 2, "listing_price_changed"),
            (listing, 3, "stock_adjusted"),
            (listing, 4, "listing_price_changed"),
        ]
        assert "ValueError: this price is poison" in letters[0].error
        assert [each.error for each in letters[1:]] == ["", ""]
        waiting = Shelf(number=1, title="a thing", price=1, stock=0, events=1)
        assert seen == {**stand.shop.shelves, listing: waiting}
        assert (await stand.generations.projection(stand.name)).active.parked == 3

    async def test_retrying_in_vain_keeps_everything(self, stand: Stand) -> None:
        stand.faults.folding.add(POISON)
        async with stand.running():
            await poisoned(stand)
            before = await parked(stand)
            assert await stand.asked(await stand.generations.retry(before[0].id)) == "3 still parked"
            assert [each.id for each in await parked(stand)] == [each.id for each in before]

    async def test_once_repaired_a_retry_takes_all_in_order(self, stand: Stand) -> None:
        stand.faults.folding.add(POISON)
        async with stand.running():
            listing = await poisoned(stand)
            stand.faults.folding.clear()
            assert await stand.asked(await stand.generations.retry((await parked(stand))[0].id)) == "settled"
            assert await stand.seen() == stand.shop.shelves
            assert await parked(stand) == []
            await stand.shop.price(listing, 9)
            await stand.caught_up()
            assert await stand.seen() == stand.shop.shelves

    async def test_skipping_does_without_the_first_only(self, stand: Stand) -> None:
        stand.faults.folding.add(POISON)
        async with stand.running():
            listing = await poisoned(stand)
            assert await stand.asked(await stand.generations.skip((await parked(stand))[0].id)) == "settled"
            assert (await stand.seen())[listing] == Shelf(
                number=1, title="a thing", price=8, stock=5, events=3
            )
            assert await parked(stand) == []
            rebuilt = await stand.generations.request_rebuild(stand.name)
            assert await stand.asked(rebuilt) == "generation 2"
            await stand.served(2)
            assert (await stand.seen())[listing].events == 3, "what was skipped stays skipped in this version"

    async def test_skipping_it_twice_with_one_key_skips_no_second_event(self, stand: Stand) -> None:
        stand.faults.folding.add(POISON)
        once = Once(scope="user:1", key=stand.name, request_hash=b"1", answer=lambda number: b"%d" % number)
        async with stand.running():
            await poisoned(stand)
            letter = (await parked(stand))[0].id
            request = await stand.generations.skip(letter, once)
            assert await stand.asked(request) == "settled"
            with pytest.raises(AlreadyAskedError) as before:
                await stand.generations.skip(letter, once)
            assert before.value.answer == b"%d" % request
            with pytest.raises(KeyReusedError):
                await stand.generations.retry(letter, replace(once, request_hash=b"2"))
            with pytest.raises(UnknownProjectionError):
                await stand.generations.skip(letter, replace(once, key=f"{stand.name} again"))
            with pytest.raises(UnknownProjectionError):
                await stand.generations.request(request + 1)

    async def test_it_is_still_parked_after_a_restart(self, stand: Stand) -> None:
        stand.faults.folding.add(POISON)
        async with stand.running():
            listing = await poisoned(stand)
        async with stand.running():
            await stand.shop.stock(listing, 1)
            await stand.caught_up()
            assert len(await parked(stand)) == 4


class TestNamingFails:
    async def test_the_stream_waits_until_repaired(self, stand: Stand) -> None:
        stand.faults.naming.add(POISON)
        async with stand.running():
            listing = await poisoned(stand)
            letters = await parked(stand)
            assert [(each.key, each.whole, each.stream_version) for each in letters] == [
                (listing, True, 2),
                (listing, True, 3),
                (listing, True, 4),
            ]
            assert "LookupError" in letters[0].error
            stand.faults.naming.clear()
            assert await stand.asked(await stand.generations.retry(letters[1].id)) == "settled"
            assert await stand.seen() == stand.shop.shelves

    async def test_what_is_skipped_stays_skipped_in_a_rebuild(self, stand: Stand) -> None:
        stand.faults.naming.add(POISON)
        async with stand.running():
            listing = await poisoned(stand)
            assert await stand.asked(await stand.generations.skip((await parked(stand))[0].id)) == "settled"
            skipped = await stand.seen()
            assert skipped[listing].events == 3
            assert await stand.asked(await stand.generations.request_rebuild(stand.name)) == "generation 2"
            await stand.served(2)
            assert await stand.seen() == skipped
            assert await parked(stand) == []

    async def test_named_but_not_folded_it_is_parked_once_and_taken_in_once(self, stand: Stand) -> None:
        stand.faults.naming.add(POISON)
        stand.faults.folding.add(POISON)
        async with stand.running():
            await poisoned(stand)
            stand.faults.naming.clear()
            assert (
                await stand.asked(await stand.generations.retry((await parked(stand))[0].id))
                == "3 still parked"
            )
            assert [each.whole for each in await parked(stand)] == [False, False, False]
            stand.faults.folding.clear()
            while letters := await parked(stand):
                assert await stand.asked(await stand.generations.retry(letters[-1].id)) == "settled"
            assert await stand.seen() == stand.shop.shelves


class TestTheEngineRefuses:
    async def test_the_document_is_parked_and_the_batch_saved(self, stand: Stand) -> None:
        if stand.kind == "opensearch":
            return  # it takes any text that JSON can hold
        async with stand.running():
            nul = await stand.shop.rename_to_nul(1)
            await stand.shop.fill(80, first=2)
            await stand.caught_up()
            letters = await parked(stand)
            assert [each.key for each in letters] == [nul]
            assert "NUL" in letters[0].error
            expected = {key: shelf for key, shelf in stand.shop.shelves.items() if key != nul}
            assert await stand.seen() == expected
