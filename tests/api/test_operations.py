import json
import re
import subprocess
import sys
import uuid
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import httpx
import psycopg
import pytest
from msgspec.structs import replace

from api.app import create_app
from api.problems import validation_status
from domain.accounts.events import Role
from projections.bootstrap import IN_POSTGRES
from tests.api.shop import ADDRESS, Client, Shop, a_product, a_registration, assert_problem, soon


@pytest.fixture(scope="module")
def document(shop: Shop) -> dict[str, Any]:
    document: dict[str, Any] = httpx.get(f"{shop.origin}/docs/json").json()
    return document


class TestEveryRoute:
    """What is true of all of them, by a walk over what the API says of itself."""

    def test_is_described_with_its_purpose_answers_and_refusals(self, document: dict[str, Any]) -> None:
        operations = [
            (path, method, operation)
            for path, item in document["paths"].items()
            for method, operation in item.items()
        ]
        assert len(operations) > 50
        for path, method, operation in operations:
            assert operation["description"], path
            assert {"400", "503"} <= operation["responses"].keys(), path
            assert any(code.startswith(("2", "3")) for code in operation["responses"]), path
            names = {parameter["name"] for parameter in operation["parameters"]}
            assert ("Idempotency-Key" if method != "get" else "X-Min-Log-Position") in names, path
        assert document["components"]["securitySchemes"]["bearer"]["scheme"] == "bearer"

    def test_refuses_strangers_and_unknown_methods_in_the_one_envelope(
        self, shop: Shop, document: dict[str, Any]
    ) -> None:
        guest, head = shop.client(origin=shop.origin), shop.head()
        for template, item in document["paths"].items():
            path = template.replace("{stream}", "5e0e7d5c-0000-4000-8000-000000000000")
            path = path.replace("{", "").replace("}", "")
            url = shop.origin + path
            for method, operation in item.items():
                if operation.get("security"):
                    refused = guest(method.upper(), url)
                    if path.endswith("/auth/validate"):
                        assert refused.status_code == 401
                    else:
                        assert_problem(refused, 401, "UNAUTHORIZED")
            assert_problem(guest("TRACE", url), 405, "METHOD_NOT_ALLOWED")
            assert_problem(guest("GET", f"{url}/no/such/thing"), 404, "NOT_FOUND")
        assert shop.head() == head

    def test_refuses_a_body_that_is_no_json_object(
        self, shop: Shop, admin: Client, document: dict[str, Any]
    ) -> None:
        head = shop.head()
        for template, item in document["paths"].items():
            for method, operation in item.items():
                if "requestBody" not in operation:
                    continue
                url = shop.origin + template.replace("{", "").replace("}", "")
                for broken in (
                    b'{"a":',
                    b"[]",
                    b"7",
                    b'"text"',
                    b"\xff\xfe",
                    b"[" * 100_000,
                    b'{"a": NaN}',
                    b"",
                ):
                    if not broken and not operation["requestBody"]["required"]:
                        continue
                    refused = admin(
                        method.upper(), url, content=broken, headers={"Content-Type": "application/json"}
                    )
                    readable = broken in (b"[]", b"7", b'"text"')
                    status = validation_status(template) if readable else 400
                    assert_problem(refused, status, "VALIDATION_ERROR", "body")
                form = admin(method.upper(), url, content=b"a=1", headers={"Content-Type": "text/plain"})
                assert_problem(form, 415, "UNSUPPORTED_MEDIA_TYPE")
        assert shop.head() == head

    def test_unknown_paths_and_odd_ones_are_not_found(self, shop: Shop) -> None:
        for path in ("/", "/api", "/api/v1", "/api/v2/products", "/%00", "/api/v1/products/%2e%2e/x", "/v1"):
            assert_problem(httpx.get(shop.origin + path), 404, "NOT_FOUND")


class TestPaths:
    def test_have_their_aliases(self, shop: Shop) -> None:
        for path in ("/products", "/products/search?q=x", "/categories"):
            assert httpx.get(f"{shop.origin}/v1{path}").json() == shop.guest.get(path).json()
        for path in ("/health", "/metrics", "/docs/json", "/docs"):
            for prefix in ("", "/api/v1", "/v1"):
                assert httpx.get(f"{shop.origin}{prefix}{path}").status_code == 200, prefix + path
        assert "swagger" in httpx.get(f"{shop.origin}/docs").text.lower()

    def test_the_description_needs_no_server(self) -> None:
        printed = subprocess.run([sys.executable, "-m", "api", "openapi"], capture_output=True, check=True)
        assert json.loads(printed.stdout)["info"]["title"] == "Tradelog"


class TestDocumentation:
    def test_is_read_without_anybody_elses_server(self, shop: Shop) -> None:
        for prefix in ("", "/api/v1", "/v1"):
            page = httpx.get(f"{shop.origin}{prefix}/docs")
            assert page.status_code == 200
            assert page.headers["content-type"].startswith("text/html")
            asked = re.findall(r"""<(?:link|script|img)[^>]*\s(?:href|src)=["']([^"']+)""", page.text)
            assert len(asked) == 4
            assert all(url.startswith("/docs/assets/") for url in asked)
            assert "cdn" not in page.text.partition("<body>")[0]
            for url in asked:
                asset = httpx.get(f"{shop.origin}{prefix}{url}")
                assert asset.status_code == 200, url
                assert asset.headers["cache-control"] == "public, max-age=31536000, immutable"
                assert asset.headers["content-disposition"].startswith("inline")
                kind = {"js": "text/javascript", "css": "text/css", "png": "image/png"}
                assert (
                    asset.headers["content-type"].partition(";")[0] == kind[asset.url.path.rpartition(".")[2]]
                )

    def test_has_no_other_files(self, shop: Shop) -> None:
        for name in ("nothing.js", "swagger-editor-bundle.js", "..%2f__init__.py", "LICENSE"):
            assert_problem(httpx.get(f"{shop.origin}/docs/assets/{name}"), 404, "NOT_FOUND")

    def test_what_is_not_there_is_told_as_everywhere_else(self, shop: Shop) -> None:
        for path in ("/docs/nothing", "/api/v1/docs/nothing", "/docs/nothing.json"):
            assert_problem(httpx.get(f"{shop.origin}{path}"), 404, "NOT_FOUND")


class TestRequestIds:
    def test_are_echoed_when_they_are_sane_and_made_otherwise(self, shop: Shop) -> None:
        for path in ("/products", "/nowhere"):
            assert (
                shop.guest.get(path, headers={"X-Request-ID": "abc-1.2:3_4"}).headers["x-request-id"]
                == "abc-1.2:3_4"
            )
            for odd in ("", "a b", "x" * 129, '"'):
                made = shop.guest.get(path, headers={"X-Request-ID": odd}).headers["x-request-id"]
                assert made != odd
                assert len(made) == 32

    def test_stand_in_one_line_per_request_with_who_and_where(
        self, shop: Shop, product: dict[str, Any]
    ) -> None:
        registered = shop.guest.made("/auth/register", a_registration())
        buyer = shop.client(registered["token"])
        added = buyer.post(
            "/cart", {"productId": product["id"]}, headers={"X-Request-ID": "line-of-the-cart"}
        )
        order = {"shippingAddress": ADDRESS | {"phone": "+4912345678"}}
        buyer.post("/orders", order, headers={"X-Request-ID": "line-of-the-order"})
        (line,) = self.lines(shop, "line-of-the-cart")
        assert line.items() >= {
            "event": "request", "level": "info", "method": "POST", "path": "/api/v1/cart", "status": 201,
            "actor": f"user:{registered['user']['uuid']}", "position": int(added.headers["x-log-position"]),
        }.items()  # fmt: skip
        assert line["ms"] > 0
        assert len(self.lines(shop, "line-of-the-order")) == 1
        for secret in (
            registered["token"],
            registered["email"],
            "+4912345678",
            "SecurePass123",
            "123 Main St",
        ):
            assert secret not in shop.log_lines()

    def lines(self, shop: Shop, request_id: str) -> list[dict[str, Any]]:
        soon(lambda: request_id in shop.log_lines(), "log line")
        return [json.loads(line) for line in shop.log_lines().splitlines() if request_id in line]


class TestHealthAndMetrics:
    def test_each_dependency_is_told(self, shop: Shop) -> None:
        health = httpx.get(f"{shop.origin}/health")
        assert health.status_code == 200
        report = health.json()
        assert report["status"] == "ok"
        assert report["uptime"] > 0
        assert {name: state["status"] for name, state in report["dependencies"].items()} == {
            "log": "ok", "nats": "ok", "search": "ok", "payments": "ok", "storage": "ok", "mail": "ok",
        }  # fmt: skip

    def test_metrics_do_not_grow_with_what_anybody_calls_a_method(self, shop: Shop) -> None:
        made_up = [f"BREW{uuid.uuid4().hex.upper()}" for _ in range(3)]
        for method in made_up:
            assert_problem(shop.guest(method, "/products"), 400, "VALIDATION_ERROR")
        assert_problem(shop.guest("PROPFIND", "/products"), 405, "METHOD_NOT_ALLOWED")
        text = httpx.get(f"{shop.origin}/metrics").text
        assert [method for method in made_up if method in text] == []
        assert 'method="other"' in text

    def test_metrics_are_for_this_machine(self, shop: Shop, product: dict[str, Any]) -> None:
        shop.guest.get(f"/products/{product['id']}", headers={"X-Min-Log-Position": str(shop.head())})
        text = httpx.get(f"{shop.origin}/metrics").text
        assert (
            'tradelog_http_request_seconds_count{method="GET",route="/api/v1/products/{ref}",status="200"}'
            in text
        )
        assert "tradelog_append_batch_commands_count" in text
        assert "tradelog_events_total" in text
        through_proxy = httpx.get(f"{shop.origin}/metrics", headers={"X-Forwarded-For": "10.0.0.1"})
        assert_problem(through_proxy, 403, "FORBIDDEN")


class TestSnakeCase:
    def test_is_what_one_gets_who_asks(self, shop: Shop, product: dict[str, Any]) -> None:
        asked = {"Accept": "application/json; case=snake"}
        plain = shop.guest.get(f"/products/{product['id']}", headers={"X-Min-Log-Position": str(shop.head())})
        assert "discountPercentage" in plain.json()
        for headers in (asked, asked | {"Authorization": "Bearer x"}):
            snake = shop.guest.get(f"/products/{product['id']}", headers=headers)
            assert snake.json()["discount_percentage"] == 5.5
            assert snake.json()["created_at"] == plain.json()["createdAt"]
            assert int(snake.headers["content-length"]) == len(snake.content)
        refused = shop.guest.post("/auth/register", {}, headers=asked).json()
        assert refused.keys() == {"message", "status", "code", "details", "error", "request_id"}


class TestReadingOnesWrites:
    def test_a_reader_waits_for_what_it_names_and_never_gets_less(self, shop: Shop, buyer: Client) -> None:
        paths = ("/products", "/categories", "/products/1", "/products/search?q=a")
        ahead = {"X-Min-Log-Position": str(shop.head() + 1_000)}
        with ThreadPoolExecutor() as threads:
            answers = list(threads.map(lambda path: shop.guest.get(path, headers=ahead), paths))
        for path, beyond in zip(paths, answers, strict=True):
            assert_problem(beyond, 503, "READ_MODEL_BEHIND")
            assert beyond.headers["retry-after"] == "1"
            odd = shop.guest.get(path, headers={"X-Min-Log-Position": "many"})
            assert_problem(odd, 400, "VALIDATION_ERROR", "X-Min-Log-Position")

    def test_a_browser_sees_its_own_changes_by_its_cookie(
        self, shop: Shop, admin: Client, category: str
    ) -> None:
        made = admin.made("/products/add", a_product(category))
        for price in range(1, 20):
            changed = admin.patch(f"/products/{made['id']}", {"price": price})
            cookie = changed.headers["set-cookie"].partition(";")[0]
            assert cookie == f"logPosition={changed.headers['x-log-position']}"
            # Without a token, so that nothing but the cookie tells who reads.
            seen = shop.guest.get(f"/products/{made['id']}", headers={"Cookie": cookie})
            assert seen.json()["price"] == price

    def test_an_answer_that_is_given_again_makes_no_browser_forget_what_came_after_it(
        self, shop: Shop, admin: Client, category: str
    ) -> None:
        path = f"/products/{admin.made('/products/add', a_product(category))['id']}"
        key = {"Idempotency-Key": f"cookie {uuid.uuid4().hex}"}
        admin.patch(path, {"price": 5}, headers=key)
        newest = admin.patch(path, {"price": 6}).headers["x-log-position"]
        # The process remembers who asked; where it does not, the browser's own cookie is left alone.
        again = admin.patch(path, {"price": 5}, headers=key)
        assert again.headers["idempotency-replayed"] == "true"
        assert f"logPosition={newest};" in again.headers["set-cookie"]
        kept = {"Cookie": f"logPosition={newest}"}
        assert "set-cookie" not in admin.patch(path, {"price": 5}, headers={**key, **kept}).headers

    def test_a_program_sees_its_own_changes_without_doing_anything(
        self, shop: Shop, admin: Client, category: str
    ) -> None:
        made = admin.made("/products/add", a_product(category))
        for price in range(1, 20):
            admin.patch(f"/products/{made['id']}", {"price": price})
            assert admin.get(f"/products/{made['id']}").json()["price"] == price

    def test_a_cookie_that_makes_no_sense_asks_for_nothing(self, shop: Shop) -> None:
        assert shop.guest.get("/products", headers={"Cookie": "logPosition=x; other=1"}).status_code == 200


class TestReadModels:
    def test_are_listed_with_their_lag(self, shop: Shop, admin: Client) -> None:
        listed = admin.get("/admin/projections").json()
        names = {projection["name"] for projection in listed["projections"]}
        assert names == {projection.name for projection in IN_POSTGRES}
        assert listed["head"] == shop.head()
        one = admin.get("/admin/projections/products").json()
        assert one["active"]["engine"] == "postgres"
        assert_problem(admin.get("/admin/projections/nothing"), 404, "PROJECTION_NOT_FOUND")
        assert_problem(shop.user().get("/admin/projections"), 403, "FORBIDDEN")

    def is_done(self, admin: Client, request: int) -> bool:
        return bool(admin.get(f"/admin/projection-requests/{request}").json()["outcome"])

    def test_are_built_anew_when_asked_to(self, admin: Client, product: dict[str, Any]) -> None:
        before = admin.get("/admin/projections/products").json()["active"]["generation"]
        replay = admin.post("/search/index/replay")
        assert replay.status_code == 202
        assert [request["name"] for request in replay.json()["requests"]] == ["products", "search_words"]
        soon(
            lambda: admin.get("/admin/projections/products").json()["active"]["generation"] > before,
            "rebuild",
            within=30,
        )
        for request in replay.json()["requests"]:
            soon(partial(self.is_done, admin, request["id"]), "the end of it", within=30)
        assert admin.get(f"/products/{product['id']}").json()["id"] == product["id"]
        assert admin.post("/admin/projections/products/rollback").status_code == 202

    def test_are_halted_and_go_on(self, admin: Client) -> None:
        assert admin.made("/admin/projections/carts/pause")["active"]["paused"] is True
        assert admin.made("/admin/projections/carts/resume")["active"]["paused"] is False
        assert_problem(admin.post("/admin/projections/nothing/rebuild"), 404, "PROJECTION_NOT_FOUND")

    def test_tell_what_could_not_be_folded(self, admin: Client) -> None:
        assert admin.get("/admin/projections/carts/dead-letters").json() == {"deadLetters": []}
        assert_problem(admin.get("/admin/projections/nothing/dead-letters"), 404, "PROJECTION_NOT_FOUND")
        for action in ("retry", "skip"):
            for letter in ("999999", "first"):
                assert_problem(
                    admin.post(f"/admin/dead-letters/{letter}/{action}"), 404, "PROJECTION_NOT_FOUND"
                )


class TestAskingTheProjectorTwice:
    """An ``Idempotency-Key`` is honoured here too, although nothing of this is an event."""

    def requests(self, shop: Shop) -> list[tuple[str, str]]:
        with psycopg.connect(shop.database_url) as connection:
            return connection.execute("SELECT name, action FROM projection_requests ORDER BY id").fetchall()

    @pytest.mark.parametrize(
        ("path", "asked"),
        [
            ("/admin/projections/categories/rebuild", [("categories", "rebuild")]),
            ("/admin/projections/categories/rollback", [("categories", "rollback")]),
            ("/search/index/replay", [("products", "rebuild"), ("search_words", "rebuild")]),
        ],
    )
    def test_is_asking_once(self, shop: Shop, admin: Client, path: str, asked: list[tuple[str, str]]) -> None:
        before = self.requests(shop)
        key = {"Idempotency-Key": f"once {path}"}
        with ThreadPoolExecutor() as threads:
            answers = list(threads.map(lambda _: admin.post(path, headers=key), range(4)))
        answers.append(admin.post(path, headers=key))
        assert {answer.status_code for answer in answers} == {202}
        assert len({answer.content for answer in answers}) == 1
        replayed = [answer.headers.get("idempotency-replayed") for answer in answers]
        assert sorted(map(str, replayed)) == ["None", "true", "true", "true", "true"]
        assert self.requests(shop) == before + asked
        another = admin.post(path, headers={"Idempotency-Key": f"again {path}"})
        assert another.json() != answers[0].json()

    def test_for_something_else_needs_another_key(self, shop: Shop, admin: Client) -> None:
        key = {"Idempotency-Key": "one key for all"}
        assert admin.post("/admin/projections/accounts/pause", headers=key).status_code == 200
        assert admin.made("/admin/projections/accounts/resume")["active"]["paused"] is False
        before = self.requests(shop)
        for path in (
            "/admin/projections/accounts/resume",
            "/admin/projections/carts/pause",
            "/admin/projections/accounts/rebuild",
            "/admin/dead-letters/1/retry",
            "/search/index/replay",
        ):
            assert_problem(admin.post(path, headers=key), 422, "IDEMPOTENCY_KEY_REUSED")
        taken = {"Idempotency-Key": "a command's"}
        assert admin.post("/admin/categories", {"name": "Keyrings"}, headers=taken).status_code == 201
        refused = admin.post("/admin/projections/accounts/rebuild", headers=taken)
        assert_problem(refused, 422, "IDEMPOTENCY_KEY_REUSED")
        assert self.requests(shop) == before

    def test_to_pause_does_not_pause_what_goes_on_since(self, admin: Client) -> None:
        key = {"Idempotency-Key": "pause for a moment"}
        paused = admin.post("/admin/projections/accounts/pause", headers=key)
        assert paused.json()["active"]["paused"] is True
        assert admin.made("/admin/projections/accounts/resume")["active"]["paused"] is False
        again = admin.post("/admin/projections/accounts/pause", headers=key)
        assert (again.content, again.headers["idempotency-replayed"]) == (paused.content, "true")
        assert admin.get("/admin/projections/accounts").json()["active"]["paused"] is False

    def test_is_a_key_of_ones_own(self, shop: Shop, admin: Client) -> None:
        key = {"Idempotency-Key": "everybody's"}
        first = admin.post("/admin/projections/categories/rebuild", headers=key)
        another = shop.staff(Role.ADMIN).post("/admin/projections/categories/rebuild", headers=key)
        assert another.json()["id"] > first.json()["id"]
        assert "idempotency-replayed" not in another.headers

    def test_a_refusal_leaves_the_key_free(self, shop: Shop, admin: Client) -> None:
        key = {"Idempotency-Key": "not yet"}
        before = self.requests(shop)
        for path in ("/admin/projections/nothing/rebuild", "/admin/dead-letters/999999/skip"):
            assert_problem(admin.post(path, headers=key), 404, "PROJECTION_NOT_FOUND")
        odd = admin.post("/admin/projections/carts/rebuild", headers={"Idempotency-Key": "x" * 256})
        assert_problem(odd, 400, "VALIDATION_ERROR", "Idempotency-Key")
        assert self.requests(shop) == before
        assert admin.post("/admin/projections/carts/pause", headers=key).status_code == 200
        admin.made("/admin/projections/carts/resume")


def test_a_bug_tells_the_client_nothing_and_the_log_everything(
    shop: Shop, capsys: pytest.CaptureFixture[str]
) -> None:
    from litestar import get
    from litestar.testing import TestClient

    @get("/bug", sync_to_thread=False)
    def bug() -> None:
        raise RuntimeError("the secret of the house")

    app = create_app(shop.settings)
    app.register(bug)
    with TestClient(app, raise_server_exceptions=False) as client:
        problem = client.get("/bug")
    assert (problem.status_code, problem.json()["code"]) == (500, "INTERNAL_ERROR")
    assert "secret" not in problem.text
    assert "the secret of the house" in capsys.readouterr().out


def test_reads_have_as_many_connections_as_the_operator_says(shop: Shop) -> None:
    from litestar.testing import TestClient

    app = create_app(replace(shop.settings, database_pool_size=3))
    with TestClient(app):
        assert app.state.backend.read.reads.pool.max_size == 3


def test_browsers_of_our_storefront_may_ask(shop: Shop, product: dict[str, Any]) -> None:
    for path in ("/products", f"/products/{product['id']}"):
        assert shop.guest.get(path, headers={"X-Min-Log-Position": str(shop.head())}).status_code == 200
        ours = shop.guest.get(path, headers={"Origin": "http://localhost:5173"})
        assert ours.headers["access-control-allow-origin"] == "http://localhost:5173"
        assert (
            "access-control-allow-origin"
            not in shop.guest.get(path, headers={"Origin": "http://evil.example"}).headers
        )
