"""Slugs: the words by which people and search engines name a thing in a path."""

from __future__ import annotations

import re
import unicodedata
from uuid import UUID

RESERVED = frozenset(
    {"acknowledge", "add", "apply", "categories", "category", "category-list", "items", "me", "search"}
)
"""Words that stand beside a slug in some path (C23, C58)."""

_UUID_SHAPED = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


def slug_of(title: str) -> str:
    """``Café Crème №5`` → ``cafe-creme-no5``; never all digits, uuid-shaped or a reserved word (C23)."""
    plain = unicodedata.normalize("NFKD", title).encode("ascii", "ignore").decode().lower()
    slug = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:100].rstrip("-")
    return slug if is_legal_slug(slug) else f"{slug}-item".lstrip("-")


def is_legal_slug(slug: str) -> bool:
    return bool(slug) and not slug.isdigit() and slug not in RESERVED and not _UUID_SHAPED.fullmatch(slug)


def reference_kind(reference: str) -> int | UUID | str:
    """What a path's reference is: an integer id, a uuid, or else a slug (C10, C23)."""
    if reference.isascii() and reference.isdigit() and len(reference) < 19:
        return int(reference)
    if _UUID_SHAPED.fullmatch(reference.lower()):
        return UUID(reference)
    return reference
