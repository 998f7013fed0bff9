"""The whole system under one supervisor: servers first, then our own processes; all of it ends with the supervisor."""

import asyncio
import base64
import contextlib
import fcntl
import json
import os
import secrets
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import IO, Final, Self
from urllib.parse import urlsplit

import msgspec
import psycopg

from application.adapters.stripe_payments import WANTED_EVENTS
from application.settings import Settings, SettingsError
from workers.local import opensearch
from workers.local.doubles import S3_ACCESS_KEY, S3_BUCKET, S3_REGION, S3_SECRET_KEY, MailServer, ObjectStore
from workers.local.logs import LogFollower
from workers.local.nats import Nats
from workers.local.opensearch import OpenSearch
from workers.local.postgres import Postgres
from workers.local.process import (
    LOOPBACK,
    MAX_LOG_BYTES,
    Process,
    Server,
    Service,
    ServiceFailedError,
    answers_http,
    describe_exit,
    free_port,
)
from workers.local.stripe_simulator import WEBHOOK_PATH, StripeSimulator
from workers.migrating import migrate, prepare_storage

API_PORT: Final = 3000
PORTS: Final[Mapping[str, int]] = {
    "postgres": 5433,
    "nats": 4223,
    "opensearch": 9201,
    "s3": 9100,
    "mail": 1026,
    "stripe": 12111,
}
METRICS_PORTS: Final[Mapping[str, int]] = {
    "relay": 9464,
    "projector": 9465,
    "reactor": 9466,
    "mailer": 9467,
    "scheduler": 9468,
}
APPLICATION: Final[Mapping[str, Sequence[str]]] = {
    "api": (sys.executable, "-m", "api"),
    "relay": (sys.executable, "-m", "workers.relay"),
    "projector": (sys.executable, "-m", "workers.projector"),
    "reactor": (sys.executable, "-m", "workers.reactor"),
    "mailer": (sys.executable, "-m", "workers.mailer"),
    "scheduler": (sys.executable, "-m", "workers.scheduler"),
}
FIRST_BACKOFF: Final = 0.5
LONGEST_BACKOFF: Final = 15.0
HEALTHY_AFTER: Final = 30.0
HEALTHY_WITHIN: Final = 30.0
RUNNING_FILE: Final = "running.json"

Tell = Callable[[str, str], None]
"""Called with who speaks and what is said."""


class Search(StrEnum):
    """Which engine `--search` asks for."""

    AUTO = "auto"
    OPENSEARCH = "opensearch"
    POSTGRES = "postgres"


class Running(msgspec.Struct, frozen=True, kw_only=True):
    """What other commands (`tradelog seed`, `tradelog demo`) need to know of a stack that runs."""

    environment: dict[str, str]
    pids: dict[str, int]

    @classmethod
    def read(cls, data: Path) -> Self | None:
        """The stack that runs on this data folder now, if one does."""
        try:
            with (data / "lock").open() as lock:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except FileNotFoundError:
            return None
        except BlockingIOError:  # somebody holds it: that is the running stack
            with contextlib.suppress(FileNotFoundError):
                return msgspec.json.decode((data / RUNNING_FILE).read_bytes(), type=cls)
        return None


class LocalStack:
    """Everything that `tradelog up` runs. What is given by environment variables is used and not started."""

    def __init__(
        self,
        data: Path,
        *,
        search: Search = Search.AUTO,
        port: int | None = None,
        given: Mapping[str, str] | None = None,
        application: Mapping[str, Sequence[str]] = APPLICATION,
        tell: Tell | None = None,
    ) -> None:
        self.data = data.resolve()
        self.search = search
        self._given = dict(os.environ if given is None else given)
        self._wanted_port = port if port is not None else int(self._given.get("PORT") or API_PORT)
        self._application = application
        self._tell: Tell = tell or (lambda _who, _what: None)
        self._environment: dict[str, str] = {}
        self._services: list[Service] = []
        self._children: list[Process] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._lock: IO[str] | None = None
        self._log: IO[str] | None = None
        self._follower = LogFollower(self._write_log)
        self._fatal: asyncio.Future[None] | None = None
        self.search_engine = "Postgres full text"

    @property
    def api_url(self) -> str:
        return f"http://{LOOPBACK}:{self._environment['PORT']}"

    def environment(self) -> dict[str, str]:
        """What a process needs to take part: the addresses and secrets of this stack."""
        return dict(self._environment)

    def summary(self) -> list[tuple[str, str]]:
        """What runs where, for people."""
        environment = self._environment
        rows = [
            ("API", self.api_url),
            ("API documentation", f"{self.api_url}/docs"),
            ("Search", self.search_engine),
            ("Postgres", without_password(environment["DATABASE_URL"])),
            ("NATS", without_password(environment["NATS_URL"])),
            ("S3", environment.get("S3_ENDPOINT", "AWS")),
            ("Mail", f"{environment['SMTP_HOST']}:{environment.get('SMTP_PORT', '587')}"),
            ("Stripe", environment.get("STRIPE_API_BASE", "api.stripe.com")),
            ("Data and logs", str(self.data)),
        ]
        if "SMTP_HOST" not in self._given:
            place = next(place for place, (name, _) in enumerate(rows) if name == "Mail")
            rows[place] = ("Mail", f"{rows[place][1]}, kept in {self.data / 'mail'}")
        return rows

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Start everything; on return the API answers. OpenSearch may still be starting: nothing waits for it."""
        try:
            await self._start()
        except BaseException:
            await self.stop()
            raise

    async def _start(self) -> None:
        self.data.mkdir(parents=True, exist_ok=True)
        self._take_lock()
        self._open_log()
        self._fatal = asyncio.get_running_loop().create_future()
        self._tasks.append(asyncio.create_task(self._follower.run()))
        port = free_port(self._wanted_port)
        if port != self._wanted_port:
            self._say(f"PORT {self._wanted_port} IS TAKEN: the API listens on {port} instead")
        known = self._secrets()
        self._environment = {
            "HOST": LOOPBACK,
            "PORT": str(port),
            "JWT_SECRET": known["jwt"],
            "TRADELOG_MASTER_KEY": known["master_key"],
            # Whatever a shell says of itself: on one machine, with doubles and over plain HTTP, it is no production.
            "APP_ENV": "development",
            "TRADELOG_DATA": str(self.data),
            "TRADELOG_SEARCH": str(self.search),
        }
        self._start_search()
        # Each takes its port before the next looks for one, and none of them needs another.
        starts = (
            self._start_postgres(),
            self._start_nats(),
            self._start_object_store(),
            self._start_mail(),
            self._start_stripe(known),
        )
        await wait_for_all(starts)
        await self._start_application()

    async def stop(self) -> None:
        """Stop everything, our own processes first, and leave no process behind."""
        for task in self._tasks[1:]:
            task.cancel()  # nobody restarts what we now stop
        await asyncio.gather(*self._tasks[1:], return_exceptions=True)
        await asyncio.gather(*(child.stop() for child in self._children))
        await asyncio.gather(*(service.stop() for service in self._services))
        for task in self._tasks[:1]:  # the log follower reads the last words
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        self._tasks, self._children, self._services = [], [], []
        if self._log is not None:
            self._log.close()
            self._log = None
        if self._lock is not None:
            (self.data / RUNNING_FILE).unlink(missing_ok=True)
            self._lock.truncate(0)
            self._lock.close()
            self._lock = None

    def kill(self) -> None:
        """End every process at once: for a second Ctrl-C."""
        for child in self._children:
            child.kill()
        for service in self._services:
            if isinstance(service, Server):
                service.kill()

    async def run(self, when_ready: Callable[[Self], Awaitable[None]] | None = None) -> None:
        """Start, tell the caller, and stay until a signal comes; raise if something that must run cannot."""
        asked_to_stop = asyncio.Event()
        loop = asyncio.get_running_loop()

        def ask_to_stop() -> None:
            if asked_to_stop.is_set():
                self.kill()
            asked_to_stop.set()

        signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        for number in signals:
            loop.add_signal_handler(number, ask_to_stop)
        working = asyncio.create_task(self._run(when_ready))
        stopping = asyncio.create_task(asked_to_stop.wait())
        try:
            await asyncio.wait((working, stopping), return_when=asyncio.FIRST_COMPLETED)
            if working.done():
                working.result()
            else:
                self._say("stopping")
                working.cancel()
                await asyncio.gather(working, return_exceptions=True)
        finally:
            stopping.cancel()
            await self.stop()
            for number in signals:
                loop.remove_signal_handler(number)

    async def _run(self, when_ready: Callable[[Self], Awaitable[None]] | None) -> None:
        await self.start()
        if when_ready is not None:
            await when_ready(self)
        assert self._fatal is not None
        await self._fatal

    # Servers

    async def _start_postgres(self) -> None:
        given = self._given.get("DATABASE_URL")
        if given:
            await check_given_postgres(given)
            self._environment["DATABASE_URL"] = given
            return
        server = Postgres(
            self._folder("postgres"), port=self._port("postgres"), log_path=self._log_path("postgres")
        )
        await self._start_server(server)
        self._environment["DATABASE_URL"] = server.url

    async def _start_nats(self) -> None:
        given = self._given.get("NATS_URL")
        if given:
            await check_given("nats", "NATS_URL", given, default_port=4222)
            self._environment["NATS_URL"] = given
            return
        server = Nats(self._folder("nats"), port=self._port("nats"), log_path=self._log_path("nats"))
        await self._start_server(server)
        self._environment["NATS_URL"] = server.url

    async def _start_object_store(self) -> None:
        # A bucket without an endpoint is one at AWS, with AWS's own variables. Those alone do not count: many a
        # developer's shell has them set for something else.
        given = {name: self._given[name] for name in ("S3_ENDPOINT", "S3_BUCKET") if self._given.get(name)}
        if given:
            if "S3_ENDPOINT" in given:
                await check_given("s3", "S3_ENDPOINT", given["S3_ENDPOINT"], default_port=80)
            self._environment |= given
            return
        server = ObjectStore(
            self._folder("s3"), bucket=S3_BUCKET, port=self._port("s3"), log_path=self._log_path("s3")
        )
        await self._start_server(server)
        self._environment |= {
            "S3_ENDPOINT": server.url,
            "S3_BUCKET": S3_BUCKET,
            "AWS_ACCESS_KEY_ID": S3_ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": S3_SECRET_KEY,
            "AWS_REGION": S3_REGION,
            "AWS_DEFAULT_REGION": S3_REGION,
        }

    async def _start_mail(self) -> None:
        given = self._given.get("SMTP_HOST")
        if given:
            self._environment["SMTP_HOST"] = given
            return
        server = MailServer(self._folder("mail"), port=self._port("mail"))
        self._services.append(server)
        await server.start()
        # Whom a developer's shell signs in as elsewhere is nobody here.
        self._environment |= {"SMTP_HOST": LOOPBACK, "SMTP_PORT": str(server.port), "SMTP_USER": ""}

    async def _start_stripe(self, known: Mapping[str, str]) -> None:
        if self._given.get("STRIPE_SECRET_KEY"):
            names = ("STRIPE_SECRET_KEY", "STRIPE_WEBHOOK_SECRET", "STRIPE_API_BASE")
            self._environment |= {name: self._given[name] for name in names if self._given.get(name)}
            if not self._given.get("STRIPE_WEBHOOK_SECRET"):
                self._say("STRIPE_WEBHOOK_SECRET is not set: Stripe's webhooks will be refused")
            return
        server = StripeSimulator(
            self._folder("stripe"),
            port=self._port("stripe"),
            key=known["stripe_key"],
            webhook_url=f"{self.api_url}{WEBHOOK_PATH}",
            webhook_events=WANTED_EVENTS,
            webhook_secret=known["stripe_webhook"],
            log_path=self._log_path("stripe"),
        )
        await self._start_server(server)
        self._environment |= {
            "STRIPE_SECRET_KEY": server.key,
            "STRIPE_WEBHOOK_SECRET": server.webhook_secret,
            "STRIPE_API_BASE": server.url,
        }

    def _start_search(self) -> None:
        given = self._given.get("OPENSEARCH_URL")
        if given and self.search is not Search.POSTGRES:
            self._environment["OPENSEARCH_URL"] = given
            self.search_engine = f"OpenSearch at {without_password(given)}"
            return
        if self.search is Search.POSTGRES:
            return
        reason = opensearch.available()
        if reason is not None:
            if self.search is Search.OPENSEARCH:
                raise ServiceFailedError("opensearch", f"cannot run here: {reason}")
            self.search_engine = f"Postgres full text (no OpenSearch: {reason})"
            return
        server = OpenSearch(
            self._folder("opensearch"), port=self._port("opensearch"), log_path=self._log_path("opensearch")
        )
        self._environment["OPENSEARCH_URL"] = server.url
        self.search_engine = f"OpenSearch at {server.url} (starting; Postgres full text until it answers)"
        self._tasks.append(asyncio.create_task(self._start_opensearch(server)))

    async def _start_opensearch(self, server: OpenSearch) -> None:
        began = time.monotonic()
        self._services.append(server)
        self._follower.follow(server.name, server.log_path)
        try:
            await server.start()
        except ServiceFailedError as failure:
            if self.search is Search.OPENSEARCH:
                self._fail(failure)
                return
            self.search_engine = f"Postgres full text ({failure})"
            self._say(f"{failure}; search stays on Postgres\n{failure.log}")
            return
        self.search_engine = f"OpenSearch at {server.url}"
        self._say(f"opensearch answers at {server.url} after {time.monotonic() - began:.1f} s")
        await self._keep_running(server)

    async def _start_server(self, server: Server) -> None:
        self._services.append(server)
        self._follower.follow(server.name, server.log_path)
        await server.start()
        self._tasks.append(asyncio.create_task(self._keep_running(server)))

    async def _keep_running(self, server: Server) -> None:
        backoff = Backoff()
        while True:
            await server.process.until_ended()
            delay = backoff.next()
            ended = describe_exit(server.process.exit_code)
            self._say(f"{server.name} ended with {ended}: starting it again in {delay:.1f} s")
            await asyncio.sleep(delay)
            try:
                await server.start()
            except ServiceFailedError as failure:
                self._say(f"{failure}\n{failure.log}")

    # Our own processes

    async def _migrate(self) -> None:
        """Make the tables before anybody looks for them."""
        try:
            await migrate(self._environment["DATABASE_URL"])
        except psycopg.Error as failure:
            raise ServiceFailedError("postgres", f"has no tables for the log: {failure}") from failure

    async def _start_application(self) -> None:
        await self._migrate()
        if self._given.get("S3_ENDPOINT"):
            # Our own double has its bucket, and at AWS none is made unasked. Nothing waits for that of this server.
            self._tasks.append(asyncio.create_task(prepare_storage(self._settings())))
        # The API alone first: it has the processor to itself.
        for name in sorted(self._application, key=lambda name: name != "api"):
            environment = {**self._given, **self._environment}
            if name in METRICS_PORTS:
                environment["TRADELOG_METRICS_PORT"] = str(free_port(METRICS_PORTS[name]))
            child = Process(
                name, self._application[name], log_path=self._log_path(name), environment=environment
            )
            self._follower.follow(name, child.log_path)
            child.start()
            self._children.append(child)
            if name == "api":
                await child.until_ready(self._api_answers, within=60.0)
            self._tasks.append(asyncio.create_task(self._keep_child_running(child)))
        self._save_running()
        if "api" in self._application:
            await self._until_healthy()

    def _settings(self) -> Settings:
        try:
            return Settings.read({**self._given, **self._environment})
        except SettingsError as wrong:
            raise ServiceFailedError("settings", f"are refused: {wrong}") from wrong

    async def _api_answers(self) -> bool:
        return await answers_http(f"{self.api_url}/health", any_status=True)

    async def _until_healthy(self) -> None:
        """Announce nothing that does not work yet; past the bound, announce it and say so."""
        deadline = time.monotonic() + HEALTHY_WITHIN
        while not await answers_http(f"{self.api_url}/health"):
            if time.monotonic() > deadline:
                self._say(
                    f"the API answers, and is not healthy after {HEALTHY_WITHIN:.0f} s: {self.api_url}/health"
                )
                return
            await asyncio.sleep(0.2)

    async def _keep_child_running(self, child: Process) -> None:
        backoff = Backoff()
        while True:
            await child.until_ended()
            delay = backoff.next()
            ended = describe_exit(child.exit_code)
            self._say(f"{child.name} ended with {ended}: starting it again in {delay:.1f} s")
            await asyncio.sleep(delay)
            child.kill()  # whatever of its process group outlived it
            try:
                child.start()
            except ServiceFailedError as failure:  # no memory, say: tried again
                self._say(str(failure))
                continue
            self._save_running()

    # The data folder

    def _take_lock(self) -> None:
        lock = (self.data / "lock").open("a+")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            holder = lock.read().strip() or "unknown"
            lock.close()
            reason = f"cannot use {self.data}: another `tradelog up` (pid {holder}) runs on it"
            raise ServiceFailedError("local stack", reason) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        self._lock = lock

    def _secrets(self) -> dict[str, str]:
        """Made once and kept: tokens and encrypted fields must outlive a restart. Given ones win."""
        path = self.data / "secrets.json"
        known: dict[str, str] = json.loads(path.read_text()) if path.exists() else {}
        makers: dict[str, Callable[[], str]] = {
            "jwt": lambda: secrets.token_urlsafe(48),
            "master_key": lambda: base64.b64encode(secrets.token_bytes(32)).decode(),
            "stripe_key": lambda: f"sk_test_{secrets.token_hex(16)}",
            "stripe_webhook": lambda: f"whsec_{secrets.token_hex(16)}",
        }
        missing = {name: make() for name, make in makers.items() if name not in known}
        if missing:
            known |= missing
            write_private(path, json.dumps(known, indent=1).encode())
        given = {"jwt": self._given.get("JWT_SECRET"), "master_key": self._given.get("TRADELOG_MASTER_KEY")}
        return known | {name: value for name, value in given.items() if value}

    def _save_running(self) -> None:
        running = Running(
            environment=self._environment, pids={child.name: child.pid for child in self._children}
        )
        write_private(self.data / RUNNING_FILE, msgspec.json.encode(running))

    def _folder(self, name: str) -> Path:
        return self.data / name

    def _log_path(self, name: str) -> Path:
        return self.data / "logs" / f"{name}.log"

    def _open_log(self) -> None:
        path = self._log_path("tradelog")
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists() and path.stat().st_size > MAX_LOG_BYTES:
            path.replace(path.with_suffix(".log.1"))
        self._log = path.open("a", buffering=1)

    def _port(self, name: str) -> int:
        return free_port(PORTS[name])

    def _say(self, what: str) -> None:
        for line in what.rstrip().splitlines():
            self._write_log("stack", line)

    def _write_log(self, who: str, what: str) -> None:
        if self._log is not None:
            self._log.write(f"{who:<10} | {what}\n")
        self._tell(who, what)

    def _fail(self, failure: ServiceFailedError) -> None:
        assert self._fatal is not None
        with contextlib.suppress(asyncio.InvalidStateError):
            self._fatal.set_exception(failure)


class Backoff:
    """Ever longer pauses between restarts, short again after a healthy while."""

    def __init__(self) -> None:
        self._delay = FIRST_BACKOFF
        self._last = time.monotonic()

    def next(self) -> float:
        now = time.monotonic()
        if now - self._last > HEALTHY_AFTER:
            self._delay = FIRST_BACKOFF
        delay, self._delay = self._delay, min(self._delay * 2, LONGEST_BACKOFF)
        self._last = now + delay
        return delay


async def wait_for_all(starts: Sequence[Awaitable[None]]) -> None:
    """Wait for all; the first failure cancels the others and is raised as it is."""
    tasks = [asyncio.ensure_future(start) for start in starts]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def write_private(path: Path, content: bytes) -> None:
    """Whole or not at all, and for our own eyes."""
    unfinished = path.with_suffix(".new")
    unfinished.unlink(missing_ok=True)
    unfinished.touch(mode=0o600)
    unfinished.write_bytes(content)
    unfinished.rename(path)


async def check_given_postgres(url: str) -> None:
    try:
        connection = await psycopg.AsyncConnection.connect(url, connect_timeout=10)
    except psycopg.Error as failure:
        reason = f"cannot be reached at the given DATABASE_URL: {str(failure).splitlines()[0]}"
        raise ServiceFailedError("postgres", reason) from failure
    await connection.close()


async def check_given(service: str, variable: str, url: str, *, default_port: int) -> None:
    """Fail now, with the variable's name, rather than later somewhere inside."""
    address = urlsplit(url if "://" in url else f"//{url}")
    port = address.port or (443 if address.scheme == "https" else default_port)
    try:
        _, writer = await asyncio.wait_for(asyncio.open_connection(address.hostname, port), timeout=10.0)
    except (OSError, TimeoutError) as failure:
        reason = f"cannot be reached at the given {variable} ({without_password(url)}): {failure}"
        raise ServiceFailedError(service, reason) from failure
    writer.close()


def without_password(url: str) -> str:
    """The address as it may be shown."""
    parts = urlsplit(url)
    if parts.password is None:
        return url
    return parts._replace(netloc=f"{parts.username}:***@{parts.netloc.rpartition('@')[2]}").geturl()
