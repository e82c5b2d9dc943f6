"""The written code: it runs where there is no Strata, on Strata's weights, with the same results, and a linter finds nothing in it."""

import ast
import json
import math
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from strategies import architectures

import core
from core import kinds
from core.__main__ import main
from core.code import code
from core.code.model import head
from core.code.text import camel
from core.edits import swapped
from core.model import build_mtp

ROOT = Path(__file__).parent.parent
STEPS = ((0, 21), (21, 22), (22, 27), (27, 28))  # a prompt longer than the windows of small models, one token, several, one
WORKER = """
import json, sys
sys.modules["core"] = None  # to import it is an error
import torch
torch.set_num_threads(1)
for line in sys.stdin:
    code, data, steps = json.loads(line)
    space = {"__name__": "model"}
    exec(compile(open(code).read(), code, "exec"), space)
    model = space["Model"]().eval()
    given = torch.load(data)
    model.load_state_dict(given["state"])  # strict: the same names
    tokens = given["tokens"]
    with torch.inference_mode():
        found = [model(tokens)]
        with model.caching():
            found += [model(tokens[:, a:b], start=a) for a, b in steps]
    found.append(torch.cat(list(model.generate(tokens[:1, :5], 3)), dim=1))
    if "ahead" in given:
        ahead = space["Ahead"]().eval()
        ahead.load_state_dict(given["ahead"])
        for module in ahead:
            names = module.forward.__code__.co_varnames[1 : module.forward.__code__.co_argcount]
            with torch.inference_mode():
                found.append(module(*(given["inputs"][name] for name in names)))
    torch.save(found, data)
    print("done", flush=True)
"""


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory):
    """A process without Strata that runs code: (code, state dict, tokens) -> its results."""
    folder = tmp_path_factory.mktemp("elsewhere")
    with subprocess.Popen(
        [sys.executable, "-I", "-c", WORKER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=folder, text=True
    ) as process:

        def run(text: str, **given) -> list[torch.Tensor]:
            (folder / "model.py").write_text(text)
            torch.save(given, folder / "data.pt")
            process.stdin.write(json.dumps([str(folder / "model.py"), str(folder / "data.pt"), STEPS]) + "\n")
            process.stdin.flush()
            assert process.stdout.readline() == "done\n"
            return torch.load(folder / "data.pt")

        yield run
        process.stdin.close()


def same_elsewhere(arch: core.Architecture, elsewhere) -> None:
    """The code gives what Strata's model gives: logits, cached decode, generated tokens, and what the modules ahead of it give."""
    torch.manual_seed(0)
    model, ahead = core.build(arch, device="cpu"), build_mtp(arch, device="cpu")
    for parameter in (*model.parameters(), *ahead.parameters()):
        if parameter.dim() < 2:  # norms, biases and sinks are not ones and zeros
            parameter.data += 0.1 * torch.randn_like(parameter)
    tokens = torch.randint(arch.vocab_size, (2, 28))
    with torch.inference_mode():
        expected = [model(tokens)]
        with model.caching():
            expected += [model(tokens[:, a:b], a) for a, b in STEPS]
    expected.append(torch.cat(list(model.generate(tokens[:1, :5], 3)), dim=1))
    given = {"state": model.state_dict(), "tokens": tokens}
    if arch.mtp:
        streams = () if arch.ahead.residual.streams == 1 else (arch.ahead.residual.streams,)
        stream, later = torch.randn(2, 28, *streams, arch.d_model), torch.randn(2, 28, arch.d_model)
        given |= {
            "ahead": ahead.state_dict(),
            "inputs": {"stream": stream, "ahead": later, "positions": torch.arange(28), "tokens": tokens},
        }
        with torch.inference_mode():
            expected += [module(*given["inputs"].values()) for module in ahead]
    for one, other in zip(expected, elsewhere(code(arch), **given), strict=True):
        assert torch.equal(one, other)


@pytest.mark.long
@pytest.mark.parametrize("name", core.presets())
def test_a_presets_code_runs_without_strata(name, elsewhere):
    same_elsewhere(core.shrink(core.load(name)), elsewhere)


@settings(max_examples=settings().max_examples // 10)
@given(arch=architectures)
def test_a_random_architectures_code_runs_without_strata(arch, elsewhere):
    same_elsewhere(arch, elsewhere)


PARTS = [(name, part) for name in core.presets() for part in core.load(name).parts]


@settings(max_examples=settings().max_examples // 10)
@given(place=st.sampled_from(PARTS), data=st.data())
def test_a_part_of_another_kind_runs_without_strata(place, data, elsewhere):
    arch, part = core.load(place[0]), place[1]
    choice = data.draw(st.sampled_from(kinds.choices(arch.parts[part])))
    try:
        arch = core.shrink(swapped(arch, part, choice.name))
    except core.Unsupported:
        return
    same_elsewhere(arch, elsewhere)


EDITS = {
    "a gate, a window and sinks": (
        "llama-3-8b",
        {"attention": {"gate": {"per": "head"}, "sight": {"window": 6}, "scores": {"sinks": True}}},
    ),
    "a norm of the other kind over all heads": ("gpt2", {"attention": {"qk_norm": {"across": "heads", "norm": {"kind": "rms"}}}}),
    "experts weighted before, by groups": ("deepseek-v3", {"moe": {"weigh": "before"}, "attention": {"scores": {"softcap": 30.0}}}),
}


@pytest.mark.parametrize("case", EDITS)
def test_an_edited_model_runs_without_strata(case, elsewhere):
    name, edits = EDITS[case]
    arch = core.shrink(core.load(name))
    for part, fields in edits.items():
        value = arch.model_dump()
        value["parts"][part] |= fields
        arch = core.Architecture.model_validate(value)
    same_elsewhere(arch, elsewhere)


@pytest.mark.parametrize("name", ["mamba2-2.7b", "qwen3-next-80b-a3b", "rwkv-7-world-1.5b"])
def test_a_model_of_recurrences_runs_in_float64(name):
    arch = core.shrink(core.load(name))
    space: dict = {"__name__": "model"}
    exec(code(arch), space)
    torch.manual_seed(0)
    model, tokens = space["Model"]().eval(), torch.randint(arch.vocab_size, (1, 8))
    with torch.inference_mode():
        single, double = model(tokens), model.double()(tokens)
    assert double.dtype == torch.float64 and torch.allclose(single, double.float(), rtol=1e-3, atol=1e-4)


@pytest.fixture(scope="module")
def written(request, tmp_path_factory) -> dict[str, str]:
    """The code of the presets at full size, a file each."""
    from conftest import fields, seen_before

    sweep = request.config.getoption("--hypothesis-profile") == "sweep"
    left = set() if sweep else seen_before(fields)
    return {name: code(core.load(name)) for name in core.presets() if name not in left}


def test_no_linter_finds_anything(written, tmp_path):
    for name, text in written.items():
        (tmp_path / f"{name}.py").write_text(text)
    ruff = [sys.executable, "-m", "ruff", "check", "--config", str(ROOT / "pyproject.toml"), "--extend-select", "F,ARG", "--no-cache"]
    found = subprocess.run([*ruff, "--output-format", "concise", str(tmp_path)], capture_output=True, text=True)
    start = "ARG002 Unused method argument: `start`"  # of a model that reads no positions
    assert found.returncode < 2 and all(line.endswith(start) for line in found.stdout.splitlines() if ".py:" in line), found.stdout[-3000:]


def test_no_branch_is_dead(written):
    def known(node: ast.expr) -> bool:
        return not any(isinstance(one, ast.Name) for one in ast.walk(node))

    for name, text in written.items():
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.If | ast.IfExp | ast.While):
                assert not known(node.test), (name, ast.unparse(node))
            if isinstance(node, ast.BoolOp | ast.Compare):
                assert not known(node), (name, ast.unparse(node))
        assert "self.part" not in text, name


def test_values_are_put_in_and_branches_are_gone():
    text = code(core.load("deepseek-v3"), "attention")
    assert "self.q_down = nn.Linear(D_MODEL, Q_RANK, bias=False)" in text and "\nQ_RANK = 1536\n" in text
    assert "# (B, H, T, S)" in text, "comments say shapes"
    assert "sink" not in text and "gate" not in text and "window" not in text
    value = core.load("deepseek-v3").model_dump()
    value["parts"]["attention"]["gate"] = {"per": "head"}
    assert "self.gate = nn.Linear(D_MODEL, HEADS, bias=False)" in code(core.Architecture.model_validate(value), "attention")


def test_an_equation_stands_above_its_line_if_that_line_is_there():
    from app.kit.code import equation

    lines = code(core.load("deepseek-v3"), "attention").splitlines()
    place = next(n for n, line in enumerate(lines) if "#: [c_t; k^R_t]" in line)
    assert lines[place + 1].startswith("        latent, k_rope = self.kv_down(x).split((KV_RANK, ROPE_DIM), dim=-1)")
    assert "RoPE(" not in code(core.load("gpt2"), "attention")
    assert equation("k^R_t = <W^UK⊤> S_(t-1)") == (
        "<em>k<sup>R</sup><sub>t</sub> = &lt;W<sup>UK</sup><sup>⊤</sup>&gt; S<sub>t-1</sub></em>"
    )


def test_a_line_knows_the_boxes_of_its_modules():
    from app.kit.code import boxes_of, page_of

    arch = core.load("deepseek-v3")
    text = code(arch, "moe")
    found, lines = boxes_of(arch, "moe", text), text.splitlines()
    graph = core.graph(arch)
    assert {path for words in found.values() for path in words.split()} <= set(graph.nodes)
    boxes = {lines[n].strip(): words.split() for n, words in found.items()}
    assert "layers.3.moe.router" in boxes["weights, chosen = self.router(x)  # (B, T, K) each"]
    assert "layers.3.moe.router" in boxes["scores = F.linear(x.float(), self.weight.float()).sigmoid()"], "a line of the module's own class"
    assert "layers.3.moe.shared_up" in boxes["return self.down(F.silu(self.gate(x)) * self.up(x))"]
    html = page_of(text, (), tuple(found.items()))
    assert html.count("data-box=") == len(found) + text.count("#: ")


def test_layers_that_alternate_are_a_loop():
    text = code(core.load("gpt-oss-20b"))
    assert "N_LAYERS = 24" in text and "for _ in range(N_LAYERS // 2) for layer in (LocalBlock(), GlobalBlock())" in " ".join(text.split())
    assert "VOCAB_SIZE = 201088" in text and "nn.Embedding(VOCAB_SIZE, D_MODEL)" in text


def test_experts_with_biases_are_one_function_and_no_comment_is_long():
    text = code(core.load("gpt-oss-20b"))
    assert "gate = grouped_linear(slots, self.gate, expert) + self.gate_bias[expert]" in text
    assert max(len(line) for line in text.splitlines() if line.lstrip().startswith("#")) <= 100


def test_rounds_that_do_the_same_are_a_loop():
    assert "for _ in range(ITERATIONS - 1):" in code(core.load("deepseek-v4-flash")), "Sinkhorn iterations"
    text = code(core.load("longcat-flash-lite"))
    assert "for i, (table, up) in enumerate(zip(self.tables, self.ups, strict=True)):" in text
    assert "nn.Embedding(10223617 + 2 * i, D_MODEL // (TABLES * (LONGEST - 1))) for i in range(" in " ".join(text.split())
    assert "for n, scale in (" in code(core.load("falcon-h1-0.5b"))


def test_names_are_words(written):
    """No class or variable is told from another by a number, unless a part's own name has it."""
    for name, text in written.items():
        own = {camel(part) for part in core.load(name).parts if part[-1].isdigit()} | {"Mamba2"}
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.ClassDef):
                assert not node.name[-1].isdigit() or any(node.name.endswith(part) for part in own), (name, node.name)
            if isinstance(node, ast.Name) and node.id.islower():
                assert not re.fullmatch(r"[a-z_]+_\d+", node.id), (name, node.id)
    assert "class LendingLocalAttention" in code(core.load("gemma-3n-e4b")), "what later layers read"


def test_figures_are_constants_with_one_meaning():
    text = code(core.load("deepseek-v3"))
    assert "DENSE_D_FF = 18432" in text and "MOE_D_FF = 2048" in text
    assert "self.q = nn.Linear(Q_RANK, HEADS * (NOPE_DIM + ROPE_DIM), bias=False)" in text
    assert "torch.arange(0, ROPE_DIM, 2, device=positions.device)" in text
    text = code(core.load("nemotron-h-56b"))
    assert "MAMBA_HEADS = 256" in text and "ATTENTION_HEADS = 64" in text and "\nHEADS" not in text
    text = code(core.load("gemma-3n-e4b"))
    assert "LOCAL_ROPE_BASE = 10000.0" in text and "ROPE_BASE = 1000000.0" in text


def test_a_parts_numbers_have_names():
    text = code(core.load("llama-3-8b"), "attention")
    assert text.startswith(
        "D_MODEL = 4096\nHEADS = 32\nKV_HEADS = 8\nHEAD_DIM = 128\nROPE_BASE = 500000.0\n\n\nclass Attention(nn.Module):"
    )
    assert "self.q = nn.Linear(D_MODEL, HEADS * HEAD_DIM, bias=False)" in text and "unflatten(-1, (HEADS, HEAD_DIM))" in text
    assert "H = HEADS, G = KV_HEADS, D = HEAD_DIM" in " ".join(text.split())


def test_words_are_those_of_the_constants():
    text = " ".join(code(core.load("deepseek-v3")).split())
    assert "`TOP_K` of `EXPERTS` experts" in text and "E = EXPERTS, K = TOP_K" in text and "# (B, T, D_MODEL)" in text
    assert "D_MODEL -> d_ff -> D_MODEL" in text, "the width of a class that has it as an argument"


def test_derived_numbers_are_expressions():
    text = code(core.load("deepseek-v3"))
    assert "SOFTMAX_SCALE = (NOPE_DIM + ROPE_DIM) ** -0.5 * YARN_MAGNITUDE**2" in text
    assert (
        "YARN_LOW = math.floor(ROPE_DIM * math.log(ORIGINAL_CONTEXT / (BETA_FAST * 2 * math.pi)) / (2 * math.log(ROPE_BASE)))"
        in " ".join(text.split()).replace("( ", "(").replace(" )", ")")
    )
    text = code(core.load("qwen3-next-80b-a3b"))
    assert "k.unflatten(-1, (KV_HEADS, HEAD_DIM))" in code(core.load("gpt2")), "as many as HEADS, but not the same"
    rwkv = code(core.load("rwkv-7-world-1.5b"))
    assert "for layer in range(1, N_LAYERS):" in rwkv and "-math.exp(-0.5) *" in rwkv and rwkv.count("start") == 2, (
        "nothing reads a position"
    )
    assert "def forward(self, tokens, start=0):" in rwkv, "one interface for all models"
    assert "ROPE_DIM = int(HEAD_DIM * ROPE_FRACTION)" in text and "x[:, -(KERNEL - 1):]" in text


def test_every_constant_is_a_figure_of_the_architecture(written):
    for name, text in written.items():

        def numbers(value):
            inner = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
            return {value} if isinstance(value, int | float) else {n for one in inner for n in numbers(one)}

        known = numbers(core.load(name).model_dump()) | {core.load(name).depth}
        values: dict[str, float] = {"math": math}
        for node in ast.parse(text).body:
            if isinstance(node, ast.Assign):
                values[node.targets[0].id] = value = eval(ast.unparse(node.value), {}, values)
                above = {one.id for one in ast.walk(node.value) if isinstance(one, ast.Name)} - {"math", "int"}
                assert above <= set(values) if above else value in known, (name, ast.unparse(node))


def test_the_whole_models_lines_light_boxes():
    from app.kit.code import boxes_of

    arch = core.load("deepseek-v3")
    text = code(arch)
    lines = text.splitlines()
    found = {lines[n].strip(): words.split() for n, words in boxes_of(arch, None, text).items()}
    assert {"layers.0.attention.q_down", "layers.3.attention.q_down"} <= {*found["raw = self.q_down(x)"]}
    assert "layers.3.moe.router" in found["weights, chosen = self.router(x)  # (B, T, K) each"]
    assert (
        "mtp.block_attention.q_down" in found["raw = self.q_down(x)"]
        and "mtp.block_moe" in found["return stream + self.moe(self.moe_norm(stream))"]
    )
    inkling = core.load("inkling")
    lit = " ".join(boxes_of(inkling, None, code(inkling)).values()).split()
    assert {"mtp.block_local.q", "mtp_2.block_global.q"} <= {*lit}, "modules of two kinds"
    assert "embedding" in found["stream = self.embedding(tokens)  # (B, T, D_MODEL)"]


def test_equations_are_listed_with_their_lines():
    from app.kit.code import equations

    text = code(core.load("deepseek-v3"), "attention")
    listed = equations(text, {})
    assert listed.count("<em>") == len({line.strip() for line in text.splitlines() if "#: " in line})
    assert equations(code(core.load("gpt2"), "dense"), {}) == ""


def test_a_part_that_no_layer_has():
    with pytest.raises(core.Unsupported, match="give one of attention, dense, moe"):
        code(core.load("deepseek-v3"), "router")


def test_layers_that_differ_too_much_are_refused_and_their_parts_are_not():
    value = core.load("deepseek-v4-flash").model_dump() | {"mtp": None, "precision": {}}
    sparse, moe = value["parts"]["sparse"], value["parts"]["moe"]
    parts = {f"sparse{n}": sparse | {"window": 64 + n} for n in range(32)} | {f"moe{n}": moe | {"d_ff": 64 + n} for n in range(32)}
    layers = [{"blocks": [[f"sparse{n}", f"moe{n}"] for n in range(32)]}]
    arch = core.Architecture.model_validate(value | {"parts": parts, "layers": layers})
    with pytest.raises(core.Unsupported, match="32 different blocks have too much code for one file; ask for one part, such as moe0"):
        code(arch)
    assert "class StackedExperts" in code(arch, "moe0")


def test_the_command_line_prints_it(capsys):
    main(["code", "llama-3-8b"])
    assert capsys.readouterr().out == code(core.load("llama-3-8b"))
    main(["code", "llama-3-8b", "--part", "dense"])
    assert capsys.readouterr().out.startswith("D_MODEL = 4096\nD_FF = 14336\n\n\nclass FeedForward(nn.Module):")


def test_an_edited_model_is_not_called_the_published_one():
    arch = core.load("llama-3-8b")
    value = arch.model_dump() | {"layers": [{"repeat": 31, "blocks": [["attention"]]}, {"blocks": [["attention", "dense"]]}]}
    words = ast.parse(head(core.Architecture.model_validate(value))).body[0].value.value
    assert words.startswith("Edited from Llama 3 8B: 2,569,150,464 parameters") and "Meta" not in words and "2024" not in words
    assert "\n- first 31 layers: feed-forward removed\n" in words
    renamed = core.Architecture.model_validate(value | {"name": "mine"})
    assert head(renamed) == head(core.Architecture.model_validate(value)), "known by its title"
    assert head(core.Architecture.model_validate(value | {"title": "Mine"})).startswith('"""Mine, edited from Llama 3 8B: ')
    assert head(arch).startswith('"""Llama 3 8B (Meta, 2024-04-18): ') and "\n- " not in head(arch)
    many = head(core.shrink(core.load("deepseek-v4-flash"))).splitlines()
    assert sum(line.startswith("- ") for line in many) == 21 and "- and 20 more" in many
    assert max(map(len, many)) <= 96


def test_the_lines_that_say_how_to_run_it_run(tmp_path, monkeypatch, capsys):
    arch = core.shrink(core.load("llama-3-8b"))
    text = code(arch)
    usage = [line for line in ast.parse(text).body[0].value.value.splitlines() if line.startswith("    ")]
    model = core.build(arch, device="cpu")
    torch.save(model.state_dict(), tmp_path / "weights.pt")
    monkeypatch.chdir(tmp_path)
    exec("\n".join([text, *(line[4:] for line in usage)]), {"__name__": "model"})
    expected = [str(token) for token in model.generate(torch.tensor([[1, 2, 3]]), 20)]
    assert capsys.readouterr().out.splitlines() == expected


@given(st.text(st.sampled_from("\"\\'# ;x=()é\N{LINE SEPARATOR}") | st.characters(codec="utf-8"), max_size=300))
@example('M""";import os;os.system("echo");x="""')
@example('"' * 300)
@example("\\" * 299 + '"')
def test_a_title_stays_in_its_docstring(title):
    try:
        arch = core.Architecture.model_validate(core.load("gpt2").model_dump() | {"title": title, "organisation": title[:100]})
    except ValidationError:
        return
    plain = core.load("gpt2")
    body = ast.parse(head(arch)).body
    assert len(body) == 1 and isinstance(body[0].value, ast.Constant) and isinstance(body[0].value.value, str)
    assert ast.parse(head(plain)).body[0].value.value.startswith("GPT-2 small")


def test_the_page_marks_the_lines_that_an_edit_changed():
    from app.kit.code import changed, page_of

    arch = core.load("deepseek-v3")
    value = arch.model_dump()
    value["parts"]["attention"] |= {"kv_rank": 384, "gate": {"per": "head"}}
    text = code(core.Architecture.model_validate(value), "attention")
    marks, gone = changed(text, code(arch, "attention"))
    lines = text.splitlines()
    assert not gone and changed(code(arch, "attention"), text)[1]
    assert changed(text, "")[0].keys() == {n for n, line in enumerate(lines) if line.strip()}, "a part that is new"
    assert {sign for line, sign in marks.items() if "self.gate = " in lines[line]} == {"+"}
    assert {sign for line, sign in marks.items() if lines[line].startswith("KV_RANK = ")} == {"~"}
    assert {sign for line, sign in marks.items() if "self.kv_down = " in lines[line]} == {"•"}, "it reads what changed"
    assert not any("self.q_down = " in lines[line] for line in marks)
    html = page_of("x = '<b>'  # & <i>\n", ())
    assert "&lt;b&gt;" in html and "&amp; &lt;i&gt;" in html and "<i>\n" not in html
