"""How people are shown: to themselves and to admins in full, to others as their privacy has it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

import msgspec
from msgspec.structs import asdict

from domain.accounts.account import Account, Address
from domain.accounts.events import Profile
from domain.kernel import stream_id
from domain.sellers.events import SellerStatus
from projections.wire import time

Picture = Callable[[str], str]
"""Makes an address of what is known of a picture: a key of the object store, or an address already."""


class Shop(msgspec.Struct, frozen=True, kw_only=True):
    """What an account shows of the seller that it is."""

    id: str
    shop_name: str
    slug: str
    kind: str
    status: SellerStatus


class AccountDocument(msgspec.Struct, frozen=True, kw_only=True):
    """An account as it is shown; how its owner proves who they are is nothing to be read here.

    ``updated_at`` is what the log says, and none where that was not asked: in the answer to a command.
    """

    account: Account
    created_at: datetime
    updated_at: datetime | None = None
    shop: Shop | None = None


def account_body(document: AccountDocument, picture: Picture) -> dict[str, Any]:
    """C18: S2's flat user, and what the others call the same. Texts are never null (C59)."""
    account = document.account
    profile = account.profile
    image = picture(account.image)
    preferences = preferences_body(account)
    return {
        "id": account.number,
        "uuid": str(account.id),
        "email": account.email,
        "emailVerified": account.email_verified,
        "username": account.username,
        "firstName": profile.first_name,
        "lastName": profile.last_name,
        "name": full_name(profile),
        "fullName": full_name(profile),
        "displayName": shown_name(account),
        "gender": profile.gender,
        "image": image,
        "avatar": image,
        "avatarUrl": image,
        "phone": profile.phone,
        "age": profile.age,
        "bio": profile.bio,
        "interests": profile.interests,
        "role": account.role,
        "roles": sorted(account.roles),
        "preferences": preferences,
        "privacy": privacy_body(account),
        "profile": {
            "avatarUrl": image,
            "bio": profile.bio,
            "preferences": preferences,
            "username": account.username,
            "gender": profile.gender,
            "interests": profile.interests,
            "displayName": shown_name(account),
        },
        "addresses": addresses_body(account),
        "seller": None if document.shop is None else _shop_body(document.shop),
        "createdAt": time(document.created_at),
        **({} if document.updated_at is None else {"updatedAt": time(document.updated_at)}),
    }


def public_body(document: AccountDocument, picture: Picture) -> dict[str, Any]:
    """C54: what others see. The keys are always the same; what is hidden is empty."""
    account = document.account
    privacy, profile = account.privacy, account.profile
    seen = privacy.profile_visibility == "public"
    named = seen and privacy.show_name

    def shown(value: str, visible: bool) -> str:
        return value if visible else ""

    image = shown(picture(account.image), seen)
    return {
        "id": account.number,
        "uuid": str(account.id),
        "username": account.username,
        "firstName": shown(profile.first_name, named),
        "lastName": shown(profile.last_name, named),
        "displayName": shown(shown_name(account), named),
        "image": image,
        "avatar": image,
        "bio": shown(profile.bio, seen),
        "email": shown(account.email, seen and privacy.show_email),
        "phone": shown(profile.phone, seen and privacy.show_phone),
        "createdAt": time(document.created_at) if seen else "",
    }


def moderated_body(document: AccountDocument, picture: Picture) -> dict[str, Any]:
    """What admins see beside."""
    account = document.account
    return {
        **account_body(document, picture),
        "status": status_of(account),
        "deleted": not account.may_sign_in,
        "flags": account.flags,
        "eraseAfter": None if account.deletion is None else time(account.deletion.erase_after),
    }


def status_of(account: Account) -> str:
    if account.erased:
        return "erased"
    if account.suspended:
        return "suspended"
    return "active" if account.deletion is None else "deletion_scheduled"


def preferences_body(account: Account) -> dict[str, Any]:
    """S2 §7.2.4."""
    preferences = account.preferences
    return {
        "theme": preferences.theme,
        "notifications": preferences.notifications,
        "emailNotifications": preferences.email_notifications,
        "currency": preferences.currency,
        "language": preferences.language,
    }


def privacy_body(account: Account) -> dict[str, Any]:
    privacy = account.privacy
    return {
        "profileVisibility": privacy.profile_visibility,
        "profileVisible": privacy.profile_visibility == "public",
        "showEmail": privacy.show_email,
        "showPhone": privacy.show_phone,
        "showName": privacy.show_name,
        "allowMessages": privacy.allow_messages,
    }


def addresses_body(account: Account) -> list[dict[str, Any]]:
    return [address_body(account, address) for address in account.addresses]


def address_body(account: Account, address: Address) -> dict[str, Any]:
    """C20: S2's names, and the other documents' words for the same."""
    details = address.details
    return {
        "id": address.number,
        "uuid": str(stream_id("address", address.number)),
        "userId": account.number,
        "label": details.label,
        "firstName": details.first_name,
        "lastName": details.last_name,
        "fullName": f"{details.first_name} {details.last_name}".strip(),
        "address": details.address,
        "addressLine1": details.address,
        "line1": details.address,
        "addressLine2": details.address_line2,
        "city": details.city,
        "state": details.state,
        "zipCode": details.zip_code,
        "postalCode": details.zip_code,
        "zip": details.zip_code,
        "country": details.country,
        "phone": details.phone,
        "isDefault": address.number == account.default_address,
        "createdAt": time(address.added_at),
        "updatedAt": time(address.updated_at),
    }


def full_name(profile: Profile) -> str:
    return f"{profile.first_name} {profile.last_name}".strip()


def shown_name(account: Account) -> str:
    return account.shown_name


def _shop_body(shop: Shop) -> Mapping[str, Any]:
    body = asdict(shop)
    body["shopName"] = body.pop("shop_name")
    return body
