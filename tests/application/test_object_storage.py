"""Files at a real S3 server, and what is said when it is away."""

from __future__ import annotations

import asyncio
import socket
import uuid
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

import boto3
import httpx
import pytest
from botocore.exceptions import ClientError

from application.adapters.object_storage import PUBLIC_PREFIXES, SENT_FOR, S3Objects
from application.errors import StorageUnavailableError
from application.settings import Settings
from domain.kernel import AccountId, MediaId
from domain.media.media import SENT_WITHIN, MediaNotFoundError, upload_key
from workers.local.doubles import S3_ACCESS_KEY, S3_REGION, S3_SECRET_KEY, ObjectStore
from workers.local.process import free_port


def settings_for(endpoint: str, bucket: str = "", **more: Any) -> Settings:
    return Settings(
        database_url="",
        jwt_secret="x" * 32,
        tradelog_master_key="",
        s3_endpoint=endpoint,
        s3_bucket=bucket or f"test-{uuid.uuid4().hex}",
        aws_access_key_id=S3_ACCESS_KEY,
        aws_secret_access_key=S3_SECRET_KEY,
        aws_region=S3_REGION,
        **more,
    )


@pytest.fixture
def settings(object_store: ObjectStore) -> Settings:
    return settings_for(object_store.url)


@pytest.fixture
def client(settings: Settings) -> Iterator[Any]:
    """An operator's own client, beside ours."""
    client = boto3.client(
        "s3",
        endpoint_url=settings.s3_endpoint,
        region_name=S3_REGION,
        aws_access_key_id=S3_ACCESS_KEY,
        aws_secret_access_key=S3_SECRET_KEY,
    )
    yield client
    client.close()


@pytest.fixture
async def objects(settings: Settings) -> AsyncIterator[S3Objects]:
    objects = S3Objects(settings)
    await objects.prepare()
    yield objects
    objects.close()


async def put(objects: S3Objects, *keys: str, content: bytes = b"hello") -> None:
    for key in keys:
        await objects.put(key, content, content_type="image/webp", cache_control="public")


class TestAFile:
    async def test_is_what_was_put_there(self, objects: S3Objects) -> None:
        await put(objects, "avatars/a/1.webp")
        assert await objects.get("avatars/a/1.webp", most=100) == b"hello"
        assert await objects.exists("avatars/a/1.webp")

    async def test_longer_than_wanted_is_read_no_further_than_to_know(self, objects: S3Objects) -> None:
        await put(objects, "uploads/a/1", content=bytes(1_000))
        assert len(await objects.get("uploads/a/1", most=10)) == 11

    async def test_that_is_not_there_is_not_found(self, objects: S3Objects) -> None:
        with pytest.raises(MediaNotFoundError):
            await objects.get("avatars/nobody", most=10)
        assert not await objects.exists("avatars/nobody")

    async def test_is_public_where_it_is_meant_to_be(self, objects: S3Objects, settings: Settings) -> None:
        await put(objects, "avatars/a/1.webp", "media/a/1/full.webp", "uploads/a/1")
        async with httpx.AsyncClient() as anybody:
            avatar = await anybody.get(settings.public_url("avatars/a/1.webp"))
            assert (avatar.status_code, avatar.content) == (200, b"hello")
            assert avatar.headers["content-type"] == "image/webp"
            assert avatar.headers["cache-control"] == "public"
            picture = await anybody.get(settings.public_url("media/a/1/full.webp"))
            assert picture.status_code == 200
            assert (await anybody.get(settings.public_url("uploads/a/1"))).status_code == 403


class TestALook:
    async def test_tells_what_it_is_and_how_it_begins(self, objects: S3Objects) -> None:
        await put(objects, "uploads/a/1", content=b"x" * 5_000)
        looked = await objects.look("uploads/a/1", first=32)
        assert (looked.content_type, looked.size, looked.beginning) == ("image/webp", 5_000, b"x" * 32)
        await put(objects, "uploads/a/1", content=b"y" * 5_000)
        again = await objects.look("uploads/a/1", first=32)
        assert again.checksum != looked.checksum
        assert '"' not in looked.checksum

    @pytest.mark.parametrize("content", [b"", b"x", b"x" * 32])
    async def test_at_what_is_short_tells_all_of_it(self, objects: S3Objects, content: bytes) -> None:
        await put(objects, "uploads/a/1", content=content)
        looked = await objects.look("uploads/a/1", first=32)
        assert (looked.size, looked.beginning) == (len(content), content)

    async def test_at_nothing_finds_nothing(self, objects: S3Objects) -> None:
        with pytest.raises(MediaNotFoundError):
            await objects.look("uploads/a/1", first=32)


class TestDeleting:
    async def test_takes_everything_below_a_prefix_and_nothing_else(self, objects: S3Objects) -> None:
        await put(objects, "avatars/a/1", "avatars/a/2", "avatars/ab/1", "uploads/a/1")
        await objects.delete_prefix("avatars/a/")
        kept = [key for key in ("avatars/a/1", "avatars/a/2") if await objects.exists(key)]
        assert kept == []
        assert await objects.exists("avatars/ab/1")
        assert await objects.exists("uploads/a/1")

    async def test_twice_is_no_fault(self, objects: S3Objects) -> None:
        await put(objects, "avatars/a/1")
        await objects.delete_prefix("avatars/a/1")
        await objects.delete_prefix("avatars/a/1")

    async def test_everything_at_once_is_not_on_offer(self, objects: S3Objects) -> None:
        with pytest.raises(ValueError, match="prefix"):
            await objects.delete_prefix("")

    async def test_takes_what_a_bucket_with_versions_keeps(
        self, objects: S3Objects, settings: Settings, client: Any
    ) -> None:
        client.put_bucket_versioning(Bucket=settings.bucket, VersioningConfiguration={"Status": "Enabled"})
        await put(objects, "avatars/a/1", content=b"first")
        await put(objects, "avatars/a/1", content=b"second")
        client.delete_object(Bucket=settings.bucket, Key="avatars/a/1")
        await objects.delete_prefix("avatars/a/")
        left = client.list_object_versions(Bucket=settings.bucket, Prefix="avatars/a/")
        assert (left.get("Versions", []), left.get("DeleteMarkers", [])) == ([], [])


class TestAnUploadOfAClients:
    async def test_goes_to_the_store_without_us(self, objects: S3Objects) -> None:
        upload = await objects.presign_upload(
            "uploads/a/1", content_type="image/png", size=5, lifetime=timedelta(minutes=15)
        )
        assert timedelta(minutes=14) < upload.expires_at - datetime.now(UTC) <= timedelta(minutes=15)
        async with httpx.AsyncClient() as client:
            sent = await client.request(
                upload.method, upload.url, headers=dict(upload.headers), content=b"12345"
            )
        assert sent.status_code == 200
        assert await objects.get("uploads/a/1", most=10) == b"12345"

    async def test_is_bound_to_its_type_and_size(self, objects: S3Objects) -> None:
        upload = await objects.presign_upload(
            "uploads/a/1", content_type="image/png", size=5, lifetime=timedelta(minutes=15)
        )
        signed = parse_qs(urlsplit(upload.url).query)
        # Moto checks no signatures. S3 does, over exactly these headers.
        assert signed["X-Amz-SignedHeaders"] == ["content-length;content-type;host"]
        assert signed["X-Amz-Expires"] == ["900"]
        assert upload.headers == {"Content-Type": "image/png", "Content-Length": "5"}

    async def test_goes_where_clients_reach_the_store(self, object_store: ObjectStore) -> None:
        objects = S3Objects(settings_for(object_store.url, s3_public_url="https://files.example.com"))
        upload = await objects.presign_upload(
            "uploads/a/1", content_type="image/png", size=5, lifetime=timedelta(minutes=15)
        )
        assert upload.url.startswith("https://files.example.com/test-")
        objects.close()


class TestTheBucket:
    async def test_may_be_prepared_by_many_at_once(self, settings: Settings) -> None:
        several = [S3Objects(settings) for _ in range(4)]
        await asyncio.gather(*(objects.prepare() for objects in several))
        await several[0].ping()
        for objects in several:
            objects.close()

    async def test_of_somebody_else_is_left_as_it_is(self, settings: Settings, client: Any) -> None:
        client.create_bucket(Bucket=settings.bucket)
        objects = S3Objects(settings)
        await objects.prepare()
        with pytest.raises(ClientError, match="NoSuchBucketPolicy"):
            client.get_bucket_policy(Bucket=settings.bucket)
        await objects.prepare(ours=True)
        assert "avatars/*" in client.get_bucket_policy(Bucket=settings.bucket)["Policy"]
        objects.close()

    async def test_forgets_what_was_sent_again_after_we_had_looked(
        self, settings: Settings, client: Any
    ) -> None:
        """An upload's address is good for a while after it was completed, and nothing would ever delete that."""
        objects = S3Objects(settings)
        await objects.prepare()
        (rule,) = client.get_bucket_lifecycle_configuration(Bucket=settings.bucket)["Rules"]
        sent = upload_key(AccountId(UUID(int=1)), MediaId(UUID(int=2)))
        assert sent.startswith(rule["Filter"]["Prefix"])
        assert not any(key.startswith(rule["Filter"]["Prefix"]) for key in PUBLIC_PREFIXES)
        assert (rule["Status"], timedelta(days=rule["Expiration"]["Days"])) == ("Enabled", SENT_FOR)
        assert SENT_WITHIN < SENT_FOR
        objects.close()

    async def test_that_we_may_not_make_is_left_to_the_operator(
        self, settings: Settings, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        objects = S3Objects(settings)
        client = objects._client()

        def refuse(**_: Any) -> None:
            raise ClientError({"Error": {"Code": "AccessDenied", "Message": ""}}, "CreateBucket")

        monkeypatch.setattr(client, "create_bucket", refuse)
        await objects.prepare()
        with pytest.raises(StorageUnavailableError, match="no bucket"):
            await objects.ping()
        objects.close()


class TestAStoreThatIsAway:
    async def test_is_said_to_be(self) -> None:
        objects = S3Objects(settings_for(f"http://127.0.0.1:{free_port()}"))
        for attempt in (
            objects.put("a", b"", content_type="image/webp"),
            objects.get("a", most=1),
            objects.exists("a"),
            objects.look("a", first=1),
            objects.delete_prefix("a"),
            objects.prepare(),
            objects.ping(),
        ):
            with pytest.raises(StorageUnavailableError) as away:
                await attempt
            assert away.value.code == "STORAGE_UNAVAILABLE"
        objects.close()

    async def test_that_says_nothing_is_not_waited_for_for_ever(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as silent:
            port = silent.getsockname()[1]
            objects = S3Objects(settings_for(f"http://127.0.0.1:{port}"), patience=0.5)
            with pytest.raises(StorageUnavailableError):
                await objects.get("a", most=1)
            objects.close()

    async def test_is_missed_only_where_it_is_needed(self) -> None:
        nothing = Settings(database_url="", jwt_secret="x" * 32, tradelog_master_key="")
        objects = S3Objects(nothing)
        with pytest.raises(StorageUnavailableError, match="configured"):
            await objects.exists("a")
        await objects.delete_prefix("a")  # so that people can be forgotten
        objects.close()

    async def test_without_its_bucket_it_is_not_there_either(self, settings: Settings) -> None:
        objects = S3Objects(settings)
        with pytest.raises(StorageUnavailableError):
            await put(objects, "avatars/a/1")
        with pytest.raises(StorageUnavailableError):
            await objects.get("avatars/a/1", most=1)
        objects.close()


@pytest.mark.parametrize(
    ("more", "begins"),
    [
        ({"s3_endpoint": "http://s3:9000"}, "http://s3:9000/pictures/"),
        (
            {"s3_endpoint": "http://s3:9000", "s3_public_url": "https://files.example.com/"},
            "https://files.example.com/pictures/",
        ),
        ({"s3_endpoint": "http://s3:9000", "cdn_url": "https://cdn.ecom.com/"}, "https://cdn.ecom.com/"),
        ({"aws_region": "eu-west-1"}, "https://pictures.s3.eu-west-1.amazonaws.com/"),
    ],
)
def test_what_everybody_sees_of_a_file(more: dict[str, Any], begins: str) -> None:
    settings = Settings(
        database_url="", jwt_secret="x" * 32, tradelog_master_key="", s3_bucket="pictures", **more
    )
    assert settings.public_url("avatars/a/1.webp") == f"{begins}avatars/a/1.webp"
    assert settings.public_url("") == ""
    assert settings.public_url("https://dummyjson.com/icon/a/128") == "https://dummyjson.com/icon/a/128"
