import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save

from zsmld.errors import InputError, UsageError
from zsmld.labels.embeddings import LabelEmbeddings
from zsmld.labels.provenance import Provenance, SourceRecord

LABELS = ("dog", "polar bear", "Café", "sea", "C#")


RECORD = SourceRecord(
    "/data/glove.txt", "sha256:00", "word_vectors", 4, composition="mean", coverage={"whole": 5, "lacking": 0}
)
CLIP = SourceRecord("open_clip:x@y", "sha256:01", "clip_text", 4, templates=("a {}.", "the {}"), note="n", weight=2.0)


def _table(labels=LABELS, width=4, seed=0, parts=(RECORD,)):
    vectors = np.random.default_rng(seed).normal(size=(len(labels), width)).astype(np.float32)
    return LabelEmbeddings(tuple(labels), vectors, tuple(f"whole: {x}" for x in labels), Provenance(parts))


def _header(data):
    size = int.from_bytes(data[:8], "little")
    return json.loads(data[8 : 8 + size])


def test_saves_and_loads_every_bit(tmp_path):
    table = _table(parts=(RECORD, CLIP))
    table.save(tmp_path / "t.safetensors")
    again = LabelEmbeddings.load(tmp_path / "t.safetensors")
    assert (again.labels, again.routes, again.provenance) == (table.labels, table.routes, table.provenance)
    assert again.vectors.dtype == np.float32
    assert again.vectors.tobytes() == table.vectors.tobytes()
    assert (len(again), again.width) == (5, 4)
    with pytest.raises(UsageError, match="exists already"):
        table.save(tmp_path / "t.safetensors")
    _table(seed=1).save(tmp_path / "t.safetensors", force=True)
    assert not np.array_equal(LabelEmbeddings.load(tmp_path / "t.safetensors").vectors, table.vectors)


def test_saving_is_repeatable_and_takes_any_memory_layout(tmp_path):
    table = _table()
    table.save(tmp_path / "a")
    replace(table, vectors=np.asfortranarray(table.vectors)).save(tmp_path / "b")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_source_whose_name_is_no_text_can_be_saved(tmp_path):
    _table(parts=(replace(RECORD, source="/data/gl\udcffve.txt"),)).save(tmp_path / "t")
    assert LabelEmbeddings.load(tmp_path / "t").provenance.source == "/data/gl?ve.txt"


def test_every_flipped_bit_and_every_truncation_is_refused(tmp_path):
    _table(labels=("dog", "cat"), width=2).save(tmp_path / "t")
    data, path = (tmp_path / "t").read_bytes(), tmp_path / "broken"
    rng = np.random.default_rng(0)
    for at in range(len(data)):
        flipped = bytearray(data)
        flipped[at] ^= 1 << int(rng.integers(8))
        path.write_bytes(flipped)
        with pytest.raises(InputError, match=r"broken: .*(anew|Update)"):
            LabelEmbeddings.load(path)
    for size in [*range(0, len(data), 17), len(data) - 1]:
        path.write_bytes(data[:size])
        with pytest.raises(InputError, match="broken: "):
            LabelEmbeddings.load(path)


@given(st.binary(max_size=200))
def test_any_bytes_are_refused_in_one_line(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("embeddings") / "t"
    path.write_bytes(data)
    with pytest.raises(InputError) as caught:
        LabelEmbeddings.load(path)
    assert "\n" not in str(caught.value)


def _resaved(path, tensors=None, **changes):
    """Write a table whose metadata was changed by somebody who knows the digest."""
    from zsmld.tensors import content_digest

    table = _table()
    metadata = {**table._metadata(), **changes}
    metadata = {key: text for key, text in metadata.items() if text is not None}
    tensors = {"embeddings": table.vectors} if tensors is None else tensors
    metadata.setdefault("content_digest", content_digest(tensors, metadata))
    path.write_bytes(save(tensors, metadata=metadata))
    return path


def _record(**changes):
    return Provenance((RECORD,)).to_json()[0] | changes


WRONG = [
    ("source", 1), ("kind", "magic"), ("kind", []), ("composition", "sum"), ("width", "4"), ("weight", "1"),
    ("forms", 1), ("templates", "a {}"), ("templates", [1]), ("coverage", []), ("coverage", {"whole": "x"}),
    ("note", None),
]  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"format_version": "3"}, r"format version 3, this zsmld reads 2\. Update zsmld"),
        ({"format_version": "1"}, r"format version 1, this zsmld reads 2\. Make it anew"),
        ({"sources": None}, "metadata lacks 'sources'"),
        ({"labels": None, "routes": None}, "metadata lacks 'labels', 'routes'"),
        ({"content_digest": "sha256:00"}, "is damaged"),
        ({"labels": "[1, 2]"}, "no list of texts"),
        ({"labels": "["}, "not JSON"),
        ({"labels": '["a", "b"]'}, "2 labels, 5 routes and 5 embeddings"),
        ({"labels": '["a", "b", "c", "d", "A"]'}, "the same label"),
        ({"sources": "[]"}, "no list of sources"),
        ({"sources": "[{}]"}, "other keys than expected"),
        *(({"sources": json.dumps([_record(**{key: value})])}, "other types than expected") for key, value in WRONG),
        ({"shuffled": "x"}, "expected a seed"),
    ],
)
def test_metadata_that_does_not_fit_is_refused(tmp_path, changes, told):
    path = _resaved(tmp_path / "t", **changes)
    with pytest.raises(InputError, match=told) as caught:
        LabelEmbeddings.load(path)
    assert caught.value.path == path and caught.value.remedy


@pytest.mark.parametrize(
    ("tensors", "told"),
    [
        ({"other": np.ones((5, 4), np.float32)}, "no tensor 'embeddings'"),
        ({"embeddings": np.ones((5, 4), np.float64)}, r"embeddings are float64 \(5, 4\), expected float32"),
        ({"embeddings": np.ones((5, 4), np.float16)}, "embeddings are float16"),
    ],
)
def test_tensors_that_do_not_fit_are_refused(tmp_path, tensors, told):
    with pytest.raises(InputError, match=told):
        LabelEmbeddings.load(_resaved(tmp_path / "t", tensors))


def test_a_safetensors_file_of_others_is_refused(tmp_path):
    (tmp_path / "t").write_bytes(save({"weight": np.ones(3, np.float32)}))
    with pytest.raises(InputError, match="was not written by zsmld"):
        LabelEmbeddings.load(tmp_path / "t")
    with pytest.raises(InputError, match="no such file"):
        LabelEmbeddings.load(tmp_path / "absent")


@pytest.mark.parametrize(("value", "told"), [(np.nan, "not finite"), (-np.inf, "not finite"), (0, "all zeros")])
def test_vectors_that_carry_no_meaning_are_refused(value, told):
    vectors = _table().vectors
    vectors[3] = value
    with pytest.raises(InputError, match=f"embedding of 'sea' is {told}"):
        replace(_table(), vectors=vectors)


@pytest.mark.parametrize("vectors", [np.ones(5, np.float32), np.ones((5, 4)), np.ones((5, 0), np.float32)])
def test_arrays_of_another_shape_or_type_are_refused(vectors):
    with pytest.raises(InputError, match=r"expected float32 \(L,E\)"):
        replace(_table(), vectors=vectors)


def test_selects_in_the_order_and_spelling_asked_for():
    table = _table()
    some = table.select(["C#", "Polar_Bear"])
    assert some.labels == ("C#", "Polar_Bear")
    assert np.array_equal(some.vectors, table.vectors[[4, 1]])
    assert some.routes == ("whole: C#", "whole: polar bear")
    with pytest.raises(InputError, match="lack 'whale', 'x'"):
        table.select(["dog", "whale", "x"])


def test_the_fingerprint_is_of_the_space_alone():
    base = Provenance((RECORD,))
    same = {"source": "/elsewhere", "coverage": {}, "note": "x", "forms": True}
    for key, value in same.items():
        assert Provenance((replace(RECORD, **{key: value}),)).fingerprint == base.fingerprint
    others = [
        replace(RECORD, digest="sha256:01"),
        replace(RECORD, kind="clip_text"),
        replace(RECORD, templates=("a {}",)),
        replace(RECORD, templates=("a {}", "b {}")),
        replace(RECORD, composition="sif"),
        replace(RECORD, weight=2.0),
    ]
    several = [Provenance((RECORD, CLIP)), Provenance((CLIP, RECORD)), replace(base, shuffled=0)]
    all_of_them = [base, *(Provenance((other,)) for other in others), *several]
    assert len({each.fingerprint for each in all_of_them}) == 10


@given(st.integers(2, 40), st.integers(0, 2**32))
def test_shuffling_gives_every_label_the_vector_of_another(count, seed):
    table = _table([f"label {at}" for at in range(count)], width=3)
    mixed = table.shuffled(seed)
    assert mixed.labels == table.labels
    giver = [int(np.flatnonzero((table.vectors == row).all(axis=1))[0]) for row in mixed.vectors]
    assert sorted(giver) == list(range(count))
    assert all(at != from_ for at, from_ in enumerate(giver))
    assert mixed.routes == tuple(f"shuffled: vector of label {at}" for at in giver)
    assert np.array_equal(mixed.vectors, table.shuffled(seed).vectors)


def test_a_shuffled_table_says_so_and_is_not_shuffled_again(tmp_path):
    mixed = _table().shuffled(7)
    mixed.save(tmp_path / "t")
    again = LabelEmbeddings.load(tmp_path / "t")
    assert again.provenance.shuffled == 7
    assert again.provenance.fingerprint != _table().provenance.fingerprint
    assert again.select(["sea"]).provenance.shuffled == 7
    assert "shuffled" not in _header(_resaved(tmp_path / "plain").read_bytes())["__metadata__"]
    with pytest.raises(InputError, match="shuffled already"):
        again.shuffled(1)
    with pytest.raises(InputError, match="at least two"):
        _table(["dog"]).shuffled(0)
    assert not np.array_equal(_table().shuffled(1).vectors, mixed.vectors)
