"""What holds for each route there is, by a walk over all of them: headers, envelope, guards, body limits, CORS."""

import re
import socket
from base64 import b64encode
from collections.abc import Iterator
from hashlib import sha256
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from litestar import Litestar
from litestar.handlers import HTTPRouteHandler
from litestar.routes import HTTPRoute

from api import problems
from api.app import create_app
from api.documentation import START_HASH
from api.edge import MOST_BYTES
from application.accounts.signing_in import InvalidCredentialsError
from application.settings import Settings, SettingsError
from tests.api.shop import Client, Shop, assert_problem

EVERYWHERE = {
    "cross-origin-embedder-policy": "require-corp",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-site",
    "origin-agent-cluster": "?1",
    "referrer-policy": "no-referrer",
    "strict-transport-security": "max-age=31536000; includeSubDomains",
    "x-content-type-options": "nosniff",
    "x-dns-prefetch-control": "off",
    "x-download-options": "noopen",
    "x-frame-options": "SAMEORIGIN",
    "x-permitted-cross-domain-policies": "none",
    "x-xss-protection": "0",
}
ORIGIN = "http://localhost:5173"
STRANGE = "https://evil.example.com"


class Route:
    def __init__(self, method: str, template: str, handler: HTTPRouteHandler) -> None:
        self.method = method
        self.template = template
        self.handler = handler
        self.path = template.replace("{stream}", "5e0e7d5c-0000-4000-8000-000000000000")
        self.path = self.path.replace("{", "").replace("}", "")

    @property
    def is_guarded(self) -> bool:
        return len(self.handler.resolve_guards()) > 1  # the limits guard all of them

    def __repr__(self) -> str:
        return f"{self.method} {self.path}"


def routes_of(app: Litestar) -> Iterator[Route]:
    for route in app.routes:
        if isinstance(route, HTTPRoute):
            for handler in route.route_handlers:
                for method in handler.http_methods:
                    yield Route(method, route.path_format, handler)


@pytest.fixture(scope="module")
def routes() -> list[Route]:
    nobody = Settings(database_url="", jwt_secret="x" * 32, tradelog_master_key="")
    return [route for route in routes_of(create_app(nobody)) if route.method != "OPTIONS"]


@pytest.fixture(scope="module")
def browser(shop: Shop) -> Client:
    """Requests by whole paths, rather than below `/api/v1`."""
    client = shop.client()
    client._http.base_url = httpx.URL(shop.origin)
    return client


def assert_secure(response: httpx.Response) -> None:
    headers = response.headers
    for name, value in EVERYWHERE.items():
        assert headers.get_list(name) == [value], (response.request.url, name)
    policies = headers.get_list("content-security-policy")
    assert len(policies) == 1
    assert policies[0].startswith("default-src 'none'; ")
    assert "unsafe-eval" not in policies[0]
    assert headers.get_list("server") == ["Tradelog"], "which tells nothing about the software"
    assert "x-powered-by" not in headers
    assert "Origin" in headers["vary"]


class TestEveryRoute:
    def test_there_are_as_many_as_one_would_think(self, routes: list[Route]) -> None:
        assert len(routes) > 60
        assert sum(route.is_guarded for route in routes) > 30

    def test_strangers_get_the_headers_and_no_further_than_the_guard(
        self, shop: Shop, routes: list[Route], browser: Client
    ) -> None:
        head = shop.head()
        for route in routes:
            if route.path.endswith(("/auth/register", "/auth/signup")):
                continue  # the only ones that record something for strangers, and then only for good input
            answer = browser(route.method, route.path, headers={"Origin": ORIGIN})
            assert_secure(answer)
            assert answer.headers["access-control-allow-origin"] == ORIGIN
            assert answer.status_code != 500, route
            if route.is_guarded:
                assert_problem(answer, 401, "UNAUTHORIZED")
            elif answer.status_code >= 400 and route.method != "HEAD":
                body = answer.json()
                assert {"message", "status", "code", "details", "error", "requestId"} <= body.keys(), route
                assert body["status"] == answer.status_code
            if route.method not in ("GET", "HEAD") or "/auth/" in route.path:
                assert answer.headers["cache-control"] == "no-store", route
        assert shop.head() == head

    def test_forged_and_broken_credentials_are_no_credentials(
        self, shop: Shop, routes: list[Route], browser: Client
    ) -> None:
        head = shop.head()
        for route in routes:
            if not route.is_guarded:
                continue
            for headers in (
                {"Authorization": "Bearer not.a.token"},
                {"Authorization": "Basic amFuZTpwYXNz"},
                {"Cookie": "accessToken=not.a.token"},
            ):
                answer = browser(route.method, route.path, headers=headers)
                assert_secure(answer)
                assert_problem(answer, 401, "UNAUTHORIZED")
                assert answer.headers["cache-control"] == "no-store"
        assert shop.head() == head

    def test_unknown_methods_and_paths_have_the_headers_too(
        self, routes: list[Route], browser: Client
    ) -> None:
        for path in sorted({route.path for route in routes}):
            refused = browser("TRACE", path)
            assert_problem(refused, 405, "METHOD_NOT_ALLOWED")
            assert_secure(refused)
            missing = browser("GET", f"{path.rstrip('/')}/no/such/thing")
            assert_problem(missing, 404, "NOT_FOUND")
            assert_secure(missing)

    def test_a_body_has_a_largest_size_however_it_is_sent(
        self, shop: Shop, admin: Client, routes: list[Route]
    ) -> None:
        head = shop.head()
        checked = 0
        for route in routes:
            if route.handler.parsed_data_field is None:
                continue
            most = route.handler.resolve_request_max_body_size()
            assert most is not None
            if most > MOST_BYTES:
                assert "multipart" in str(route.handler.parsed_data_field) or "/avatar" in route.path, route
                continue
            url = f"{shop.origin}{route.path}"
            json = {"Content-Type": "application/json"}
            too_much = b" " * (MOST_BYTES + 1)
            for content in (too_much, iter([too_much[:MOST_BYTES], b" "])):
                refused = admin(route.method, url, content=content, headers=json)
                assert_problem(refused, 413, "PAYLOAD_TOO_LARGE")
                assert_secure(refused)
            checked += 1
        assert checked > 8
        assert shop.head() == head


class TestLargeBodies:
    @pytest.mark.parametrize(
        "path", ["/auth/refresh", "/auth/logout", "/payments/stripe", "/webhooks/stripe", "/users/me/delete"]
    )
    def test_are_refused_also_where_the_handler_reads_for_itself(self, buyer: Client, path: str) -> None:
        json = {"Content-Type": "application/json", "Stripe-Signature": "t=1,v1=0"}
        refused = buyer.post(path, content=b" " * (MOST_BYTES + 1), headers=json)
        assert_problem(refused, 413, "PAYLOAD_TOO_LARGE")

    def test_a_file_may_be_larger_and_has_an_end_too(self, shop: Shop, buyer: Client) -> None:
        most = shop.settings.upload_max_size
        for size, status in ((most, 400), (most + 64 * 1024, 413)):
            files = {"image": ("a.png", b"x" * size, "image/png")}
            answer = buyer("POST", "/users/me/avatar", files=files)
            assert answer.status_code == status, answer.text
            assert_secure(answer)

    def test_a_client_that_still_sends_hears_of_the_refusal(self, shop: Shop) -> None:
        """By hand, because a client library would notice for itself."""
        for announced in (f"Content-Length: {8 * MOST_BYTES}", "Transfer-Encoding: chunked"):
            with socket.create_connection(("127.0.0.1", shop.port), timeout=20) as connection:
                head = ["POST /api/v1/auth/login HTTP/1.1", "Host: shop", announced, "", ""]
                connection.sendall("\r\n".join(head).encode())
                for _ in range(8):
                    if "chunked" in announced:
                        connection.sendall(b"%x\r\n" % MOST_BYTES + b" " * MOST_BYTES + b"\r\n")
                    else:
                        connection.sendall(b" " * MOST_BYTES)
                if "chunked" in announced:
                    connection.sendall(b"0\r\n\r\n")
                assert connection.recv(65536).startswith(b"HTTP/1.1 413 ")


class TestOtherAnswers:
    def test_products_at_hand_have_the_headers(
        self, shop: Shop, product: dict[str, Any], browser: Client
    ) -> None:
        path = f"/api/v1/products/{product['id']}"
        for _ in range(3):
            for headers in ({"X-Min-Log-Position": str(shop.head())}, {}, {"Origin": ORIGIN}):
                answer = browser("GET", path, headers=headers)
                assert answer.status_code == 200
                assert_secure(answer)
                assert ("access-control-allow-origin" in answer.headers) == ("Origin" in headers)
                assert answer.headers["cache-control"] == "public, max-age=0, must-revalidate"

    def test_snake_case_keeps_them(self, browser: Client, product: dict[str, Any]) -> None:
        asked = {"Accept": "application/json; case=snake"}
        assert_secure(browser("GET", f"/api/v1/products/{product['id']}", headers=asked))
        assert_secure(browser("GET", "/nothing", headers=asked))

    def test_what_is_somebodys_own_is_not_kept_by_caches(self, buyer: Client) -> None:
        for path in ("/me", "/cart", "/orders"):
            assert buyer.get(path).headers["cache-control"] == "no-store"
        # The same for everybody; but not for others to be handed what was asked for with somebody's token.
        assert buyer.get("/products").headers["cache-control"] == "private, no-cache"

    def test_the_documentation_may_run_its_own_scripts_and_no_other(self, browser: Client) -> None:
        page = browser("GET", "/docs")
        assert page.status_code == 200
        policy = page.headers["content-security-policy"]
        assert f"script-src 'self' '{START_HASH}';" in policy
        (script,) = re.findall(r"<script>(.*?)</script>", page.text, re.DOTALL)
        assert "sha256-" + b64encode(sha256(script.encode()).digest()).decode() == START_HASH
        assert 'url: "/docs/json"' in page.text
        for path in ("/docs", "/docs/json", "/docs/assets/swagger-ui.css", "/docs/nothing"):
            assert_secure(browser("GET", path))


class TestCors:
    def ask(self, browser: Client, origin: str, method: str, headers: str = "") -> httpx.Response:
        asked = {"Origin": origin, "Access-Control-Request-Method": method}
        if headers:
            asked["Access-Control-Request-Headers"] = headers
        return browser("OPTIONS", "/api/v1/orders", headers=asked)

    @pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE"])
    def test_our_pages_may_send_what_we_understand(self, browser: Client, method: str) -> None:
        names = (
            "authorization,content-type,idempotency-key,if-match,x-csrf-token,x-min-log-position,x-request-id"
        )
        allowed = self.ask(browser, ORIGIN, method, names)
        assert allowed.status_code == 204
        assert allowed.content == b""
        assert_secure(allowed)
        assert allowed.headers.get_list("access-control-allow-origin") == [ORIGIN]
        assert allowed.headers["access-control-allow-credentials"] == "true"
        assert method in allowed.headers["access-control-allow-methods"].split(", ")
        told = {name.lower() for name in allowed.headers["access-control-allow-headers"].split(", ")}
        assert set(names.split(",")) <= told
        assert allowed.headers["access-control-max-age"] == "600"

    @pytest.mark.parametrize(
        ("origin", "method", "headers"),
        [
            (STRANGE, "GET", ""),
            ("null", "GET", ""),
            (f"{ORIGIN}.evil.example.com", "GET", ""),
            ("http://localhost:51731", "GET", ""),
            (ORIGIN, "TRACE", ""),
            (ORIGIN, "GET", "x-forwarded-for"),
            (ORIGIN, "GET", "authorization, x-admin"),
        ],
    )
    def test_others_may_not(self, browser: Client, origin: str, method: str, headers: str) -> None:
        refused = self.ask(browser, origin, method, headers)
        assert_problem(refused, 403, "FORBIDDEN")
        assert_secure(refused)
        assert not [name for name in refused.headers if name.startswith("access-control-")]

    def test_strangers_pages_cannot_read_answers(self, browser: Client) -> None:
        for path in ("/api/v1/products", "/api/v1/me", "/nothing"):
            ours = browser("GET", path, headers={"Origin": ORIGIN})
            assert ours.headers["access-control-allow-origin"] == ORIGIN
            exposed = ours.headers["access-control-expose-headers"].split(", ")
            assert {"RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset", "Retry-After"} <= set(
                exposed
            )
            theirs = browser("GET", path, headers={"Origin": STRANGE})
            assert not [name for name in theirs.headers if name.startswith("access-control-")]

    @pytest.mark.parametrize("origins", ["*", "https://*.ecom.com", "ecom.com", "https://ecom.com/shop"])
    def test_origins_are_named_one_by_one(self, origins: str) -> None:
        environment = {"DATABASE_URL": "x", "JWT_SECRET": "x" * 32, "TRADELOG_MASTER_KEY": "x"}
        with pytest.raises(SettingsError, match="CORS_ORIGINS: "):
            Settings.read({**environment, "CORS_ORIGINS": f"{ORIGIN},{origins}"})


class TestStatusOfRefusedInput:
    """C4: 422 on the paths that S0 alone names, 400 on all others; what cannot be read is 400 everywhere."""

    def test_depends_on_the_path(self, shop: Shop, admin: Client, buyer: Client) -> None:
        assert_problem(
            shop.guest.post("/auth/signup", {}),
            422,
            "VALIDATION_ERROR",
            "email",
            "password",
            "firstName",
            "lastName",
        )
        assert_problem(
            shop.guest.post("/auth/register", {}),
            400,
            "VALIDATION_ERROR",
            "email",
            "password",
            "firstName",
            "lastName",
        )
        assert_problem(
            buyer.post("/cart/items", {"quantity": 0}), 422, "VALIDATION_ERROR", "productId", "quantity"
        )
        assert_problem(buyer.post("/cart", {"quantity": 0}), 400, "VALIDATION_ERROR", "productId", "quantity")

    def test_what_is_not_json_is_400_there_too(self, shop: Shop) -> None:
        json = {"Content-Type": "application/json"}
        assert_problem(
            shop.guest.post("/auth/signup", content=b"{", headers=json), 400, "VALIDATION_ERROR", "body"
        )
        assert_problem(
            shop.guest.post("/auth/signup", content=b"[]", headers=json), 422, "VALIDATION_ERROR", "body"
        )

    @pytest.mark.parametrize("status", [400, 401])
    def test_a_wrong_password_is_refused_as_one_likes(self, status: int) -> None:
        environment = {"DATABASE_URL": "x", "JWT_SECRET": "x" * 32, "TRADELOG_MASTER_KEY": "x"}
        settings = Settings.read({**environment, "LOGIN_FAILURE_STATUS": str(status)})
        request: Any = SimpleNamespace(app=create_app(settings), scope={"state": {}})
        assert problems.refused(request, InvalidCredentialsError("wrong")).status_code == status

    def test_is_described(self, shop: Shop) -> None:
        paths = httpx.get(f"{shop.origin}/docs/json").json()["paths"]
        for path in ("/api/v1/auth/signup", "/api/v1/cart/items"):
            responses = paths[path]["post"]["responses"]
            assert "names the fields" in responses["422"]["description"], path
            assert "not JSON" in responses["400"]["description"]
        assert "names the fields" in paths["/api/v1/auth/register"]["post"]["responses"]["400"]["description"]
