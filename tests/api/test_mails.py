"""Mail as operators see it over HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from tests.api.shop import Client, Shop, a_registration, assert_problem, text_of

# Higher than any position in this log: nothing calls for these mails, and no mailer would send them.
CAUSES = range(10**12, 10**12 + 3)
ACCOUNT = uuid4()


@pytest.fixture
def dead(shop: Shop) -> Iterator[range]:
    """Mails that were given up."""
    with psycopg.connect(shop.database_url, autocommit=True) as connection:
        for cause in CAUSES:
            connection.execute(
                "INSERT INTO mails (cause, template, account_id, state, attempts, error) "
                "VALUES (%s, 'verify-email', %s, 'dead', 3, '550 5.1.1')",
                [cause, ACCOUNT],
            )
        yield CAUSES
        connection.execute("DELETE FROM mails WHERE cause >= %s", [CAUSES[0]])


def listed(admin: Client, **query: Any) -> list[dict[str, Any]]:
    answer = admin.get("/admin/mails", params={"after": CAUSES[0] - 1, **query})
    assert answer.status_code == 200, answer.text
    mails: list[dict[str, Any]] = answer.json()["mails"]
    return mails


def state_of(shop: Shop, cause: int) -> str:
    with psycopg.connect(shop.database_url) as connection:
        row = connection.execute("SELECT state FROM mails WHERE cause = %s", [cause]).fetchone()
    assert row is not None
    state: str = row[0]
    return state


def test_dead_letters_are_listed_with_why_and_without_whom(admin: Client, dead: range) -> None:
    mails = listed(admin, state="dead")
    assert [mail["cause"] for mail in mails] == list(dead)
    known = {
        name: mails[0][name] for name in ("template", "accountId", "state", "attempts", "error", "sentAt")
    }
    assert known == {
        "template": "verify-email",
        "accountId": str(ACCOUNT),
        "state": "dead",
        "attempts": 3,
        "error": "550 5.1.1",
        "sentAt": None,
    }
    assert set(mails[0]) == {*known, "cause", "nextAt", "createdAt"}
    assert admin.get("/admin/mails").json()["dead"] >= len(dead)


def test_they_come_in_pages(admin: Client, dead: range) -> None:
    assert [mail["cause"] for mail in listed(admin, limit=2)] == [dead[0], dead[1]]
    assert [mail["cause"] for mail in listed(admin, after=dead[1], limit=2)] == [dead[2]]
    assert listed(admin, state="sent") == []
    assert_problem(admin.get("/admin/mails", params={"state": "lost"}), 400, "VALIDATION_ERROR", "state")
    assert_problem(admin.get("/admin/mails", params={"limit": 101}), 400, "VALIDATION_ERROR", "limit")


def test_one_is_tried_again(admin: Client, dead: range) -> None:
    retried = admin.post(f"/admin/mails/{dead[0]}/verify-email/retry")
    assert retried.status_code == 200, retried.text
    assert (retried.json()["state"], retried.json()["attempts"]) == ("waiting", 0)
    assert [mail["cause"] for mail in listed(admin, state="dead")] == [dead[1], dead[2]]


def test_one_is_given_up_for_good(admin: Client, shop: Shop, dead: range) -> None:
    for _ in range(2):
        dropped = admin.post(f"/admin/mails/{dead[0]}/verify-email/drop")
        assert (dropped.status_code, dropped.json()["state"]) == (200, "dropped")
    assert state_of(shop, dead[0]) == "dropped"


def test_a_repeated_request_is_answered_alike_and_its_key_is_for_nothing_else(
    admin: Client, shop: Shop, dead: range
) -> None:
    headers = {"Idempotency-Key": uuid4().hex}
    path = f"/admin/mails/{dead[0]}/verify-email"
    first = admin.post(f"{path}/retry", headers=headers)
    admin.post(f"{path}/drop")
    again = admin.post(f"{path}/retry", headers=headers)
    assert (again.status_code, again.content) == (first.status_code, first.content)
    assert again.headers["idempotency-replayed"] == "true"
    assert state_of(shop, dead[0]) == "dropped"
    other = admin.post(f"/admin/mails/{dead[1]}/verify-email/retry", headers=headers)
    assert_problem(other, 422, "IDEMPOTENCY_KEY_REUSED")
    assert state_of(shop, dead[1]) == "dead"


@pytest.mark.parametrize(
    "reference", ["7/verify-email", f"{CAUSES[0]}/no-such-mail", "x/verify-email", "-1/x"]
)
def test_what_is_not_there_is_not_found(admin: Client, reference: str) -> None:
    for action in ("retry", "drop"):
        assert_problem(admin.post(f"/admin/mails/{reference}/{action}"), 404, "MAIL_NOT_FOUND")


def test_only_admins_see_or_touch_any_of_it(shop: Shop, auditor: Client, dead: range) -> None:
    for client in (shop.user(), auditor):
        assert_problem(client.get("/admin/mails"), 403, "FORBIDDEN")
        for action in ("retry", "drop"):
            refused = client.post(f"/admin/mails/{dead[0]}/verify-email/{action}")
            assert_problem(refused, 403, "FORBIDDEN")
    assert state_of(shop, dead[0]) == "dead"


class TestWhatComesByMail:
    """From end to end: an event, its mail at a real server, and the link in it back at the API."""

    def test_proves_an_address(self, shop: Shop) -> None:
        person = a_registration()
        registered = shop.guest.made("/auth/register", person)
        assert not registered["user"]["emailVerified"]
        token = shop.mail_token(shop.mail(person["email"], "Confirm"))
        verified = shop.guest.post("/auth/verify-email", {"token": token})
        assert verified.status_code == 200, verified.text
        seen = {"X-Min-Log-Position": verified.headers["x-log-position"]}
        assert shop.client(registered["token"]).get("/me", headers=seen).json()["emailVerified"]
        reset = shop.guest.post("/auth/reset-password", {"token": token, "newPassword": "Another1Password"})
        assert_problem(reset, 400, "INVALID_TOKEN")

    def test_gives_a_new_password_once_and_tells_of_it(self, shop: Shop) -> None:
        person = a_registration()
        shop.guest.made("/auth/register", person)
        assert shop.guest.post("/auth/forgot-password", {"email": person["email"]}).status_code == 200
        token = shop.mail_token(shop.mail(person["email"], "new password"))
        change = {"token": token, "newPassword": "Another1Password"}
        assert shop.guest.post("/auth/reset-password", change).status_code == 200
        login = {"email": person["email"], "password": "Another1Password"}
        assert shop.guest.post("/auth/login", login).status_code == 200
        assert "signed out" in text_of(shop.mail(person["email"], "was changed"))
        assert_problem(shop.guest.post("/auth/reset-password", change), 400, "INVALID_TOKEN")

    def test_gives_an_account_back(self, shop: Shop) -> None:
        person = a_registration()
        owner = shop.client(shop.guest.made("/auth/register", person)["token"])
        body = {"password": person["password"], "reason": "Just so"}
        assert owner("DELETE", "/users/me", json=body).status_code == 200
        token = shop.mail_token(shop.mail(person["email"], "will be deleted"))
        restored = shop.guest.post("/users/me/restore", {"token": token})
        assert restored.status_code == 200, restored.text
        shop.mail(person["email"], "will not be deleted")

    def test_tells_the_old_address_of_a_new_one(self, shop: Shop) -> None:
        person, address = a_registration(), f"{uuid4().hex}@example.com"
        owner = shop.client(shop.guest.made("/auth/register", person)["token"])
        changed = owner.patch("/users/me", {"email": address, "currentPassword": person["password"]})
        assert changed.status_code == 200, changed.text
        notice = text_of(shop.mail(person["email"], "address was changed"))
        assert f"{address[0]}***@example.com" in notice
        assert address not in notice
        token = shop.mail_token(shop.mail(address, "Confirm"))
        assert shop.guest.post("/auth/verify-email", {"token": token}).status_code == 200

    def test_a_stranger_gets_none(self, shop: Shop) -> None:
        stranger = f"{uuid4().hex}@example.com"
        assert shop.guest.post("/auth/forgot-password", {"email": stranger}).status_code == 200
        # What is asked for later has come, so that the former would have come too.
        person = a_registration()
        shop.guest.made("/auth/register", person)
        shop.mail(person["email"], "Confirm")
        assert shop.mails(stranger) == []
