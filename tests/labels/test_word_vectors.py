import pickle

import numpy as np
import pytest

from zsmld.errors import InputError
from zsmld.labels.vocabulary import read_vocabulary
from zsmld.labels.word_vectors import embed_words, spellings


def _file(tmp_path, data):
    path = tmp_path / "v"
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


def test_no_pickle_is_ever_run(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (tmp_path.joinpath("ran").touch, ())

    with pytest.raises(InputError, match="pickle"):
        embed_words(["a"], _file(tmp_path, pickle.dumps(Bomb())))
    assert not (tmp_path / "ran").exists()


GLOVE = "polar_bear 1 2\npolar 3 0\nbear 0 5\nParis 7 7\ndog 1 1\nsea-side 2 2\nnew 9 1\nBAR 4 4\n"


@pytest.mark.parametrize(
    ("label", "vector", "route"),
    [
        ("polar bear", [1, 2], "whole: polar_bear"),
        ("Polar-Bear", [1, 2], "whole: polar_bear"),
        ("DOG", [1, 1], "whole: dog"),
        ("paris", [7, 7], "whole: Paris"),
        ("sea side", [2, 2], "whole: sea-side"),
        ("bar", [4, 4], "whole: BAR"),
        ("bear dog", [0.5, 3], "composed: bear + dog"),
        ("bear-Paris_dog", [np.float32(8 / 3), np.float32(13 / 3)], "composed: bear + Paris + dog"),
    ],
)
def test_labels_are_looked_up_whole_and_then_composed(tmp_path, label, vector, route):
    table = embed_words([label], _file(tmp_path, GLOVE))
    assert table.labels == (label,)
    assert table.vectors[0].tolist() == vector
    assert table.routes == (route,)
    assert table.provenance.kind == "word_vectors"
    assert table.provenance.source == str(tmp_path / "v")


def test_spellings_come_in_a_fixed_order_as_written_first():
    order = spellings("Polar bear")
    assert order[:5] == ["Polar bear", "polar bear", "Polar_bear", "polar_bear", "Polar-bear"]
    assert order.index("polarbear") < order.index("Polar_Bear") < order.index("POLAR BEAR")
    assert len(order) == len(set(order))


def test_missing_labels_are_named_with_their_lines(tmp_path, capsys):
    vectors = _file(tmp_path, GLOVE)
    labels = tmp_path / "labels.txt"
    labels.write_text("# mine\ndog\n\nwhale\npolar whale\n")
    vocabulary = read_vocabulary(labels)
    with pytest.raises(InputError) as caught:
        embed_words(vocabulary.labels, vectors, vocabulary=vocabulary)
    text = str(caught.value)
    assert text.startswith(f"{labels}:4: 2 of 3 labels have no vector")
    assert "'whale' (line 4), 'polar whale' (line 5; no 'whale')" in text
    assert "--missing skip" in text
    table = embed_words(vocabulary.labels, vectors, missing="skip", vocabulary=vocabulary)
    assert table.labels == ("dog",)
    warned = capsys.readouterr().err
    assert "warning: left out, 2 of 3" in warned and "'polar whale'" in warned
    with pytest.raises(InputError, match="2 of 2 labels"):
        embed_words(["whale", "polar whale"], vectors, missing="skip")


def test_only_the_first_ten_missing_labels_are_listed(tmp_path):
    labels = [f"unknown{at}" for at in range(25)]
    with pytest.raises(InputError, match=r"'unknown9' \(position 10\) and 15 more"):
        embed_words(labels, _file(tmp_path, GLOVE))


@pytest.mark.realdata
def test_all_nus_wide_tags_have_a_vector(shared_data):
    tags = read_vocabulary(shared_data / "nus_wide" / "TagList1k.txt")
    table = embed_words(tags.labels, shared_data / "vectors" / "glove_nus_wide_1006.300d.txt.gz", vocabulary=tags)
    assert (len(table), table.width) == (1000, 300)
    with pytest.raises(InputError, match="is a Python pickle"):
        embed_words(tags.labels, shared_data / "vectors" / "lesa_nus_wide_glove.300d.pkl")
    with pytest.raises(InputError, match="is a zip archive without word vectors"):
        embed_words(tags.labels, shared_data / "vectors" / "sdl_nus_wide_1006.300d.npz")
