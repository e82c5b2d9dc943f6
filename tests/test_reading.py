"""Texts and files from anywhere: each is read as what it says, or is a sentence that says where and why; none ends the process."""

import codecs
import json
import os
import subprocess
import sys
import threading
import time
import zipfile

import pytest
from clock import within
from hypothesis import given, settings
from hypothesis import strategies as st

import core
from core import hub, reading
from core.library import parse_text, to_yaml
from core.reading import MAX_DEPTH, read_file, read_value, read_yaml
from core.spec import edited, parse

QWEN = (
    '{"model_type": "qwen3", "architectures": ["Qwen3ForCausalLM"], "hidden_size": 1024, "intermediate_size": 3072, '
    '"num_hidden_layers": 28, "num_attention_heads": 16, "num_key_value_heads": 8, "head_dim": 128, "vocab_size": 151936, '
    '"max_position_embeddings": 40960, "rms_norm_eps": 1e-06, "rope_theta": 1000000.0, "tie_word_embeddings": true, '
    '"torch_dtype": "bfloat16", "hidden_act": "silu"}'
)
HERE = {**os.environ, "PYTHONPATH": os.getcwd()}


def refused(text: str) -> str:
    with pytest.raises(core.Unsupported) as error:
        parse_text(text)
    assert "\n" not in str(error.value)
    return str(error.value)


# ---- marks and letters ----


@pytest.mark.parametrize("encoded", ["utf-8-sig", "utf-8", "utf-16", "utf-16-le with mark", "utf-16-be with mark"])
def test_a_byte_order_mark_changes_nothing(tmp_path, encoded):
    name, _, marked = encoded.partition(" ")
    marks = {"utf-16-le": codecs.BOM_UTF16_LE, "utf-16-be": codecs.BOM_UTF16_BE}
    file = tmp_path / "config.json"
    file.write_bytes((marks[name] if marked else b"") + QWEN.encode(name))
    arch = core.load(file)
    assert core.cost(arch).parameters == 596_049_920 and arch.norm.eps == 1e-6
    assert parse_text(f" \ufeff{QWEN}") == arch and parse_text(f"\ufeff {QWEN}\n") == arch


def test_a_config_on_one_line_is_no_link():
    text = QWEN.replace(" ", "").replace("{", '{"_name_or_path":"is_it://?a=s1.x&preset=gpt2",', 1)
    assert parse_text(text).d_model == 1024


def test_a_spec_may_begin_with_a_mark_and_be_indented():
    arch = core.load("gpt2")
    assert parse_text("\ufeff" + to_yaml(arch)) == arch
    assert parse_text("".join(f"  {line}\n" for line in to_yaml(arch).splitlines())) == arch


# ---- nesting ----

UNITS = ["- ", "[", "{a: ", "? ", "[? ", "- ? ", "- [", '{"a":', '[{"a":', "&x [", "[\n", "- - ? [", "{? ", "a: {b: [", "!t [", ": "]
nested = st.builds(
    lambda units, count, end: ("".join(units) * count + end * count)[: reading.MAX_TEXT],
    st.lists(st.sampled_from(UNITS), min_size=1, max_size=3),
    st.sampled_from([MAX_DEPTH + 1, 1_000, 30_000, 200_000]),
    st.sampled_from(["", "]", "}", "1}", "]}"]),
)
CHILD = """
import json, sys, time
import core
from core.library import parse_text
for text in json.load(sys.stdin):
    began = time.perf_counter()
    try:
        parse_text(text)
    except core.Unsupported as error:
        print(f"{time.perf_counter() - began:.2f} {error}")
"""
PASTES = ["- " * 25_000, "[" * 30_000 + "]" * 30_000, "? " * 29_999, '{"a":' * 40_000, "[" * 200_000, "{" * 200_000]


@settings(max_examples=2, deadline=None)
@given(st.lists(nested, min_size=60, max_size=60))
def test_nesting_of_every_kind_is_a_sentence_soon(texts):
    """In a process of its own: a stack that overflows would end this one."""
    texts = PASTES + texts
    done = subprocess.run([sys.executable, "-c", CHILD], input=json.dumps(texts), capture_output=True, text=True, env=HERE)
    assert done.returncode == 0, done.stderr[-500:]
    said = done.stdout.splitlines()
    assert len(said) == len(texts)
    assert all(float(line.split()[0]) < 1 for line in said)


def test_depth_is_counted_exactly():
    assert read_value("[" * MAX_DEPTH + "]" * MAX_DEPTH) == eval("[" * MAX_DEPTH + "]" * MAX_DEPTH)
    with pytest.raises(core.Unsupported, match="line 1: nested deeper than 64 levels"):
        read_value("[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1))


def _circle() -> dict:
    value = {"model_type": "llama"}
    value["further"] = [value, value]
    return value


def _deep(levels: int) -> dict:
    value = {}
    for _ in range(levels):
        value = {"further": value}
    return value | {"model_type": "llama"}


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (_circle(), "nested deeper"),
        (_deep(90_000), "nested deeper"),
        ({"model_type": "llama", "vocab_size": 10**5_000}, "vocab_size: a number of more than 60 digits"),
        ({"model_type": "llama", "further": {"\ud800": 1}}, "half a character"),
        ({"model_type": "\ud800"}, "model_type: half a character"),
        ({"model_type": "llama", "further": [list(range(100_000))] * 5}, "more than 250,000 values"),
    ],
    ids=["circle", "deep", "digits", "key", "value", "many"],
)
def test_a_dict_that_no_config_json_is_is_refused(config, words):
    with pytest.raises(core.Unsupported, match=words):
        core.from_hf(config)


# ---- values ----


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("1e-06", 1e-6), ("1.5E+3", 1500.0), (".5", 0.5), ("5.", 5.0), ("-.inf", float("-inf")), ("12", 12), ("+7", 7), ("1_000", 1000),
        ("010", 10), ("0x1F", 31), ("0o17", 15), ("true", True), ("False", False), ("~", None), ("", None), ("null", None),
        # YAML 1.1 takes these for numbers, switches or dates, and no reader of config.json does
        ("1:59:59", "1:59:59"), ("1:59.5", "1:59.5"), ("yes", "yes"), ("no", "no"), ("on", "on"), ("off", "off"), ("y", "y"),
        ("2024-13-45", "2024-13-45"), ("0b11", "0b11"), ("=", "="), ("'12'", "12"), ('"true"', "true"), ("1e", "1e"), ("e5", "e5"),
    ],
)  # fmt: skip
def test_a_plain_word_is_what_yamls_core_schema_says(word, value):
    found = read_yaml(f"key: {word}")["key"]
    assert found == value and type(found) is type(value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("vocab_size: 0x" + "f" * 3_600, "line 1: a number of 3,602 digits"),
        ("a: 1\nvocab_size: " + "9" * 5_000, "line 2: a number of 5,000 digits"),
        ('{"a": 1,\n "vocab_size": ' + "9" * 5_000 + "}", "line 2: a number of 5,000 digits"),
        ("a: 1\nb: 2\na: 3", "line 3: 'a' is given a second time"),
        ('{"a": 1,\n"b": {"a": 2,\n"a": 3}}', "'a' is given twice"),
        ("a: &x 1\nb: *x", "line 2: YAML aliases"),
        ("a: &x [*x]", "line 1: YAML aliases"),
        ("a: !!python/object/apply:os.system [x]", "line 1: YAML tags"),
        ("a: !!binary aGk=", "line 1: YAML tags (!!binary)"),
        ("a: 1\n---\nb: 2", "line 2: a second document"),
        ("? [a, b]\n: c", "line 1: a key is a word"),
        ("a: \x00", "line 1: the character U+0000"),
        ("a: 1\nb: \ud800", "line 2: the character U+D800"),
        ("a:\n\tb: 1", "line 2, column 1: this is not YAML"),
        ("a: {b: 1\nc: 2", "(in what begins on line 1)"),
        ("title: a: b", "line 1, column 9: this is not YAML: a second colon; put the value in quotes"),
        ("a: 'x", "an opening quote has no closing quote"),
        ("a:\n    b: 1\n  c: 2", "line 3"),
        ('{"a": 1,\n}', "line 2, column 1: this is not JSON: a key in double quotes"),
        ('{"a": 1\n"b": 2}', "line 2, column 1: this is not JSON: a comma"),
        ('{"a": 1} {"b": 2}', "the text goes on after its end"),
        ("{'a': 1}", "line 1, column 2: this is not JSON"),
        ("- a\n- b", "not a list"),
        ("some words here", "not the text 'some words here'"),
        ("12", "not the value 12"),
        ("", "not an empty text"),
        ("\ufeff", "not an empty text"),
        ("x" * 200_001, "more than 200,000 characters"),
        ("\0" * 200_001, "more than 200,000 characters"),
        ("deepseek", "not a preset"),
    ],
    ids=lambda value: value[:24] if isinstance(value, str) else None,
)  # fmt: skip
def test_what_cannot_be_read_says_where_and_why(text, words):
    assert words in refused(text)


def test_what_yaml_once_took_for_more_is_a_word():
    text = to_yaml(core.load("gpt2"))
    assert "vocab_size: give 1 to" in refused(text.replace("vocab_size: 50257", "vocab_size: 1" + ":59" * 400 + ".5"))
    assert "<<: is not a field" in refused(f"<<: {{d_model: 64}}\n{text}")


def test_a_key_that_is_said_twice_alike_is_said_once():
    assert read_yaml('{"a": 1, "a": 1}') == read_yaml("a: 1\na: 1") == {"a": 1}


@settings(max_examples=300, deadline=None)
@given(st.text(st.characters() | st.sampled_from("-:?[]{}#&*!|>'\"%@`, \t\n0e\ufeff"), max_size=60))
def test_any_text_is_a_sentence(text):
    try:
        parse_text(text)
    except core.Unsupported as error:
        assert str(error)


# ---- text in the spec ----

GPT2 = core.load("gpt2").model_dump(mode="json")


@settings(max_examples=80, deadline=None)
@given(
    st.sampled_from(["title", "note", "licence"]),
    st.text(max_size=40) | st.from_regex(r"[-+]?[0-9._:oxe]{1,8}", fullmatch=True) | st.sampled_from(["no", "~", "null", "="]),
)
def test_a_text_that_the_spec_takes_survives_yaml_and_links(field, text):
    try:
        arch = parse(GPT2 | {field: text})
    except core.Unsupported:
        return
    assert getattr(arch, field) == text
    assert parse_text(to_yaml(arch)) == arch == core.decode(core.encode(arch))


@pytest.mark.parametrize("odd", ["\0", "\x1b", "\x7f", "\x85", "\u2028", "\ud800", "\ufdd0", "\uffff", "\U0010ffff"])
@pytest.mark.parametrize("field", ["title", "note", "sources", "organisation"])
def test_letters_that_no_export_can_carry_are_refused(field, odd):
    value = [f"a{odd}"] if field == "sources" else f"a{odd}"
    with pytest.raises(core.Unsupported, match=rf"{field}.*U\+{ord(odd):04X}"):
        parse(GPT2 | {field: value})


def test_paths_of_precision_are_names():
    for path in ("\ud800", "defaul\ud800", "a b", "<script>", "x" * 300):
        with pytest.raises(core.Unsupported, match="precision"):
            parse(GPT2 | {"precision": {path: "fp32"}})


# ---- names and links ----

EDITED = edited(core.load("gpt2"), "context", 512)


@pytest.mark.parametrize("around", ["{}", " {}\n", "`{}`", "'{}'", '"{}"', "<{}>", "\ufeff{}"])
@pytest.mark.parametrize(
    "name",
    [
        "gpt2", "http://localhost:8501/workbench?preset=gpt2", "https://x.org/workbench?preset=gpt2&context=8&part=a%20b#top",
        "/workbench?preset=gpt2", "?preset=gpt2",
    ],
)  # fmt: skip
def test_a_presets_name_and_link_open_it(name, around):
    text = around.format(name)
    assert parse_text(text) == core.load(text) == core.load("gpt2")


@pytest.mark.parametrize("form", ["{}", "https://x.org/workbench?a={}", "https://x.org/?batch=2&a={}&part=x", "`{}`", "?a={}"])
def test_a_link_that_holds_an_architecture_opens_it(form):
    text = form.format(core.encode(EDITED))
    assert parse_text(text) == core.load(text) == EDITED


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("https://x.org/workbench", "not a link to an architecture"),
        ("https://x.org/workbench?context=3", "not a link to an architecture"),
        ("https://x.org/?preset=nothing", "'nothing' is not a preset"),
        ("https://x.org/?a=s1.AAAA", "damaged"),
        ("https://x.org/?a=", "not a link to an architecture"),
    ],
)
def test_a_link_to_nothing_says_so(text, words):
    assert words in refused(text)


@pytest.mark.parametrize(
    ("text", "repo", "revision"),
    [
        ("hf:openai/gpt-oss-20b", "openai/gpt-oss-20b", None),
        ("https://huggingface.co/openai/gpt-oss-20b", "openai/gpt-oss-20b", None),
        ("https://huggingface.co/openai/gpt-oss-20b/", "openai/gpt-oss-20b", None),
        ("https://huggingface.co/openai/gpt-oss-20b/blob/main/config.json", "openai/gpt-oss-20b", None),
        ("https://huggingface.co/openai/gpt-oss-20b/resolve/v1/config.json?download=true", "openai/gpt-oss-20b", "v1"),
        ("http://www.hf.co/openai/gpt-oss-20b/tree/abc123", "openai/gpt-oss-20b", "abc123"),
        ("huggingface.co/openai/gpt-oss-20b#files", "openai/gpt-oss-20b", None),
    ],
)  # fmt: skip
def test_an_address_on_the_hub_is_its_model(text, repo, revision, monkeypatch):
    asked = []
    monkeypatch.setattr(hub, "config", lambda name: asked.append(hub._parsed(name)) or json.loads(QWEN))
    assert parse_text(text) == core.load(f" {text}") == core.from_hf(json.loads(QWEN))
    assert asked == [(repo, revision)] * 2


# ---- files ----


def test_a_folder_is_read_by_its_config(tmp_path):
    (tmp_path / "config.json").write_text(QWEN)
    assert core.load(tmp_path) == core.load(tmp_path / "config.json")
    (tmp_path / "empty").mkdir()
    with pytest.raises(core.Unsupported, match=r"empty: is a folder without a config\.json"):
        core.load(tmp_path / "empty")


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("model.safetensors", b"\x10\0\0\0\0\0\0\0" + b'{"a": {}}       ', "is a safetensors file"),
        ("model.gguf", b"GGUF\3\0\0\0", "cannot be read as GGUF"),
        ("model.bin", b"PK\x03\x04\0\0", "is a zip archive"),
        ("model.pth", b"\x80\x02}q\0.", "is a Python pickle"),
        ("config.json.gz", b"\x1f\x8b\x08\0", "is a gzip archive"),
        ("config.json", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "is a Git LFS pointer"),
        ("config.json", b"<!DOCTYPE html><html></html>", "is a web page"),
        ("config.json", b"\xff\x00\x9f", "is not UTF-8"),
        ("config.json", b"", "not an empty text"),
        ("config.json", "{'a': 'é'}".encode("latin-1"), r"is not UTF-8 \(line 1\); save it as UTF-8"),
        ("config.json", '{"a": 1}'.encode("utf-16-le"), "UTF-16 without its mark or not a text; save it as UTF-8"),
        ("config.json", '{"a": 1}'.encode("utf-16-be"), "UTF-16 without its mark or not a text; save it as UTF-8"),
        ("config.json", '{"a": 1}'.encode("utf-32"), "UTF-32 or not a text; save it as UTF-8"),
        ("config.json", '{"a": 1}'.encode("utf-32-le"), "UTF-32 or not a text; save it as UTF-8"),
        ("config.json", b"// made by hand\n{}", r"line 1: JSON has no comments \(//\); remove it"),
        ("config.json", b'{\n  // made by hand\n  "a": 1}', "line 2, column 3: this is not JSON: JSON has no comments"),
        ("config.json", b'{"a": 1, // made by hand\n "b": 2}', "line 1, column 10: this is not JSON: JSON has no comments"),
    ],
)  # fmt: skip
def test_a_file_that_is_no_config_is_named(tmp_path, name, content, words):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(core.Unsupported, match=words):
        core.load(tmp_path / name)


def test_an_archive_is_one(tmp_path):
    with zipfile.ZipFile(tmp_path / "pytorch_model.bin", "w") as archive:
        archive.writestr("archive/data.pkl", b"x")
    with pytest.raises(core.Unsupported, match="zip archive"):
        core.load(tmp_path / "pytorch_model.bin")


@pytest.mark.parametrize("name", ["/nowhere/config.json", "no.yaml", "a/b", "a\0b", "x" * 5_000, "", "-"])
def test_a_name_of_no_file_is_a_sentence(name):
    with pytest.raises(core.Unsupported):
        core.load(name)


# ---- pipes and what never ends ----


def test_what_never_ends_is_cut():
    with within(0.2), pytest.raises(core.Unsupported, match="more than 200,000 characters"):
        core.load("/dev/zero")
    with open("/dev/zero", "rb") as endless:
        done = subprocess.run(
            [sys.executable, "-m", "core", "import", "-"], stdin=endless, capture_output=True, text=True, env=HERE, timeout=60
        )
    assert done.returncode == 2 and "more than 200,000 characters" in done.stderr and done.stderr.count("\n") == 1


def test_a_pipe_that_nobody_writes_to_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    began = time.perf_counter()
    with pytest.raises(core.Unsupported, match="a pipe that nothing was written to"):
        core.load(tmp_path / "pipe")
    assert time.perf_counter() - began < 1


def test_a_pipe_is_read_as_it_comes():
    """As a shell's `<(command)` gives it, a name below /dev/fd."""
    end, begin = os.pipe()

    def write():
        for at in range(0, len(QWEN), 100):
            os.write(begin, QWEN[at : at + 100].encode())
            time.sleep(0.01)
        os.close(begin)

    writer = threading.Thread(target=write)
    writer.start()
    assert core.load(f"/dev/fd/{end}") == parse_text(QWEN)
    writer.join()
    os.close(end)


def test_a_pipe_that_falls_silent_is_left(monkeypatch):
    monkeypatch.setattr(reading, "SECONDS", 0.1)
    end, begin = os.pipe()
    os.write(begin, b"{")
    with pytest.raises(core.Unsupported, match="did not send its whole text"):
        read_file(f"/dev/fd/{end}")
    os.close(begin)
    os.close(end)


def test_a_socket_is_no_file(tmp_path):
    import socket

    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(tmp_path / "s"))
        with pytest.raises(core.Unsupported, match="cannot be read"):
            core.load(tmp_path / "s")


def test_a_key_that_is_given_many_times_is_placed_in_linear_time():
    text = '{"":0' + "".join(f',"":{n}' for n in range(1, 20_000)) + "}"
    with within(0.5), pytest.raises(core.Unsupported, match="line 1: '' is given twice"):
        read_value(text)
    with within(0.5), pytest.raises(core.Unsupported, match="lines 1, 2, 3, 4 …: '' is given twice"):
        read_value(text.replace(",", ",\n"))


def test_a_presets_name_in_other_letter_case_opens_it():
    assert core.load("Deepseek-V3") == core.load("deepseek-v3") == parse_text("DeepSeek-V3")
