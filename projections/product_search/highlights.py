"""Shows in a text where the words are that somebody looked for."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from html import escape
from typing import Final

from projections.product_search.words import folded_words

FRAGMENT: Final = 150
FRAGMENTS: Final = 3

_WORD: Final = re.compile(r"[^\W_]+")


def marked(text: str, words: Collection[str]) -> str:
    """The text as HTML, with those words between ``<mark>`` and ``</mark>``; ``words`` are folded."""
    pieces: list[str] = []
    end = 0
    for found in _places(text, words):
        pieces += (escape(text[end : found.start()]), "<mark>", escape(found.group()), "</mark>")
        end = found.end()
    return "".join((*pieces, escape(text[end:]))) if pieces else escape(text)


def fragments(text: str, words: Collection[str]) -> Sequence[str]:
    """The first pieces of the text that have those words in them, cut between words and ``marked``."""
    pieces: list[str] = []
    end = 0
    for found in _places(text, words):
        if found.start() < end:
            continue
        if len(pieces) == FRAGMENTS:
            break
        start = max(end, found.start() - FRAGMENT // 3)
        if start > end:
            start = min(found.start(), text.find(" ", start, found.start()) + 1 or start)
        end = start + FRAGMENT
        if end < len(text):
            end = max(found.end(), text.rfind(" ", start, end))
        pieces.append(marked(text[start:end].strip(), words))
    return pieces


def _places(text: str, words: Collection[str]) -> list[re.Match[str]]:
    return [
        found for found in _WORD.finditer(text) if words.__contains__("".join(folded_words(found.group())))
    ]
