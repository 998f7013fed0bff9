"""Once somebody is erased nothing of them comes back into a process's memory, whenever their key is destroyed."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, LiteralString
from uuid import UUID, uuid4

import msgspec
import pytest

from application.adapters.appending import Append, NewEvent
from application.adapters.codec import EventCodec
from application.adapters.database import Database
from application.adapters.erasures import Erasures
from application.adapters.keys import MemoryPersonKeys, PersonKeys, PostgresPersonKeys
from application.errors import LogUnavailableError, UnavailableError
from application.ports import StoredEvent
from domain.accounts.events import AccountErased
from domain.kernel import Decider, Event, PersonalText
from domain.orders.events import OrderNoteAdded
from domain.registry import AGGREGATES, EVENTS
from tests.application.log.conftest import MASTER, Asked, World
from tests.application.log.jars import SOMEBODY, JarEvent, NoteStuck, jar_id
from tests.domain.builders import NOW, ORDER_ID

A = jar_id("a")


class Label(msgspec.Struct, frozen=True, kw_only=True):
    account_id: UUID
    text: PersonalText = ""
    count: int = 0


def labelled(label: Label | None, event: JarEvent) -> Label:
    assert isinstance(event, NoteStuck)
    return Label(account_id=event.person, text=event.text, count=1 + (label.count if label else 0))


LABELS: Decider[Label, JarEvent] = Decider("jars", labelled)
LONG_LABELS: Decider[Label, JarEvent] = Decider("jars", labelled, snapshot=Label)


def note(person: UUID) -> Any:
    return lambda _: [NoteStuck(person=person, text="call me")]


class Held(Asked):
    """Answers when it is let, and says when it is asked."""

    def __init__(self, world: World) -> None:
        super().__init__(world.log)
        self.asked_for = asyncio.Event()
        self.let = asyncio.Event()

    async def histories(self, wanted: Any) -> Any:
        found = await super().histories(wanted)
        await self._wait()
        return found

    async def append(self, append: Append) -> int:
        await self._wait()
        return await super().append(append)

    async def _wait(self) -> None:
        self.asked_for.set()
        await self.let.wait()


class Unsteady:
    """A database that is away now and then."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.is_away = False

    async def rows(self, statement: LiteralString, parameters: Sequence[Any] = ()) -> list[Any]:
        if self.is_away:
            raise LogUnavailableError("The database does not answer")
        return await self._database.rows(statement, parameters)


class TestWhatIsInSomebodysHands:
    async def test_what_was_read_before_is_not_remembered_afterwards(self, world: World) -> None:
        ada, log = uuid4(), Held(world)
        await world.elsewhere.change(LABELS, A, note(ada), SOMEBODY)
        async with world.process(log) as store:
            loading = asyncio.create_task(store.load(LABELS, A))
            await log.asked_for.wait()
            store.forget(ada)
            log.let.set()
            assert (await loading).present.text == ""
            assert store._memory == {}

    async def test_nor_what_was_decided_on_it(self, world: World) -> None:
        ada, log = uuid4(), Held(world)
        log.let.set()
        async with world.process(log) as store:
            await store.change(LABELS, A, note(ada), SOMEBODY)
            assert store._memory[A].state.text == "call me"
            log.let.clear()
            log.asked_for.clear()
            changing = asyncio.create_task(store.change(LABELS, A, note(ada), SOMEBODY))
            await log.asked_for.wait()
            store.forget(ada)
            log.let.set()
            assert (await changing).version == 2
            assert (store._memory, store._on_their_way) == ({}, {})

    async def test_whoever_is_erased_can_still_be_decided_on(self, world: World) -> None:
        ada = uuid4()
        await world.store.change(LABELS, A, note(ada), SOMEBODY)
        await world.keys.destroy(ada)
        world.store.forget(ada)
        for version in (2, 3):
            assert (await world.store.change(LABELS, A, note(ada), SOMEBODY)).version == version
        assert (await world.store.load(LABELS, A)).present == Label(account_id=ada, count=3)
        assert world.store._memory == {}

    async def test_a_key_that_was_asked_for_before_does_not_come_back(self) -> None:
        let, asked = asyncio.Event(), asyncio.Event()

        class Slow(MemoryPersonKeys):
            async def _fetch(self, persons: Sequence[UUID]) -> dict[UUID, bytes | None]:
                found = await super()._fetch(persons)
                asked.set()
                await let.wait()
                return found

        ada, keys, elsewhere = uuid4(), Slow(), MemoryPersonKeys()
        keys.stored = elsewhere.stored
        await elsewhere.cipher_for(ada)
        asking = asyncio.create_task(keys.ciphers([ada]))
        await asked.wait()
        keys.withdraw(ada)
        let.set()
        assert await asking == {ada: None}
        assert await keys.cipher_for(ada) is None


class TestSnapshots:
    async def test_are_sealed_with_the_key_of_the_person(self, world: World) -> None:
        ada, asked = uuid4(), Asked(world.log)
        async with world.process(asked, snapshot_every=10) as store:
            for _ in range(14):
                await store.change(LONG_LABELS, A, note(ada), SOMEBODY)
        (snapshot,) = asked.snapshots
        assert (snapshot.version, b"call me" in snapshot.state) == (10, False)
        log = Asked(world.log)
        read = await world.process(log).load(LONG_LABELS, A)
        assert (read.present, read.version) == (Label(account_id=ada, text="call me", count=14), 14)
        assert log.histories_asked == 1

    async def test_without_it_everything_is_read_anew(self, world: World) -> None:
        ada = uuid4()
        async with world.process(Asked(world.log), snapshot_every=10) as store:
            for _ in range(14):
                await store.change(LONG_LABELS, A, note(ada), SOMEBODY)
        await world.keys.destroy(ada)
        asked = Asked(world.log)
        async with world.process(asked, snapshot_every=10) as store:
            read = await store.load(LONG_LABELS, A)
        assert (read.present, read.version) == (Label(account_id=ada, count=14), 14)
        assert asked.snapshots == []


class TestHearingOfIt:
    async def test_each_is_told_of_once_whoever_destroyed_the_key(self, database: Database) -> None:
        before, ada, bob = uuid4(), uuid4(), uuid4()
        elsewhere = PostgresPersonKeys(database, MASTER)
        told: list[UUID] = []
        erasures = Erasures(database)
        erasures.tell(told.append)
        await erasures.look()
        assert told == []
        for person in (ada, bob):
            await elsewhere.cipher_for(person)
            await elsewhere.destroy(person)
            for _ in range(2):
                await erasures.look()
        assert told == [ada, bob]
        await elsewhere.cipher_for(before)
        await erasures.look()
        assert told == [ada, bob]

    async def test_who_was_erased_during_an_outage_is_told_of_afterwards(self, database: Database) -> None:
        ada = uuid4()
        elsewhere = PostgresPersonKeys(database, MASTER)
        unsteady = Unsteady(database)
        told: list[UUID] = []
        erasures = Erasures(unsteady)  # type: ignore[arg-type]
        erasures.tell(told.append)
        await erasures.look()
        unsteady.is_away = True
        await elsewhere.destroy(ada)
        with pytest.raises(UnavailableError):
            await erasures.look()
        unsteady.is_away = False
        await erasures.look()
        assert told == [ada]

    async def test_a_process_that_hears_no_message_forgets_all_the_same(
        self, on_postgres: World, database: Database
    ) -> None:
        """Also what it loaded again between the erasure and the destruction of the key, however late that is."""
        ada = uuid4()
        store = on_postgres.process(Asked(on_postgres.log))
        erasures = Erasures(database)
        erasures.tell(store.forget)
        await erasures.look()
        await store.change(LABELS, A, note(ada), SOMEBODY)
        assert (await store.load(LABELS, A)).present.text == "call me"
        await PostgresPersonKeys(database, MASTER).destroy(ada)
        assert store._memory[A].state.text == "call me"
        await erasures.look()
        assert store._memory == {}
        assert (await store.load(LABELS, A)).present.text == ""


class TestBetweenTheErasureAndTheKeysEnd:
    async def test_nobody_gets_the_key_any_more(self, on_postgres: World, database: Database) -> None:
        ada = uuid4()

        def process() -> PersonKeys:
            return PostgresPersonKeys(database, MASTER)

        assert await process().cipher_for(ada) is not None
        await recorded(on_postgres, ada, AccountErased(account_id=ada, erased_at=NOW))  # type: ignore[arg-type]
        assert await process().cipher_for(ada) is None
        assert await process().ciphers([ada]) == {ada: None}
        ((wrapped,),) = await database.rows("SELECT wrapped FROM person_keys WHERE person = %s", [ada])
        assert wrapped is not None

    async def test_whoever_reads_of_it_reads_nothing_of_theirs_from_there_on(self) -> None:
        ada: Any = uuid4()
        keys = MemoryPersonKeys()
        codec = EventCodec(EVENTS, AGGREGATES, keys)
        said = OrderNoteAdded(
            order_id=ORDER_ID, account_id=ada, note_id=uuid4(), author=1, note="call me", created_at=NOW
        )
        happened: list[tuple[UUID, Event]] = [
            (ORDER_ID, said),
            (ada, AccountErased(account_id=ada, erased_at=NOW)),
            (ORDER_ID, said),
        ]
        stored = [
            StoredEvent(stream, number, *await codec.encode(event, stream, NOW, SOMEBODY), number)
            for number, (stream, event) in enumerate(happened, 1)
        ]
        (before,) = await codec.decode(stored[:1])
        assert before.event == said
        _, after = await codec.decode(stored[1:])
        assert after.event == msgspec.structs.replace(said, note="")
        assert (await codec.decode(stored[:1]))[0].event == after.event
        assert keys.stored[ada] is not None


async def recorded(world: World, stream: UUID, event: Event) -> None:
    codec = EventCodec(EVENTS, AGGREGATES, world.keys)
    tag, state = await codec.encode(event, stream, NOW, SOMEBODY)
    await world.log.append(Append(events=[NewEvent(stream, 1, tag, state)]))
