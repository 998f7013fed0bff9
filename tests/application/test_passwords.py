"""Hashing for real: argon2id, and bcrypt hashes that came with imported accounts (C15)."""

from __future__ import annotations

from collections.abc import Iterator

import bcrypt
import pytest
from argon2 import PasswordHasher

from application.adapters.passwords import Argon2Passwords

PASSWORD = "SecurePass123"


@pytest.fixture
def passwords() -> Iterator[Argon2Passwords]:
    passwords = Argon2Passwords()
    yield passwords
    passwords.close()


async def test_its_own_hashes_are_argon2id_salted_and_good(passwords: Argon2Passwords) -> None:
    first, second = await passwords.hash(PASSWORD), await passwords.hash(PASSWORD)
    assert first != second
    assert first.startswith("$argon2id$")
    assert await passwords.matches(PASSWORD, first)
    assert not await passwords.matches("SecurePass124", first)
    assert not passwords.needs_rehash(first)


@pytest.mark.parametrize("prefix", [b"2a", b"2b"])
@pytest.mark.parametrize("password", [PASSWORD, "ö" * 60])
async def test_bcrypt_is_verified_and_to_be_hashed_anew(
    passwords: Argon2Passwords, prefix: bytes, password: str
) -> None:
    """Of a long one bcrypt has only ever looked at the first 72 bytes."""
    known = bcrypt.hashpw(password.encode()[:72], bcrypt.gensalt(4, prefix)).decode()
    assert await passwords.matches(password, known)
    assert not await passwords.matches("another", known)
    assert passwords.needs_rehash(known)


async def test_what_was_hashed_more_cheaply_is_to_be_hashed_anew(passwords: Argon2Passwords) -> None:
    cheap = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(PASSWORD)
    assert await passwords.matches(PASSWORD, cheap)
    assert passwords.needs_rehash(cheap)


@pytest.mark.parametrize("broken", ["", "nonsense", "$argon2id$", "$2b$nonsense", "$2b$12$" + "x" * 53])
async def test_a_broken_hash_matches_nothing(passwords: Argon2Passwords, broken: str) -> None:
    assert not await passwords.matches(PASSWORD, broken or None)
