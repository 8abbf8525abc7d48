"""Room on the disk that tokens take which nobody needs any more: of photographs that were changed or deleted."""

from __future__ import annotations

from collections.abc import Container, Iterator

from zsmld.images.token_store import Place, Shards

# A shard of which a larger part is not needed is written anew without it: so much of the disk is lost at most.
DEAD_SHARE = 0.25
_Rows = list[tuple[str, Place]]


def reclaim(shards: Shards, needed: Container[str]) -> int:
    """Remove rows from shards, and return how many. The folder's lock must be held.

    What is needed is copied into a new shard before the old ones are removed, so that it is in one of them at any time;
    of two copies that a killed process left, one is a row that is not needed.

    Args:
        shards: all of one backbone.
        needed: digests of the photographs whose tokens are needed.

    Raises:
        InputError: a shard is damaged.
        EnvironmentFailure: a shard cannot be written, or removed; all that is needed is there.
    """
    places = shards.read_index()
    sparse: dict[int, _Rows] = {}
    freed = 0
    for number, rows in shards.each():
        kept = [(digest, place) for digest, place in rows.items() if digest in needed and places[digest] == place]
        if len(rows) - len(kept) > DEAD_SHARE * len(rows):
            sparse[number] = kept
            freed += len(rows) - len(kept)
    for group in _groups(sparse, shards.capacity):
        digests = [digest for number in group for digest, _ in sparse[number]]
        if digests:
            tokens = (image for number in group for image in shards.read(number, _checked(sparse[number])))
            shards.write(digests, tokens)
        for number in group:
            shards.remove(number)
    return freed


def _groups(sparse: dict[int, _Rows], capacity: int) -> Iterator[list[int]]:
    """Shards whose rows fit into one; the emptiest first, which makes room for the others."""
    group: list[int] = []
    rows = 0
    for number in sorted(sparse, key=lambda number: len(sparse[number])):
        if group and rows + len(sparse[number]) > capacity:
            yield group
            group, rows = [], 0
        group.append(number)
        rows += len(sparse[number])
    if group:
        yield group


def _checked(rows: _Rows) -> Iterator[tuple[int, int]]:
    return ((place.row, place.checksum) for _, place in rows)
