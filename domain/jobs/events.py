"""What people ask of jobs."""

from typing import TypeAlias
from uuid import UUID

from domain.kernel import Event, stream_id


def job_of(name: str) -> UUID:
    """The stream of what is asked of a job."""
    return stream_id("job", name)


class JobRunRequested(Event, frozen=True, kw_only=True, tag="job_run_requested"):
    """Somebody does not want to wait until the job is due. Who that is stands in the envelope."""

    job: str


JobEvent: TypeAlias = JobRunRequested
