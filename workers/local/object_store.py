"""An S3 server that remembers: moto's server, with every bucket mirrored to a folder and read back at the next start.

`python -m workers.local.object_store` runs it.
"""

import argparse
import hashlib
import json
import signal
import sys
import threading
from collections.abc import Iterable
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from moto.s3.models import FakeBucket, FakeKey, S3Backend, s3_backends
from werkzeug.serving import run_simple

from application.adapters.object_storage import public_policy
from workers.local.process import LOOPBACK

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

REGION: Final = "us-east-1"
WRITES: Final = frozenset({"PUT", "POST", "DELETE"})


class Mirror:
    """Buckets as folders: per object one file with its bytes and one with what else S3 knows about it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._saved: dict[str, dict[str, str]] = {}
        self._lock = threading.Lock()

    def load(self) -> None:
        for bucket_folder in sorted(path for path in self._folder.glob("*") if path.is_dir()):
            name = bucket_folder.name
            backend().create_bucket(name, REGION)
            self._saved[name] = {}
            for description_path in bucket_folder.glob("*.json"):
                description = json.loads(description_path.read_text())
                key = backend().put_object(
                    name, description["key"], description_path.with_suffix(".bin").read_bytes()
                )
                key.set_metadata(description["metadata"], replace=True)
                self._saved[name][description["key"]] = key.etag

    def provide(self, bucket: str) -> None:
        """A bucket of our own is there from the start, and everybody may read what is public in it."""
        if bucket not in backend().buckets:
            backend().create_bucket(bucket, REGION)
        backend().put_bucket_policy(bucket, public_policy(bucket).encode())

    def save(self) -> None:
        """Bring the folder up to date with what moto holds: small local buckets, so comparing them whole is cheap."""
        with self._lock:
            buckets: dict[str, FakeBucket] = dict(backend().buckets)
            for name in self._saved.keys() - buckets.keys():
                for path in (self._folder / name).iterdir():
                    path.unlink()
                (self._folder / name).rmdir()
                del self._saved[name]
            for name, bucket in buckets.items():
                # In a bucket with versions the newest of a key may be the mark that it was deleted.
                newest = {key: bucket.keys[key] for key in list(bucket.keys)}
                self._save_bucket(
                    name, {key: held for key, held in newest.items() if isinstance(held, FakeKey)}
                )

    def _save_bucket(self, name: str, keys: dict[str, FakeKey]) -> None:
        folder = self._folder / name
        folder.mkdir(parents=True, exist_ok=True)
        saved = self._saved.setdefault(name, {})
        for gone in saved.keys() - keys.keys():
            for suffix in (".json", ".bin"):
                file_of(folder, gone, suffix).unlink(missing_ok=True)
            del saved[gone]
        for key_name, key in keys.items():
            if saved.get(key_name) != key.etag:
                description = {"key": key_name, "metadata": dict(key.metadata)}
                file_of(folder, key_name, ".bin").write_bytes(key.value)
                # Last, by renaming: a description without its bytes is never read back.
                unfinished = file_of(folder, key_name, ".new")
                unfinished.write_text(json.dumps(description))
                unfinished.rename(file_of(folder, key_name, ".json"))
                saved[key_name] = key.etag


class MirroredApplication:
    """Moto's application; after each accepted write, before it is answered, the mirror is brought up to date."""

    def __init__(self, application: "WSGIApplication", mirror: Mirror) -> None:
        self._application = application
        self._mirror = mirror

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        statuses: list[int] = []

        def remember_status(status: str, headers: list[tuple[str, str]], *rest: Any) -> Any:
            statuses.append(int(status.split(maxsplit=1)[0]))
            return start_response(status, headers, *rest)

        answer = self._application(environ, remember_status)
        if environ["REQUEST_METHOD"] in WRITES and statuses and statuses[-1] < HTTPStatus.BAD_REQUEST:
            self._mirror.save()
        return answer


def backend() -> S3Backend:
    found = s3_backends[DEFAULT_ACCOUNT_ID]["aws"]
    assert isinstance(found, S3Backend)
    return found


def file_of(folder: Path, key: str, suffix: str) -> Path:
    """Keys may hold anything, file names may not."""
    return folder / (hashlib.sha256(key.encode()).hexdigest() + suffix)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--bucket", default="", help="made if it is not there yet")
    chosen = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    mirror = Mirror(chosen.folder)
    mirror.load()
    if chosen.bucket:
        mirror.provide(chosen.bucket)
    application = MirroredApplication(DomainDispatcherApplication(create_backend_app), mirror)
    run_simple(LOOPBACK, chosen.port, application, threaded=True, request_handler=MotoRequestHandler)


if __name__ == "__main__":
    main()
