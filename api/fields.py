"""Fields that people tell about themselves with, wherever they do (A2)."""

from __future__ import annotations

import re
from typing import Annotated, Final

from msgspec import Meta, UnsetType

from api.input import Check, OptionalUrl
from application.accounts.people import is_ambiguous

_EMAIL: Final = re.compile(
    r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[^\W_]([\w-]*[^\W_])?(\.[^\W_]([\w-]*[^\W_])?)+"
)
"""As browsers have it for ``type=email``, with letters of every script in the domain's name."""
_USERNAME: Final = re.compile(r"[A-Za-z0-9._-]+")
_CURRENCY: Final = re.compile(r"[A-Z]{3}")
_LANGUAGE: Final = re.compile(r"[a-z]{2}(-[A-Z]{2})?")


def _email_faults(email: str) -> list[str]:
    """Before the ``@`` only ASCII: few mail servers take anything else, and a link must arrive."""
    return [] if _EMAIL.fullmatch(email) else ["Invalid email format"]


def _username_faults(username: str) -> list[str]:
    if not _USERNAME.fullmatch(username):
        return ["Must consist of letters, digits, '.', '_' and '-'"]
    return ["Must not look like an id, nor be a reserved word"] if is_ambiguous(username) else []


def _name_faults(name: str) -> list[str]:
    """Blanks are no letters. One that was not given is empty, which is for others to refuse."""
    return ["Must be at least 2 characters"] if name and len(name.strip()) < 2 else []


def _full_name_faults(name: str) -> list[str]:
    return ["Must not be empty"] if name and not name.strip() else []


def _password_faults(password: str) -> list[str]:
    """S2's rule, in S2's words; the upper bound keeps hashing cheap."""
    faults = []
    if len(password) < 8:
        faults.append("Must be at least 8 characters")
    if len(password) > 128:
        faults.append("Must be at most 128 characters")
    if not any(character.isupper() for character in password):
        faults.append("Must contain an uppercase letter")
    if not any(character.isdigit() for character in password):
        faults.append("Must contain a number")
    return faults


def _currency_faults(currency: str) -> list[str]:
    return [] if _CURRENCY.fullmatch(currency) else ["Must be an ISO 4217 code such as USD"]


def _language_faults(language: str) -> list[str]:
    return [] if _LANGUAGE.fullmatch(language) else ["Must be an ISO 639-1 code such as en"]


Email = Annotated[str, Meta(max_length=254, examples=["newuser@example.com"]), Check(_email_faults)]
Username = Annotated[str, Meta(min_length=3, max_length=50), Check(_username_faults)]
Password = Annotated[str, Meta(examples=["SecurePass123"]), Check(_password_faults)]
"""A new one: it must be good enough."""
KnownPassword = Annotated[str, Meta(min_length=1, max_length=128, examples=["SecurePass123"])]
"""One that is only compared with what is known."""
PersonName = Annotated[str, Meta(min_length=2, max_length=50, examples=["Jane"]), Check(_name_faults)]
LastName = Annotated[str, Meta(max_length=50, examples=["Smith"]), Check(_name_faults)]
"""One that may be empty, as our answers have it for whoever has only one name (C11, C59)."""
FullName = Annotated[str, Meta(min_length=1, max_length=101), Check(_full_name_faults)]
Gender = Annotated[str, Meta(max_length=30)]
Phone = Annotated[str, Meta(max_length=40)]
Age = Annotated[int, Meta(ge=0, le=150)]
Bio = Annotated[str, Meta(max_length=1000)]
Interests = Annotated[tuple[Annotated[str, Meta(min_length=1, max_length=50)], ...], Meta(max_length=50)]
Currency = Annotated[str, Check(_currency_faults)]
Language = Annotated[str, Check(_language_faults)]
Reason = Annotated[str, Meta(max_length=1000)]
Token = Annotated[str, Meta(min_length=1, max_length=500)]
Picture = OptionalUrl | None | UnsetType


def split_name(name: str) -> tuple[str, str]:
    """At the first blank (C11)."""
    first, _, last = name.strip().partition(" ")
    return first, last.strip()
