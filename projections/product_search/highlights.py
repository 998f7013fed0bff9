"""Shows in a text where the words are that somebody looked for."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from html import escape
from typing import Final

from projections.product_search.words import folded_words

FRAGMENT: Final = 150
"""Letters that are shown of a long text around a word."""

FRAGMENTS: Final = 3

_LEAD: Final = 50
_WORD: Final = re.compile(r"[^\W_]+")


def marked(text: str, words: Collection[str]) -> str:
    """The text as HTML, with those words between ``<mark>`` and ``</mark>``; ``words`` are folded."""
    pieces: list[str] = []
    end = 0
    for found in _places(text, words):
        pieces += (escape(text[end : found.start()]), "<mark>", escape(found.group()), "</mark>")
        end = found.end()
    return "".join((*pieces, escape(text[end:])))


def fragments(text: str, words: Collection[str]) -> Sequence[str]:
    """The first pieces of the text that have those words in them, cut between words and ``marked``."""
    pieces: list[str] = []
    end = 0
    for found in _places(text, words):
        if found.start() < end:
            continue
        if len(pieces) == FRAGMENTS:
            break
        lead = found.start() - _LEAD
        start = end if lead <= end else text.find(" ", lead, found.start()) + 1 or lead
        last = start + FRAGMENT
        end = len(text) if last >= len(text) else max(found.end(), text.rfind(" ", start, last))
        pieces.append(marked(text[start:end].strip(), words))
    return pieces


def _places(text: str, words: Collection[str]) -> list[re.Match[str]]:
    return [found for found in _WORD.finditer(text) if "".join(folded_words(found.group())) in words]
