"""How far an order is, in the words of whoever asks (C33)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Annotated, Final, TypeVar

from msgspec import Meta

from api.input import Check
from domain.orders.events import OrderStatus

Word = TypeVar("Word", bound=StrEnum)

FOR_ORDERS: Final[Mapping[str, str]] = {"confirmed": "processing", "canceled": "cancelled"}
"""What others say for the same."""


def word(given: str, words: type[Word], synonyms: Mapping[str, str]) -> Word | None:
    """One of ``words``, be it in capitals or with blanks; nothing where it is none of them."""
    name = given.strip().lower().replace(" ", "_").replace("-", "_")
    try:
        return words(synonyms.get(name, name))
    except ValueError:
        return None


def order_word(given: str) -> OrderStatus | None:
    return word(given, OrderStatus, FOR_ORDERS)


def one_of(words: type[StrEnum], read: Callable[[str], StrEnum | None]) -> Check:
    """An empty one is none."""
    fault = f"Must be one of {', '.join(words)}"
    return Check(lambda given: [fault] if given and read(given) is None else [])


StatusWord = Annotated[str, Meta(max_length=30, examples=["shipped"]), one_of(OrderStatus, order_word)]
