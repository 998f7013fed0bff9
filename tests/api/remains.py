"""What is left of somebody, wherever anything is kept."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import nats
import psycopg
from nats.js.api import ConsumerConfig, DeliverPolicy
from psycopg import sql

from projections.product_search.projector import PRODUCT_SEARCH
from tests.api.shop import Client, Shop, soon
from workers.jetstream import STREAM


class Remains:
    """Everything that the system keeps, as bytes to be searched."""

    def __init__(self, shop: Shop, opensearch_url: str, words: Iterable[str]) -> None:
        """``words`` are what is unmistakably theirs."""
        self._shop = shop
        self._opensearch_url = opensearch_url
        self._words = sorted(words)

    def all(self) -> dict[str, bytes]:
        return {
            **self.database(),
            **{f"stream file {path.name}": path.read_bytes() for path in self._files("nats")},
            "stream": self._shop.run(self.stream()),
            "search": self.search(),
            **{f"object {key}": key.encode() + file for key, file in self._shop.stored().items()},
            **{f"log {path.name}": path.read_bytes() for path in self._shop.folder.glob("*.log")},
        }

    def words_in(self) -> dict[str, list[str]]:
        """Which of their words stand where; texts are in bytes and in JSON alike."""
        found: dict[str, list[str]] = {}
        for place, content in self.all().items():
            low = content.lower()
            words = [word for word in self._words if word.lower().encode() in low]
            if words:
                found[place] = words
        return found

    def database(self) -> dict[str, bytes]:
        """Every table, as Postgres would restore it."""
        dump: dict[str, bytes] = {}
        with psycopg.connect(self._shop.database_url, autocommit=True) as connection:
            tables = connection.execute(
                "SELECT schemaname, tablename FROM pg_tables "
                "WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
            ).fetchall()
            for schema, table in tables:
                statement = sql.SQL("COPY {} TO STDOUT (FORMAT binary)").format(sql.Identifier(schema, table))
                # A generation that nobody needs any more may go meanwhile.
                with suppress(psycopg.errors.UndefinedTable), connection.cursor().copy(statement) as copy:
                    dump[f"table {table}"] = b"".join(bytes(part) for part in copy)
        return dump

    async def stream(self) -> bytes:
        client = await nats.connect(self._shop.nats.url)
        try:
            jetstream = client.jetstream()
            info = await jetstream.stream_info(STREAM)
            config = ConsumerConfig(deliver_policy=DeliverPolicy.ALL)
            consumer = await jetstream.subscribe(
                "events.>", stream=STREAM, ordered_consumer=True, config=config
            )
            messages = [await consumer.next_msg(timeout=10) for _ in range(info.state.messages)]
            return b"\n".join(
                message.data + repr(message.headers).encode() + message.subject.encode()
                for message in messages
            )
        finally:
            await client.close()

    def search(self) -> bytes:
        httpx.post(f"{self._opensearch_url}/_refresh")
        return httpx.get(f"{self._opensearch_url}/_all/_search", params={"size": 10_000}).content

    def _files(self, folder: str) -> list[Path]:
        return [path for path in (self._shop.folder / folder).rglob("*") if path.is_file()]


@contextmanager
def own_indexes(opensearch_url: str) -> Iterator[None]:
    """The node is shared: whatever a shop before this one left there is none of ours, nor ours the next one's."""
    indexes = f"{opensearch_url}/{PRODUCT_SEARCH.name}_g*"
    httpx.delete(indexes).raise_for_status()
    yield
    httpx.delete(indexes).raise_for_status()


def key_of(shop: Shop, person: UUID) -> bytes | None:
    """The person's key as it is stored; nothing once it is destroyed."""
    with psycopg.connect(shop.database_url) as connection:
        row = connection.execute("SELECT wrapped FROM person_keys WHERE person = %s", [person]).fetchone()
    assert row is not None
    key: bytes | None = row[0]
    return key


def rebuild_all(admin: Client) -> None:
    """Every read model is made anew from the log, and each holds what it held before."""
    names = [each["name"] for each in admin.get("/admin/projections").json()["projections"]]

    def active(name: str) -> dict[str, Any]:
        found: dict[str, Any] = admin.get(f"/admin/projections/{name}").json()["active"]
        return found

    before = {name: active(name)["generation"] for name in names}
    for name in names:
        assert admin.post(f"/admin/projections/{name}/rebuild").status_code == 202
    soon(
        lambda: all(active(name)["generation"] > before[name] for name in names),
        "a new generation of each",
        within=60,
    )
