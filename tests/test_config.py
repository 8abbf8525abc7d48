"""Settings: precedence, types, ranges, unknown keys with the nearest name and the line."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from zsmld import config
from zsmld.config import Workspace, setting
from zsmld.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class Example:
    epochs: int = setting(3, "Passes.", section="train", minimum=1)
    dropout: float = setting(0.1, "Dropout.", section="train", minimum=0, below=1)
    seen: Path | None = setting(None, "Labels.", section="labels")
    out: Path = setting(Path("runs"), "Folder.", section="labels", flag="--output")
    arg: tuple[str, ...] = setting((), "Arguments.", section="train")
    mean: tuple[float, ...] = setting((), "Mean.", section="train")
    source: str | None = setting(None, "Source.", section="labels", may_be_path=True)
    kind: str = setting("a", "Kind.", section="train", choices=("a", "b"))
    quick: bool = setting(False, "Quick.", section="train")
    model: Path | None = setting(None, "Model.", section="train", may_be_on_hub=True)


def workspace(folder, text):
    (folder / "zsmld.toml").write_text(text)
    return Workspace.find(folder)


def test_flag_beats_variable_beats_file_beats_default(tmp_path):
    space = workspace(tmp_path, "[train]\nepochs = 5\n")
    assert config.resolve(Example, {}, Workspace(tmp_path), {}).epochs == 3
    assert config.resolve(Example, {}, space, {}).epochs == 5
    assert config.resolve(Example, {}, space, {"ZSMLD_EPOCHS": "6"}).epochs == 6
    assert config.resolve(Example, {"epochs": "7"}, space, {"ZSMLD_EPOCHS": "6"}).epochs == 7


def test_every_type_from_every_place(tmp_path):
    (tmp_path / "v.txt").touch()
    space = workspace(
        tmp_path,
        '[train]\ndropout = 0\narg = ["a=1", "b=2"]\nmean = [0.5]\nquick = true\nkind = "b"\n'
        '[labels]\nseen = "s.txt"\nsource = "v.txt"\n',
    )
    made = config.resolve(Example, {"mean": ("0.4", "0.5", "0.6")}, space, {"ZSMLD_ARG": "c=3,d=4"})
    assert made == Example(
        dropout=0.0, arg=("c=3", "d=4"), mean=(0.4, 0.5, 0.6), quick=True, kind="b",
        seen=tmp_path / "s.txt", source=str(tmp_path / "v.txt"), out=tmp_path / "runs",
    )  # fmt: skip


def test_a_text_that_names_no_file_stays_a_text(tmp_path):
    space = workspace(tmp_path, '[labels]\nsource = "open_clip:ViT-B-32@x"\n')
    assert config.resolve(Example, {}, space, {}).source == "open_clip:ViT-B-32@x"


@pytest.mark.parametrize("text", ["me/holidays", "hf:me/holidays", "me/holidays@v1"])
def test_a_path_that_may_be_on_the_hub_stays_a_name_where_it_is_one(tmp_path, text):
    space = workspace(tmp_path, f'[train]\nmodel = "{text}"\n[labels]\nseen = "{text}"\n')
    made = config.resolve(Example, {}, space, {})
    assert made.model == Path(text) and made.seen == tmp_path / text
    (tmp_path / "me").mkdir()
    still = config.resolve(Example, {}, space, {}).model
    assert still == (Path(text) if text.startswith("hf:") else tmp_path / text)
    with pytest.raises(UsageError, match="is no name on the hub"):
        config.resolve(Example, {"model": "hf:holidays"}, space, {})


def test_the_file_is_found_from_the_current_folder_upward(tmp_path, monkeypatch):
    workspace(tmp_path, "[train]\nepochs = 5\n")
    (tmp_path / "a" / "b").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "a" / "b")
    assert Workspace.find().folder == tmp_path


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[train]\nepochs = 1\nepoch = 2\n", r"zsmld\.toml:3: unknown key 'epoch'.*Did you mean 'epochs'"),
        ("[trian]\n", r"zsmld\.toml:1: unknown table \[trian\].*Did you mean 'train'"),
        ("epochs = 3\n", r"outside a table"),
        ("[train]\nepochs = \n", r"zsmld\.toml:2: is not TOML"),
        ("[train]\n\nepochs = 0\n", r"zsmld\.toml:3: epochs: 0 is not at least 1"),
        ("[train]\nepochs = 2.5\n", r"is not a whole number"),
        ("[train]\nepochs = true\n", r"is not a whole number"),
        ("[train]\ndropout = 1\n", r"is not below 1"),
        ("[train]\ndropout = nan\n", r"is not a number"),
        ("[train]\nkind = 'c'\n", r"is not one of a, b"),
        ("[train]\nquick = 'maybe'\n", r"is not true or false"),
        ("[labels]\nseen = 3\n", r"is not a path"),
        ("[labels]\nsource = []\n", r"is not a text"),
    ],
)
def test_a_bad_file_is_told_with_its_line(tmp_path, text, told):
    with pytest.raises(UsageError, match=told):
        space = workspace(tmp_path, text)
        config.check_keys(space, (Example,))
        config.resolve(Example, {}, space, {})


def test_a_file_that_is_no_text_is_a_configuration_error(tmp_path):
    (tmp_path / "zsmld.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match="UTF-8"):
        Workspace.find(tmp_path)


def test_a_bad_flag_and_a_bad_variable_are_named(tmp_path):
    with pytest.raises(UsageError, match="--epochs: 'x' is not a whole number"):
        config.resolve(Example, {"epochs": "x"}, Workspace(tmp_path), {})
    with pytest.raises(UsageError, match="--output"):
        config.resolve(Example, {"out": ""}, Workspace(tmp_path), {})
    with pytest.raises(UsageError, match="ZSMLD_DROPOUT"):
        config.resolve(Example, {}, Workspace(tmp_path), {"ZSMLD_DROPOUT": "inf"})


def test_keyword_arguments_are_checked_too():
    assert config.build(Example, {"epochs": 4, "seen": None}) == Example(epochs=4)
    with pytest.raises(UsageError, match=r"unknown setting 'epoch'.*Did you mean 'epochs'"):
        config.build(Example, {"epoch": 4})
    with pytest.raises(UsageError, match="at least 1"):
        config.build(Example, {"epochs": 0})
