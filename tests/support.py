"""What tests of running things share."""

import asyncio
import time
from collections.abc import Awaitable, Callable


async def eventually(
    condition: Callable[[], bool] | Callable[[], Awaitable[bool]], *, within: float = 10.0, what: str = ""
) -> None:
    """Wait until the condition holds; fail, and say what was awaited, when it does not in time."""
    deadline = time.monotonic() + within
    while True:
        held = condition()
        if held if isinstance(held, bool) else await held:
            return
        if time.monotonic() > deadline:
            raise AssertionError(f"{what or condition} did not happen within {within:.0f} s")
        await asyncio.sleep(0.02)
