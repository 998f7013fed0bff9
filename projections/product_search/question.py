"""What somebody asks for, in Postgres' language for it (``tsquery``)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

import msgspec

MOST_WORDS: Final = 16
"""Words of a question that count."""

LONGEST_WORD: Final = 100
"""Letters of a word that count."""

_LONGEST_PHRASE: Final = 3
"""Words of a phrase that others may be used for."""

_SHORT_TEXTS: Final = "ABC"
"""The weights of all that is searched but descriptions: nearly every word begins some word of those."""


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """A word and its stem; a small word (``the``) has none. ``meant`` are those that it may be a misspelling of."""

    text: str
    stem: str
    meant: Sequence[Asked] = ()

    @property
    def is_small(self) -> bool:
        return not self.stem

    @property
    def root(self) -> str:
        return self.stem or self.text

    @property
    def lexeme(self) -> str:
        return f"'{self.root}'"

    @property
    def beginning(self) -> str:
        """What it begins. With one letter nearly everything does, so that is a word of its own."""
        return f"'{self.text}':*" if len(self.text) > 1 else f"'{self.text}':"


Meanings = Mapping[tuple[str, ...], Sequence[Sequence[Asked]]]
"""By the roots of a word or phrase: the phrases that mean the same."""


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """``whole`` finds what has all the words or others that mean the same, ``literal`` those words alone.

    ``wide`` finds what has words that begin so, besides; ``marked`` any word that one of them is found by, and
    ``title`` is a title that says just that.
    """

    whole: str
    literal: str
    wide: str
    marked: str
    title: str


def question(words: Sequence[Asked], meanings: Meanings) -> Question:
    """Small words count only where there are no others."""
    counting = [word for word in words if not word.is_small] or words
    groups = list(_groups(words, counting, meanings))
    begun = [
        " | ".join(f"{form.beginning}{_SHORT_TEXTS}" for form in (word, *word.meant)) for word in counting
    ]
    marked = {form.beginning.rstrip(":"): None for word in counting for form in (word, *word.meant)}
    for group in groups:
        marked |= {word.lexeme: None for phrase in group for word in phrase}
    whole = _all(" | ".join(f"({_side_by_side(phrase)})" for phrase in group) for group in groups)
    return Question(
        whole=whole,
        literal=_all(word.lexeme for word in counting),
        wide=f"({whole}) | ({_all(begun)})",
        marked=" | ".join(marked),
        title=" ".join(word.text for word in words),
    )


def _groups(
    words: Sequence[Asked], counting: Sequence[Asked], meanings: Meanings
) -> Iterator[list[Sequence[Asked]]]:
    """Phrases one of which must be there, for each word or phrase that was asked for."""
    place = 0
    while place < len(words):
        length, others = _longest(words[place:], meanings)
        phrase = words[place : place + length]
        place += length
        if length > 1:
            yield [phrase, *others]
        elif phrase[0] in counting:
            meant = [each for form in phrase[0].meant for each in ([form], *meanings.get((form.root,), ()))]
            yield [phrase, *others, *meant]


def _longest(words: Sequence[Asked], meanings: Meanings) -> tuple[int, Sequence[Sequence[Asked]]]:
    """How many of the words are one phrase that others are used for, and those; else one word and nothing."""
    for length in range(min(len(words), _LONGEST_PHRASE), 0, -1):
        if (others := meanings.get(roots(words[:length]))) is not None:
            return length, others
    return 1, ()


def roots(words: Sequence[Asked]) -> tuple[str, ...]:
    return tuple(word.root for word in words)


def _side_by_side(phrase: Sequence[Asked]) -> str:
    """Small words are kept beside words as they stand, and not beside stems."""
    if any(word.is_small for word in phrase):
        return " <-> ".join(f"'{word.text}'" if word.is_small else f"'{word.text}':*" for word in phrase)
    return " <-> ".join(word.lexeme for word in phrase)


def _all(conditions: Iterable[str]) -> str:
    return " & ".join(f"({each})" for each in conditions)
