"""How well and how soon both engines find: nDCG@10 of 30 judged queries, and from publishing to being found.

``judgements.json`` grades by hand, from 3 (this is what was wanted) to 1 (might do), every product of the catalogue
that has anything to do with a query, whether an engine finds it or not; all others are 0. The numbers are DummyJSON's.

``python -m bench.relevance`` prints the rows; with ``-v`` also what each engine ranked badly.
"""

from __future__ import annotations

import asyncio
import base64
import json
import math
import secrets
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Final

import msgspec

from application.bootstrap import WriteSide, write_side
from application.listings.creating import CreateListing
from application.listings.publishing import PublishListing, UnpublishListing
from application.ports import Metadata
from application.settings import Settings
from bench.table import Row, show
from domain.accounts.events import Caller, Role
from domain.kernel import AccountId, ListingId, stream_id
from domain.money import Money
from domain.sellers.events import HOUSE_SELLER
from projections.bootstrap import ReadSide, read_side
from projections.products.query import ProductFilter, ProductSearch
from workers.jetstream import connect
from workers.local.nats import Nats
from workers.local.opensearch import OpenSearch
from workers.local.postgres import Postgres
from workers.local.process import Process
from workers.migrating import migrate
from workers.seeding import Catalogue, Seeder

JUDGEMENTS: Final = Path(__file__).with_name("judgements.json")
DEPTH: Final = 10
AIM: Final = 0.85
TIMES: Final = 20
METADATA: Final = Metadata(actor="worker:bench")
ADMIN: Final = Caller(
    account_id=AccountId(stream_id("account", "bench")), number=1, roles=frozenset({Role.ADMIN})
)


class Judgement(msgspec.Struct, frozen=True):
    query: str
    grades: Mapping[int, int]


def ndcg(ranked: Sequence[int], grades: Mapping[int, int]) -> float:
    """Of 1 for the best order there is, with a gain of 2^grade - 1 that counts less the further down it stands."""
    return _gain([grades.get(number, 0) for number in ranked]) / _gain(sorted(grades.values(), reverse=True))


def _gain(grades: Sequence[int]) -> float:
    return math.fsum((2**grade - 1) / math.log2(place + 2) for place, grade in enumerate(grades[:DEPTH]))


async def judged(search: ProductSearch, engine: str, numbers: Mapping[str, int], *, verbose: bool) -> float:
    """The mean over all queries. ``numbers`` are the catalogue's by our own integer ids."""
    found: list[float] = []
    for judgement in msgspec.json.decode(JUDGEMENTS.read_bytes(), type=list[Judgement]):
        page = await search.search(ProductFilter(words=judgement.query, limit=DEPTH))
        assert page.engine == engine, f"{page.engine} answered for {engine}"
        ranked = [numbers[json.loads(body)["uuid"]] for body in page.bodies]
        found.append(ndcg(ranked, judgement.grades))
        if verbose and found[-1] < 1:
            best = sorted(judgement.grades.items(), key=lambda each: -each[1])
            print(f"{engine} {found[-1]:.2f} {judgement.query!r}: {ranked} of {best}")
    return statistics.mean(found)


@asynccontextmanager
async def seeded(folder: Path) -> AsyncIterator[tuple[Mapping[str, Any], Mapping[str, int]]]:
    """Servers with the seeded catalogue, in both engines; the environment and the catalogue's numbers by uuid."""
    async with (
        Postgres(folder / "postgres") as postgres,
        Nats(folder / "nats") as nats,
        OpenSearch(folder / "opensearch") as opensearch,
        AsyncExitStack() as stack,
    ):
        environment = {
            "DATABASE_URL": postgres.url,
            "NATS_URL": nats.url,
            "OPENSEARCH_URL": opensearch.url,
            "JWT_SECRET": secrets.token_hex(32),
            "TRADELOG_MASTER_KEY": base64.b64encode(secrets.token_bytes(32)).decode(),
            "LOG_LEVEL": "error",
        }
        await migrate(postgres.url)
        for module in ("workers.relay", "workers.projector"):
            process = Process(
                module,
                [sys.executable, "-m", module],
                log_path=folder / f"{module}.log",
                environment=environment,
            )
            process.start()
            stack.push_async_callback(process.stop)
        catalogue = Catalogue(users=[], products=Catalogue.read().products)
        async with write_side(Settings.read(environment)) as write:
            seeder = Seeder(write, catalogue, demo_roles=False, advance=lambda _: None)
            position = await seeder.run()
        async with read_side(postgres.url, opensearch_url=opensearch.url) as read:
            for projection in ("products", "product_search", "search_words", "categories"):
                await read.positions.wait(projection, position, timeout=120)
            yield environment, await _numbers(read, catalogue)


async def _numbers(read: ReadSide, catalogue: Catalogue) -> Mapping[str, int]:
    """They come in the order of the catalogue, whatever ids they have got."""
    rows = await read.reads.all("SELECT key, title FROM products ORDER BY number")
    assert [title for _, title in rows] == [product["title"] for product in catalogue.products]
    return {str(key): product["id"] for (key, _), product in zip(rows, catalogue.products, strict=True)}


async def noticed(write: WriteSide, search: ProductSearch, engine: str) -> Row:
    """From a command's being sent until a search that waits for nothing finds the listing, or finds it no longer."""
    took: list[float] = []
    for number in range(TIMES):
        word = f"{engine}{secrets.token_hex(6)}"
        listing = CreateListing(
            seller_id=HOUSE_SELLER,
            title=f"A {word}",
            description="Something that somebody looks for.",
            price=Money(1999),
            category="beauty",
            stock=number,
            images=("https://cdn.example.com/1.webp",),
        )
        made = ListingId((await write.bus.handle(listing, METADATA)).state.id)
        for command, expected in (
            (PublishListing(listing_id=made, caller=ADMIN), 1),
            (UnpublishListing(listing_id=made, caller=ADMIN), 0),
        ):
            began = time.perf_counter()
            await write.bus.handle(command, METADATA)
            while (await search.search(ProductFilter(words=word))).total != expected:
                await asyncio.sleep(0.02)
            took.append((time.perf_counter() - began) * 1_000)
    p50, worst = statistics.median(took), max(took)
    return Row(
        name=f"published to found, hidden to gone on {engine}",
        value=f"p50 {p50:.0f} ms, longest {worst:.0f} ms ({len(took)} times)",
        target="≤ 1 s",
        reached=worst <= 1_000,
    )


async def rows(*, verbose: bool = False) -> dict[str, list[Row]]:
    ranked: list[Row] = []
    seen: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="tradelog-bench-", ignore_cleanup_errors=True) as name:
        async with (
            seeded(Path(name)) as (environment, numbers),
            await connect(environment["NATS_URL"], "bench") as nats,
            write_side(Settings.read(environment), nats=nats) as write,
        ):
            for engine, url, aim in (("opensearch", environment["OPENSEARCH_URL"], AIM), ("postgres", "", 0)):
                async with read_side(environment["DATABASE_URL"], opensearch_url=url) as read:
                    mean = await judged(read.search, engine, numbers, verbose=verbose)
                    ranked.append(
                        Row(
                            name=f"nDCG@{DEPTH} of 30 judged queries on {engine}",
                            value=f"{mean:.3f}",
                            target=f"≥ {aim}" if aim else "",
                            reached=mean >= aim,
                        )
                    )
                    seen.append(await noticed(write, read.search, engine))
    return {"Finding": ranked + seen}


if __name__ == "__main__":
    for title, measured in asyncio.run(rows(verbose="-v" in sys.argv)).items():
        show(title, measured)
