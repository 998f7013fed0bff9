import base64
import uuid
from typing import Any

import httpx
import jwt
import pytest

from tests.api.shop import PASSWORD, Client, Shop, a_registration, assert_problem


class TestSigningUp:
    def test_answers_with_the_user_and_tokens_in_all_spellings(self, shop: Shop) -> None:
        body = a_registration()
        response = shop.guest.post("/auth/register", body)
        assert response.status_code == 201
        answer = response.json()
        assert answer["token"] == answer["accessToken"]
        assert answer["tokenType"] == "Bearer"
        assert answer["expiresIn"] == 900
        assert answer["user"]["role"] == "user"
        for name in ("id", "email", "firstName", "lastName", "username"):
            assert answer[name] == answer["user"][name]
        assert answer["email"] == body["email"]
        assert "password" not in response.text.lower()
        claims = jwt.decode(answer["token"], options={"verify_signature": False})
        assert (claims["sub"], claims["uid"]) == (str(answer["id"]), answer["user"]["uuid"])
        me = shop.client(answer["token"])
        seen = [me.get(path).json() for path in ("/me", "/users/me", "/auth/me")]
        assert seen[0] == seen[1] == seen[2]
        assert seen[0].items() >= answer["user"].items()

    def test_a_full_name_in_snake_case_is_split(self, shop: Shop) -> None:
        body = {"email": a_registration()["email"], "password": PASSWORD, "full_name": "Ada King Lovelace"}
        user = shop.guest.made("/auth/register", body)["user"]
        assert (user["firstName"], user["lastName"]) == ("Ada", "King Lovelace")

    def test_signup_lets_one_sell_at_once(self, shop: Shop) -> None:
        body = {
            "email": a_registration()["email"],
            "password": PASSWORD,
            "username": f"u{a_registration()['email'][:8]}",
        }
        user = shop.guest.made("/auth/signup", body)["user"]
        assert user["roles"] == ["seller", "user"]
        login = {"username": user["username"], "password": PASSWORD}
        assert shop.guest.made("/auth/login", login)["user"]["seller"] == user["seller"]
        assert user["seller"].items() >= {"kind": "personal", "status": "verified"}.items()

    def test_an_email_is_taken_once_whatever_its_case(self, shop: Shop) -> None:
        body = a_registration()
        shop.guest.made("/auth/register", body)
        head = shop.head()
        again = shop.guest.post("/auth/register", body | {"email": body["email"].upper()})
        assert_problem(again, 409, "EMAIL_EXISTS", "email")
        assert shop.head() == head

    def test_all_faults_are_told_at_once_in_the_words_of_the_contract(self, shop: Shop) -> None:
        head = shop.head()
        response = shop.guest.post(
            "/auth/register", {"email": "nobody", "password": "short", "firstName": "J", "age": "9"}
        )
        problem = assert_problem(
            response, 400, "VALIDATION_ERROR", "email", "password", "firstName", "lastName", "age"
        )
        assert problem["message"] == "Validation failed"
        assert problem["details"] == {
            "email": ["Invalid email format"],
            "password": [
                "Must be at least 8 characters",
                "Must contain an uppercase letter",
                "Must contain a number",
            ],
            "firstName": ["Must be at least 2 characters"],
            "lastName": ["Is required"],
            "age": ["Must be an integer"],
        }
        assert_problem(
            shop.guest.post("/auth/register", {}),
            400,
            "VALIDATION_ERROR",
            "email",
            "password",
            "firstName",
            "lastName",
        )
        assert shop.head() == head


class TestSigningIn:
    def test_by_email_or_username_in_either_field(self, shop: Shop) -> None:
        user = shop.guest.made("/auth/register", a_registration())["user"]
        for login in ({"email": user["email"]}, {"username": user["username"]}, {"email": user["username"]}):
            assert shop.guest.made("/auth/login", {**login, "password": PASSWORD})["user"] == user

    @pytest.mark.parametrize("login", ["nobody@example.com", None])
    def test_a_wrong_password_is_told_like_an_unknown_address(self, shop: Shop, login: str | None) -> None:
        email = login or shop.guest.made("/auth/register", a_registration())["email"]
        head = shop.head()
        refused = shop.guest.post("/auth/login", {"email": email, "password": "Another1Password"})
        problem = assert_problem(refused, 400, "INVALID_CREDENTIALS")
        assert (problem["message"], problem["details"]) == ("Email or password incorrect", {})
        assert shop.head() == head + 1  # that somebody tried, whoever they were after


class TestStayingSignedIn:
    def test_a_refresh_token_is_good_once_and_its_reuse_ends_the_family(self, shop: Shop) -> None:
        first = shop.guest.made("/auth/register", a_registration())
        second = shop.guest.made("/auth/refresh", {"refresh_token": first["refreshToken"]})
        third = shop.client(second["refreshToken"]).made("/auth/refresh")
        assert len({one["refreshToken"] for one in (first, second, third)}) == 3
        assert shop.client(third["token"]).get("/me").status_code == 200
        assert_problem(
            shop.guest.post("/auth/refresh", {"refreshToken": first["refreshToken"]}), 401, "UNAUTHORIZED"
        )
        assert_problem(shop.client(third["token"]).get("/me"), 401, "UNAUTHORIZED")
        assert_problem(
            shop.guest.post("/auth/refresh", {"refreshToken": third["refreshToken"]}), 401, "UNAUTHORIZED"
        )

    @pytest.mark.parametrize("path", ["refresh", "logout"])
    @pytest.mark.parametrize(
        "content_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"]
    )
    def test_a_form_of_another_site_puts_nobody_into_a_session(
        self, shop: Shop, path: str, content_type: str
    ) -> None:
        """Browsers send such a form without asking us first, and would keep the cookies of the answer."""
        mine = shop.guest.made("/auth/register", a_registration())
        head = shop.head()
        form = f'{{"refreshToken": "{mine["refreshToken"]}", "x": "="}}'.encode()
        headers = {"Content-Type": content_type}
        refused = shop.guest("POST", f"/auth/{path}", content=form, headers=headers)
        assert_problem(refused, 415, "UNSUPPORTED_MEDIA_TYPE")
        assert "set-cookie" not in refused.headers
        assert shop.head() == head

    def test_a_strangers_key_gives_nobody_somebody_elses_tokens(self, shop: Shop) -> None:
        key = {"Idempotency-Key": uuid.uuid4().hex}
        one, other = (shop.guest.made("/auth/register", a_registration()) for _ in range(2))
        refreshed = shop.client(one["refreshToken"]).post("/auth/refresh", headers=key)
        assert refreshed.status_code == 200
        again = shop.client(one["refreshToken"]).post("/auth/refresh", headers=key)
        assert again.content == refreshed.content
        refused = shop.client(other["refreshToken"]).post("/auth/refresh", headers=key)
        assert_problem(refused, 422, "IDEMPOTENCY_KEY_REUSED")

    def test_logging_out_ends_the_session_at_once(self, shop: Shop) -> None:
        signed_in = shop.guest.made("/auth/register", a_registration())
        me = shop.client(signed_in["token"])
        assert me.get("/me").status_code == 200
        assert me.made("/auth/logout") == {"message": "Logged out successfully"}
        assert_problem(me.get("/me"), 401, "UNAUTHORIZED")
        assert_problem(
            shop.guest.post("/auth/refresh", {"refreshToken": signed_in["refreshToken"]}), 401, "UNAUTHORIZED"
        )

    @pytest.mark.parametrize("headers", [{}, {"Idempotency-Key": "good night"}])
    def test_logging_out_twice_changes_nothing(self, shop: Shop, headers: dict[str, str]) -> None:
        me = shop.user()
        first = me.post("/auth/logout", headers=headers)
        head = shop.head()
        again = me.post("/auth/logout", headers=headers)
        assert (first.status_code, again.status_code) == (200, 200)
        assert first.json() == again.json() == {"message": "Logged out successfully"}
        assert again.headers.get("idempotency-replayed") == ("true" if headers else None)
        assert shop.head() == head
        for path in ("/me", "/cart", "/orders"):
            assert_problem(me.get(path), 401, "UNAUTHORIZED")
        assert_problem(me.post("/cart", {"productId": 1}), 401, "UNAUTHORIZED")
        assert me.post("/auth/validate").status_code == 401

    def test_only_a_token_of_ours_can_log_out(self, shop: Shop) -> None:
        token = shop.guest.made("/auth/register", a_registration())["token"]
        claims = jwt.decode(token, options={"verify_signature": False})
        secret, another = shop.settings.jwt_secret, "another secret that is long enough too"
        head = shop.head()
        for claimed, signed_with, code in (
            (claims, another, "UNAUTHORIZED"),
            (claims | {"exp": 1}, secret, "TOKEN_EXPIRED"),
            (claims | {"sid": str(uuid.uuid4())}, secret, "UNAUTHORIZED"),
        ):
            forged = shop.client(jwt.encode(claimed, signed_with, algorithm="HS256"))
            assert_problem(forged.post("/auth/logout"), 401, code)
        assert_problem(shop.guest.post("/auth/logout"), 401, "UNAUTHORIZED")
        assert shop.head() == head
        assert shop.client(token).get("/me").status_code == 200

    def test_a_token_tells_whose_it_is(self, shop: Shop) -> None:
        signed_in = shop.guest.made("/auth/register", a_registration())
        valid = shop.client(signed_in["token"]).made("/auth/validate")
        assert valid["isValid"] is True
        assert valid["user"]["email"] == signed_in["email"]
        invalid = shop.client("nonsense").post("/auth/validate")
        assert invalid.status_code == 401
        assert invalid.json().items() >= {"isValid": False, "message": "Token expired or invalid"}.items()


class TestForgedTokens:
    @pytest.fixture
    def claims(self, shop: Shop) -> dict[str, Any]:
        token = shop.guest.made("/auth/register", a_registration())["token"]
        claims: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
        return claims

    def refused(self, shop: Shop, token: str) -> httpx.Response:
        head = shop.head()
        refused = shop.client(token).post("/cart", {"productId": 1})
        assert shop.head() == head
        return refused

    def test_one_that_has_expired(self, shop: Shop, claims: dict[str, Any]) -> None:
        expired = jwt.encode(claims | {"exp": 1}, shop.settings.jwt_secret, algorithm="HS256")
        problem = assert_problem(self.refused(shop, expired), 401, "TOKEN_EXPIRED")
        assert problem["message"] == "Invalid or expired token"

    def test_one_of_another_secret_and_one_of_none(self, shop: Shop, claims: dict[str, Any]) -> None:
        claims["roles"] = ["admin"]
        for forged in (
            jwt.encode(claims, "another secret that is long enough too", algorithm="HS256"),
            jwt.encode(claims, "", algorithm="none"),
            "a.b.c",
            base64.b64encode(b"a:b").decode(),
        ):
            refused = self.refused(shop, forged)
            assert_problem(refused, 401, "UNAUTHORIZED")
            assert refused.headers["www-authenticate"] == "Bearer"

    def test_none_at_all(self, shop: Shop) -> None:
        assert_problem(self.refused(shop, ""), 401, "UNAUTHORIZED")


def test_an_admin_gives_roles_and_others_may_not(shop: Shop, admin: Client) -> None:
    body = a_registration()
    user = shop.guest.made("/auth/register", body)
    path = f"/admin/users/{user['id']}/role"
    assert_problem(shop.client(user["token"]).patch(path, {"role": "admin"}), 403, "FORBIDDEN")
    assert_problem(admin.patch(path, {"role": "king"}), 400, "VALIDATION_ERROR", "role")
    assert_problem(admin.patch("/admin/users/999999/role", {"role": "seller"}), 404, "USER_NOT_FOUND")
    assert admin.patch(path, {"role": "SELLER"}).json()["roles"] == ["seller", "user"]
    again = shop.guest.made("/auth/login", {"email": body["email"], "password": PASSWORD})
    assert again["user"]["role"] == "seller"
