"""What follows from events, on a log in memory."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import timedelta

import pytest

from application.accounts.standing import EraseAccount, RequestDeletion
from application.errors import ConcurrentChangeError, PaymentProviderError, StorageUnavailableError
from application.payments.paying import RequestPayment
from application.ports import Changed, PaymentIntent
from application.processes.request_payment import request_payment_for
from domain.accounts.account import GRACE
from domain.accounts.events import AccountErased
from domain.orders.events import OrderPlaced
from domain.orders.order import ORDERS
from tests.application.shop import Shop
from tests.projections.engine.shelf import until
from workers.reactor import REACTIONS, Reaction, Reactor

REACTION = Reaction(name="request-payment", event=OrderPlaced, policy=request_payment_for)


class MemoryPlaces:
    def __init__(self) -> None:
        self.positions: dict[str, int] = {}

    async def position(self, name: str) -> int:
        return self.positions.get(name, 0)

    async def move(self, name: str, position: int) -> None:
        self.positions[name] = position


@pytest.fixture
def shop() -> Shop:
    return Shop()


@pytest.fixture
def places() -> MemoryPlaces:
    return MemoryPlaces()


@pytest.fixture
def reactor(shop: Shop, places: MemoryPlaces) -> Reactor:
    return Reactor(shop.log, places, shop.bus, shop.clock)


class TestAnOrderWithoutAPayment:
    async def test_gets_one_because_of_its_event(
        self, shop: Shop, reactor: Reactor, places: MemoryPlaces
    ) -> None:
        order = await shop.order(await shop.buyer(), (await shop.listing(), 1))
        before = await shop.log.head()
        assert await reactor.catch_up(REACTION)
        linked = (await shop.log.decode(await shop.log.read(before, 10)))[-1]
        assert (await shop.now(ORDERS, order.id)).intent_id == "pi_1"
        assert (linked.actor, linked.cause) == ("worker:request-payment", before - 1)
        assert places.positions == {"request-payment": before}

    async def test_gets_no_second_one_when_the_place_was_lost(
        self, shop: Shop, reactor: Reactor, places: MemoryPlaces
    ) -> None:
        await shop.order(await shop.buyer(), (await shop.listing(), 1))
        await reactor.catch_up(REACTION)
        head = await shop.log.head()
        places.positions.clear()
        await reactor.catch_up(REACTION)
        assert await shop.log.head() == head
        assert len(shop.provider.intents) == 1

    async def test_is_left_alone_when_somebody_was_first(self, shop: Shop, reactor: Reactor) -> None:
        order = await shop.order(await shop.buyer(), (await shop.listing(), 1))
        await shop.handle(RequestPayment(order_id=order.id))
        head = await shop.log.head()
        await reactor.catch_up(REACTION)
        assert await shop.log.head() == head

    async def test_waits_for_a_provider_that_is_down(
        self, shop: Shop, reactor: Reactor, places: MemoryPlaces, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def down(**_: object) -> PaymentIntent:
            raise PaymentProviderError("down")

        order = await shop.order(await shop.buyer(), (await shop.listing(), 1))
        with monkeypatch.context() as patched:
            patched.setattr(shop.provider, "create_intent", down)
            with pytest.raises(PaymentProviderError):
                await reactor.catch_up(REACTION)
        await reactor.catch_up(REACTION)
        assert (await shop.now(ORDERS, order.id)).intent_id == "pi_1"

    async def test_is_not_given_up_for_a_conflict(
        self, shop: Shop, reactor: Reactor, places: MemoryPlaces, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def busy(*_: object) -> Changed[object]:
            raise ConcurrentChangeError("Somebody else changed this at the same time")

        order = await shop.order(await shop.buyer(), (await shop.listing(), 1))
        with monkeypatch.context() as patched:
            patched.setattr(shop.bus, "handle", busy)
            with pytest.raises(ConcurrentChangeError):
                await reactor.catch_up(REACTION)
        assert places.positions == {}
        await reactor.catch_up(REACTION)
        assert (await shop.now(ORDERS, order.id)).intent_id == "pi_1"

    async def test_the_grace_is_over_for_old_events(self, shop: Shop, reactor: Reactor) -> None:
        order = await shop.order(await shop.buyer(), (await shop.listing(), 1))
        shop.clock.at += timedelta(hours=1)
        patient = Reaction(
            name="patient", event=OrderPlaced, policy=request_payment_for, grace=timedelta(minutes=59)
        )
        await reactor.catch_up(patient)
        assert (await shop.now(ORDERS, order.id)).intent_id == "pi_1"


class TestABugInOneReaction:
    async def test_holds_up_no_other_one(self, shop: Shop, reactor: Reactor, places: MemoryPlaces) -> None:
        def broken(_: OrderPlaced) -> list[object]:
            raise RuntimeError("a bug")

        await shop.order(await shop.buyer(), (await shop.listing(), 1))
        head = await shop.log.head()
        reactions = [Reaction(name="broken", event=OrderPlaced, policy=broken), REACTION]
        running = asyncio.create_task(reactor.run(reactions))
        try:
            await until(lambda: places.positions.get(REACTION.name, 0) > head)
            await shop.order(await shop.buyer("other"), (await shop.listing(title="Other"), 1))
            reactor.bell.ring()
            head = await shop.log.head()
            await until(lambda: places.positions[REACTION.name] > head)
            assert not running.done()
        finally:
            running.cancel()
            await asyncio.wait([running])
        assert "broken" not in places.positions


class TestSomebodyWhoIsErased:
    async def test_loses_their_key_though_the_files_of_others_cannot_be_deleted_for_now(
        self, shop: Shop, reactor: Reactor, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def away(_: str) -> None:
            raise StorageUnavailableError("The object storage does not answer")

        people = [(await shop.buyer(name)).account_id for name in ("ann", "bea")]
        for person in people:
            await shop.objects.put(f"avatars/{person}/a.webp", b"picture", content_type="image/webp")
            await shop.handle(RequestDeletion(account_id=person, password="Secret123"))
        shop.clock.at += GRACE
        for person in people:
            await shop.handle(EraseAccount(account_id=person))
        forgetting = [each for each in REACTIONS if each.event is AccountErased]
        with monkeypatch.context() as patched:
            patched.setattr(shop.objects, "delete_prefix", away)
            for reaction in forgetting:
                with suppress(StorageUnavailableError):
                    await reactor.catch_up(reaction)
        assert [shop.keys.stored[person] for person in people] == [None, None]
        for reaction in forgetting:
            await reactor.catch_up(reaction)
        assert shop.objects.files == {}
