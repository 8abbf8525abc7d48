"""Names on the hub, told from paths."""

from pathlib import Path

import pytest

from zsmld.errors import UsageError
from zsmld.hub_names import HubName, model_name, named


@pytest.mark.parametrize(
    ("text", "repository", "revision"),
    [
        ("me/holidays", "me/holidays", None),
        ("hf:me/holidays", "me/holidays", None),
        ("me/a.b-c_d@v1", "me/a.b-c_d", "v1"),
        ("hf:me/x@refs/pr/2", "me/x", "refs/pr/2"),
    ],
)
def test_names(tmp_path, text, repository, revision):
    assert model_name(text, tmp_path) == HubName(repository, revision)
    # As a path of Python's, which settings are, it is the same text.
    assert str(Path(text)) == text
    assert str(HubName(repository, revision)) == text.removeprefix("hf:")


@pytest.mark.parametrize(
    "text", ["runs", "/me/x", "./me/x", "../me", "a/b/c", "me/", "", "mé/x", "me/x y", "me/x@", "~/x"]
)
def test_paths(tmp_path, text):
    assert model_name(text, tmp_path) is None


def test_what_is_there_is_a_path_and_so_is_a_misspelt_name_beside_it(tmp_path):
    (tmp_path / "runs/001").mkdir(parents=True)
    (tmp_path / "one").touch()
    assert model_name("runs/001", tmp_path) is None and model_name("runs/0001", tmp_path) is None
    assert model_name("one/x", tmp_path) is None
    assert model_name("hf:runs/0001", tmp_path) == HubName("runs/0001")


@pytest.mark.parametrize("text", ["hf:", "hf:me", "hf:me/x/y", "hf:/me/x", "hf:me/x@"])
def test_what_cannot_be_a_name_is_refused_where_one_is_promised(tmp_path, text):
    with pytest.raises(UsageError, match="is no name on the hub"):
        model_name(text, tmp_path)


@pytest.mark.parametrize("text", ["me", "me/x/y", "", "me/x y"])
def test_where_only_a_name_will_do_others_are_refused(text):
    with pytest.raises(UsageError, match="expected ORG/NAME"):
        named(text)
    assert named("me/x") == HubName("me/x")
