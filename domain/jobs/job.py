"""How often a run of a job was asked for: whoever runs it knows by that what is new."""

from __future__ import annotations

import msgspec

from domain.jobs.events import JobEvent, JobRunRequested
from domain.kernel import Decider


class Job(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    requests: int = 0

    def request_run(self) -> list[JobEvent]:
        """One run that begins later answers all that were asked for before."""
        return [JobRunRequested(job=self.name)]

    @classmethod
    def evolve(cls, job: Job | None, event: JobEvent) -> Job:
        return cls(name=event.job, requests=1 + (job.requests if job else 0))


JOBS: Decider[Job, JobEvent] = Decider("jobs", Job.evolve, snapshot=Job)
