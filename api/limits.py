"""How often somebody may ask (C34, A5): S2's table, and S4's for everything together.

*Strict* limits stand before what is worth guessing or costs something: each is counted by Postgres before the request
goes on, exactly, for all processes together. *Broad* limits stand before everything: each process counts by itself, and
several times a second they tell each other through Postgres. So a client gets no more than the limit from one
process; from ``n`` of them at most what the others answer it within one exchange (``EXCHANGE_EVERY`` and a round trip),
and never more than ``n`` times the limit.
"""

from __future__ import annotations

import asyncio
import unicodedata
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from math import ceil
from time import monotonic
from typing import Any, Final

import msgspec
import structlog
from limits import RateLimitItem, RateLimitItemPerHour, RateLimitItemPerMinute, RateLimitItemPerSecond
from litestar.connection import ASGIConnection
from litestar.enums import ScopeType
from litestar.handlers.base import BaseRouteHandler

from api.client_address import address_of, neighbourhood
from api.input import folded
from application.cancelling import obey_cancellation
from application.errors import RateLimitedError, UnavailableError
from application.ports import Counted, Hits, RateLimits
from application.settings import Settings
from domain.kernel import InvalidInputError

log = structlog.get_logger()

Connection = ASGIConnection[Any, Any, Any, Any]

EXCHANGE_EVERY: Final = 0.25
MOST_SUBJECTS: Final = 100_000
"""Whom one broad limit counts in memory; beyond that whoever came first is counted anew."""

_MOST_AT_ONCE: Final = 1_000
_FORGET_EVERY: Final = 40
"""Exchanges between two looks for counters that have ended."""

_API: Final = "/api/v1"


class Standing(msgspec.Struct, frozen=True, gc=False):
    """Where a client stands with one limit: ``reset`` is the seconds until it begins anew."""

    limit: int
    remaining: int
    reset: int
    refused: bool = False

    def headers(self) -> list[tuple[bytes, bytes]]:
        return [
            (b"ratelimit-limit", b"%d" % self.limit),
            (b"ratelimit-remaining", b"%d" % self.remaining),
            (b"ratelimit-reset", b"%d" % self.reset),
        ]

    def refusal(self) -> RateLimitedError:
        return RateLimitedError(
            f"Rate limit exceeded. Try again in {self.reset} seconds.", details={"retryAfter": self.reset}
        )


class Strict(msgspec.Struct, frozen=True, kw_only=True):
    """What is allowed to one address, or account, and beyond that for each e-mail address, known to us or not."""

    per_address: RateLimitItem
    per_email: RateLimitItem | None = None


_LOGIN: Final = Strict(
    per_address=RateLimitItemPerMinute(5, 15, "login"),
    # More than it takes to lock an account, so that from several addresses that is what happens first.
    per_email=RateLimitItemPerMinute(10, 15, "login of"),
)
_REGISTER: Final = Strict(
    per_address=RateLimitItemPerHour(3, 1, "register"), per_email=RateLimitItemPerHour(3, 1, "register of")
)
_FORGOT: Final = Strict(
    per_address=RateLimitItemPerHour(3, 1, "forgot"), per_email=RateLimitItemPerHour(3, 1, "forgot of")
)
_RESEND: Final = Strict(per_address=RateLimitItemPerHour(3, 1, "resend"))
_TOKEN: Final = Strict(per_address=RateLimitItemPerMinute(10, 15, "one-time token"))
_PASSWORD: Final = Strict(per_address=RateLimitItemPerMinute(10, 15, "password"))
_EXPORT: Final = Strict(per_address=RateLimitItemPerHour(10, 1, "export"))
_OAUTH: Final = Strict(per_address=RateLimitItemPerMinute(20, 15, "oauth"))

OTHER_EMAIL: Final = Strict(
    per_address=RateLimitItemPerHour(10, 1, "other email"),
    per_email=RateLimitItemPerHour(3, 1, "register of"),
)
"""For one account: another address is told whether somebody has it, and gets mail, as by signing up."""
COUPON: Final = Strict(
    per_address=RateLimitItemPerMinute(20, 10, "coupon"),
    per_email=RateLimitItemPerMinute(20, 10, "coupon of"),
)
"""For one address, and beyond that for one account: whoever names codes learns which of them there are."""
RESEND_OF_ACCOUNT: Final = Strict(per_address=RateLimitItemPerHour(3, 1, "resend of"))

STRICT: Final[Mapping[tuple[str, str], Strict]] = {
    ("POST", "/auth/login"): _LOGIN,
    ("POST", "/auth/apple"): _LOGIN,
    ("POST", "/auth/google"): _LOGIN,
    ("POST", "/auth/oauth/{provider}"): _LOGIN,
    # With the password, too: it could be guessed here as well.
    ("POST", "/users/me/restore"): _LOGIN,
    ("POST", "/auth/register"): _REGISTER,
    ("POST", "/auth/signup"): _REGISTER,
    ("POST", "/auth/forgot-password"): _FORGOT,
    ("POST", "/auth/verify-email/resend"): _RESEND,
    ("POST", "/auth/reset-password"): _TOKEN,
    ("POST", "/auth/verify-email"): _TOKEN,
    # These ask for the password of somebody who is signed in, and so could be used to guess it.
    ("POST", "/auth/change-password"): _PASSWORD,
    ("DELETE", "/users/me"): _PASSWORD,
    ("POST", "/users/me/delete"): _PASSWORD,
    ("POST", "/admin/users/{ref}/impersonate"): _PASSWORD,
    ("GET", "/users/me/export"): _EXPORT,
    ("GET", "/auth/oauth/{provider}"): _OAUTH,
    ("GET", "/auth/oauth/{provider}/callback"): _OAUTH,
    ("POST", "/auth/oauth/{provider}/callback"): _OAUTH,
}
"""By method and path below ``/api/v1``."""

_FREE: Final = frozenset(
    {
        f"{_API}/payments/stripe",
        f"{_API}/payments/webhook",
        f"{_API}/webhooks/stripe",
        f"{_API}/shipping/webhook",
    }
)
"""What the payment provider and carriers tell us: signed, and more in a minute than any client may send."""

_OPERATIONAL: Final = ("/health", "/metrics", "/docs")


class _Count:
    """What one subject asked for: ``known`` to all of us, and ``untold`` yet."""

    __slots__ = ("ends", "known", "told", "untold")

    def __init__(self, ends: float) -> None:
        self.ends = ends
        self.known = 0
        self.untold = 0
        self.told = True


class Broad:
    """One limit as this process counts it; ``exchange`` makes it one of all processes."""

    def __init__(self, item: RateLimitItem, *, most_subjects: int = MOST_SUBJECTS) -> None:
        self._item = item
        self._amount = item.amount
        self._seconds = item.get_expiry()
        self._most_subjects = most_subjects
        self._counts: dict[str, _Count] = {}
        self._untold: dict[str, _Count] = {}

    def hit(self, subject: str) -> Standing:
        """Count one more of them, unless that is one too many. Who is refused is not counted: it changes nothing."""
        now = monotonic()
        count = self._counts.get(subject)
        if count is None or count.ends <= now:
            count = self._begun(subject, now)
        hits = count.known + count.untold
        if hits >= self._amount:
            return Standing(self._amount, 0, max(1, ceil(count.ends - now)), True)
        count.untold += 1
        if count.told:
            count.told = False
            self._untold[subject] = count
        return Standing(self._amount, self._amount - hits - 1, ceil(count.ends - now))

    async def exchange(self, shared: RateLimits) -> None:
        """Tell what was counted here, and hear what was counted everywhere."""
        untold, self._untold = list(self._untold.items()), {}
        while untold:
            telling, untold = untold[:_MOST_AT_ONCE], untold[_MOST_AT_ONCE:]
            asked = []
            for subject, count in telling:
                count.told = True
                asked.append(
                    Hits(key=self._item.key_for(subject), seconds=self._seconds, amount=count.untold)
                )
            try:
                totals = await shared.count(asked)
            except UnavailableError:
                for subject, count in [*telling, *untold]:
                    count.told = False
                    if self._counts.get(subject) is count:  # else it ended or made room, and is not missed
                        self._untold.setdefault(subject, count)
                raise
            now = monotonic()
            for (_, count), hits, total in zip(telling, asked, totals, strict=True):
                count.known = total.hits
                count.untold -= hits.amount
                count.ends = now + total.seconds_left

    def forget_ended(self) -> None:
        now = monotonic()
        for subject in [subject for subject, count in self._counts.items() if count.ends <= now]:
            del self._counts[subject]

    def _begun(self, subject: str, now: float) -> _Count:
        self._counts.pop(subject, None)
        count = self._counts[subject] = _Count(now + self._seconds)
        if len(self._counts) > self._most_subjects:
            del self._counts[next(iter(self._counts))]
        return count


class Limits:
    """All of them for one process. Without ``shared_through`` it counts for itself alone."""

    def __init__(self, *, most_requests: int = 100, window: int = 60) -> None:
        self._everything = Broad(RateLimitItemPerSecond(most_requests, window, "everything"))
        self._products = Broad(RateLimitItemPerMinute(100, 1, "products"))
        self._areas: Mapping[str, Broad] = {
            f"{_API}/products": self._products,
            f"{_API}/listings": self._products,  # the same things by another name
            f"{_API}/orders": Broad(RateLimitItemPerMinute(30, 1, "orders")),
            f"{_API}/payments": Broad(RateLimitItemPerMinute(10, 1, "payments")),
        }
        self._broad = (self._everything, *dict.fromkeys(self._areas.values()))
        self._routes: dict[str, Broad | None] = {}
        self._shared: RateLimits | None = None

    @classmethod
    def of(cls, settings: Settings) -> Limits | None:
        """Nothing where they are switched off."""
        if not settings.rate_limit_enabled:
            return None
        window = max(1, round(settings.rate_limit_window_ms / 1000))
        return cls(most_requests=settings.rate_limit_max_requests, window=window)

    def any_request(self, path: str, subject: str) -> Standing | None:
        """What the edge asks for each request; nothing for those that nobody counts."""
        if path in _FREE or path.startswith(_OPERATIONAL):
            return None
        return self._everything.hit(subject)

    def at_hand(self, template: str, subject: str) -> Standing:
        """All that the route behind ``template`` would count, for an answer that it is not asked for; the nearest."""
        standing = self._everything.hit(subject)
        area = None if standing.refused else self.area(template)
        return standing if area is None else min(standing, area.hit(subject), key=_strictness)

    def area(self, template: str) -> Broad | None:
        """The limit of the part of the API that a route belongs to, if that has one."""
        if template not in self._routes:
            self._routes[template] = (
                None
                if template in _FREE
                else next(
                    (
                        broad
                        for prefix, broad in self._areas.items()
                        if template == prefix or template.startswith(f"{prefix}/")
                    ),
                    None,
                )
            )
        return self._routes[template]

    async def strict(self, limit: Strict, address: str, email: str) -> Standing | None:
        """Nothing while the counters do not answer: then neither does the log, without which nobody gets in."""
        items = [limit.per_address, *([limit.per_email] if limit.per_email is not None and email else [])]
        first, *others = [
            _hits(item, subject) for item, subject in zip(items, (address, email), strict=False)
        ]
        if self._shared is None:
            return None
        try:
            counted = await self._shared.count_in_turn(first, items[0].amount, others[0] if others else None)
        except UnavailableError:
            return None
        return min(map(_standing, items, counted), key=_strictness)

    @asynccontextmanager
    async def shared_through(self, shared: RateLimits) -> AsyncIterator[None]:
        """Count together with the other processes, for as long as the block lasts."""
        self._shared = shared
        exchanging = asyncio.create_task(self._exchange(shared), name="rate limits")
        try:
            yield
        finally:
            self._shared = None
            exchanging.cancel()
            with suppress(asyncio.CancelledError):
                await exchanging

    async def _exchange(self, shared: RateLimits) -> None:
        silent = False
        exchanges = 0
        while True:
            obey_cancellation()
            await asyncio.sleep(EXCHANGE_EVERY)
            exchanges += 1
            try:
                for broad in self._broad:
                    await broad.exchange(shared)
                silent = False
            except UnavailableError as error:
                # We go on by ourselves, and tell later what was counted meanwhile.
                if not silent:
                    log.warning("rate limits are not shared", error=error.message)
                silent = True
            if exchanges % _FORGET_EVERY == 0:
                for broad in self._broad:
                    broad.forget_ended()


async def within_limits(connection: Connection, _: BaseRouteHandler) -> None:
    """A guard of every route: before anything else is looked at, the token included."""
    limits: Limits | None = connection.app.state.limits
    if limits is None or connection.scope["type"] != ScopeType.HTTP:
        return
    template = connection.scope["path_template"]
    subject = neighbourhood(address_of(connection))
    area = limits.area(template)
    if area is not None:
        charge(connection, area.hit(subject))
    strict = STRICT.get((connection.scope["method"], template.removeprefix(_API)))
    if strict is not None:
        email = await _email_in(connection) if strict.per_email is not None else ""
        standing = await limits.strict(strict, subject, email)
        if standing is not None:
            charge(connection, standing)


async def charge_strictly(connection: Connection, limit: Strict, account_id: object, email: str = "") -> None:
    """For what only turns out behind the guards to be one of the things that are counted exactly."""
    limits: Limits | None = connection.app.state.limits
    if limits is None:
        return
    standing = await limits.strict(limit, f"account {account_id}", _same_for_all(email))
    if standing is not None:
        charge(connection, standing)


async def charge_guess(connection: Connection, limit: Strict, account_id: object) -> None:
    """For what one account could guess from many addresses, and many accounts from one: both are counted."""
    limits: Limits | None = connection.app.state.limits
    if limits is None:
        return
    standing = await limits.strict(limit, neighbourhood(address_of(connection)), f"account {account_id}")
    if standing is not None:
        charge(connection, standing)


def charge_account(connection: Connection, account_id: object) -> None:
    """The limit of this part of the API for whoever turned out to be asking, from wherever they do."""
    limits: Limits | None = connection.app.state.limits
    area = limits.area(connection.scope["path_template"]) if limits is not None else None
    if area is not None:
        charge(connection, area.hit(f"account {account_id}"))


def charge_payment(connection: Connection, account_id: object) -> None:
    """For what tries a card by another name than a payment's: it counts as one, from there and by them."""
    limits: Limits | None = connection.app.state.limits
    area = limits.area(f"{_API}/payments") if limits is not None else None
    if area is not None:
        for subject in (neighbourhood(address_of(connection)), f"account {account_id}"):
            charge(connection, area.hit(subject))


def charge(connection: Connection, standing: Standing) -> None:
    """``RateLimitedError`` if it was one too many; else the answer will tell of the limit that is nearest."""
    state = connection.scope["state"]
    before: Standing | None = state.get("standing")
    if before is None or standing.refused or _strictness(standing) <= _strictness(before):
        state["standing"] = standing
    if standing.refused:
        raise standing.refusal()


async def _email_in(connection: Any) -> str:
    """Whom a sign-in or the like is about, if that can be read; whether it is any good is not for us to say."""
    try:
        body = folded(await connection.body())
    except InvalidInputError:
        return ""
    given = body.get("email") or body.get("username") if isinstance(body, dict) else ""
    return _same_for_all(given) if isinstance(given, str) else ""


def _same_for_all(email: str) -> str:
    """Whatever its spelling."""
    return unicodedata.normalize("NFKC", email).casefold().strip()[:254]


def _hits(item: RateLimitItem, subject: str) -> Hits:
    return Hits(key=item.key_for(subject), seconds=item.get_expiry())


def _standing(item: RateLimitItem, counted: Counted) -> Standing:
    return Standing(
        item.amount,
        max(0, item.amount - counted.hits),
        max(1, ceil(counted.seconds_left)),
        counted.hits > item.amount,
    )


def _strictness(standing: Standing) -> tuple[bool, int]:
    return (not standing.refused, standing.remaining)
