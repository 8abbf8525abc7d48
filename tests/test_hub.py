"""The hub's real client against a hub on this machine."""

import socket

import pytest
from hub_server import Repository
from huggingface_hub import constants

from zsmld import hub as hubs
from zsmld import hub_writing
from zsmld.errors import EnvironmentFailure, InputError, UsageError
from zsmld.hub_names import HubName

# The client's own way of sending files is one that its library has come to dislike.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")
NAMES = ("config.json", "model.safetensors")
ME = HubName("me/x")


@pytest.fixture
def stored(hub):
    made = hub.repositories["me/x"] = Repository()
    made.commit({"config.json": b"{}", "model.safetensors": b"old", "evil.pkl": b"no"})
    made.commit({"config.json": b"{}", "model.safetensors": b"new", "sub/config.json": b"no"})
    return made


def content(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_named_files_alone_are_fetched(hub, stored):
    assert content(hubs.snapshot(ME, NAMES)) == {"config.json": b"{}", "model.safetensors": b"new"}
    assert not any("evil" in asked or "sub" in asked for asked in hub.asked)


def test_a_branch_means_its_newest_and_a_commit_itself(stored):
    first = hubs.snapshot(ME, NAMES)
    stored.commit({"config.json": b"{}", "model.safetensors": b"newest"})
    assert content(hubs.snapshot(ME, NAMES))["model.safetensors"] == b"newest"
    assert content(first)["model.safetensors"] == b"new"
    oldest = HubName("me/x", stored.commits[0][0])
    assert content(hubs.snapshot(oldest, NAMES))["model.safetensors"] == b"old"


def test_without_network_the_cache_will_do(stored, monkeypatch):
    there = hubs.snapshot(ME, NAMES)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert hubs.snapshot(ME, NAMES) == there
    with pytest.raises(EnvironmentFailure, match=r"me/y .*HF_HUB_OFFLINE is set.*zsmld pull me/y.*HF_HOME"):
        hubs.snapshot(HubName("me/y"), NAMES)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{port}")
    assert hubs.snapshot(ME, NAMES) == there
    with pytest.raises(EnvironmentFailure, match="does not answer"):
        hubs.snapshot(HubName("me/y"), NAMES)


def test_a_download_that_was_cut_is_told_and_goes_on(hub, stored, monkeypatch):
    monkeypatch.setattr("time.sleep", lambda _seconds: None)  # between the client's own attempts
    hub.cuts.add("model.safetensors")
    with pytest.raises(EnvironmentFailure, match="me/x"):
        hubs.snapshot(ME, NAMES)
    hub.cuts.clear()
    assert content(hubs.snapshot(ME, NAMES))["model.safetensors"] == b"new"


@pytest.mark.parametrize(
    ("name", "error", "told"),
    [
        (HubName("me/absent"), InputError, "neither a folder here nor a model of the hub.*hf auth login"),
        (HubName("me/x", "v9"), InputError, "no revision 'v9'"),
        (HubName("me/x--y"), UsageError, "is no name on the hub"),
    ],
)
def test_what_is_not_there_is_told(stored, name, error, told):
    with pytest.raises(error, match=told):
        hubs.snapshot(name, NAMES)


def test_private_models_are_for_those_who_may(hub, stored, monkeypatch):
    stored.private = True
    assert hubs.snapshot(ME, NAMES)
    monkeypatch.setenv("HF_TOKEN", "hf_another")
    stored.commit({"config.json": b"{}"})
    monkeypatch.setattr(constants, "HF_HUB_CACHE", constants.HF_HUB_CACHE + "-2")
    with pytest.raises(InputError, match="If it is private: Log in"):
        hubs.snapshot(ME, NAMES)


def test_a_repository_without_the_first_file_is_no_model(stored):
    stored.commit({"model.safetensors": b"x"})
    with pytest.raises(InputError, match=r"has no config\.json: it is no model of zsmld"):
        hubs.snapshot(ME, NAMES)


def test_folders_of_the_cache_are_known(stored, tmp_path):
    assert hubs.repository_of(hubs.snapshot(ME, NAMES)) == "me/x"
    assert hubs.repository_of(tmp_path) is None
    assert hubs.repository_of(tmp_path / "hub-cache") is None
    assert hubs.repository_of(tmp_path / "hub-cache/datasets--me--x") is None


# Writing.


@pytest.fixture
def sent(tmp_path):
    for name in NAMES:
        (tmp_path / name).write_text(f"of {name}")
    return {name: tmp_path / name for name in NAMES}


def commit(sent, name="me/new", stale=(), private=False):
    return hub_writing.commit(name, sent, stale=stale, private=private, message="m")


def test_files_come_as_they_were_sent_and_stale_ones_go(hub, sent):
    assert commit(sent) == f"{hub.url}/me/new"
    files = hub.repositories["me/new"].files
    assert {name: files[name] for name in NAMES} == {name: path.read_bytes() for name, path in sent.items()}
    assert not hub.repositories["me/new"].private
    hub.repositories["me/new"].commit(files | {"old.json": b"", "theirs.md": b"x"})
    commit({"config.json": sent["config.json"]}, stale=("old.json", "config.json", "absent.json"))
    assert set(hub.repositories["me/new"].files) == {".gitattributes", "theirs.md", *NAMES}


def test_private_is_for_new_repositories(hub, sent):
    commit(sent, private=True)
    assert hub.repositories["me/new"].private
    commit(sent, private=True)
    hub.repositories["me/open"] = Repository()
    hub.repositories["me/open"].commit({"a": b""})
    with pytest.raises(UsageError, match="me/open is there already, and is public"):
        commit(sent, name="me/open", private=True)
    assert set(hub.repositories["me/open"].files) == {"a"}


def test_who_may_not_write_is_told_what_to_do(hub, sent, monkeypatch):
    hub.refuses.add("them")
    with pytest.raises(EnvironmentFailure, match=r"refuses them/x: 403.*no right to write here.*may write there"):
        commit(sent, name="them/x")
    monkeypatch.setenv("HF_TOKEN", "hf_another")
    with pytest.raises(EnvironmentFailure, match=r"refuses me/new.*hf auth login"):
        commit(sent)
    with pytest.raises(UsageError, match="is no name on the hub"):
        commit(sent, name="me/a--b")


def test_a_token_is_asked_for_before_anything_is_done(hub, monkeypatch):
    hub_writing.check_writable()
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(EnvironmentFailure, match=r"no token for the hub.*hf auth login.*HF_TOKEN"):
        hub_writing.check_writable()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(EnvironmentFailure, match="nothing can be sent to the hub: HF_HUB_OFFLINE is set"):
        hub_writing.check_writable()


def test_texts_are_as_they_are_on_the_hub_now(hub, stored):
    stored.commit({"README.md": b"one"})
    assert hub_writing.text_in("me/x", "README.md") == "one"
    stored.commit({"README.md": "zwei \xff".encode("latin-1")})
    assert hub_writing.text_in("me/x", "README.md") == "zwei \N{REPLACEMENT CHARACTER}"
    stored.commit({})
    assert hub_writing.text_in("me/x", "README.md") is None and hub_writing.text_in("me/y", "README.md") is None
