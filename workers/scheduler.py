"""Does what is due because time has passed, not because something happened: erasing, cancelling, sweeping."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import partial

from prometheus_client import Counter, Gauge

from application.bootstrap import write_side
from application.ports import EventStore, StreamRef
from application.settings import Settings
from domain.jobs.events import job_of
from domain.jobs.job import JOBS
from projections.bootstrap import read_side
from workers.jobs import jobs_of
from workers.lease import while_leading
from workers.scheduling import Job, Measures, Scheduler
from workers.signals import until_signalled
from workers.starting import start


class Gauges(Measures):
    def __init__(self) -> None:
        self._done = Counter("tradelog_job_done", "Things that were done", ["job"])
        self._failures = Counter("tradelog_job_failures", "Runs that failed", ["job"])
        self._seconds = Gauge("tradelog_job_seconds", "How long the last run took", ["job"])
        self._succeeded = Gauge(
            "tradelog_job_last_success", "When it last came to its end, as Unix time", ["job"]
        )
        self._every = Gauge("tradelog_job_interval_seconds", "How often it is due", ["job"])

    def leads(self, job: Job, last_success: datetime | None) -> None:
        """A job that never succeeded is new as far as we know, and has its time too."""
        self._every.labels(job.name).set(job.every.total_seconds())
        succeeded = self._succeeded.labels(job.name)
        if last_success is None:
            succeeded.set_to_current_time()
        else:
            succeeded.set(last_success.timestamp())

    def ended(self, job: str, done: int | None, seconds: float) -> None:
        self._seconds.labels(job).set(seconds)
        if done is None:
            self._failures.labels(job).inc()
            return
        self._done.labels(job).inc(done)
        self._succeeded.labels(job).set_to_current_time()

    def leads_no_more(self) -> None:
        for gauge in (self._seconds, self._succeeded, self._every):
            gauge.clear()


async def requests_in(store: EventStore, jobs: Sequence[str]) -> Mapping[str, int]:
    loaded = await store.load_many([StreamRef(JOBS, job_of(name)) for name in jobs])
    return {
        name: known.state.requests if known.state else 0 for name, known in zip(jobs, loaded, strict=True)
    }


async def main(settings: Settings, *, once: bool = False) -> None:
    """``once`` does everything one time and ends, for who has a scheduler of their own."""
    async with (
        write_side(settings) as write,
        read_side(settings.database_url, connections=2) as read,
    ):
        scheduler = Scheduler(
            jobs_of(write, read, settings),
            runs=write.job_runs,
            clock=write.clock,
            requests=partial(requests_in, write.store),
            measures=Gauges(),
        )
        if once:
            if None in (await scheduler.run_once()).values():
                sys.exit(1)
            return
        await until_signalled(while_leading(settings.database_url, "tradelog.scheduler", scheduler.run))


if __name__ == "__main__":
    start("scheduler", partial(main, once="--once" in sys.argv[1:]))
