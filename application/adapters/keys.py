"""Keys of persons: with them personal data is written, and without them nobody reads it any more."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import unicodedata
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Callable, Collection, Sequence
from time import monotonic
from typing import Final, LiteralString
from uuid import UUID

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from application.adapters.arrays import uuids
from application.adapters.database import Database
from domain.accounts.events import AccountErased
from domain.kernel import tag_of

_NONCE: Final = 12
_KEY_ID: Final = 4

# After an account was erased, nothing more happens to it.
_FETCH: Final[LiteralString] = """
SELECT person, CASE WHEN (
    SELECT topic FROM stored_events WHERE originator_id = person ORDER BY originator_version DESC LIMIT 1
) = %s THEN NULL ELSE wrapped END
FROM person_keys WHERE person = ANY (%s)
"""


class KeyMissingError(Exception):
    """A person's key is neither there nor destroyed: the key table is not this log's."""


class Cipher:
    """AES-256-GCM with one key. A box is a random nonce and ciphertext; ``context`` binds it to its place."""

    __slots__ = ("_aead",)

    def __init__(self, key: bytes) -> None:
        self._aead = AESGCM(key)

    def seal(self, plain: bytes, context: bytes) -> bytes:
        nonce = os.urandom(_NONCE)
        return nonce + self._aead.encrypt(nonce, plain, context)

    def open(self, box: bytes, context: bytes) -> bytes:
        return self._aead.decrypt(box[:_NONCE], box[_NONCE:], context)


class MasterKeys:
    """What ``TRADELOG_MASTER_KEY`` holds: base64 of 32 bytes, or several of those with commas between.

    The first one wraps new keys of persons; all of them unwrap, told apart by a prefix. To rotate, put a new
    one in front. The last one, with which the log began, is also what names and anonymous data hang on: it
    must stay.
    """

    def __init__(self, keys: Sequence[bytes]) -> None:
        if not keys or any(len(key) != 32 for key in keys):
            raise ValueError("a master key is 32 bytes, in base64")
        self._wrapping = {
            _derived(key, "key id")[:_KEY_ID]: Cipher(_derived(key, "wrapping")) for key in keys
        }
        self._current = _derived(keys[0], "key id")[:_KEY_ID]
        self._root = keys[-1]

    @classmethod
    def parse(cls, text: str) -> MasterKeys:
        return cls([base64.b64decode(part.strip(), validate=True) for part in text.split(",")])

    def wrap(self, key: bytes, person: UUID) -> bytes:
        return self._current + self._wrapping[self._current].seal(key, person.bytes)

    def unwrap(self, wrapped: bytes, person: UUID) -> bytes:
        cipher = self._wrapping.get(wrapped[:_KEY_ID])
        if cipher is None:
            raise KeyMissingError(f"the key of {person} is wrapped with a master key that is not given")
        return cipher.open(wrapped[_KEY_ID:], person.bytes)

    def derive(self, purpose: str) -> bytes:
        return _derived(self._root, purpose)


def _derived(key: bytes, purpose: str) -> bytes:
    return HKDF(SHA256(), 32, salt=b"tradelog", info=purpose.encode()).derive(key)


class PersonKeys(ABC):
    """A data key per person, made when first needed and kept wrapped by the master key.

    Opened keys are remembered for a minute, so that a destroyed one is out of use everywhere soon after; a
    process that hears of an erasure calls ``withdraw`` at once. Nobody gets the key of somebody who is erased, also
    while it is not destroyed yet: what is recorded or read of them from then on would be kept where nobody forgets it.
    """

    def __init__(
        self,
        master: MasterKeys,
        *,
        remembered: int = 50_000,
        seconds: float = 60.0,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._master = master
        self._remembered = remembered
        self._seconds = seconds
        self._clock = clock
        self._opened: OrderedDict[UUID, tuple[float, Cipher | None]] = OrderedDict()
        self._claims = master.derive("claims")
        self._requests = master.derive("requests")
        self.system: Final = Cipher(master.derive("system"))
        """For data that tells about nobody in particular but is nobody's business either."""

    async def ciphers(self, persons: Collection[UUID]) -> dict[UUID, Cipher | None]:
        """The key of each person, or nothing where it was destroyed; one query for all not remembered."""
        found: dict[UUID, Cipher | None] = {}
        missing: list[UUID] = []
        for person in persons:
            known = self._opened.get(person)
            if known is not None and known[0] > self._clock():
                found[person] = known[1]
            else:
                missing.append(person)
        if missing:
            fetched = await self._fetch(missing)
            for person in missing:
                if person not in fetched:
                    raise KeyMissingError(f"there is no key of {person}")
                found[person] = self._remember(person, fetched[person])
        return found

    async def cipher_for(self, person: UUID) -> Cipher | None:
        """The key to write with, made if there is none; nothing if the person was erased."""
        known = self._opened.get(person)
        if known is not None and known[0] > self._clock():
            return known[1]
        fetched = await self._fetch([person])
        if person not in fetched:
            await self._create(person, self._master.wrap(os.urandom(32), person))
            # Another process may have been first: what counts is the one that is stored.
            fetched = await self._fetch([person])
        return self._remember(person, fetched[person])

    async def destroy(self, person: UUID) -> None:
        """Make all that was written with the person's key unreadable for ever."""
        await self._destroy(person)
        self.withdraw(person)

    def withdraw(self, person: UUID) -> None:
        """The person is erased: from here on this process does without their key, destroyed or not."""
        self._remember(person, None)

    def is_withdrawn(self, person: UUID) -> bool:
        """Whether it is known here that the person is erased. Of those long ago it may not be."""
        known = self._opened.get(person)
        return known is not None and known[1] is None

    def claim_id(self, kind: str, value: str) -> UUID:
        """The claim stream of a unique value; case and ways of encoding it make no difference."""
        same = unicodedata.normalize("NFKC", value).casefold()
        digest = hmac.digest(self._claims, f"{kind}\0{same}".encode(), "sha256")
        return UUID(bytes=digest[:16], version=5)

    def request_hash(self, request: bytes) -> bytes:
        """Tells whether a repeated request is the same, without telling what it was."""
        return hmac.digest(self._requests, request, hashlib.sha256)

    def _remember(self, person: UUID, wrapped: bytes | None) -> Cipher | None:
        cipher = None
        # What was asked before the erasure, and is answered after it, brings no key back.
        if wrapped is not None and not self.is_withdrawn(person):
            cipher = Cipher(self._master.unwrap(wrapped, person))
        self._opened[person] = (self._clock() + self._seconds, cipher)
        self._opened.move_to_end(person)
        while len(self._opened) > self._remembered:
            self._opened.popitem(last=False)
        return cipher

    @abstractmethod
    async def _fetch(self, persons: Sequence[UUID]) -> dict[UUID, bytes | None]:
        """The wrapped keys that are stored; ``None`` for destroyed ones, and of those who are erased."""

    @abstractmethod
    async def _create(self, person: UUID, wrapped: bytes) -> None:
        """Store it, unless there is or was a key of this person."""

    @abstractmethod
    async def _destroy(self, person: UUID) -> None:
        """Remove the key, and remember that there must never be another one."""


class PostgresPersonKeys(PersonKeys):
    """Keys of persons beside the log."""

    def __init__(
        self,
        database: Database,
        master: MasterKeys,
        *,
        remembered: int = 50_000,
        seconds: float = 60.0,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        super().__init__(master, remembered=remembered, seconds=seconds, clock=clock)
        self._database = database

    async def _fetch(self, persons: Sequence[UUID]) -> dict[UUID, bytes | None]:
        rows = await self._database.rows(_FETCH, [tag_of(AccountErased), uuids(persons)])
        return dict(rows)

    async def _create(self, person: UUID, wrapped: bytes) -> None:
        await self._database.rows(
            "INSERT INTO person_keys (person, wrapped) VALUES (%s, %s) ON CONFLICT DO NOTHING",
            [person, wrapped],
        )

    async def _destroy(self, person: UUID) -> None:
        await self._database.rows(
            """
            INSERT INTO person_keys AS known (person, destroyed_at) VALUES (%s, now())
            ON CONFLICT (person) DO UPDATE SET wrapped = NULL, destroyed_at = coalesce(known.destroyed_at,
            now())
            """,
            [person],
        )


class MemoryPersonKeys(PersonKeys):
    """The same without a database, for unit tests."""

    def __init__(
        self,
        master: MasterKeys | None = None,
        *,
        remembered: int = 50_000,
        seconds: float = 60.0,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        super().__init__(
            master or MasterKeys([bytes(32)]), remembered=remembered, seconds=seconds, clock=clock
        )
        self.stored: dict[UUID, bytes | None] = {}

    async def _fetch(self, persons: Sequence[UUID]) -> dict[UUID, bytes | None]:
        return {person: self.stored[person] for person in persons if person in self.stored}

    async def _create(self, person: UUID, wrapped: bytes) -> None:
        self.stored.setdefault(person, wrapped)

    async def _destroy(self, person: UUID) -> None:
        self.stored[person] = None
