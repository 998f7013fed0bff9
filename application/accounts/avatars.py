"""The picture that somebody shows of themselves, from an upload to the address that everybody sees."""

from __future__ import annotations

from contextlib import suppress
from typing import Final
from uuid import UUID, uuid4

import msgspec

from application.accounts.people import found
from application.errors import StorageUnavailableError, UnavailableError
from application.ports import (
    AlreadyAnsweredError,
    Changed,
    EventStore,
    Images,
    Metadata,
    ObjectStore,
)
from application.slugs import reference_kind
from domain.accounts.account import ACCOUNTS, Account
from domain.accounts.events import AccountEvent
from domain.kernel import AccountId, DomainError
from domain.media.media import MEDIA, MediaNotFoundError, uploads_of

CONTENT_TYPE: Final = "image/webp"
FOR_EVER: Final = "public, max-age=31536000, immutable"
"""A new picture has a new name, so nobody needs to ask again for an old one."""


class ChangeAvatar(msgspec.Struct, frozen=True, kw_only=True):
    """``image`` is a file as it was sent, or the key of one that this account has uploaded."""

    account_id: AccountId
    image: bytes | str


class RemoveAvatar(msgspec.Struct, frozen=True, kw_only=True):
    account_id: AccountId


def avatars_of(account_id: AccountId) -> str:
    """What the keys of a person's own pictures begin with."""
    return f"avatars/{account_id}/"


async def change_avatar(
    command: ChangeAvatar,
    metadata: Metadata,
    *,
    store: EventStore,
    objects: ObjectStore,
    images: Images,
    most: int,
) -> Changed[Account]:
    """``most`` is how many bytes a file may have."""
    if metadata.once is not None:
        await store.raise_if_answered(metadata.once)
    found((await store.load(ACCOUNTS, command.account_id)).state)
    picture = await images.avatar(await _file(command, store, objects, most))
    key = f"{avatars_of(command.account_id)}{uuid4().hex}.webp"
    await objects.put(key, picture, content_type=CONTENT_TYPE, cache_control=FOR_EVER)
    try:
        return await _change(command.account_id, key, metadata, store, objects)
    except UnavailableError:
        raise  # perhaps it was recorded, and the picture is the one to be shown
    except (DomainError, AlreadyAnsweredError):
        await discard_picture(key, command.account_id, objects)
        raise


async def remove_avatar(
    command: RemoveAvatar, metadata: Metadata, *, store: EventStore, objects: ObjectStore
) -> Changed[Account]:
    return await _change(command.account_id, "", metadata, store, objects)


async def _file(command: ChangeAvatar, store: EventStore, objects: ObjectStore, most: int) -> bytes:
    if isinstance(command.image, bytes):
        return command.image
    uploads = uploads_of(command.account_id)
    if not command.image.startswith(uploads):
        # Whether somebody else has it is nobody's business.
        raise MediaNotFoundError("Media not found")
    try:
        return await objects.get(command.image, most=most)
    except MediaNotFoundError:
        media_id = reference_kind(command.image.removeprefix(uploads))
        media = (await store.load(MEDIA, media_id)).state if isinstance(media_id, UUID) else None
        if media is None or media.gone or media.key != command.image or not media.variants:
            raise
        # An upload that was completed is kept as the pictures that were made of it.
        return await objects.get(media.main_key, most=most)


async def _change(
    account_id: AccountId, image: str, metadata: Metadata, store: EventStore, objects: ObjectStore
) -> Changed[Account]:
    before = ""

    def decide(account: Account | None) -> list[AccountEvent]:
        nonlocal before
        account = found(account)
        before = account.image
        return account.change_avatar(image)

    changed = await store.change(ACCOUNTS, account_id, decide, metadata)
    if before != changed.state.image:
        await discard_picture(before, account_id, objects)
    return changed


async def discard_picture(image: str, account_id: AccountId, objects: ObjectStore) -> None:
    """Delete a picture of ours that nothing shows any more; what stays behind in an outage goes with the account."""
    if image.startswith(avatars_of(account_id)):
        with suppress(StorageUnavailableError):
            await objects.delete_prefix(image)
