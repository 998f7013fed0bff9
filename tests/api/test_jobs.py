"""What the scheduler does, as admins see it and ask for it."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from tests.api.shop import Client, Shop, assert_problem, soon

FIELDS = {
    "name",
    "description",
    "every",
    "dailyAt",
    "lastRun",
    "lastOutcome",
    "lastSuccess",
    "nextDue",
    "failuresInARow",
    "running",
}


@pytest.fixture(scope="module")
def scheduled(shop: Shop, admin: Client) -> Iterator[Shop]:
    """With a scheduler, and everything done once."""
    with shop.also("workers.scheduler"):
        soon(
            lambda: bool(jobs(admin)) and all(job["lastSuccess"] for job in jobs(admin).values()), "all jobs"
        )
        yield shop


def jobs(admin: Client) -> dict[str, dict[str, Any]]:
    listed = admin.get("/admin/jobs")
    assert listed.status_code == 200, listed.text
    return {job["name"]: job for job in listed.json()["jobs"]}


def runs(admin: Client, name: str, **query: Any) -> list[dict[str, Any]]:
    listed = admin.get(f"/admin/jobs/{name}/runs", params=query)
    assert listed.status_code == 200, listed.text
    found: list[dict[str, Any]] = listed.json()["runs"]
    return found


@pytest.fixture
def failures(shop: Shop, admin: Client) -> Iterator[list[int]]:
    """Runs of a job that nobody runs any more; the latest first."""
    with psycopg.connect(shop.database_url, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO jobs (name, description, every, next_at) VALUES ('old', 'Old', '1 hour', now())"
        )
        rows = connection.execute(
            "INSERT INTO job_runs (job, instance, on_request, ended_at, outcome, error) "
            "SELECT 'old', 'somewhere', false, now(), 'failed', 'KeyError at scheduler.py:' || number "
            "FROM generate_series(1, 5) AS number RETURNING id"
        ).fetchall()
        yield sorted((number for (number,) in rows), reverse=True)
        connection.execute("DELETE FROM jobs WHERE name = 'old'")
        connection.execute("DELETE FROM job_runs WHERE job = 'old'")


class TestTheList:
    def test_tells_of_every_job_how_it_stands(self, scheduled: Shop, admin: Client) -> None:
        listed = jobs(admin)
        assert {"erase-accounts", "cancel-unpaid-orders", "daily-sales-report"} <= listed.keys()
        assert list(listed) == sorted(listed)
        for job in listed.values():
            assert set(job) == FIELDS
            assert job["description"]
            assert job["failuresInARow"] == 0
            assert job["lastRun"] <= job["nextDue"]
        assert listed["erase-accounts"]["every"] == 60
        assert listed["erase-accounts"]["dailyAt"] is None
        assert listed["daily-sales-report"]["dailyAt"] == "00:10Z"
        assert "T00:10:00.000Z" in listed["daily-sales-report"]["nextDue"]

    def test_is_for_admins(self, shop: Shop, buyer: Client, auditor: Client) -> None:
        head = shop.head()
        for client in (buyer, auditor):
            assert_problem(client.get("/admin/jobs"), 403, "FORBIDDEN")
            assert_problem(client.get("/admin/jobs/erase-accounts/runs"), 403, "FORBIDDEN")
            assert_problem(client.post("/admin/jobs/erase-accounts/run"), 403, "FORBIDDEN")
        assert_problem(shop.guest.get("/admin/jobs"), 401, "UNAUTHORIZED")
        assert shop.head() == head


class TestRuns:
    def test_come_in_the_three_styles_of_lists(self, admin: Client, failures: list[int]) -> None:
        path = "/admin/jobs/old/runs"
        sliced = admin.get(path, params={"skip": 1, "limit": 2}).json()
        assert [run["id"] for run in sliced["runs"]] == failures[1:3]
        assert (sliced["total"], sliced["skip"], sliced["limit"]) == (5, 1, 2)
        numbered = admin.get(path, params={"page": 3, "limit": 2}).json()
        assert [run["id"] for run in numbered["data"]] == failures[4:]
        assert numbered["pagination"] == {"total": 5, "page": 3, "limit": 2, "pages": 3}
        found: list[int] = []
        cursor: str | None = ""
        while cursor is not None:
            page = admin.get(path, params={"cursor": cursor, "limit": 2}).json()
            found += [run["id"] for run in page["runs"]]
            cursor = page["nextCursor"]
        assert found == failures
        one = sliced["runs"][0]
        assert one["error"] == "KeyError at scheduler.py:4"
        known = {name: one[name] for name in ("job", "outcome", "done", "instance")}
        assert known == {"job": "old", "outcome": "failed", "done": None, "instance": "somewhere"}
        assert one["startedAt"] <= one["endedAt"]

    def test_a_cursor_is_for_the_list_that_it_came_from(
        self, scheduled: Shop, admin: Client, failures: list[int]
    ) -> None:
        cursor = admin.get("/admin/jobs/old/runs", params={"cursor": "", "limit": 1}).json()["nextCursor"]
        other = admin.get("/admin/jobs/erase-accounts/runs", params={"cursor": cursor, "limit": 1})
        assert_problem(other, 400, "VALIDATION_ERROR", "cursor")

    def test_of_what_is_no_job_there_are_none(self, shop: Shop, admin: Client) -> None:
        head = shop.head()
        assert_problem(admin.get("/admin/jobs/no-such-job/runs"), 404, "JOB_NOT_FOUND")
        assert_problem(admin.post("/admin/jobs/no-such-job/run"), 404, "JOB_NOT_FOUND")
        assert shop.head() == head


class TestARunThatIsAskedFor:
    def test_is_made_within_seconds_and_in_the_audit_with_who_asked(
        self, scheduled: Shop, admin: Client, auditor: Client
    ) -> None:
        name = "sweep-command-results"  # due once an hour
        before = {run["id"] for run in runs(admin, name)}
        key = {"Idempotency-Key": uuid.uuid4().hex}
        asked = admin.post(f"/admin/jobs/{name}/run", headers=key)
        assert (asked.status_code, asked.json()["name"]) == (202, name)
        soon(lambda: bool({run["id"] for run in runs(admin, name)} - before), "the run")
        soon(lambda: runs(admin, name)[0]["outcome"] == "succeeded", "its end")
        assert jobs(admin)[name]["failuresInARow"] == 0
        again = admin.post(f"/admin/jobs/{name}/run", headers=key)
        assert (again.status_code, again.json()) == (202, asked.json())
        assert again.headers["idempotency-replayed"] == "true"
        trail = auditor.get(
            "/audit/events",
            params={"type": "job_run_requested", "limit": 100},
            headers={"X-Min-Log-Position": asked.headers["x-log-position"]},
        ).json()["events"]
        (requested,) = [event for event in trail if event["position"] == int(asked.headers["x-log-position"])]
        me = admin.get("/me").json()["uuid"]
        assert (requested["actor"], requested["data"]["job"]) == (f"user:{me}", name)
