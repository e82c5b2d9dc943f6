"""`make fuzz`: what careless or hostile hands might send, through every stage. Each stage gives an answer or a refusal in a
sentence, within a second of processor time and 200 MB; anything else is a fault, and the run ends with exit code 1.

    python tests/fuzz.py --seconds 60 --seed 0 --kinds links,extremes --keep DIR

`--slack 3` gives a stage three seconds: a busy machine takes longer for the same work.

Inputs are drawn by seeded dice, so that the same seed and number give the same input. A worker process takes them one after
the other; one that dies, hangs or takes too much memory is a fault of the input that it had.
"""

import argparse
import copy
import gc
import json
import math
import multiprocessing
import os
import random
import re
import resource
import struct
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType

import core
from app import state as address
from app.facts import alongside_of, picture_file, picture_of, zoom_of
from app.kit.charts import cache_curve, memory
from app.kit.strip import _html as strip
from core.about import about
from core.budget import scaled, with_active, with_cache
from core.graph import to_dot, to_graphml, to_json, to_mermaid
from core.hf.gguf import from_gguf, of_bytes
from core.hf.gguf.kinds import KINDS as GGUF_KINDS
from core.kinds import carried, first_value, schema
from core.library import parse_text, preset, to_yaml
from core.model import build, shrink
from core.offers import offers
from core.parts import PARTS
from core.parts.base import Spec
from core.precision import FORMATS
from core.spec import FRAME, Architecture, Workload, parse
from core.split import split, without

MEGABYTES = 200
HANG = 30  # processor seconds that an input may take altogether
STUCK = 300  # seconds of the clock: other processes may keep a busy machine's cores
ADDRESS_SPACE = 12 << 30  # bytes; a stage that wants more gets a MemoryError, and the machine lives

GGUF_TYPES = {kind.name: kind for kind in GGMLQuantizationType}

EXTREMES = [0, 1, -1, 2, 3, 7, 64, 1_000, 1_023, 4_097, 65_536, 2**20, 2**31, 2**53, 2**63, 2**64, 10**30, 0.0, 0.5, 1e-300, 1e300]
ODD = [*EXTREMES, None, True, False, "", "x", "none", "\ud800", "\x00", "\u0085", "<script>", "a" * 2_000, [], {}, [[]], {"": 0}, 10**400]


# ---- inputs ----


def links(dice: random.Random) -> Any:
    """A preset's link rewritten from inside: values at a bound, parts of other kinds, blocks multiplied and reordered."""
    value = preset(dice.choice(core.presets())).model_dump(mode="json", exclude_defaults=dice.random() < 0.5)
    for _ in range(dice.randint(1, 6)):
        with suppress(LookupError, TypeError, AttributeError, ValueError):  # an earlier change left nothing to change
            dice.choice([_bound, _bound, _leaf, _kind, _blocks, _steps, _new_part, _extra])(dice, value)
    return value


def extremes(dice: random.Random) -> Any:
    """A small model around one part, some of whose fields stand at their bounds."""
    kind = dice.choice(sorted(PARTS))
    like = PARTS["attention"](heads=4, kv_heads=2, head_dim=16)
    part = first_value(kind, carried(like, kind))
    around = dice.choice([{"kind": "feed_forward", "d_ff": 64}, {"kind": "attention", "heads": 4, "kv_heads": 2, "head_dim": 16}])
    value = {
        "name": "extreme", "title": "Extreme", "vocab_size": 512, "d_model": dice.choice([1, 8, 64, 64, 64, 4_096, 262_144]),
        "context": 512, "position": {"kind": "rope"}, "parts": {"part": part, "around": around},
        "layers": [{"repeat": dice.choice([1, 2, 1_024]), "blocks": [["part", "around"]]}],
    }  # fmt: skip
    for _ in range(dice.randint(1, 4)):
        _fields(dice, PARTS[kind], part, most=0.7)
    if dice.random() < 0.3:
        _bound(dice, value)
    return value


def configs(dice: random.Random) -> Any:
    """A preset's config.json with keys changed, dropped, added, nested."""
    config = copy.deepcopy(_config(dice.choice(core.presets())))
    for _ in range(dice.randint(1, 5)):
        node = config
        while True:
            inner = [v for v in node.values() if isinstance(v, dict) and v]
            if not inner or dice.random() < 0.7:
                break
            node = dice.choice(inner)
        key = dice.choice(sorted(node) or ["x"])
        match dice.randrange(5):
            case 0:
                node.pop(key, None)
            case 1:
                node[key] = dice.choice(ODD)
            case 2:
                node[dice.choice(["text_config", "quantization_config", "rope_scaling", "architectures", "new_key", "model_type"])] = (
                    dice.choice([*ODD, dict(config), ["LlamaModel"], "llama", {"quant_method": "gptq", "bits": 3}])
                )
            case 3 if isinstance(node.get(key), int | float) and not isinstance(node.get(key), bool):
                node[key] = dice.choice([node[key] * 2, node[key] // 2, node[key] + 1, -node[key], *EXTREMES])
            case _:
                if isinstance(node.get(key), list) and node[key]:
                    node[key] = dice.choice([node[key] * 2, node[key][:-1], node[key] + [dice.choice(ODD)]])
    return config


OPENINGS = ["- ", "[", "{", "? ", "a: ", "(", "!t ", "&a ", "*a ", "\n", " ", '"', "'", "|", ">", "1:", ",", "<<: "]
SCRAPS = [
    "", "\n", " ", "\t", ":", "- ", "[", "]", "{", "}", '"', "'", "\\", "\x00", "\x85", "\ufeff", "\u2028", "\ud800", "&a ", "*a", "<<: ",
    "!!python/object:os.system ", "1e400", "0x" + "f" * 4_000, "9" * 5_000, ":59" * 300, ".nan", "~", "yes",
    "2020-99-99", "%TAG", "---", "...",
]  # fmt: skip


def pastes(dice: random.Random) -> Any:
    """A text that is nearly one: a preset's YAML or JSON with characters and lines moved, or nesting of some kind."""
    if dice.random() < 0.3:
        lead = "".join(dice.choice(OPENINGS) for _ in range(dice.randint(1, 4)))
        return (lead * dice.choice([3, 100, 5_000, 30_000]))[:200_100]
    arch = preset(dice.choice(core.presets()))
    text = to_yaml(arch) if dice.random() < 0.6 else json.dumps(_config(arch.name))
    for _ in range(dice.randint(1, 6)):
        at = dice.randrange(len(text) + 1)
        text = text[:at] + dice.choice(SCRAPS) + text[at + dice.choice([0, 1, 5, 40]) :]
        text = text[:200_100] or "x"
    return text


def headers(dice: random.Random) -> Any:
    """The bytes of a small checkpoint's file whose header lies."""
    if dice.random() < 0.5:
        tensors, at = {}, 0
        for name, shape in _tensors().items():
            size = 2
            for n in shape:
                size *= n
            tensors[name] = {"dtype": "BF16", "shape": list(shape), "data_offsets": [at, at + size]}
            at += size
        for _ in range(dice.randint(0, 4)):
            name = dice.choice(sorted(tensors))
            match dice.randrange(5):
                case 0:
                    tensors[name]["shape"] = dice.choice(
                        [[], [-1], [2**63], [2**64, 2], [1.5], ["x"], None, [0], [1] * 300, tensors[name]["shape"][::-1]]
                    )
                case 1:
                    tensors[name]["dtype"] = dice.choice(["F64", "F4", "I32", "U8", "Q4_K", "", None, 5])
                case 2:
                    tensors[name]["data_offsets"] = dice.choice([[0, 2**62], [5, 1], [-1, 4], [0], None, [0, at]])
                case 3:
                    suffix = dice.choice([".scales", "_scale", ".qzeros", ".weight_packed", ".g_idx", "\ud800", "\x00"])
                    tensors[name.removesuffix(".weight") + suffix] = tensors[name] | dice.choice([{}, {"shape": []}, {"shape": [1]}])
                case 4:
                    tensors.pop(name)
            tensors = tensors or {"x": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}
        text = json.dumps(tensors).encode()
        length = dice.choice([len(text)] * 6 + [0, 1, len(text) + 1, 2**40, 2**63])
        return ("safetensors", struct.pack("<Q", length) + text + bytes(at if dice.random() < 0.7 else dice.randint(0, at)))
    data = bytearray(_gguf())
    for _ in range(dice.randint(1, 4)):
        at = dice.randrange(len(data) - 8)
        match dice.randrange(3):
            case 0:
                data[at] = dice.randrange(256)
            case 1:
                data[at : at + 8] = struct.pack("<Q", dice.choice([0, 1, 255, 2**20, 2**32, 2**40, 2**62, 2**64 - 1]))
            case 2:
                del data[at + 8 :]
        if len(data) < 16:
            break
    return ("gguf", bytes(data))


def mixes(dice: random.Random) -> Any:
    """Parts of several presets in one model, side by side and one after the other, on any residual stream, in any stored formats."""
    givers = [preset(dice.choice(core.presets())) for _ in range(dice.randint(1, 3))]
    first = givers[0].model_dump(mode="json", exclude_defaults=True)
    pool = [(arch, name) for arch in givers for name in arch.parts]
    parts: dict[str, dict] = {}
    for arch, name in dice.sample(pool, dice.randint(1, min(6, len(pool)))):
        part = arch.parts[name].model_dump(mode="json", exclude_defaults=True)
        if dice.random() < 0.3:
            _fields(dice, PARTS[part["kind"]], part)
        if dice.random() < 0.1:
            part |= dice.choice([{"tied": True}, {"tied": True, "sets": dice.choice([2, 1_024])}, {"norm": {"kind": "layer"}}])
        parts[name if name not in parts else f"{name[:28]}_b"] = part
    names = [*parts]
    order = [*names, *dice.choices(names, k=dice.randint(0, 4))]
    steps: list[Any] = []
    while order:
        step, order = order[: (take := dice.choice([1, 1, 1, 2, 4]))], order[take:]
        steps.append(step[0] if len(step) == 1 else {"parts": step} | dice.choice([{}, {"own_norms": True}]))
        if dice.random() < 0.1:
            steps[-1] = {"parts": step, "residual": dice.choice(_residuals())}
    cuts = sorted(dice.sample(range(1, len(steps)), min(len(steps) - 1, dice.randint(0, 2)))) if len(steps) > 1 else []
    blocks = [steps[a:b] for a, b in zip([0, *cuts], [*cuts, len(steps)], strict=True)]
    value = {name: first[name] for name in ("name", "title", "vocab_size", "d_model", "context", "position", "norm") if name in first}
    value |= {"parts": parts, "layers": [{"repeat": dice.choice([1, 2, 61, 256]), "blocks": blocks}]}
    if dice.random() < 0.5:
        value["residual"] = first.get("residual", {}) if dice.random() < 0.3 else dice.choice(_residuals())
    if dice.random() < 0.3:
        value["mtp"] = {"count": dice.choice([1, 3, 16]), "block": blocks[-1]}
    if dice.random() < 0.5:
        paths = [*names, *(f"{name}.{inner}" for name in names for inner in ("router", "down", "q", "nothing")), *FRAME]
        value["precision"] = {path: dice.choice(sorted(FORMATS)) for path in dice.sample(paths, dice.randint(1, min(6, len(paths))))}
    return value


def ggufs(dice: random.Random) -> Any:
    """The header of a GGUF file, as a browser sends it, of a preset's family; some of its keys and tensors say something else."""
    said, tensors = (dict(one) for one in _said(dice.choice(core.presets())))
    for _ in range(dice.randint(1, 5)):
        key, name = dice.choice(sorted(said) or ["x"]), dice.choice(sorted(tensors) or ["x"])
        value, (dtype, shape) = said.get(key), tensors.get(name, ("F32", (8, 8)))
        match dice.randrange(9):
            case 0:
                said.pop(key, None)
            case 1 if isinstance(value, int | float):
                said[key] = dice.choice([value * 2, value + 1, value // 2, -value, [value] * dice.choice([0, 1, 3, 1_024]), *EXTREMES])
            case 2:
                said["general.architecture"] = dice.choice([*GGUF_KINDS, "", "x" * 99_999, 5])
            case 3:
                said[key] = dice.choice([*ODD[:-4], [], [0] * 4_097, ["a"], [1e300], [True, False] * 16, math.nan, math.inf])
            case 4:
                tensors.pop(name, None)
            case 5:
                sizes = [n for n in shape if n > 0] or [1]
                tensors[name] = (
                    dtype,
                    dice.choice([shape[::-1], (1,), (*sizes, 2)[:4], (2**31,) * 2, (2**58,), tuple(2 * n for n in sizes)]),
                )
            case 6:
                tensors[name] = dice.choice([*GGUF_TYPES]), shape
            case 7:
                number = dice.choice([0, 1, 999, 1_023, 10**9])
                tensors[re.sub(r"blk\.\d+", f"blk.{number}", name) + dice.choice(["", ".x", "_exps"])] = dtype, shape
            case 8:
                arch = said.get("general.architecture")
                ends = ["block_count", "expert_count", "rope.scaling.type", "attention.sliding_window", "nextn_predict_layers", "zzz"]
                said[f"{arch}.{dice.choice(ends)}"[:99]] = dice.choice([0, 1, 3, 1_024, 2**31, "yarn", "longrope", [1, 2], 0.5])
    return _written(said, tensors)


NUMBERS = [
    "1",
    "0",
    "-1",
    "7",
    "1000000",
    "1000001",
    "1000000000",
    "1e9",
    "1e400",
    "nan",
    "9" * 5_000,
    "0x10",
    "٣",
    "²",
    "1,000",
    "\x00",
    "",
]


def urls(dice: random.Random) -> Any:
    """The parameters of a page's address: architectures, a start, snapshots, a workload, a selection."""

    def word() -> str:
        for _ in range(4):
            if dice.random() < 0.5:
                break
            with suppress(core.Unsupported):
                return core.encode(parse(dice.choice([links, mixes, extremes])(dice)))
        return (
            dice.choice(core.presets())
            if dice.random() < 0.95
            else dice.choice(["", "s1.", "s1." + "A" * 9_000, " gpt2 ", "\x00", "hf:a/b"])
        )

    given: dict[str, Any] = {"m": [word() for _ in range(dice.choice([1, 2, 4, 5]))]} if dice.random() < 0.3 else {}
    given |= {} if given else {dice.choice(["a", "preset"]): word()}
    for name in dice.sample(["batch", "context", "weights", "cache", "at", "part", "from", "keep"], dice.randint(0, 4)):
        match name:
            case "weights" | "cache":
                given[name] = dice.choice([*FORMATS, "", "<b>"])
            case "from":
                given[name] = word()
            case "keep":
                names = [dice.choice(["a", "a:b", "", "x" * 41, "\u202e", "<b>", "\n"]) for _ in range(dice.choice([1, 6, 7]))]
                given[name] = [f"{one}:{word()}" for one in names]
            case "part":
                given[name] = dice.choice(["model", "layers.0.attention", "layers..", "." * 9_000, "<script>", "\ud800"])
            case _:
                given[name] = dice.choice(NUMBERS)
    return given


KINDS: dict[str, Callable[[random.Random], Any]] = {
    "links": links, "extremes": extremes, "configs": configs, "pastes": pastes, "headers": headers, "mixes": mixes, "ggufs": ggufs,
    "urls": urls,
}  # fmt: skip


def _residuals() -> list[dict]:
    """The residual streams of all presets, and the plain ones."""
    if not _streams:
        found = [preset(name).residual.model_dump(mode="json", exclude_defaults=True) for name in core.presets()]
        _streams.extend(json.loads(text) for text in sorted({json.dumps(one) for one in found}))
    return _streams


_streams: list[dict] = []


def _walk(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every (container, key) of a tree."""
    for key in value if isinstance(value, dict) else range(len(value)):
        yield value, key
        if isinstance(value[key], dict | list):
            yield from _walk(value[key])


def _bound(dice: random.Random, value: dict) -> None:
    """A field of the model or of one part, at a bound of the schema."""
    if dice.random() < 0.3 or not value.get("parts"):
        _fields(dice, Architecture, value)
        return
    part = value["parts"][dice.choice(sorted(value["parts"]))]
    if isinstance(part, dict) and part.get("kind") in PARTS:
        _fields(dice, PARTS[part["kind"]], part)


def _fields(dice: random.Random, cls: type[Spec], value: dict, most: float = 0.5) -> None:
    """A field of `value`, or of what is nested in it, at a bound that the schema of `cls` gives."""
    tree = schema(cls)
    node, properties = value, tree["properties"]
    while True:
        name = dice.choice(sorted(properties))
        field = _resolved(properties[name], tree)
        options = [_resolved(o, tree) for o in field.get("anyOf", field.get("oneOf", [field]))]
        options = [o for inner in options for o in (_resolved(o, tree) for o in inner.get("oneOf", [inner]))]
        field = dice.choice(options)
        if "properties" in field and node.get(name) is not None and isinstance(node[name], dict):
            node, properties = node[name], field["properties"]
            continue
        break
    if field.get("type") in ("integer", "number"):
        least, top = (field.get("minimum", field.get("exclusiveMinimum", 0)), field.get("maximum", field.get("exclusiveMaximum", 1e9)))
        between = dice.choice([least, top, (least + top) / 2, 10 ** dice.uniform(0, 6), dice.choice(EXTREMES)])
        node[name] = top if dice.random() < most else between
        if field["type"] == "integer" and abs(node[name]) < 1e18:
            node[name] = int(node[name])
    elif field.get("type") == "boolean":
        node[name] = not node.get(name)
    elif "enum" in field:
        node[name] = dice.choice(field["enum"])
    elif field.get("type") == "null":
        node[name] = None
    elif "properties" in field:
        node[name] = {"kind": field["properties"]["kind"].get("const")} if "kind" in field["properties"] else {}


def _resolved(field: dict, tree: dict) -> dict:
    return tree["$defs"][field["$ref"].rsplit("/", 1)[1]] if "$ref" in field else field


def _leaf(dice: random.Random, value: dict) -> None:
    container, key = dice.choice(list(_walk(value)))
    container[key] = dice.choice(ODD)


def _kind(dice: random.Random, value: dict) -> None:
    """A part of another kind in a part's place."""
    name = dice.choice(sorted(value.get("parts") or ["x"]))
    like = PARTS[value["parts"][name]["kind"]].model_validate(value["parts"][name])
    kind = dice.choice(sorted(PARTS))
    value["parts"][name] = first_value(kind, carried(like, kind))


def _blocks(dice: random.Random, value: dict) -> None:
    """More blocks, of steps in other orders."""
    segment = dice.choice(value["layers"])
    steps = [step for block in segment["blocks"] for step in block]
    for _ in range(dice.choice([1, 4, 40, 127])):
        segment["blocks"] = [*segment["blocks"], [copy.deepcopy(dice.choice(steps)) for _ in range(dice.choice([1, 2, 4, 16]))]][:128]
    segment["repeat"] = dice.choice([1, 8, 1_024 // len(segment["blocks"])])


def _steps(dice: random.Random, value: dict) -> None:
    """A step that says something of its own."""
    block = dice.choice(dice.choice(value["layers"])["blocks"])
    at = dice.randrange(len(block))
    names = sorted(value["parts"])
    block[at] = {"parts": dice.sample(names, dice.randint(1, min(3, len(names))))} | dice.choice(
        [{}, {"scale": 0.5}, {"aside": True}, {"own_norms": True}, {"shortcut": {names[0]: 1}}, {"residual": {"norm": "sandwich"}}]
    )


def _new_part(dice: random.Random, value: dict) -> None:
    """A variant of a part, in some of the blocks."""
    name = dice.choice(sorted(value["parts"]))
    value["parts"][f"{name}x"[:30]] = copy.deepcopy(value["parts"][name])
    block = dice.choice(dice.choice(value["layers"])["blocks"])
    block[dice.randrange(len(block))] = f"{name}x"[:30]


FIELDS = ["title", "note", "name", "precision", "mtp", "embedding", "head", "residual", "position", "norm", "sources", "zzz"]


def _extra(dice: random.Random, value: dict) -> None:
    """A field of the model that says something else."""
    value[dice.choice(FIELDS)] = dice.choice(
        [
            *ODD, {"default": "fp8"}, {"kind": "rope", "base": 1e300}, {"count": 16, "block": value.get("layers")}, {"kind": "alibi"},
            {"kind": "hyper", "streams": 16}, {"norm": "post"}, {"width": 1}, ["<b>"] * 32, "![x](http://127.0.0.1/)",
        ]
    )  # fmt: skip


def _config(name: str) -> dict:
    if name not in _configs:
        try:
            _configs[name] = core.to_hf(preset(name))
        except core.Unsupported:
            _configs[name] = {"model_type": "llama", "hidden_size": 4_096}
    return _configs[name]


_configs: dict[str, dict] = {}


def _small() -> core.Architecture:
    return shrink(preset("llama-3-8b"))


def _tensors() -> dict[str, tuple[int, ...]]:
    """The tensors of a small llama, as its checkpoint names them."""
    from core.hf.families import llama

    arch = _small()
    shapes = {path: tuple(p.shape) for path, p in build(arch).named_parameters(remove_duplicate=False)}
    return {ways[0].names[0]: shapes[path] for path, ways in llama.sources(arch)}


def _gguf() -> bytes:
    if not _gguf_bytes:
        import gguf
        import numpy as np

        with tempfile.TemporaryDirectory() as folder:
            writer = gguf.GGUFWriter(path := f"{folder}/x.gguf", "llama")
            writer.add_context_length(512)
            writer.add_array("tokenizer.ggml.tokens", ["a", "b", "c"])
            for name in ("token_embd.weight", "output_norm.weight", "blk.0.attn_q.weight"):
                writer.add_tensor(name, np.zeros((8, 8), dtype=np.float32))
            writer.write_header_to_file()
            writer.write_kv_data_to_file()
            writer.write_tensors_to_file()
            writer.close()
            _gguf_bytes.append(Path(path).read_bytes())
    return _gguf_bytes[0]


_gguf_bytes: list[bytes] = []


def _said(name: str) -> tuple[dict[str, Any], dict[str, tuple[str, tuple[int, ...]]]]:
    """The keys and tensors of the header that a preset's family would have."""
    if name not in _headers:
        import headers as writing

        config = {key: value for key, value in _config(name).items() if key not in ("strata", "quantization_config")}
        try:
            with tempfile.TemporaryDirectory() as folder:
                found = of_bytes(writing.written(Path(folder) / "x.gguf", config, core.from_hf(config)))
            _headers[name] = dict(found.said), {tensor: (one.dtype, one.shape) for tensor, one in found.tensors.items()}
        except (
            core.Unsupported,
            ArithmeticError,
            AssertionError,
            LookupError,
            StopIteration,
            TypeError,
            ValueError,
        ):  # llama.cpp does not have it
            _headers[name] = _said("llama-3-8b")
    return _headers[name]


_headers: dict[str, tuple[dict, dict]] = {}


def _written(said: dict[str, Any], tensors: dict[str, tuple[str, tuple[int, ...]]]) -> bytes:
    """A GGUF header without any tensor's values."""

    def text(words: str) -> bytes:
        data = words.encode("utf-8", "surrogatepass")
        return struct.pack("<Q", len(data)) + data

    def typed(value: Any) -> tuple[int, bytes]:
        match value:
            case bool():
                return 7, struct.pack("<?", value)
            case int():
                code, form, least, most = (10, "Q", 0, 2**64 - 1) if value >= 0 else (11, "q", -(2**63), 0)
                return code, struct.pack(f"<{form}", min(max(value, least), most))
            case float():
                return 12, struct.pack("<d", value)
            case str():
                return 8, text(value)
            case list():
                found = [typed(one) for one in value]
                code = found[0][0] if found else 4
                alike = [data for kind, data in found if kind == code]
                return 9, struct.pack("<IQ", code, len(alike)) + b"".join(alike)
        return 9, struct.pack("<IQ", 8, 5_000) + 5_000 * text("a")  # a tokenizer's list, and what has no type in GGUF

    body = b"".join(text(key) + struct.pack("<I", kind) + data for key, (kind, data) in ((k, typed(v)) for k, v in said.items()))
    at = 0
    for name, (dtype, shape) in tensors.items():
        kind = GGUF_TYPES[dtype]
        block, width = GGML_QUANT_SIZES[kind]
        body += text(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape[::-1], kind, at % 2**64)
        at += -(-math.prod(shape) // block * width // 32) * 32
    return b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(said)) + body


# ---- stages ----


def read(kind: str, given: Any) -> core.Architecture | None:
    """What an input describes."""
    match kind:
        case "links" | "extremes" | "mixes":
            return parse(given)
        case "urls":
            state = address.read(given)
            _same(state.arch, address.read(address.write(state)).arch)
            return state.arch
        case "ggufs":
            return from_gguf(of_bytes(given))
        case "configs":
            return core.from_hf(given)
        case "pastes":
            return parse_text(given)
        case "headers":
            ending, data = given
            with tempfile.TemporaryDirectory() as folder:
                (path := Path(folder) / f"model.{ending}").write_bytes(data)
                core.verify(str(path), _small())
    return None


def _same(arch: core.Architecture, other: core.Architecture) -> None:
    if arch != other:
        raise AssertionError("what is read back is another architecture")


STAGES: dict[str, Callable[[core.Architecture], object]] = {
    "link": lambda arch: _same(arch, core.decode(core.encode(arch))),
    "yaml": lambda arch: _same(arch, parse_text(to_yaml(arch))),
    "cost": lambda arch: json.dumps(core.cost(arch).to_dict()),
    "graph": lambda arch: json.dumps(to_json(core.graph(arch))),
    "texts": lambda arch: [write(g) for g in (core.graph(arch),) for write in (to_dot, to_mermaid, to_graphml)],
    "picture": lambda arch: [picture_of(arch, wide=wide) for wide in (True, False)],
    "picture file": picture_file,
    "by cost": lambda arch: [picture_of(arch, "", wide, by, MOST) for wide in (True, False) for by in ("parameters", "cache", "read")],
    "zoom": lambda arch: [zoom_of(arch, node) for node, data in core.graph(arch).nodes(data=True) if "role" in data],
    "checklist": core.checklist,
    "code": core.code,
    "much": lambda arch: [
        f"{core.cost(arch, MOST)}",
        about(arch),
        memory(arch, MOST, False).to_json(),
        cache_curve(arch, MOST, True).to_json(),
    ],
    "strip": lambda arch: strip(arch, None, "", "", ()),
    "edits": lambda arch: [len(split(before, arch)) and without(before, arch, 0) for before in map(preset, ("gpt2", "deepseek-v3"))],
    "offers": lambda arch: [offers(arch, f"parts.{name}.{field}", 7) for name in [*arch.parts][:2] for field in ("heads", "d_ff")],
    "fit": lambda arch: scaled(arch, parameters=8e9),
    "fit active": lambda arch: with_active(arch, 1e9),
    "fit cache": lambda arch: with_cache(arch, 1e9),
    "diff": lambda arch: [str(change) for change in core.diff(preset("llama-3-8b"), arch).changes],
    "compare": lambda arch: core.compare([preset("llama-3-8b"), arch], MOST).csv(),
    "beside": lambda arch: [alongside_of((arch, preset("gemma-3n-e2b")), wide) for wide in (True, False)],
    "export": core.to_hf,
    "live": lambda arch: core.route(arch) if "experts" in {p.kind for p in arch.parts.values()} else build(shrink(arch), "cpu"),
}


MOST = Workload(batch=1_000_000, context=1_000_000_000, cache="fp32")


def warm() -> None:
    """Pay for what is slow the first time."""
    torch.set_num_threads(1)
    for stage in STAGES.values():
        with suppress(core.Unsupported):
            stage(preset("deepseek-v3"))
    gc.freeze()  # as the server does


def outcome(call: Callable[[], object]) -> tuple[str, object]:
    try:
        return "answered", call()
    except core.Unsupported as error:
        words = str(error)
        plain = words.isprintable() and 0 < len(words) <= 1_500
        return ("refused" if plain else f"fault: a refusal that cannot be shown: {words[:80]!r}"), None
    except Exception as error:
        return f"fault: {type(error).__name__}: {str(error)[:160]}", None


def measured(call: Callable[[], object], most: float) -> tuple[str, object, float, float]:
    """What became of a call, its result, processor seconds and megabytes at its peak."""
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before, began = _memory("VmRSS"), time.process_time()
    said, result = outcome(call)
    seconds, megabytes = time.process_time() - began, _memory("VmHWM") - before
    if not said.startswith("fault") and (seconds > most or megabytes > MEGABYTES):
        said = f"fault: {said}, but only after {seconds:.2f} s and {megabytes:.0f} MB"
    return said, result, seconds, megabytes


def _memory(field: str) -> float:
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(field))
    return int(line.split()[1]) / 1_024


def work(pipe, most: float) -> None:
    """Take inputs from the pipe, run all stages, say what became of each."""
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
    warm()
    pipe.send(("ready", "", 0.0, 0.0))
    while True:
        kind, given = pipe.recv()
        said, arch, seconds, megabytes = measured(lambda kind=kind, given=given: read(kind, given), most)
        pipe.send(("read", said, seconds, megabytes))
        for name, stage in STAGES.items() if arch is not None else ():
            said, _, seconds, megabytes = measured(lambda stage=stage, arch=arch: stage(arch), most)
            pipe.send((name, said, seconds, megabytes))
        pipe.send(("done", "", 0.0, 0.0))


class Worker:
    """A process that runs the stages, another one after it died."""

    def __init__(self, most: float):
        self.most = most  # seconds of a stage
        self.start()

    def start(self) -> None:
        self.pipe, theirs = multiprocessing.Pipe()
        self.process = multiprocessing.Process(target=work, args=(theirs, self.most), daemon=True)
        self.process.start()
        theirs.close()
        self.pipe.recv()

    def used(self) -> float:
        """Processor seconds of the process so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def run(self, kind: str, given: Any) -> Iterator[tuple[str, str, float, float]]:
        self.pipe.send((kind, given))
        began, until, last = self.used(), time.monotonic() + STUCK, "read"
        while True:
            try:
                while not self.pipe.poll(1):
                    if self.used() - began > HANG or time.monotonic() > until:
                        raise TimeoutError
                stage, *rest = self.pipe.recv()
            except (EOFError, OSError, TimeoutError) as error:
                spent = self.used() - began
                self.process.kill()
                self.process.join()
                hangs = isinstance(error, TimeoutError)
                end = f"no end after {spent:.0f} s of processor time" if hangs else f"the process died ({self.process.exitcode})"
                yield last, f"fault: after this stage, {end}", 0.0, 0.0
                self.start()
                return
            if stage == "done":
                return
            last = stage
            yield stage, *rest


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    options.add_argument("--seconds", type=float, default=60)
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--kinds", default=",".join(KINDS))
    options.add_argument("--slack", type=float, default=1, help="seconds of processor time that a stage may take")
    options.add_argument("--keep", type=Path, help="a folder for the inputs that were faults")
    given = options.parse_args()
    kinds = given.kinds.split(",")
    worker, until, number = Worker(given.slack), time.monotonic() + given.seconds, 0
    counts: dict[str, Counter] = defaultdict(Counter)
    worst: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
    faults: dict[str, tuple[int, str]] = {}
    while time.monotonic() < until:
        kind = kinds[number % len(kinds)]
        case = KINDS[kind](random.Random(f"{given.seed} {kind} {number}"))
        for stage, said, seconds, megabytes in worker.run(kind, case):
            counts[kind if stage == "read" else stage][said.partition(":")[0]] += 1
            worst[stage] = [max(worst[stage][0], seconds), max(worst[stage][1], megabytes)]
            if said.startswith("fault"):
                if f"{kind} {stage} {said[:60]}" not in faults:
                    print(f"{kind} {number}, {stage}: {said}", flush=True)
                faults.setdefault(f"{kind} {stage} {said[:60]}", (number, said))
                if given.keep:
                    given.keep.mkdir(parents=True, exist_ok=True)
                    (given.keep / f"{kind}-{given.seed}-{number}.txt").write_text(repr(case), encoding="utf-8", errors="backslashreplace")
        number += 1
    for name, said in counts.items():
        print(f"{name:14}" + ", ".join(f"{n:,} {words}" for words, n in sorted(said.items())))
    print("most of a stage: " + ", ".join(f"{name} {s:.2f} s {m:.0f} MB" for name, (s, m) in worst.items()))
    print(f"{number:,} inputs, {len(faults)} kinds of fault")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
