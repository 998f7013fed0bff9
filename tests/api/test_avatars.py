"""The picture that somebody shows of themselves, by multipart and by key, on a real S3 server."""

from __future__ import annotations

import io
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from tests.api.shop import Client, Shop, assert_problem
from tests.application.test_images import SECRET, an_exif, an_image
from workers.local.process import free_port

MOST = 5_242_880
AVATAR = "/users/me/avatar"


def sent(client: Client, content: bytes, field: str = "image", **options: Any) -> httpx.Response:
    # By what name and under which type it comes says nothing of what it is.
    files = {field: ("holiday.exe", content, "application/octet-stream")}
    return client("POST", AVATAR, files=files, **options)


def me(client: Client) -> dict[str, Any]:
    answer: dict[str, Any] = client.get("/users/me").json()
    return answer


def shown(url: str) -> Image.Image:
    response = httpx.get(url)
    assert (response.status_code, response.headers["content-type"]) == (200, "image/webp")
    assert "immutable" in response.headers["cache-control"]
    return Image.open(io.BytesIO(response.content))


@pytest.fixture
def user(shop: Shop) -> Client:
    return shop.user()


class TestAnImage:
    @pytest.mark.parametrize("field", ["image", "avatar", "file"])
    def test_is_shown_to_everybody(self, shop: Shop, user: Client, field: str) -> None:
        response = sent(user, an_image("JPEG", (900, 600), exif=an_exif()), field)
        assert response.status_code == 200, response.text
        assert int(response.headers["x-log-position"]) > 0
        body = response.json()
        account = me(user)
        url = body["image"]
        assert body == {
            "id": account["id"],
            "uuid": account["uuid"],
            "image": url,
            "avatar": url,
            "avatarUrl": url,
        }
        assert (account["image"], account["avatar"], account["avatarUrl"]) == (url, url, url)
        assert account["profile"]["avatarUrl"] == url
        assert shown(url).size == (512, 341)
        files = shop.stored(f"avatars/{account['uuid']}/")
        assert len(files) == 1
        assert SECRET not in next(iter(files.values()))

    @pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
    def test_is_judged_by_what_it_is(self, user: Client, kind: str) -> None:
        assert sent(user, an_image(kind)).status_code == 200

    def test_of_almost_five_megabytes_is_taken(self, user: Client) -> None:
        picture = an_image("JPEG")
        assert sent(user, picture + bytes(MOST - len(picture))).status_code == 200

    def test_takes_the_place_of_the_one_before(self, shop: Shop, user: Client) -> None:
        first = sent(user, an_image()).json()["image"]
        second = sent(user, an_image()).json()
        assert first != second["image"]
        assert me(user)["image"] == second["image"]
        (key,) = shop.stored(f"avatars/{second['uuid']}/")
        assert second["image"].endswith(key)
        assert httpx.get(first).status_code in {403, 404}

    def test_sent_again_with_its_key_is_taken_once(self, shop: Shop, user: Client) -> None:
        key = {"Idempotency-Key": uuid.uuid4().hex}
        request = httpx.Request("POST", "http://x", files={"image": ("a", an_image(), "image/png")})
        body, content_type = request.read(), request.headers["content-type"]

        def send() -> httpx.Response:
            return user("POST", AVATAR, content=body, headers={**key, "Content-Type": content_type})

        first, head = send(), shop.head()
        again = send()
        assert (first.status_code, again.status_code) == (200, 200)
        assert first.json() == again.json()
        assert again.headers["idempotency-replayed"] == "true"
        assert shop.head() == head
        assert len(shop.stored(f"avatars/{first.json()['uuid']}/")) == 1

    def test_can_be_taken_away(self, shop: Shop, user: Client) -> None:
        account = sent(user, an_image()).json()
        response = user("DELETE", AVATAR)
        assert (response.status_code, response.content) == (204, b"")
        assert me(user)["image"] == ""
        assert shop.stored(f"avatars/{account['uuid']}/") == {}
        head = shop.head()
        assert user("DELETE", AVATAR).status_code == 204
        assert shop.head() == head


class TestRefused:
    @pytest.mark.parametrize(
        ("content", "fault"),
        [
            (b"", "Must be a whole JPEG, PNG or WebP image"),
            (b"<?php system('id');", "Must be a whole JPEG, PNG or WebP image"),
            (an_image("GIF"), "Must be a whole JPEG, PNG or WebP image"),
            (an_image("JPEG", (300, 300))[:-500], "Must be a whole JPEG, PNG or WebP image"),
            (bytes(MOST + 1), f"Must be at most {MOST} bytes"),
        ],
        ids=["nothing", "a script", "a gif", "cut off", "too long"],
    )
    def test_what_is_no_picture(self, shop: Shop, user: Client, content: bytes, fault: str) -> None:
        head = shop.head()
        body = assert_problem(sent(user, content), 400, "VALIDATION_ERROR", "image")
        assert body["details"] == {"image": [fault]}
        assert shop.head() == head
        assert shop.stored(f"avatars/{me(user)['uuid']}/") == {}

    @pytest.mark.parametrize("size", [MOST + 65 * 1024, 12 * 1024 * 1024])
    def test_what_is_far_too_long_and_is_heard_of_it(self, shop: Shop, user: Client, size: int) -> None:
        head = shop.head()
        assert_problem(sent(user, bytes(size)), 413, "PAYLOAD_TOO_LARGE", "image")
        assert shop.head() == head

    def test_a_large_body_anywhere_else(self, user: Client) -> None:
        response = user("PUT", "/users/me", content=bytes(2 * 1024 * 1024))
        assert_problem(response, 413, "PAYLOAD_TOO_LARGE")

    def test_nothing_at_all(self, user: Client) -> None:
        assert_problem(sent(user, an_image(), "picture"), 400, "VALIDATION_ERROR", "image")
        assert_problem(user("POST", AVATAR, data={"image": "text"}), 415, "UNSUPPORTED_MEDIA_TYPE")
        assert_problem(user("POST", AVATAR), 400, "VALIDATION_ERROR")

    def test_a_word_instead_of_a_file(self, user: Client) -> None:
        response = user("POST", AVATAR, files={"image": (None, "a word")})
        assert_problem(response, 400, "VALIDATION_ERROR", "image")

    @pytest.mark.parametrize(
        ("content_type", "body"),
        [
            ("multipart/form-data", b"x"),
            ("multipart/form-data; boundary=b", b"x"),
            ("multipart/form-data; boundary=b", b"--b\r\n\r\nx\r\n--b--\r\n"),
            (
                "multipart/form-data; boundary=b",
                b'--b\r\nContent-Disposition: form-data; name="image"\r\n\r\n\xff\xfe\r\n--b--\r\n',
            ),
            (
                "multipart/form-data; boundary=b",
                (
                    b'--b\r\nContent-Disposition: form-data; name="image"\r\n'
                    b"Content-Type: text/plain; charset=nonsense\r\n\r\nx\r\n--b--\r\n"
                ),
            ),
        ],
    )
    def test_a_broken_form(self, user: Client, content_type: str, body: bytes) -> None:
        response = user("POST", AVATAR, content=body, headers={"Content-Type": content_type})
        assert_problem(response, 400, "VALIDATION_ERROR", "image")

    def test_strangers(self, shop: Shop) -> None:
        assert_problem(sent(shop.guest, an_image()), 401, "UNAUTHORIZED")
        assert_problem(shop.guest("DELETE", AVATAR), 401, "UNAUTHORIZED")

    @settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(
        content=st.binary(max_size=300),
        beginning=st.sampled_from([b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"]),
    )
    def test_any_bytes_alike(self, shop: Shop, user: Client, content: bytes, beginning: bytes) -> None:
        head = shop.head()
        assert_problem(sent(user, beginning + content), 400, "VALIDATION_ERROR", "image")
        assert shop.head() == head


class TestAnUpload:
    def signed(self, client: Client, content: bytes, **changed: Any) -> dict[str, Any]:
        body = {"mimeType": "image/png", "sizeBytes": len(content), **changed}
        response = client.post("/media/signed-url", body)
        assert response.status_code == 200, response.text
        answer: dict[str, Any] = response.json()
        return answer

    def uploaded(self, client: Client, content: bytes) -> dict[str, Any]:
        upload = self.signed(client, content)
        stored = httpx.request(upload["method"], upload["url"], headers=upload["headers"], content=content)
        assert stored.status_code == 200
        return upload

    def test_is_signed_for_its_type_and_size_and_a_quarter_of_an_hour(self, user: Client) -> None:
        upload = self.signed(user, bytes(10))
        assert upload["method"] == "PUT"
        assert upload["headers"] == {"Content-Type": "image/png", "Content-Length": "10"}
        assert upload["key"] == f"uploads/{me(user)['uuid']}/{upload['mediaId']}"
        left = datetime.fromisoformat(upload["expiresAt"]) - datetime.now(UTC)
        assert timedelta(minutes=14) < left <= timedelta(minutes=15)
        assert "X-Amz-SignedHeaders=content-length%3Bcontent-type%3Bhost" in upload["url"]

    @pytest.mark.parametrize("kind", ["image/jpeg", "image/png", "image/heic", "image/webp"])
    def test_may_be_any_of_four_kinds(self, user: Client, kind: str) -> None:
        assert user.post("/media/signed-url", {"mime": kind, "size": MOST}).status_code == 200

    @pytest.mark.parametrize(
        ("body", "fields"),
        [
            ({}, {"mimeType", "sizeBytes"}),
            ({"mimeType": "image/gif", "sizeBytes": 1}, {"mimeType"}),
            ({"mimeType": "image/svg+xml", "sizeBytes": 1}, {"mimeType"}),
            ({"mimeType": "image/png", "sizeBytes": 0}, {"sizeBytes"}),
            ({"mimeType": "image/png", "sizeBytes": MOST + 1}, {"sizeBytes"}),
            ({"mimeType": "image/png", "sizeBytes": "1"}, {"sizeBytes"}),
            ({"mime_type": 1, "size_bytes": None}, {"mimeType", "sizeBytes"}),
        ],
    )
    def test_of_anything_else_is_refused(self, user: Client, body: Any, fields: set[str]) -> None:
        assert_problem(user.post("/media/signed-url", body), 422, "VALIDATION_ERROR", *fields)

    def test_is_for_who_is_signed_in(self, shop: Shop) -> None:
        response = shop.guest.post("/media/signed-url", {"mimeType": "image/png", "sizeBytes": 1})
        assert_problem(response, 401, "UNAUTHORIZED")

    @pytest.mark.parametrize("name", ["key", "avatar", "image", "mediaId", "media_id"])
    def test_becomes_the_picture(self, user: Client, name: str) -> None:
        upload = self.uploaded(user, an_image("PNG", (100, 50), exif=an_exif()))
        reference = upload["mediaId"] if name.startswith("media") else upload["key"]
        response = user.post(AVATAR, {name: reference})
        assert response.status_code == 200, response.text
        assert shown(response.json()["image"]).size == (100, 50)
        assert me(user)["image"] == response.json()["image"]

    def test_of_somebody_else_is_not_there(self, shop: Shop, user: Client) -> None:
        upload = self.uploaded(shop.user(), an_image())
        head = shop.head()
        for reference in (upload["key"], upload["mediaId"]):
            assert_problem(user.post(AVATAR, {"key": reference}), 404, "MEDIA_NOT_FOUND")
        assert shop.head() == head

    @pytest.mark.parametrize(
        "key", ["uploads/", "../x", "avatars/x/y.webp", "https://example.com/a.png", "ä" * 90]
    )
    def test_that_is_not_there_is_not_found(self, shop: Shop, user: Client, key: str) -> None:
        head = shop.head()
        assert_problem(user.post(AVATAR, {"key": key}), 404, "MEDIA_NOT_FOUND")
        assert shop.head() == head

    def test_that_is_no_picture_is_refused(self, shop: Shop, user: Client) -> None:
        upload = self.uploaded(user, b"no picture")
        head = shop.head()
        assert_problem(user.post(AVATAR, {"key": upload["key"]}), 400, "VALIDATION_ERROR", "image")
        assert shop.head() == head

    @pytest.mark.parametrize("body", [{}, {"key": ""}, {"key": 7}, {"key": None}])
    def test_has_to_be_named(self, user: Client, body: Any) -> None:
        assert_problem(user.post(AVATAR, body), 400, "VALIDATION_ERROR", "key")


def test_while_the_store_is_away_everything_else_goes_on(shop: Shop, user: Client) -> None:
    with shop.another_api(S3_ENDPOINT=f"http://127.0.0.1:{free_port()}") as origin:
        there = shop.client(user.token, origin=origin)
        head = shop.head()
        response = sent(there, an_image())
        assert_problem(response, 503, "STORAGE_UNAVAILABLE")
        assert response.headers["retry-after"]
        assert shop.head() == head
        assert there.get("/users/me").status_code == 200
        assert httpx.get(f"{origin}/health").json()["dependencies"]["storage"]["status"] == "down"


def test_where_no_store_is_named_it_says_so(shop: Shop, user: Client) -> None:
    with shop.another_api(S3_ENDPOINT="", S3_BUCKET="") as origin:
        there = shop.client(user.token, origin=origin)
        assert_problem(sent(there, an_image()), 503, "STORAGE_UNAVAILABLE")
        signing = there.post("/media/signed-url", {"mimeType": "image/png", "sizeBytes": 1})
        assert_problem(signing, 503, "STORAGE_UNAVAILABLE")
