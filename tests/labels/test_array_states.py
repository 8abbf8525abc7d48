"""Checkpoints as named tensors; that nothing in them is run is held by the tests of the reader of pickles."""

import collections
import pickle

import numpy as np
import pytest
import safetensors.numpy
import torch

from zsmld.errors import InputError
from zsmld.labels.array_states import read_checkpoint

STATE = {"a.weight": np.arange(6, dtype=np.float32).reshape(2, 3), "a.count": np.array(3)}


def tensors():
    return collections.OrderedDict((name, torch.from_numpy(array)) for name, array in STATE.items())


def same(found):
    assert list(found.tensors) == list(STATE)
    assert all(np.array_equal(found.tensors[name], array) for name, array in STATE.items())


@pytest.mark.parametrize("wrappers", [(), ("model",), ("state_dict",), ("state_dict", "model"), ("net",)])
def test_tensors_are_found_under_what_they_are_put_under(tmp_path, wrappers):
    value = tensors()
    for wrapper in wrappers:
        value = {"epoch": 3, wrapper: value, "best": torch.ones(2)}
    torch.save(value, tmp_path / "c.pth")
    found = read_checkpoint(tmp_path / "c.pth")
    same(found)
    assert found.beside.get("epoch") == (3 if wrappers else None)


def test_a_module_called_model_is_no_wrapper(tmp_path):
    torch.save({"model": torch.ones(2), "model.weight": torch.ones(3)}, tmp_path / "c.pth")
    assert list(read_checkpoint(tmp_path / "c.pth").tensors) == ["model", "model.weight"]


def test_other_containers_are_read(tmp_path):
    safetensors.numpy.save_file({"a.weight": STATE["a.weight"]}, tmp_path / "c.safetensors")
    np.savez(tmp_path / "c.npz", **{"a.weight": STATE["a.weight"]})
    for name in ("c.safetensors", "c.npz"):
        assert np.array_equal(read_checkpoint(tmp_path / name).tensors["a.weight"], STATE["a.weight"])
    for protocol in (0, 2, 4):
        (tmp_path / "c.pkl").write_bytes(pickle.dumps({"model": {b"a.weight": STATE["a.weight"], "n": 3}}, protocol))
        assert list(read_checkpoint(tmp_path / "c.pkl").tensors) == ["a.weight"]


@pytest.mark.parametrize("value", [{}, {"model": {}}, [torch.ones(2)], torch.ones(2), {"lr": 0.1}])
def test_without_named_tensors_it_is_no_checkpoint(tmp_path, value):
    torch.save(value, tmp_path / "c.pth")
    with pytest.raises(InputError, match=r"c\.pth: holds no named tensors.*torch\.save"):
        read_checkpoint(tmp_path / "c.pth")


def test_a_table_that_holds_itself_ends(tmp_path):
    value = {"a": np.ones(2)}
    value["model"] = value
    (tmp_path / "c.pkl").write_bytes(pickle.dumps(value))
    assert list(read_checkpoint(tmp_path / "c.pkl").tensors) == ["a"]


def test_texts_are_no_tensors(tmp_path):
    (tmp_path / "c.pkl").write_bytes(pickle.dumps({"a": np.ones(2), "names": np.array(["x", "y"])}))
    assert list(read_checkpoint(tmp_path / "c.pkl").tensors) == ["a"]


def test_damage_is_told_with_what_to_do(tmp_path):
    torch.save(tensors(), tmp_path / "c.pth")
    data = (tmp_path / "c.pth").read_bytes()
    torch.save(tensors(), tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    (tmp_path / "half.pth").write_bytes(data[: len(data) // 2])
    (tmp_path / "text.pth").write_text("not at all")
    for name, told in (
        ("half", "half"),
        ("old", r"before 1\.6.*torch\.save\(model"),
        ("text", "text"),
        ("no", "no such"),
    ):
        with pytest.raises(InputError, match=told):
            read_checkpoint(tmp_path / f"{name}.pth")
