"""Asking for a run of a job out of turn. The scheduler hears of it from the log, as everybody does."""

from __future__ import annotations

import msgspec

from application.jobs.ports import JobRuns
from application.ports import Changed, EventStore, Metadata
from domain.jobs.events import job_of
from domain.jobs.job import JOBS, Job


class RequestJobRun(msgspec.Struct, frozen=True, kw_only=True):
    job: str


async def request_job_run(
    command: RequestJobRun, metadata: Metadata, *, store: EventStore, job_runs: JobRuns
) -> Changed[Job]:
    """``JobNotFoundError`` for what is no job."""
    await job_runs.standing(command.job)
    return await store.change(
        JOBS, job_of(command.job), lambda job: (job or Job(name=command.job)).request_run(), metadata
    )
