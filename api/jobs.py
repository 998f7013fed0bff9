"""What is done because time has passed, for operators: how each job stands, its runs, and asking for one."""

from __future__ import annotations

from typing import Any

from litestar import Controller, Request, get, post
from litestar.params import FromPath
from litestar.response.base import ASGIResponse

from api.authentication import BEARER, admin
from api.backend import Backend
from api.documentation import answers
from api.input import decode_query
from api.models import JobList, JobRunPage, JobRunRequest
from api.paging import CursorQuery, paged
from api.wire import answer, encode
from application.jobs.ports import JobRun, KnownJob, RunOutcome
from application.jobs.requesting import RequestJobRun
from projections.keyset import Piece
from projections.wire import time

HttpRequest = Request[Any, Any, Any]


class JobController(Controller):
    path = "/admin/jobs"
    tags = ("Operations",)
    guards = (admin,)
    security = BEARER

    @get(responses=answers(JobList, 200, 401, 403))
    async def jobs(self, backend: Backend) -> ASGIResponse:
        """Every job, and how it stands; none before a scheduler has run for the first time."""
        listed = await backend.write.job_runs.listed()
        return answer(encode({"jobs": [_job_body(job) for job in listed]}))

    @get("/{name:str}/runs", query=CursorQuery, responses=answers(JobRunPage, 200, 401, 403, 404))
    async def runs(self, request: HttpRequest, name: FromPath[str], backend: Backend) -> ASGIResponse:
        """A job's runs of a month, the latest first; of those that found nothing to do, only the last."""
        asked = decode_query(request.scope["query_string"], CursorQuery)
        question = asked.question("jobRuns", name)
        piece = backend.cursors.piece(asked, question)
        runs = backend.write.job_runs
        await runs.standing(name)
        found = await runs.runs(name, skip=piece.skip, limit=piece.limit + 1, before=_before(piece))
        shown = found[: piece.limit]
        total = await runs.count_runs(name) if piece.counted else 0
        cursor = backend.cursors.after((shown[-1].id,) if len(found) > piece.limit else None, question)
        bodies = [_run_body(run) for run in shown]
        return answer(paged("runs", bodies, asked, total=total, next_cursor=cursor))

    @post("/{name:str}/run", status_code=202, responses=answers(JobRunRequest, 202, 401, 403, 404))
    async def run(self, request: HttpRequest, name: FromPath[str], backend: Backend) -> ASGIResponse:
        """Have a job run now, and not only when it is due. It is among its runs within seconds, if a scheduler runs."""
        return await backend.commands.answer(
            request,
            RequestJobRun(job=name),
            lambda job: {"name": job.name, "requests": job.requests},
            status=202,
        )


def _before(piece: Piece) -> int | None:
    return None if piece.after is None else int(piece.after[0])


def _job_body(job: KnownJob) -> dict[str, Any]:
    plan, standing = job.plan, job.standing
    return {
        "name": plan.name,
        "description": plan.description,
        "every": round(plan.every.total_seconds()),
        "dailyAt": None if plan.daily_at is None else f"{plan.daily_at:%H:%M}Z",
        "lastRun": None if job.last_started_at is None else time(job.last_started_at),
        "lastOutcome": job.last_outcome,
        "lastSuccess": None if standing.last_succeeded_at is None else time(standing.last_succeeded_at),
        "nextDue": time(standing.next_at),
        "failuresInARow": standing.failures,
        "running": job.last_outcome is RunOutcome.RUNNING,
    }


def _run_body(run: JobRun) -> dict[str, Any]:
    return {
        "id": run.id,
        "job": run.job,
        "startedAt": time(run.started_at),
        "endedAt": None if run.ended_at is None else time(run.ended_at),
        "outcome": run.outcome,
        "done": run.done,
        "error": run.error,
        "instance": run.instance,
    }
