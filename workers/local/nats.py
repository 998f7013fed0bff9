"""NATS with JetStream from a wheel: the pipe, which may be killed and wiped at any moment without losing an event."""

import asyncio
import json
import shutil
import sysconfig
from pathlib import Path
from typing import Final

from workers.local.process import LOOPBACK, Process, Server, ServiceFailedError

LARGEST_MESSAGE: Final = 8 * 1024 * 1024


class Nats(Server):
    """A server of our own that stores its streams under `folder`."""

    name = "nats"

    @property
    def url(self) -> str:
        return f"nats://{LOOPBACK}:{self.port}"

    def make_process(self) -> Process:
        configuration = self.folder / "nats.conf"
        configuration.write_text(
            f'server_name: "tradelog"\n'
            f"listen: {LOOPBACK}:{self.port}\n"
            f"max_payload: {LARGEST_MESSAGE}\n"
            f"jetstream {{\n  store_dir: {json.dumps(str(self._store))}\n  max_mem: 64MB\n  max_file: 10GB\n}}\n"
        )
        return Process(self.name, [binary(), "-c", configuration], log_path=self.log_path)

    @property
    def _store(self) -> Path:
        return self.folder / "store"

    def wipe(self) -> None:
        """Forget every stream and consumer, as if the disk were new; only while it is stopped or killed."""
        assert self._process is None or not self._process.running, "stop or kill NATS before wiping it"
        shutil.rmtree(self._store, ignore_errors=True)

    async def answers(self) -> bool:
        """Its greeting says whether JetStream is on; the client port opens after the streams are recovered."""
        try:
            reader, writer = await asyncio.open_connection(LOOPBACK, self.port)
        except OSError:
            return False
        try:
            greeting = await asyncio.wait_for(reader.readline(), timeout=5.0)
        except (OSError, TimeoutError):
            return False
        finally:
            writer.close()
        return greeting.startswith(b"INFO ") and json.loads(greeting[5:]).get("jetstream") is True


def binary() -> Path:
    """The server that the wheel puts beside this interpreter, or one on the path."""
    beside = Path(sysconfig.get_path("scripts")) / "nats-server"
    if beside.exists():
        return beside
    found = shutil.which("nats-server")
    if found is None:
        raise ServiceFailedError("nats", "is not installed: install the extra 'local', or set NATS_URL")
    return Path(found)
