"""Uploading pictures and showing them in listings: real bytes, through a real S3 endpoint, worked on by a process."""

from __future__ import annotations

import io
import uuid
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from application.bootstrap import write_side
from application.media.uploading import RequestUpload
from application.ports import Metadata
from domain.kernel import AccountId, MediaId
from domain.media.media import MOST_OPEN
from tests.api.shop import Client, Shop, a_product, assert_problem, soon
from tests.application.test_images import SECRET, a_heic, a_png_of, an_exif, an_image
from tests.conftest import FreshDatabase
from workers.local.process import Process, free_port

MOST = 5_242_880
NAMES = {"thumbnail", "small", "large", "full"}


def signed(client: Client, content: bytes, mime_type: str = "image/jpeg", **more: Any) -> dict[str, Any]:
    return client.made("/media/signed-url", {"mimeType": mime_type, "sizeBytes": len(content), **more})


def put(upload: dict[str, Any], content: bytes, **headers: str) -> None:
    stored = httpx.request(
        upload["method"], upload["url"], headers={**upload["headers"], **headers}, content=content
    )
    assert stored.status_code == 200, stored.text


def sent(client: Client, content: bytes, mime_type: str = "image/jpeg", **more: Any) -> dict[str, Any]:
    upload = signed(client, content, mime_type, **more)
    put(upload, content)
    return upload


def completed(client: Client, content: bytes, mime_type: str = "image/jpeg") -> dict[str, Any]:
    return client.made("/media/complete", {"key": sent(client, content, mime_type)["key"]})


def media(client: Client, media_id: str) -> dict[str, Any]:
    response = client.get(f"/media/{media_id}")
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


def processed(client: Client, media_id: str) -> dict[str, Any]:
    soon(
        lambda: media(client, media_id)["status"] not in {"requested", "processing"}, "processing", within=30
    )
    return media(client, media_id)


def me(client: Client) -> str:
    account: str = client.get("/users/me").json()["uuid"]
    return account


def shown(url: str) -> Image.Image:
    response = httpx.get(url)
    assert (response.status_code, response.headers["content-type"]) == (200, "image/webp"), url
    assert "immutable" in response.headers["cache-control"]
    assert SECRET not in response.content
    return Image.open(io.BytesIO(response.content))


@pytest.fixture(scope="module")
def reactor(shop: Shop) -> Iterator[Process]:
    with shop.also("workers.reactor") as process:
        yield process


@pytest.fixture
def shop_of_its_own(fresh_database: FreshDatabase, tmp_path: Path) -> Iterator[Shop]:
    with fresh_database() as url, Shop(url, tmp_path / "shop", storage=True) as shop:
        yield shop


@pytest.fixture
def user(shop: Shop) -> Client:
    return shop.user("/auth/signup")


@pytest.fixture
def listing(user: Client, category: str) -> dict[str, Any]:
    body = a_product(category)
    return user.made("/listings", {**body, "images": [], "thumbnail": None})


class TestCompleting:
    def test_answers_with_the_media(self, user: Client) -> None:
        picture = an_image("JPEG", (90, 60))
        upload = sent(user, picture)
        response = user.post("/media/complete", {"key": upload["key"], "width": 90, "height": 60})
        assert response.status_code == 200, response.text
        assert int(response.headers["x-log-position"]) > 0
        body = response.json()
        assert body["id"] == upload["mediaId"]
        assert (body["key"], body["mimeType"], body["sizeBytes"]) == (
            upload["key"],
            "image/jpeg",
            len(picture),
        )
        assert (body["width"], body["height"], body["status"]) == (90, 60, "processing")
        assert body["url"].endswith(f"/media/{me(user)}/{upload['mediaId']}/full.webp")
        read = media(user, upload["mediaId"])
        assert {**read, "status": ""} == {**body, "status": ""} or read["status"] == "ready"

    @pytest.mark.parametrize("name", ["key", "mediaId", "media_id"])
    def test_takes_key_or_id(self, user: Client, name: str) -> None:
        upload = sent(user, an_image("PNG"), "image/png")
        reference = upload["key"] if name == "key" else upload["mediaId"]
        body = user.made("/media/complete", {name: reference})
        assert (body["id"], body["width"], body["height"]) == (upload["mediaId"], None, None)

    def test_is_done_once(self, shop: Shop, user: Client) -> None:
        upload = sent(user, an_image("JPEG"))
        headers = {"Idempotency-Key": uuid.uuid4().hex}
        first = user.post("/media/complete", {"key": upload["key"]}, headers=headers)
        again = user.post("/media/complete", {"key": upload["key"]}, headers=headers)
        assert (first.status_code, again.status_code) == (200, 200)
        assert first.json() == again.json()
        assert again.headers["idempotency-replayed"] == "true"
        head = shop.head()
        response = user.post("/media/complete", {"key": upload["key"]})
        assert_problem(response, 409, "MEDIA_ALREADY_COMPLETED")
        assert not [event for event in events_after(shop, head) if upload["mediaId"] in event]

    def test_is_for_who_asked_for_the_address(self, shop: Shop, user: Client) -> None:
        upload = sent(user, an_image("JPEG"))
        stranger = shop.user()
        for reference in ({"key": upload["key"]}, {"mediaId": upload["mediaId"]}):
            assert_problem(stranger.post("/media/complete", reference), 403, "FORBIDDEN")
            assert_problem(shop.guest.post("/media/complete", reference), 401, "UNAUTHORIZED")
        assert media(user, upload["mediaId"])["status"] == "requested"

    @pytest.mark.parametrize(
        "key", ["uploads/x", "../x", "7", "avatars/x/y.webp", "ä" * 90, str(uuid.uuid4())]
    )
    def test_of_what_is_not_there_is_not_found(self, user: Client, key: str) -> None:
        assert_problem(user.post("/media/complete", {"key": key}), 404, "MEDIA_NOT_FOUND")

    @pytest.mark.parametrize(
        ("body", "fields"),
        [
            ({}, {"key"}),
            ({"key": ""}, {"key"}),
            ({"key": 7}, {"key"}),
            ({"key": "x", "width": 0, "height": -1}, {"width", "height"}),
            ({"key": "x", "width": "60"}, {"width"}),
        ],
    )
    def test_has_to_make_sense(self, user: Client, body: Any, fields: set[str]) -> None:
        assert_problem(user.post("/media/complete", body), 422, "VALIDATION_ERROR", *fields)

    def test_of_nothing_is_refused(self, user: Client) -> None:
        upload = signed(user, an_image("JPEG"))
        response = user.post("/media/complete", {"key": upload["key"]})
        assert_problem(response, 422, "VALIDATION_ERROR", "key")
        put(upload, an_image("JPEG"))
        assert user.post("/media/complete", {"key": upload["key"]}).status_code == 200

    def test_of_another_size_type_or_content_is_refused(self, user: Client) -> None:
        # Moto takes what S3 would refuse by the signature: it has to be noticed all the same.
        picture = an_image("JPEG")
        for content, headers, field in (
            (picture + b"more", {"Content-Length": str(len(picture) + 4)}, "sizeBytes"),
            (picture, {"Content-Type": "text/html"}, "mimeType"),
            (b"just words".ljust(len(picture)), {}, "mimeType"),
            (an_image("PNG").ljust(len(picture), b"\0")[: len(picture)], {}, "mimeType"),
        ):
            upload = signed(user, picture)
            put(upload, content, **headers)
            response = user.post("/media/complete", {"key": upload["key"]})
            assert_problem(response, 422, "VALIDATION_ERROR", field)


def events_after(shop: Shop, position: int) -> list[str]:
    """What was recorded since then, as it stands in the log."""

    async def read() -> list[str]:
        async with write_side(shop.settings) as write:
            stored = await write.log.read(position, 1000)
            return [repr(event.state) + str(event.stream) for event in stored]

    found: list[str] = shop.run(read())
    return found


class TestAnAddress:
    def test_is_recorded_and_given_once_for_a_key(self, user: Client) -> None:
        headers = {"Idempotency-Key": uuid.uuid4().hex}
        body = {"mimeType": "image/png", "sizeBytes": 10, "purpose": "product"}
        first = user.post("/media/signed-url", body, headers=headers).json()
        assert user.post("/media/signed-url", body, headers=headers).json() == first
        read = media(user, first["mediaId"])
        assert (read["status"], read["key"], read["purpose"]) == ("requested", first["key"], "product")

    def test_is_for_what_the_purpose_allows(self, user: Client) -> None:
        body = {"mimeType": "image/heic", "sizeBytes": 10, "purpose": "avatar"}
        assert_problem(user.post("/media/signed-url", body), 422, "VALIDATION_ERROR", "mimeType")
        body["purpose"] = "wallpaper"
        assert_problem(user.post("/media/signed-url", body), 422, "VALIDATION_ERROR", "purpose")

    def test_is_not_given_to_who_has_too_many(self, shop: Shop, user: Client) -> None:
        owner = AccountId(uuid.UUID(me(user)))

        async def ask() -> None:
            async with write_side(shop.settings) as write:
                for _ in range(MOST_OPEN):
                    command = RequestUpload(
                        media_id=MediaId(uuid.uuid4()), account_id=owner, mime_type="image/png", size=1
                    )
                    await write.bus.handle(command, Metadata(actor="tests"))

        shop.run(ask())
        user.get(f"/media/{uuid.uuid4()}", headers={"X-Min-Log-Position": str(shop.head())})
        response = user.post("/media/signed-url", {"mimeType": "image/png", "sizeBytes": 1})
        assert_problem(response, 422, "VALIDATION_ERROR", "uploads")


class TestProcessing:
    @pytest.mark.usefixtures("reactor")
    @pytest.mark.parametrize("kind", ["jpeg", "png", "webp", "heic"])
    def test_makes_pictures_that_tell_nothing(self, shop: Shop, user: Client, kind: str) -> None:
        exif = an_exif(6)
        content = (
            a_heic((1500, 1000), exif=exif.tobytes())
            if kind == "heic"
            else an_image(kind.upper(), (1500, 1000), exif=exif)
        )
        assert SECRET in content
        media_id = completed(user, content, f"image/{kind}")["id"]
        read = processed(user, media_id)
        assert (read["status"], read["width"], read["height"]) == ("ready", 1000, 1500), read
        assert [variant["name"] for variant in read["variants"]] == ["thumbnail", "small", "large", "full"]
        for variant in read["variants"]:
            picture = shown(variant["url"])
            assert picture.size == (variant["width"], variant["height"])
            assert picture.width < picture.height
        assert (read["url"], read["thumbnailUrl"]) == (
            read["variants"][-1]["url"],
            read["variants"][0]["url"],
        )
        # What was sent, with where it was taken, is not kept at all.
        owner = me(user)
        soon(lambda: shop.stored_keys(f"uploads/{owner}/{media_id}") == [], "what was sent is deleted")
        assert len(shop.stored_keys(f"media/{owner}/{media_id}/")) == 4

    @pytest.mark.usefixtures("reactor")
    @pytest.mark.parametrize(
        ("content", "mime_type", "reason"),
        [
            (a_png_of(30_000, 30_000), "image/png", "Must be a whole PNG image"),
            (a_png_of(9_000, 9_000), "image/png", "Must have at most 50000000 pixels"),
            (an_image("JPEG", (300, 300))[:-900], "image/jpeg", "Must be a whole JPEG image"),
            (b"\xff\xd8\xff and nothing else", "image/jpeg", "Must be a whole JPEG image"),
            (a_heic((300, 300))[:-200], "image/heic", "Must be a whole HEIC image"),
        ],
        ids=["a bomb", "a large one", "cut off", "a beginning", "a heic cut off"],
    )
    def test_of_what_is_no_picture_says_why(
        self, shop: Shop, user: Client, content: bytes, mime_type: str, reason: str
    ) -> None:
        media_id = completed(user, content, mime_type)["id"]
        read = processed(user, media_id)
        assert (read["status"], read["reason"], read["variants"]) == ("failed", reason, [])
        owner = me(user)
        soon(lambda: shop.stored_keys(f"uploads/{owner}/") == [], "what was sent is deleted")
        assert shop.stored_keys(f"media/{owner}/") == []

    def test_what_was_sent_is_for_nobody_to_read(self, user: Client) -> None:
        upload = sent(user, an_image("JPEG", exif=an_exif()))
        assert httpx.get(upload["url"].partition("?")[0]).status_code == 403

    def test_goes_on_where_a_killed_worker_left_it(self, shop_of_its_own: Shop) -> None:
        shop = shop_of_its_own
        user = shop.user()
        owner = me(user)
        files = [completed(user, an_image("JPEG", (1500, 1000 + number)))["id"] for number in range(6)]
        broken = completed(user, an_image("JPEG", (300, 300))[:-900])["id"]

        def holds(least: int) -> bool:
            return len(shop.stored_keys(f"media/{owner}/")) >= least

        for done in range(1, 12, 3):
            with shop.also("workers.reactor") as worker:
                soon(partial(holds, done), "some of the work", within=30)
                worker.kill()
        with shop.also("workers.reactor"):
            statuses = [processed(user, media_id)["status"] for media_id in (*files, broken)]
            soon(lambda: shop.stored_keys(f"uploads/{owner}/") == [], "what was sent is deleted")
        assert statuses == ["ready"] * 6 + ["failed"]
        stored = shop.stored_keys(f"media/{owner}/")
        assert {key.rpartition("/")[2].removesuffix(".webp") for key in stored} == NAMES
        assert len(stored) == 4 * 6


class TestReading:
    def test_is_for_its_owner_and_admins(self, shop: Shop, user: Client, admin: Client) -> None:
        media_id = sent(user, an_image("JPEG"))["mediaId"]
        assert media(user, media_id)["id"] == media(admin, media_id)["id"] == media_id
        assert_problem(shop.user().get(f"/media/{media_id}"), 403, "FORBIDDEN")
        assert_problem(shop.guest.get(f"/media/{media_id}"), 401, "UNAUTHORIZED")
        for unknown in (str(uuid.uuid4()), "7", "x"):
            assert_problem(user.get(f"/media/{unknown}"), 404, "MEDIA_NOT_FOUND")


class TestDeleting:
    @pytest.mark.usefixtures("reactor")
    def test_leaves_nothing(self, shop: Shop, user: Client) -> None:
        media_id = completed(user, an_image("JPEG"))["id"]
        processed(user, media_id)
        assert_problem(shop.user()("DELETE", f"/media/{media_id}"), 403, "FORBIDDEN")
        response = user("DELETE", f"/media/{media_id}")
        assert (response.status_code, response.content) == (204, b"")
        assert user("DELETE", f"/media/{media_id}").status_code == 204
        assert_problem(user.get(f"/media/{media_id}"), 404, "MEDIA_NOT_FOUND")
        owner = me(user)
        soon(
            lambda: shop.stored_keys(f"media/{owner}/") == shop.stored_keys(f"uploads/{owner}/") == [],
            "all is gone",
        )

    def test_of_what_a_listing_shows_is_refused(self, user: Client, listing: dict[str, Any]) -> None:
        media_id = completed(user, an_image("JPEG"))["id"]
        user.made(f"/listings/{listing['id']}/images", {"mediaId": media_id})
        assert_problem(user("DELETE", f"/media/{media_id}"), 409, "MEDIA_IN_USE")


class TestImagesOfAListing:
    @pytest.mark.parametrize("family", ["listings", "products"])
    def test_are_attached_in_order(self, user: Client, listing: dict[str, Any], family: str) -> None:
        path = f"/{family}/{listing['id']}/images"
        first, second, third = (completed(user, an_image("JPEG")) for _ in range(3))
        image = user.made(path, {"mediaId": first["id"]})
        assert image == {
            "id": first["id"],
            "mediaId": first["id"],
            "listingId": listing["id"],
            "key": first["key"],
            "orderIndex": 0,
            "url": first["url"],
            "thumbnailUrl": first["thumbnailUrl"],
        }
        assert user.post(path, {"key": second["key"], "orderIndex": 9}).json()["orderIndex"] == 1
        response = user.post(path, {"mediaId": third["id"], "order_index": 0})
        assert (response.status_code, response.json()["orderIndex"]) == (201, 0)
        order = [second["id"], third["id"], first["id"]]
        reordered = user("PUT", f"{path}/order", json={"imageIds": order})
        assert reordered.status_code == 200, reordered.text
        assert [(image["id"], image["orderIndex"]) for image in reordered.json()["images"]] == [
            (media_id, index) for index, media_id in enumerate(order)
        ]
        removed = user("DELETE", f"{path}/{third['id']}")
        assert (removed.status_code, removed.content) == (204, b"")
        assert_problem(user("DELETE", f"{path}/{third['id']}"), 404, "MEDIA_NOT_FOUND")
        assert user.post(path, {"mediaId": third["id"]}).json()["orderIndex"] == 2
        assert media(user, third["id"])["attached"]

    def test_are_named_by_slug_and_uuid_too(self, user: Client, listing: dict[str, Any]) -> None:
        for reference in (listing["slug"], listing["uuid"]):
            media_id = completed(user, an_image("JPEG"))["id"]
            assert user.made(f"/listings/{reference}/images", {"mediaId": media_id})["id"] == media_id

    def test_let_it_be_published(self, user: Client, listing: dict[str, Any]) -> None:
        assert_problem(
            user.post(f"/listings/{listing['id']}/publish"), 422, "LISTING_NOT_PUBLISHABLE", "images"
        )
        media_id = completed(user, an_image("JPEG"))["id"]
        user.made(f"/listings/{listing['id']}/images", {"mediaId": media_id})
        assert user.post(f"/listings/{listing['id']}/publish").status_code == 200

    def test_are_ones_own_on_ones_own(self, shop: Shop, user: Client, listing: dict[str, Any]) -> None:
        path = f"/listings/{listing['id']}/images"
        stranger = shop.user("/auth/signup")
        mine, theirs = completed(user, an_image("JPEG"))["id"], completed(stranger, an_image("JPEG"))["id"]
        head = shop.head()
        assert_problem(user.post(path, {"mediaId": theirs}), 403, "FORBIDDEN")
        assert_problem(stranger.post(path, {"mediaId": theirs}), 403, "FORBIDDEN")
        assert_problem(shop.guest.post(path, {"mediaId": mine}), 401, "UNAUTHORIZED")
        assert_problem(stranger("PUT", f"{path}/order", json={"imageIds": []}), 403, "FORBIDDEN")
        assert_problem(stranger("DELETE", f"{path}/{mine}"), 403, "FORBIDDEN")
        assert_problem(user.post(path, {"mediaId": str(uuid.uuid4())}), 404, "MEDIA_NOT_FOUND")
        assert_problem(user.post("/listings/999999/images", {"mediaId": mine}), 404, "PRODUCT_NOT_FOUND")
        unsent = signed(user, an_image("JPEG"))["mediaId"]
        assert_problem(user.post(path, {"mediaId": unsent}), 422, "MEDIA_NOT_USABLE", "mediaIds")
        assert not [event for event in events_after(shop, head) if "media_attached" in event]

    @pytest.mark.parametrize(
        ("body", "field"),
        [
            ({}, "mediaId"),
            ({"mediaId": 7}, "mediaId"),
            ({"mediaId": "x", "orderIndex": -1}, "orderIndex"),
            ({"mediaId": "x", "orderIndex": "0"}, "orderIndex"),
        ],
    )
    def test_have_to_make_sense(self, user: Client, listing: dict[str, Any], body: Any, field: str) -> None:
        response = user.post(f"/listings/{listing['id']}/images", body)
        assert_problem(response, 400, "VALIDATION_ERROR", field)

    def test_are_put_in_order_all_together(self, user: Client, listing: dict[str, Any]) -> None:
        path = f"/listings/{listing['id']}/images"
        ids = [user.made(path, {"mediaId": completed(user, an_image("JPEG"))["id"]})["id"] for _ in range(2)]
        for wrong in (ids[:1], [ids[0], ids[0]], [*ids, str(uuid.uuid4())], ["x"]):
            response = user("PUT", f"{path}/order", json={"imageIds": wrong})
            assert response.status_code == 400, response.text
            assert next(iter(response.json()["details"])).startswith("imageIds")
        assert_problem(user("PUT", f"{path}/order", json={}), 400, "VALIDATION_ERROR", "imageIds")

    @pytest.mark.usefixtures("reactor")
    def test_are_no_longer_there_when_they_turn_out_to_be_none(
        self, shop: Shop, user: Client, listing: dict[str, Any]
    ) -> None:
        path = f"/listings/{listing['id']}/images"
        media_id = completed(user, an_image("JPEG", (300, 300))[:-900])["id"]
        attached = user.post(path, {"mediaId": media_id})
        assert processed(user, media_id)["status"] == "failed"
        # Whichever came first.
        assert attached.status_code in {201, 422}
        assert not media(user, media_id)["attached"]
        assert_problem(user("DELETE", f"{path}/{media_id}"), 404, "MEDIA_NOT_FOUND")


def test_while_the_store_is_away_nothing_is_taken(shop: Shop, user: Client) -> None:
    upload = sent(user, an_image("JPEG"))
    with shop.another_api(S3_ENDPOINT=f"http://127.0.0.1:{free_port()}") as origin:
        there = shop.client(user.token, origin=origin)
        response = there.post("/media/complete", {"key": upload["key"]})
        assert_problem(response, 503, "STORAGE_UNAVAILABLE")
    assert user.post("/media/complete", {"key": upload["key"]}).status_code == 200
