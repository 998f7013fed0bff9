"""``python -m api`` serves the API; ``python -m api openapi`` prints its description."""

from __future__ import annotations

import os
import sys

import msgspec
from granian import Granian
from granian.constants import HTTPModes, Interfaces, Loops

from api.app import openapi_document
from application.settings import Settings, SettingsError

BACKLOG = 2048


def serve(settings: Settings) -> None:
    Granian(
        "api.app:application",
        factory=True,
        address=settings.host,
        port=settings.port,
        interface=Interfaces.ASGI,
        http=HTTPModes.http1,
        loop=Loops.uvloop,
        workers=settings.tradelog_api_processes,
        backlog=BACKLOG,
        websockets=False,
        log_access=False,
        respawn_failed_workers=True,
        log_dictconfig={"version": 1, "disable_existing_loggers": False},
    ).serve()


def main(arguments: list[str]) -> int:
    if arguments == ["openapi"]:
        sys.stdout.buffer.write(
            msgspec.json.format(msgspec.json.encode(openapi_document()), indent=2) + b"\n"
        )
        return 0
    try:
        serve(Settings.read(os.environ))
    except SettingsError as wrong:
        sys.stderr.write(f"tradelog api: {wrong}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
