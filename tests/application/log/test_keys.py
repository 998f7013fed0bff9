"""Keys of persons, and the names and hashes that hang on the master key."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable
from uuid import UUID, uuid4

import pytest

from application.adapters.database import Database
from application.adapters.keys import (
    KeyMissingError,
    MasterKeys,
    MemoryPersonKeys,
    PersonKeys,
    PostgresPersonKeys,
)

OLD, NEW = bytes(32), bytes(range(32))


class Time:
    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture(params=["in memory", "on Postgres"])
def process(request: pytest.FixtureRequest, time: Time) -> Callable[..., PersonKeys]:
    """Makes the keys as another process has them: of the same store, and with nothing remembered."""
    if request.param == "on Postgres":
        database: Database = request.getfixturevalue("database")

        def on_postgres(*masters: bytes, remembered: int = 100) -> PersonKeys:
            return PostgresPersonKeys(
                database, MasterKeys(masters or [OLD]), remembered=remembered, clock=time
            )

        return on_postgres
    stored: dict[UUID, bytes | None] = {}

    def in_memory(*masters: bytes, remembered: int = 100) -> PersonKeys:
        keys = MemoryPersonKeys(MasterKeys(masters or [OLD]), remembered=remembered, clock=time)
        keys.stored = stored
        return keys

    return in_memory


async def seal(keys: PersonKeys, person: UUID) -> bytes:
    cipher = await keys.cipher_for(person)
    assert cipher is not None
    return cipher.seal(b"secret", b"here")


async def unseal(keys: PersonKeys, person: UUID, box: bytes) -> bytes | None:
    cipher = (await keys.ciphers([person]))[person]
    return None if cipher is None else cipher.open(box, b"here")


async def test_every_process_has_the_same_key_of_a_person(process: Callable[..., PersonKeys]) -> None:
    ada, bob = uuid4(), uuid4()
    box = await seal(process(), ada)
    assert await unseal(process(), ada, box) == b"secret"
    assert await seal(process(), ada) != box
    await seal(process(), bob)
    assert set(await process().ciphers([ada, bob])) == {ada, bob}


async def test_processes_that_make_a_key_at_once_agree_on_one(process: Callable[..., PersonKeys]) -> None:
    ada = uuid4()
    processes = [process() for _ in range(6)]
    boxes = await asyncio.gather(*(seal(keys, ada) for keys in processes))
    for box in boxes:
        assert await unseal(process(), ada, box) == b"secret"


async def test_a_destroyed_key_is_gone_for_ever(process: Callable[..., PersonKeys]) -> None:
    ada = uuid4()
    keys = process()
    box = await seal(keys, ada)
    await keys.destroy(ada)
    await keys.destroy(ada)
    for now in (keys, process()):
        assert await unseal(now, ada, box) is None
        assert await now.cipher_for(ada) is None


async def test_a_person_who_never_had_a_key_gets_none_after_the_erasure(
    process: Callable[..., PersonKeys],
) -> None:
    ada = uuid4()
    await process().destroy(ada)
    assert await process().cipher_for(ada) is None


async def test_other_processes_forget_within_a_minute_or_when_told(
    process: Callable[..., PersonKeys], time: Time
) -> None:
    ada = uuid4()
    slow, told = process(), process()
    box = await seal(slow, ada)
    assert await unseal(told, ada, box) == b"secret"
    await process().destroy(ada)
    assert await unseal(slow, ada, box) == b"secret"
    told.withdraw(ada)
    assert await unseal(told, ada, box) is None
    time.seconds += 61
    assert await unseal(slow, ada, box) is None


async def test_a_key_that_was_never_made_is_not_taken_for_a_destroyed_one(
    process: Callable[..., PersonKeys],
) -> None:
    with pytest.raises(KeyMissingError):
        await process().ciphers([uuid4()])


async def test_only_so_many_are_remembered(process: Callable[..., PersonKeys]) -> None:
    keys = process(remembered=3)
    for _ in range(10):
        await seal(keys, uuid4())
    assert len(keys._opened) == 3


class TestMasterKeys:
    async def test_a_new_one_in_front_still_opens_what_the_old_one_closed(
        self, process: Callable[..., PersonKeys]
    ) -> None:
        ada, bob = uuid4(), uuid4()
        box = await seal(process(OLD), ada)
        both = process(NEW, OLD)
        assert await unseal(both, ada, box) == b"secret"
        await seal(both, bob)
        with pytest.raises(KeyMissingError, match="not given"):
            await process(OLD).ciphers([bob])

    def test_names_and_hashes_stay_when_a_new_one_comes(self) -> None:
        before, after = MemoryPersonKeys(MasterKeys([OLD])), MemoryPersonKeys(MasterKeys([NEW, OLD]))
        assert before.claim_id("email", "a@b.c") == after.claim_id("email", "a@b.c")
        assert before.request_hash(b"x") == after.request_hash(b"x")
        assert after.system.open(before.system.seal(b"secret", b""), b"") == b"secret"

    def test_are_given_in_base64(self) -> None:
        text = f"{base64.b64encode(NEW).decode()}, {base64.b64encode(OLD).decode()}"
        assert MasterKeys.parse(text).derive("x") == MasterKeys([NEW, OLD]).derive("x")

    @pytest.mark.parametrize("wrong", ["", "c2hvcnQ=", "not base64!"])
    def test_must_be_32_bytes(self, wrong: str) -> None:
        with pytest.raises(ValueError, match=r"32 bytes|base64"):
            MasterKeys.parse(wrong)


class TestNames:
    keys = MemoryPersonKeys(MasterKeys([OLD]))

    def test_one_value_has_one_claim_however_it_is_written(self) -> None:
        claim = self.keys.claim_id("email", "ada@example.com")
        assert claim == self.keys.claim_id("email", "ADA@Example.com")
        assert claim != self.keys.claim_id("username", "ada@example.com")
        assert claim != self.keys.claim_id("email", "bob@example.com")
        assert (claim.version, claim.variant) == (5, "specified in RFC 4122")

    def test_nobody_without_the_master_key_can_tell_whose_a_claim_is(self) -> None:
        other = MemoryPersonKeys(MasterKeys([NEW]))
        assert self.keys.claim_id("email", "a@b.c") != other.claim_id("email", "a@b.c")
        assert self.keys.request_hash(b"x") != other.request_hash(b"x")
        assert len(self.keys.request_hash(b"x")) == 32
