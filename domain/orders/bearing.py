"""Who bears what went back of an order's money: each of its lines, and tax and shipping together.

The rule, by which reports of sales tell every seller what went back of the goods that they sold:

- What is refunded for a return is borne by the goods that came back and by tax and shipping, as the return was worth
  it (``domain/orders/returns.py``): in proportion to that, where less is refunded; what is more falls on what else the
  same lines brought in.
- What is refunded for no return, and what a bank took in a dispute that was lost, is borne by all lines and by tax and
  shipping, in proportion to what is left of each.
- No line bears more than it brought in. What went back beyond the order's total is the shop's, with tax and shipping.
- What is with us again (a refund that did not arrive, a dispute that was won after all) relieves the shop of what it
  bears beyond the total, and else those who bore it.

Parts are whole minor units and add up to what went back (``domain/orders/spreading.py``).
"""

from __future__ import annotations

from collections.abc import Sequence

from domain.orders.spreading import spread


def borne(amount: int, most: Sequence[int], *first: Sequence[int]) -> list[int]:
    """``amount`` parted among those who bear ``most`` at most, the last of whom bears what is beyond that.

    Each of ``first`` says up to what they bear it, and in which proportion, before it comes to the next; in the end
    they bear it in proportion to what is left of ``most``.
    """
    parts = [0] * len(most)
    for weights in (*first, most):
        room = [
            max(min(weight, limit - part), 0)
            for weight, limit, part in zip(weights, most, parts, strict=True)
        ]
        step = min(amount - sum(parts), sum(room))
        parts = [part + more for part, more in zip(parts, spread(step, room), strict=True)]
    parts[-1] += amount - sum(parts)
    return parts
