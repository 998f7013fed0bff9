import tracemalloc

from api.counts import FOR, MOST_COUNTED, Counts


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_number_stands_until_something_has_happened_and_a_moment_longer() -> None:
    clock = Clock()
    counts = Counts(clock=clock)
    assert counts.of(b"lamps", position=7, wanted=0) is None
    counts.keep(b"lamps", 3, 7)
    assert counts.of(b"lamps", position=7, wanted=7) == 3
    assert counts.of(b"lamps", position=8, wanted=7) == 3
    # Whoever has been told of what happened since is told how many there are by now.
    assert counts.of(b"lamps", position=8, wanted=8) is None
    clock.now = FOR
    assert counts.of(b"lamps", position=7, wanted=7) == 3
    assert counts.of(b"lamps", position=8, wanted=0) is None
    assert counts.of(b"chairs", position=7, wanted=0) is None


def test_the_oldest_ones_make_room() -> None:
    counts = Counts(clock=Clock())
    for number in range(MOST_COUNTED + 1):
        counts.keep(b"%d" % number, number, 1)
    assert counts.of(b"0", position=1, wanted=0) is None
    assert counts.of(b"1", position=1, wanted=0) == 1


def test_however_long_what_was_asked_is_it_takes_no_more_room() -> None:
    counts = Counts()
    tracemalloc.start()
    try:
        for number in range(100):
            counts.keep(b"%d" % number + bytes(100_000), number, 1)
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 1_000_000
    assert counts.of(b"7" + bytes(100_000), position=1, wanted=1) == 7
