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


def test_templates_are_for_clip_only(glove, tiny_clip, tmp_path):
    (tmp_path / "templates.txt").write_text("one {}\n")
    assert embed_labels(["sea"], source=tiny_clip, templates=tmp_path / "templates.txt").provenance.templates == (
        "one {}",
    )
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
    assert more.routes[2] == "composed: polar + bear"
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
