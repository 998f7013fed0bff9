"""What people do with their own accounts, over HTTP."""

import uuid
from datetime import timedelta
from typing import Any
from uuid import UUID

import httpx
import pytest

from api.authentication import RECENTLY
from application.accounts.people import Origin, SignedIn, session_started
from application.bootstrap import write_side
from application.ports import Metadata
from domain.accounts.account import ACCOUNTS
from domain.accounts.session import SESSIONS
from domain.kernel import AccountId
from tests.api.shop import PASSWORD, Client, Shop, a_registration, assert_problem, soon

ADDRESS = {
    "label": "Home",
    "firstName": "John",
    "lastName": "Doe",
    "address": "123 Main St",
    "city": "New York",
    "state": "NY",
    "zipCode": "10001",
    "country": "USA",
    "phone": "+1234567890",
    "isDefault": False,
}


def after(response: httpx.Response) -> dict[str, str]:
    """For somebody else who must see that."""
    return {"X-Min-Log-Position": response.headers["x-log-position"]}


class Person:
    """Somebody who has signed up."""

    def __init__(self, shop: Shop, path: str = "/auth/register") -> None:
        self.shop = shop
        self.registration = a_registration()
        self.answer = shop.guest.made(path, self.registration)
        self.email: str = self.registration["email"]
        self.user: dict[str, Any] = self.answer["user"]
        self.id: int = self.user["id"]
        self.client = shop.client(self.answer["token"])

    def me(self, **headers: str) -> dict[str, Any]:
        seen: dict[str, Any] = self.client.get("/users/me", headers=headers).json()
        return seen

    def log_in(self, password: str = PASSWORD) -> Client:
        return self.shop.client(
            self.shop.guest.made("/auth/login", {"email": self.email, "password": password})["token"]
        )


async def token_of_an_old_session(shop: Shop, person: Person) -> str:
    """Of one that began when nobody would call it recent any more."""
    async with write_side(shop.settings) as write:
        account_id = AccountId(UUID(person.user["uuid"]))
        account = (await write.store.load(ACCOUNTS, account_id)).present
        now = write.clock.now()
        started = session_started(account, now - RECENTLY, timedelta(days=7), Origin(), "password")
        session = await write.store.change(
            SESSIONS, started.session_id, lambda _: [started], Metadata(actor="tests")
        )
        return write.tokens.access(SignedIn(account=account, session=session.state), now)


@pytest.fixture
def jane(shop: Shop) -> Person:
    return Person(shop)


class TestProfile:
    def test_the_body_has_every_documents_words(self, jane: Person) -> None:
        me = jane.me()
        assert me["name"] == me["fullName"] == me["displayName"] == "Jane Smith"
        assert me["role"] == "user"
        assert me["emailVerified"] is False
        assert me["preferences"] == {
            "theme": "light",
            "notifications": True,
            "emailNotifications": True,
            "currency": "USD",
            "language": "en",
        }
        assert me["profile"]["preferences"] == me["preferences"]
        # S2's texts are never null (C59), and nothing tells how one proves who one is.
        assert [name for name, value in me.items() if value is None] == ["age", "seller"]
        assert not {"password", "passwordHash", "identities", "refreshToken"} & me.keys()
        assert {"createdAt", "updatedAt"} <= me.keys()

    def test_snake_case_for_whoever_asks(self, jane: Person) -> None:
        snake = jane.client.get("/me", headers={"Accept": "application/json; case=snake"}).json()
        assert snake["full_name"] == "Jane Smith"
        assert snake["profile"]["avatar_url"] == ""

    @pytest.mark.parametrize("method", ["PUT", "PATCH"])
    @pytest.mark.parametrize("path", ["/users/me", "/users/profile", "/me"])
    def test_every_path_and_method_changes_what_is_given(self, jane: Person, method: str, path: str) -> None:
        body = {"first_name": "Janet", "phone": "+1987654321", "interests": ["tech", "fashion"], "age": 30}
        changed = jane.client(method, path, json=body)
        assert changed.status_code == 200
        me = jane.me()
        assert (
            me.items()
            >= {
                "firstName": "Janet",
                "lastName": "Smith",
                "phone": "+1987654321",
                "age": 30,
                "interests": ["tech", "fashion"],
            }.items()
        )
        answer = changed.json()
        assert {**answer, "updatedAt": me["updatedAt"]} == me

    def test_null_clears(self, jane: Person) -> None:
        jane.client.patch("/users/me", {"bio": "Hi", "age": 30, "avatarUrl": "https://example.com/a.png"})
        cleared = jane.client.patch("/users/me", {"bio": None, "age": None, "avatar": None}).json()
        assert (cleared["bio"], cleared["age"], cleared["image"]) == ("", None, "")

    def test_a_name_in_one_piece(self, jane: Person) -> None:
        changed = jane.client.patch("/users/me", {"name": "Ada King Lovelace"}).json()
        assert (changed["firstName"], changed["lastName"]) == ("Ada", "King Lovelace")

    @pytest.mark.parametrize(
        ("body", "fields"),
        [
            ({"firstName": "J"}, ["firstName"]),
            ({"firstName": None}, ["firstName"]),
            ({"lastName": "x" * 51, "age": 151, "gender": 5}, ["lastName", "age", "gender"]),
            ({"email": "nobody", "username": "a b"}, ["email", "username"]),
            ({"username": "12345"}, ["username"]),
            ({"username": "me1", "age": "30"}, ["age"]),
            ({"image": "javascript:alert(1)"}, ["image"]),
            ({"interests": ["x" * 51]}, ["interests[0]"]),
            ({"password": "short"}, ["password"]),
        ],
    )
    def test_faults_are_named_and_nothing_changes(
        self, jane: Person, shop: Shop, body: dict[str, Any], fields: list[str]
    ) -> None:
        head = shop.head()
        assert_problem(jane.client.patch("/users/me", body), 400, "VALIDATION_ERROR", *fields)
        assert shop.head() == head

    def test_what_somebody_else_has_is_refused(self, jane: Person, shop: Shop) -> None:
        other = Person(shop)
        head = shop.head()
        taken = {"email": other.email.upper()}
        assert_problem(jane.client.patch("/users/me", taken), 409, "EMAIL_EXISTS", "email")
        taken = {"username": other.user["username"].upper()}
        assert_problem(jane.client.patch("/users/me", taken), 409, "USERNAME_EXISTS", "username")
        assert shop.head() == head

    def test_a_new_address_has_to_be_proved_and_the_old_one_is_told(self, jane: Person, shop: Shop) -> None:
        first = shop.mail_token(shop.mail(jane.email, "onfirm"))
        assert shop.guest.made("/auth/verify-email", {"token": first}) == {"message": "Email verified"}
        assert jane.me()["emailVerified"] is True
        new = f"new-{jane.email}"
        changed = jane.client("PUT", "/users/me", json={"email": new}).json()
        assert (changed["email"], changed["emailVerified"]) == (new, False)
        token = shop.mail_token(shop.mail(new, "onfirm"))
        assert_problem(shop.guest.post("/auth/verify-email", {"token": first}), 400, "INVALID_TOKEN")
        for _ in range(2):
            shop.guest.made("/auth/verify-email", {"token": token})
        assert jane.me()["emailVerified"] is True
        assert shop.mail(jane.email, "changed") is not None
        assert_problem(jane.client.post("/auth/verify-email/resend"), 409, "EMAIL_ALREADY_VERIFIED")

    def test_a_link_is_sent_again_and_the_first_one_is_no_good_then(self, jane: Person, shop: Shop) -> None:
        first = shop.mail_token(shop.mail(jane.email, "onfirm"))
        assert jane.client.post("/auth/verify-email/resend").status_code == 202
        soon(lambda: len(shop.mails(jane.email)) == 2, "the second mail")
        second = shop.mail_token(shop.mails(jane.email)[-1])
        head = shop.head()
        for token in (first, "nonsense", second[:-1]):
            assert_problem(shop.guest.post("/auth/verify-email", {"token": token}), 400, "INVALID_TOKEN")
        assert shop.head() == head
        shop.guest.made("/auth/verify-email", {"token": second})

    def test_a_new_password_takes_the_old_one_or_a_recent_sign_in(self, jane: Person, shop: Shop) -> None:
        wrong = {"password": "Another1x", "currentPassword": "wrong"}
        assert_problem(jane.client.patch("/users/me", wrong), 400, "INVALID_CREDENTIALS", "currentPassword")
        assert jane.client.patch("/users/me", {"password": "Another1x"}).status_code == 200
        jane.log_in("Another1x")

    def test_another_address_takes_the_password_or_a_recent_sign_in(self, jane: Person, shop: Shop) -> None:
        """Whoever reads its mail can have the account by it: the same as a new password then."""
        found = shop.client(shop.run(token_of_an_old_session(shop, jane)))
        new = {"email": f"new-{jane.email}"}
        head = shop.head()
        for path in ("/users/me", "/users/profile", "/me"):
            assert_problem(found.patch(path, new), 403, "REAUTH_REQUIRED")
        assert shop.head() == head
        wrong = {**new, "currentPassword": "wrong"}
        assert_problem(found.patch("/users/me", wrong), 400, "INVALID_CREDENTIALS", "currentPassword")
        assert found.patch("/users/me", {"email": jane.email, "firstName": "Janet"}).status_code == 200
        assert jane.me()["email"] == jane.email
        assert found.patch("/users/me", {**new, "currentPassword": PASSWORD}).status_code == 200
        assert jane.client.patch("/users/me", {"email": jane.email}).status_code == 200


class TestPreferencesAndPrivacy:
    @pytest.mark.parametrize("method", ["PUT", "PATCH"])
    def test_preferences(self, jane: Person, method: str) -> None:
        wanted = {"theme": "dark", "email_notifications": False, "currency": "EUR"}
        changed = jane.client(method, "/users/me/preferences", json=wanted)
        assert changed.json() == jane.client.get("/users/me/preferences").json()
        assert changed.json() == {
            "theme": "dark",
            "notifications": True,
            "emailNotifications": False,
            "currency": "EUR",
            "language": "en",
        }

    def test_what_preferences_there_are(self, jane: Person, shop: Shop) -> None:
        head = shop.head()
        wrong = {"theme": "blue", "notifications": "yes", "currency": "euro", "language": "english"}
        refused = jane.client("PUT", "/users/me/preferences", json=wrong)
        assert_problem(refused, 400, "VALIDATION_ERROR", "theme", "notifications", "currency", "language")
        assert shop.head() == head

    def test_privacy_is_what_others_see(self, jane: Person, shop: Shop) -> None:
        other = Person(shop).client
        changed = jane.client.patch("/users/me", {"bio": "Hi", "phone": "+1"})

        def seen(reference: object = jane.id) -> dict[str, Any]:
            body: dict[str, Any] = other.get(f"/users/{reference}", headers=after(changed)).json()
            return body

        body = seen()
        assert (body["firstName"], body["bio"], body["email"], body["phone"]) == ("Jane", "Hi", "", "")
        assert body == seen(jane.user["uuid"]) == seen(jane.user["username"])
        assert not {"preferences", "addresses", "role", "gender", "age"} & body.keys()
        wanted = {"show_email": True, "showPhone": True, "showName": False}
        changed = jane.client.patch("/users/me/privacy", wanted)
        shown = seen()
        assert (shown["firstName"], shown["email"], shown["phone"]) == ("", jane.email, "+1")
        changed = jane.client.patch("/users/me/privacy", {"profileVisible": False})
        assert changed.json() == jane.client.get("/users/me/privacy").json()
        body = seen()
        assert body.keys() == shown.keys()
        assert {name for name, value in body.items() if value} == {"id", "uuid", "username"}
        assert jane.client.get(f"/users/{jane.id}").json()["bio"] == "Hi"

    def test_who_is_nobody(self, jane: Person, shop: Shop) -> None:
        for reference in (99999999, uuid.uuid4(), "nobody-of-that-name"):
            assert_problem(jane.client.get(f"/users/{reference}"), 404, "USER_NOT_FOUND")
        assert_problem(shop.guest.get(f"/users/{jane.id}"), 401, "UNAUTHORIZED")


class TestAddresses:
    @pytest.mark.parametrize("path", ["/users/me/addresses", "/users/addresses"])
    @pytest.mark.parametrize(
        "body",
        [
            ADDRESS,
            {
                "full_name": "John Doe",
                "address_line1": "123 Main St",
                "city": "New York",
                "state": "NY",
                "postal_code": "10001",
                "country": "USA",
                "is_default": True,
            },
            {"label": "Home", "line1": "123 Main St", "city": "New York", "zip": "10001", "country": "USA"},
            {
                "name": "John Doe",
                "address": "123 Main St",
                "city": "New York",
                "post_code": "10001",
                "country": "USA",
            },
        ],
    )
    def test_every_spelling_under_every_path(self, jane: Person, path: str, body: dict[str, Any]) -> None:
        response = jane.client.post(path, body)
        assert response.status_code == 201
        address = response.json()
        assert address["address"] == address["addressLine1"] == address["line1"] == "123 Main St"
        assert address["zipCode"] == address["postalCode"] == address["zip"] == "10001"
        assert address["fullName"] == f"{address['firstName']} {address['lastName']}".strip()
        assert (address["userId"], address["isDefault"]) == (jane.id, True)
        assert isinstance(address["id"], int)
        assert jane.client.get(path).json() == [address]
        assert jane.client.get(f"{path}/{address['uuid']}").json() == address
        assert jane.me()["addresses"] == [address]

    @pytest.mark.parametrize("method", ["PUT", "PATCH"])
    def test_changing_and_removing(self, jane: Person, method: str) -> None:
        first = jane.client.made("/users/me/addresses", ADDRESS)
        second = jane.client.made("/users/me/addresses", {**ADDRESS, "label": "Work"})
        path = f"/users/me/addresses/{second['id']}"
        changed = jane.client(method, path, json={"city": "Boston", "isDefault": True}).json()
        assert changed.items() >= {"city": "Boston", "label": "Work", "isDefault": True}.items()
        assert [each["isDefault"] for each in jane.client.get("/users/addresses").json()] == [False, True]
        removed = jane.client("DELETE", f"/users/addresses/{second['uuid']}")
        assert (removed.status_code, removed.content) == (204, b"")
        assert (
            jane.client.get("/users/me/addresses").json()[0].items()
            >= {
                "id": first["id"],
                "isDefault": True,
            }.items()
        )
        assert_problem(jane.client.get(path), 404, "ADDRESS_NOT_FOUND")

    def test_what_is_missing_is_named(self, jane: Person, shop: Shop) -> None:
        head = shop.head()
        refused = jane.client.post("/users/me/addresses", {"label": "Home", "phone": 5})
        assert_problem(refused, 400, "VALIDATION_ERROR", "address", "city", "zipCode", "country", "phone")
        assert shop.head() == head

    def test_those_of_others_are_not_there(self, jane: Person, shop: Shop) -> None:
        address = jane.client.made("/users/me/addresses", ADDRESS)
        other = Person(shop).client
        head = shop.head()
        for reference in (address["id"], address["uuid"], "home"):
            path = f"/users/me/addresses/{reference}"
            assert_problem(other.get(path), 404, "ADDRESS_NOT_FOUND")
            assert_problem(other.patch(path, {"city": "x"}), 404, "ADDRESS_NOT_FOUND")
            assert_problem(other("DELETE", path), 404, "ADDRESS_NOT_FOUND")
        assert shop.head() == head


class TestSessions:
    def test_are_listed_and_ended_one_by_one(self, jane: Person, shop: Shop) -> None:
        phone = shop.guest.made(
            "/auth/login", {"email": jane.email, "password": PASSWORD}, headers={"User-Agent": "Phone 1.0"}
        )
        listed = jane.client.get("/auth/sessions").json()
        assert [(each["current"], each["device"] == "Phone 1.0") for each in listed] == [
            (False, True),
            (True, False),
        ]
        assert listed[0]["ip"] == "127.0.0.1"
        assert {"createdAt", "lastSeenAt", "expiresAt", "userAgent", "method"} <= listed[0].keys()
        path = f"/auth/sessions/{listed[0]['id']}"
        assert_problem(Person(shop).client("DELETE", path), 404, "SESSION_NOT_FOUND")
        assert_problem(jane.client("DELETE", "/auth/sessions/5"), 404, "SESSION_NOT_FOUND")
        for _ in range(2):
            assert jane.client("DELETE", path).status_code == 204
        assert_problem(shop.client(phone["token"]).get("/me"), 401, "UNAUTHORIZED")
        refused = shop.guest.post("/auth/refresh", {"refreshToken": phone["refreshToken"]})
        assert_problem(refused, 401, "UNAUTHORIZED")
        assert [each["current"] for each in jane.client.get("/auth/sessions").json()] == [True]

    def test_all_others_end_at_once(self, jane: Person, shop: Shop) -> None:
        others = [jane.log_in() for _ in range(3)]
        assert jane.client("DELETE", "/auth/sessions").status_code == 204
        for other in others:
            assert_problem(other.get("/me"), 401, "UNAUTHORIZED")
        assert len(jane.client.get("/auth/sessions").json()) == 1
        assert jane.log_in().get("/me").status_code == 200

    def test_an_expired_token_may_sign_out_with_its_refresh_token(self, jane: Person, shop: Shop) -> None:
        refresh = {"refresh_token": jane.answer["refreshToken"]}
        assert shop.client("nonsense").made("/auth/logout", refresh) == {"message": "Logged out successfully"}
        assert_problem(jane.client.get("/me"), 401, "UNAUTHORIZED")

    def test_a_shorter_life_can_be_asked_for_and_no_longer_one(self, jane: Person, shop: Shop) -> None:
        login = {"username": jane.user["username"], "password": PASSWORD}
        for asked, given in ((1, 60), (45, 2700), (600, 3600)):
            assert shop.guest.made("/auth/login", {**login, "expiresInMins": asked})["expiresIn"] == given
        assert_problem(
            shop.guest.post("/auth/login", {**login, "expiresInMins": 0}),
            400,
            "VALIDATION_ERROR",
            "expiresInMins",
        )


class TestPasswords:
    def test_changing_ends_all_other_sessions(self, jane: Person) -> None:
        other = jane.log_in()
        body = {"currentPassword": PASSWORD, "newPassword": "NewSecurePass456"}
        assert jane.client.made("/auth/change-password", body) == {"message": "Password changed successfully"}
        assert_problem(other.get("/me"), 401, "UNAUTHORIZED")
        assert jane.client.get("/me").status_code == 200
        again = {"currentPassword": "NewSecurePass456", "newPassword": "EvenNewer789"}
        key = {"Idempotency-Key": uuid.uuid4().hex}
        retried = [jane.client.post("/auth/change-password", again, headers=key) for _ in range(2)]
        assert [each.status_code for each in retried] == [200, 200]
        jane.client.made(
            "/auth/change-password", {"currentPassword": "EvenNewer789", "newPassword": "NewSecurePass456"}
        )
        refused = jane.client.post("/auth/change-password", body)
        assert_problem(refused, 400, "INVALID_CREDENTIALS", "currentPassword")
        weak = {"current_password": "NewSecurePass456", "new_password": "weak"}
        assert_problem(
            jane.client.post("/auth/change-password", weak), 400, "VALIDATION_ERROR", "newPassword"
        )
        jane.log_in("NewSecurePass456")

    def test_forgotten_asked_for_and_set_anew(self, jane: Person, shop: Shop) -> None:
        answers = [
            shop.guest.made("/auth/forgot-password", {"email": email})
            for email in (jane.email, f"nobody-{jane.email}")
        ]
        assert answers == [{"message": "Password reset email sent"}] * 2
        token = shop.mail_token(shop.mail(jane.email, "assword"))
        assert shop.mails(f"nobody-{jane.email}") == []
        weak = shop.guest.post("/auth/reset-password", {"token": token, "newPassword": "weak"})
        assert_problem(weak, 400, "VALIDATION_ERROR", "newPassword")
        body = {"token": token, "password": "NewSecurePass456"}
        assert shop.guest.made("/auth/reset-password", body) == {"message": "Password reset successfully"}
        assert_problem(jane.client.get("/me"), 401, "UNAUTHORIZED")
        for used in (
            body,
            {**body, "token": "x"},
            {**body, "token": shop.mail_token(shop.mail(jane.email, "onfirm"))},
        ):
            assert_problem(shop.guest.post("/auth/reset-password", used), 400, "INVALID_TOKEN")
        again = jane.log_in("NewSecurePass456")
        assert again.get("/me").json()["emailVerified"] is True

    def test_too_many_failures_lock_whoever_that_is(self, jane: Person, shop: Shop) -> None:
        for email in (jane.email, f"nobody-{jane.email}"):
            for _ in range(5):
                refused = shop.guest.post("/auth/login", {"email": email, "password": "Wrong1Password"})
                assert_problem(refused, 400, "INVALID_CREDENTIALS")
            head = shop.head()
            locked = shop.guest.post("/auth/login", {"email": email, "password": PASSWORD})
            problem = assert_problem(locked, 423, "ACCOUNT_LOCKED")
            assert 880 < problem["details"]["retryAfter"] <= 900
            assert locked.headers["retry-after"] == str(problem["details"]["retryAfter"])
            assert shop.head() == head
        assert jane.client.get("/me").status_code == 200


class TestLeaving:
    def test_by_password_and_back_by_link(self, jane: Person, shop: Shop) -> None:
        assert_problem(jane.client.post("/users/me/delete", {}), 400, "VALIDATION_ERROR", "password")
        wrong = {"password": "Wrong1Password", "reason": "No longer needed"}
        head = shop.head()
        assert_problem(jane.client.post("/users/me/delete", wrong), 400, "INVALID_CREDENTIALS", "password")
        assert shop.head() == head + 1  # that somebody guessed
        right = {"password": PASSWORD, "reason": "No longer needed"}
        assert jane.client.made("/users/me/delete", right) == {"message": "Account scheduled for deletion"}
        assert_problem(jane.client.get("/me"), 401, "UNAUTHORIZED")
        login = shop.guest.post("/auth/login", {"email": jane.email, "password": PASSWORD})
        assert_problem(login, 403, "ACCOUNT_DELETION_SCHEDULED", "eraseAfter")
        seen = Person(shop).client.get(f"/users/{jane.id}")
        assert_problem(seen, 404, "USER_NOT_FOUND")
        taken = shop.guest.post("/auth/register", a_registration() | {"email": jane.email})
        assert_problem(taken, 409, "EMAIL_EXISTS", "email")
        token = shop.mail_token(shop.mail(jane.email, "delet"))
        assert shop.guest.made("/users/me/restore", {"token": token}) == {"message": "Account restored"}
        assert_problem(shop.guest.post("/users/me/restore", {"token": token}), 422, "DELETION_NOT_SCHEDULED")
        jane.log_in()

    def test_by_a_recent_sign_in_and_back_by_password(self, jane: Person, shop: Shop) -> None:
        gone = jane.client("DELETE", "/users/me")
        assert gone.json() == {"message": "Account scheduled for deletion"}
        assert_problem(shop.guest.post("/users/me/restore", {}), 400, "VALIDATION_ERROR", "token")
        wrong = {"email": jane.email, "password": "Wrong1Password"}
        assert_problem(shop.guest.post("/users/me/restore", wrong), 400, "INVALID_CREDENTIALS")
        shop.guest.made("/users/me/restore", {"username": jane.user["username"], "password": PASSWORD})
        jane.log_in()

    def test_an_export_has_everything_and_no_secret(self, jane: Person) -> None:
        jane.client.made("/users/me/addresses", ADDRESS)
        jane.client.patch("/users/me", {"bio": "Collects stamps"})
        response = jane.client.get("/users/me/export")
        assert response.headers["content-disposition"] == f'attachment; filename="tradelog-{jane.id}.json"'
        held = response.json()
        assert held["account"]["addresses"][0]["address"] == "123 Main St"
        assert held["sessions"][0]["current"] is True
        assert (held["orders"], held["reviews"], held["following"], held["shop"]) == ([], [], [], None)
        history = {event["type"]: event["data"] for event in held["history"]}
        assert history["account_registered"]["email"] == jane.email
        assert history["account_registered"]["passwordHash"] == "***"
        assert history["profile_updated"]["profile"]["bio"] == "Collects stamps"
        assert "argon2" not in response.text

    def test_an_export_tells_of_ended_sessions_and_failures_and_of_nobody_else(
        self, jane: Person, shop: Shop, admin: Client
    ) -> None:
        login = {"email": jane.email, "password": PASSWORD}
        there = {"User-Agent": "A phone that was lost"}
        lost = shop.client(shop.guest.made("/auth/login", login, headers=there)["token"])
        assert lost.post("/auth/logout").status_code in {200, 204}
        assert shop.guest.post("/auth/login", {**login, "password": "Wrong1Password"}).status_code == 400
        flagged = admin(
            "PUT", f"/admin/users/{jane.id}/flags", json={"flags": ["vip"], "note": "writes poems"}
        )
        assert flagged.status_code == 200
        exported = jane.client.get("/users/me/export", headers=after(flagged))
        history = {event["type"]: event for event in exported.json()["history"]}
        assert "A phone that was lost" in exported.text
        assert history["login_failed"]["data"]["failedAt"]
        assert history["account_flagged"]["data"]["note"] == "writes poems"
        assert history["account_flagged"]["actor"] == "staff"
        assert admin.get("/me").json()["uuid"] not in exported.text
