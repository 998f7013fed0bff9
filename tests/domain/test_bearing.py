"""Who bears what went back: all of it is borne, to the cent, and by nobody more than they brought in."""

from __future__ import annotations

from itertools import accumulate

from hypothesis import given
from hypothesis import strategies as st

from domain.orders.bearing import borne

sums_st = st.lists(st.integers(0, 50_000), min_size=2, max_size=6)


class TestBearing:
    @given(st.data(), sums_st)
    def test_parts_add_up_and_no_line_bears_more_than_it_can(
        self, data: st.DataObject, most: list[int]
    ) -> None:
        amount = data.draw(st.integers(0, 2 * sum(most) + 1))
        same_size = st.lists(st.integers(0, 50_000), min_size=len(most), max_size=len(most))
        parts = borne(amount, most, *data.draw(st.lists(same_size, max_size=2)))
        assert sum(parts) == amount
        assert min(parts) >= 0
        assert all(part <= limit for part, limit in zip(parts[:-1], most[:-1], strict=True))
        if amount <= sum(most):
            assert parts[-1] <= most[-1]
        else:
            assert parts[:-1] == most[:-1]

    @given(st.data(), sums_st)
    def test_in_however_many_steps_all_of_it_is_what_was_brought_in(
        self, data: st.DataObject, most: list[int]
    ) -> None:
        ends = sorted(data.draw(st.lists(st.integers(0, sum(most)), max_size=5)))
        steps = [end - start for start, end in zip([0, *ends], [*ends, sum(most)], strict=True)]
        left = list(most)
        for step, done in zip(steps, accumulate(steps), strict=True):
            left = [limit - part for limit, part in zip(left, borne(step, left), strict=True)]
            assert sum(left) == sum(most) - done
        assert left == [0] * len(most)

    def test_is_in_proportion_to_what_is_left(self) -> None:
        assert borne(100, [600, 300, 100]) == [60, 30, 10]
        assert borne(100, [0, 300, 100]) == [0, 75, 25]
        assert borne(1, [500, 500, 0]) == [1, 0, 0]

    def test_what_comes_first_bears_it_first(self) -> None:
        worth = [0, 200, 20]
        assert borne(110, [600, 300, 100], worth) == [0, 100, 10]
        assert borne(220, [600, 300, 100], worth) == worth
        assert borne(300, [600, 300, 100], worth, [0, 300, 0]) == [0, 280, 20]
        assert borne(390, [600, 300, 100], worth, [0, 300, 0]) == [62, 300, 28]

    def test_what_is_beyond_all_is_borne_by_the_last(self) -> None:
        assert borne(1_005, [600, 300, 100]) == [600, 300, 105]
        assert borne(7, [0, 0, -5]) == [0, 0, 7]
