import itertools
import shutil
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from limits import RateLimitItemPerMinute, RateLimitItemPerSecond

from api import limits as limits_module
from api.app import create_app
from api.limits import STRICT, Broad, Limits, Strict
from application.errors import LogUnavailableError
from application.ports import Counted, Hits
from application.settings import Settings
from tests.api.shop import ADDRESS, Shop, a_registration, assert_problem, soon
from tests.api.test_security import ORIGIN, assert_secure, routes_of
from tests.conftest import FreshDatabase
from tests.support import eventually

MOST_REQUESTS = 150


class Shared:
    """What Postgres counts, in memory; ``available`` can be set to false."""

    def __init__(self) -> None:
        self.available = True
        self.hits: dict[str, int] = {}
        self.calls = 0

    async def count(self, asked: Sequence[Hits]) -> list[Counted]:
        self.calls += 1
        if not self.available:
            raise LogUnavailableError("The database does not answer")
        assert len({hits.key for hits in asked}) == len(asked)
        for hits in asked:
            self.hits[hits.key] = self.hits.get(hits.key, 0) + hits.amount
        return [Counted(hits=self.hits[hits.key], seconds_left=hits.seconds) for hits in asked]

    async def count_in_turn(self, first: Hits, most: int, then: Hits | None) -> list[Counted]:
        counted = await self.count([first])
        if then is not None and counted[0].hits <= most:
            counted += await self.count([then])
        return counted


def a_broad(amount: int = 5, **more: Any) -> Broad:
    return Broad(RateLimitItemPerMinute(amount, 1, "test"), **more)


class TestCountingInOneProcess:
    def test_the_one_too_many_is_refused_and_told_when_to_come_again(self) -> None:
        broad = a_broad()
        seen = [broad.hit("jane") for _ in range(7)]
        assert [standing.refused for standing in seen] == [False] * 5 + [True] * 2
        assert [standing.remaining for standing in seen] == [4, 3, 2, 1, 0, 0, 0]
        assert {standing.limit for standing in seen} == {5}
        assert all(59 <= standing.reset <= 60 for standing in seen)
        assert not broad.hit("ada").refused
        refusal = seen[-1].refusal()
        assert (
            refusal.message == f"Rate limit exceeded. Try again in {refusal.details['retryAfter']} seconds."
        )

    def test_a_window_that_has_ended_begins_anew(self, monkeypatch: pytest.MonkeyPatch) -> None:
        clock = itertools.chain([1000.0] * 6, [1059.9], itertools.repeat(1060.0))
        monkeypatch.setattr(limits_module, "monotonic", lambda: next(clock))
        broad = a_broad()
        assert [broad.hit("jane").refused for _ in range(6)] == [False] * 5 + [True]
        last = broad.hit("jane")
        assert (last.refused, last.reset) == (True, 1)
        assert broad.hit("jane").remaining == 4
        broad.forget_ended()
        assert broad.hit("jane").remaining == 3

    def test_memory_has_an_end(self) -> None:
        broad = a_broad(most_subjects=100)
        for number in range(1000):
            broad.hit(str(number))
        assert len(broad._counts) == 100


class TestCountingTogether:
    async def test_processes_hear_of_each_other(self) -> None:
        shared, one, other = Shared(), a_broad(), a_broad()
        for _ in range(3):
            one.hit("jane")
        other.hit("jane")
        await one.exchange(shared)
        await other.exchange(shared)
        assert other.hit("jane").remaining == 0
        assert other.hit("jane").refused
        await other.exchange(shared)
        assert one.hit("jane").remaining == 1  # it has not heard of the last one yet: this is the overshoot
        await one.exchange(shared)
        assert one.hit("jane").refused

    async def test_nothing_is_told_where_nothing_happened(self) -> None:
        shared, broad = Shared(), a_broad()
        await broad.exchange(shared)
        broad.hit("jane")
        await broad.exchange(shared)
        await broad.exchange(shared)
        assert shared.calls == 1

    async def test_what_could_not_be_told_is_told_later(self) -> None:
        shared, broad = Shared(), a_broad()
        broad.hit("jane")
        shared.available = False
        with pytest.raises(LogUnavailableError):
            await broad.exchange(shared)
        assert [broad.hit("jane").remaining for _ in range(2)] == [3, 2]
        shared.available = True
        await broad.exchange(shared)
        assert list(shared.hits.values()) == [3]
        assert broad.hit("jane").remaining == 1

    async def test_memory_has_an_end_also_while_nothing_can_be_told(self) -> None:
        shared, broad = Shared(), a_broad(most_subjects=10)
        shared.available = False
        for number in range(100):
            broad.hit(str(number))
            with pytest.raises(LogUnavailableError):
                await broad.exchange(shared)
        assert len(broad._untold) == 10

    async def test_hits_during_an_exchange_are_neither_lost_nor_told_twice(self) -> None:
        class Slow(Shared):
            async def count(self, asked: Sequence[Hits]) -> list[Counted]:
                if self.calls == 0:
                    broad.hit("jane")
                return await super().count(asked)

        shared, broad = Slow(), a_broad()
        broad.hit("jane")
        await broad.exchange(shared)
        await broad.exchange(shared)
        assert list(shared.hits.values()) == [2]
        assert broad.hit("jane").remaining == 2

    async def test_many_subjects_go_in_several_batches(self) -> None:
        shared, broad = Shared(), a_broad()
        for number in range(2_500):
            broad.hit(str(number))
        await broad.exchange(shared)
        assert shared.calls == 3
        assert len(shared.hits) == 2_500

    async def test_without_counters_nobody_is_refused_for_that(self) -> None:
        shared, limits = Shared(), Limits(most_requests=3)
        shared.available = False
        login = STRICT["POST", "/auth/login"]
        assert await limits.strict(login, "192.0.2.1", "jane@example.com") is None
        async with limits.shared_through(shared):
            assert await limits.strict(login, "192.0.2.1", "jane@example.com") is None
            seen = [limits.any_request("/api/v1/cart", "192.0.2.1") for _ in range(4)]
            await eventually(lambda: shared.calls > 3, what="trying again")
            shared.available = True
            await eventually(lambda: list(shared.hits.values()) == [3], what="telling later")
        assert [standing is not None and standing.refused for standing in seen] == [False] * 3 + [True]

    async def test_the_stricter_of_two_budgets_is_told(self) -> None:
        shared, limits = Shared(), Limits()
        strict = Strict(
            per_address=RateLimitItemPerSecond(5, 9, "a"), per_email=RateLimitItemPerSecond(2, 9, "e")
        )
        async with limits.shared_through(shared):
            seen = [await limits.strict(strict, "192.0.2.1", "jane") for _ in range(7)]
        told = [(each.limit, each.remaining, each.refused) for each in seen if each is not None]
        assert told == [
            (2, 1, False),
            (2, 0, False),
            (2, 0, True),
            (2, 0, True),
            (2, 0, True),
            (5, 0, True),
            (5, 0, True),
        ]


class Limited(Shop):
    """A shop that counts, behind a proxy on this machine, so that a test may come from anywhere."""

    def __init__(self, database_url: str, folder: Path) -> None:
        super().__init__(
            database_url,
            folder,
            RATE_LIMIT_ENABLED="true",
            RATE_LIMIT_MAX_REQUESTS=str(MOST_REQUESTS),
            TRUSTED_PROXIES="127.0.0.1",
        )

    def ask(
        self, method: str, path: str, address: str, *, origin: str = "", **options: Any
    ) -> httpx.Response:
        headers = {"X-Forwarded-For": address, **options.pop("headers", {})}
        url = f"{origin or self.origin}{path}"
        return self.guest(method, url, headers=headers, **options)


@pytest.fixture(scope="module")
def shop(fresh_database: FreshDatabase, servers_folder: Path) -> Iterator[Limited]:
    folder = servers_folder / "limited"
    with fresh_database() as url, Limited(url, folder) as shop:
        yield shop
    shutil.rmtree(folder, ignore_errors=True)


_numbers = itertools.count(1)


@pytest.fixture
def address() -> str:
    """Where nobody has asked from before."""
    number = next(_numbers)
    return f"198.51.{number // 250}.{number % 250 + 1}"


def assert_refused(response: httpx.Response, limit: int, seconds: int) -> None:
    problem = assert_problem(response, 429, "RATE_LIMITED", "retryAfter")
    wait = problem["details"]["retryAfter"]
    assert problem["message"] == f"Rate limit exceeded. Try again in {wait} seconds."
    assert seconds - 30 <= wait <= seconds
    assert response.headers["retry-after"] == response.headers["ratelimit-reset"] == str(wait)
    assert response.headers["ratelimit-limit"] == str(limit)
    assert response.headers["ratelimit-remaining"] == "0"
    assert_secure(response)


def log_in(shop: Limited, address: str, email: str, **options: Any) -> httpx.Response:
    body = {"email": email, "password": "WrongPass123"}
    return shop.ask("POST", "/api/v1/auth/login", address, json=body, **options)


class TestStrictLimits:
    def test_every_route_that_has_one_exists(self) -> None:
        nobody = Settings(database_url="", jwt_secret="x" * 32, tradelog_master_key="")
        known = {(route.method, route.template) for route in routes_of(create_app(nobody))}
        assert {(method, f"/api/v1{path}") for method, path in STRICT} - known == set()

    def test_an_address_may_sign_in_five_times_in_a_quarter_of_an_hour(
        self, shop: Limited, address: str
    ) -> None:
        for remaining in (4, 3, 2, 1, 0):
            answer = log_in(shop, address, f"{uuid.uuid4().hex}@example.com")
            assert_problem(answer, 400, "INVALID_CREDENTIALS")
            assert answer.headers["ratelimit-limit"] == "5"
            assert answer.headers["ratelimit-remaining"] == str(remaining)
            assert 870 <= int(answer.headers["ratelimit-reset"]) <= 900
        for path in ("/api/v1/auth/login", "/v1/auth/login", "/api/v1/auth/login/", "/api/v1//auth/login"):
            body = {"email": f"{uuid.uuid4().hex}@example.com", "password": "WrongPass123"}
            assert_refused(shop.ask("POST", path, address, json=body), 5, 900)
        assert shop.ask("GET", "/api/v1/products", address).status_code == 200

    @pytest.mark.parametrize("known", [True, False])
    def test_an_email_may_be_tried_ten_times_from_anywhere_known_or_not(
        self, shop: Limited, address: str, known: bool
    ) -> None:
        email = f"{uuid.uuid4().hex}@example.com"
        if known:
            body = a_registration(email=email)
            assert shop.ask("POST", "/api/v1/auth/register", address, json=body).status_code == 201
        seen = [
            log_in(
                shop, f"2001:db8:{turn:x}:{next(_numbers):x}::1", email.upper() if turn % 2 else f" {email}"
            )
            for turn in range(11)
        ]
        assert 429 not in [answer.status_code for answer in seen[:10]]
        assert_refused(seen[10], 10, 900)

    def test_spelling_a_field_differently_does_not_hide_whose_it_is(self, shop: Limited) -> None:
        email = f"{uuid.uuid4().hex}@example.com"
        spellings: list[dict[str, Any]] = [
            {"email_": email},
            {"username_": email},
            {"email": f"{uuid.uuid4().hex}@example.com", "email_": email},
            {"email": None, "username": email},
        ]
        seen = [
            shop.ask(
                "POST",
                "/api/v1/auth/login",
                f"2001:db8:{turn:x}:{next(_numbers):x}::1",
                json={**spellings[turn % len(spellings)], "password": "WrongPass123"},
            )
            for turn in range(11)
        ]
        assert {answer.status_code for answer in seen[:10]} == {400, 423}
        assert_refused(seen[10], 10, 900)

    def test_changing_the_email_is_no_way_around_them(self, shop: Limited, address: str) -> None:
        """Each change tells whether somebody has an address, and sends mail there."""
        tokens = shop.tokens(2)

        def change(token: str, turn: int, email: str) -> httpx.Response:
            headers = {"Authorization": f"Bearer {token}"}
            where = f"2001:db8:{turn:x}:{next(_numbers):x}::1"
            return shop.ask("PATCH", "/api/v1/users/me", where, json={"email": email}, headers=headers)

        wanted = f"{uuid.uuid4().hex}@example.com"
        for turn, email in enumerate((wanted, f"{uuid.uuid4().hex}@example.com") * 2):
            assert change(tokens[0], turn, email).status_code == 200
        assert change(tokens[1], 4, wanted.upper()).status_code == 200
        assert_refused(change(tokens[0], 5, wanted), 3, 3600)
        for turn in range(6, 11):
            assert change(tokens[0], turn, f"{uuid.uuid4().hex}@example.com").status_code == 200
        assert_refused(change(tokens[0], 12, f"{uuid.uuid4().hex}@example.com"), 10, 3600)

    def test_a_link_is_sent_again_to_an_account_three_times_an_hour_from_anywhere(
        self, shop: Limited, address: str
    ) -> None:
        registered = shop.ask("POST", "/api/v1/auth/register", address, json=a_registration()).json()
        headers = {"Authorization": f"Bearer {registered['token']}"}

        def resend(turn: int) -> httpx.Response:
            where = f"2001:db8:{turn:x}:{next(_numbers):x}::1"
            return shop.ask("POST", "/api/v1/auth/verify-email/resend", where, headers=headers)

        assert [resend(turn).status_code for turn in range(3)] == [202] * 3
        assert_refused(resend(3), 3, 3600)

    def test_codes_of_coupons_cannot_be_guessed_by_one_account_nor_from_one_address(
        self, shop: Limited, address: str
    ) -> None:
        """Neither by putting them into the cart nor by naming them in an order, which tell the same."""
        tokens = shop.tokens(4)
        order = {"shippingAddress": ADDRESS, "products": [{"id": 1}]}

        def guess(token: str, where: str, turn: int) -> httpx.Response:
            code = uuid.uuid4().hex
            headers = {"Authorization": f"Bearer {token}"}
            if turn % 2:
                body = {**order, "couponCode": code}
                return shop.ask("POST", "/api/v1/orders", where, json=body, headers=headers)
            return shop.ask(
                "POST", "/api/v1/checkout/apply-coupon", where, json={"code": code}, headers=headers
            )

        from_anywhere = [
            guess(tokens[0], f"2001:db8:{turn:x}:{next(_numbers):x}::1", turn) for turn in range(21)
        ]
        assert {answer.status_code for answer in from_anywhere[:20]} == {422}
        assert_refused(from_anywhere[20], 20, 600)
        by_anyone = [guess(tokens[1 + turn % 3], address, turn) for turn in range(21)]
        assert {answer.status_code for answer in by_anyone[:20]} == {422}
        assert_refused(by_anyone[20], 20, 600)
        headers = {"Authorization": f"Bearer {tokens[0]}"}
        without = shop.ask("POST", "/api/v1/orders", "2001:db8:77::1", json=order, headers=headers)
        assert without.status_code != 429

    def test_registering_and_signing_up_share_three_an_hour(self, shop: Limited, address: str) -> None:
        for path in ("register", "signup", "register"):
            answer = shop.ask(
                "POST", f"/api/v1/auth/{path}", address, json=a_registration(username=f"u{uuid.uuid4().hex}")
            )
            assert answer.status_code == 201
        for path in ("register", "signup"):
            head = shop.head()
            refused = shop.ask("POST", f"/api/v1/auth/{path}", address, json=a_registration())
            assert_refused(refused, 3, 3600)
            assert shop.head() == head

    def test_subscribers_of_ipv6_count_as_one(self, shop: Limited) -> None:
        network = f"2001:db8:aaaa:{next(_numbers):x}"
        for host in range(5):
            email = f"{uuid.uuid4().hex}@example.com"
            assert log_in(shop, f"{network}::{host + 1:x}", email).status_code == 400
        assert_refused(log_in(shop, f"[{network}:1:2:3:4]:99", f"{uuid.uuid4().hex}@example.com"), 5, 900)

    def test_processes_count_together_and_exactly(self, shop: Limited, address: str) -> None:
        with shop.another_api() as origin:
            statuses = [
                log_in(shop, address, f"{uuid.uuid4().hex}@example.com", origin=where).status_code
                for where in ("", origin, "", origin, "", origin, "", origin)
            ]
        assert statuses == [400] * 5 + [429] * 3


class TestBroadLimits:
    def test_everything_together(self, shop: Limited, address: str) -> None:
        answers = [shop.ask("GET", "/api/v1/nothing", address) for _ in range(MOST_REQUESTS + 2)]
        assert [answer.status_code for answer in answers] == [404] * MOST_REQUESTS + [429] * 2
        assert answers[0].headers["ratelimit-limit"] == str(MOST_REQUESTS)
        assert answers[0].headers["ratelimit-remaining"] == str(MOST_REQUESTS - 1)
        assert_refused(answers[-1], MOST_REQUESTS, 60)
        refused = shop.ask("GET", "/api/v1/products", address, headers={"Origin": ORIGIN})
        assert_refused(refused, MOST_REQUESTS, 60)
        assert refused.headers["access-control-allow-origin"] == ORIGIN
        snake = shop.ask(
            "GET", "/api/v1/products", address, headers={"Accept": "application/json; case=snake"}
        )
        assert snake.status_code == 429
        assert "retry_after" in snake.json()["details"]
        preflight = {"Origin": ORIGIN, "Access-Control-Request-Method": "GET"}
        assert shop.ask("OPTIONS", "/api/v1/products", address, headers=preflight).status_code == 204

    def test_operators_and_the_payment_provider_are_not_counted(self, shop: Limited, address: str) -> None:
        for method, path in (
            ("GET", "/health"),
            ("GET", "/metrics"),
            ("GET", "/docs/json"),
            ("POST", "/api/v1/payments/stripe"),
            ("POST", "/v1/webhooks/stripe"),
        ):
            answer = shop.ask(method, path, address)
            assert "ratelimit-limit" not in answer.headers, path
        answer = shop.ask("GET", "/api/v1/nothing", address)
        assert answer.headers["ratelimit-remaining"] == str(MOST_REQUESTS - 1)

    def test_products_by_whatever_name_and_also_at_hand(self, shop: Limited, address: str) -> None:
        paths = ("/api/v1/products", "/api/v1/listings/nothing", "/v1/products/nothing")
        statuses = [shop.ask("GET", paths[turn % 3], address).status_code for turn in range(101)]
        assert set(statuses[:100]) == {200, 404}
        assert statuses[100] == 429
        assert_refused(shop.ask("GET", "/api/v1/products/1", address), 100, 60)
        assert shop.ask("GET", "/api/v1/categories", address).status_code == 200

    def test_orders_per_user_from_wherever(self, shop: Limited) -> None:
        (token, other) = shop.tokens(2)
        bearer = {"Authorization": f"Bearer {token}"}
        answers = [
            shop.ask("GET", "/api/v1/orders", f"203.0.113.{turn + 1}", headers=bearer) for turn in range(31)
        ]
        assert 429 not in [answer.status_code for answer in answers[:30]]
        assert_refused(answers[30], 30, 60)
        somebody_else = {"Authorization": f"Bearer {other}"}
        assert shop.ask("GET", "/api/v1/orders", "203.0.113.1", headers=somebody_else).status_code != 429

    def test_payments_per_address(self, shop: Limited, address: str) -> None:
        path = "/api/v1/payments/intents/pi_nothing/status"
        statuses = [shop.ask("GET", path, address).status_code for _ in range(11)]
        assert statuses == [401] * 10 + [429]

    def test_a_card_that_is_tried_for_an_order_is_a_payment(self, shop: Limited) -> None:
        (token,) = shop.tokens(1)
        bearer = {"Authorization": f"Bearer {token}"}

        def confirmed(turn: int, body: dict[str, str]) -> httpx.Response:
            path, address = "/api/v1/orders/ORD-1/confirm", f"203.0.113.{turn + 100}"
            return shop.ask("POST", path, address, headers=bearer, json=body)

        card = {"paymentMethodId": "pm_card_visa_chargeDeclined"}
        assert [confirmed(turn, card).status_code for turn in range(10)] == [404] * 10
        assert_refused(confirmed(10, card), 10, 60)
        assert confirmed(11, {}).status_code == 404

    def test_processes_hear_of_each_other_soon(self, shop: Limited, address: str) -> None:
        path = "/api/v1/payments/intents/pi_nothing/status"
        with shop.another_api() as origin:
            for _ in range(9):
                assert shop.ask("GET", path, address).status_code == 401

            def is_refused_there() -> bool:
                return shop.ask("GET", path, address, origin=origin).status_code == 429

            soon(is_refused_there, "the other process refusing", within=5)
            soon(lambda: shop.ask("GET", path, address).status_code == 429, "this process refusing", within=5)


class TestWithoutCounters:
    def test_strict_limits_let_everybody_pass_and_broad_ones_go_on(self, shop: Limited, address: str) -> None:
        """As when Postgres is away, except that then the log would refuse all of these by itself."""
        with psycopg.connect(shop.database_url, autocommit=True) as connection:
            connection.execute("ALTER TABLE rate_limits RENAME TO elsewhere")
            try:
                seen = [log_in(shop, address, f"{uuid.uuid4().hex}@example.com") for _ in range(7)]
                assert [answer.status_code for answer in seen] == [400] * 7
                remaining = [int(answer.headers["ratelimit-remaining"]) for answer in seen]
                assert remaining == list(range(MOST_REQUESTS - 1, MOST_REQUESTS - 8, -1))
            finally:
                connection.execute("ALTER TABLE elsewhere RENAME TO rate_limits")
        assert log_in(shop, address, "nobody@example.com").headers["ratelimit-limit"] == "5"


class TestWhereARequestComesFrom:
    def test_is_told_of_the_session(self, shop: Limited, address: str) -> None:
        body = a_registration()
        answer = shop.ask("POST", "/api/v1/auth/register", f"8.8.8.8, {address}", json=body)
        bearer = {"Authorization": f"Bearer {answer.json()['token']}"}
        position = {"X-Min-Log-Position": answer.headers["x-log-position"]}
        (session,) = shop.ask("GET", "/api/v1/auth/sessions", address, headers=bearer | position).json()
        assert session["ip"] == address

    def test_is_not_this_machine_for_somebody_behind_the_proxy(self, shop: Limited) -> None:
        assert httpx.get(f"{shop.origin}/metrics").status_code == 200
        for told in ("198.51.100.1", "127.0.0.1", "::1", "garbage"):
            assert_problem(shop.ask("GET", "/metrics", told), 403, "FORBIDDEN")

    def test_keeps_the_idempotency_keys_of_strangers_apart(self, shop: Limited, address: str) -> None:
        key = {"Idempotency-Key": "1"}
        body = a_registration()
        first = shop.ask("POST", "/api/v1/auth/register", address, json=body, headers=key)
        assert first.status_code == 201
        elsewhere = f"2001:db8:bbbb:{next(_numbers):x}::1"
        other = shop.ask("POST", "/api/v1/auth/register", elsewhere, json=a_registration(), headers=key)
        assert other.status_code == 201
        assert "idempotency-replayed" not in other.headers
        again = shop.ask("POST", "/api/v1/auth/register", address, json=body, headers=key)
        assert (again.content, again.headers["idempotency-replayed"]) == (first.content, "true")
        changed = shop.ask("POST", "/api/v1/auth/register", address, json=a_registration(), headers=key)
        assert_problem(changed, 422, "IDEMPOTENCY_KEY_REUSED")


class TestSwitchedOff:
    def test_nobody_is_counted(self) -> None:
        off = Settings(database_url="", jwt_secret="x" * 32, tradelog_master_key="", rate_limit_enabled=False)
        assert Limits.of(off) is None
        assert Limits.of(Settings(database_url="", jwt_secret="x" * 32, tradelog_master_key="")) is not None
