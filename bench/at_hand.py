"""An answer at hand against an empty handler of the framework, and against what the server itself makes possible."""

from __future__ import annotations

from itertools import repeat
from statistics import median
from typing import Final

import httpx
import msgspec

from bench.load import drive, request
from bench.servers import ANSWER, Answer
from bench.shop import Shop
from bench.table import Row

CONNECTIONS: Final = 16
TURNS: Final = 9
SECONDS: Final = 1.5


async def at_hand(shop: Shop, port: int, path: str) -> list[Row]:
    """In turns, for the machine's mood changes by the second: the median of the turns' ratios counts."""
    answer = shop.folder / "answer"
    async with httpx.AsyncClient() as client:
        found = (await client.get(f"http://127.0.0.1:{port}{path}")).raise_for_status()
    # The server says itself when that was.
    headers = [(name.lower(), value) for name, value in found.headers.raw if name.lower() != b"date"]
    answer.write_bytes(msgspec.msgpack.encode(Answer(headers=headers, body=found.content)))
    async with (
        shop.server("empty", "bench.servers:app") as empty,
        shop.server("bare", "bench.servers:bare", factory=True, environment={ANSWER: str(answer)}) as bare,
    ):
        asked = [(empty, request("GET", "/")), (port, request("GET", path)), (bare, request("GET", path))]
        rates: list[list[float]] = [[] for _ in asked]
        for _ in range(TURNS):
            for (each, message), of in zip(asked, rates, strict=True):
                await drive(
                    each, lambda _, sent=message: repeat(sent), connections=CONNECTIONS, seconds=SECONDS / 5
                )
                load = await drive(
                    each, lambda _, sent=message: repeat(sent), connections=CONNECTIONS, seconds=SECONDS
                )
                of.append(load.require(200).rate)
    share, possible = (
        median(ours / nothing for nothing, ours in zip(rates[0], of, strict=True)) for of in rates[1:]
    )
    return [
        Row(name="empty Litestar handler", value=f"{median(rates[0]):,.0f}/s"),
        Row(
            name="product detail, at hand",
            value=f"{median(rates[1]):,.0f}/s = {share:.0%} of it",
            target="≥ 150 %",
            reached=share >= 1.5,
        ),
        Row(
            name="the same bytes from a bare ASGI application",
            value=f"{median(rates[2]):,.0f}/s = {possible:.0%} of it",
        ),
    ]
