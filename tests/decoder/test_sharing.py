"""Model folders that travel: what is sent and what is not, what comes back, and what a hostile one cannot do."""

import json
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from hub_server import Repository
from huggingface_hub import constants
from model_folders import LABELS, REPORT, make

import zsmld
from zsmld import files
from zsmld.decoder.model_card import is_own
from zsmld.decoder.model_folder import TRAVELLING, load_model, resolve_model
from zsmld.decoder.short_list_fit import Calibration
from zsmld.errors import EnvironmentFailure, InputError, UsageError
from zsmld.labels.embeddings import LabelEmbeddings

# The client's own way of sending files is one that its library has come to dislike.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")
ME = "me/holidays"


@pytest.fixture
def full(folder):
    """A run folder with everything that may be in one."""
    files.write_json(folder / "report.json", REPORT)
    files.write_json(folder / "calibration.json", {"offset": 0.5})
    files.write_json(folder / "probabilities.json", {"scale": 2.0})
    Calibration(torch.ones(16), 0.5, 0.9, 8, 100).save(folder)
    for name in ("checkpoint.safetensors", "metrics.jsonl", "rehearsals.json", "report.html", "report.md", "photo.jpg"):
        (folder / name).write_bytes(b"secret")
    return folder


def stored(hub, name=ME):
    return {path: data for path, data in hub.repositories[name].files.items() if path != ".gitattributes"}


def below(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_exactly_what_belongs_to_a_model_is_sent(hub, full):
    sent = zsmld.push(full, ME)
    assert sent.url == f"{hub.url}/{ME}"
    there = stored(hub)
    assert set(there) == set(TRAVELLING) == set(sent.files)
    assert {name: len(data) for name, data in there.items()} == dict(sent.files)
    assert not any(b"secret" in data for data in there.values())
    for name in (
        "config.json",
        "model.safetensors",
        "calibration.json",
        "probabilities.json",
        "short_list.safetensors",
    ):
        assert there[name] == (full / name).read_bytes()
    for name, data in there.items():
        assert b"somebody" not in data and b"/srv" not in data, name


def test_labels_that_look_like_paths_stay_and_paths_become_names(hub, full, tmp_path):
    zsmld.push(full, ME)
    run, report = (json.loads(stored(hub)[name]) for name in ("run.json", "report.json"))
    assert run["settings"]["annotations"] == "annotations.jsonl" and run["settings"]["seen"] == "seen.txt"
    assert run["settings"]["backbone"] == "open_clip:local-dir:base" and run["settings"]["learning_rate"] == 0.001
    assert run["settings"]["backbone_weights"] == "weights.safetensors"
    assert report["labels"] == REPORT["labels"] and report["data"] == "annotations.jsonl" and report["model"] == "001"
    assert report["evaluation"] == {"annotations": "annotations.jsonl", "unseen": "unseen.txt"}
    assert report["protocol"] == REPORT["protocol"] and report["zsl"] == REPORT["zsl"]
    (tmp_path / "l.safetensors").write_bytes(stored(hub)["labels.safetensors"])
    sent, own = LabelEmbeddings.load(tmp_path / "l.safetensors"), LabelEmbeddings.load(full / "labels.safetensors")
    assert sent.provenance.source == "glove.txt::words=words.txt" and sent.labels == own.labels
    assert sent.provenance.fingerprint == own.provenance.fingerprint and np.array_equal(sent.vectors, own.vectors)


def test_what_was_sent_comes_back_byte_for_byte_and_scores_the_same(hub, full, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    zsmld.push(full, ME, licence="mit")
    got = zsmld.pull(ME)
    assert got == Path("holidays") and below(got) == stored(hub)
    ours, theirs = load_model(full), load_model(got)
    images, words = torch.rand(2, 3, 32, 32), torch.from_numpy(ours.labels.vectors)
    assert torch.equal(ours.model(images, words), theirs.model(images, words))
    assert theirs.seen == LABELS and theirs.about == ours.about
    assert below(zsmld.pull(f"hf:{ME}", output="again")) == stored(hub)


def test_a_card_is_written_for_the_name_and_says_the_licence(hub, full):
    zsmld.push(full, ME, licence="mit")
    text = stored(hub)["README.md"].decode()
    assert is_own(text) and f"# {ME}" in text and "license: mit" in text and f"zsmld pull {ME}" in text
    # The folder's own says nothing of either.
    assert ME not in (full / "README.md").read_text()


def test_an_edited_card_is_sent_as_it_is_and_one_on_the_hub_is_not_replaced(hub, full, capsys):
    (full / "README.md").write_text("---\nlicense: mit\n---\nmine\n")
    with pytest.raises(UsageError, match=r"README\.md: was edited.*license: mit"):
        zsmld.push(full, ME, licence="mit")
    zsmld.push(full, ME)
    assert stored(hub)["README.md"] == b"---\nlicense: mit\n---\nmine\n"
    # Another push of one that nobody edited must not cost what somebody wrote there.
    (full / "README.md").unlink()
    sent = zsmld.push(full, ME)
    assert "README.md" not in sent.files and b"mine" in stored(hub)["README.md"]
    assert "was edited there and stays" in capsys.readouterr().err
    # One of ours is replaced.
    zsmld.push(full, "me/other")
    zsmld.push(full, "me/other", licence="mit")
    assert b"license: mit" in stored(hub, "me/other")["README.md"]


def test_what_an_earlier_push_left_goes_and_what_others_put_there_stays(hub, full):
    zsmld.push(full, ME)
    hub.repositories[ME].commit({**stored(hub), "examples.md": b"theirs"})
    (full / "report.json").unlink()
    (full / "short_list.safetensors").unlink()
    zsmld.push(full, ME)
    assert {"examples.md", "config.json"} <= set(stored(hub))
    assert not {"report.json", "short_list.safetensors"} & set(stored(hub))
    assert b"Not measured" in stored(hub)["README.md"]


def test_a_dry_run_lists_and_asks_nobody(hub, full, monkeypatch):
    monkeypatch.delenv("HF_TOKEN")
    sent = zsmld.push(full, ME, dry_run=True)
    assert set(sent.files) == set(TRAVELLING) and sent.url is None and hub.asked == []


@pytest.mark.parametrize(
    ("name", "spoil", "error", "told"),
    [
        ("model.safetensors", b"x" * 99, InputError, "model.safetensors"),
        ("labels.safetensors", b"", InputError, "labels.safetensors"),
        ("config.json", b"[]", InputError, "config.json"),
        ("report.json", b"{", InputError, "report.json"),
        ("calibration.json", b"{", InputError, "calibration.json"),
        ("short_list.safetensors", b"x", InputError, "short_list.safetensors"),
    ],
)
def test_a_damaged_folder_is_not_sent(hub, full, name, spoil, error, told):
    (full / name).write_bytes(spoil)
    with pytest.raises(error, match=told):
        zsmld.push(full, ME)
    assert hub.repositories == {}


@pytest.mark.parametrize(
    ("name", "values", "told"),
    [("holidays", {}, "ORG/NAME"), ("a/b/c", {}, "ORG/NAME"), (f"{ME}@v1", {}, "names a revision"),
     (ME, {"licence": "my own"}, "no name of a licence")],
)  # fmt: skip
def test_names_that_will_not_do_are_refused_first(hub, full, name, values, told):
    with pytest.raises(UsageError, match=told):
        zsmld.push(full, name, **values)
    assert hub.asked == []


# Pulling.


def put(hub, folder, **changed):
    """The files of a model folder as a repository, some of them changed."""
    content = {name: data for name, data in below(folder).items() if name in TRAVELLING}
    made = hub.repositories.setdefault(ME, Repository())
    made.commit(content | {name.replace("__", "."): data for name, data in changed.items()})
    return made


def test_a_broken_download_or_a_damaged_model_leaves_nothing(hub, folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("time.sleep", lambda _seconds: None)  # between the client's own attempts
    put(hub, folder)
    hub.cuts.add("model.safetensors")
    with pytest.raises(EnvironmentFailure):
        zsmld.pull(ME)
    hub.cuts.clear()
    weights = bytearray((folder / "model.safetensors").read_bytes())
    weights[-3] ^= 1
    put(hub, folder, model__safetensors=bytes(weights))
    with pytest.raises(InputError, match="digest"):
        zsmld.pull(ME)
    put(hub, folder, short_list__safetensors=b"x")
    with pytest.raises(InputError, match="short_list"):
        zsmld.pull(ME)
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith((".", "h"))) == ["hub-cache"]


def test_a_folder_is_replaced_with_force_alone_and_never_one_with_other_files(hub, folder, tmp_path):
    put(hub, folder)
    out = zsmld.pull(ME, output=tmp_path / "out")
    with pytest.raises(UsageError, match=r"exists already.*--force"):
        zsmld.pull(ME, output=out)
    (out / "calibration.json").write_text("{}")
    assert set(below(zsmld.pull(ME, output=out, force=True))) == set(below(folder))
    (out / "photo.jpg").touch()
    with pytest.raises(UsageError, match=r"no part of a model: photo\.jpg"):
        zsmld.pull(ME, output=out, force=True)


def test_a_revision_is_fetched(hub, folder, tmp_path):
    first = put(hub, folder, calibration__json=b"{}").commits[0][0]
    put(hub, folder)
    assert (zsmld.pull(ME, output=tmp_path / "a", revision=first) / "calibration.json").exists()
    assert (zsmld.pull(f"{ME}@{first}", output=tmp_path / "b") / "calibration.json").exists()
    assert not (zsmld.pull(ME, output=tmp_path / "c") / "calibration.json").exists()


class Evil:
    def __init__(self, canary):
        self.canary = str(canary)

    def __reduce__(self):
        return open, (self.canary, "w")


@pytest.mark.parametrize("argument", ["checkpoint_path", "pretrained_cfg", "pretrained_cfg_overlay", "cache_dir"])
def test_a_description_cannot_make_a_library_load_what_else_was_sent(hub, folder, tmp_path, monkeypatch, argument):
    monkeypatch.chdir(tmp_path)
    described = json.loads((folder / "config.json").read_text())
    described["backbone"]["arguments"][argument] = "calibration.json"
    (tmp_path / "calibration.json").write_bytes(pickle.dumps(Evil(tmp_path / "canary")))
    put(hub, folder, config__json=files.to_json(described).encode())
    with pytest.raises(InputError, match=f"{argument}.* is no argument of a model"):
        zsmld.pull(ME)
    assert not (tmp_path / "canary").exists()


# Names in the place of folders.


def test_a_name_is_a_model_wherever_a_folder_is(hub, folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    put(hub, folder)
    for name in (ME, Path(ME), f"hf:{ME}", f"{ME}@main"):
        assert load_model(name).seen == LABELS
    assert zsmld.ZeroShotTagger.from_pretrained(ME).trained.seen == LABELS
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert load_model(ME).seen == LABELS
    with pytest.raises(EnvironmentFailure, match=r"me/other is no folder here.*HF_HUB_OFFLINE"):
        load_model("me/other")


def test_folders_go_before_names(hub, folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(folder, "me/holidays")
    assert resolve_model(ME) == Path(ME) and load_model(ME).folder == Path(ME)
    with pytest.raises(InputError, match="no such model folder"):
        load_model("me/holiday")
    assert hub.asked == []


def test_models_of_the_hubs_cache_are_not_written_to(hub, folder, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    put(hub, folder)
    tagger = zsmld.ZeroShotTagger.from_pretrained(ME)
    with pytest.raises(UsageError, match=f"{ME} lies in the hub's cache.*zsmld pull"):
        tagger.make_short_list([], LABELS)


def test_closed_set_models_travel(hub, tmp_path):
    folder = make(tmp_path / "closed", closed=True)
    assert "labels.safetensors" not in zsmld.push(folder, ME).files
    assert load_model(zsmld.pull(ME, output=tmp_path / "out")).seen == LABELS
