"""Changing the picture that one shows, on a log and with files in memory."""

from __future__ import annotations

import pytest

from application.accounts.avatars import ChangeAvatar, RemoveAvatar
from application.accounts.profile import UpdateAccount
from application.accounts.standing import EraseAccount, RequestDeletion
from application.errors import LogUnavailableError, StorageUnavailableError
from application.ports import AlreadyAnsweredError, Answer, Metadata, Once
from domain.accounts.account import ACCOUNTS, GRACE, UserNotFoundError
from domain.accounts.events import AvatarChanged
from domain.kernel import AccountId
from domain.media.media import MediaNotFoundError
from tests.application.shop import MemoryObjects, Shop

ELSEWHERE = "https://dummyjson.com/icon/emilys/128"


class FailingObjects(MemoryObjects):
    """A store that goes away between putting and deleting."""

    async def delete_prefix(self, prefix: str) -> None:
        raise StorageUnavailableError("away")


@pytest.fixture
def shop() -> Shop:
    return Shop()


@pytest.fixture
async def emily(shop: Shop) -> AccountId:
    return (await shop.buyer()).account_id


async def test_the_log_holds_the_key_of_a_file_that_is_there(shop: Shop, emily: AccountId) -> None:
    head = await shop.log.head()
    changed = await shop.handle(ChangeAvatar(account_id=emily, image=b"picture"))
    ((key, content),) = shop.objects.files.items()
    assert key.startswith(f"avatars/{emily}/")
    assert key.endswith(".webp")
    assert content == b"picture"
    assert changed.state.image == key
    assert await shop.events_after(head) == [AvatarChanged(account_id=emily, image=key)]


async def test_the_file_before_goes_when_the_new_one_is_shown(shop: Shop, emily: AccountId) -> None:
    await shop.handle(ChangeAvatar(account_id=emily, image=b"first"))
    await shop.handle(ChangeAvatar(account_id=emily, image=b"second"))
    assert list(shop.objects.files.values()) == [b"second"]
    await shop.handle(RemoveAvatar(account_id=emily))
    assert shop.objects.files == {}
    head = await shop.log.head()
    assert (await shop.handle(RemoveAvatar(account_id=emily))).state.image == ""
    assert await shop.log.head() == head


async def test_a_picture_elsewhere_and_files_of_others_are_left_alone(shop: Shop, emily: AccountId) -> None:
    await shop.handle(UpdateAccount(account_id=emily, image=ELSEWHERE))
    shop.objects.files["avatars/somebody/else.webp"] = b"theirs"
    await shop.handle(ChangeAvatar(account_id=emily, image=b"picture"))
    assert sorted(shop.objects.files.values()) == [b"picture", b"theirs"]


async def test_an_upload_becomes_the_picture_and_stays_an_upload(shop: Shop, emily: AccountId) -> None:
    upload = f"uploads/{emily}/1"
    shop.objects.files[upload] = b"uploaded"
    changed = await shop.handle(ChangeAvatar(account_id=emily, image=upload))
    assert shop.objects.files == {upload: b"uploaded", changed.state.image: b"uploaded"}


@pytest.mark.parametrize("key", ["uploads/somebody/1", "avatars/somebody/1", "", "uploads/"])
async def test_what_somebody_else_uploaded_is_not_there(shop: Shop, emily: AccountId, key: str) -> None:
    shop.objects.files["uploads/somebody/1"] = b"theirs"
    head = await shop.log.head()
    with pytest.raises(MediaNotFoundError):
        await shop.handle(ChangeAvatar(account_id=emily, image=key))
    assert await shop.log.head() == head
    assert list(shop.objects.files) == ["uploads/somebody/1"]


async def test_of_a_person_who_is_forgotten_nothing_is_kept(shop: Shop, emily: AccountId) -> None:
    await shop.handle(RequestDeletion(account_id=emily, password="Secret123"))
    shop.clock.at += GRACE
    await shop.handle(EraseAccount(account_id=emily))
    with pytest.raises(UserNotFoundError):
        await shop.handle(ChangeAvatar(account_id=emily, image=b"picture"))
    assert shop.objects.files == {}


async def test_a_person_who_is_erased_meanwhile_leaves_no_file(
    shop: Shop, emily: AccountId, monkeypatch: pytest.MonkeyPatch
) -> None:
    await shop.handle(RequestDeletion(account_id=emily, password="Secret123"))
    shop.clock.at += GRACE
    put = shop.objects.put

    async def put_and_lose(key: str, content: bytes, *, content_type: str, cache_control: str = "") -> None:
        await put(key, content, content_type=content_type, cache_control=cache_control)
        await shop.handle(EraseAccount(account_id=emily))

    monkeypatch.setattr(shop.objects, "put", put_and_lose)
    with pytest.raises(UserNotFoundError):
        await shop.handle(ChangeAvatar(account_id=emily, image=b"picture"))
    assert shop.objects.files == {}


async def test_what_may_have_been_recorded_is_kept(
    shop: Shop, emily: AccountId, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def lost(*_: object, **__: object) -> None:
        raise LogUnavailableError("the connection broke off")

    monkeypatch.setattr(shop.store, "change", lost)
    with pytest.raises(LogUnavailableError):
        await shop.handle(ChangeAvatar(account_id=emily, image=b"picture"))
    assert list(shop.objects.files.values()) == [b"picture"]


async def test_a_store_that_goes_away_afterwards_changes_nothing(emily: AccountId) -> None:
    shop = Shop(objects=FailingObjects())
    account_id = (await shop.buyer()).account_id
    await shop.handle(ChangeAvatar(account_id=account_id, image=b"first"))
    changed = await shop.handle(ChangeAvatar(account_id=account_id, image=b"second"))
    assert (await shop.now(ACCOUNTS, account_id)).image == changed.state.image
    assert len(shop.objects.files) == 2


async def test_a_command_that_is_repeated_stores_nothing_again(shop: Shop, emily: AccountId) -> None:
    once = Once(
        scope=f"user:{emily}", key="k", request_hash=b"h", answer=lambda _: Answer(status=200, body=b"{}")
    )
    metadata = Metadata(actor=f"user:{emily}", once=once)
    command = ChangeAvatar(account_id=emily, image=b"picture")
    await shop.handle(command, metadata)
    files = dict(shop.objects.files)
    with pytest.raises(AlreadyAnsweredError):
        await shop.handle(command, metadata)
    assert shop.objects.files == files
