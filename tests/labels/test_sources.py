import json

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from zsmld.errors import InputError, UsageError
from zsmld.labels.embeddings import LabelEmbeddings
from zsmld.labels.sources import embed_labels, embed_like
from zsmld.labels.vocabulary import read_vocabulary

GLOVE = "dog 1 2\ncat 3 4\nsea 5 6\npolar 7 8\nbear 9 1\n"


@pytest.fixture
def glove(tmp_path):
    path = tmp_path / "glove.txt"
    path.write_text(GLOVE)
    return path


@pytest.fixture(scope="session")
def tiny_clip(tmp_path_factory):
    import open_clip

    folder = tmp_path_factory.mktemp("clip")
    text = {"context_length": 24, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1}
    config = {"embed_dim": 8, "vision_cfg": {"image_size": 32, "layers": 1, "width": 64, "patch_size": 16}}
    config["text_cfg"] = text
    torch.manual_seed(0)
    state = open_clip.CLIP(**config).state_dict()
    save_file({name: tensor.contiguous() for name, tensor in state.items()}, folder / "open_clip_model.safetensors")
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": config}))
    return f"open_clip:local-dir:{folder}"


def test_labels_come_from_python_a_file_or_a_vocabulary(glove, tmp_path):
    (tmp_path / "labels.txt").write_text("sea\npolar bear\n")
    path = tmp_path / "labels.txt"
    tables = [embed_labels(given, source=glove) for given in (["sea", "polar bear"], path, read_vocabulary(path))]
    for table in tables:
        assert table.labels == ("sea", "polar bear")
        assert table.vectors.tolist() == [[5, 6], [8, 4.5]]
        assert table.provenance.source == str(glove)
    assert embed_labels(["sea"], source=str(glove)).provenance.fingerprint == tables[0].provenance.fingerprint


def test_missing_labels_and_absent_sources_are_refused(glove, tmp_path, capsys):
    (tmp_path / "labels.txt").write_text("sea\nwhale\n")
    with pytest.raises(InputError, match=r"labels\.txt:2: 1 of 2 labels"):
        embed_labels(tmp_path / "labels.txt", source=glove)
    assert embed_labels(tmp_path / "labels.txt", source=glove, missing="skip").labels == ("sea",)
    assert "whale" in capsys.readouterr().err
    with pytest.raises(InputError, match="no such file"):
        embed_labels(["sea"], source=tmp_path / "absent.txt")


def test_missing_labels_are_named_with_their_lines_and_the_nearest_words(tmp_path, capsys):
    vectors = tmp_path / "v.txt"
    vectors.write_text("airplane 1 2\nairship 2 1\npolar 3 4\ndog 5 6\n")
    (tmp_path / "labels.txt").write_text("# mine\ndog\n\naeroplane\npolar aeroplane\n犬\n")
    vocabulary = read_vocabulary(tmp_path / "labels.txt")
    with pytest.raises(InputError) as caught:
        embed_labels(vocabulary, source=vectors)
    text = str(caught.value)
    assert text.startswith(
        f"{tmp_path / 'labels.txt'}:4: 3 of 4 labels have no vector in {vectors}: 'aeroplane' (line 4; "
    )
    assert "nearest: 'airplane'" in text and "(line 5; no 'aeroplane', nearest: 'airplane'" in text
    assert "'犬' (line 6)" in text and "--missing skip" in text
    assert "--forms" not in text
    with pytest.raises(InputError, match=r"nearest: 'dog'.* take other forms of a word with --forms, or"):
        embed_labels(["dogs", "dog"], source=vectors)
    assert embed_labels(vocabulary, source=vectors, missing="skip").labels == ("dog",)
    assert "warning: left out, 3 of 4" in capsys.readouterr().err
    with pytest.raises(InputError, match=r"2 of 2 labels .*Correct them\.$"):
        embed_labels(["whale", "polar whale"], source=vectors, missing="skip")


def test_only_the_first_ten_missing_labels_are_listed(glove):
    with pytest.raises(InputError, match=r"'unknown9' \(position 10\) and 15 more"):
        embed_labels([f"unknown{at}" for at in range(25)], source=glove)


def test_how_many_labels_were_found_in_which_way_is_recorded(glove):
    table = embed_labels(["dog", "CAT", "polar bear", "bears", "x"], source=glove, forms=True, missing="skip")
    record = table.provenance.parts[0]
    assert record.coverage == {"whole": 2, "composed": 1, "form": 1, "lacking": 1}
    assert (record.kind, record.width, record.composition, record.forms) == ("word_vectors", 2, "mean", True)
    assert table.provenance.normalisation == "none"


def test_sources_stand_side_by_side_with_their_weights(glove, tiny_clip):
    labels = ["sea", "dog", "cat"]
    both = embed_labels(labels, source=[glove, f"{tiny_clip}::weight=3"], templates="plain", device="cpu")
    words, clip = embed_labels(labels, source=glove), embed_labels(labels, source=tiny_clip, templates="plain")
    assert both.width == 2 + 8
    np.testing.assert_allclose(np.linalg.norm(both.vectors, axis=1), 1, atol=1e-6)

    def cosines(vectors):
        units = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        return units @ units.T

    mixed = (cosines(words.vectors) + 3 * cosines(clip.vectors)) / 4
    np.testing.assert_allclose(cosines(both.vectors), mixed, atol=1e-6)
    assert both.routes[0] == "whole: sea; clip: 1 template"
    assert [part.weight for part in both.provenance.parts] == [1.0, 3.0]
    assert both.provenance.source == f"{glove} + {tiny_clip}" and "sqrt" in both.provenance.normalisation
    other = embed_labels(labels, source=[glove, tiny_clip], templates="plain", device="cpu")
    assert other.provenance.fingerprint != both.provenance.fingerprint


def test_a_label_that_one_of_several_sources_lacks_is_missing(glove, tiny_clip, capsys):
    with pytest.raises(InputError, match=r"1 of 2 labels have no vector in \S*glove\.txt: 'whale'"):
        embed_labels(["sea", "whale"], source=[glove, tiny_clip])
    assert embed_labels(["sea", "whale"], source=[tiny_clip, glove], missing="skip").labels == ("sea",)


def test_tables_of_several_sources_are_extended_like_they_were_made(glove, tiny_clip, tmp_path):
    sources = [f"{glove}::weight=2", tiny_clip]
    table = embed_labels(["sea", "dog"], source=sources, templates=["a {}"], compose="sif", forms=True, device="cpu")
    whole = embed_labels(["bears", "polar bear"], source=sources, templates=["a {}"], compose="sif", forms=True)
    more = embed_like(["bears", "dog", "polar bear"], table, device="cpu")
    np.testing.assert_allclose(more.vectors[[0, 2]], whole.vectors, atol=1e-6)
    assert np.array_equal(more.vectors[1], table.vectors[1]) and more.provenance == table.provenance
    moved = tmp_path / "moved.txt"
    glove.rename(moved)
    again = embed_like(["bears"], table, source=[moved, tiny_clip], device="cpu")
    np.testing.assert_allclose(again.vectors, more.vectors[:1], atol=1e-6)
    with pytest.raises(UsageError, match="1 sources are given, the label embeddings were made of 2"):
        embed_like(["bears"], table, source=moved)


def test_templates_are_for_clip_only(glove, tiny_clip, tmp_path):
    (tmp_path / "templates.txt").write_text("one {}\n")
    assert embed_labels(["sea"], source=tiny_clip, templates=tmp_path / "templates.txt").provenance.parts[
        0
    ].templates == ("one {}",)
    with pytest.raises(UsageError, match="templates are for CLIP"):
        embed_labels(["sea"], source=glove, templates=tmp_path / "templates.txt")


def test_a_source_is_made_absolute(glove, monkeypatch):
    monkeypatch.chdir(glove.parent)
    assert embed_labels(["sea"], source="glove.txt").provenance.source == str(glove)


def test_known_labels_need_no_source(glove):
    table = embed_labels(["sea", "dog", "cat"], source=glove)
    glove.unlink()
    some = embed_like(["Cat", "sea"], table)
    assert some.labels == ("Cat", "sea")
    assert some.vectors.tolist() == [[3, 4], [5, 6]]
    with pytest.raises(InputError, match=r"gone; it is needed for 'bear'\. Pass its new place as --source"):
        embed_like(["sea", "bear"], table)


def test_new_labels_are_embedded_with_the_table_s_own_source(glove, tmp_path):
    table = embed_labels(["sea", "dog"], source=glove)
    # Rows of the table win over the source: they may be what a model was trained on.
    altered = LabelEmbeddings(table.labels, table.vectors + 1, table.routes, table.provenance)
    more = embed_like(["bear", "DOG", "polar bear", "sea"], altered)
    assert more.labels == ("bear", "DOG", "polar bear", "sea")
    assert more.vectors.tolist() == [[9, 1], [2, 3], [8, 4.5], [6, 7]]
    assert more.routes[2] == "composed (mean): polar + bear"
    assert more.provenance == table.provenance
    assert embed_like(["bear"], table).provenance == table.provenance
    moved = tmp_path / "moved.txt"
    glove.rename(moved)
    assert embed_like(["bear"], table, source=moved).vectors.tolist() == [[9, 1]]
    assert embed_like(["bear", "whale", "sea"], table, source=moved, missing="skip").labels == ("bear", "sea")
    with pytest.raises(InputError, match="'whale'"):
        embed_like(["bear", "whale"], table, source=moved)


def test_another_source_is_refused_and_both_are_named(glove, tiny_clip, tmp_path):
    table = embed_labels(["sea", "dog"], source=glove)
    other = tmp_path / "other.txt"
    other.write_text(GLOVE.replace("polar 7 8", "polar 7 9"))
    with pytest.raises(InputError) as caught:
        embed_like(["bear"], table, source=other)
    assert str(other) in str(caught.value) and str(glove) in str(caught.value)
    with pytest.raises(InputError, match="is not the source"):
        embed_like(["bear"], table, source=tiny_clip)
    glove.write_text(other.read_text())
    with pytest.raises(InputError, match="is not the source"):
        embed_like(["bear"], table)


def test_a_shuffled_control_takes_no_new_labels(glove):
    control = embed_labels(["sea", "dog", "cat"], source=glove).shuffled(0)
    assert np.array_equal(embed_like(["dog"], control).vectors, control.vectors[1:2])
    with pytest.raises(InputError, match="shuffled control, which cannot be extended by 'bear'"):
        embed_like(["bear", "dog"], control)


def test_clip_tables_are_extended_with_their_own_templates(tiny_clip, tmp_path):
    (tmp_path / "templates.txt").write_text("one {}\nanother {}\n")
    whole = embed_labels(["sea", "dog", "cat"], source=tiny_clip, templates=tmp_path / "templates.txt")
    more = embed_like(["cat", "sea", "dog"], whole.select(["dog"]))
    np.testing.assert_allclose(more.vectors, whole.vectors[[2, 0, 1]], atol=1e-6)
    assert more.provenance == whole.provenance


@pytest.mark.realdata
def test_all_nus_wide_tags_have_a_vector_in_every_form_of_the_table(shared_data):
    tags = shared_data / "nus_wide" / "TagList1k.txt"
    concepts = shared_data / "nus_wide" / "Concepts81.txt"
    vectors = shared_data / "vectors"
    text = embed_labels(tags, source=vectors / "glove_nus_wide_1006.300d.txt.gz")
    pickled = embed_labels(tags, source=f"{vectors / 'lesa_nus_wide_glove.300d.pkl'}::words={tags},{concepts}")
    assert (len(text), text.width) == (len(pickled), pickled.width) == (1000, 300)
    np.testing.assert_allclose(text.vectors, pickled.vectors, atol=1e-5)
    both = embed_labels(
        tags, source=[vectors / "sdl_nus_wide_1006.300d.npz", f"{vectors / 'glove_nus_wide_1006.300d.txt.gz'}"]
    )
    assert both.width == 600 and [part.coverage["whole"] for part in both.provenance.parts] == [1000, 1000]
