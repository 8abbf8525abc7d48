"""Words as they are given: files, tables, standard input, commas; and what must not be taken for a word."""

import io

import numpy as np
import pytest

from zsmld.errors import InputError, UsageError
from zsmld.labels.embeddings import LabelEmbeddings
from zsmld.labels.provenance import Provenance, SourceRecord
from zsmld.prediction.words import asked_words


def labels(*texts):
    found = asked_words(texts)
    assert found is not None
    return found.labels


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_words_with_commas_between():
    assert labels("dog, polar bear ,sea,") == ("dog", "polar bear", "sea")
    assert labels("dog") == ("dog",)
    assert labels("dog", "sea,sky") == ("dog", "sea", "sky")
    assert asked_words(()) is None


def test_a_file_goes_before_a_word_and_a_folder_is_none(folder):
    (folder / "dog").write_text("# breeds\npoodle\nbeagle\n")
    (folder / "sea").mkdir()
    assert labels("dog") == ("poodle", "beagle")
    assert labels("sea") == ("sea",)
    assert labels("dog", "cat") == ("poodle", "beagle", "cat")


def test_a_file_keeps_its_lines_for_messages(folder):
    (folder / "words.txt").write_text("dog\nDOG\n")
    with pytest.raises(InputError, match=r"words\.txt:2: 'DOG' at line 2 is the same label"):
        labels("words.txt")


@pytest.mark.parametrize("name", ["wrods.txt", "lists/animals", "words.CSV", "table.safetensors"])
def test_a_file_that_is_not_there_is_no_word(name):
    with pytest.raises(InputError, match="no such label file"):
        labels(name)


def test_standard_input(monkeypatch):
    def standard_input(data):
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(data)))

    standard_input("\ufeff# words\nDünen\n\n sea \n".encode())
    assert labels("-") == ("Dünen", "sea")
    standard_input(b"\xff\n")
    with pytest.raises(InputError, match="standard input are not UTF-8"):
        labels("-")
    standard_input(b"")
    with pytest.raises(InputError, match="no labels given"):
        labels("-")


def test_a_table_of_vectors_stands_alone(folder):
    record = SourceRecord("a.txt", "sha256:0", "word_vectors", 2, composition="mean")
    table = LabelEmbeddings(("a", "b"), np.eye(2, dtype=np.float32), ("x", "x"), Provenance((record,)))
    table.save(folder / "t.safetensors")
    found = asked_words(["t.safetensors"])
    assert isinstance(found, LabelEmbeddings) and found.labels == ("a", "b")
    with pytest.raises(UsageError, match="holds vectors, and stands beside other words"):
        asked_words(["t.safetensors", "dog"])


@pytest.mark.parametrize(("texts", "message"), [
    (["dog,dog"], "'dog' at position 2 is again"), (["dog", "DOG"], "the same label"), ([","], "no labels given"),
])  # fmt: skip
def test_words_twice_and_no_words_are_refused(texts, message):
    with pytest.raises(InputError, match=message):
        asked_words(texts)
