"""What search on Postgres is made of: its vocabulary, its language for questions, its marks, and its plans."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from random import Random
from string import ascii_lowercase
from typing import Any, Final
from uuid import UUID

import psycopg
import pytest
import pytest_asyncio
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from psycopg import AsyncConnection

from domain.accounts.events import AccountErased
from domain.categories.events import CategoryCreated, CategoryUpdated
from domain.kernel import CategoryId, Event, personal_fields, stream_id
from domain.listings.events import ListingDetailsChanged, ListingPublished
from projections.adapters.read_pool import ReadPool
from projections.bootstrap import IN_POSTGRES
from projections.categories.projector import CATEGORY_TREE
from projections.engine import prepare
from projections.product_search import question as asking
from projections.product_search.highlights import FRAGMENT, fragments, marked
from projections.product_search.postgres import PostgresProductSearch
from projections.product_search.question import Question, question
from projections.product_search.vocabulary import (
    VOCABULARY,
    Word,
    corrections,
    tolerance,
    traces,
    words_of,
)
from projections.products.projector import PRODUCTS
from projections.products.query import Direction, Kept, Near, ProductFilter, SortBy
from projections.projection import Projection, Rows
from tests.domain.builders import a_listing_created, listing_id
from tests.projections.engine.shelf import Stand, open_pool, open_shop, until
from tests.projections.plans import Asked
from workers.projector import sinks

PHONES: Final = CategoryId(stream_id("category", "phones"))
KNOWN: Final = {
    "phone": 90, "phones": 20, "smartphone": 40, "probe": 3, "samsung": 9, "perfume": 4, "refrigerator": 2, "lamp": 5,
}  # fmt: skip
LETTERS: Final = st.text(alphabet="abcdefgh", min_size=4, max_size=14)


def traces_kept(word: str) -> set[int]:
    assert isinstance(VOCABULARY.into, Rows)
    return set(VOCABULARY.into.row(Word(text=word, uses=1))["traces"])


@st.composite
def slips(draw: st.DrawFn) -> tuple[str, str]:
    """A word, and the same with one letter more, less, other, or two of them in the wrong order."""
    word = draw(LETTERS)
    place = draw(st.integers(0, len(word) - 1))
    kind = draw(st.sampled_from(["more", "less", "other", "turned"]))
    letter = draw(st.sampled_from("xyz"))
    before, here, after = word[:place], word[place], word[place + 1 :]
    match kind:
        case "more":
            return word, before + letter + here + after
        case "less":
            return word, before + after
        case "other":
            return word, before + letter + after
        case _:
            return word, before + after[:1] + here + after[1:]


class Following:
    """Read models that follow a log, and the engine that searches them."""

    def __init__(self, stand: Stand, reads: ReadPool) -> None:
        self._stand = stand
        self._reads = reads
        self.search = PostgresProductSearch(reads)

    async def record(self, *events: Event) -> None:
        await self._stand.shop.record([(stream_of(event), event) for event in events])
        head = await self._stand.shop.log.head()

        async def all_reached() -> bool:
            with suppress(psycopg.errors.UndefinedTable):  # the engine has not made it yet
                rows = await self._stand.generations.list_projections()
                return len(rows) > 0 and all(row.active.position >= head for row in rows)
            return False

        await until(all_reached)

    async def offer(self, number: int, **fields: Any) -> None:
        await self.record(
            a_listing_created(number, **fields), ListingPublished(listing_id=listing_id(number))
        )

    async def words(self) -> dict[str, int]:
        return dict(await self._reads.all("SELECT text, uses FROM search_words"))

    async def rebuilt(self) -> str:
        """How the vocabulary compares with one that is made from the log alone."""
        generations = self._stand.generations
        await self._stand.asked(await generations.request_rebuild(VOCABULARY.name))

        async def is_decided() -> bool:
            return (await generations.rows(VOCABULARY.name))[0].state in ("active", "failed")

        await until(is_decided)
        row = (await generations.rows(VOCABULARY.name))[0]
        return row.error or row.comparison


@asynccontextmanager
async def following(url: str, *projections: Projection[Any]) -> AsyncIterator[Following]:
    async with open_shop(url) as shop, open_pool(url) as pool, ReadPool(url) as reads:
        stand = Stand(shop, pool, None, "postgres")
        async with stand.running(*projections):
            yield Following(stand, reads)


def stream_of(event: Event) -> UUID:
    return UUID(str(getattr(event, "listing_id", None) or event.category_id))  # type: ignore[attr-defined]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def large_url(module_database_url: str) -> str:
    """Read models so large that nobody wants to read them from one end to the other."""
    async with open_pool(module_database_url) as pool:
        await prepare(pool, [PRODUCTS, VOCABULARY, CATEGORY_TREE], sinks(pool, None))
        async with pool.connection() as connection:
            await connection.execute(_MANY_PRODUCTS)
            chosen = Random(1)
            words = {"".join(chosen.choices(ascii_lowercase, k=chosen.randint(5, 9))) for _ in range(10_000)}
            async with connection.cursor().copy(_MANY_WORDS) as copy:
                for word in {*words, "widget"}:
                    key = stream_id("search-word", word)
                    await copy.write_row((key, 1, word, 1, sorted(traces_kept(word))))
            await connection.execute("VACUUM ANALYZE")
    return module_database_url


_MANY_PRODUCTS: Final = """
INSERT INTO products_g1 (
    key, position, number, version, slug, former_slugs, seller_id, category_id, category_ids, brand, title, description,
    tags, tag_list, features, facts, lat, lng, price_minor, rating, stock, in_stock, status, moderation, flags, deleted,
    visible, readable, review_count, rating_sum, body, kept, subjects
)
SELECT gen_random_uuid(), n, n, 1, 'thing-' || n, '{}', gen_random_uuid(), gen_random_uuid(), ARRAY[gen_random_uuid()],
       'Brand ' || n % 200, 'Thing ' || n || ' word' || n % 150 || CASE WHEN n % 100 = 0 THEN ' widget' ELSE '' END,
       repeat('described at some length ', 10), '', '{}', '', ARRAY['size=' || n % 100, 'kind=' || n % 10],
       n % 180 - 90, n % 360 - 180, n * 10, n % 50 / 10.0, n % 7, n % 7 > 0, 'active', 'visible', '{}', false,
       true, true, n % 9, 0, convert_to(repeat('body', 200), 'UTF8'), '', '{}'
FROM generate_series(1, 10000) AS n
"""
_MANY_WORDS: Final = "COPY search_words_g1 (key, position, text, uses, traces) FROM STDIN"


class TestVocabulary:
    @pytest.mark.parametrize(
        ("mistyped", "meant"),
        [
            ("phnoe", ["phone", "phones"]),
            ("phobe", ["phone", "phones", "probe"]),
            ("smatrphnoe", ["smartphone"]),
            ("samsn", ["samsung"]),
            ("refridgera", ["refrigerator"]),
            ("lam", []),
            ("lmp", []),
            ("xamp", ["lamp"]),
            ("s21", []),
            ("perfmes", []),
            ("purfumm", []),
        ],
    )
    def test_a_misspelt_word_leads_to_what_was_probably_meant(self, mistyped: str, meant: list[str]) -> None:
        found = {word: uses for word, uses in KNOWN.items() if traces(mistyped) & traces_kept(word)}
        assert corrections(mistyped, found) == meant
        assert corrections(mistyped, KNOWN) == meant

    @given(slips())
    def test_one_slip_is_found_wherever_it_is(self, slip: tuple[str, str]) -> None:
        word, mistyped = slip
        assert traces(mistyped) & traces_kept(word)
        if tolerance(mistyped) and word != mistyped:
            assert corrections(mistyped, {word: 1}) == [word]

    def test_it_holds_what_things_are_called(self) -> None:
        created = a_listing_created(
            title="Crème 3000 of the Day",
            brand="Acme & Co",
            tags=("skin-care",),
            attributes={"colors": ["light pink"], "size": 3, "organic": True},
            description="described",
        )
        assert words_of(created) == {
            "creme", "the", "day", "acme", "skin", "care", "light", "pink",
        }  # fmt: skip
        assert words_of(ListingDetailsChanged(listing_id=listing_id(1), description="described")) == set()
        assert words_of(CategoryUpdated(category_id=PHONES, name="Mobiles")) == {"mobiles"}

    def test_nothing_personal_comes_into_it(self) -> None:
        # Where a listing is to be had is personal, and no word of it is counted.
        assert {name for event in VOCABULARY.events for name in personal_fields(event)} <= {"location"}
        assert AccountErased not in VOCABULARY.events
        assert VOCABULARY in IN_POSTGRES

    async def test_words_are_counted_and_a_rebuild_comes_to_the_same(self, database_url: str) -> None:
        async with following(database_url, VOCABULARY) as shown:
            await shown.record(
                CategoryCreated(category_id=PHONES, number=1, name="Phones", slug="phones"),
                a_listing_created(1, title="Red phones", brand="Acme"),
                ListingDetailsChanged(listing_id=listing_id(1), title="Red Lamp"),
            )
            assert await shown.words() == {"phones": 2, "red": 2, "acme": 1, "lamp": 1}
            assert (await shown.rebuilt()).startswith("equal to generation 1")
            assert await shown.words() == {"phones": 2, "red": 2, "acme": 1, "lamp": 1}


class TestQuestions:
    MEANINGS: Final = {
        ("sofa",): [[asking.Asked(text="couch", stem="couch")]],
        ("cell", "phone"): [[asking.Asked(text="smartphone", stem="smartphon")]],
        ("tee",): [[asking.Asked(text="t", stem=""), asking.Asked(text="shirt", stem="shirt")]],
    }

    def asked(self, *words: asking.Asked) -> Question:
        return question(words, self.MEANINGS)

    @pytest.mark.parametrize(
        ("words", "whole", "begun"),
        [
            ([("shoes", "shoe")], "(('shoe'))", "('shoes':*ABC)"),
            ([("the", ""), ("shoes", "shoe")], "(('shoe'))", "('shoes':*ABC)"),
            ([("the", "")], "(('the'))", "('the':*ABC)"),
            ([("c", "c")], "(('c'))", "('c':ABC)"),
            ([("sofa", "sofa")], "(('sofa') | ('couch'))", "('sofa':*ABC)"),
            (
                [("cell", "cell"), ("phones", "phone")],
                "(('cell' <-> 'phone') | ('smartphon'))",
                "('cell':*ABC) & ('phones':*ABC)",
            ),
            ([("tee", "tee")], "(('tee') | ('t' <-> 'shirt':*))", "('tee':*ABC)"),
        ],
    )
    def test_are_put_as_postgres_understands_them(
        self, words: list[tuple[str, str]], whole: str, begun: str
    ) -> None:
        asked = self.asked(*(asking.Asked(text=text, stem=stem) for text, stem in words))
        assert (asked.whole, asked.wide) == (whole, f"({whole}) | ({begun})")

    def test_what_may_be_meant_stands_beside_what_was_typed(self) -> None:
        sofa = asking.Asked(text="sofa", stem="sofa")
        asked = self.asked(asking.Asked(text="sofq", stem="sofq", meant=[sofa]))
        assert asked.whole == "(('sofq') | ('sofa') | ('couch'))"
        assert asked.wide.endswith("('sofq':*ABC | 'sofa':*ABC))")
        assert (asked.literal, asked.title) == ("('sofq')", "sofq")


class TestMarking:
    def test_words_are_marked_whatever_their_accents_and_all_else_is_escaped(self) -> None:
        text = marked("<Café> & Node.js, straße", {"cafe", "js", "strasse"})
        assert text == ("&lt;<mark>Café</mark>&gt; &amp; Node.<mark>js</mark>, <mark>straße</mark>")

    def test_of_long_texts_the_pieces_around_the_words_are_shown(self) -> None:
        text = f"{'before ' * 40}here {'between ' * 60}there {'after ' * 60}"
        first, second = fragments(text, {"here", "there"})
        assert "<mark>here</mark> between" in first
        assert first.startswith("before")
        assert "between <mark>there</mark> after" in second
        assert max(len(first), len(second)) <= FRAGMENT + len("<mark></mark>")
        assert fragments(text, {"nowhere"}) == []

    def test_of_many_pieces_the_first_few_are_shown(self) -> None:
        assert len(fragments(f"word {'and ' * 100}" * 9, {"word"})) == 3


@pytest.fixture
async def shown(database_url: str) -> AsyncIterator[Following]:
    async with following(database_url, PRODUCTS, VOCABULARY, CATEGORY_TREE) as shown:
        yield shown


class TestWhatOnlyTheCatalogueKnows:
    async def test_those_who_keep_listings_find_what_others_do_not(self, shown: Following) -> None:
        await shown.offer(1, title="Red Lamp")
        await shown.record(a_listing_created(2, title="Blue Lamp"))
        everybody = await shown.search.search(ProductFilter(words="lamp"))
        assert (everybody.keys, everybody.kept) == ([listing_id(1)], [])
        drafts = await shown.search.search(
            ProductFilter(words="lmap", kept=Kept(status=["draft"]), facets=["price"], highlighted=True)
        )
        assert (drafts.keys, drafts.total, len(drafts.kept)) == ([listing_id(2)], 1, 1)
        assert drafts.highlights[listing_id(2)]["title"] == ["Blue <mark>Lamp</mark>"]
        assert await shown.search.suggest("blue", 5) == []

    async def test_what_is_arranged_stays_in_that_order(self, shown: Following) -> None:
        for number in range(1, 5):
            await shown.offer(number, title=f"Lamp {number}")
        arranged = [listing_id(number) for number in (3, 1, 4)]
        asked = ProductFilter(words="lamp", listings=arranged, sort_by=SortBy.MANUAL, limit=2)
        first = await shown.search.search(asked)
        second = await shown.search.search(replace(asked, after=first.last))
        assert [*first.keys, *second.keys] == arranged
        assert (first.total, second.last) == (3, None)


class TestOddTexts:
    @pytest.mark.parametrize(
        "odd", ["\ufdfa" * 200, "x" * 200, "é" * 200, "'\"\\:*&|!()<->", "日本語", "٣٤ ½ ﬁ"]
    )
    async def test_neither_stop_the_read_model_nor_fail(self, shown: Following, odd: str) -> None:
        await shown.offer(1, title=odd, brand=odd[:100], tags=(odd[:50],), attributes={"odd": odd})
        for words in (odd, odd[:199], f"{odd[:100]} {odd[:99]}"):
            await shown.search.search(ProductFilter(words=words, highlighted=True, every_facet=True))
            await shown.search.suggest(words, 10)
        assert (await shown.search.search(ProductFilter())).total == 1

    async def test_other_forms_of_misspelt_words_are_found_too(self, shown: Following) -> None:
        await shown.offer(1, title="Perfume")
        page = await shown.search.search(ProductFilter(words="perfmes"))
        assert page.keys == [listing_id(1)]

    async def test_letters_of_other_scripts_are_words(self, shown: Following) -> None:
        await shown.offer(1, title="Łódź straße 日本語")
        for words in ("strasse", "STRASSE", "日本語", "日本"):
            page = await shown.search.search(ProductFilter(words=words))
            assert page.keys == [listing_id(1)], words


class TestPlans:
    @pytest.fixture
    async def planned(self, large_url: str) -> AsyncIterator[Asked]:
        async with await AsyncConnection.connect(large_url, autocommit=True) as connection:
            yield Asked(connection)

    @pytest.mark.parametrize(
        "asked",
        [
            ProductFilter(words="word77"),
            ProductFilter(words="word77 thing", every_facet=True),
            ProductFilter(words="word77", brand=["Brand 27"], max_price=500000, facets=["brand", "price"]),
            ProductFilter(words="word77", sort_by=SortBy.PRICE, order=Direction.DESC),
            ProductFilter(words="word77", highlighted=True, counted=False),
            ProductFilter(words="thing", near=Near(lat=10, lng=100, kilometres=20)),
            ProductFilter(brand=["Brand 7"], facets=["price"]),
            ProductFilter(attributes={"size": ["77"]}, facets=["price", "brand"]),
        ],
    )
    async def test_searching_reads_what_an_index_finds(self, planned: Asked, asked: ProductFilter) -> None:
        page = await PostgresProductSearch(planned).search(asked)
        assert page.bodies
        planned.never_scans(PRODUCTS.name, VOCABULARY.name)

    async def test_so_does_looking_for_what_was_meant(self, planned: Asked) -> None:
        page = await PostgresProductSearch(planned).search(ProductFilter(words="widgte"))
        assert page.total == 100
        planned.never_scans(PRODUCTS.name, VOCABULARY.name)

    @pytest.mark.parametrize("beginning", ["t", "thing 1", "word77", "brand 7", "thing widg", "widgte"])
    async def test_so_do_suggestions(self, planned: Asked, beginning: str) -> None:
        assert await PostgresProductSearch(planned).suggest(beginning, 10)
        planned.never_scans(PRODUCTS.name, VOCABULARY.name)
