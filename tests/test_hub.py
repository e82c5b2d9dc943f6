"""Models by their id on the Hub, against a local server that answers as the Hub does, or does not answer."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from huggingface_hub import HfApi
from test_verify import SMALL, saved

import core
from core import hub
from core.__main__ import main


class Hub(BaseHTTPRequestHandler):
    """/org/name/resolve/main/FILE of the folders that the test gives it."""

    folders: dict = {}  # org/name -> a folder, or an error's code
    waits = threading.Event()

    def do_HEAD(self):
        self.do_GET(body=False)

    def do_GET(self, body: bool = True):
        org, name, _, revision, file = (*self.path.split("?")[0].strip("/").split("/", 4), "", "", "", "")[:5]
        place = self.folders.get(f"{org}/{name}", "RepoNotFound")
        if place == "slow":
            self.waits.wait(20)
        elif isinstance(place, str):
            self.refuse({"RepoNotFound": 401, "GatedRepo": 403}[place], place)
        elif revision != "main":
            self.refuse(404, "RevisionNotFound")
        elif not (place / file).exists():
            self.refuse(404, "EntryNotFound")
        else:
            self.give(place / file, body)

    def give(self, file, body: bool):
        content = file.read_bytes()
        size, wanted = len(content), self.headers.get("range")
        if wanted and body:
            first, last = wanted.removeprefix("bytes=").split("-")
            content = content[int(first) : int(last) + 1]
        self.send_response(206 if wanted and body else 200)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("X-Repo-Commit", "0" * 40)
        self.send_header("ETag", f'"{size}"')
        if wanted and body:
            self.send_header("Content-Range", f"bytes {first}-{int(first) + len(content) - 1}/{size}")
        self.end_headers()
        if body:
            self.wfile.write(content)

    def refuse(self, code: int, word: str):
        self.send_response(code)
        self.send_header("X-Error-Code", word)
        self.send_header("X-Error-Message", word)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture
def served(monkeypatch, tmp_path):
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr(Hub, "folders", {})
    monkeypatch.setattr(Hub, "waits", threading.Event())
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    endpoint = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setattr(hub, "api", lambda: HfApi(endpoint=endpoint, token=False))
    yield Hub.folders
    Hub.waits.set()
    server.shutdown()


def test_a_config_is_fetched_and_nothing_else(served, tmp_path):
    served["org/model"] = tmp_path
    (tmp_path / "config.json").write_text(json.dumps(SMALL))
    arch = core.load("hf:org/model")
    assert arch.title == "model" and arch.parts == core.from_hf(SMALL).parts
    assert core.library.parse_text(" hf:org/model \n") == arch
    assert hub.total_size("hf:org/model") is None


@pytest.mark.parametrize("sharded", [False, True])
def test_a_checkpoint_is_verified_by_its_headers(served, tmp_path, sharded, capsys):
    served["org/model"] = saved(tmp_path, SMALL, max_shard_size="40KB" if sharded else "1GB")
    found = core.verify("hf:org/model")
    assert found.exact, found.differences
    assert found.parameters == core.cost(found.architecture).parameters
    assert hub.total_size("hf:org/model") == (found.bytes if sharded else None)
    said = hub.beside("hf:org/model", found.expected_bytes)
    assert said.count(f"{found.bytes:,}") == (2 if sharded else 0)
    assert main(["import", "hf:org/model"]) == 0 and (f"# {said}" in capsys.readouterr().out) == sharded


@pytest.mark.parametrize(
    ("name", "place", "said"),
    [
        ("hf:org/nothing", "RepoNotFound", "no public model of this id"),
        ("hf:org/gated", "GatedRepo", "asks for an agreement"),
        ("hf:org/empty", None, r"has no config\.json"),
        ("hf:org/empty@other", None, "no such revision"),
        ("hf:nowhere", None, "is no model's id"),
        ("hf:a/b/c", None, "is no model's id"),
        ("hf:../../etc/passwd", None, "is no model's id"),
        ("hf:http://example.org/x", None, "is no model's id"),
    ],
)
def test_what_cannot_be_had_is_a_sentence(served, tmp_path, name, place, said):
    served[name.removeprefix("hf:").split("@")[0]] = place or tmp_path
    with pytest.raises(core.Unsupported, match=said):
        core.load(name)


def test_a_server_that_does_not_answer_is_not_waited_for(served, monkeypatch):
    monkeypatch.setattr(hub, "SECONDS", 0.3)
    served["org/slow"] = "slow"
    with pytest.raises(core.Unsupported, match=r"did not give its config\.json .*try again"):
        core.load("hf:org/slow")


@pytest.mark.parametrize(
    "content", [b"", b"[1]", b"{", b"\xff\xfe", b"[" * 90_000, b'{"model_type": "llama"' + b" " * 1_100_000 + b"}"]
)
def test_a_config_that_is_none_is_a_sentence(served, tmp_path, content):
    served["org/odd"] = tmp_path
    (tmp_path / "config.json").write_bytes(content)
    with pytest.raises(core.Unsupported, match="hf:org/odd"):
        core.load("hf:org/odd")


def test_a_model_without_safetensors_cannot_be_verified(served, tmp_path):
    served["org/model"] = tmp_path
    (tmp_path / "config.json").write_text(json.dumps(SMALL))
    with pytest.raises(core.Unsupported, match="no safetensors files"):
        core.verify("hf:org/model")
