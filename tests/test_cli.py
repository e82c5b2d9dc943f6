"""The command line, run as a person runs it."""

import json
import os
import re
import subprocess
import sys
from io import BytesIO

import pytest
from PIL import Image

import core
from app.picture.diagram import NARROW
from core.__main__ import main
from core.library import to_yaml
from core.share import encode

UNSAYABLE = encode(core.spec.edited(core.load("gpt2"), "parts.attention.scores.sinks", True))  # by any config.json


def run(*arguments: str, capsys) -> tuple[int, str, str]:
    code = main(arguments)
    out = capsys.readouterr()
    return code, out.out, out.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["list"], ["deepseek-v3", "671.0 B", "2024-12-26"]),
        (["list", "mla", "moe", "2024"], ["deepseek-v3", "deepseek-v2"]),
        (["show", "deepseek-v3"], ["671,026,404,352", "70,272 bytes", "one rotary key", "must get right"]),
        (["graph", "gpt2"], ["12 × attention → dense", "Linear 768 → 3,072", "(B, T, 50,257)"]),
        (["graph", "gpt2", "--format", "dot"], ["digraph", "layers.0.attention.q"]),
        (["graph", "gpt2", "--format", "mermaid"], ["flowchart BT"]),
        (["graph", "gpt2", "--format", "graphml"], ["<graphml"]),
        (["cost", "gpt2", "--batch", "2", "--context", "1024", "--weights", "fp8"], ["124,439,808", "75.5 MB"]),
        (["cost", "gpt2", "--explain"], ["12 layers × (12 × 64 + 12 × 64) values × 2 bytes = 36,864"]),
        (
            ["diff", "gpt2", "deepseek-v3"],
            ["12 layers → 61", "position learned → rope", "dense → 256 experts", "attention → multi-head latent", "parameters"],
        ),
        (["diff", "gpt2", "gpt2"], ["no difference"]),
        (["compare", "gpt2", "gpt2-xl", "mamba-2.8b"], ["B: GPT-2 XL (gpt2-xl)", "12.52×", "GPT-2 XL has", "multi-head attention"]),
        (["export", "gpt2"], ['"model_type": "gpt2"']),
        (["export", "gpt2", "--format", "yaml"], ["kind: learned"]),
        (["export", "grok-2.5", "--format", "link"], ["s1."]),
        (["route", "deepseek-v3"], ["MaxVio", "layers.1.moe.router"]),
    ],
    ids=lambda a: " ".join(a) if isinstance(a, list) else "",
)
def test_every_command_prints_for_people_and_for_programs(arguments, words, capsys):
    code, out, err = run(*arguments, capsys=capsys)
    assert code == 0 and not err
    for word in words:
        assert word in out
    if "--format" not in arguments:
        code, out, _ = run(*arguments, "--json", capsys=capsys)
        assert code == 0
        json.loads(out)


def test_json_holds_the_figures(capsys):
    cost = json.loads(run("cost", "deepseek-v3", "--json", capsys=capsys)[1])
    assert cost["kv_bytes_per_token"] == 70_272 and sum(row["parameters"] for row in cost["rows"]) == 671_026_404_352
    listed = json.loads(run("list", "--json", capsys=capsys)[1])
    assert [row["name"] for row in listed] == core.presets()
    shown = json.loads(run("show", "gpt2", "--json", capsys=capsys)[1])
    assert shown["d_model"] == 768 and shown["checklist"]


@pytest.mark.parametrize(
    "arguments",
    [
        ["show", "nothing"], ["show"], ["frobnicate"], [], ["cost", "gpt2", "--batch", "many"], ["cost", "gpt2", "--context", "0"],
        ["cost", "gpt2", "--weights", "int3"], ["import", "/nowhere/config.json"], ["show", "s1.broken"], ["route", "gpt2"],
        ["export", UNSAYABLE], ["graph", "gpt2", "--format", "gif"], ["show", "a\0b"], ["show", "."],
        ["generate", "gpt2", "--weights", "/nowhere", "--prompt", "x"], ["show", ""], ["show", "-1"], ["show", "--", "--x"], ["--json"],
        ["show", "gpt2", "gpt2"], ["show", "/dev/zero"],
        ["show", "/tmp"], ["show", "x" * 9_000], ["show", "a/b"], ["import", "gpt2\x1b[2J"],
        ["import", "caf\udce9.json"], ["cost", "gpt2", "--batch", "9" * 5_000], ["cost", "gpt2", "--batch", "1e3"],
        ["cost", "gpt2", "--context", "nan"], ["cost", "gpt2", "--cache", "\ud800"], ["diff", "gpt2"], ["diff", "gpt2", "nothing"],
        ["export", "gpt2", "--format", "\0"], ["route", "deepseek-v3", "--seed", "-1"], ["route", "deepseek-v3", "--seed", "9" * 5_000],
        ["route", "deepseek-v3", "--text", "/nowhere"], ["route", "deepseek-v3", "--text", "/dev/null"], ["verify", ""], ["verify", "gpt2"],
        ["verify", "a\0b"], ["verify", "x" * 9_000], ["verify", "/dev/zero", "--as", "gpt2"], ["verify", "/tmp", "--as", "nothing"],
        ["generate", "gpt2", "--weights", "/tmp", "--prompt", "x", "--tokens", "-5"],
        ["generate", "gpt2", "--weights", "/tmp", "--prompt", "x", "--temperature", "nan"],
        ["generate", "gpt2", "--weights", "/tmp", "--prompt", "x", "--temperature", "-1"], ["show", "https://x.org/"],
        ["show", "https://x.org/?preset=nothing"], ["show", "s1." + "A" * 9_000],
        ["draw", "gpt2"], ["draw", "gpt2", "-o", "x.gif"], ["draw", "gpt2", "-o", "/nowhere/x.svg"], ["draw", "gpt2", "-o", "a\0.svg"],
        ["draw", "nothing", "-o", "x.svg"],
    ],
    ids=lambda arguments: " ".join(arguments)[:40],
)  # fmt: skip
def test_bad_input_is_one_line_and_exit_2(arguments, capsys):
    code, out, err = run(*arguments, capsys=capsys)
    assert code == 2 and not out
    assert err.count("\n") == 1 and 10 < len(err) <= 1_001 and "Traceback" not in err
    assert err.removesuffix("\n").isprintable()


def test_a_picture_is_written_as_its_name_says(tmp_path, capsys):
    """The wide one as SVG, the narrow and dark one as PNG of twice its size, and a PDF, each of the model that is named."""
    for name, options in (("x.svg", []), ("x.PNG", ["--narrow", "--dark"]), ("x.pdf", [])):
        code, out, err = run("draw", encode(core.load("gpt2")), "-o", str(tmp_path / name), *options, capsys=capsys)
        assert (code, err) == (0, "") and name in out
    svg, png, pdf = ((tmp_path / name).read_bytes() for name in ("x.svg", "x.PNG", "x.pdf"))
    assert svg.startswith(b"<svg") and b"GPT-2 small" in svg
    image = Image.open(BytesIO(png)).convert("RGB")
    assert png.startswith(b"\x89PNG") and image.width == 2 * NARROW and max(image.getpixel((2, 2))) < 40
    assert pdf.startswith(b"%PDF-") and b"(GPT-2 small)" in pdf and b"/Count 1" in pdf


@pytest.mark.parametrize(("word", "tokens"), [("128k", 131_072), ("32K", 32_768), ("1e6", 1_000_000), ("1M", 1_048_576), ("1.5k", 1_536)])
def test_a_context_is_given_as_it_is_printed(word, tokens, capsys):
    plain = run("cost", "gpt2", "--context", str(tokens), "--json", capsys=capsys)
    assert plain[0] == 0 and run("cost", "gpt2", "--context", word, "--json", capsys=capsys) == plain
    code, _, err = run("cost", "gpt2", "--context", "0.3k", capsys=capsys)
    assert code == 2 and "0.3k" in err


def test_the_version(capsys):
    with pytest.raises(SystemExit) as left:
        main(["--version"])
    assert left.value.code == 0 and re.fullmatch(r"strata \d+\.\d+\.\d+\n", capsys.readouterr().out)


@pytest.mark.parametrize("name", [n for n in core.presets() if re.search("mamba|nemotron|granite-4|zamba|falcon-h", n)])
def test_an_exported_config_is_strict_json(name, capsys):
    """transformers writes infinity as {"__float__": "Infinity"}, which JSON has no number for."""
    code, out, err = run("export", name, capsys=capsys)
    assert code == 0, err

    def never(word: str):
        raise AssertionError(word)

    assert core.from_hf(json.loads(out, parse_constant=never)) == core.load(name)


def test_files_come_in(tmp_path, capsys, monkeypatch):
    config = tmp_path / "config.json"
    config.write_text(run("export", "gpt2", capsys=capsys)[1])
    assert run("show", str(config), "--json", capsys=capsys)[0] == 0
    assert run("import", str(config), capsys=capsys)[1] == to_yaml(core.load("gpt2"))
    spec = tmp_path / "mine.yaml"
    spec.write_text(to_yaml(core.load("deepseek-v3")))
    assert run("diff", str(spec), "deepseek-v3", capsys=capsys)[1].strip() == "no difference"
    (tmp_path / "bad.json").write_text('{"model_type": "llama", "mystery": 3}')
    assert "mystery: 3" in run("import", str(tmp_path / "bad.json"), capsys=capsys)[2]
    (tmp_path / "binary").write_bytes(b"\xff\x00\x9f")
    assert run("import", str(tmp_path / "binary"), capsys=capsys)[0] == 2
    (tmp_path / "small.json").write_text('{"model_type": "llama", "rms_norm_eps": 1e-06, "hidden_size": 64, "num_attention_heads": 4}')
    assert core.load(str(tmp_path / "small.json")).norm.eps == 1e-6, "1e-06 is a number in JSON"


def test_a_closed_standard_input_is_a_sentence(capsys, monkeypatch):
    monkeypatch.setattr("sys.stdin", None)
    code, _, err = run("show", "-", capsys=capsys)
    assert code == 2 and err == "standard input: is closed; give a file\n"


def test_an_interrupt_is_quiet(capsys, monkeypatch):
    def interrupted(name):
        raise KeyboardInterrupt

    monkeypatch.setattr(core.library, "load", interrupted)
    assert run("show", "gpt2", capsys=capsys) == (130, "", "")


@pytest.mark.parametrize(
    ("command", "code", "words"),
    [("export gpt2 > /dev/full", 2, "the output cannot be written"), ("show gpt2 >&-", 0, ""), ("import - --json < {config}", 0, "")],
)
def test_streams_of_every_kind(command, code, words, tmp_path):
    config = tmp_path / "config.json"
    config.write_bytes(b"\xef\xbb\xbf" + json.dumps(core.to_hf(core.load("gpt2"))).encode())
    whole = f"{sys.executable} -m core {command.format(config=config)}"
    here = {**os.environ, "PYTHONPATH": os.getcwd()}
    done = subprocess.run(["bash", "-c", whole], capture_output=True, text=True, env=here, timeout=60)
    assert done.returncode == code and words in done.stderr and done.stderr.count("\n") == (code > 0)
    assert "--json" not in command or json.loads(done.stdout)["title"] == core.load("gpt2").title


def test_as_a_program():
    here = {**os.environ, "PYTHONPATH": os.getcwd()}
    done = subprocess.run([sys.executable, "-m", "core", "show", "nothing"], capture_output=True, text=True, env=here, timeout=60)
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    piped = f"{sys.executable} -m core graph deepseek-v3 | head -1"
    done = subprocess.run(piped, shell=True, capture_output=True, text=True, env=here, timeout=60)
    assert done.returncode == 0 and "Traceback" not in done.stderr
