"""Passwords: argon2id, off the event loop, on threads of their own so that reads go on beside sign-ins (C15)."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import bcrypt
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

_BCRYPT: Final = ("$2a$", "$2b$", "$2y$")
_BCRYPT_BYTES: Final = 72
"""More of a password bcrypt has never looked at."""


class Argon2Passwords:
    """``threads`` bounds how many hashes run at once, and with it their memory (19 MiB each)."""

    def __init__(self, threads: int = 2) -> None:
        self._hasher = PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="argon2")
        self._nobody = self._hasher.hash("nobody's password")

    async def hash(self, password: str) -> str:
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._hasher.hash, password)

    async def matches(self, password: str, password_hash: str | None) -> bool:
        verified = await asyncio.get_running_loop().run_in_executor(
            self._threads, self._verify, password_hash or self._nobody, password
        )
        return verified and password_hash is not None

    def needs_rehash(self, password_hash: str) -> bool:
        return password_hash.startswith(_BCRYPT) or self._hasher.check_needs_rehash(password_hash)

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _verify(self, password_hash: str, password: str) -> bool:
        try:
            if password_hash.startswith(_BCRYPT):
                return bcrypt.checkpw(password.encode()[:_BCRYPT_BYTES], password_hash.encode())
            return self._hasher.verify(password_hash, password)
        except (VerificationError, InvalidHashError, ValueError):
            return False  # the last of these is bcrypt's word for a hash that is none
