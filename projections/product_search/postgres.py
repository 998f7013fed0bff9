"""Product search on Postgres: full-text search over the catalogue's own table.

The words are looked for as they stand, with their synonyms, and as beginnings. Only where nothing is found that way,
the vocabulary says what they may be misspellings of, and those are looked for instead.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final
from uuid import UUID

import msgspec
from msgspec.structs import replace

from projections.categories.query import Categories, all_categories
from projections.keyset import Sorting
from projections.ports import Reads
from projections.product_search.facets import (
    ATTRIBUTES,
    MOST_FACTS,
    MOST_VALUES,
    OWN,
    PRICE_STEPS,
    in_order,
    is_counted,
)
from projections.product_search.highlights import fragments, marked
from projections.product_search.question import (
    LONGEST_WORD,
    MOST_WORDS,
    Asked,
    Meanings,
    Question,
    question,
    roots,
)
from projections.product_search.searchable import plain
from projections.product_search.suggestions import begins, put_together
from projections.product_search.synonyms import shipped_meanings
from projections.product_search.vocabulary import corrections, traces
from projections.product_search.words import folded_words
from projections.products.query import (
    Direction,
    Facet,
    FacetValue,
    Mark,
    ProductFilter,
    ProductPage,
    SortBy,
    Suggestion,
    conditions_of,
    distance_from,
    is_understood,
)

ENGINE: Final = "postgres"

STEMS: Final = """
SELECT word, coalesce((ts_lexize('english_stem', word))[1], '') FROM unnest(%s::text[]) AS asked (word)
"""
# One by one: of all together Postgres thinks that they are in so many words that it had better look at all of them.
NEIGHBOURS: Final = """
SELECT DISTINCT text, uses, coalesce((ts_lexize('english_stem', text))[1], '')
FROM unnest(%s::integer[]) AS asked (trace) CROSS JOIN LATERAL (
    SELECT text, uses FROM search_words WHERE traces @> ARRAY[trace] OFFSET 0
) AS near
ORDER BY uses DESC, text LIMIT 300
"""

# Bounded, so that no part outweighs the ones before: all words, in the title, as they were typed; the title as a whole;
# then, gently, whether it can be had and what others say of it. In millionths, so that where a page ends is a number.
_SCORE: Final = """(1000000 * (
    ts_rank_cd('{0.1, 0.3, 0.6, 1.0}', words, %s::tsquery, 32)
    + CASE WHEN words @@ %s::tsquery THEN 1 ELSE 0 END
    + CASE WHEN words @@ %s::tsquery THEN 0.2 ELSE 0 END
    + CASE WHEN title_start = %s THEN 1 WHEN starts_with(title_start || ' ', %s) THEN 0.2 ELSE 0 END
    + CASE WHEN in_stock THEN 0.15 ELSE 0 END
    + rating / 50 + least(0.1, ln(1 + review_count) / 50)
))::bigint"""

_SORTS: Final = {SortBy.PRICE: "price_minor", SortBy.RATING: "rating", SortBy.TITLE: "title_start"}
_MOST_STEMS: Final = 50_000
_MINOR: Final = 100
_BETWEEN: Final = "\x1f"
"""Parts the tags of a product while they travel together."""

_SHOWN_WORDS: Final = f"""ARRAY(
    SELECT DISTINCT word
    FROM page CROSS JOIN regexp_split_to_table(
        {plain("(title || ' ' || brand || ' ' || tag_list || ' ' || description)")}, ' '
    ) AS word
    WHERE to_tsvector('english', word) || to_tsvector('simple', word) @@ %s::tsquery
)"""

# From one title (or brand) to the next other one by the index, however many products are called the same.
_BEGINNING_SO: Final = """
    (SELECT {start}, {text}, slug, rating FROM products WHERE visible AND {start} >= %s AND {start} < %s
     ORDER BY {start}, number LIMIT 1)
    UNION ALL
    SELECT next.* FROM {name} CROSS JOIN LATERAL (
        SELECT {start}, {text}, slug, rating FROM products
        WHERE visible AND {start} > {name}.{start} AND {start} < %s ORDER BY {start}, number LIMIT 1
    ) AS next
"""
_TITLES: Final = _BEGINNING_SO.format(name="titles", start="title_start", text="title")
_BRANDS: Final = _BEGINNING_SO.format(name="brands", start="brand_start", text="brand")
# What has such a word is looked for only where too little begins so: of a short beginning there is always enough.
SUGGESTED: Final = f"""
WITH RECURSIVE titles AS ({_TITLES}), brands AS ({_BRANDS}),
begun AS MATERIALIZED (SELECT title, slug, rating FROM titles LIMIT %s)
SELECT 'title', title, slug, rating, '' FROM begun
UNION ALL (SELECT 'brand', brand, '', rating, '' FROM brands LIMIT %s)
UNION ALL (
    SELECT 'word', title, slug, rating, brand FROM products
    WHERE (SELECT count(*) FROM begun) < %s AND visible AND words @@ %s::tsquery LIMIT %s
)
"""
_LOOKED_AT: Final = 200
"""Products among which suggestions are chosen: those of a short beginning are too many."""
_BEHIND_ALL: Final = "\U0010ffff"


class PostgresProductSearch:
    """As forgiving as OpenSearch, and by the same synonyms; slower where a word is in very many products."""

    read_model = "products"

    def __init__(self, reads: Reads) -> None:
        self._reads = reads
        self._meanings: Meanings | None = None
        self._stems: dict[str, str] = {}

    async def search(self, asked: ProductFilter) -> ProductPage:
        if not asked.words:
            return (await self._answered(asked, None))[0]
        texts = _words(asked.words)
        if not texts:
            return ProductPage(total=0 if asked.counted else None, bodies=[], engine=ENGINE)
        meanings = await self._known_meanings()
        words = await self._stemmed(texts)
        page, matching = await self._answered(asked, question(words, meanings))
        if not matching:
            corrected = await self._corrected(words)
            if any(word.meant for word in corrected):
                page, _ = await self._answered(asked, question(corrected, meanings))
        return page

    async def suggest(self, beginning: str, limit: int) -> Sequence[Suggestion]:
        texts = _words(beginning)
        if not texts:
            return []
        categories = await all_categories(self._reads)
        words = [Asked(text=text, stem=text) for text in texts]
        if found := await self._suggestions(words, categories, limit):
            return found
        return await self._suggestions(await self._corrected(words), categories, limit)

    async def _answered(self, asked: ProductFilter, understood: Question | None) -> tuple[ProductPage, int]:
        """The page, and how many there are in all."""
        statement = _Statement(asked, understood)
        row = await self._reads.one(statement.text, *statement.parameters)
        assert row is not None, "it asks for one row"
        return statement.page(row), row[0]

    async def _suggestions(
        self, words: Sequence[Asked], categories: Categories, limit: int
    ) -> list[Suggestion]:
        forms = [[word.text, *(meant.text for meant in word.meant)] for word in words]
        start = " ".join((each[1:] or each)[0] for each in forms)
        end = start + _BEHIND_ALL
        begun = " & ".join(
            f"({' | '.join(f'{each.beginning}AB' for each in (word, *word.meant))})" for word in words
        )
        rows = await self._reads.all(
            SUGGESTED, start, end, end, start, end, end, 3 * limit, limit, limit, begun, _LOOKED_AT
        )
        named = [each for each in categories if begins(folded_words(each.name), forms)]
        brands = {
            brand: None
            for kind, text, _, _, said in rows
            if (brand := said if kind == "word" else text) and kind != "title"
            if begins(folded_words(brand), forms)
        }
        products: dict[str, Suggestion] = {}
        for kind, title, slug, _, _ in sorted(rows, key=lambda row: (row[0] != "title", -row[3], row[1])):
            if kind != "brand":
                products.setdefault(title.casefold(), Suggestion(text=title, kind="product", slug=slug))
        return put_together(named, list(brands), products.values(), limit)

    async def _stemmed(self, texts: Sequence[str]) -> list[Asked]:
        """Postgres knows the stems; those that it was asked for before are remembered."""
        unknown = sorted(set(texts) - self._stems.keys())
        if unknown:
            if len(self._stems) > _MOST_STEMS:
                self._stems.clear()
            self._stems.update(dict(await self._reads.all(STEMS, unknown)))
            return await self._stemmed(texts)
        return [_asked(text, self._stems[text]) for text in texts]

    async def _corrected(self, words: Sequence[Asked]) -> list[Asked]:
        """With what each of them may be a misspelling of, as it stands or else without its ending."""
        forms = {form for word in words for form in (word.text, word.root)}
        rows = await self._reads.all(NEIGHBOURS, sorted({trace for form in forms for trace in traces(form)}))
        known = {text: uses for text, uses, _ in rows}
        stems = {text: stem for text, _, stem in rows}
        corrected = []
        for word in words:
            meant = corrections(word.text, known) or corrections(word.root, known)
            corrected.append(replace(word, meant=[_asked(text, stems[text]) for text in meant]))
        return corrected

    async def _known_meanings(self) -> Meanings:
        """The synonyms by their roots."""
        if self._meanings is None:
            said = shipped_meanings()
            phrases = sorted({*said, *(each for others in said.values() for each in others)})
            split = {phrase: folded_words(phrase) for phrase in phrases}
            stems = dict(
                await self._reads.all(STEMS, sorted({word for words in split.values() for word in words}))
            )
            known = {phrase: [_asked(word, stems[word]) for word in words] for phrase, words in split.items()}
            self._meanings = {
                roots(known[phrase]): [known[other] for other in others] for phrase, others in said.items()
            }
        return self._meanings


class _Statement:
    """The one statement that finds, ranks, counts and brings a page; and how its answer is read.

    ``found`` is all that matches but for the filters that stand for a facet, each of which narrows every facet but its
    own; ``hits`` match these, too.
    """

    def __init__(self, asked: ProductFilter, understood: Question | None) -> None:
        self._asked = asked
        self._question = understood
        self._narrowing = dict(_narrowing(asked))
        self._facets = list(_counting(asked))
        self._further = ["kept"] if asked.kept is not None else []
        if asked.highlighted and understood is not None:
            self._further += [
                "title",
                "description",
                "brand",
                f"array_to_string(tag_list, '{_BETWEEN}') AS tag_list",
            ]
        self.parameters: list[Any] = []
        self._sorting = _sorting(asked, understood)
        self._places = [f"by_{place}" for place in range(len(self._sorting.by))]
        self.text = f"""
            WITH found AS MATERIALIZED ({self._found()}),
            hits AS NOT MATERIALIZED (SELECT * FROM found WHERE {self._all_but("")}),
            page AS MATERIALIZED ({self._page()})
            SELECT {", ".join(self._columns())}
        """

    def page(self, row: Sequence[Any]) -> ProductPage:
        """The page that a row of the answer is."""
        asked, answered = self._asked, iter(row)
        total, keys, bodies = next(answered), next(answered), next(answered)
        further = [next(answered) for _ in self._further]
        order = [next(answered) for _ in self._places]
        counts = [next(answered) for _ in self._facets]
        shown = len(keys[: asked.limit])
        last = None
        if len(keys) > shown > 0:
            values = [each[shown - 1] for each in order]
            last = Mark(ENGINE, (*values[:-1], abs(values[-1])), self._skipped() + shown)
        highlights = {}
        if asked.highlighted and self._question is not None:
            texts = zip(keys[:shown], *further[-4:], strict=False)
            highlights = dict(_highlights(texts, frozenset(next(answered))))
        return ProductPage(
            bodies=bodies[:shown],
            total=total if asked.counted else None,
            engine=ENGINE,
            keys=keys[:shown],
            kept=further[0][:shown] if asked.kept is not None else [],
            last=last,
            facets=_facets(zip(self._facets, counts, strict=True)),
            highlights=highlights,
        )

    def _skipped(self) -> int:
        after = self._asked.after
        return self._asked.skip if after is None else after.seen

    def _with(self, text: str, *values: Any) -> str:
        self.parameters += values
        return text

    def _found(self) -> str:
        asked, question = self._asked, self._question
        columns = ["key", *(f"{by} AS by_{place}" for place, by in enumerate(self._sorting.by))]
        self.parameters += self._sorting.parameters
        if self._facets:
            columns += ("category_ids", "brand", "price_minor", "facts")
        for place, (conditions, values) in enumerate(self._narrowing.values()):
            columns.append(self._with(f"{' AND '.join(conditions)} AS own_{place}", *values))
        conditions, values = conditions_of(_without(asked, self._narrowing))
        self.parameters += values
        if question is not None:
            conditions.append(self._with("words @@ %s::tsquery", question.wide))
        return f"SELECT {', '.join(columns)} FROM products WHERE {' AND '.join(conditions)}"

    def _all_but(self, name: str) -> str:
        """What narrows a facet of that name."""
        return " AND ".join(
            ("true", *(f"own_{place}" for place, each in enumerate(self._narrowing) if each != name))
        )

    def _page(self) -> str:
        asked, places = self._asked, ", ".join(self._places)
        order = ", ".join(f"{place} {self._sorting.direction}" for place in self._places)
        behind, skip = "true", self._skipped()
        if (values := self._mark()) is not None:
            compared = "<" if self._sorting.descending else ">"
            marks = ", ".join("%s" for _ in values)
            behind, skip = self._with(f"({places}) {compared} ({marks})", *values), 0
        self.parameters += (skip, asked.limit + 1)
        return f"""
            SELECT row_number() OVER (ORDER BY {order}) AS place, {places}, key, body
                   {"".join(f", {column}" for column in self._further)}
            FROM (SELECT key, {places} FROM hits WHERE {behind} ORDER BY {order} OFFSET %s LIMIT %s) AS cut
            JOIN products USING (key)
        """

    def _mark(self) -> list[Any] | None:
        """Where the page before ended, if its values mean here what they meant to the engine that made them."""
        after = self._asked.after
        if after is None or len(after.values) != len(self._places):
            return None
        if not is_understood(self._asked, after, ENGINE):
            return None
        *first, number = after.values
        return [*first, -int(number) if self._sorting.by[-1] == "-number" else number]

    def _columns(self) -> Iterator[str]:
        yield "(SELECT count(*) FROM hits)"
        shown = [column.rpartition(" AS ")[2] for column in self._further]
        for column in ("key", "body", *shown, *self._places):
            yield f"ARRAY(SELECT {column} FROM page ORDER BY place)"
        for each in self._facets:
            counted = f"""(
                SELECT coalesce(jsonb_agg(jsonb_build_array(value, count)), '[]') FROM (
                    SELECT {each.value} AS value, count(*) AS count
                    FROM found {each.source} AND {self._all_but(each.name)}
                    GROUP BY 1 ORDER BY {each.order} LIMIT {each.most}
                ) AS counted
            )"""
            yield self._with(counted, *each.parameters)
        if self._asked.highlighted and self._question is not None:
            # Cut and compared as the texts of the catalogue are, so that what is marked is what was found.
            yield self._with(_SHOWN_WORDS, self._question.marked)


def _sorting(asked: ProductFilter, understood: Question | None) -> Sorting:
    """Of equals the one that came first is the first."""
    if asked.sort_by is None and understood is not None:
        whole, title = understood.whole, understood.title
        found = (whole, whole, understood.literal, title, f"{title} ")
        return Sorting(by=(_SCORE, "-number"), descending=True, parameters=found)
    descending = asked.order is Direction.DESC
    by, parameters = _SORTS.get(asked.sort_by or SortBy.ID), list[Any]()
    if asked.sort_by is SortBy.DISTANCE and asked.near is not None:
        by, parameters = distance_from(asked.near)
    elif asked.sort_by is SortBy.MANUAL:
        by, parameters = "coalesce(array_position(%s::uuid[], key), 0)", [list(asked.listings or ())]
    if by is None:
        return Sorting(by=("number",), descending=descending)
    return Sorting(
        by=(by, "-number" if descending else "number"), descending=descending, parameters=parameters
    )


class _Counted(msgspec.Struct, frozen=True, kw_only=True):
    """A facet: ``value`` is what is counted in the rows of ``source``, with ``parameters`` in both together."""

    name: str
    value: str
    source: str
    parameters: Sequence[Any] = ()
    order: str = "count DESC, value"
    most: int = MOST_VALUES


def _attributes(asked: ProductFilter) -> list[str]:
    """Those that are filtered by; none can be told from another facet by its name."""
    return [key for key in asked.attributes if key not in OWN]


def _counting(asked: ProductFilter) -> Iterator[_Counted]:
    """An attribute that is filtered by has a count of its own, the others share one."""
    if is_counted(asked, "category"):
        yield _Counted(
            name="category", value="id::text", source="CROSS JOIN unnest(category_ids) AS id WHERE true"
        )
    if is_counted(asked, "brand"):
        yield _Counted(name="brand", value="brand", source="WHERE brand <> ''")
    if is_counted(asked, "price"):
        steps = ", ".join(str(step * _MINOR) for step in PRICE_STEPS)
        price = f"width_bucket(price_minor, ARRAY[{steps}]::bigint[])"
        yield _Counted(name="price", value=price, source="WHERE true", order="value")
    facts = "CROSS JOIN unnest(facts) AS fact"
    apart = sorted(key for key in _attributes(asked) if is_counted(asked, key))
    for key in apart:
        yield _Counted(
            name=key, value="fact", source=f"{facts} WHERE starts_with(fact, %s)", parameters=[f"{key}="]
        )
    others = sorted({*asked.facets} - {*OWN, *apart})
    if asked.every_facet or others:
        key = "split_part(fact, '=', 1)"
        which, keys = (f"{key} <> ALL(%s)", apart) if asked.every_facet else (f"{key} = ANY(%s)", others)
        source = f"{facts} WHERE {which}"
        yield _Counted(name=ATTRIBUTES, value="fact", source=source, parameters=[keys], most=MOST_FACTS)


def _facets(counts: Iterable[tuple[_Counted, Sequence[tuple[Any, int]]]]) -> list[Facet]:
    found: dict[str, list[FacetValue]] = {}
    for counted, values in counts:
        for value, count in values:
            name, text = counted.name, value
            if name == "price":
                text = str(PRICE_STEPS[value - 1])
            elif name not in OWN:
                name, _, text = value.partition("=")
            found.setdefault(name, []).append(FacetValue(value=text, count=count))
    return in_order(found)


def _narrowing(asked: ProductFilter) -> Iterator[tuple[str, tuple[list[str], list[Any]]]]:
    """The filters that stand for a facet which is counted: its name, their conditions and the values in them."""
    alone = {
        "category": ProductFilter(categories=asked.categories),
        "brand": ProductFilter(brand=asked.brand),
        "price": ProductFilter(min_price=asked.min_price, max_price=asked.max_price),
        **{key: ProductFilter(attributes={key: asked.attributes[key]}) for key in _attributes(asked)},
    }
    everywhere = len(conditions_of(ProductFilter())[0])
    for name, narrowed in alone.items():
        conditions, values = conditions_of(narrowed)
        if is_counted(asked, name) and len(conditions) > everywhere:
            yield name, (conditions[everywhere:], values)


def _without(asked: ProductFilter, narrowing: Collection[str]) -> ProductFilter:
    """The filters that are left."""
    return replace(
        asked,
        categories=None if "category" in narrowing else asked.categories,
        brand=() if "brand" in narrowing else asked.brand,
        min_price=None if "price" in narrowing else asked.min_price,
        max_price=None if "price" in narrowing else asked.max_price,
        attributes={
            key: values for key, values in asked.attributes.items() if key in OWN or key not in narrowing
        },
    )


def _highlights(
    texts: Iterable[tuple[UUID, str, str, str, str]], words: Collection[str]
) -> Iterator[tuple[UUID, Mapping[str, Sequence[str]]]]:
    for key, title, description, brand, tags in texts:
        pieces = {
            "title": [marked(title, words)],
            "description": fragments(description, words),
            "brand": [marked(brand, words)],
            "tags": [marked(tag, words) for tag in tags.split(_BETWEEN)],
        }
        found = {name: [each for each in texts if "<mark>" in each] for name, texts in pieces.items()}
        yield key, {name: texts for name, texts in found.items() if texts}


def _words(text: str) -> list[str]:
    """Those that count, each no longer than Postgres takes them."""
    return [word[:LONGEST_WORD] for word in folded_words(text)[:MOST_WORDS]]


def _asked(text: str, stem: str) -> Asked:
    """Postgres leaves words alone that have a figure in them."""
    return Asked(text=text, stem=stem if not stem or text.isalpha() else text)
