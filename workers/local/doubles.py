"""Doubles for what is elsewhere in production: an S3 server and a mail server."""

import asyncio
import secrets
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from workers.local.process import LOOPBACK, Process, Server, Service, ServiceFailedError, answers_http

if TYPE_CHECKING:
    from aiosmtpd.smtp import SMTP, Envelope, Session

S3_ACCESS_KEY: Final = "tradelog"
S3_SECRET_KEY: Final = "tradelog-local"
S3_REGION: Final = "us-east-1"
S3_BUCKET: Final = "tradelog"


class ObjectStore(Server):
    """Moto's S3 server; any credentials do, and what is stored survives a restart. ``bucket`` is there at once."""

    name = "s3"

    def __init__(
        self, folder: Path, *, bucket: str = "", port: int = 0, log_path: Path | None = None
    ) -> None:
        super().__init__(folder, port=port, log_path=log_path)
        self.bucket = bucket

    def make_process(self) -> Process:
        buckets = str(self.folder / "buckets")
        command = [
            sys.executable,
            "-m",
            "workers.local.object_store",
            "--port",
            str(self.port),
            "--folder",
            buckets,
            "--bucket",
            self.bucket,
        ]
        return Process(self.name, command, log_path=self.log_path)

    async def answers(self) -> bool:
        return await answers_http(self.url)


class MailServer(Service):
    """An SMTP server that delivers nothing: each message becomes an .eml file in `folder`.

    It lives in our own event loop: one more process would cost more memory than all mail it ever sees.
    """

    def __init__(self, folder: Path, *, port: int = 0) -> None:
        self.folder = folder.resolve()
        self.port = port
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        loop = asyncio.get_running_loop()
        # Where only operators' commands run, as in production's image, the doubles' packages are not installed.
        from aiosmtpd.smtp import SMTP  # noqa: PLC0415

        keeper = MailKeeper(self.folder)
        try:
            self._server = await loop.create_server(lambda: SMTP(keeper, loop=loop), LOOPBACK, self.port)
        except OSError as failure:
            raise ServiceFailedError(
                "mail", f"could not listen on port {self.port}: {failure.strerror}"
            ) from failure
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()
            self._server = None


class MailKeeper:
    """What aiosmtpd calls when a message has arrived."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def handle_DATA(self, server: "SMTP", session: "Session", envelope: "Envelope") -> str:  # noqa: N802 - aiosmtpd's name
        content = envelope.original_content or b""
        # Names sort by arrival; the random part keeps two of the same microsecond apart.
        name = f"{datetime.now(UTC):%Y%m%dT%H%M%S.%f}-{secrets.token_hex(4)}.eml"
        unfinished = self._folder / f".{name}"
        envelope_lines = (
            f"X-Envelope-From: {envelope.mail_from}\r\nX-Envelope-To: {', '.join(envelope.rcpt_tos)}\r\n"
        )
        unfinished.write_bytes(envelope_lines.encode() + content)
        unfinished.rename(self._folder / name)
        return "250 OK"
