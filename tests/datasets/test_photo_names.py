"""Photographs under the names of a list."""

import pytest

from zsmld.datasets.photo_names import Photographs
from zsmld.errors import InputError


def found(root, there, name):
    for path in there:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).touch()
    return next(Photographs(root).find([name]))


@pytest.mark.parametrize(
    ("there", "expected"),
    [
        (["a/1.jpg"], "a/1.jpg"),
        (["A/1.JPG"], "A/1.JPG"),
        # Exactly so before anything else, folders before flat names.
        (["a/1.jpg", "A/1.jpg", "a/1.JPG"], "a/1.jpg"),
        (["a/1.JPG", "A/1.JPG"], "a/1.JPG"),
        (["a/1.JPG", "a_1.jpg", "1.jpg"], "a/1.JPG"),
        (["a_1.jpg", "1.jpg"], "a_1.jpg"),
        (["A_1.JPG"], "A_1.JPG"),
        (["1.jpg"], "1.jpg"),
        (["1.Jpg"], "1.Jpg"),
        (["b/1.jpg"], "a/1.jpg"),
        ([], "a/1.jpg"),
        (["a/1.jpg/x.jpg"], "a/1.jpg"),
    ],
)
def test_where_a_photograph_lies(tmp_path, there, expected):
    assert found(tmp_path, there, "a/1.jpg") == expected


def test_two_cases_are_not_chosen_between(tmp_path):
    with pytest.raises(InputError, match=r"a: has '1\.JPG' and '1\.Jpg', but no '1\.jpg'"):
        found(tmp_path, ["a/1.Jpg", "a/1.JPG"], "a/1.jpg")


def test_folders_of_two_cases_are_one(tmp_path):
    assert found(tmp_path, ["a/2.jpg", "A/1.jpg"], "a/1.jpg") == "A/1.jpg"


def test_names_without_a_folder_and_in_deeper_ones(tmp_path):
    assert found(tmp_path, ["1.jpg"], "1.jpg") == "1.jpg"
    assert found(tmp_path, ["a/b/1.jpg"], "a/b/1.jpg") == "a/b/1.jpg"
    assert found(tmp_path, ["a_b_2.jpg"], "a/b/2.jpg") == "a_b_2.jpg"
