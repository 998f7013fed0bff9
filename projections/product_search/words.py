"""Words as both engines compare them: without case and accents, and which of them count."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

STOP_WORDS: Final = frozenset(
    {
        "a", "an", "and", "are", "as", "at", "be", "but", "by", "for", "from", "i", "if", "in", "into", "is", "it",
        "me", "my", "no", "not", "of", "on", "or", "our", "some", "such", "that", "the", "their", "then", "there",
        "these", "they", "this", "to", "was", "we", "will", "with", "you", "your",
    }
)  # fmt: skip
"""They need not be in what is found, unless nothing else is asked for."""


def folded_words(text: str) -> list[str]:
    """``Crème brûlée`` → ``creme``, ``brulee``."""
    plain = unicodedata.normalize("NFKD", text.casefold())
    return re.findall(r"\w+", "".join(each for each in plain if not unicodedata.combining(each)))
