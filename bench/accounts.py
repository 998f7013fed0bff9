"""What it costs to know who asks, and what others notice while many people sign in."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator
from statistics import median
from time import perf_counter

from application.adapters.passwords import Argon2Passwords
from bench.load import drive, request
from bench.shop import PASSWORD, Shop, open_shop
from bench.table import Row, show

SECONDS = 8.0
SIGNING_IN = 16
READING = 4


def _repeated(message: bytes) -> Iterator[bytes]:
    return itertools.repeat(message)


def _login(shop: Shop, connection: int) -> Iterator[bytes]:
    body = {"email": shop.emails[connection], "password": PASSWORD}
    return _repeated(request("POST", "/api/v1/auth/login", body=body))


async def overhead(shop: Shop) -> list[Row]:
    """One connection, two handlers that do next to nothing: one of them only for whoever is signed in."""
    means: dict[str, float] = {}
    async with shop.api() as port:
        cases = {
            "open": request("GET", "/api/v1/.well-known/jwks.json"),
            "signed in": request("GET", "/api/v1/auth/csrf", token=shop.tokens[0]),
        }
        for _ in range(2):  # the first round warms up
            for name, message in cases.items():
                load = await drive(
                    port, lambda _, m=message: _repeated(m), connections=1, seconds=SECONDS / 2
                )
                means[name] = load.require(200).seconds / len(load.latencies) * 1000
    more = means["signed in"] - means["open"]
    value = f"{more:.3f} ms more ({means['signed in']:.3f} against {means['open']:.3f} ms in all)"
    return [
        Row(name="token, session, account and role", value=value, target="≤ 0.15 ms", reached=more <= 0.15)
    ]


async def telling_nothing(shop: Shop) -> list[Row]:
    """How long it takes to be told nothing about an address that somebody has, and one that nobody has."""
    rows = []
    async with shop.api() as port:
        for path, more in (
            ("/api/v1/auth/forgot-password", {}),
            ("/api/v1/auth/login", {"password": "Wrong1234"}),
        ):
            took: dict[bool, list[float]] = {True: [], False: []}
            # Each name a few times only, or its lock would be what is measured; in turns, so that neither kind comes
            # to a colder server. The first round warms up both.
            for turn in range(4):
                for known in (True, False):
                    names = shop.emails if known else [f"nobody-{email}" for email in shop.emails]
                    messages = [request("POST", path, body={"email": name, **more}) for name in names]
                    load = await drive(port, lambda _, m=messages: iter(m), connections=1)
                    took[known] += load.require(200, 400).latencies if turn else []
            known_ms, unknown_ms = (median(took[known]) * 1000 for known in (True, False))
            value = f"{known_ms:.2f} ms known, {unknown_ms:.2f} ms unknown, at the median"
            rows.append(Row(name=path, value=value))
    return rows


async def signing_in(shop: Shop) -> list[Row]:
    """Reads that ask the database, beside sign-ins that keep argon2 busy."""
    alone = await _argon2_rate()
    async with shop.api() as port:
        read = request("GET", f"/api/v1/products/{shop.listings[0]}", token=shop.tokens[0])
        await drive(port, lambda _: _repeated(read), connections=READING, seconds=1.0)
        logins, reads = await asyncio.gather(
            drive(port, lambda connection: _login(shop, connection), connections=SIGNING_IN, seconds=SECONDS),
            drive(port, lambda _: _repeated(read), connections=READING, seconds=SECONDS),
        )
    logins.require(200)
    reads.require(200)
    p99 = reads.percentile(0.99)
    return [
        Row(name="argon2 alone, two threads", value=f"{alone:,.0f}/s"),
        Row(name=f"{SIGNING_IN} people sign in all the time", value=f"{logins.rate:,.0f}/s"),
        Row(
            name="reads meanwhile, p99",
            value=f"{p99:.1f} ms (p50 {reads.percentile(0.5):.1f} ms, {reads.rate:,.0f}/s)",
            target="≤ 50 ms",
            reached=p99 <= 50,
        ),
    ]


async def _argon2_rate() -> float:
    passwords = Argon2Passwords()
    hashed = await passwords.hash(PASSWORD)
    began = perf_counter()
    count = 60
    await asyncio.gather(*(passwords.matches(PASSWORD, hashed) for _ in range(count)))
    passwords.close()
    return count / (perf_counter() - began)


async def rows() -> dict[str, list[Row]]:
    async with open_shop(buyers=SIGNING_IN, listings=20) as shop:
        return {
            "Who asks, one API process, 1 connection": await overhead(shop),
            "What the time tells of an address": await telling_nothing(shop),
            "Signing in, one API process": await signing_in(shop),
        }


if __name__ == "__main__":
    for title, found in asyncio.run(rows()).items():
        show(title, found)
