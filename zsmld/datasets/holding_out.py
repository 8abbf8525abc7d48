"""Which training images are held out, to choose by: never a test image."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from zsmld.datasets.records import Dataset

Rows = NDArray[np.int64]


def split_validation(
    dataset: Dataset, fraction: float, seed: int, truth: NDArray[np.bool_] | None = None
) -> tuple[Rows, Rows]:
    """Rows to train on and rows to validate on.

    Records of the split `val` are the validation images where there are any. Otherwise `fraction` of the training
    records is held out; where records name a group, whole groups are, because the images of one group are
    near-identical and would tell the model its own answers. With `truth`, a group that has the last training images
    of a label stays in training.

    Args:
        dataset: records of the splits train and val.
        fraction: part of the training images, in [0,1); 0 holds out none.
        seed: of the choice.
        truth: (I,L) of the seen labels.
    """
    rows = np.arange(len(dataset), dtype=np.int64)
    declared = dataset.is_of("val")
    if declared.any() or fraction == 0:
        return rows[~declared], rows[declared]
    # An image without a group is a group of its own.
    members: dict[str, list[int]] = {}
    for row, group in enumerate(dataset.groups):
        members.setdefault(f"#{row}" if group is None else group, []).append(row)
    groups = list(members.values())
    truth = np.zeros((len(rows), 0), dtype=np.bool_) if truth is None else truth
    left = truth.sum(axis=0)  # training images of every label
    held_out: list[int] = []
    for index in np.random.default_rng([seed, len(rows)]).permutation(len(groups)):
        if len(held_out) + len(groups[index]) / 2 > fraction * len(rows):
            break
        taken = truth[groups[index]].sum(axis=0)
        if not np.any((taken > 0) & (left == taken)):
            held_out.extend(groups[index])
            left = left - taken
    validating = np.sort(np.array(held_out, dtype=np.int64))
    return np.setdiff1d(rows, validating), validating
