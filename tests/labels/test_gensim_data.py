"""Models of gensim-data, fetched from a real server of this machine that can do what bad servers do."""

import gzip
import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from huggingface_hub import constants

from zsmld import hub
from zsmld.errors import EnvironmentFailure, InputError, UsageError
from zsmld.labels import gensim_data
from zsmld.labels.gensim_data import GENSIM_NAMES, fetched
from zsmld.labels.sources import embed_labels

NAME = "glove-twitter-25"
ROWS = "".join(
    f"word{at} {' '.join(str(x) for x in np.random.default_rng(at).normal(size=25))}\n" for at in range(4000)
)
MODEL = gzip.compress(f"4000 25\n{ROWS}".encode(), mtime=0)
CHECKSUM = hashlib.md5(MODEL).hexdigest()


class Server(ThreadingHTTPServer):
    """Serves the list and the model.

    Attributes:
        cut_after: bytes of the model after which the connection is closed; None for all.
        ranges: whether it can go on in the middle.
    """

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.cut_after, self.ranges, self.checksum, self.asked = None, True, CHECKSUM, []
        self.url = f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    def do_HEAD(self):
        self.send_response(200)
        self.end_headers()

    def do_GET(self):
        self.server.asked.append((self.path, self.headers.get("Range")))
        if self.path == "/list.json":
            self._send(json.dumps({"models": {NAME: {"checksum": self.server.checksum, "parts": 1}}}).encode())
        elif self.path == f"/{NAME}/{NAME}.gz":
            start = int((self.headers.get("Range") or "bytes=0-")[6:-1]) if self.server.ranges else 0
            if start >= len(MODEL):
                self.send_error(416)
            else:
                self._send(MODEL[start:], 206 if start else 200, self.server.cut_after)
        else:
            self.send_error(404)

    def _send(self, data, status=200, cut_after=None):
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data[:cut_after])

    def log_message(self, *_):
        pass


@pytest.fixture
def server(tmp_path, monkeypatch):
    server = Server()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    monkeypatch.setattr(gensim_data, "LIST_URL", f"{server.url}/list.json")
    monkeypatch.setattr(gensim_data, "MODELS_URL", server.url)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setenv("GENSIM_DATA_DIR", str(tmp_path / "data"))
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def model(tmp_path):
    return tmp_path / "data" / NAME / f"{NAME}.gz"


def test_a_model_is_fetched_once_and_nothing_else_is(server, model):
    assert fetched(NAME) == model
    assert model.read_bytes() == MODEL
    # No Python module beside it, as gensim's downloader fetches and runs.
    assert {path for path, _ in server.asked} == {"/list.json", f"/{NAME}/{NAME}.gz"}
    assert sorted(path.name for path in model.parent.iterdir()) == [".lock", ".zsmld-verified.json", model.name]
    asked = len(server.asked)
    assert fetched(NAME) == model and len(server.asked) == asked
    table = embed_labels(["word7", "Word 9"], source=f"gensim:{NAME}")
    assert table.routes == ("whole: word7", "whole: word9") and table.width == 25
    assert table.provenance.source == f"gensim:{NAME}"


def test_a_cut_fetch_goes_on_where_it_was(server, model):
    server.cut_after = len(MODEL) // 3
    with pytest.raises(EnvironmentFailure, match=r"broke off after 0 MiB: the connection was closed\. Run it again"):
        fetched(NAME)
    assert not model.exists()
    server.cut_after = None
    assert fetched(NAME).read_bytes() == MODEL
    assert server.asked[-1] == (f"/{NAME}/{NAME}.gz", f"bytes={len(MODEL) // 3}-")


def test_a_server_that_cannot_go_on_sends_all_of_it(server, model):
    model.parent.mkdir(parents=True)
    model.with_name(f"{NAME}.gz.part").write_bytes(MODEL[:100])
    server.ranges = False
    assert fetched(NAME).read_bytes() == MODEL


def test_a_part_that_is_whole_already_is_taken(server, model):
    model.parent.mkdir(parents=True)
    model.with_name(f"{NAME}.gz.part").write_bytes(MODEL)
    assert fetched(NAME).read_bytes() == MODEL


def test_what_has_another_checksum_is_not_taken(server, model):
    server.checksum = "0" * 32
    with pytest.raises(EnvironmentFailure, match=f"is {CHECKSUM}, that of the published file 0000.*It was removed"):
        fetched(NAME)
    assert [path.name for path in model.parent.iterdir()] == [".lock"]
    model.write_bytes(b"mine")
    with pytest.raises(EnvironmentFailure, match="Remove it, and run it again"):
        fetched(NAME)
    assert model.read_bytes() == b"mine"


def test_a_file_that_gensim_fetched_is_used_and_verified_once(server, model, monkeypatch):
    model.parent.mkdir(parents=True)
    model.write_bytes(MODEL)
    assert fetched(NAME) == model
    assert server.asked == [("/list.json", None)]
    monkeypatch.setattr(gensim_data, "_verify", lambda *_: pytest.fail("it was hashed again"))
    assert fetched(NAME) == model
    monkeypatch.undo()


def test_a_file_that_changed_since_is_verified_again(server, model):
    fetched(NAME)
    model.write_bytes(MODEL[:-1])
    with pytest.raises(EnvironmentFailure, match="MD5 checksum"):
        fetched(NAME)


@pytest.mark.parametrize("offline", [True, False])
def test_without_network_it_says_what_to_fetch_and_where_to_put_it(tmp_path, model, monkeypatch, offline):
    monkeypatch.setenv("GENSIM_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", offline)
    monkeypatch.setattr(gensim_data, "LIST_URL", "http://127.0.0.1:9/list.json")
    with pytest.raises(EnvironmentFailure) as caught:
        fetched(NAME)
    text = str(caught.value)
    assert ("HF_HUB_OFFLINE is set" if offline else "does not answer") in text
    assert f"fetch http://127.0.0.1:9/list.json as {tmp_path / 'data' / 'information.json'}" in text
    assert f"{NAME}.gz as {model}" in text and len(text.splitlines()) == 1
    # Put there by hand, it is taken without any network.
    model.write_bytes(MODEL)
    (tmp_path / "data" / "information.json").write_text(json.dumps({"models": {NAME: {"checksum": CHECKSUM}}}))
    monkeypatch.setattr(hub, "_ask", lambda *_: pytest.fail("the network was asked"))
    assert fetched(NAME) == model


@pytest.mark.parametrize("listing", ["[]", "{", '{"models": 3}', '{"models": {"glove-twitter-25": {"checksum": 1}}}'])
def test_a_malformed_list_is_refused(server, model, listing):
    model.parent.mkdir(parents=True)
    (model.parent.parent / "information.json").write_text(listing)
    if "checksum" in listing or listing == "{":
        with pytest.raises(InputError, match=r"information\.json"):
            fetched(NAME)
    else:
        # Without the model in it, it is fetched anew.
        assert fetched(NAME) == model


def test_a_model_that_the_server_lacks_says_so(server):
    server.checksum = CHECKSUM
    with pytest.raises(InputError, match="has no checksum for glove-twitter-50"):
        fetched("glove-twitter-50")


def test_unknown_names_are_refused_before_anything_is_asked(server):
    with pytest.raises(UsageError, match=r"no model 'glove-twitter-20'\. Did you mean 'glove-twitter-200'"):
        fetched("glove-twitter-20")
    assert server.asked == [] and len(set(GENSIM_NAMES)) == len(GENSIM_NAMES) == 12
