"""How workers wait: for something to do, and for what is down."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Final

import structlog
from nats.aio.msg import Msg
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, wait_exponential

POLL: Final = 0.5
LONGEST_WAIT: Final = 15.0

log = structlog.get_logger()


class Bell:
    """Rung when there may be something to do; who waits for it looks by itself now and then."""

    def __init__(self) -> None:
        self._rung = asyncio.Event()

    def ring(self) -> None:
        self._rung.set()

    async def hear(self, _: Msg) -> None:
        """The log has grown, NATS tells."""
        self.ring()

    def hush(self) -> None:
        """To be called before looking: who rings from then on may mean what is not found."""
        self._rung.clear()

    async def wait(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(POLL):
                await self._rung.wait()


def patient(
    name: str,
    outages: tuple[type[Exception], ...],
    *,
    first: float = 0.2,
    longest: float = LONGEST_WAIT,
    bugs: bool = False,
    **told: str,
) -> AsyncRetrying:
    """Tries what it is given again for as long as an outage lasts; with ``bugs`` whatever else goes wrong, too.

    It waits ``first`` seconds, then twice as long each time, up to ``longest``, or ``LONGEST_WAIT`` after a bug.
    ``name`` and ``told`` are for the log.
    """
    after_outage = wait_exponential(multiplier=first, max=longest)
    after_bug = wait_exponential(multiplier=first, max=LONGEST_WAIT)

    def wait(state: RetryCallState) -> float:
        return (after_outage if isinstance(_failure(state), outages) else after_bug)(state)

    def tell(state: RetryCallState) -> None:
        failure = _failure(state)
        if isinstance(failure, outages):
            log.warning("waits", what=name, error=str(failure) or repr(failure), **told)
        else:
            log.error("fails", what=name, exc_info=failure, **told)

    retry = retry_if_exception_type(Exception if bugs else outages)
    return AsyncRetrying(retry=retry, wait=wait, before_sleep=tell)


def _failure(state: RetryCallState) -> BaseException | None:
    return state.outcome.exception() if state.outcome is not None else None
