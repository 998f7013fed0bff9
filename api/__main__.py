"""``python -m api`` serves the API; ``python -m api openapi`` prints its description."""

from __future__ import annotations

import os
import sys

import msgspec

from api.app import openapi_document
from api.serving import serve
from application.settings import Settings, SettingsError


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
