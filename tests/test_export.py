"""Who writes an architecture: its own family first, within milliseconds; what none can say is refused, and nothing else."""

import copy
import importlib
import random
import re
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import transformers
from parity import parameters, reference

import core
from core.blocks import folded
from core.hf import BY_TYPE, FAMILIES, families_of, from_hf, load_weights, to_hf
from core.hf.families import bailing_hybrid, multimodal, multimodal_own_code
from core.hf.reading import quantised
from core.library import parse_text, to_yaml
from core.share import decode, encode
from core.spec import METADATA, Architecture, edited, parse

SLOWEST = 0.25  # seconds of processor time for one answer; 0.02 where it was measured
LLAMA = dict(
    model_type="llama", vocab_size=64, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
    max_position_embeddings=64,
)  # fmt: skip
GPT_2 = (  # a link of the time when no type was remembered
    "s1.Y64NB3jaTVJNb9swDP0rhM5Olrhps_q2w1AUSLphSE9FYTAWbauRJUOS02VB_vvIpPm4CCZNvsf3yL2qvEv0N6liOslnmdJl5zVZVcwfvmeqxs7YnSpU06dcZcr"
    "ijkJUxdtera2vNvL5pjAlcsl4xxWaXCT1_p6pQD2h4OYHjqypyFXEUMvnFdc57OiK63zoVLFXG-M0Z4806iD5JFWrliC22BOkFhM_BJ6fEGGLYVeAJQyONPQ-GpkjZr"
    "AQiBeGhTXVPhAQVi30GFIG3WCTGbWEGi6jZ4DQWzQOnn4uXsFR-vRhM-bZfGjQmYhHgYX61ZP78cx5wYoy9FU-B2uDnExhoEwJQ6kNK3uYnaIodmRnmbe-bbblpeBwt"
    "lHAq2S2Z-6G7FAmdC033BLpsq5VcTeZX7FrIs768IlBqwMjnr25tflkm-yVXJPa0w1IbaDKxK9iTTWyYYLZ3-WylUDcGUkg8sn0cTTJR9MZo0Q_hIrkJuSqatOMP6J3"
    "4GvwbBqaUeW7bnAm7b597X2BrhmwIVjK0UVAXtSri0NPYWuYAZayqoRxA4vjsIFX-wc1C9NACdCOQUZQfGHJsGLq1qS1cc3FG263ckNPv1ejHGKH1jLx1le4LqP5x7"
    "_uJ_n9_PAfDbEDBg"
)


# ---- what is remembered ----


@pytest.mark.parametrize("name", core.presets())
def test_a_preset_says_who_writes_it(name):
    """But PaLM, which never had a config.json."""
    arch = core.load(name)
    assert arch.model_type == (None if name == "palm-540b" else to_hf(arch)["model_type"])
    assert parse_text(to_yaml(arch)).model_type == arch.model_type


def test_the_type_that_an_architecture_came_from_writes_it():
    for model_type in ("llama", "Yi", "xverse", "skywork"):
        arch = from_hf(LLAMA | dict(model_type=model_type, rms_norm_eps=1e-6, rope_theta=1e4))
        assert arch.model_type == to_hf(arch)["model_type"] == model_type
        assert next(families_of(arch))[0] is BY_TYPE[model_type]


@pytest.mark.parametrize("word", [None, "x" * 64, "no type", "llava", "mamba"])
def test_a_type_that_cannot_say_it_or_that_nobody_knows_is_a_word_about_the_file(word):
    plain = from_hf(LLAMA)
    arch = parse(plain.model_dump() | {"model_type": word, "family": None})
    config = to_hf(arch)
    assert config["model_type"] == "llama" and from_hf(config) == arch == decode(encode(arch))
    assert not core.diff(arch, plain).changes and core.cost(arch).parameters == core.cost(plain).parameters
    with pytest.raises(core.Unsupported, match=r"^model_type: "):
        parse(arch.model_dump() | {"model_type": "x" * 65})


def test_a_link_from_before_types_were_remembered_opens():
    arch, preset = decode(GPT_2), core.load("gpt2")
    assert arch.model_type is None and preset.model_type == "gpt2"
    assert arch.model_copy(update={"model_type": "gpt2"}).model_dump() == preset.model_dump()
    assert to_hf(arch)["model_type"] == "gpt2" and from_hf(to_hf(arch)) == arch


# ---- only a refusal is caught ----


def read(config: dict) -> Architecture | None:
    with suppress(core.Unsupported):
        return from_hf(config)
    return None


@pytest.fixture(scope="module")
def bases() -> list[Architecture]:
    """All presets, and what each type is by its own defaults."""
    return [*map(core.load, core.presets()), *filter(None, (read({"model_type": name, "is_causal": True}) for name in BY_TYPE))]


class Mutations:
    """Architectures changed by dice: what one has, another is given; parts are left out, reordered, renamed."""

    ODD = (None, True, False, 0, 1, 3, 1_024, 5e-324, 1e-8, 0.5, 1e3, "silu", "xielu", {})

    def __init__(self, bases: list[Architecture], seed: int):
        self.dice = random.Random(seed)
        self.trees = [arch.model_dump(mode="json") for arch in bases]
        self.values: dict[str, list] = {}
        for tree in self.trees:
            for node, key in self.fields({name: said for name, said in tree.items() if name not in METADATA}):
                self.values.setdefault(key, []).append(node[key])
        self.ways: list[Callable[[dict], None]] = [
            self.part, self.field, self.field, self.field, self.model, self.without, self.order, self.name,
        ]  # fmt: skip

    def fields(self, node: Any) -> Iterator[tuple[dict, str]]:
        for inner in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
            yield from self.fields(inner)
        yield from ((node, key) for key in node if key != "kind") if isinstance(node, dict) else ()

    def part(self, tree: dict) -> None:
        other = self.dice.choice(self.trees)
        tree["parts"][self.dice.choice([*tree["parts"]])] = self.dice.choice([*other["parts"].values()])

    def field(self, tree: dict) -> None:
        said = {key: tree[key] for key in ("parts", "position", "residual", "norm", "head", "embedding", "mtp")}
        node, key = self.dice.choice([*self.fields(said)])
        node[key] = copy.deepcopy(self.dice.choice([*self.ODD, *self.dice.sample(self.values.get(key, self.ODD), 8)]))

    def model(self, tree: dict) -> None:
        key = self.dice.choice(("position", "residual", "norm", "head", "embedding", "mtp"))
        tree[key] = self.dice.choice(self.trees)[key]

    def without(self, tree: dict) -> None:
        name = self.dice.choice([*tree["parts"]])
        blocks = [([step for step in block if step != name], s) for s in tree["layers"] for block in s["blocks"]]
        tree["layers"] = [{"repeat": s["repeat"], "blocks": [block]} for block, s in blocks if block]
        tree |= {"mtp": None, "parts": {key: part for key, part in tree["parts"].items() if key != name}}

    def order(self, tree: dict) -> None:
        block = self.dice.choice(self.dice.choice(tree["layers"])["blocks"])
        changes = (lambda: self.dice.shuffle(block), lambda: block.append(block[0]), lambda: block.pop())
        self.dice.choice((*changes, lambda: block.__setitem__(slice(None), [block[:4]])))()

    def name(self, tree: dict) -> None:
        old, new = self.dice.choice([*tree["parts"]]), self.dice.choice(("attention", "dense", "moe", "local", "mamba"))
        tree["parts"] = {new if name == old else name: part for name, part in tree["parts"].items()}
        tree["layers"] = [
            {"repeat": s["repeat"], "blocks": [[new if step == old else step for step in block] for block in s["blocks"]]}
            for s in tree["layers"]
        ]

    def draw(self, count: int) -> Iterator[Architecture]:
        while count:
            tree = copy.deepcopy(self.dice.choice(self.trees))
            for _ in range(self.dice.choice((1, 1, 2, 3))):
                with suppress(LookupError, TypeError, ValueError):  # an earlier change left nothing to change
                    self.dice.choice(self.ways)(tree)
            with suppress(core.Unsupported):
                yield parse(tree)
                count -= 1


def test_a_writer_gives_a_config_or_refuses(bases):
    """Every family is given every architecture, and edits that leave all of them."""
    given = refused = 0
    for arch in (*bases, *Mutations(bases, seed=9).draw(1_000)):
        for family in FAMILIES:
            try:
                config = family.write(arch)
            except core.Unsupported:
                refused += 1
                continue
            given += 1
            assert config["model_type"] in BY_TYPE
    assert given > 10_000 and refused > 100_000


def test_what_a_family_reads_it_writes(bases):
    """What a writer says its layers are made of holds for whatever its reader gives; a wrapper's text is another family's, and Ling 2.5
    has the type of Ling 3."""
    others = {}
    for arch in bases:
        family, config = next(families_of(arch))
        assert from_hf(config).model_dump(exclude={*METADATA, "precision"}) == arch.model_dump(exclude={*METADATA, "precision"})
        if arch.model_type and family is not BY_TYPE[arch.model_type]:
            others[arch.model_type] = BY_TYPE[arch.model_type]
    assert set(others.values()) <= {multimodal, multimodal_own_code, bailing_hybrid}, others


def test_another_exception_than_a_refusal_is_not_swallowed(monkeypatch):
    arch = from_hf(LLAMA)
    monkeypatch.setattr(BY_TYPE["llama"], "write", lambda arch: {}["a fault"])
    with pytest.raises(KeyError, match="a fault"):
        to_hf(arch)


# ---- how soon ----


def seconds(arch: Architecture) -> float:
    """Processor time of one answer; the better of two, as the machine may be busy."""
    taken = []
    for _ in range(2):
        start = time.process_time()
        with suppress(core.Unsupported):
            to_hf(arch)
        taken.append(time.process_time() - start)
    return min(taken)


def test_the_answer_comes_within_milliseconds(bases):
    """Of all presets, of each type's defaults, and of edits of them that mostly no family holds."""
    drawn = [*Mutations(bases, seed=90).draw(400)]
    taken = {arch.name: seconds(arch) for arch in bases}
    times = [*taken.values(), *map(seconds, drawn)]
    assert max(times) < SLOWEST and statistics.median(times) < SLOWEST / 25, max(taken, key=taken.get)
    assert sum(next(families_of(arch), None) is None for arch in drawn) > 150


def test_formats_are_computed_only_where_the_structure_fits(monkeypatch):
    asked, written = [], quantised.written
    monkeypatch.setattr(quantised, "written", lambda arch, family: asked.append(family) or written(arch, family))
    arch = core.load("deepseek-v3")
    to_hf(arch)
    assert asked == [BY_TYPE["deepseek_v3"]]
    with pytest.raises(core.Unsupported, match=r"no known config\.json"):
        to_hf(edited(arch, "parts.attention.sight.window", 512))
    assert len(asked) == 1
    kept = edited(arch, "precision.dense", "int4")  # two narrow formats
    with pytest.raises(core.Unsupported, match=r"no known config\.json"):
        to_hf(kept)


@pytest.mark.parametrize("step", [{"scale": 0.5}, {"residual": {"norm": "post"}}])
@pytest.mark.parametrize("name", ["llama-2-7b", "qwen3-32b", "stablelm-2-12b"])
def test_a_step_that_no_family_has_is_seen_before_any_config_is_read_whole(monkeypatch, name, step):
    tree = core.load(name).model_dump(mode="json")
    block = tree["layers"][0]["blocks"][0]
    last = block[-1] if isinstance(block[-1], dict) else {"parts": block[-1] if isinstance(block[-1], list) else [block[-1]]}
    arch, read = parse(tree | {"layers": [{**tree["layers"][0], "blocks": [[*block[:-1], last | step]]}]}), []
    monkeypatch.setattr(core.hf, "from_hf", lambda config: read.append(config) or from_hf(config))
    with pytest.raises(core.Unsupported, match=r"no known config\.json"):
        to_hf(arch)
    assert not read and seconds(arch) < SLOWEST


@pytest.mark.parametrize("name", ["llama-3-8b", "deepseek-v3", "jamba-1.5-mini", "mimo-v2.5-pro"])
def test_a_thousand_layers_are_written_soon(name):
    tree = core.load(name).model_dump(mode="json")
    blocks, dice = [block for segment in tree["layers"] for block in segment["blocks"]], random.Random(0)
    tree["layers"] = [{"blocks": [dice.choice(blocks) for _ in range(128)]} for _ in range(8)]
    for changed in (tree, tree | {"layers": [{"repeat": 1_024, "blocks": blocks[:1]}], "mtp": None}):
        used = {name for block in (*blocks[:1], *(blocks if changed is tree else ())) for name in block}
        parts = {name: part for name, part in tree["parts"].items() if name in used}
        precision = {path: said for path, said in tree["precision"].items() if path.split(".")[0] in (*parts, "default")}
        arch = parse(changed | {"parts": parts, "precision": precision, "mtp": None})
        assert arch.depth == 1_024 and seconds(arch) < 3  # half a second where it was measured


def test_the_pattern_of_a_thousand_layers_is_found_soon():
    """The shortest that goes furthest, as the definition says; time grows with the layers alone."""
    dice = random.Random(1)
    for _ in range(300):
        few = [[dice.choice("ab"), "ff"] for _ in range(dice.randint(1, 12))]
        blocks = (few * 40)[: dice.randint(1, 60)] + few[: dice.randint(0, 3)]
        found = folded(blocks)
        assert [block for run in found for _ in range(run["repeat"]) for block in run["blocks"]] == blocks
        longest = max(
            (times * period, -period)
            for period in range(1, min(64, len(blocks)) + 1)
            if (times := next(n for n in range(1, 99) if blocks[n * period : (n + 1) * period] != blocks[:period])) > 1 or period == 1
        )  # fmt: skip
        assert (found[0]["repeat"] * len(found[0]["blocks"]), -len(found[0]["blocks"])) == longest
    start = time.process_time()
    folded([[dice.choice("ab"), "ff"] for _ in range(1_024)])
    assert time.process_time() - start < SLOWEST


# ---- layers that lack one of the usual kinds ----


def _configs(value: Any) -> Iterator[dict]:
    if isinstance(value, dict) and isinstance(value.get("model_type"), str):
        yield value
    elif isinstance(value, dict | list | tuple):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _configs(inner)


def _small() -> dict[str, dict]:
    """A small config.json of each type that the other tests have one of, as `to_hf` writes it."""
    found: dict[str, dict] = {}
    for path in sorted(Path(__file__).parent.glob("test_hf_*.py")):
        for name, value in vars(importlib.import_module(path.stem)).items():
            for config in _configs(value) if re.fullmatch("[A-Z][A-Z_0-9]+", name) and name != "REFUSED" else ():
                if config["model_type"] not in found and (arch := read(config)) and arch.d_model <= 128:
                    found[config["model_type"]] = to_hf(arch)
    return {kind: config for kind, config in found.items() if config["model_type"] == kind}


SMALL = _small()
LISTS = ("attn_layer_indices", "mlp_only_layers", "moe_layers")  # of layer numbers
FIRST = ("first_k_dense_replace", "num_dense_layers", "moe_layer_start_index")
OFFSETS = ("attn_layer_offset", "expert_layer_offset")


def alike(config: dict) -> Iterator[dict]:
    """The same with all layers of one kind, whatever says which kind a layer is."""
    depth = from_hf(config).depth
    for key, value in config.items():
        if isinstance(value, list) and len(value) == depth and all(isinstance(word, str) for word in value):
            rest = {key: value for key, value in config.items() if key not in FIRST}  # which say it too
            yield from (rest | {key: [word] * depth} for word in dict.fromkeys(value))
        elif key in LISTS:
            yield from (config | {key: numbers} for numbers in ([], [*range(depth)]))
        elif key in FIRST:
            yield from (config | {key: first} for first in (0, depth))
        elif key in OFFSETS:  # a layer that there is not
            yield config | {key: depth, key.replace("offset", "period"): depth + 1}
        elif key == "hybrid_override_pattern":
            yield from (config | {key: letter * depth} for letter in "M*-E")


@pytest.mark.parametrize("kind", [kind for kind in SMALL if next(alike(SMALL[kind]), None)])
def test_layers_of_one_kind_are_written_and_filled(kind):
    """As transformers has them: as many parameters, and a state dict that fills them."""
    tried = 0
    for config in alike({key: value for key, value in SMALL[kind].items() if key not in ("strata", "architectures")}):
        arch = read(config)
        if arch is None:  # not every family can be without every kind
            continue
        tried += 1
        again = to_hf(arch)
        assert from_hf(again) == arch and BY_TYPE[again["model_type"]].TYPES[0][:3] == BY_TYPE[kind].TYPES[0][:3]
        if kind in {*transformers.CONFIG_MAPPING} - {"git"}:
            theirs, ours = reference({"pad_token_id": 0} | config), core.build(arch, device="cpu")
            assert parameters(theirs) == parameters(ours)
            load_weights(ours, theirs.state_dict())
    assert tried or kind == "olmo_hybrid"  # whose class asks for both


@pytest.mark.parametrize("width", [6, 16, 20])
def test_a_small_jamba_of_state_spaces_alone_loads_its_weights(width):
    config = dict(
        model_type="jamba", vocab_size=64, hidden_size=width, intermediate_size=24, num_hidden_layers=4, num_attention_heads=2,
        num_key_value_heads=1, max_position_embeddings=64, mamba_d_state=4, mamba_dt_rank=3, num_experts=4, pad_token_id=0,
        attn_layer_offset=4, attn_layer_period=5, expert_layer_offset=1, expert_layer_period=2,
    )  # fmt: skip
    arch = from_hf(config)
    assert set(arch.parts) == {"mamba", "dense", "moe"}
    again = to_hf(arch)
    assert again["model_type"] == "jamba" and from_hf(again) == arch
    theirs, ours = reference(again | {"pad_token_id": 0}), core.build(arch, device="cpu")
    load_weights(ours, theirs.state_dict())
    assert parameters(theirs) == parameters(ours)
