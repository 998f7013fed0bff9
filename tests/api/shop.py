"""The whole of it as processes of its own, and a client of it: what tests of the API are about."""

import asyncio
import base64
import email
import email.policy
import os
import re
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import AsyncExitStack, closing, contextmanager, suppress
from email.message import EmailMessage
from pathlib import Path
from typing import Any, Self

import boto3
import httpx
import psycopg
from aiosmtpd.controller import Controller

from application.accounts.registering import CreateAccount, NewPerson, RegisterAccount
from application.bootstrap import write_side
from application.ports import Metadata
from application.settings import Settings
from domain.accounts.events import Profile, Role
from workers.local.doubles import (
    S3_ACCESS_KEY,
    S3_BUCKET,
    S3_REGION,
    S3_SECRET_KEY,
    MailKeeper,
    ObjectStore,
)
from workers.local.nats import Nats
from workers.local.process import LOOPBACK, Process, answers_http, free_port
from workers.local.stripe_simulator import StripeSimulator
from workers.migrating import migrate

PASSWORD = "SecurePass123"
CARRIERS_SECRET = "a secret that carriers and we have"
ADDRESS = {"address": "123 Main St", "city": "New York", "zipCode": "10001", "country": "USA"}


def soon(condition: Callable[[], bool], what: str, *, within: float = 15.0) -> None:
    """Wait until it is so."""
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not happen within {within:.0f} s"
        time.sleep(0.02)


class Client:
    """One browser or program that uses the API, signed in or not."""

    def __init__(self, url: str, token: str = "") -> None:
        self.token = token
        self._http = httpx.Client(base_url=url, timeout=20, headers=self._authorization(token))

    def __call__(self, method: str, path: str, **options: Any) -> httpx.Response:
        response = self._http.request(method, path, **options)
        self._http.cookies.clear()  # what a browser would remember is asked for where it is meant
        return response

    def get(self, path: str, **options: Any) -> httpx.Response:
        return self("GET", path, **options)

    def post(self, path: str, body: Any = None, **options: Any) -> httpx.Response:
        return self("POST", path, json=body, **options) if body is not None else self("POST", path, **options)

    def patch(self, path: str, body: Any, **options: Any) -> httpx.Response:
        return self("PATCH", path, json=body, **options)

    def made(self, path: str, body: Any = None, **options: Any) -> dict[str, Any]:
        response = self.post(path, body, **options)
        assert response.status_code in {200, 201}, response.text
        answer: dict[str, Any] = response.json()
        return answer

    def close(self) -> None:
        self._http.close()

    @staticmethod
    def _authorization(token: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {token}"} if token else {}


class MailServer:
    """Takes all mail and delivers none; it has a thread of its own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.port = free_port()
        self._controller: Controller | None = None

    def start(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        self._controller = Controller(MailKeeper(self._folder), hostname=LOOPBACK, port=self.port)
        self._controller.start()

    def stop(self) -> None:
        """As a server that is away: ``start`` brings it back on the same port."""
        if self._controller is not None:
            self._controller.stop()
            self._controller = None

    def environment(self) -> dict[str, str]:
        return {
            "SMTP_HOST": LOOPBACK,
            "SMTP_PORT": str(self.port),
            "MAIL_RETRY_FIRST": "1s",
            "MAIL_RETRY_LONGEST": "1s",
        }

    def mails(self, to: str = "") -> list[EmailMessage]:
        parsed = [_parsed(path) for path in sorted(self._folder.glob("[!.]*.eml"))]
        return [mail for mail in parsed if to.lower() in mail["To"].lower()]


def _parsed(path: Path) -> EmailMessage:
    return email.message_from_bytes(path.read_bytes(), policy=email.policy.default)


def text_of(mail: EmailMessage) -> str:
    """What a reader without HTML sees."""
    body = mail.get_body(("plain",))
    assert body is not None
    text: str = body.get_content()
    return text


class Shop:
    """A database that is given, and around it NATS, Stripe, relay, projector and API, each as a process.

    With ``mail`` there is also a mailer, and a mail server that keeps what it gets; with ``storage`` an S3 server.
    """

    def __init__(
        self,
        database_url: str,
        folder: Path,
        *,
        mail: bool = False,
        storage: bool = False,
        **environment: str,
    ) -> None:
        self.database_url = database_url
        self.folder = folder
        self.port = free_port()
        self.origin = f"http://{LOOPBACK}:{self.port}"
        self.nats = Nats(folder / "nats")
        self.stripe = StripeSimulator(
            folder / "stripe",
            webhook_url=f"{self.origin}/api/v1/payments/stripe",
            webhook_secret="whsec_tests",
        )
        self.mail_server = MailServer(folder / "mail") if mail else None
        self.storage = ObjectStore(folder / "s3", bucket=S3_BUCKET) if storage else None
        self._more = environment
        self._runner = asyncio.Runner()
        self._stack = AsyncExitStack()
        self._clients: list[Client] = []
        self.processes: dict[str, Process] = {}

    def __enter__(self) -> Self:
        self._runner.run(self._start())
        self.guest = self.client()
        return self

    def __exit__(self, *_: object) -> None:
        for client in self._clients:
            client.close()
        self._runner.run(self._stack.aclose())
        self._runner.close()

    async def _start(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        await migrate(self.database_url)
        await self._stack.enter_async_context(self.nats)
        await self._stack.enter_async_context(self.stripe)
        if self.storage is not None:
            await self._stack.enter_async_context(self.storage)
        modules = {"projector": "workers.projector", "relay": "workers.relay", "api": "api"}
        if self.mail_server is not None:
            self.mail_server.start()
            self._stack.callback(self.mail_server.stop)
            modules["mailer"] = "workers.mailer"
        for name, module in modules.items():
            self.processes[name] = self._process(name, module)
            self.processes[name].start()
            self._stack.push_async_callback(self.processes[name].stop)
        await self.processes["api"].until_ready(self._is_whole, within=30)

    def _process(self, name: str, module: str, **changed: str) -> Process:
        return Process(
            name,
            [sys.executable, "-m", module],
            log_path=self.folder / f"{name}.log",
            environment={**os.environ, **self.environment(), **changed},
        )

    @contextmanager
    def another_api(self, **changed: str) -> Iterator[str]:
        """A second API process on the same servers, with something changed in its environment; its origin."""
        port = free_port()
        origin = f"http://{LOOPBACK}:{port}"
        process = self._process(f"api-{port}", "api", PORT=str(port), **changed)
        process.start()
        try:
            self.run(process.until_ready(lambda: answers_http(f"{origin}/health"), within=30))
            yield origin
        finally:
            self.run(process.stop())

    @contextmanager
    def also(self, module: str) -> Iterator[Process]:
        """One more process of ours, for as long as the block lasts."""
        process = self._process(module.rpartition(".")[2], module)
        process.start()
        try:
            yield process
        finally:
            self.run(process.stop())

    async def _is_whole(self) -> bool:
        """All answer, and the read models are there to be read."""
        async with httpx.AsyncClient(base_url=self.origin) as http:
            try:
                health = (await http.get("/health")).json()
                products = await http.get("/api/v1/products")
            except httpx.TransportError:
                return False
            return bool(health["status"] == "ok" and products.status_code == 200)

    def environment(self) -> dict[str, str]:
        return {
            "DATABASE_URL": self.database_url,
            "NATS_URL": self.nats.url,
            "STRIPE_API_BASE": self.stripe.url,
            "STRIPE_SECRET_KEY": self.stripe.key,
            "STRIPE_WEBHOOK_SECRET": self.stripe.webhook_secret,
            "SHIPPING_WEBHOOK_SECRET": CARRIERS_SECRET,
            "JWT_SECRET": "a secret of the tests, of 32 characters and more",
            "TRADELOG_MASTER_KEY": base64.b64encode(bytes(32)).decode(),
            "PORT": str(self.port),
            # A suite asks more often than anybody may; tests of the limits ask for them.
            "RATE_LIMIT_ENABLED": "false",
            **(self.mail_server.environment() if self.mail_server is not None else {}),
            **self._storage_environment(),
            **self._more,
        }

    def _storage_environment(self) -> dict[str, str]:
        if self.storage is None:
            return {}
        return {
            "S3_ENDPOINT": self.storage.url,
            "S3_BUCKET": S3_BUCKET,
            "AWS_ACCESS_KEY_ID": S3_ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": S3_SECRET_KEY,
            "AWS_REGION": S3_REGION,
        }

    def stored(self, prefix: str = "") -> dict[str, bytes]:
        """Every file in the object store whose key begins so, as its bytes."""
        found: dict[str, bytes] = {}
        with closing(self._files()) as client:
            for key in self._keys(client, prefix):
                with suppress(client.exceptions.NoSuchKey):  # deleted while we looked
                    found[key] = client.get_object(Bucket=S3_BUCKET, Key=key)["Body"].read()
        return found

    def stored_keys(self, prefix: str = "") -> list[str]:
        """Which files there are, also while others delete some."""
        with closing(self._files()) as client:
            return self._keys(client, prefix)

    def _files(self) -> Any:
        assert self.storage is not None, "this shop has no files: Shop(..., storage=True)"
        return boto3.client(
            "s3",
            endpoint_url=self.storage.url,
            aws_access_key_id=S3_ACCESS_KEY,
            aws_secret_access_key=S3_SECRET_KEY,
            region_name=S3_REGION,
        )

    @staticmethod
    def _keys(client: Any, prefix: str) -> list[str]:
        pages = client.get_paginator("list_objects_v2").paginate(Bucket=S3_BUCKET, Prefix=prefix)
        return [entry["Key"] for page in pages for entry in page.get("Contents", ())]

    @property
    def settings(self) -> Settings:
        return Settings.read(self.environment())

    def run(self, what: Any) -> Any:
        return self._runner.run(what)

    def client(self, token: str = "", *, origin: str = "") -> Client:
        client = Client(f"{origin or self.origin}/api/v1", token)
        self._clients.append(client)
        return client

    def head(self) -> int:
        """How many events the log holds."""
        with psycopg.connect(self.database_url) as connection:
            row = connection.execute("SELECT position FROM log_head").fetchone()
        assert row is not None
        position: int = row[0]
        return position

    def version(self, stream: str) -> int:
        """How many events the log holds of one thing."""
        with psycopg.connect(self.database_url) as connection:
            query = "SELECT count(*) FROM stored_events WHERE originator_id = %s"
            row = connection.execute(query, [stream]).fetchone()
        assert row is not None
        version: int = row[0]
        return version

    def user(self, path: str = "/auth/register") -> Client:
        """Somebody new, signed in."""
        return self.client(self.guest.made(path, a_registration())["token"])

    def tokens(self, count: int) -> list[str]:
        """New people, made without HTTP, and the access token of each."""

        async def register() -> list[str]:
            async with write_side(self.settings) as write:
                signed_in = await asyncio.gather(
                    *(
                        write.bus.handle(
                            RegisterAccount(person=a_person()),
                            Metadata(actor="tests"),
                        )
                        for _ in range(count)
                    )
                )
                return [write.tokens.access(each.state, write.clock.now()) for each in signed_in]

        found: list[str] = self.run(register())
        return found

    def staff(self, role: Role) -> Client:
        """Somebody with a role that nobody can give themselves."""
        email = f"{role}-{uuid.uuid4().hex}@example.com"

        async def appoint() -> None:
            async with write_side(self.settings) as write:
                command = CreateAccount(person=a_person(email=email, roles=frozenset({role})))
                await write.bus.handle(command, Metadata(actor="tests"))

        self.run(appoint())
        return self.client(self.guest.made("/auth/login", {"email": email, "password": PASSWORD})["token"])

    def mails(self, to: str = "") -> list[EmailMessage]:
        """What has arrived so far, for somebody or for all, in the order in which it came."""
        assert self.mail_server is not None, "this shop has no mail: Shop(..., mail=True)"
        return self.mail_server.mails(to)

    def mail(self, to: str, subject: str = "") -> EmailMessage:
        """The newest mail to somebody with these words in its subject; waits for it."""

        def arrived() -> list[EmailMessage]:
            return [mail for mail in self.mails(to) if subject in mail["Subject"]]

        soon(lambda: bool(arrived()), f"a mail about {subject!r}")
        return arrived()[-1]

    def mail_token(self, mail: EmailMessage) -> str:
        """What the link in a mail proves its reader by."""
        found = re.search(r"[?&]token=([\w-]+)", text_of(mail))
        assert found is not None, text_of(mail)
        return found[1]

    def log_lines(self) -> str:
        return self.processes["api"].log_path.read_text()


def a_person(**fields: Any) -> NewPerson:
    """Somebody for the write side, who has proved their address."""
    given = {
        "email": f"{uuid.uuid4().hex}@example.com",
        "password": PASSWORD,
        "email_verified": True,
        **fields,
    }
    return NewPerson(profile=Profile(first_name="Jane"), **given)


def a_registration(**fields: Any) -> dict[str, Any]:
    email = f"{uuid.uuid4().hex}@example.com"
    return {"email": email, "password": PASSWORD, "firstName": "Jane", "lastName": "Smith", **fields}


def a_product(category: str, **fields: Any) -> dict[str, Any]:
    return {
        "title": f"Phone {uuid.uuid4().hex[:8]}",
        "description": "Latest smartphone with a chip",
        "price": 1199.99,
        "discountPercentage": 5.5,
        "thumbnail": "https://cdn.example.com/phone.jpg",
        "images": ["https://cdn.example.com/phone-1.jpg"],
        "category": category,
        "brand": "Apple",
        "stock": 50,
        **fields,
    }


def assert_problem(response: httpx.Response, status: int, code: str, *fields: str) -> Mapping[str, Any]:
    """The one envelope (C3), and in it exactly the fields that are in the way."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/json"
    body: dict[str, Any] = response.json()
    assert set(body) == {"message", "status", "code", "details", "error", "requestId"}
    assert (body["status"], body["code"]) == (status, code)
    assert body["error"] == {"code": code, "message": body["message"], "details": body["details"]}
    assert body["requestId"] == response.headers["x-request-id"]
    if fields:
        assert set(body["details"]) == set(fields), body["details"]
    return body
