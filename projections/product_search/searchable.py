"""How Postgres keeps a product's texts so that they are found: the same words as ``folded_words`` makes of a question.

Its own parser takes ``Node.js`` for a host and ``-15`` for a number, and it ships without ``unaccent``. So a text is
brought to plain words first, by functions that Postgres has built in and lets a generated column use.
"""

from __future__ import annotations

from typing import Final


def plain(column: str) -> str:
    """SQL for the words of a text: without case, accents and punctuation, a space between them."""
    folded = f"replace(lower(normalize({column}, NFKD)), 'ß', 'ss')"
    unaccented = rf"regexp_replace({folded}, '[\u0300-\u036f]', '', 'g')"
    return (
        rf"regexp_replace({unaccented}, '[\u0001-\u002f\u003a-\u0060\u007b-\u00bf\u2000-\u2bff]+', ' ', 'g')"
    )


def _both(column: str) -> str:
    """Stemmed, and as it stands: ``runni`` begins ``running`` and not its stem, and small words have no stem at all."""
    return f"to_tsvector('english', {plain(column)}) || to_tsvector('simple', {plain(column)})"


WORDS: Final = (
    f"setweight({_both('title')}, 'A') || setweight({_both('brand')}, 'B') || "
    f"setweight({_both('tags')} || to_tsvector('english', {plain('features')}), 'C') || "
    f"setweight(to_tsvector('english', {plain('description')}), 'D')"
)
"""What a product is searched by: title before brand before tags and what it says of itself before description."""

TITLE_START: Final = f"left(btrim({plain('title')}), 200)"
"""As much of it as an index takes, whatever letters it is written in."""

BRAND_START: Final = f"left(btrim({plain('brand')}), 200)"
