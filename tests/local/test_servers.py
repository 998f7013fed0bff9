"""Each server of the local stack alone: it starts, keeps its data, and leaves no process behind."""

import asyncio
import os
import signal
import smtplib
import socket
import subprocess
import sys
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import boto3
import httpx
import nats
import psycopg
import pytest

from tests.support import eventually
from workers.local.doubles import MailServer, ObjectStore
from workers.local.nats import Nats
from workers.local.opensearch import OpenSearch
from workers.local.postgres import Postgres
from workers.local.process import LOOPBACK, Process, ServiceFailedError, free_port, is_free


def alive(pid: int) -> bool:
    """Whether a process runs; one that ended and was not yet collected does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def descendants(pid: int) -> set[int]:
    listed = subprocess.run(["ps", "-eo", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
    parents = {int(child): int(parent) for child, parent in (line.split() for line in listed.splitlines())}
    found = {pid}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return found


class TestPostgres:
    async def test_it_flushes_and_keeps_its_rows_over_a_restart(self, servers_folder: Path) -> None:
        folder = servers_folder / "durable-postgres"
        async with Postgres(folder) as server:
            port = server.port
            async with await psycopg.AsyncConnection.connect(server.url) as connection:
                settings = await connection.execute(
                    "SELECT current_setting('fsync'), current_setting('synchronous_commit')"
                )
                assert await settings.fetchone() == ("on", "on")
                await connection.execute("CREATE TABLE kept AS SELECT 7 AS number")
            await server.stop()
            await server.start()
            assert server.port == port
            async with await psycopg.AsyncConnection.connect(server.url) as connection:
                rows = await connection.execute("SELECT number FROM kept")
                assert await rows.fetchone() == (7,)

    async def test_a_crash_loses_nothing_that_was_committed(self, servers_folder: Path) -> None:
        async with Postgres(servers_folder / "crashing-postgres") as server:
            async with await psycopg.AsyncConnection.connect(server.url) as connection:
                await connection.execute("CREATE TABLE kept AS SELECT 7 AS number")
            server.kill()
            await server.start()
            async with await psycopg.AsyncConnection.connect(server.url) as connection:
                rows = await connection.execute("SELECT number FROM kept")
                assert await rows.fetchone() == (7,)

    async def test_stopping_it_ends_every_process_of_it(self, servers_folder: Path) -> None:
        async with Postgres(servers_folder / "stopped-postgres", durable=False) as server:
            processes = descendants(server.process.pid)
            assert len(processes) > 1
        assert not any(alive(pid) for pid in processes)

    async def test_it_listens_on_loopback_with_a_password(self, postgres_server: Postgres) -> None:
        url = postgres_server.url
        password = url.split(":")[2].split("@")[0]
        with pytest.raises(psycopg.OperationalError, match="password"):
            await psycopg.AsyncConnection.connect(url.replace(password, "wrong"))
        async with await psycopg.AsyncConnection.connect(url) as connection:
            addresses = await connection.execute("SHOW listen_addresses")
            assert await addresses.fetchone() == (LOOPBACK,)


class TestNats:
    async def test_a_restarted_server_keeps_its_streams_and_its_port(self, nats_server: Nats) -> None:
        port = nats_server.port
        await publish_one(nats_server.url)
        await nats_server.stop()
        await nats_server.start()
        assert nats_server.port == port
        assert await stream_sizes(nats_server.url) == {"kept": 1}

    async def test_a_wiped_server_has_no_streams(self, nats_server: Nats) -> None:
        await publish_one(nats_server.url)
        nats_server.kill()
        nats_server.wipe()
        await nats_server.start()
        assert await stream_sizes(nats_server.url) == {}


async def publish_one(url: str) -> None:
    client = await nats.connect(url)
    stream = client.jetstream()
    await stream.add_stream(name="kept", subjects=["kept.>"])
    await stream.publish("kept.one", b"1")
    await client.close()


async def stream_sizes(url: str) -> dict[str | None, int]:
    client = await nats.connect(url)
    streams = await client.jetstream().streams_info()
    await client.close()
    return {info.config.name: info.state.messages for info in streams}


class TestOpenSearch:
    async def test_it_makes_an_index_and_finds_what_is_in_it(self, opensearch_server: OpenSearch) -> None:
        index = f"{opensearch_server.url}/test_servers"
        async with httpx.AsyncClient(timeout=30.0) as client:
            made = await client.put(f"{index}/_doc/1?refresh=true", json={"title": "a red lamp"})
            assert made.status_code == httpx.codes.CREATED, made.text
            found = await client.get(f"{index}/_search?q=lamp")
        assert [hit["_id"] for hit in found.json()["hits"]["hits"]] == ["1"]


class TestObjectStore:
    async def test_objects_survive_a_restart_with_what_is_known_of_them(self, tmp_path: Path) -> None:
        async with ObjectStore(tmp_path / "s3") as server:
            s3 = s3_client(server)
            s3.create_bucket(Bucket="media")
            s3.put_object(
                Bucket="media", Key="a/ü.jpg", Body=b"first", ContentType="image/jpeg", Metadata={"by": "me"}
            )
            s3.put_object(Bucket="media", Key="a/ü.jpg", Body=b"second", ContentType="image/jpeg")
            s3.put_object(Bucket="media", Key="gone", Body=b"gone")
            s3.delete_objects(Bucket="media", Delete={"Objects": [{"Key": "gone"}]})
            server.kill()
            await server.start()
            found = s3_client(server).get_object(Bucket="media", Key="a/ü.jpg")
            assert (found["Body"].read(), found["ContentType"]) == (b"second", "image/jpeg")
            assert s3_client(server).list_objects_v2(Bucket="media")["KeyCount"] == 1

    async def test_a_bucket_of_its_own_is_there_at_once_and_public_where_it_should_be(
        self, tmp_path: Path
    ) -> None:
        async with ObjectStore(tmp_path / "s3", bucket="shop") as server, httpx.AsyncClient() as anybody:
            for key in ("avatars/a", "media/a", "uploads/a"):
                s3_client(server).put_object(Bucket="shop", Key=key, Body=b"kept")
            server.kill()
            await server.start()
            statuses = [
                (await anybody.get(f"{server.url}/shop/{key}")).status_code
                for key in ("avatars/a", "media/a", "uploads/a")
            ]
            assert statuses == [200, 200, 403]


def s3_client(server: ObjectStore) -> Any:
    return boto3.client(
        "s3",
        endpoint_url=server.url,
        region_name="us-east-1",
        aws_access_key_id="any",
        aws_secret_access_key="any",
    )


class TestMailServer:
    async def test_a_message_becomes_a_file(self, tmp_path: Path) -> None:
        message = EmailMessage()
        message["Subject"], message["From"], message["To"] = "Grüße", "shop@example.com", "ann@example.com"
        message.set_content("your order has left")

        async with MailServer(tmp_path) as server:

            def send() -> None:
                with smtplib.SMTP(LOOPBACK, server.port) as client:
                    client.send_message(message)

            await asyncio.to_thread(send)
        (kept,) = tmp_path.glob("*.eml")
        text = kept.read_text()
        assert "X-Envelope-To: ann@example.com" in text
        assert "your order has left" in text

    async def test_a_taken_port_is_named(self, tmp_path: Path) -> None:
        with socket.create_server((LOOPBACK, 0)) as taken:
            port = taken.getsockname()[1]
            with pytest.raises(ServiceFailedError, match=f"could not listen on port {port}"):
                await MailServer(tmp_path, port=port).start()


class TestProcess:
    async def test_a_server_that_does_not_start_says_why(self, tmp_path: Path) -> None:
        code = "import sys; print('the disk is full'); sys.exit(3)"
        process = Process("database", [sys.executable, "-c", code], log_path=tmp_path / "log")
        process.start()

        async def never() -> bool:
            return False

        with pytest.raises(ServiceFailedError, match="database ended with exit code 3") as failure:
            await process.until_ready(never, within=30)
        assert failure.value.log == "the disk is full"

    async def test_the_tail_of_the_log_is_that_of_the_last_start(self, tmp_path: Path) -> None:
        log = tmp_path / "log"
        log.write_text("yesterday\n")
        process = Process("database", [sys.executable, "-c", "print('today')"], log_path=log)
        process.start()
        assert await process.until_ended(within=30)
        assert process.log_tail() == "today"

    async def test_one_that_ignores_the_signal_is_ended_with_its_children(self, tmp_path: Path) -> None:
        code = (
            "import signal, subprocess, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
            "print(subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']).pid, flush=True);"
            "time.sleep(600)"
        )
        process = Process(
            "stubborn", [sys.executable, "-c", code], log_path=tmp_path / "log", stop_within=0.2
        )
        process.start()
        await eventually(lambda: process.log_tail().isdigit())
        child = int(process.log_tail())
        await process.stop()
        assert process.exit_code == -signal.SIGKILL
        await eventually(lambda: not alive(child))

    @pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends children with their parent")
    async def test_a_killed_supervisor_takes_its_servers_with_it(self, tmp_path: Path) -> None:
        code = (
            "import asyncio, sys; from pathlib import Path; from workers.local.nats import Nats\n"
            "async def main():\n"
            "    async with Nats(Path(sys.argv[1])) as server:\n"
            "        print(server.process.pid, flush=True); await asyncio.sleep(600)\n"
            "asyncio.run(main())"
        )
        supervisor = Process(
            "supervisor", [sys.executable, "-c", code, tmp_path / "nats"], log_path=tmp_path / "log"
        )
        supervisor.start()
        await eventually(lambda: supervisor.log_tail().isdigit())
        server = int(supervisor.log_tail())
        assert alive(server)
        os.kill(supervisor.pid, signal.SIGKILL)
        assert await supervisor.until_ended(within=30)
        await eventually(lambda: not alive(server))


def test_a_taken_port_is_passed_over() -> None:
    with socket.create_server((LOOPBACK, 0)) as taken:
        port = taken.getsockname()[1]
        assert not is_free(port)
        assert port < free_port(port) < port + 100
