"""Which words shoppers use for one another: one file in Solr's format, for whichever engine searches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Final

SYNONYMS: Final = Path(__file__).with_name("synonyms.txt")


def synonym_rules(text: str) -> list[str]:
    """Its rules, one a line, without comments."""
    lines = (line.partition("#")[0].strip() for line in text.splitlines())
    return [line for line in lines if line]


def meanings(rules: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """What to look for where somebody says a word or phrase (lower case): itself among it, unless the rule replaces it.

    ``sofa, couch`` finds both by either; ``auto => car`` finds cars alone. A phrase of several rules gets them all.
    """
    found: dict[str, dict[str, None]] = {}
    for rule in rules:
        said, arrow, meant = rule.partition("=>")
        for phrase in _phrases(said):
            found.setdefault(phrase, {}).update(dict.fromkeys(_phrases(meant if arrow else said)))
    return {phrase: tuple(instead) for phrase, instead in found.items()}


@cache
def shipped_rules() -> tuple[str, ...]:
    """Those of the file that comes with the code."""
    return tuple(synonym_rules(SYNONYMS.read_text(encoding="utf-8")))


@cache
def shipped_meanings() -> Mapping[str, tuple[str, ...]]:
    """The same, as ``meanings``."""
    return meanings(shipped_rules())


def _phrases(terms: str) -> list[str]:
    return [" ".join(term.lower().split()) for term in terms.split(",") if term.strip()]
