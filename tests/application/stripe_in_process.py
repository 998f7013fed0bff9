"""The Stripe simulator without a process around it, through the real adapter: for tests of thousands of steps."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, cast
from urllib.parse import urlsplit

import httpx
import msgspec
import stripe

from application.adapters.stripe_payments import StripePayments
from application.ports import Clock
from workers.local.stripe_simulator import create_app, signature

KEY: Final = "sk_test_in_process"
SECRET: Final = "whsec_in_process"
STRIPE: Final = "http://stripe.test"


class _InProcess(stripe.HTTPClient):
    """How the package asks: here it is one call away."""

    name = "in_process"

    def __init__(self, http: httpx.AsyncClient) -> None:
        super().__init__()
        self.http = http
        self.requests: list[str] = []
        self.before: Callable[[], Awaitable[None]] | None = None
        self.after: Callable[[], Awaitable[None]] | None = None

    async def request_async(
        self, method: str, url: str, headers: Mapping[str, str], post_data: Any = None
    ) -> tuple[bytes, int, Mapping[str, str]]:
        self.requests.append(f"{method.upper()} {urlsplit(url).path}")
        before, self.before = self.before, None
        if before is not None:
            await before()
        answer = await self.http.request(method, url, headers=dict(headers), content=post_data)
        after, self.after = self.after, None
        if after is not None:
            await after()
        return answer.content, answer.status_code, answer.headers

    async def close_async(self) -> None:
        await self.http.aclose()


async def _cut_off() -> None:
    raise stripe.APIConnectionError("Nobody answers")  # type: ignore[no-untyped-call]  # the SDK leaves it untyped


class InProcessStripe(StripePayments):
    """Whoever asks it can be cut off, and something else can happen while it is asked, once each time it is wanted."""

    def __init__(self) -> None:
        super().__init__(KEY, SECRET)
        self._clock: Clock | None = None
        app = create_app(
            key=KEY,
            webhook_url=None,
            webhook_secret=SECRET,
            state=None,
            clock=lambda: self._clock.now().timestamp() if self._clock else 0.0,
        )
        self._stripe_http = httpx.AsyncClient(
            transport=httpx.ASGITransport(app=cast(Any, app)), headers={"Authorization": f"Bearer {KEY}"}
        )
        self._asked = _InProcess(self._stripe_http)
        self._client = stripe.StripeClient(
            KEY, http_client=self._asked, base_addresses={"api": STRIPE}, max_network_retries=0
        )

    async def begin(self, clock: Clock) -> None:
        """Nothing has happened yet, and from now on it does by this clock, and only when somebody says so."""
        self._clock = clock
        self.forget()
        self._asked.requests.clear()
        await self.control("forget")
        await self.control("pace", settle_after=None)

    def lose(self, *, answer: bool) -> None:
        """The next request, before it arrives; or its ``answer``, when all is done."""
        if answer:
            self._asked.after = _cut_off
        else:
            self._asked.before = _cut_off

    def meanwhile(self, what: Callable[[], Awaitable[None]], *, done: bool) -> None:
        """This happens while we ask the next time: once the provider has ``done`` what it was asked for, or before."""
        if done:
            self._asked.after = what
        else:
            self._asked.before = what

    @property
    def requests(self) -> list[str]:
        """What we have asked for since it began: method and path."""
        return self._asked.requests

    def forget(self) -> None:
        """Nothing happens meanwhile after all."""
        self._asked.before = self._asked.after = None

    async def ask(self, path: str, **fields: str) -> dict[str, Any]:
        """Somebody else does: a payer, a bank, the shop's owner at the provider's own pages."""
        answer = await self._stripe_http.post(f"{STRIPE}{path}", data=fields)
        found: dict[str, Any] = answer.json()
        return found

    async def control(self, path: str, **settings: object) -> None:
        answer = await self._stripe_http.post(f"{STRIPE}/simulator/{path}", json=settings)
        assert answer.is_success, answer.text

    async def all(self, resource: str) -> list[dict[str, Any]]:
        """Oldest first."""
        found: list[dict[str, Any]] = []
        page: dict[str, str] = {"limit": "100"}
        while True:
            answer = (await self._stripe_http.get(f"{STRIPE}/v1/{resource}", params=page)).json()
            found += answer["data"]
            if not answer["has_more"]:
                return found[::-1]
            page["starting_after"] = found[-1]["id"]

    async def close(self) -> None:
        await super().close()
        await self._stripe_http.aclose()


def webhook_of(event: Mapping[str, Any]) -> tuple[bytes, str]:
    """An event as it is sent, and what it is signed with."""
    body = msgspec.json.encode(event)
    return body, signature(body, SECRET)
