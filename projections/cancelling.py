"""Ending when asked to."""

from __future__ import annotations

import asyncio


def obey_cancellation() -> None:
    """To be called by every loop around a client of a server: some swallow a cancellation, as does Python 3.11's own
    ``wait_for``, by which pools of connections wait, when the answer comes at the same moment. The loop would go on
    for ever, and whoever waits for its end with it.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
