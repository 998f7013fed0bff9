"""How a worker begins: its log, its settings or a refusal that says what is wrong with them, its metrics."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Coroutine
from typing import Any

import uvloop
from prometheus_client import start_http_server

from application.adapters.logs import configure_from as configure_logs
from application.collecting import collect_rarely
from application.settings import Settings, SettingsError


def start(name: str, main: Callable[[Settings], Coroutine[Any, Any, None]]) -> None:
    """Run a worker until it ends. TRADELOG_METRICS_PORT and _HOST say where its metrics are, if anywhere."""
    configure_logs(os.environ)
    try:
        settings = Settings.read(os.environ)
    except SettingsError as wrong:
        sys.stderr.write(f"tradelog {name}: {wrong}\n")
        sys.exit(2)
    metrics_port = os.environ.get("TRADELOG_METRICS_PORT")
    if metrics_port:
        start_http_server(int(metrics_port), addr=os.environ.get("TRADELOG_METRICS_HOST", "127.0.0.1"))
    collect_rarely()
    uvloop.run(main(settings))
