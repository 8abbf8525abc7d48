"""Work that is done ahead: while the backbone computes one batch, the photographs of the next are decoded."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from itertools import islice
from typing import TypeVar

A = TypeVar("A")
B = TypeVar("B")

# Threads that read and decode; both let other threads work meanwhile.
DECODERS = 4


def batches_ahead(function: Callable[[A], B], items: Iterable[A], size: int) -> Generator[list[B]]:
    """Results of `function` in lists of `size`, the last one what is left, while those of the next are made."""
    with closing(ahead(function, items, count=size)) as results:
        while batch := list(islice(results, size)):
            yield batch


def ahead(function: Callable[[A], B], items: Iterable[A], *, count: int, threads: int = DECODERS) -> Generator[B]:
    """`map(function, items)`, in order, with up to `count` results waiting that nobody has asked for yet.

    What the function raises is raised where its result would have come. Closing the generator drops what has not begun.
    """
    waiting: deque[Future[B]] = deque()
    pool = ThreadPoolExecutor(threads)
    try:
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) > count:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
