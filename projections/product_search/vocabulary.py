"""The words that the catalogue is written in, so that a misspelt one leads to those that were probably meant.

Each word is kept with what is left of it when letters are taken away. Two words that differ in one place have such a
remainder in common (the idea of SymSpell), so that an index finds the neighbours of a word without comparing it with
all others. Words that are in no listing any more stay: a correction that finds nothing does no harm, and only what
events say by themselves can be followed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import combinations
from typing import Any, Final
from uuid import UUID
from zlib import crc32

import msgspec
from msgspec.structs import replace
from rapidfuzz.distance import OSA
from sqlalchemy import ARRAY, BigInteger, Column, Index, Integer, Text

from domain.categories.events import CategoryCreated, CategoryUpdated
from domain.kernel import Recorded, stream_id
from domain.listings.events import ListingCreated, ListingDetailsChanged
from projections.product_search.words import folded_words
from projections.projection import Projection, Rows, read_model

SHORTEST: Final = 3
LONGEST: Final = 30
"""Letters of words that are kept. Nobody mistypes a longer one and finds what it was by chance."""

_COMPARED: Final = 8
"""Remainders are of so many first letters: of a long word they would be too many, and say no more."""

_BEGINNINGS: Final = range(4, _COMPARED)
"""So many letters somebody may have typed of a longer word, one of them wrongly."""

_BEGUN: Final = "…"
"""Tells remainders of beginnings from those of whole words."""

MOST_MEANT: Final = 5


class Word(msgspec.Struct, frozen=True, kw_only=True):
    """``uses`` is how often it has been written: whoever mistypes mostly means a common word."""

    text: str
    uses: int


def tolerance(word: str) -> int:
    """How many letters may be wrong. Short words are too much alike, and numbers are never meant to be others."""
    if not word.isalpha() or len(word) < 4:
        return 0
    return 1 if len(word) < 8 else 2


def traces(word: str) -> set[int]:
    """By which words are found that are mistyped like this, or that begin so."""
    beginning = word[:_COMPARED]
    return {
        *_marks(_remainders(beginning, max(tolerance(word), 1))),
        *_marks(_remainders(beginning, 1), _BEGUN),
    }


def corrections(word: str, known: Mapping[str, int]) -> list[str]:
    """The words that are probably meant, the likeliest first: it may be one of these, or only the beginning of one.

    ``known`` are words with their uses, among them all that its traces find.
    """
    allowed = tolerance(word)
    near = [
        (distance, -uses, text)
        for text, uses in known.items()
        if 0 < (distance := _distance(word, text, allowed)) <= allowed
    ]
    nearest = min(near, default=(0,))[0]
    return [text for distance, _, text in sorted(near) if distance == nearest][:MOST_MEANT]


def _distance(word: str, text: str, allowed: int) -> int:
    """How many slips make the one of the other; of a beginning one counts, and more are too many."""
    whole = OSA.distance(word, text, score_cutoff=allowed)
    if whole > 1 and allowed:
        beginnings = {text[: len(word) + more] for more in (-1, 0, 1)}
        if any(OSA.distance(word, each, score_cutoff=1) <= 1 for each in beginnings):
            return 1
    return whole


def _remainders(word: str, deletions: int) -> set[str]:
    return {
        "".join(word[place] for place in kept)
        for gone in range(min(deletions, len(word) - 1) + 1)
        for kept in combinations(range(len(word)), len(word) - gone)
    }


def _marks(remainders: Iterable[str], kind: str = "") -> Iterator[int]:
    """A number of four bytes for each: what these have in common by chance is told apart by its letters anyway."""
    for each in remainders:
        mark = crc32(f"{kind}{each}".encode())
        yield mark - (1 << 32) if mark >> 31 else mark


@lru_cache(maxsize=8192)
def _all_traces(word: str) -> list[int]:
    found = set(_marks(_remainders(word[:_COMPARED], max(tolerance(word), 1))))
    for letters in _BEGINNINGS:
        if letters < len(word):
            found.update(_marks(_remainders(word[:letters], 1), _BEGUN))
    return sorted(found)


search_words = read_model(
    "search_words",
    Column("text", Text, nullable=False),
    Column("uses", BigInteger, nullable=False),
    Column("traces", ARRAY(Integer), nullable=False),
    # Words hardly ever change; what is new is to be found without looking through a list of what is not sorted in yet.
    Index(
        "idx_search_words_traces",
        "traces",
        postgresql_using="gin",
        postgresql_with={"fastupdate": "off"},
    ),
)

VocabularyEvent = ListingCreated | ListingDetailsChanged | CategoryCreated | CategoryUpdated


def words_of(event: VocabularyEvent) -> set[str]:
    """What the event adds to the language of the catalogue: not descriptions, in which there is a bit of everything."""
    if isinstance(event, (ListingCreated, ListingDetailsChanged)):
        said = [event.title, event.brand, *(event.tags or ()), *_texts(event.attributes or {})]
    else:
        said = [event.name]
    return {
        word
        for word in folded_words(" ".join(filter(None, said)))
        if word.isalpha() and SHORTEST <= len(word) <= LONGEST
    }


def _texts(attributes: Mapping[str, Any]) -> Iterator[str]:
    for value in attributes.values():
        yield from (
            each for each in (value if isinstance(value, list) else (value,)) if isinstance(each, str)
        )


@lru_cache(maxsize=65536)
def _key(word: str) -> UUID:
    return stream_id("search-word", word)


def _keys(recorded: Recorded[Any]) -> Sequence[UUID]:
    return [_key(word) for word in sorted(words_of(recorded.event))]


def _fold(known: Word | None, recorded: Recorded[Any], key: UUID) -> Word:
    if known is not None:
        return replace(known, uses=known.uses + 1)
    return next(Word(text=word, uses=1) for word in words_of(recorded.event) if _key(word) == key)


def _row(word: Word) -> dict[str, Any]:
    return {"text": word.text, "uses": word.uses, "traces": _all_traces(word.text)}


VOCABULARY = Projection(
    name="search_words",
    version=1,
    events=(ListingCreated, ListingDetailsChanged, CategoryCreated, CategoryUpdated),
    document=Word,
    keys=_keys,
    fold=_fold,
    into=Rows(table=search_words, row=_row),
)
