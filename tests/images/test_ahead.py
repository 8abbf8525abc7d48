"""Work done ahead: in order, bounded, errors where they belong."""

import threading
import time

import pytest

from zsmld.images.ahead import ahead


def test_results_come_in_order_and_no_more_are_made_than_asked_for():
    begun = []

    def slow(item):
        begun.append(item)
        time.sleep(0.002 * (item % 3))
        return item * item

    results = ahead(slow, range(50), count=4, threads=3)
    taken = []
    for result in results:
        taken.append(result)
        assert len(begun) <= len(taken) + 4
    assert taken == [item * item for item in range(50)]


def test_the_next_is_made_while_one_is_in_use():
    made = threading.Event()

    def make(item):
        if item == 1:
            made.set()
        return item

    results = ahead(make, range(3), count=1, threads=1)
    assert next(results) == 0
    assert made.wait(5)  # without anybody asking for it
    assert list(results) == [1, 2]


def test_an_error_comes_in_its_place_and_closing_drops_the_rest():
    begun = []

    def fail(item):
        begun.append(item)
        if item == 3:
            raise ValueError("three")
        return item

    results = ahead(fail, range(1000), count=2)
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ValueError, match="three"):
        next(results)
    assert len(begun) < 10 and list(results) == []
    before = threading.active_count()
    results = ahead(fail, iter(range(5, 1000)), count=2)
    next(results)
    results.close()
    assert threading.active_count() == before
