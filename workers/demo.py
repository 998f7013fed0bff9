"""A purchase over HTTP against the running stack, with the projector killed in the middle of it."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from secrets import token_hex
from typing import Any

import httpx
from rich.console import Console
from tenacity import RetryError, Retrying, retry_if_result, stop_after_delay, wait_fixed

ADDRESS = {
    "firstName": "Emily",
    "lastName": "Johnson",
    "address": "626 Main Street",
    "city": "Phoenix",
    "state": "MS",
    "zipCode": "29112",
    "country": "United States",
    "phone": "+1 555 0100",
}

PATIENCE = 30

SPARINGLY = 1.5
"""Seconds between two looks at an order: 30 a minute are all that anybody may have (A5)."""

AUDITOR = {"username": "oliviaw", "password": "oliviawpass"}
"""DummyJSON's first moderator; the seed makes its moderators auditors."""


class DemoFailedError(RuntimeError):
    """A step did not come to what it should."""


class Demo:
    """``projector_pid`` tells which process projects now: the stack starts a new one when it dies."""

    def __init__(self, api_url: str, projector_pid: Callable[[], int | None], console: Console) -> None:
        self._client = httpx.Client(base_url=api_url, timeout=10)
        self._projector_pid = projector_pid
        self._console = console

    def run(self) -> None:
        try:
            with self._client:
                order = self._buy()
                self._show_history(order)
        except httpx.TransportError as failure:
            raise DemoFailedError(f"{self._client.base_url} does not answer: {failure}") from failure

    def _buy(self) -> dict[str, Any]:
        person = {"email": f"demo-{token_hex(4)}@example.com", "password": "Demo1234", "firstName": "Demo"}
        buyer = self._ask("POST", "/auth/register", json={**person, "lastName": "Buyer"}, expected=201)
        token = buyer["token"]
        self._say(f"registered user {buyer['user']['id']}, {person['email']}")
        # A shop that was just started is still being filled.
        wanted = {"q": "phone", "inStock": "true", "limit": 3}
        found: dict[str, Any] = self._until(
            lambda: self._ask("GET", "/products/search", params=wanted),
            lambda seen: len(seen["products"]) > 1,
            "something to buy",
            every=SPARINGLY,
        )
        products = found["products"][:2]
        for product in products:
            self._ask(
                "POST", "/cart/items", token, json={"productId": product["id"], "quantity": 1}, expected=201
            )
            self._say(f"into the cart: {product['title']} at {product['price']}")
        self._kill_the_projector()
        order = self._ask("POST", "/orders", token, json={"shippingAddress": ADDRESS}, expected=201)
        self._say(f"ordered: {order['id']}, {order['total']} {order['currency']}, {order['status']}")
        self._ask(
            "POST",
            f"/payments/intents/{order['paymentIntentId']}/confirm",
            token,
            json={"paymentMethodId": "pm_card_visa"},
        )
        self._say(f"payment {order['paymentIntentId']} confirmed at the provider")
        paid: dict[str, Any] = self._until(
            lambda: self._look(f"/orders/{order['id']}", token),
            lambda seen: seen.get("paymentStatus") == "paid",
            "a paid order in its read model",
            every=SPARINGLY,
        )
        self._say(
            f"order {paid['id']} is {paid['status']} and {paid['paymentStatus']}, read back from its read model"
        )
        billed: dict[str, Any] = self._until(
            lambda: self._look(f"/orders/{order['id']}", token),
            lambda seen: bool(seen.get("invoiceNumber")),
            "an invoice",
            every=SPARINGLY,
        )
        parcels = len(billed["parcels"])
        self._say(
            f"invoice {billed['invoiceNumber']} is made, and {parcels} parcel{'s' * (parcels != 1)} to be sent"
        )
        return billed

    def _kill_the_projector(self) -> None:
        before = self._projector_pid()
        if before is None:
            raise DemoFailedError("the stack does not run here, so there is no projector to kill")
        os.kill(before, signal.SIGKILL)
        self._say(f"killed the projector (process {before}) with SIGKILL; the purchase goes on meanwhile")
        after = self._until(
            self._projector_pid, lambda pid: pid not in (None, before), "another projector of the stack"
        )
        self._say(f"the stack has started another one (process {after})")

    def _show_history(self, order: dict[str, Any]) -> None:
        auditor = self._ask("POST", "/auth/login", json=AUDITOR)
        history = self._ask("GET", f"/audit/streams/{order['uuid']}", auditor["token"])
        self._say(f"everything that happened to {order['id']}, as the auditor {AUDITOR['username']} sees it:")
        for event in history["events"]:
            cause = f"event {event['cause']}" if event["cause"] else f"request {event['requestId']}"
            self._console.print(
                f"  {event['position']:>6}  {event['at']}  {event['type']:<22} by {event['actor']}, because of {cause}",
                highlight=False,
                soft_wrap=True,
            )

    def _ask(self, method: str, path: str, token: str = "", *, expected: int = 200, **what: Any) -> Any:
        response = self._client.request(method, path, headers=_authorization(token), **what)
        if response.status_code != expected:
            raise DemoFailedError(
                f"{method} {path} was answered with {response.status_code}: {response.text}"
            )
        return response.json()

    def _look(self, path: str, token: str) -> dict[str, Any]:
        """What is read, or nothing while the read model is on its way."""
        response = self._client.get(path, headers=_authorization(token))
        seen: dict[str, Any] = response.json() if response.status_code == 200 else {}
        return seen

    def _until(
        self, look: Callable[[], Any], good: Callable[[Any], bool], what: str, *, every: float = 0.1
    ) -> Any:
        retrying = Retrying(
            retry=retry_if_result(lambda seen: not good(seen)),
            wait=wait_fixed(every),
            stop=stop_after_delay(PATIENCE),
        )
        try:
            found: Any = retrying(look)
        except RetryError as late:
            raise DemoFailedError(f"waited {PATIENCE} s in vain for {what}") from late
        return found

    def _say(self, what: str) -> None:
        self._console.print(f"[green]·[/green] {what}", highlight=False)


def _authorization(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"} if token else {}
