"""What is counted for Prometheus."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from itertools import accumulate
from typing import Final, Protocol

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

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


class AtHand(Protocol):
    """What is held of answers that are everybody's."""

    hits: int
    misses: int
    dropped: int
    evicted: int
    bytes: int

    def __len__(self) -> int: ...


class _Times:
    """How often requests of one kind took how long; without a lock, for they are counted on one thread."""

    __slots__ = ("counts", "sum")

    def __init__(self) -> None:
        self.counts = [0] * (len(_SECONDS) + 1)
        self.sum = 0.0


class _Requests(Collector):
    """A histogram of the client library costs as much as all else that is done for an answer at hand."""

    def __init__(self) -> None:
        self._times: dict[tuple[str, str, int], _Times] = {}

    def took(self, method: str, route: str, status: int, seconds: float) -> None:
        times = self._times.get((method, route, status))
        if times is None:
            times = self._times[method, route, status] = _Times()
        times.counts[bisect_left(_SECONDS, seconds)] += 1
        times.sum += seconds

    def collect(self) -> Iterator[Metric]:
        family = HistogramMetricFamily(
            "tradelog_http_request_seconds",
            "Time from the first byte of a request to the last of its answer",
            labels=("method", "route", "status"),
        )
        bounds = [*map(str, _SECONDS), "+Inf"]
        for (method, route, status), times in self._times.items():
            buckets = list(zip(bounds, accumulate(times.counts), strict=True))
            family.add_metric((method, route, str(status)), buckets, times.sum)
        yield family


class _AnswersAtHand(Collector):
    def __init__(self, answers: AtHand) -> None:
        self._answers = answers

    def collect(self) -> Iterator[Metric]:
        answers, name = self._answers, "tradelog_answers_at_hand"
        yield GaugeMetricFamily(name, "Answers that are held as ready bytes", len(answers))
        yield GaugeMetricFamily(f"{name}_bytes", "What they take, roughly", answers.bytes)
        yield CounterMetricFamily(f"{name}_hits", "Requests that one of them answered", answers.hits)
        yield CounterMetricFamily(f"{name}_misses", "Such answers that had to be made", answers.misses)
        yield CounterMetricFamily(f"{name}_dropped", "Let go because of a change", answers.dropped)
        yield CounterMetricFamily(f"{name}_evicted", "Let go to make room", answers.evicted)


class Metrics:
    """One registry per application, so that two of them in one process do not count into each other."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        requests = _Requests()
        self.registry.register(requests)
        self.request = requests.took
        """Of a request by its method, its route and the answer's status, how many seconds it took."""
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

    def watch(self, answers: AtHand) -> None:
        self.registry.register(_AnswersAtHand(answers))

    def written(self, written: Written) -> None:
        self._batches.observe(written.commands)
        self._appends.observe(written.seconds)
        self._events.inc(written.events)
        self._refused.inc(written.refused)
        self._head.set(written.position)

    def text(self) -> bytes:
        return generate_latest(self.registry)
