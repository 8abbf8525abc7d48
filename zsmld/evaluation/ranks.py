"""How many images score at least as high as each positive one: all that average precision needs of a ranking.

Sorting all images would tell, and takes most of the time of a large evaluation. Instead scores are put into buckets of
equal width, and images are counted a bucket. Only where a bucket holds a positive, and different scores, does the order
inside it matter: the images of those buckets alone are sorted.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Scores = NDArray[np.float32]
Counts = NDArray[np.int64]

_BUCKETS = 2**16
# With more positives than this part of the images nearly all buckets hold one; to sort fewer images costs little.
_FEW = 0.1


def images_above(scores: Scores, positives: Scores) -> Counts:
    """For each positive, how many scores are at least as high.

    Args:
        scores: (I,), no NaN.
        positives: (P,) of them, ascending.

    Returns:
        (P,).
    """
    low, high = scores.min(), scores.max()
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        scale = np.float32(_BUCKETS - 1) / (high - low)
    # Equal scores, infinite ones, or ones so far apart or so close together that their difference is no number.
    if not np.isfinite(scale) or not scale or len(positives) > _FEW * len(scores):
        return _at_least(np.sort(scores), positives)
    # Larger scores are never put into lower buckets: each of these steps keeps the order, if it rounds.
    bucket = ((scores - low) * scale).astype(np.uint16)
    of_positives = ((positives - low) * scale).astype(np.uint16)
    sorted_inside = np.zeros(_BUCKETS, dtype=np.bool_)
    sorted_inside[of_positives] = True
    near = np.flatnonzero(sorted_inside.take(bucket))
    if len(near) > _FEW * len(scores):
        sorted_inside &= _of_several_scores(scores, bucket)
        near = np.flatnonzero(sorted_inside.take(bucket))
    elsewhere = np.bincount(bucket, minlength=_BUCKETS) * ~sorted_inside
    up_to = np.cumsum(elsewhere)
    # Those of a positive's own bucket that are not among `near` score just as it does.
    own_or_higher = up_to[-1] - up_to[of_positives] + elsewhere[of_positives]
    above: Counts = _at_least(np.sort(scores[near]), positives) + own_or_higher
    return above


def _of_several_scores(scores: Scores, bucket: NDArray[np.uint16]) -> NDArray[np.bool_]:
    """Which buckets hold different scores; where there are many ties, few do."""
    one_of = np.empty(_BUCKETS, dtype=np.float32)
    one_of[bucket] = scores
    several = np.zeros(_BUCKETS, dtype=np.bool_)
    several[bucket[np.flatnonzero(scores != one_of.take(bucket))]] = True
    return several


def _at_least(ascending: Scores, positives: Scores) -> Counts:
    counts: Counts = len(ascending) - np.searchsorted(ascending, positives, side="left")
    return counts
