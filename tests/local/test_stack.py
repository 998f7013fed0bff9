"""The stack as a whole, with small stand-ins for the API and the workers."""

import asyncio
import json
import os
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import httpx
import psycopg
import pytest

from tests.local.test_servers import alive, descendants
from tests.support import eventually
from workers.local import stack as stack_module
from workers.local.logs import readable
from workers.local.process import LOOPBACK, Process, ServiceFailedError, free_port
from workers.local.stack import LocalStack, Running, Search

API = """
import http.server, os
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers(); self.wfile.write(str(os.getpid()).encode())
http.server.HTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""
STAND_INS: Mapping[str, Sequence[str]] = {"api": (sys.executable, "-u", "-c", API)}


class Heard(list[tuple[str, str]]):
    """What the stack said."""

    def has(self, who: str, what: str) -> bool:
        return any(speaker == who and what in said for speaker, said in self)


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture(autouse=True)
def other_ports(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep clear of a stack that runs on this machine for real."""
    monkeypatch.setattr(stack_module, "PORTS", {name: free_port() for name in stack_module.PORTS})
    monkeypatch.setattr(stack_module, "API_PORT", free_port())


def make(data: Path, heard: Heard, **given: str) -> LocalStack:
    return LocalStack(
        data,
        search=Search.POSTGRES,
        given={"PATH": os.environ["PATH"], **given},
        application=STAND_INS,
        tell=lambda who, what: heard.append((who, what)),
    )


async def test_it_starts_everything_keeps_the_data_and_leaves_no_process(
    tmp_path: Path, heard: Heard
) -> None:
    before = descendants(os.getpid())
    async with make(tmp_path, heard) as stack:
        environment = stack.environment()
        assert environment.keys() >= {
            "DATABASE_URL",
            "NATS_URL",
            "S3_ENDPOINT",
            "SMTP_HOST",
            "SMTP_PORT",
            "STRIPE_SECRET_KEY",
            "STRIPE_WEBHOOK_SECRET",
            "STRIPE_API_BASE",
            "JWT_SECRET",
            "TRADELOG_MASTER_KEY",
            "PORT",
        }
        assert "OPENSEARCH_URL" not in environment
        async with httpx.AsyncClient() as client:
            assert (await client.get(stack.api_url)).is_success
        async with await psycopg.AsyncConnection.connect(environment["DATABASE_URL"]) as connection:
            await connection.execute("CREATE TABLE kept AS SELECT 7 AS number")
        started = descendants(os.getpid()) - before
        assert len(started) > 4
        shown = dict(stack.summary())
        assert shown["API"] == stack.api_url
        assert shown["Search"] == "Postgres full text"
        assert environment["DATABASE_URL"].split(":")[2].split("@")[0] not in str(shown)
    assert not any(alive(pid) for pid in started)

    async with make(tmp_path, heard) as stack:
        again = stack.environment()
        kept = {"JWT_SECRET", "TRADELOG_MASTER_KEY", "STRIPE_SECRET_KEY", "STRIPE_WEBHOOK_SECRET"}
        assert {name: again[name] for name in kept} == {name: environment[name] for name in kept}
        async with await psycopg.AsyncConnection.connect(again["DATABASE_URL"]) as connection:
            rows = await connection.execute("SELECT number FROM kept")
            assert await rows.fetchone() == (7,)
    assert stat.S_IMODE((tmp_path / "secrets.json").stat().st_mode) == 0o600


async def test_taken_ports_are_passed_over_and_the_api_says_so(tmp_path: Path, heard: Heard) -> None:
    wanted = [stack_module.API_PORT, stack_module.PORTS["postgres"], stack_module.PORTS["stripe"]]
    taken = [socket.create_server((LOOPBACK, port)) for port in wanted]
    try:
        async with make(tmp_path, heard) as stack:
            environment = stack.environment()
            assert int(environment["PORT"]) > wanted[0]
            assert f":{wanted[1]}/" not in environment["DATABASE_URL"]
            assert f":{wanted[2]}" not in environment["STRIPE_API_BASE"]
            assert heard.has("stack", f"PORT {wanted[0]} IS TAKEN")
    finally:
        for server in taken:
            server.close()


async def test_what_is_given_is_used_and_not_started(
    tmp_path: Path, heard: Heard, postgres_url: str, nats_url: str
) -> None:
    given = {
        "DATABASE_URL": postgres_url,
        "NATS_URL": nats_url,
        "S3_BUCKET": "at-aws",
        "SMTP_HOST": "mail.example.com",
        "STRIPE_SECRET_KEY": "sk_test_real",
        "STRIPE_WEBHOOK_SECRET": "whsec_real",
        "JWT_SECRET": "given",
    }
    async with make(tmp_path, heard, **given) as stack:
        environment = stack.environment()
        assert {name: environment[name] for name in given} == given
        assert "STRIPE_API_BASE" not in environment
        assert not (tmp_path / "postgres").exists()


@pytest.mark.parametrize(
    ("variable", "url", "message"),
    [
        (
            "DATABASE_URL",
            "postgresql://me:secret@127.0.0.1:1/shop",
            "postgres cannot be reached at the given DATABASE_URL",
        ),
        ("NATS_URL", "nats://127.0.0.1:1", "nats cannot be reached at the given NATS_URL"),
    ],
)
async def test_a_given_service_that_is_away_is_named(
    tmp_path: Path, heard: Heard, variable: str, url: str, message: str
) -> None:
    before = descendants(os.getpid())
    with pytest.raises(ServiceFailedError, match=message) as failure:
        await make(tmp_path, heard, **{variable: url}).start()
    assert "secret" not in str(failure.value)
    assert not any(alive(pid) for pid in descendants(os.getpid()) - before)


async def test_a_server_that_fails_is_named_with_the_end_of_its_log(tmp_path: Path, heard: Heard) -> None:
    async with make(tmp_path, heard):
        pass
    (tmp_path / "postgres" / "cluster" / "PG_VERSION").write_text("9\n")
    with pytest.raises(ServiceFailedError, match="postgres ended with exit code 1") as failure:
        await make(tmp_path, heard).start()
    assert "incompatible with server" in failure.value.log


async def test_a_second_one_on_the_same_folder_is_refused(tmp_path: Path, heard: Heard) -> None:
    async with make(tmp_path, heard):
        with pytest.raises(ServiceFailedError, match=rf"another `tradelog up` \(pid {os.getpid()}\)"):
            await make(tmp_path, heard).start()
    async with make(tmp_path, heard):
        pass


async def test_what_crashes_is_started_again(tmp_path: Path, heard: Heard) -> None:
    async with make(tmp_path, heard) as stack, httpx.AsyncClient() as client:
        first = int((await client.get(stack.api_url)).text)
        os.kill(first, signal.SIGKILL)

        async def answers_again() -> bool:
            try:
                return int((await client.get(stack.api_url)).text) != first
            except httpx.HTTPError:
                return False

        await eventually(answers_again)
        assert heard.has("stack", "api ended with signal SIGKILL: starting it again")


async def test_what_cannot_be_started_again_at_once_is_tried_again(
    tmp_path: Path, heard: Heard, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with make(tmp_path, heard):
        first = Running.read(tmp_path)
        assert first is not None
        start = Process.start
        failures = iter(["could not be started: Cannot allocate memory"])

        def fail_once(self: Process) -> None:
            if (reason := next(failures, None)) is not None:
                raise ServiceFailedError(self.name, reason)
            start(self)

        monkeypatch.setattr(Process, "start", fail_once)
        os.kill(first.pids["api"], signal.SIGKILL)

        async def answers_again() -> bool:
            running = Running.read(tmp_path)
            return running is not None and running.pids["api"] != first.pids["api"]

        await eventually(answers_again, within=10)
        assert heard.has("stack", "Cannot allocate memory")


async def test_other_commands_find_the_stack_that_runs(tmp_path: Path, heard: Heard) -> None:
    assert Running.read(tmp_path) is None
    async with make(tmp_path, heard) as stack:
        running = Running.read(tmp_path)
        assert running is not None
        assert running.environment == stack.environment()
        assert alive(running.pids["api"])
        assert stat.S_IMODE((tmp_path / "running.json").stat().st_mode) == 0o600
    assert Running.read(tmp_path) is None


async def test_everybody_speaks_into_one_log(tmp_path: Path, heard: Heard) -> None:
    async with make(tmp_path, heard):
        await eventually(lambda: heard.has("api", "GET /health"))
        await eventually(lambda: heard.has("postgres", "ready to accept connections"))
    log = (tmp_path / "logs" / "tradelog.log").read_text()
    assert "postgres   | " in log
    assert "api        | " in log


def test_structured_lines_are_made_readable() -> None:
    line = {"event": "order placed", "level": "info", "timestamp": "2026-01-02T12:30:01Z", "position": 7}
    assert readable(json.dumps(line)) == "12:30:01 info order placed position=7"
    assert readable("plain") == "plain"
    assert readable('{"broken') == '{"broken'


RUN = """
import asyncio, json, sys
from pathlib import Path
from workers.local import stack
from workers.local.process import free_port
stack.PORTS = {name: free_port() for name in stack.PORTS}
async def ready(running): print("READY", flush=True)
made = stack.LocalStack(Path(sys.argv[1]), search=stack.Search.POSTGRES, port=free_port(), given={},
                        application=json.loads(sys.argv[2]))
asyncio.run(made.run(ready))
"""


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
async def test_however_it_ends_no_process_is_left(tmp_path: Path, ending: signal.Signals) -> None:
    command = [sys.executable, "-c", RUN, str(tmp_path / "data"), json.dumps(STAND_INS)]
    supervisor = Process("supervisor", command, log_path=tmp_path / "log")
    supervisor.start()
    try:
        await eventually(lambda: "READY" in supervisor.log_tail(), within=60)
        started = descendants(supervisor.pid)
        assert len(started) > 5
        supervisor.signal(ending)
        assert await supervisor.until_ended(within=30)
        if ending is not signal.SIGKILL:
            assert supervisor.exit_code == 0, supervisor.log_tail()
        await eventually(lambda: not any(alive(pid) for pid in started), within=30)
    finally:
        await supervisor.stop()


async def test_the_command_line_names_what_failed(tmp_path: Path) -> None:
    environment = {**os.environ, "DATABASE_URL": "postgresql://127.0.0.1:1/shop"}
    command = [sys.executable, "-m", "workers.cli", "up", "--data", str(tmp_path), "--search", "postgres"]
    ended = await asyncio.to_thread(
        subprocess.run, command, env=environment, capture_output=True, text=True, check=False, timeout=60
    )
    assert ended.returncode == 1
    assert ended.stderr.startswith("tradelog: postgres cannot be reached at the given DATABASE_URL")
    assert "Traceback" not in ended.stderr
