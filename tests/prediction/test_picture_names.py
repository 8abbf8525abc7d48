"""File names of pictures: safe on every file system, and never those of another photograph."""

import os
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zsmld.prediction.picture_names import OWNER, label_names, owner_of, safe, stem_in

# What Windows, macOS or a shell takes for something else.
UNSAFE = set("/\\:*?\"<>|.;&$!`'%~#{}[]()^@=+, \t\n\r\0") - {" "}
TEXT = st.text(st.characters(), max_size=300)


def is_safe(name):
    return (
        0 < len(name.encode()) <= 96
        and not UNSAFE & set(name)
        and name == name.strip()
        and all(unicodedata.category(c)[0] != "C" or unicodedata.category(c) == "Cn" for c in name)
    )


@given(TEXT)
def test_any_text_gives_a_safe_name(text):
    assert is_safe(safe(text)) and "Cn" not in {unicodedata.category(c) for c in safe(text)}


@given(st.sets(TEXT, max_size=12))
def test_labels_have_different_names_whatever_the_file_system(labels):
    labels = sorted(labels)
    names = label_names(labels)
    for fold in (str.casefold, str.lower, str.upper, lambda name: unicodedata.normalize("NFKD", name).casefold()):
        assert len({fold(name) for name in names}) == len(labels)
    assert all(is_safe(name) or is_safe(name[:-9]) for name in names)  # without and with a digest
    assert dict(zip(labels, names, strict=True)) == dict(zip(labels[::-1], label_names(labels[::-1]), strict=True))


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("polar bear", "polar bear"), ("a/b", "a_b"), ("../../etc/passwd", "______etc_passwd"), ("", "_"), (".", "_"),
        ("🐶", "🐶"), ("naïve", "naïve"), ("हिन्दी", "हिन्दी"), ("a\u202eb", "a_b"), ("a\udcffb", "a_b"), (" x ", "x"),
        ("é" * 100, "é" * 48),
    ],
)  # fmt: skip
def test_names_stay_readable(text, name):
    assert safe(text) == name


def test_only_labels_that_would_meet_carry_a_digest():
    names = label_names(["dog", "Polish", "polish", "a/b", "a:b"])
    assert names[0] == "dog" and names[1].startswith("Polish-") and names[2].startswith("polish-")
    assert names[3].startswith("a_b-") and names[3] != names[4]
    assert label_names(["Polish", "dog"]) == ["Polish", "dog"]


def picture_of(photograph, path):
    path.write_bytes(b"\x89PNG tEXt" + f"{OWNER}\0{owner_of(photograph)}".encode())


def test_a_photograph_of_the_same_name_gets_another_stem(tmp_path):
    one, other, third = (tmp_path / name for name in ("2019/IMG_1.jpg", "2020/img_1.JPG", "2020/IMG_1.png"))
    assert stem_in(tmp_path, one) == "IMG_1"
    picture_of(one, tmp_path / "IMG_1--dog.png")
    stems = {stem_in(tmp_path, path) for path in (one, other, third)}
    assert stems == {"IMG_1", f"img_1-{owner_of(other)[:8]}", f"IMG_1-{owner_of(third)[:8]}"}
    picture_of(other, tmp_path / f"IMG_1-{owner_of(third)[:8]}--dog.png")
    assert stem_in(tmp_path, third) == f"IMG_1-{owner_of(third)}"
    assert stem_in(tmp_path, tmp_path / "IMG_12.jpg") == "IMG_12"


def test_what_is_not_ours_is_left_alone(tmp_path):
    (tmp_path / "a--b.png").write_text("somebody's")
    (tmp_path / "c--d.png").mkdir()
    os.mkfifo(tmp_path / "e--f.png")
    for name in "ace":
        assert stem_in(tmp_path, tmp_path / f"{name}.jpg").startswith(f"{name}-")
