"""What is believed of a token out of a mail."""

from __future__ import annotations

import re
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from application.adapters.keys import MasterKeys
from application.adapters.one_time_tokens import SealedOneTimeTokens
from domain.accounts.account import InvalidTokenError

TOKENS = SealedOneTimeTokens(MasterKeys([bytes(32)]))
KINDS = ("verify-email", "reset-password", "recover-account")
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

kinds = st.sampled_from(KINDS)
accounts = st.uuids()
numbers = st.integers(0, 2**48 - 1)


@given(kinds, accounts, numbers)
def test_a_token_says_what_it_was_made_for_and_stands_in_a_link_as_it_is(
    kind: str, account_id: UUID, number: int
) -> None:
    token = TOKENS.make(kind, account_id, number)
    assert TOKENS.read(kind, token) == (account_id, number)
    assert re.fullmatch(r"[A-Za-z0-9_-]{72}", token)
    assert TOKENS.make(kind, account_id, number) == token


@given(kinds, accounts, numbers, st.data())
def test_one_with_any_bit_flipped_is_refused(
    kind: str, account_id: UUID, number: int, data: st.DataObject
) -> None:
    token = TOKENS.make(kind, account_id, number)
    place = data.draw(st.integers(0, len(token) - 1))
    flipped = ALPHABET[ALPHABET.index(token[place]) ^ (1 << data.draw(st.integers(0, 5)))]
    with pytest.raises(InvalidTokenError):
        TOKENS.read(kind, token[:place] + flipped + token[place + 1 :])


@given(st.lists(kinds, min_size=2, max_size=2, unique=True), accounts, numbers)
def test_a_token_of_one_kind_is_none_of_another(both: list[str], account_id: UUID, number: int) -> None:
    with pytest.raises(InvalidTokenError):
        TOKENS.read(both[1], TOKENS.make(both[0], account_id, number))


@given(st.text(max_size=100) | st.text(ALPHABET, min_size=72, max_size=72))
def test_nothing_else_is_a_token(text: str) -> None:
    for kind in KINDS:
        with pytest.raises(InvalidTokenError) as refused:
            TOKENS.read(kind, text)
        assert refused.value.code == "INVALID_TOKEN"


@given(kinds, accounts, numbers, st.sampled_from(["=", " ", "\n", "A", "AAAA"]))
def test_nothing_may_stand_around_a_token(kind: str, account_id: UUID, number: int, more: str) -> None:
    token = TOKENS.make(kind, account_id, number)
    for changed in (token + more, more + token, token[:-1], token[:40] + more + token[40:]):
        with pytest.raises(InvalidTokenError):
            TOKENS.read(kind, changed)


def test_another_master_key_makes_other_tokens() -> None:
    account_id = UUID(int=7)
    stranger = SealedOneTimeTokens(MasterKeys([bytes(range(32))]))
    with pytest.raises(InvalidTokenError):
        TOKENS.read(KINDS[0], stranger.make(KINDS[0], account_id, 1))


def test_a_new_master_key_in_front_leaves_old_tokens_good() -> None:
    rotated = SealedOneTimeTokens(MasterKeys([bytes(range(32)), bytes(32)]))
    token = TOKENS.make(KINDS[0], UUID(int=7), 3)
    assert rotated.read(KINDS[0], token) == (UUID(int=7), 3)
