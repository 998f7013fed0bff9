"""The acceptance list of accounts and sellers: each row of the contract, asked as its document writes it.

A row is done when it is called here and answers as it says. ``{words}`` in paths and bodies are filled in by ``Scene``.
"""

import uuid
from collections.abc import Iterable, Mapping
from functools import cached_property
from io import BytesIO
from typing import Any, Literal

import httpx
import msgspec
import pytest
from PIL import Image

from tests.api.shop import PASSWORD, Client, Shop, a_registration, assert_problem

Who = Literal["guest", "user", "seller", "other", "admin"]

S2_ADDRESS = {
    "label": "Work",
    "firstName": "John",
    "lastName": "Doe",
    "address": "456 Office Blvd",
    "city": "New York",
    "state": "NY",
    "zipCode": "10002",
    "country": "USA",
    "phone": "+1234567890",
    "isDefault": False,
}
S3_ADDRESS = {
    "full_name": "John Doe",
    "address_line1": "123 Main St",
    "city": "New York",
    "state": "NY",
    "postal_code": "10001",
    "country": "USA",
    "is_default": True,
}
S4_ADDRESS = {
    "label": "Home",
    "line1": "1 A St",
    "city": "New York",
    "state": "NY",
    "zip": "10001",
    "country": "USA",
}
APPLICATION = {
    "shop_name": "Vintage Vault",
    "category": "Fashion",
    "experience_level": "I sell occasionally",
    "monthly_revenue": "$1000-$5000",
    "platforms": ["eBay", "Poshmark"],
    "social_links": {"instagram": "@vintage", "website": "..."},
    "return_address": {"full_name": "...", "post_code": "..."},
    "agreed_to_terms": True,
}
PREFERENCES = {
    "theme": "dark",
    "notifications": True,
    "emailNotifications": False,
    "currency": "USD",
    "language": "en",
}

S0_USER = {"id": int, "email": str, "username": str, "role": str}
S2_USER = {
    "id": int,
    "email": str,
    "firstName": str,
    "lastName": str,
    "gender": str,
    "image": str,
    "phone": str,
    "age": None,
    "role": "user",
}
S2_SAVED = {**S2_ADDRESS, "id": int, "userId": int, "isDefault": True, "createdAt": str, "updatedAt": str}
SIGNED_IN = {"token": str, "accessToken": str, "refreshToken": str, "expiresAt": str}
SHOP = {
    "id": str,
    "shopName": str,
    "logoUrl": str,
    "rating": (int, float),
    "reviewCount": int,
    "followerCount": int,
}
SHIPPING = {"id": str, "name": "Standard", "cost": 5.0}


class Row(msgspec.Struct, frozen=True):
    """A row and what it answers: ``answer`` is a part of the body, in which types stand for values."""

    id: str
    who: Who
    call: str
    status: int
    answer: Any = None
    body: Any = None
    headers: Mapping[str, str] = {}


ROWS = (
    # Signing up and in
    Row(
        "S0-AUTH-01",
        "guest",
        "POST /auth/signup",
        201,
        {"token": str, "refreshToken": str, "user": {**S0_USER, "role": "seller"}},
        {"email": "{new_email}", "password": "Password1", "username": "{new_name}"},
    ),
    Row(
        "S1-AUTH-01",
        "guest",
        "POST /auth/signup",
        201,
        {"token": str, "user": {"displayName": "Jane"}},
        {"email": "{new_email}", "password": "Password1", "displayName": "Jane"},
    ),
    Row(
        "S2-AUTH-02",
        "guest",
        "POST /auth/register",
        201,
        {"token": str, "user": {"id": int, "firstName": "Jane", "lastName": "Smith", "role": "user"}},
        {"email": "{new_email}", "password": "SecurePass123", "firstName": "Jane", "lastName": "Smith"},
    ),
    Row(
        "S3-AUTH-01",
        "guest",
        "POST /auth/register",
        201,
        {"token": str, "user": {"uuid": str, "email": str, "role": "user", "fullName": "John Doe"}},
        {"full_name": "John Doe", "email": "{new_email}", "password": "securePassword123"},
    ),
    Row(
        "S4-AUTH-01",
        "guest",
        "POST /auth/register",
        201,
        {"token": str, "user": {"name": "Cher"}},
        {"name": "Cher", "email": "{new_email}", "password": "securePassword123"},
    ),
    *(
        Row(row_id, "guest", "POST /auth/login", 200, answer, {"email": "{email}", "password": PASSWORD})
        for row_id, answer in (
            ("S0-AUTH-02", {"token": str, "refreshToken": str, "user": S0_USER}),
            ("S1-AUTH-02", {"token": str, "user": S0_USER}),
            ("S2-AUTH-01", {**SIGNED_IN, "user": S2_USER}),
            ("S3-AUTH-02", {"token": str, "user": {"uuid": str, "role": "user"}}),
            ("S4-AUTH-02", {"accessToken": str, "refreshToken": str}),
        )
    ),
    *(
        Row(row_id, "guest", "POST /auth/refresh", 200, SIGNED_IN, {spelling: "{refresh_token}"})
        for row_id, spelling in (
            ("S0-AUTH-04", "refreshToken"),
            ("S2-AUTH-05", "refreshToken"),
            ("S4-AUTH-03", "refresh_token"),
        )
    ),
    Row(
        "S1-AUTH-04",
        "guest",
        "POST /auth/refresh",
        200,
        {"token": str, "expiresAt": str},
        headers={"Cookie": "refreshToken={refresh_token}; csrfToken={csrf}", "X-CSRF-Token": "{csrf}"},
    ),
    Row("S2-AUTH-03", "user", "POST /auth/validate", 200, {"isValid": True, "user": {"id": int}}),
    Row("S1-AUTH-03", "user", "POST /auth/logout", 200, {"message": "Logged out successfully"}),
    Row("S2-AUTH-04", "user", "POST /auth/logout", 200, {"message": "Logged out successfully"}),
    Row(
        "S4-AUTH-04",
        "user",
        "POST /auth/logout",
        200,
        {"message": str},
        {"refreshToken": "{refresh_token}"},
    ),
    *(
        Row(
            row_id,
            "guest",
            "POST /auth/forgot-password",
            200,
            {"message": "Password reset email sent"},
            {"email": email},
        )
        for row_id, email in (
            ("S2-AUTH-06", "{email}"),
            ("S2-AUTH-06 unknown", "{new_email}"),
            ("S4-AUTH-05", "{email}"),
        )
    ),
    *(
        Row(
            row_id,
            "guest",
            "POST /auth/reset-password",
            200,
            {"message": "Password reset successfully"},
            {"token": "{reset_token}", spelling: "NewSecurePass123"},
        )
        for row_id, spelling in (("S2-AUTH-07", "newPassword"), ("S4-AUTH-06", "password"))
    ),
    Row(
        "S2-AUTH-08",
        "user",
        "POST /auth/change-password",
        200,
        {"message": "Password changed successfully"},
        {"currentPassword": PASSWORD, "newPassword": "NewSecurePass456"},
    ),
    *(
        Row(row_id, "guest", "POST /auth/verify-email", 200, {"message": str}, {"token": "{verify_token}"})
        for row_id in ("S1-AUTH-05", "S4-AUTH-07")
    ),
    Row("S1-AUTH-06", "user", "POST /auth/verify-email/resend", 202, {"message": str}),
    Row(
        "S1-AUTH-10",
        "user",
        "GET /auth/sessions",
        200,
        [
            {
                "id": str,
                "device": str,
                "userAgent": str,
                "ip": str,
                "createdAt": str,
                "lastSeenAt": str,
                "current": bool,
            }
        ],
    ),
    Row("S1-AUTH-11", "user", "DELETE /auth/sessions/{session}", 204),
    Row("S1-AUTH-12", "user", "DELETE /auth/sessions", 204),
    Row("S1-AUTH-13", "guest", "GET /auth/csrf", 200, {"csrfToken": str}),
    # Oneself
    Row("S0-AUTH-05", "user", "GET /me", 200, {**S0_USER, "createdAt": str}),
    Row(
        "S1-USER-01",
        "user",
        "GET /users/me",
        200,
        {"displayName": str, "bio": "", "avatar": "", "emailVerified": False, "createdAt": str},
    ),
    Row("S2-USER-01", "user", "GET /users/me", 200, {**S2_USER, "createdAt": str, "updatedAt": str}),
    Row(
        "S3-USER-01",
        "user",
        "GET /users/me",
        200,
        {"id": int, "uuid": str, "email": str, "profile": {"avatar_url": "", "bio": "", "preferences": dict}},
        headers={"Accept": "application/json; case=snake"},
    ),
    Row("S4-USER-01", "user", "GET /users/me", 200, {"id": int, "name": "Jane Smith", "addresses": []}),
    Row(
        "S1-USER-02",
        "user",
        "PATCH /users/me",
        200,
        {"displayName": "JJ", "bio": "Hi", "avatar": ""},
        {"displayName": "JJ", "bio": "Hi", "avatar": None},
    ),
    Row(
        "S2-USER-03",
        "user",
        "PUT /users/me",
        200,
        {**S2_USER, "firstName": "Jane", "phone": "+1987654321"},
        {"firstName": "Jane", "phone": "+1987654321"},
    ),
    Row(
        "S3-USER-02",
        "user",
        "PATCH /users/profile",
        200,
        {"username": "{new_name}", "gender": "male", "interests": ["tech", "fashion"]},
        {"username": "{new_name}", "gender": "male", "interests": ["tech", "fashion"]},
    ),
    Row(
        "S4-USER-02",
        "user",
        "PATCH /users/me",
        200,
        {"name": "John Doe"},
        {"name": "John Doe", "password": "NewSecurePass1", "currentPassword": PASSWORD},
    ),
    Row(
        "S2-USER-04",
        "user",
        "GET /users/me/preferences",
        200,
        {**PREFERENCES, "theme": "light"} | {"emailNotifications": True},
    ),
    Row("S2-USER-05", "user", "PUT /users/me/preferences", 200, PREFERENCES, PREFERENCES),
    Row(
        "S1-USER-12",
        "user",
        "GET /users/me/privacy",
        200,
        {"profileVisible": True, "showEmail": False, "allowMessages": bool},
    ),
    Row(
        "S1-USER-13",
        "user",
        "PATCH /users/me/privacy",
        200,
        {"profileVisible": False},
        {"profileVisible": False},
    ),
    Row("S1-USER-05", "user", "DELETE /users/me/avatar", 204),
    Row(
        "S2-USER-07",
        "user",
        "POST /users/me/delete",
        200,
        {"message": "Account scheduled for deletion"},
        {"password": PASSWORD, "reason": "No longer needed"},
    ),
    Row("S1-USER-03", "user", "DELETE /users/me", 200, {"message": str}, {"password": PASSWORD}),
    Row("S4-USER-07", "user", "DELETE /users/me", 200, {"message": str}),
    Row(
        "S2-USER-08",
        "guest",
        "POST /users/me/restore",
        200,
        {"message": str},
        {"email": "{leaving_email}", "password": PASSWORD},
    ),
    # Others
    Row(
        "S2-USER-02",
        "user",
        "GET /users/{other_id}",
        200,
        {"id": int, "firstName": str, "image": "", "email": ""},
    ),
    Row("S1-USER-06", "user", "GET /users/{other_uuid}", 200, {"displayName": str, "bio": "", "avatar": ""}),
    # Addresses
    Row("S2-USER-10", "user", "POST /users/me/addresses", 201, S2_SAVED, S2_ADDRESS),
    Row(
        "S3-USER-04",
        "user",
        "POST /users/addresses",
        201,
        {"fullName": "John Doe", "addressLine1": "123 Main St", "postalCode": "10001", "isDefault": True},
        S3_ADDRESS,
    ),
    Row("S4-USER-04", "user", "POST /users/me/addresses", 201, S4_ADDRESS, S4_ADDRESS),
    Row(
        "S1-USER-08",
        "user",
        "POST /users/me/addresses",
        201,
        {"id": int, "fullName": "John Doe"},
        {
            "label": "Home",
            "name": "John Doe",
            "line1": "1 A St",
            "line2": "Apt 2",
            "city": "New York",
            "state": "NY",
            "postalCode": "10001",
            "country": "USA",
        },
    ),
    Row("S1-USER-07", "user", "GET /users/me/addresses?of={address}", 200, [{"id": int}]),
    Row("S2-USER-09", "user", "GET /users/me/addresses?of={address}", 200, [S2_SAVED]),
    Row(
        "S3-USER-03",
        "user",
        "GET /users/addresses?of={address}",
        200,
        [{"uuid": str, "address_line1": str}],
        headers={"Accept": "application/json; case=snake"},
    ),
    Row(
        "S4-USER-03",
        "user",
        "GET /users/me/addresses?of={address}",
        200,
        [{"label": str, "line1": str, "city": str, "state": str, "zip": str, "country": str}],
    ),
    Row("S1-USER-09", "user", "GET /users/me/addresses/{address}", 200, S2_SAVED),
    Row(
        "S1-USER-10",
        "user",
        "PATCH /users/me/addresses/{address}",
        200,
        {"city": "Boston"},
        {"city": "Boston"},
    ),
    Row(
        "S2-USER-11",
        "user",
        "PUT /users/me/addresses/{address}",
        200,
        {"city": "Boston", "zipCode": "10002"},
        {**S2_ADDRESS, "city": "Boston"},
    ),
    Row("S4-USER-05", "user", "PATCH /users/me/addresses/{address}", 200, {"zip": "02101"}, {"zip": "02101"}),
    *(
        Row(row_id, "user", "DELETE /users/me/addresses/{address}", 204)
        for row_id in ("S1-USER-11", "S2-USER-12", "S4-USER-06")
    ),
    # Files
    Row(
        "S0-MEDIA-01",
        "user",
        "POST /media/signed-url",
        200,
        {"url": str, "key": str},
        {"mimeType": "image/heic", "sizeBytes": 1000},
    ),
    Row(
        "S1-MEDIA-01",
        "user",
        "POST /media/signed-url",
        200,
        {"url": str, "key": str, "mediaId": str, "expiresAt": str, "headers": dict},
        {"mime": "image/png", "size": 1000, "fileName": "a.png"},
    ),
    Row(
        "S4-MEDIA-01",
        "admin",
        "POST /media/signed-url",
        200,
        {"url": str, "key": str},
        {"mimeType": "image/jpeg", "sizeBytes": 1000},
    ),
    # Sellers
    Row(
        "S3-SELL-01",
        "user",
        "POST /sellers/apply",
        201,
        {"id": str, "status": "pending_verification"},
        APPLICATION,
    ),
    Row("S3-SELL-02", "guest", "GET /sellers/{shop_id}", 200, SHOP),
    Row(
        "S3-SELL-02 snake",
        "guest",
        "GET /sellers/{shop_id}",
        200,
        {"shop_name": str, "logo_url": str, "review_count": int, "follower_count": int},
        headers={"Accept": "application/json; case=snake"},
    ),
    Row(
        "S3-SELL-03",
        "admin",
        "GET /admin/sellers?status=pending_verification&page=1&of={applied}",
        200,
        {"data": [SHOP], "pagination": {"total": int, "page": 1, "limit": 20}},
    ),
    Row(
        "S3-SELL-04",
        "admin",
        "PATCH /admin/sellers/{applied}/verification",
        200,
        {"id": str, "status": "verified"},
        {"status": "verified"},
    ),
    Row(
        "S3-SELL-04 no",
        "admin",
        "PATCH /admin/sellers/{applied}/verification",
        200,
        {"status": "rejected"},
        {"status": "rejected", "reason": "No photos"},
    ),
    Row("S3-SELL-05", "seller", "GET /sellers/me", 200, {**SHOP, "status": "verified"}),
    Row(
        "S3-SELL-06",
        "seller",
        "PATCH /sellers/me",
        200,
        {"shopName": "Vault 2", "logoUrl": "https://example.com/l.png"},
        {
            "shop_name": "Vault 2",
            "logo_url": "https://example.com/l.png",
            "category": "Art",
            "social_links": {"instagram": "@v"},
            "return_address": {"full_name": "J", "post_code": "1"},
        },
    ),
    Row("S3-PROD-07", "seller", "GET /shipping-profiles?of={shipping}", 200, [SHIPPING]),
    Row(
        "S3-PROD-08",
        "seller",
        "POST /shipping-profiles",
        201,
        SHIPPING,
        {"name": "Standard", "base_cost": 5, "per_item_cost": 1.5, "countries": ["US"]},
    ),
    Row("S3-INT-01", "user", "POST /sellers/{shop_id}/follow", 200, {"following": True, "followerCount": 1}),
    Row("S3-INT-02", "user", "DELETE /sellers/{shop_id}/follow", 204),
    # Admins
    Row(
        "S1-ADM-05",
        "admin",
        "GET /admin/users?role=user&deleted=false&q=jane&limit=1&of={other_id}",
        200,
        {"users": [{"id": int, "status": "active"}]},
    ),
    Row(
        "S4-ADM-01",
        "admin",
        "GET /admin/users?page=1",
        200,
        {"data": [{"id": int}], "pagination": {"total": int, "page": 1}},
    ),
    Row("S1-ADM-06", "admin", "DELETE /admin/users/{other_id}", 204, body={"reason": "Spam"}),
    Row("S1-ADM-07", "admin", "POST /admin/users/{suspended}/restore", 200, {"id": int}),
    Row(
        "S1-ADM-08",
        "admin",
        "PUT /admin/users/{other_id}/flags",
        200,
        {"flags": ["spam"]},
        {"flags": ["spam"], "note": "seen"},
    ),
    Row(
        "S4-ADM-02", "admin", "PATCH /admin/users/{other_id}/role", 200, {"role": "admin"}, {"role": "ADMIN"}
    ),
)


class Refusal(msgspec.Struct, frozen=True):
    id: str
    who: Who
    call: str
    status: int
    code: str
    body: Any = None
    fields: tuple[str, ...] = ()


REFUSALS = (
    Refusal(
        "S0-AUTH-01",
        "guest",
        "POST /auth/signup",
        422,
        "VALIDATION_ERROR",
        {"email": "x", "password": "x", "username": "x"},
        ("email", "password", "username"),
    ),
    Refusal(
        "S0-AUTH-01",
        "guest",
        "POST /auth/signup",
        409,
        "EMAIL_EXISTS",
        {"email": "{email}", "password": "Password1", "username": "{new_name}"},
        ("email",),
    ),
    Refusal(
        "S0-AUTH-01",
        "guest",
        "POST /auth/signup",
        409,
        "USERNAME_EXISTS",
        {"email": "{new_email}", "password": "Password1", "username": "{username}"},
        ("username",),
    ),
    Refusal(
        "S2-AUTH-01",
        "guest",
        "POST /auth/login",
        400,
        "INVALID_CREDENTIALS",
        {"email": "{email}", "password": "wrong-password"},
    ),
    Refusal(
        "S2-AUTH-01",
        "guest",
        "POST /auth/login",
        400,
        "VALIDATION_ERROR",
        {"email": "{email}", "password": "short"},
        ("password",),
    ),
    Refusal(
        "S2-AUTH-02",
        "guest",
        "POST /auth/register",
        400,
        "VALIDATION_ERROR",
        {"email": "x", "password": "abcdefgh", "firstName": "J", "lastName": "x" * 51},
        ("email", "password", "firstName", "lastName"),
    ),
    Refusal(
        "S2-AUTH-02",
        "guest",
        "POST /auth/register",
        400,
        "VALIDATION_ERROR",
        {"email": "{new_email}", "password": PASSWORD, "firstName": "  ", "lastName": " x "},
        ("firstName", "lastName"),
    ),
    Refusal(
        "S4-AUTH-01",
        "guest",
        "POST /auth/register",
        400,
        "VALIDATION_ERROR",
        {"email": "{new_email}", "password": PASSWORD, "name": "   "},
        ("name",),
    ),
    Refusal(
        "S2-AUTH-02",
        "guest",
        "POST /auth/register",
        409,
        "EMAIL_EXISTS",
        {"email": "{email}", "password": PASSWORD, "name": "Jane"},
        ("email",),
    ),
    Refusal("S2-AUTH-04", "guest", "POST /auth/logout", 401, "UNAUTHORIZED"),
    Refusal("S1-AUTH-04", "guest", "POST /auth/refresh", 401, "UNAUTHORIZED"),
    Refusal("S2-AUTH-05", "guest", "POST /auth/refresh", 400, "VALIDATION_ERROR", {}, ("refreshToken",)),
    Refusal("S2-AUTH-05", "guest", "POST /auth/refresh", 401, "UNAUTHORIZED", {"refreshToken": "no"}),
    Refusal(
        "S2-AUTH-06",
        "guest",
        "POST /auth/forgot-password",
        400,
        "VALIDATION_ERROR",
        {"email": "x"},
        ("email",),
    ),
    Refusal(
        "S2-AUTH-07",
        "guest",
        "POST /auth/reset-password",
        400,
        "INVALID_TOKEN",
        {"token": "no", "newPassword": "NewSecurePass123"},
    ),
    Refusal(
        "S2-AUTH-07",
        "guest",
        "POST /auth/reset-password",
        400,
        "VALIDATION_ERROR",
        {},
        ("token", "newPassword"),
    ),
    Refusal(
        "S2-AUTH-08",
        "user",
        "POST /auth/change-password",
        400,
        "INVALID_CREDENTIALS",
        {"currentPassword": "oldPassword123", "newPassword": "NewSecurePass456"},
        ("currentPassword",),
    ),
    Refusal("S1-AUTH-05", "guest", "POST /auth/verify-email", 400, "INVALID_TOKEN", {"token": "no"}),
    Refusal("S1-AUTH-07", "guest", "GET /auth/oauth/google", 503, "PROVIDER_NOT_CONFIGURED"),
    Refusal("S1-AUTH-07", "guest", "GET /auth/oauth/myspace", 404, "PROVIDER_NOT_FOUND"),
    Refusal("S0-AUTH-03", "guest", "POST /auth/apple", 422, "VALIDATION_ERROR", {}, ("idToken",)),
    Refusal("S1-AUTH-11", "other", "DELETE /auth/sessions/{session}", 404, "SESSION_NOT_FOUND"),
    Refusal("S2-USER-01", "guest", "GET /users/me", 401, "UNAUTHORIZED"),
    Refusal("S2-USER-02", "user", "GET /users/999999999", 404, "USER_NOT_FOUND"),
    Refusal(
        "S2-USER-03",
        "user",
        "PUT /users/me",
        400,
        "VALIDATION_ERROR",
        {"firstName": "  ", "name": " "},
        ("firstName", "name"),
    ),
    Refusal(
        "S2-USER-03", "user", "PUT /users/me", 409, "EMAIL_EXISTS", {"email": "{other_email}"}, ("email",)
    ),
    Refusal(
        "S3-USER-02",
        "user",
        "PATCH /users/profile",
        400,
        "VALIDATION_ERROR",
        {"username": "addresses"},
        ("username",),
    ),
    Refusal(
        "S2-USER-05",
        "user",
        "PUT /users/me/preferences",
        400,
        "VALIDATION_ERROR",
        {"theme": "blue", "currency": "dollars"},
        ("theme", "currency"),
    ),
    Refusal(
        "S1-USER-04",
        "user",
        "POST /users/me/avatar",
        404,
        "MEDIA_NOT_FOUND",
        {"mediaId": "5b7f4b5e-0000-4000-8000-000000000000"},
    ),
    Refusal("S2-USER-06", "user", "POST /users/me/avatar", 400, "VALIDATION_ERROR", None, ("body",)),
    Refusal(
        "S2-USER-07",
        "user",
        "POST /users/me/delete",
        400,
        "INVALID_CREDENTIALS",
        {"password": "wrong-password"},
        ("password",),
    ),
    Refusal(
        "S2-USER-07", "user", "POST /users/me/delete", 400, "VALIDATION_ERROR", {"reason": "x"}, ("password",)
    ),
    Refusal(
        "S4-USER-04",
        "user",
        "POST /users/me/addresses",
        400,
        "VALIDATION_ERROR",
        {},
        ("address", "city", "zipCode", "country"),
    ),
    Refusal(
        "S2-USER-11",
        "other",
        "PUT /users/me/addresses/{address}",
        404,
        "ADDRESS_NOT_FOUND",
        {"city": "Boston"},
    ),
    Refusal("S2-USER-12", "other", "DELETE /users/me/addresses/{address}", 404, "ADDRESS_NOT_FOUND"),
    Refusal(
        "S0-MEDIA-01",
        "user",
        "POST /media/signed-url",
        422,
        "VALIDATION_ERROR",
        {"mimeType": "image/gif", "sizeBytes": 1},
        ("mimeType",),
    ),
    Refusal(
        "S0-MEDIA-01",
        "user",
        "POST /media/signed-url",
        422,
        "VALIDATION_ERROR",
        {"mimeType": "image/png", "sizeBytes": 5242881},
        ("sizeBytes",),
    ),
    Refusal(
        "S3-SELL-01",
        "user",
        "POST /sellers/apply",
        400,
        "VALIDATION_ERROR",
        {**APPLICATION, "agreed_to_terms": False},
        ("agreedToTerms",),
    ),
    Refusal("S3-SELL-01", "seller", "POST /sellers/apply", 409, "SELLER_ALREADY_APPLIED", APPLICATION),
    Refusal("S3-SELL-02", "guest", "GET /sellers/{applied}", 404, "SELLER_NOT_FOUND"),
    Refusal("S3-SELL-03", "seller", "GET /admin/sellers", 403, "FORBIDDEN"),
    Refusal(
        "S3-SELL-04",
        "admin",
        "PATCH /admin/sellers/{shop_id}/verification",
        409,
        "SELLER_NOT_PENDING",
        {"status": "rejected"},
    ),
    Refusal("S3-SELL-05", "user", "GET /sellers/me", 404, "SELLER_NOT_FOUND"),
    Refusal("S3-SELL-06", "user", "PATCH /sellers/me", 403, "FORBIDDEN", {"shop_name": "X Y"}),
    Refusal("S3-PROD-08", "user", "POST /shipping-profiles", 403, "FORBIDDEN", {"name": "S", "cost": 1}),
    Refusal("S3-INT-01", "seller", "POST /sellers/{shop_id}/follow", 422, "CANNOT_FOLLOW_YOURSELF"),
    Refusal("S1-ADM-06", "user", "DELETE /admin/users/{other_id}", 403, "FORBIDDEN"),
    Refusal("S1-ADM-06", "admin", "DELETE /admin/users/{admin_id}", 422, "OWN_ACCOUNT"),
    Refusal("S1-ADM-07", "admin", "POST /admin/users/{other_id}/restore", 409, "ACCOUNT_NOT_DELETED"),
    Refusal("S4-ADM-02", "admin", "PATCH /admin/users/{admin_id}/role", 422, "OWN_ROLE", {"role": "user"}),
    Refusal(
        "S4-ADM-02",
        "admin",
        "PATCH /admin/users/{other_id}/role",
        400,
        "VALIDATION_ERROR",
        {"role": "boss"},
        ("role",),
    ),
)


class Scene:
    """Who and what a row is about, made when it is asked for."""

    def __init__(self, shop: Shop, admin: Client) -> None:
        self._shop = shop
        self.admin = admin
        self.guest = shop.guest
        self.new_email = f"{uuid.uuid4().hex}@example.com"
        self.new_name = f"n{uuid.uuid4().hex[:12]}"

    @cached_property
    def _registered(self) -> dict[str, Any]:
        return self.guest.made("/auth/register", a_registration())

    @cached_property
    def _other(self) -> dict[str, Any]:
        return self.guest.made("/auth/register", a_registration())

    @cached_property
    def _seller(self) -> dict[str, Any]:
        registration = {"email": f"s-{self.new_email}", "password": PASSWORD, "username": f"s{self.new_name}"}
        return self.guest.made("/auth/signup", registration)

    @cached_property
    def user(self) -> Client:
        return self._shop.client(self._registered["token"])

    @cached_property
    def other(self) -> Client:
        return self._shop.client(self._other["token"])

    @cached_property
    def seller(self) -> Client:
        return self._shop.client(self._seller["token"])

    @property
    def email(self) -> str:
        return self._text(self._registered["email"])

    @property
    def username(self) -> str:
        return self._text(self._registered["username"])

    @property
    def refresh_token(self) -> str:
        return self._text(self._registered["refreshToken"])

    @cached_property
    def csrf(self) -> str:
        cookie = {"Cookie": f"refreshToken={self.refresh_token}"}
        return self._text(self.guest.get("/auth/csrf", headers=cookie).json()["csrfToken"])

    @property
    def other_id(self) -> str:
        return self._text(self._other["id"])

    @property
    def other_uuid(self) -> str:
        return self._text(self._other["user"]["uuid"])

    @property
    def other_email(self) -> str:
        return self._text(self._other["email"])

    @property
    def admin_id(self) -> str:
        return self._text(self.admin.get("/me").json()["id"])

    @cached_property
    def verify_token(self) -> str:
        return self._shop.mail_token(self._shop.mail(self.email, "onfirm"))

    @cached_property
    def reset_token(self) -> str:
        self.guest.made("/auth/forgot-password", {"email": self.email})
        return self._shop.mail_token(self._shop.mail(self.email, "assword"))

    @property
    def session(self) -> str:
        return self._text(self.user.get("/auth/sessions").json()[0]["id"])

    @property
    def leaving_email(self) -> str:
        self.user.made("/users/me/delete", {"password": PASSWORD})
        return self.email

    @cached_property
    def address(self) -> str:
        return self._text(self.user.made("/users/me/addresses", S2_ADDRESS)["id"])

    @cached_property
    def shop_id(self) -> str:
        return self._text(self.seller.get("/sellers/me").json()["id"])

    @cached_property
    def applied(self) -> str:
        return self._text(self.user.made("/sellers/apply", APPLICATION)["id"])

    @cached_property
    def shipping(self) -> str:
        return self._text(self.seller.made("/shipping-profiles", {"name": "Standard", "cost": 5})["id"])

    @property
    def suspended(self) -> str:
        assert self.admin("DELETE", f"/admin/users/{self.other_id}").status_code == 204
        return self.other_id

    @staticmethod
    def _text(value: object) -> str:
        return str(value)

    def filled(self, value: Any) -> Any:
        if isinstance(value, Mapping):
            return {name: self.filled(item) for name, item in value.items()}
        if isinstance(value, str) and "{" in value:
            before, _, rest = value.partition("{")
            name, _, after = rest.partition("}")
            return f"{before}{getattr(self, name)}{self.filled(after)}"
        return value

    def call(self, row: Row | Refusal, **options: Any) -> httpx.Response:
        method, path = self.filled(row.call).split(" ")
        if row.body is not None:
            options["json"] = self.filled(row.body)
        client: Client = getattr(self, row.who)
        return client(method, path, **options)


@pytest.fixture
def scene(shop: Shop, admin: Client) -> Scene:
    return Scene(shop, admin)


def assert_shows(answer: Any, wanted: Any, at: str = "$") -> None:
    if isinstance(wanted, dict):
        assert isinstance(answer, dict), at
        assert wanted.keys() <= answer.keys(), at
        for name, part in wanted.items():
            assert_shows(answer[name], part, f"{at}.{name}")
    elif isinstance(wanted, list) and wanted and isinstance(wanted[0], dict):
        assert answer, at
        for index, entry in enumerate(answer):
            assert_shows(entry, wanted[0], f"{at}[{index}]")
    elif isinstance(wanted, type | tuple):
        assert isinstance(answer, wanted), f"{at}: {answer!r}"
    else:
        assert answer == wanted, at


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id)
def test_row(scene: Scene, row: Row) -> None:
    response = scene.call(row, headers=scene.filled(row.headers))
    assert response.status_code == row.status, response.text
    if row.status == 204:
        assert response.content == b""
        return
    assert response.headers["content-type"] == "application/json"
    assert_shows(response.json(), scene.filled(row.answer))


@pytest.mark.parametrize("row", REFUSALS, ids=lambda row: f"{row.id} {row.status}")
def test_row_refuses(scene: Scene, row: Refusal) -> None:
    assert_problem(scene.call(row), row.status, row.code, *row.fields)


def test_every_row_is_asked_for_in_one_way() -> None:
    ids = [row.id for row in ROWS]
    assert len(ids) == len(set(ids))


class TestFiles:
    @pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
    def test_s2_user_06(self, scene: Scene, kind: str) -> None:
        answer = scene.user("POST", "/users/me/avatar", files={"image": ("a", a_picture(kind), "x/y")})
        assert answer.status_code == 200, answer.text
        assert_shows(answer.json(), {"id": int, "image": str})
        assert scene.user.get("/users/me").json()["image"] == answer.json()["image"]

    def test_s1_user_04(self, scene: Scene) -> None:
        picture = a_picture("PNG")
        upload = scene.user.made("/media/signed-url", {"mime": "image/png", "size": len(picture)})
        assert httpx.put(upload["url"], content=picture, headers=upload["headers"]).status_code == 200
        answer = scene.user.post("/users/me/avatar", {"mediaId": upload["mediaId"]})
        assert_shows(answer.json(), {"avatar": str})


def a_picture(kind: str) -> bytes:
    file = BytesIO()
    Image.new("RGB", (4, 4), "red").save(file, kind)
    return file.getvalue()


class TestWhatIsShownCanBeSentBack:
    """A form that shows what it got and saves all of it is no error, whatever is empty in it (C59)."""

    @pytest.mark.parametrize("name", ["Jane Smith", "Cher"])
    @pytest.mark.parametrize("case", ["camel", "snake"])
    def test_a_profile(self, shop: Shop, name: str, case: str) -> None:
        registration = {"email": f"{uuid.uuid4().hex}@example.com", "password": PASSWORD, "name": name}
        user = shop.client(shop.guest.made("/auth/register", registration)["token"])
        accept = {"Accept": f"application/json; case={case}"}
        shown = user.get("/users/me", headers=accept).json()
        saved = user("PUT", "/users/me", json=shown, headers=accept)
        assert saved.status_code == 200, saved.text
        assert user.get("/users/me", headers=accept).json().items() >= saved.json().items()
        assert {**shown, **saved.json()}["name"] == name

    @pytest.mark.parametrize("address", [S2_ADDRESS, S3_ADDRESS, S4_ADDRESS])
    def test_an_address(self, scene: Scene, address: dict[str, Any]) -> None:
        shown = scene.user.made("/users/me/addresses", address)
        path = f"/users/me/addresses/{shown['id']}"
        saved = scene.user("PUT", path, json={**shown, "city": "Boston"})
        assert saved.status_code == 200, saved.text
        assert {**saved.json(), "updatedAt": ""} == {**shown, "city": "Boston", "updatedAt": ""}

    def test_a_shop(self, scene: Scene) -> None:
        assert scene.shipping
        for path in ("/sellers/me", f"/shipping-profiles/{scene.shipping}"):
            shown = scene.seller.get(path).json()
            saved = scene.seller("PUT", path, json=shown)
            assert saved.status_code == 200, saved.text
            assert {**shown, **saved.json()} == shown


class TestBodies:
    @pytest.mark.parametrize(
        "call", ["POST /auth/refresh", "POST /auth/logout", "DELETE /users/me", "PUT /users/me"]
    )
    def test_only_json_is_read(self, scene: Scene, call: str) -> None:
        """What a form can send is none, also where a body may be absent."""
        method, path = call.split(" ")
        for kind in ("text/plain", "application/x-www-form-urlencoded"):
            refused = scene.user(method, path, content=b"{}", headers={"Content-Type": kind})
            assert_problem(refused, 415, "UNSUPPORTED_MEDIA_TYPE")
        for content in (b"null", b"[]", b'"text"', b"1"):
            refused = scene.user(method, path, content=content, headers={"Content-Type": "application/json"})
            assert_problem(refused, 400, "VALIDATION_ERROR", "body")

    def test_nul_is_refused_in_names_of_ones_own_too(self, scene: Scene) -> None:
        refused = scene.user.post("/sellers/apply", {**APPLICATION, "social_links": {"a\0b": "@vintage"}})
        assert_problem(refused, 400, "VALIDATION_ERROR", "socialLinks")

    def test_an_address_is_taken_away_once_by_one_key(self, scene: Scene) -> None:
        for reference in ("id", "uuid"):
            address = scene.user.made("/users/me/addresses", S2_ADDRESS)[reference]
            key = {"Idempotency-Key": uuid.uuid4().hex}
            first, again = (
                scene.user("DELETE", f"/users/me/addresses/{address}", headers=key) for _ in range(2)
            )
            assert (first.status_code, again.status_code) == (204, 204)
            assert again.headers["idempotency-replayed"] == "true"
            assert again.headers["x-log-position"] == first.headers["x-log-position"]


class TestDescription:
    @pytest.fixture
    def described(self, shop: Shop) -> dict[str, Any]:
        document: dict[str, Any] = httpx.get(f"{shop.origin}/docs/json").json()
        return document

    def test_knows_every_row(self, described: dict[str, Any]) -> None:
        assert_described(described["paths"], ROWS)

    def test_knows_every_refusal(self, described: dict[str, Any]) -> None:
        assert_described(described["paths"], REFUSALS)

    def test_no_default_is_itself_illegal(self, described: dict[str, Any]) -> None:
        for name, component in described["components"]["schemas"].items():
            for field, schema in component.get("properties", {}).items():
                is_illegal = schema.get("default") == "" and schema.get("minLength", 0) > 0
                assert not is_illegal, (name, field)


def is_like(path: str, template: str) -> bool:
    """Whether a path with words to fill in is one of a template's."""
    given, parts = path.split("/"), template.split("/")
    return len(given) == len(parts) and all(
        part.startswith("{") or part == word for word, part in zip(given, parts, strict=True)
    )


def assert_described(paths: dict[str, Any], rows: Iterable[Row | Refusal]) -> None:
    """The API's description has each row's path, its answer and, where one is sent, its body."""
    for row in rows:
        method, path = row.call.partition("?")[0].split(" ")
        operations = [
            operations[method.lower()]
            for template, operations in paths.items()
            if method.lower() in operations and is_like(path, template.removeprefix("/api/v1"))
        ]
        assert any(str(row.status) in operation["responses"] for operation in operations), row
        if row.body is not None:
            assert any("requestBody" in operation for operation in operations), row
