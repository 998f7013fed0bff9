"""Parts of texts, found by pieces."""

from __future__ import annotations

import pytest

from projections.pieces import has_part, pieces_of


def test_a_text_is_made_of_all_its_pieces() -> None:
    assert pieces_of("Anna An") == [" an", "a a", "ann", "na ", "nna"]
    assert pieces_of("ab") == []


@pytest.mark.parametrize("part", ["mily", "EMIL", "ly joh", "emily johnson"])
def test_whatever_has_a_part_has_all_its_pieces(part: str) -> None:
    assert set(pieces_of(part)) <= set(pieces_of("Emily Johnson"))


def test_letters_that_differ_at_the_end_of_a_word_are_the_same() -> None:
    assert set(pieces_of("ΟΔΟΣ")) <= set(pieces_of("ΟΔΟΣΑ"))


def test_what_is_shorter_than_a_piece_is_looked_for_everywhere() -> None:
    assert has_part("words", "em") == (["strpos(lower(words), lower(%s)) > 0"], ["em"])
    conditions, parameters = has_part("words", "emi")
    assert conditions == ["pieces @> %s", "strpos(lower(words), lower(%s)) > 0"]
    assert parameters == [["emi"], "emi"]
