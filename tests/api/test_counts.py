import tracemalloc

from api.counts import MOST_COUNTED, Counts


def test_a_number_stands_until_something_has_happened() -> None:
    counts = Counts()
    assert counts.of(b"lamps", 7) is None
    counts.keep(b"lamps", 3, 7)
    assert counts.of(b"lamps", 7) == 3
    assert counts.of(b"lamps", 8) is None
    assert counts.of(b"chairs", 7) is None


def test_the_oldest_ones_make_room() -> None:
    counts = Counts()
    for number in range(MOST_COUNTED + 1):
        counts.keep(b"%d" % number, number, 1)
    assert counts.of(b"0", 1) is None
    assert counts.of(b"1", 1) == 1


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
    assert counts.of(b"7" + bytes(100_000), 1) == 7
