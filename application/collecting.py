"""How often a process looks for garbage that refers to itself; all other garbage is gone at once anyway."""

from __future__ import annotations

import gc
from typing import Final

YOUNG: Final = 20_000
"""More objects than there were last time, before the youngest are looked at."""

ROUNDS: Final = 20
"""Such looks before one at those that have survived one, and as many again before one at all."""


def collect_rarely() -> None:
    """To be called once, when what stays for good is made: that is not looked at any more.

    By default a process looks whenever there are 700 objects more. That took one that serves orders a quarter of its
    time, and its slowest answers waited for a look at everything (``bench/buying.py``: 131 checkouts a second and p99
    308 ms before, 159 to 175 and 136 to 146 ms since).
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG, ROUNDS, ROUNDS)
