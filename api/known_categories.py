"""The category tree, which nearly every list needs as a whole and which hardly ever changes: read once, and held."""

from __future__ import annotations

from api.ready import CATEGORIES, ReadyAnswers
from projections.categories.query import Categories, all_categories
from projections.ports import Reads


class KnownCategories:
    """Held by the same right as answers are: for as long as we are told what changes, and nothing has."""

    def __init__(self, reads: Reads, answers: ReadyAnswers) -> None:
        self._reads = reads
        self._answers = answers
        self._held: Categories | None = None
        self._begun = 0

    async def at(self, position: int) -> Categories:
        """As they are at ``position``, where the read model is known to be, or later."""
        held = self._held
        if held is not None and self._answers.stands(CATEGORIES, since=self._begun, wanted=position):
            return held
        begun = self._answers.moment
        categories = await all_categories(self._reads)
        # Of two that are read at once either may stay: each bears the moment before it was read.
        self._held, self._begun = categories, begun
        return categories
