"""`tradelog`, as an operator types it: one stack that `up` started, and every other command against it."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import httpx
import psycopg
import pytest

from projections.bootstrap import projections_of
from tests.api.shop import soon
from tests.local.test_servers import alive, descendants
from workers.local.process import LOOPBACK, Process, free_port
from workers.local.stack import Running

UP = """
from workers import cli
from workers.local import stack
from workers.local.process import free_port
stack.PORTS = {name: free_port() for name in stack.PORTS}  # keep clear of a stack that runs here for real
stack.METRICS_PORTS = {name: free_port() for name in stack.METRICS_PORTS}
cli.main()
"""
READ_MODELS = {projection.name for projection in projections_of(search=False)}
UUID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"

Ended: TypeAlias = subprocess.CompletedProcess[str]


@dataclass(frozen=True)
class Stack:
    data: Path
    port: int
    up: Process
    summary: str

    @property
    def api_url(self) -> str:
        return f"http://{LOOPBACK}:{self.port}"

    def tradelog(self, *arguments: str) -> Ended:
        return tradelog(*arguments, data=self.data)

    def lists(self) -> dict[tuple[str, str], list[str]]:
        """What `projections list` shows: the cells of each row by read model and generation."""
        ended = self.tradelog("projections", "list")
        assert (ended.returncode, ended.stderr) == (0, "")
        rows = [line.strip("│ ").split("│") for line in ended.stdout.splitlines() if line.startswith("│")]
        return {(row[0].strip(), row[3].strip()): [cell.strip() for cell in row] for row in rows}

    def states(self, name: str) -> dict[str, str]:
        """The state of each generation."""
        return {generation: row[4] for (of, generation), row in self.lists().items() if of == name}

    def head(self) -> int:
        running = Running.read(self.data)
        assert running is not None
        with psycopg.connect(running.environment["DATABASE_URL"]) as connection:
            row = connection.execute("SELECT position FROM log_head").fetchone()
        assert row is not None
        position: int = row[0]
        return position


def environment(data: Path) -> Mapping[str, str]:
    """Nothing of the caller's that would name a server."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return kept | {"TRADELOG_DATA": str(data)}


def tradelog(*arguments: str, data: Path) -> Ended:
    command = [sys.executable, "-m", "workers.cli", *arguments]
    return subprocess.run(
        command, env=environment(data), capture_output=True, text=True, check=False, timeout=60
    )


def assert_refused(ended: Ended, message: str) -> None:
    """One clear line where errors belong, and nothing else."""
    assert (ended.returncode, ended.stdout, ended.stderr) == (1, "", f"tradelog: {message}\n")


@pytest.fixture(scope="module")
def stack(servers_folder: Path) -> Iterator[Stack]:
    folder = servers_folder / "cli"
    data, port = folder / "data", free_port()
    command = [sys.executable, "-c", UP, "up", "--seed", "--search", "postgres", "--port", str(port)]
    up = Process("up", command, log_path=folder / "up.log", environment=environment(data))
    up.start()
    try:
        soon(lambda: "Demo accounts" in up.log_tail(200) or not up.running, "the summary", within=90)
        assert up.running, up.log_tail(200)
        yield Stack(data, port, up, up.log_tail(200))
    finally:
        up.signal(signal.SIGTERM)
        soon(lambda: not up.running, "the end of the stack", within=30)
        shutil.rmtree(folder, ignore_errors=True)


def test_the_summary_says_where_everything_is_and_who_may_sign_in(stack: Stack) -> None:
    def shown(name: str) -> str:
        found = re.search(rf"^{name}  +(.+?) *$", stack.summary, re.MULTILINE)
        assert found is not None, stack.summary
        return found[1]

    assert shown("API") == stack.api_url
    assert shown("API documentation") == f"{stack.api_url}/docs"
    assert shown("Search") == "Postgres full text"
    assert shown("Postgres").startswith("postgresql://tradelog:***@127.0.0.1:")
    assert shown("NATS").startswith("nats://127.0.0.1:")
    assert shown("Stripe").startswith("http://127.0.0.1:")
    assert shown("Data and logs") == str(stack.data)
    accounts = re.findall(r"(\w+) / (\w+) \((\w+)\)", shown("Demo accounts"))
    assert [role for _, _, role in accounts] == ["admin", "auditor", "user"]
    for username, password, role in accounts:
        sign_in = {"username": username, "password": password}
        answer = httpx.post(f"{stack.api_url}/api/v1/auth/login", json=sign_in)
        assert answer.status_code == 200, answer.text
        assert answer.json()["user"]["role"] == role


def test_every_read_model_is_listed_and_catches_up(stack: Stack) -> None:
    def caught_up() -> bool:
        rows = stack.lists()
        assert {name for name, _ in rows} == READ_MODELS
        head = str(stack.head())
        return all((row[4], row[5], row[6]) == ("active", head, "0") for row in rows.values())

    soon(caught_up, "catching up")


def test_the_demo_kills_the_projector_and_tells_all_that_happened(stack: Stack) -> None:
    before = Running.read(stack.data)
    ended = stack.tradelog("demo")
    assert (ended.returncode, ended.stderr) == (0, ""), ended.stdout
    after = Running.read(stack.data)
    assert before is not None
    assert after is not None
    killed, started = before.pids["projector"], after.pids["projector"]
    assert killed != started
    assert not alive(killed)
    assert f"killed the projector (process {killed}) with SIGKILL" in ended.stdout
    assert f"started another one (process {started})" in ended.stdout
    history = re.findall(
        r"^ +(\d+)  (\S+)  (\w+) +by (\S+), because of (\w+) (\S+)$", ended.stdout, re.MULTILINE
    )
    assert [event[2] for event in history] == [
        "order_placed",
        "order_payment_linked",
        "order_confirmed",
        "invoice_issued",
    ]
    assert re.search(r"invoice \S+ is made, and 1 parcel to be sent", ended.stdout)
    positions = [int(event[0]) for event in history]
    assert positions == sorted(set(positions))
    for _, at, _, actor, kind, cause in history:
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z", at)
        assert re.fullmatch(rf"user:{UUID}|stripe|worker:[\w-]+", actor), actor
        assert kind in {"request", "event"}
        assert cause
    assert re.fullmatch(rf"user:{UUID}", history[0][3])
    assert history[0][4] == "request"


def test_a_read_model_is_rebuilt_and_rolled_back(stack: Stack) -> None:
    assert stack.states("products") == {"1": "active"}
    refused = stack.tradelog("projections", "rollback", "products")
    assert_refused(refused, "products is still served from generation 1: there is no previous generation")

    rebuilt = stack.tradelog("projections", "rebuild", "products")
    assert (rebuilt.returncode, rebuilt.stderr) == (0, "")
    assert rebuilt.stdout.splitlines()[-1] == "products is served from generation 2"
    assert stack.states("products") == {"1": "previous", "2": "active"}
    assert httpx.get(f"{stack.api_url}/api/v1/products").json()["total"] == 194

    back = stack.tradelog("projections", "rollback", "products")
    assert (back.returncode, back.stdout, back.stderr) == (0, "products is served from generation 1\n", "")
    assert stack.states("products")["1"] == "active"
    assert httpx.get(f"{stack.api_url}/api/v1/products").json()["total"] == 194


def test_a_paused_read_model_stands_still_until_it_is_resumed(stack: Stack) -> None:
    def row() -> list[str]:
        (found,) = (cells for (name, _), cells in stack.lists().items() if name == "categories")
        return found

    assert stack.tradelog("projections", "pause", "categories").returncode == 0
    halted = row()
    assert halted[4] == "active, paused"
    with httpx.Client(base_url=f"{stack.api_url}/api/v1") as http:
        sign_in = {"username": "emilys", "password": "emilyspass"}
        token = http.post("/auth/login", json=sign_in).json()["token"]
        headers = {"Authorization": f"Bearer {token}"}
        made = http.post("/admin/categories", json={"name": "Sundials"}, headers=headers)
        assert made.status_code == 201, made.text
        behind = row()
        assert behind[5] == halted[5]
        assert int(behind[6]) > 0
        assert stack.tradelog("projections", "resume", "categories").returncode == 0
        soon(lambda: (row()[4], row()[6]) == ("active", "0"), "catching up")
        assert made.json()["slug"] in {each["slug"] for each in http.get("/categories").json()}


@pytest.mark.parametrize("command", ["rebuild", "pause", "resume", "rollback"])
def test_a_read_model_that_is_not_there_is_named(stack: Stack, command: str) -> None:
    ended = stack.tradelog("projections", command, "horoscopes")
    assert_refused(ended, "there is no projection 'horoscopes'")


def test_seeding_again_does_nothing(stack: Stack) -> None:
    before = stack.head()
    ended = stack.tradelog("seed")
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")
    assert stack.head() == before


def test_the_api_document_needs_no_stack(tmp_path: Path) -> None:
    ended = tradelog("openapi", data=tmp_path)
    assert (ended.returncode, ended.stderr) == (0, "")
    document: dict[str, Any] = json.loads(ended.stdout)
    assert document["openapi"].startswith("3.")
    assert {"/api/v1/orders", "/api/v1/products", "/api/v1/admin/projections"} <= set(document["paths"])


@pytest.mark.parametrize("command", [("demo",), ("projections", "list")])
def test_without_a_stack_the_way_to_one_is_told(tmp_path: Path, command: tuple[str, ...]) -> None:
    ended = tradelog(*command, "--data", str(tmp_path), data=tmp_path / "elsewhere")
    assert_refused(ended, f"local stack does not run on {tmp_path}: start it with `tradelog up`")


def test_a_signal_ends_it_all(stack: Stack) -> None:
    """The last test of this module: what the others use is gone afterwards."""
    started = descendants(stack.up.pid)
    assert len(started) > 8
    stack.up.signal(signal.SIGTERM)
    soon(lambda: not stack.up.running, "the end", within=30)
    assert stack.up.exit_code == 0, stack.up.log_tail()
    assert {pid for pid in started if alive(pid)} == set()
    assert Running.read(stack.data) is None
