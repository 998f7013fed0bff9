"""How admins look after people, over HTTP."""

import uuid
from typing import Any

import jwt

from domain.accounts.events import Role
from tests.api.shop import PASSWORD, Client, Shop, assert_problem, soon
from tests.api.test_users import Person, after


class TestFinding:
    def test_in_both_shapes(self, shop: Shop, admin: Client) -> None:
        people = [Person(shop) for _ in range(3)]
        found = admin.get("/admin/users", params={"q": people[0].email[:12].upper()}).json()
        assert [user["id"] for user in found["users"]] == [people[0].id]
        assert found["users"][0].items() >= {"status": "active", "deleted": False, "flags": []}.items()
        assert (found["total"], found["skip"], found["limit"]) == (1, 0, 10)
        page = admin.get("/admin/users", params={"page": 1, "limit": 2}).json()
        assert len(page["data"]) == 2
        assert page["pagination"].items() >= {"page": 1, "limit": 2}.items()
        assert page["pagination"]["pages"] == -(-page["pagination"]["total"] // 2)

    def test_by_role_and_what_is_wrong_with_a_question(self, admin: Client) -> None:
        admins = admin.get("/admin/users", params={"role": "ADMIN", "limit": 0}).json()["users"]
        assert {user["role"] for user in admins} == {"admin"}
        for query, field in (
            ("role=king", "role"),
            ("limit=-1", "limit"),
            ("page=0", "page"),
            ("deleted=x", "deleted"),
        ):
            assert_problem(admin.get(f"/admin/users?{query}"), 400, "VALIDATION_ERROR", field)

    def test_is_for_admins(self, shop: Shop) -> None:
        jane = Person(shop)
        for method, path in (
            ("GET", "/admin/users"),
            ("GET", f"/admin/users/{jane.id}"),
            ("DELETE", f"/admin/users/{jane.id}"),
            ("POST", f"/admin/users/{jane.id}/restore"),
        ):
            assert_problem(shop.guest(method, path), 401, "UNAUTHORIZED")
            assert_problem(jane.client(method, path), 403, "FORBIDDEN")


class TestDeleting:
    def test_signs_out_at_once_and_is_taken_back(self, shop: Shop, admin: Client) -> None:
        jane = Person(shop)
        path = f"/admin/users/{jane.id}"
        gone = admin("DELETE", path, json={"reason": "fraud"})
        assert (gone.status_code, gone.content) == (204, b"")
        assert_problem(jane.client.get("/me"), 401, "UNAUTHORIZED")
        login = {"email": jane.email, "password": PASSWORD}
        assert_problem(shop.guest.post("/auth/login", login), 403, "ACCOUNT_SUSPENDED")
        assert_problem(
            shop.guest.post("/auth/login", {**login, "password": "Wrong1Password"}),
            400,
            "INVALID_CREDENTIALS",
        )
        assert_problem(Person(shop).client.get(f"/users/{jane.id}"), 404, "USER_NOT_FOUND")
        seen = admin.get(path).json()
        assert (seen["status"], seen["deleted"]) == ("suspended", True)
        deleted = admin.get("/admin/users", params={"deleted": "true", "q": jane.email}).json()
        assert [user["id"] for user in deleted["users"]] == [jane.id]
        assert admin.made(f"{path}/restore")["id"] == jane.id
        assert_problem(admin.post(f"{path}/restore"), 409, "ACCOUNT_NOT_DELETED")
        jane.log_in()

    def test_not_oneself_and_nobody_who_is_not_there(self, shop: Shop, admin: Client) -> None:
        me = admin.get("/me").json()["id"]
        head = shop.head()
        assert_problem(admin("DELETE", f"/admin/users/{me}"), 422, "OWN_ACCOUNT")
        for reference in (99999999, uuid.uuid4(), "nobody-of-that-name"):
            assert_problem(admin("DELETE", f"/admin/users/{reference}"), 404, "USER_NOT_FOUND")
        assert shop.head() == head

    def test_who_asked_to_be_deleted_can_be_kept(self, shop: Shop, admin: Client) -> None:
        jane = Person(shop)
        asked = jane.client.post("/users/me/delete", {"password": PASSWORD})
        seen = admin.get(f"/admin/users/{jane.id}", headers=after(asked)).json()
        assert seen["status"] == "deletion_scheduled"
        assert seen["eraseAfter"] > seen["createdAt"]
        admin.made(f"/admin/users/{jane.id}/restore")
        jane.log_in()


class TestRoles:
    def test_hold_at_once_with_the_token_that_one_has(self, shop: Shop, admin: Client) -> None:
        jane = Person(shop)
        path = f"/admin/users/{jane.user['uuid']}/role"
        assert admin.patch(path, {"role": "ADMIN"}).json()["role"] == "admin"
        assert jane.client.get("/admin/users").status_code == 200
        assert admin.patch(path, {"role": "user"}).json()["roles"] == ["user"]
        assert_problem(jane.client.get("/admin/users"), 403, "FORBIDDEN")

    def test_a_seller_gets_a_shop_and_loses_it(self, shop: Shop, admin: Client) -> None:
        jane = Person(shop)
        path = f"/admin/users/{jane.id}/role"
        made = admin.patch(path, {"role": "seller"})
        assert made.json()["roles"] == ["seller", "user"]
        assert jane.me(**after(made))["seller"].items() >= {"kind": "personal", "status": "verified"}.items()
        for role, status in (("user", "suspended"), ("seller", "verified")):
            changed = admin.patch(path, {"role": role})
            assert jane.me(**after(changed))["seller"]["status"] == status

    def test_not_ones_own_and_only_those_there_are(self, shop: Shop, admin: Client) -> None:
        me, jane = admin.get("/me").json()["id"], Person(shop)
        head = shop.head()
        assert_problem(admin.patch(f"/admin/users/{me}/role", {"role": "user"}), 422, "OWN_ROLE")
        assert_problem(
            admin.patch(f"/admin/users/{jane.id}/role", {"role": "king"}), 400, "VALIDATION_ERROR", "role"
        )
        assert_problem(jane.client.patch(f"/admin/users/{jane.id}/role", {"role": "admin"}), 403, "FORBIDDEN")
        assert shop.head() == head


REASON = {"reason": "Ticket 4711: cannot check out"}


class TestActingAsSomebody:
    def acting(self, shop: Shop, admin: Client, jane: Person) -> tuple[dict[str, Any], Client]:
        answer = admin.made(f"/admin/users/{jane.id}/impersonate", REASON)
        return answer, shop.client(answer["token"])

    def test_bears_both_names_and_is_seen_by_whom_it_happens_to(self, shop: Shop, admin: Client) -> None:
        jane = Person(shop)
        answer, acting = self.acting(shop, admin, jane)
        assert (answer["expiresIn"], answer["user"]["id"]) == (900, jane.id)
        assert not {"refreshToken"} & answer.keys()
        claims = jwt.decode(answer["token"], options={"verify_signature": False})
        boss = admin.get("/me").json()
        assert (claims["uid"], claims["act"]) == (jane.user["uuid"], {"sub": boss["uuid"]})
        changed = acting.patch("/users/me", {"bio": "Helped"})
        assert changed.status_code == 200
        assert jane.me(**after(changed))["bio"] == "Helped"
        auditor = shop.staff(Role.AUDITOR)
        events = auditor.get(
            "/audit/events", params={"stream": jane.user["uuid"], "limit": 100}, headers=after(changed)
        ).json()["events"]
        assert [(event["actor"], event["impersonator"]) for event in events[-2:]] == [
            (f"user:{boss['uuid']}", None),
            (f"user:{jane.user['uuid']}", f"user:{boss['uuid']}"),
        ]
        assert events[-2]["type"] == "impersonation_started"
        listed = jane.client.get("/auth/sessions", headers=after(changed)).json()
        assert [session["method"] for session in listed] == ["impersonation", "registration"]

    def test_does_nothing_that_is_theirs_alone(self, shop: Shop, admin: Client) -> None:
        jane = Person(shop)
        _, acting = self.acting(shop, admin, jane)
        head = shop.head()
        for method, path, body in (
            ("POST", "/auth/change-password", {"currentPassword": PASSWORD, "newPassword": "Another123"}),
            ("PATCH", "/users/me", {"password": "Another123"}),
            ("PUT", "/users/me", {"email": "other@example.com"}),
            ("POST", "/users/me/delete", {"password": PASSWORD}),
            ("DELETE", "/users/me", {}),
            ("GET", "/users/me/export", None),
            ("DELETE", "/auth/sessions", None),
            ("GET", "/admin/users", None),
        ):
            assert_problem(acting(method, path, json=body), 403, "FORBIDDEN")
        assert shop.head() == head

    def test_ends_with_the_admins_role_and_at_their_sign_out_of_it(self, shop: Shop, admin: Client) -> None:
        jane, helper = Person(shop), Person(shop)
        admin.patch(f"/admin/users/{helper.id}/role", {"role": "admin"})
        _, acting = self.acting(shop, helper.client, jane)
        assert acting.get("/me").json()["id"] == jane.id
        admin.patch(f"/admin/users/{helper.id}/role", {"role": "user"})
        soon(lambda: acting.get("/me").status_code == 401, "the end of it", within=2)
        _, acting = self.acting(shop, admin, jane)
        assert acting.post("/auth/logout").status_code == 200
        assert_problem(acting.get("/me"), 401, "UNAUTHORIZED")
        assert jane.client.get("/me").status_code == 200

    def test_never_as_an_admin_and_never_without_a_reason(self, shop: Shop, admin: Client) -> None:
        jane, boss = Person(shop), Person(shop)
        admin.patch(f"/admin/users/{boss.id}/role", {"role": "admin"})
        head = shop.head()
        path = f"/admin/users/{jane.id}/impersonate"
        assert_problem(admin.post(path, {}), 400, "VALIDATION_ERROR", "reason")
        assert_problem(admin.post(f"/admin/users/{boss.id}/impersonate", REASON), 403, "FORBIDDEN")
        assert_problem(jane.client.post(path, REASON), 403, "FORBIDDEN")
        assert_problem(admin.post("/admin/users/99999999/impersonate", REASON), 404, "USER_NOT_FOUND")
        assert shop.head() == head


def test_flags(shop: Shop, admin: Client) -> None:
    jane = Person(shop)
    path = f"/admin/users/{jane.id}/flags"
    assert admin("PUT", path, json={"flags": ["spam", "spam", "vip"], "note": "seen"}).json() == {
        "flags": ["spam", "vip"]
    }
    assert admin.get(f"/admin/users/{jane.id}").json()["flags"] == ["spam", "vip"]
    assert_problem(admin("PUT", path, json={"flags": "spam"}), 400, "VALIDATION_ERROR", "flags")
    assert shop.staff(Role.AUDITOR)("PUT", path, json={"flags": []}).status_code == 403
