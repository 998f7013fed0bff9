"""Parting a sum among those who bear it, to the last minor unit."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from heapq import heapify, heapreplace


def spread(amount: int, weights: Sequence[int]) -> list[int]:
    """``amount`` parted in proportion to ``weights``, which it does not exceed: each part is its weight times the one
    rate at which they come to ``amount``, rounded half up; where several reach the half together, the first goes first.
    """
    whole = sum(weights)
    assert 0 <= amount <= whole
    if not amount:
        return [0] * len(weights)
    parts = [(2 * amount * weight + whole) // (2 * whole) for weight in weights]
    missing = amount - sum(parts)
    # At which rate, doubled, a part reaches its next unit, or has reached its last one.
    if missing > 0:
        rates = [
            (Fraction(2 * parts[index] + 1, weight), index) for index, weight in enumerate(weights) if weight
        ]
        heapify(rates)
        for _ in range(missing):
            index = rates[0][1]
            parts[index] += 1
            heapreplace(rates, (Fraction(2 * parts[index] + 1, weights[index]), index))
    elif missing < 0:
        rates = [
            (-Fraction(2 * parts[index] - 1, weight), -index)
            for index, weight in enumerate(weights)
            if weight
        ]
        heapify(rates)
        for _ in range(-missing):
            index = -rates[0][1]
            parts[index] -= 1
            heapreplace(rates, (-Fraction(2 * parts[index] - 1, weights[index]), -index))
    return parts


def shared_out(amount: int, weights: Sequence[int]) -> list[int]:
    """``amount``, however large, parted in proportion to ``weights``; evenly, where none of these weighs anything."""
    if not any(weights):
        weights = [1] * len(weights)
    return spread(amount, [weight * amount for weight in weights])
