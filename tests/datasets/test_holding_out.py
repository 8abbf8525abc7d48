"""Held-out training images: groups stay whole, declared ones are taken, nothing is lost."""

from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from zsmld.datasets.holding_out import split_validation
from zsmld.datasets.records import Dataset, ImageRecord


def dataset(groups, splits=None):
    splits = splits or ["train"] * len(groups)
    records = [ImageRecord(f"{i}.jpg", (), splits[i], group, i + 1) for i, group in enumerate(groups)]
    return Dataset.of(records, Path("a.jsonl"), Path())


@given(
    groups=st.lists(st.one_of(st.none(), st.sampled_from("abcdefgh")), min_size=1, max_size=60),
    fraction=st.floats(0, 0.6),
    seed=st.integers(0, 5),
)
def test_a_partition_that_never_splits_a_group(groups, fraction, seed):
    training, validating = split_validation(dataset(groups), fraction, seed)
    assert sorted([*training, *validating]) == list(range(len(groups)))
    held_out = {groups[row] for row in validating} - {None}
    assert not held_out & {groups[row] for row in training}


def test_about_the_fraction_is_held_out():
    training, validating = split_validation(dataset([None] * 1000), 0.1, 0)
    assert (len(training), len(validating)) == (900, 100)
    _, validating = split_validation(dataset([str(i // 100) for i in range(3500)]), 0.1, 0)
    assert 300 <= len(validating) <= 400


def test_a_label_is_never_left_without_training_images():
    groups = [str(i // 10) for i in range(200)]
    truth = np.zeros((200, 20), dtype=bool)
    truth[np.arange(200), np.arange(200) // 10] = True  # every label in one group only
    training, validating = split_validation(dataset(groups), 0.5, 0, truth)
    assert truth[training].any(axis=0).all() and len(validating) == 0
    truth[:100, 5] = True
    training, validating = split_validation(dataset(groups), 0.5, 0, np.ones((200, 3), dtype=bool))
    assert len(validating) == 100


def test_declared_validation_images_are_the_ones():
    training, validating = split_validation(dataset([None] * 3, ["train", "val", "train"]), 0.5, 0)
    assert (training.tolist(), validating.tolist()) == ([0, 2], [1])


def test_the_seed_decides_and_zero_holds_out_none():
    first, again, other = (split_validation(dataset([None] * 50), 0.2, seed)[1] for seed in (0, 0, 1))
    assert np.array_equal(first, again) and not np.array_equal(first, other)
    assert len(split_validation(dataset([None] * 50), 0, 0)[1]) == 0
