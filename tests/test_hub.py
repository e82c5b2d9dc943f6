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
        elif callable(place):
            place(self, file)
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
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
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
        ("hf:org/nothing", "RepoNotFound", "no public model with this id"),
        ("hf:org/gated", "GatedRepo", "requires an agreement"),
        ("hf:org/empty", None, r"has no config\.json"),
        ("hf:org/empty@other", None, "no such revision"),
        ("hf:nowhere", None, "is not the id of a model"),
        ("hf:a/b/c", None, "is not the id of a model"),
        ("hf:../../etc/passwd", None, "is not the id of a model"),
        ("hf:http://example.org/x", None, "is not the id of a model"),
        ("hf:a/b.", None, "is not the id of a model"),
        ("hf:-a/-b", None, "is not the id of a model"),
        ("hf:a--b/c", None, "is not the id of a model"),
        ("hf:a/b..c", None, "is not the id of a model"),
        ("hf:a/b.git", None, "is not the id of a model"),
    ],
)
def test_what_cannot_be_had_is_a_sentence(served, tmp_path, name, place, said):
    served[name.removeprefix("hf:").split("@")[0]] = place or tmp_path
    with pytest.raises(core.Unsupported, match=said):
        core.load(name)


def test_a_server_that_does_not_answer_is_not_waited_for(served, monkeypatch):
    monkeypatch.setattr(hub, "SECONDS", 0.3)
    served["org/slow"] = "slow"
    with pytest.raises(core.Unsupported, match=r"did not send its config\.json .*try again"):
        core.load("hf:org/slow")


@pytest.mark.parametrize("content", [b"", b"[1]", b"{", b"\xff\xfe", b"[" * 90_000, b'{"model_type": "llama"' + b" " * 1_100_000 + b"}"])
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


NVFP4 = dict(quant_algo="NVFP4", kv_cache_quant_algo="FP8", group_size=16, exclude_modules=["lm_head", "*.self_attn.*"])
BESIDE = dict(producer=dict(name="modelopt", version="0.33.0"), quantization=NVFP4)


def test_formats_that_stand_beside_the_config_are_read(served, tmp_path):
    served["org/model"] = tmp_path
    (tmp_path / "config.json").write_text(json.dumps(SMALL))
    (tmp_path / "hf_quant_config.json").write_text(json.dumps(BESIDE))
    arch = core.load("hf:org/model")
    assert dict(arch.precision) == {"default": "bf16", "dense": "nvfp4"}
    assert core.load(tmp_path).precision == core.load(tmp_path / "config.json").precision == arch.precision
    own = dict(quant_method="fbgemm_fp8")
    (tmp_path / "config.json").write_text(json.dumps(SMALL | {"quantization_config": own}))
    assert (
        core.load("hf:org/model").precision
        == core.load(tmp_path).precision
        == {"default": "bf16", "attention": "fp8_row", "dense": "fp8_row"}
    )
    (tmp_path / "config.json").write_text(json.dumps(SMALL))
    (tmp_path / "hf_quant_config.json").write_text(json.dumps(BESIDE | {"quantization": {"quant_algo": "W4A8_AWQ"}}))
    assert "W4A8_AWQ" in core.load("hf:org/model").unsized and core.cost(core.load(tmp_path)).weight_bytes is None
    (tmp_path / "hf_quant_config.json").write_text("[]")
    with pytest.raises(core.Unsupported, match=r"hf_quant_config\.json"):
        core.load("hf:org/model")


def sends(code: int = 200, body: bytes = b"", times: int = 1, said: list | None = None, **headers: str):
    """An answer of so many bodies, whatever was asked for; `said` counts those that were taken."""

    def answer(to: Hub, file: str) -> None:
        to.send_response(code)
        for name, value in headers.items():
            to.send_header(name.replace("_", "-"), value)
        to.end_headers()
        try:
            for n in range(times):
                to.wfile.write(body)
                said is not None and said.append(n)
        except OSError:  # the reader has enough
            to.close_connection = True

    return answer


@pytest.mark.parametrize("code", [200, 206, 500])
@pytest.mark.parametrize("packed", [False, True])
def test_an_answer_without_end_is_left(served, code, packed):
    taken: list[int] = []
    headers = {"Content_Encoding": "gzip"} if packed else {}
    served["org/endless"] = sends(code, b" " * 1_000_000, 2_000, taken, **headers)
    with pytest.raises(core.Unsupported, match=r"larger than|it answered 500"):
        core.load("hf:org/endless")
    assert len(taken) < 100


@pytest.mark.parametrize(
    ("place", "followed"),
    [
        ("/org/moved/resolve/main/config.json", True),
        ("http://127.0.0.1:9/org/moved/resolve/main/config.json", False),
        ("http://169.254.169.254/latest", False),
        ("//example.org/config.json", False),
        ("file:///etc/passwd", False),
        ("", False),
        ("/org/model/resolve/main/config.json", False),  # round and round
    ],
)
def test_redirects_stay_at_the_hub(served, tmp_path, place, followed):
    (tmp_path / "config.json").write_text(json.dumps(SMALL))
    served["org/moved"], served["org/model"] = tmp_path, sends(307, Location=place)
    if followed:
        assert core.load("hf:org/model").parts == core.from_hf(SMALL).parts
    else:
        with pytest.raises(core.Unsupported, match=r"another host|redirects more than"):
            core.load("hf:org/model")


@pytest.mark.parametrize(
    ("url", "endpoint", "own"),
    [
        ("https://huggingface.co/a/b", "https://huggingface.co", True),
        ("https://cdn-lfs-us-1.hf.co/x", "https://huggingface.co", True),
        ("https://cas-bridge.xethub.hf.co/x", "https://huggingface.co", True),
        ("https://huggingface.co.evil.org/x", "https://huggingface.co", False),
        ("https://evilhf.co/x", "https://huggingface.co", False),
        ("http://huggingface.co/x", "https://huggingface.co", False),
        ("https://cdn.hf.co:8443/x", "https://huggingface.co", False),
        ("https://huggingface.co@evil.org/x", "https://huggingface.co", False),
        ("https://cdn-lfs.hf.co/x", "https://mirror.example.org", False),
        ("https://mirror.example.org/x", "https://mirror.example.org", True),
    ],
)
def test_which_hosts_are_the_hubs(url, endpoint, own):
    assert hub._is_hubs(url, endpoint) == own


def header(content: bytes, size: int | None = None) -> bytes:
    return (len(content) if size is None else size).to_bytes(8, "little") + content


F32 = {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "has no header"),
        (b"\x08\0\0", "has no header"),
        (header(b"{}", 2**63), "one that is too large"),
        (header(b"{}", 100_000_000), "one that is too large"),
        (header(b"{}", 5_000_000), "ends within its header"),
        (header(b"{"), "cannot be read"),
        (header(b"[]"), "is not an object"),
        (header(b"[" * 5_000), "cannot be read"),
        *((header(json.dumps({"x": F32 | {"shape": shape}}).encode()), "not a tensor's type and shape") for shape in (
            [-1, 2], [2**63], [1.5], [True], "2, 2", None, [1] * 17,
        )),
        *((header(json.dumps({"x": x}).encode()), "not a tensor's type and shape") for x in (
            None, [], {"dtype": 1, "shape": []}, {"shape": []},
        )),
    ],
)  # fmt: skip
def test_a_header_that_is_none_is_a_sentence(served, tmp_path, content, said):
    served["org/odd"] = tmp_path
    (tmp_path / "model.safetensors").write_bytes(content)
    with pytest.raises(core.Unsupported, match=said):
        hub.headers("hf:org/odd")


def test_headers_are_read_by_their_length(served, tmp_path):
    served["org/model"] = tmp_path
    tensors = {f"layer.{n}.weight": F32 for n in range(3_000)}  # a quarter of a megabyte
    (tmp_path / "model.safetensors").write_bytes(header(json.dumps(tensors | {"__metadata__": {"format": "pt"}}).encode()) + b"\0" * 64)
    assert hub.headers("hf:org/model") == dict.fromkeys(tensors, ("F32", (2, 2)))


def test_headers_are_bounded_over_all_files_and_files_are_the_models_own(served, tmp_path, monkeypatch):
    served["org/model"] = tmp_path
    for n in range(4):
        (tmp_path / f"model-{n}.safetensors").write_bytes(header(json.dumps({f"x{n}": F32}).encode()))
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {f"x{n}": f"model-{n}.safetensors" for n in range(4)}}))
    assert len(hub.headers("hf:org/model")) == 4
    monkeypatch.setattr(hub, "MAX_HEADERS", 200)
    with pytest.raises(core.Unsupported, match="200 together"):
        hub.headers("hf:org/model")
    for file in ("../../../api/whoami-v2", "a/../b.safetensors", "https://example.org/x.safetensors", "x.bin", ""):
        index.write_text(json.dumps({"weight_map": {"x": file}}))
        with pytest.raises(core.Unsupported, match="not one of its safetensors files"):
            hub.headers("hf:org/model")


def test_a_server_that_drips_is_left(served, monkeypatch):
    monkeypatch.setattr(hub, "TOGETHER", 0.3)

    def drips(to: Hub, file: str) -> None:
        to.send_response(200)
        to.end_headers()
        try:
            for _ in range(200):
                to.wfile.write(b" ")
                to.waits.wait(0.02)
        except OSError:
            to.close_connection = True

    served["org/slow"] = drips
    with pytest.raises(core.Unsupported, match=r"more than 0\.3 seconds"):
        core.load("hf:org/slow")


def test_a_format_that_cannot_be_sized_says_only_what_the_hub_has(served, tmp_path, capsys):
    served["org/model"] = saved(tmp_path, SMALL, max_shard_size="40KB")
    (tmp_path / "config.json").write_text(json.dumps(SMALL | {"quantization_config": {"quant_method": "exl3", "bits": 4}}))
    assert main(["import", "hf:org/model"]) == 0
    said = capsys.readouterr().out
    assert "# The bytes of the weights as shipped are not known" in said and "bytes of tensors." in said
