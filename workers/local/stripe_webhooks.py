"""The one place where the Stripe simulator's events leave for our API, as reliably or badly as somebody asks for."""

from __future__ import annotations

import asyncio
import logging
import random
import zlib
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from typing import Annotated, Final

import aiohttp
import msgspec
import tenacity

from workers.local.stripe_objects import Delivery, Objects, StripeObject

log = logging.getLogger("stripe_simulator")

FIRST_RETRY_AFTER: Final = 0.2
LONGEST_RETRY_AFTER: Final = 60.0
GIVE_UP_AFTER: Final = 3 * 24 * 3600.0  # Stripe's own limit
REORDER_WITHIN: Final = 0.5
ALL_EVENTS: Final = "*"
LANES: Final = 16
"""How many events are on their way at once; those of one payment go one after the other."""

Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
Count = Annotated[int, msgspec.Meta(ge=0)]

_NOT_ACCEPTED = (aiohttp.ClientError, TimeoutError)


class WebhookSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is to become of the events from now on. The same ``seed`` has the same done to the same row of events.

    ``delay`` is in seconds. ``duplicate``: a whole number is how many times more each event comes, a fraction how
    probable it is that it comes once more. ``reorder`` has each wait for up to half a second by itself. ``drop``: a
    whole number is how many of the next events are lost, a fraction how probable that is, and a list the types that
    are. ``enabled_events`` is Stripe's word for the types that the endpoint wants at all: ``None`` those that the
    simulator was started with.
    """

    delay: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    duplicate: Count | Share = 0
    reorder: bool = False
    drop: Count | Share | list[str] = 0
    seed: int = 0
    enabled_events: list[str] | None = None

    def waits_of(self, number: int, kind: str) -> list[float]:
        """After how many seconds the event of this number, from 0, is sent, each time that it is: none is dropped."""
        chance = random.Random(f"{self.seed}-{number}")  # noqa: S311 - nobody gains by guessing it
        lost, again = chance.random(), chance.random()
        if isinstance(self.drop, list):
            dropped = kind in self.drop
        elif isinstance(self.drop, int):
            dropped = number < self.drop
        else:
            dropped = lost < self.drop
        if dropped:
            return []
        more = self.duplicate if isinstance(self.duplicate, int) else int(again < self.duplicate)
        return [
            self.delay + (chance.uniform(0, REORDER_WITHIN) if self.reorder else 0) for _ in range(1 + more)
        ]


class Webhooks:
    """Events go in the order in which they happened to a payment, each again and again until it is accepted."""

    def __init__(
        self, objects: Objects, *, url: str | None, events: Collection[str], sign: Callable[[bytes], str]
    ) -> None:
        self._objects = objects
        self._url = url
        self._events = events
        self._sign = sign
        self._settings = WebhookSettings()
        self._seen = 0
        self._lanes: list[asyncio.Queue[StripeObject]] = [asyncio.Queue() for _ in range(LANES)]
        self._retries: set[asyncio.Task[None]] = set()

    @property
    def settings(self) -> WebhookSettings:
        return self._settings

    @settings.setter
    def settings(self, settings: WebhookSettings) -> None:
        self._settings, self._seen = settings, 0

    def record(self, event: StripeObject) -> Callable[[], None]:
        """Save what happened, with what becomes of it. To be called once that is committed: what sends it."""
        if self._url is None or not self._wants(event["type"]):
            self._objects.save_event(event, Delivery.DONE)
            return lambda: None
        waits = self._settings.waits_of(self._seen, event["type"])
        self._seen += 1
        self._objects.save_event(event, Delivery.PENDING if waits else Delivery.DROPPED)

        def send() -> None:
            for wait in waits:
                if wait:
                    asyncio.get_running_loop().call_later(wait, self._hand_over, event)
                else:
                    self._hand_over(event)

        return send

    def _wants(self, kind: str) -> bool:
        wanted = self._events if self._settings.enabled_events is None else self._settings.enabled_events
        return ALL_EVENTS in wanted or kind in wanted

    def redeliver(self) -> int:
        """Send what was dropped, whatever the settings are by now: how many that were."""
        dropped = self._objects.undelivered(Delivery.DROPPED)
        for event in dropped:
            self._objects.mark(event["id"], Delivery.PENDING)
            self._hand_over(event)
        return len(dropped)

    def _hand_over(self, event: StripeObject) -> None:
        thing = event["data"]["object"]
        subject: str = thing.get("payment_intent") or thing["id"]
        self._lanes[zlib.crc32(subject.encode()) % LANES].put_nowait(event)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Deliver while the block lasts, and first what a previous run left undelivered, but for what it dropped."""
        if self._url is None:
            yield
            return
        for event in self._objects.undelivered(Delivery.PENDING):
            self._hand_over(event)
        timeout = aiohttp.ClientTimeout(total=10.0)
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(
            timeout=timeout, connector=connector, raise_for_status=True
        ) as client:
            lanes = [asyncio.create_task(self._deliver_in_order(client, lane)) for lane in self._lanes]
            try:
                yield
            finally:
                tasks = [*lanes, *self._retries]
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    async def _deliver_in_order(
        self, client: aiohttp.ClientSession, lane: asyncio.Queue[StripeObject]
    ) -> None:
        while True:
            event = await lane.get()
            try:
                await self._attempt(client, event)
            except _NOT_ACCEPTED:
                retry = asyncio.create_task(self._retry(client, event))
                self._retries.add(retry)
                retry.add_done_callback(self._retries.discard)

    async def _retry(self, client: aiohttp.ClientSession, event: StripeObject) -> None:
        attempts = tenacity.AsyncRetrying(
            wait=tenacity.wait_exponential(multiplier=FIRST_RETRY_AFTER, max=LONGEST_RETRY_AFTER),
            stop=tenacity.stop_after_delay(GIVE_UP_AFTER),
            retry=tenacity.retry_if_exception_type(_NOT_ACCEPTED),
        )
        await asyncio.sleep(FIRST_RETRY_AFTER)
        try:
            await attempts(self._attempt, client, event)
        except tenacity.RetryError:
            log.warning("gave up delivering %s (%s)", event["id"], event["type"])

    async def _attempt(self, client: aiohttp.ClientSession, event: StripeObject) -> None:
        assert self._url is not None
        body = msgspec.json.encode(event)
        headers = {"Content-Type": "application/json", "Stripe-Signature": self._sign(body)}
        try:
            async with client.post(self._url, data=body, headers=headers):
                pass  # the status is all that Stripe looks at
        except _NOT_ACCEPTED as failure:
            log.info("webhook %s (%s) was not accepted: %s", event["id"], event["type"], failure)
            raise
        log.debug("webhook %s (%s) delivered", event["id"], event["type"])
        self._objects.mark(event["id"], Delivery.DONE)
