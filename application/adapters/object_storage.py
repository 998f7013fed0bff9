"""Files at S3, or at a server that speaks its language, through boto3 on threads of its own."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from threading import Lock
from typing import Any, Final, TypeVar

import structlog
from botocore.exceptions import BotoCoreError, ClientError

from application.errors import StorageUnavailableError
from application.ports import SignedUpload, StoredFile
from application.settings import Settings
from domain.media.media import MediaNotFoundError

T = TypeVar("T")

THREADS: Final = 8
PATIENCE: Final = 15.0

PUBLIC_PREFIXES: Final = ("avatars/", "media/")
"""What everybody may read. All else is read by us, or through an address that we signed."""

PRIVATE_PREFIX: Final = "uploads/"
SENT_FOR: Final = timedelta(days=7)
"""What was sent is kept by the store no longer than this, whatever becomes of it: its address takes it once more also
after we have looked at it and deleted it, and of that nobody tells us. It is worked on long before."""

_MISSING: Final = frozenset({"404", "NoSuchKey", "NotFound"})
_EMPTY: Final = "InvalidRange"
_NO_BUCKET: Final = frozenset({"404", "NoSuchBucket"})
_MADE_ALREADY: Final = frozenset({"BucketAlreadyOwnedByYou", "BucketAlreadyExists"})
_NOT_ALLOWED: Final = frozenset({"403", "AccessDenied", "Forbidden", "MethodNotAllowed", "NotImplemented"})

log = structlog.get_logger()


class S3Objects:
    """One bucket. The client is made at the first call: nothing else waits for S3, nor for boto3 to be loaded."""

    def __init__(self, settings: Settings, *, patience: float = PATIENCE) -> None:
        self._settings = settings
        self._bucket = settings.bucket
        self._patience = patience
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="s3")
        self._making = Lock()
        self._clients: dict[str, Any] = {}

    async def put(self, key: str, content: bytes, *, content_type: str, cache_control: str = "") -> None:
        cached = {"CacheControl": cache_control} if cache_control else {}

        def put() -> None:
            self._client().put_object(
                Bucket=self._bucket, Key=key, Body=content, ContentType=content_type, **cached
            )

        await self._run(put)

    async def get(self, key: str, *, most: int) -> bytes:
        def get() -> bytes:
            with self._client().get_object(Bucket=self._bucket, Key=key)["Body"] as body:
                content: bytes = body.read(most + 1)
                return content

        return await self._run(get)

    async def look(self, key: str, *, first: int) -> StoredFile:
        """One request tells both what the store knows of a file and how it begins."""

        def look() -> StoredFile:
            client = self._client()
            try:
                found = client.get_object(Bucket=self._bucket, Key=key, Range=f"bytes=0-{first - 1}")
            except ClientError as refused:
                if refused.response["Error"]["Code"] != _EMPTY:
                    raise
                found = client.head_object(Bucket=self._bucket, Key=key)
                return _stored(found, size=found["ContentLength"], beginning=b"")
            with found["Body"] as body:
                beginning: bytes = body.read(first)
            # "bytes 0-31/12345": a part tells the length of the whole.
            size = found.get("ContentRange", "").rpartition("/")[2] or found["ContentLength"]
            return _stored(found, size=int(size), beginning=beginning)

        return await self._run(look)

    async def exists(self, key: str) -> bool:
        try:
            await self._run(lambda: self._client().head_object(Bucket=self._bucket, Key=key))
        except MediaNotFoundError:
            return False
        return True

    async def delete_prefix(self, prefix: str) -> None:
        if not prefix:
            raise ValueError("without a prefix that would be the whole bucket")
        if not self._settings.stores_objects:
            return  # where there is no store, nothing was ever put
        await self._run(lambda: self._delete(prefix))

    async def presign_upload(
        self, key: str, *, content_type: str, size: int, lifetime: timedelta
    ) -> SignedUpload:
        parameters = {
            "Bucket": self._bucket,
            "Key": key,
            "ContentType": content_type,
            # A header that is signed: S3 refuses any other length, and any other type.
            "ContentLength": size,
        }

        def sign() -> str:
            url: str = self._client(self._settings.s3_public_endpoint).generate_presigned_url(
                "put_object", Params=parameters, ExpiresIn=int(lifetime.total_seconds()), HttpMethod="PUT"
            )
            return url

        expires_at = datetime.now(UTC) + lifetime
        return SignedUpload(
            url=await self._run(sign),
            method="PUT",
            headers={"Content-Type": content_type, "Content-Length": str(size)},
            key=key,
            expires_at=expires_at,
        )

    async def prepare(self, *, ours: bool = False) -> None:
        """Make the bucket where it is missing, and let everybody read what is public in it.

        One that was there already belongs to somebody who decided who may read it; only ``ours`` is set up again.
        What we may not do is said and left to the operator: production's credentials need not allow it.
        """
        await self._run(lambda: self._prepare(ours=ours))

    async def ping(self) -> None:
        """Whether it answers, and has our bucket."""
        try:
            await self._run(lambda: self._client().head_bucket(Bucket=self._bucket))
        except MediaNotFoundError as missing:
            raise StorageUnavailableError(f"The object storage has no bucket {self._bucket}") from missing

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)
        for client in self._clients.values():
            client.close()

    async def _run(self, call: Callable[[], T]) -> T:
        if not self._settings.stores_objects:
            raise StorageUnavailableError("No object storage is configured")
        try:
            async with asyncio.timeout(self._patience):
                return await asyncio.get_running_loop().run_in_executor(self._threads, call)
        except ClientError as refused:
            code = refused.response["Error"]["Code"]
            if code in _MISSING:
                raise MediaNotFoundError("Media not found") from refused
            log.warning("object storage refuses", code=code, operation=refused.operation_name)
            raise StorageUnavailableError("The object storage refuses to work for us") from refused
        except (BotoCoreError, TimeoutError) as down:
            log.warning("object storage is away", error=type(down).__name__)
            raise StorageUnavailableError("The object storage does not answer") from down

    def _client(self, endpoint: str = "") -> Any:
        endpoint = endpoint or self._settings.s3_endpoint
        with self._making:
            if endpoint not in self._clients:
                self._clients[endpoint] = _made(self._settings, endpoint)
            return self._clients[endpoint]

    def _delete(self, prefix: str) -> None:
        """Page by page, which is as many as S3 deletes at once; with versioning also those that it keeps."""
        client = self._client()
        pages = client.get_paginator("list_object_versions")
        for page in pages.paginate(Bucket=self._bucket, Prefix=prefix):
            found = [
                {"Key": entry["Key"], "VersionId": entry["VersionId"]}
                for entry in (*page.get("Versions", ()), *page.get("DeleteMarkers", ()))
            ]
            if not found:
                continue
            answer = client.delete_objects(Bucket=self._bucket, Delete={"Objects": found, "Quiet": True})
            if faults := answer.get("Errors"):
                log.warning("objects were not deleted", code=faults[0].get("Code"), count=len(faults))
                raise StorageUnavailableError("The object storage did not delete everything")

    def _prepare(self, *, ours: bool) -> None:
        client = self._client()
        try:
            made = self._make_bucket(client)
            if made or ours:
                client.put_bucket_policy(Bucket=self._bucket, Policy=public_policy(self._bucket))
                client.put_bucket_lifecycle_configuration(
                    Bucket=self._bucket, LifecycleConfiguration={"Rules": [_FORGETTING]}
                )
        except ClientError as refused:
            code = refused.response["Error"]["Code"]
            if code not in _NOT_ALLOWED:
                raise
            log.warning(
                "the bucket is not ours to set up: it has to be there, what is public in it to be readable, "
                "and what is sent to it to expire",
                public=PUBLIC_PREFIXES,
                expiring=PRIVATE_PREFIX,
                bucket=self._bucket,
                operation=refused.operation_name,
                code=code,
            )

    def _make_bucket(self, client: Any) -> bool:
        try:
            client.head_bucket(Bucket=self._bucket)
        except ClientError as missing:
            if missing.response["Error"]["Code"] not in _NO_BUCKET:
                raise
        else:
            return False
        region = self._settings.region
        # The first region is the one that S3 does not want to be told.
        place = {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}
        try:
            client.create_bucket(Bucket=self._bucket, **place)
        except ClientError as refused:
            if refused.response["Error"]["Code"] not in _MADE_ALREADY:
                raise
        return True


def _stored(found: Any, *, size: int, beginning: bytes) -> StoredFile:
    return StoredFile(
        content_type=found["ContentType"],
        size=size,
        checksum=found["ETag"].strip('"'),
        beginning=beginning,
    )


def _made(settings: Settings, endpoint: str) -> Any:
    import boto3  # noqa: PLC0415 - a fifth of a second that most processes never need
    from botocore.config import Config  # noqa: PLC0415

    given = settings.aws_access_key_id
    return boto3.session.Session().client(
        "s3",
        endpoint_url=endpoint or None,
        region_name=settings.region,
        # Without them boto3 looks where AWS puts them: a role of the machine, or of the pod.
        aws_access_key_id=given or None,
        aws_secret_access_key=settings.aws_secret_access_key if given else None,
        aws_session_token=(settings.aws_session_token or None) if given else None,
        config=Config(
            signature_version="s3v4",
            connect_timeout=2,
            read_timeout=5,
            retries={"mode": "standard", "total_max_attempts": 3},
            max_pool_connections=THREADS,
            # A server of one's own is reached by its address alone; AWS wants the bucket in the name.
            s3={"addressing_style": "path" if endpoint else "virtual"},
            # Newer checksums are not understood by every server that speaks S3.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        ),
    )


_FORGETTING: Final = {
    "ID": "what-was-sent-is-forgotten",
    "Filter": {"Prefix": PRIVATE_PREFIX},
    "Status": "Enabled",
    "Expiration": {"Days": SENT_FOR.days},
    "NoncurrentVersionExpiration": {"NoncurrentDays": 1},
}


def public_policy(bucket: str) -> str:
    """What S3 is told of who may read what."""
    resources = [f"arn:aws:s3:::{bucket}/{prefix}*" for prefix in PUBLIC_PREFIXES]
    statement = {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": resources}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})
