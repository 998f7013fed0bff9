"""What is counted for Prometheus."""

from __future__ import annotations

from typing import Final, Protocol

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_SIZES: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Written(Protocol):
    """A batch of commands as the log wrote it."""

    @property
    def commands(self) -> int: ...

    @property
    def events(self) -> int: ...

    @property
    def refused(self) -> int: ...

    @property
    def seconds(self) -> float: ...

    @property
    def position(self) -> int: ...


class Metrics:
    """One registry per application, so that two of them in one process do not count into each other."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        self._requests = Histogram(
            "tradelog_http_request_seconds",
            "Time from the first byte of a request to the last of its answer",
            ("method", "route", "status"),
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._batches = Histogram(
            "tradelog_append_batch_commands",
            "Commands that were written to the log in one transaction",
            buckets=_SIZES,
            registry=self.registry,
        )
        self._appends = Histogram(
            "tradelog_append_seconds",
            "Time to write one batch to the log and to flush it",
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._events = Counter("tradelog_events", "Events written by this process", registry=self.registry)
        self._refused = Counter(
            "tradelog_append_refused", "Commands that met a newer version in the log", registry=self.registry
        )
        self._head = Gauge(
            "tradelog_log_position", "Position last written by this process", registry=self.registry
        )
        self._children: dict[tuple[str, str, int], Histogram] = {}

    def request(self, method: str, route: str, status: int, seconds: float) -> None:
        key = (method, route, status)
        child = self._children.get(key)
        if child is None:
            child = self._children[key] = self._requests.labels(method, route, str(status))
        child.observe(seconds)

    def written(self, written: Written) -> None:
        self._batches.observe(written.commands)
        self._appends.observe(written.seconds)
        self._events.inc(written.events)
        self._refused.inc(written.refused)
        self._head.set(written.position)

    def text(self) -> bytes:
        return generate_latest(self.registry)
