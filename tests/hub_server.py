"""A Hugging Face hub on this machine: the few endpoints that its client needs to make, fill and read repositories.

It keeps commits in memory. Nothing of it knows zsmld: what is tested is our code with the real client.
"""

import base64
import hashlib
import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

import yaml

TOKEN = "hf_of_the_tests"


@dataclass
class Repository:
    """Commits, oldest first: identifier and files."""

    private: bool = False
    commits: list[tuple[str, dict[str, bytes]]] = field(default_factory=list)

    @property
    def files(self) -> dict[str, bytes]:
        return self.commits[-1][1]

    def commit(self, files):
        name = hashlib.sha1(f"{len(self.commits)} {sorted(files)}".encode()).hexdigest()
        self.commits.append((name, dict(files)))
        return name

    def at(self, revision):
        names = {"main": self.commits[-1]} | {name: (name, files) for name, files in self.commits}
        return names.get(revision)


class Hub:
    """The server. Of files in `cuts` it sends a half only; for owners in `refuses` the token may not write."""

    def __init__(self):
        self.repositories: dict[str, Repository] = {}
        self.large: dict[str, bytes] = {}
        self.asked: list[str] = []
        self.cuts: set[str] = set()
        self.refuses: set[str] = set()
        handler = type("Handler", (_Handler,), {"hub": self})
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.server.daemon_threads = True
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self.thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}"

    def close(self):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    # What the answers have in common.

    def _answer(self, code, body=b"", **headers):
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(code)
        headers = {"Content-Length": str(len(data)), **{name.replace("_", "-"): text for name, text in headers.items()}}
        for name, text in headers.items():
            self.send_header(name, text)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def _missing(self, what):
        self._answer(404, {"error": what}, X_Error_Code=what)

    def _read(self):
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        data = b""
        while size := int(self.rfile.readline(), 16):
            data += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return data

    def _may_read(self, repository):
        return not repository.private or self.headers.get("Authorization") == f"Bearer {TOKEN}"

    def _parts(self):
        path = unquote(urlsplit(self.path).path)
        self.hub.asked.append(f"{self.command} {path}")
        return path.strip("/").split("/")

    # Reading.

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        parts = self._parts()
        if parts == [""]:
            self._answer(200)
        elif parts[:2] == ["api", "models"]:
            self._of_model("/".join(parts[2:4]), parts[4:])
        elif len(parts) > 4 and parts[2] == "resolve":
            self._file("/".join(parts[:2]), parts[3], "/".join(parts[4:]))
        else:
            self._missing("EntryNotFound")

    def _found(self, name, revision):
        """Commit and files, or None after an answer that says why."""
        repository = self.hub.repositories.get(name)
        if repository is None or not self._may_read(repository):
            return self._missing("RepoNotFound")
        return repository.at(revision) or self._missing("RevisionNotFound")

    def _of_model(self, name, rest):
        found = self._found(name, rest[1] if len(rest) > 1 else "main")
        if found is None:
            return
        commit, files = found
        if rest[:1] == ["tree"]:
            self._answer(200, [self._entry(path, data) for path, data in files.items()])
        else:
            private = self.hub.repositories[name].private
            siblings = [{"rfilename": path} for path in files]
            self._answer(200, {"id": name, "sha": commit, "private": private, "siblings": siblings, "tags": []})

    @staticmethod
    def _entry(path, data):
        return {"type": "file", "path": path, "size": len(data), "oid": hashlib.sha1(data).hexdigest()}

    def _file(self, name, revision, path):
        found = self._found(name, revision)
        if found is None:
            return
        commit, files = found
        if path not in files:
            self._answer(404, b"", X_Error_Code="EntryNotFound", X_Repo_Commit=commit)
            return
        data = files[path]
        told = {
            "ETag": f'"{hashlib.sha1(data).hexdigest()}"',
            "X_Repo_Commit": commit,
            "Content_Length": str(len(data)),
        }
        if path in self.hub.cuts and self.command == "GET":
            self.close_connection = True
            data = data[: len(data) // 2]
        self._answer(200, data, **told)

    # Writing.

    def do_PUT(self):
        self.hub.large[self._parts()[1]] = self._read()
        self._answer(200)

    def do_POST(self):
        parts, body = self._parts(), self._read()
        if parts == ["api", "validate-yaml"]:
            _, head, _ = json.loads(body)["content"].split("---\n", 2)
            fine = isinstance(yaml.safe_load(head), dict)
            return self._answer(
                200 if fine else 400, {"warnings": [], "errors": [] if fine else [{"message": "no YAML"}]}
            )
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            return self._answer(401, {"error": "no"}, X_Error_Message="Invalid credentials in Authorization header")
        if parts == ["api", "repos", "create"]:
            return self._create(json.loads(body))
        if parts[-4:] == ["info", "lfs", "objects", "batch"]:
            return self._batch(json.loads(body))
        name = "/".join(parts[2:4])
        if parts[2] in self.hub.refuses:
            return self._answer(403, {"error": "no"}, X_Error_Message="no right to write here")
        if parts[4] == "preupload":
            given = json.loads(body)["files"]
            modes = [
                {"path": each["path"], "uploadMode": _mode(each["path"]), "shouldIgnore": False, "oid": None}
                for each in given
            ]
            return self._answer(200, {"files": modes})
        return self._commit(name, [json.loads(line) for line in body.splitlines()])

    def _create(self, asked):
        name = f"{asked['organization']}/{asked['name']}"
        if asked["organization"] in self.hub.refuses:
            return self._answer(403, {"error": "no"}, X_Error_Message="no right to write here")
        there = name in self.hub.repositories
        if not there:
            made = self.hub.repositories[name] = Repository(private=asked.get("visibility") == "private")
            made.commit({".gitattributes": b"*.safetensors filter=lfs\n"})
        return self._answer(409 if there else 200, {"url": f"{self.hub.url}/{name}"})

    def _batch(self, asked):
        objects = [
            each | {"actions": {"upload": {"href": f"{self.hub.url}/lfs/{each['oid']}"}}} for each in asked["objects"]
        ]
        self._answer(200, {"transfer": "basic", "objects": objects})

    def _commit(self, name, lines):
        files = dict(self.hub.repositories[name].files)
        for line in lines:
            value = line["value"]
            if line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                files[value["path"]] = self.hub.large[value["oid"]]
                assert hashlib.sha256(files[value["path"]]).hexdigest() == value["oid"]
            elif line["key"] == "deletedFile":
                del files[value["path"]]
        commit = self.hub.repositories[name].commit(files)
        self._answer(200, {"commitUrl": f"{self.hub.url}/{name}/commit/{commit}", "commitOid": commit})


def _mode(path):
    return "lfs" if path.endswith(".safetensors") else "regular"
