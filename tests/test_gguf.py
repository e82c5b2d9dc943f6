"""A GGUF header says what a config.json does: for every architecture of llama.cpp that is read, a header that is written by the
converters' rules from a preset's config.json gives the same architecture."""

import math
import random
import re
import struct
from dataclasses import replace
from functools import cache
from typing import Any

import gguf
import pytest
import torch
import yaml
from clock import within
from headers import arch_of, metadata, shapes, written
from parity import perturb, reference

import core
from core.__main__ import main
from core.hf import _STRUCTURE, BY_TYPE, from_hf
from core.hf.gguf import from_gguf, of_bytes, opened, read
from core.hf.gguf.header import Header, Long
from core.hf.gguf.kinds import KINDS
from core.hf.gguf.tokenizer import WHOLE, tokenizer

# What the converters leave out, because llama.cpp does not compute it, or write otherwise because the weights hold it.
LOST: dict[str, dict[str, Any]] = {
    "llama": {"sliding_window": None}, "starcoder2": {"sliding_window": None, "layer_types": None},
    "qwen": {"use_dynamic_ntk": False, "use_logn_attn": False}, "internlm2": {"rope_scaling": None},
    "gptneox": {"hidden_act": "gelu"}, "gemma": {"hidden_act": "gelu_pytorch_tanh"},
    "falcon-h1": {f"{name}_multiplier": 1.0 for name in "embedding lm_head attention_in attention_out ssm_in ssm_out key".split()}
    | {"ssm_multipliers": [1.0] * 5, "mlp_multipliers": [1.0] * 2},
}  # fmt: skip
SIZES = {"hidden_size": 64, "num_attention_heads": 4, "num_hidden_layers": 4, "intermediate_size": 256, "vocab_size": 512}
SMALL = {  # of families without a preset
    "olmo": SIZES | {"clip_qkv": 8.0},
    "granitemoe": SIZES | {"num_local_experts": 4, "num_experts_per_tok": 2, "attention_multiplier": 0.25},
    "glm4": SIZES | {"head_dim": 16, "num_key_value_heads": 2}, "nemotron": SIZES, "orion": SIZES | {"num_key_value_heads": 4},
    "xverse": SIZES, "jais2": SIZES,
    "minicpm3": SIZES | {"num_key_value_heads": 4, "q_lora_rank": 24, "kv_lora_rank": 16, "qk_nope_head_dim": 16,
    "qk_rope_head_dim": 8, "v_head_dim": 16},
    "exaone": {key: value for key, value in SIZES.items() if key != "num_hidden_layers"} | {"num_layers": 4},
    "hunyuan_v1_dense": SIZES | {"head_dim": 16}, "ernie4_5": SIZES | {"head_dim": 16, "num_key_value_heads": 2},
    "bailing_moe": SIZES | {"moe_intermediate_size": 32, "num_experts": 4, "num_shared_experts": 1,
    "use_bias": False, "norm_topk_prob": True, "head_dim": 16},
    "PanguEmbedded": SIZES | {"num_key_value_heads": 2, "bias": True},
    "nemotron-nas": SIZES | {"intermediate_size": None, "hidden_size": 256, "num_key_value_heads": None, "block_configs": [
        {"attention": {"n_heads_in_group": 2}, "ffn": {"ffn_mult": 1.5}}, {"attention": {"no_op": True}, "ffn": {"ffn_mult": 3.0}},
        {"attention": {"n_heads_in_group": 4}, "ffn": {"no_op": True}}, {"attention": {"n_heads_in_group": 2}, "ffn": {"ffn_mult": 1.5}}]},
    "deci": SIZES | {"num_key_value_heads_per_layer": [4, 2, 1, 2]},
    "baichuan": SIZES | {"max_position_embeddings": 512, "rms_norm_eps": 1e-6},
    "gpt_bigcode": {"n_embd": 64, "n_head": 4, "n_layer": 2, "n_inner": 256, "n_positions": 128, "vocab_size": 512, "multi_query": True},
}  # fmt: skip


@cache
def cases() -> dict[str, dict[str, Any]]:
    """A config.json for every kind: of the preset with the fewest layers."""
    found: dict[str, dict[str, Any]] = {}
    for arch in sorted(map(core.load, core.presets()), key=lambda arch: arch.depth):
        if arch.model_type in (None, "cohere_compass_text", "gptj", "grok-1"):
            continue
        try:
            config = core.to_hf(arch)
        except core.Unsupported:
            continue
        name = f"{arch_of(config)}, {config['model_type']}"
        if arch_of(config) in KINDS and name not in found:
            found[name] = {key: value for key, value in config.items() if key not in ("strata", "quantization_config", "torch_dtype")}
    for kind, config in SMALL.items():
        whole = BY_TYPE[kind].write(from_hf({"model_type": kind} | config))  # with what the class would have in its place
        found[f"{arch_of({'model_type': kind})}, {kind}"] = {key: value for key, value in whole.items() if key != "torch_dtype"}
    return found


def alike(a: Any, b: Any) -> bool:
    """Equal, but for what 32 bits keep of a number."""
    if isinstance(a, float) and isinstance(b, float | int):
        return math.isclose(a, b, rel_tol=1e-6)
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(alike(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple) and isinstance(b, list | tuple):
        return len(a) == len(b) and all(map(alike, a, b))
    return a == b


def stripped(arch: core.Architecture) -> dict[str, Any]:
    """What is built: converters invent a context for some, and leave out what predicts ahead."""
    return {name: value for name, value in arch.model_dump(mode="json", include=set(_STRUCTURE)).items() if name not in ("context", "mtp")}


def test_every_architecture_has_a_header_in_the_tests():
    assert {name.split(", ")[0] for name in cases()} >= set(KINDS) - {"plamo", "jais", "qwen2vl", "qwen3vl", "qwen3vlmoe", "phimoe"}


@pytest.mark.parametrize("name", sorted(cases()))
def test_a_header_says_what_the_config_says(tmp_path, name):
    config = cases()[name] | LOST.get(arch_of(cases()[name]), {})
    if config["model_type"] == "arcee":  # which means nothing without mscale_all_dim
        config["rope_scaling"] = {key: value for key, value in config["rope_scaling"].items() if key != "mscale"}
    wanted = from_hf({key: value for key, value in config.items() if value is not None or key not in ("layer_types", "rope_scaling")})
    found = from_gguf(of_bytes(written(tmp_path / "x.gguf", config, wanted)))
    ours, theirs = stripped(found), stripped(wanted)
    assert alike(ours, theirs), [(field, ours[field], theirs[field]) for field in ours if not alike(ours[field], theirs[field])]
    a, b = core.cost(found, core.Workload(context=128)), core.cost(wanted, core.Workload(context=128))
    assert (a.parameters, a.active_parameters, a.kv_bytes, a.state_bytes) == (b.parameters, b.active_parameters, b.kv_bytes, b.state_bytes)
    boxes, theirs = ({node for node in core.graph(arch).nodes if not node.startswith("mtp")} for arch in (found, wanted))
    assert boxes == theirs
    assert found.unsized or set(found.precision.values()) == {"fp32"}


def test_layers_without_any_part_are_left_out(tmp_path):
    """Nemotron Ultra's GGUF file counts them and has no tensors of them."""
    config = BY_TYPE["nemotron-nas"].write(arch := from_hf({"model_type": "nemotron-nas"} | SMALL["nemotron-nas"]))
    header = of_bytes(written(tmp_path / "x.gguf", config, arch))
    holed = {key: [*value[:2], 0, *value[2:]] if isinstance(value, list) else value for key, value in header.said.items()}
    later = {f"blk.{layer}.": f"blk.{layer + 1}." for layer in (2, 3)}
    tensors = {
        next((new + name[6:] for old, new in later.items() if name.startswith(old)), name): one for name, one in header.tensors.items()
    }
    found = from_gguf(Header(holed | {"deci.block_count": 5}, tensors))
    assert found == from_gguf(header) and found.pattern == arch.pattern
    linear = {**holed, "deci.attention.head_count": [4] * 5, "deci.block_count": 5}
    with pytest.raises(core.Unsupported, match="layers whose attention became one matrix"):
        from_gguf(Header(linear, tensors))


def test_what_predicts_ahead_is_counted_if_the_file_has_it(tmp_path):
    config = cases()["glm4moe, glm4_moe"]
    header = of_bytes(written(tmp_path / "x.gguf", config, arch := from_hf(config), Q8))
    assert from_gguf(header).mtp is None  # the header counts a layer that the file does not have
    last, width = arch.depth, arch.d_model
    one = {
        name.replace(f"blk.{last - 1}.", f"blk.{last}."): one for name, one in header.tensors.items() if name.startswith(f"blk.{last - 1}.")
    }
    tables = {"eh_proj": (width, 2 * width), "embed_tokens": (arch.vocab_size, width), "shared_head_head": (arch.vocab_size, width)}
    for name, shape in (tables | dict.fromkeys(("enorm", "hnorm", "shared_head_norm"), (width,))).items():
        size = math.prod(shape) // 32 * 34 if len(shape) > 1 else 4 * width
        one[f"blk.{last}.nextn.{name}.weight"] = replace(
            next(iter(one.values())), shape=shape, bytes=size, dtype="Q8_0" if len(shape) > 1 else "F32"
        )
    whole = {**header.tensors, **one}
    found = from_gguf(replace(header, tensors=whole))
    assert found.mtp and core.cost(found).weight_bytes == sum(one.bytes for one in whole.values()), found.unsized
    other = f"blk.{last}.ffn_down_exps.weight"
    assert "predict ahead" in from_gguf(replace(header, tensors=whole | {other: replace(whole[other], bytes=1)})).unsized


def llama(**more: Any) -> dict[str, Any]:
    return (
        {"model_type": "llama", "num_key_value_heads": 2, "max_position_embeddings": 128, "rms_norm_eps": 1e-5}
        | SIZES
        | {"hidden_size": 256}
        | more
    )


def test_stored_types_are_said_by_path_and_their_bytes_are_the_files(tmp_path):
    wanted = from_hf(llama(tie_word_embeddings=True))
    Q = gguf.GGMLQuantizationType
    data = written(tmp_path / "x.gguf", llama(tie_word_embeddings=True), wanted, Q.Q4_K, {"token_embd.weight": Q.Q6_K})
    found = from_gguf(of_bytes(data))
    assert found.precision == {"default": "fp32", "embedding": "q6_K", "attention": "q4_K", "dense": "q4_K"}
    assert core.cost(found).weight_bytes == sum(one.bytes for one in of_bytes(data).tensors.values())


@pytest.mark.parametrize(
    "kind", [kind for kind in gguf.GGML_QUANT_SIZES if kind.name not in ("Q8_1", "Q8_K", "I8", "I16", "I32", "I64", "F64")]
)
def test_every_type_of_a_matrix_has_its_bytes(tmp_path, kind):
    found = from_gguf(of_bytes(data := written(tmp_path / "x.gguf", llama(), from_hf(llama()), kind)))
    size = sum(one.bytes for one in of_bytes(data).tensors.values())
    if kind.name == "Q1_0":
        assert "Q1_0, whose size is not known here" in found.unsized and f"{size:,}" in found.unsized
    else:
        assert core.cost(found).weight_bytes == size


Q4, Q5, Q6, Q8 = (gguf.GGMLQuantizationType[name] for name in ("Q4_K", "Q5_K", "Q6_K", "Q8_0"))


def medium(names: list[str], depth: int) -> dict[str, Any]:
    """Q4_K_M as llama.cpp mixes it (`use_more_bits`): values and down projections of some layers, and the head, have more bits."""
    more = [layer for layer in range(depth) if layer < depth // 8 or layer >= 7 * depth // 8 or (layer - depth // 8) % 3 == 2]
    wide = [name for name in names if re.search(r"attn_v|ffn_down", name) and int(name.split(".")[1]) in more]
    return dict.fromkeys([*wide, "output.weight"], Q6)


def dynamic(names: list[str], depth: int) -> dict[str, Any]:
    """A type for every tensor alone, as mixes that are searched for have it."""
    rng = random.Random(0)
    return {name: rng.choice([Q4, Q4, Q5, Q6, Q8]) for name in sorted(names)}


@pytest.mark.parametrize(
    "name, mix",
    [("deepseek2, glm4_moe_lite", medium), ("kimi-linear, kimi_linear", medium), ("gpt-oss, gpt_oss", medium), ("afmoe, afmoe", dynamic),
     ("qwen3next, qwen3_next", dynamic), ("gemma4, gemma4_text", dynamic), ("nemotron_h_moe, nemotron_h", dynamic)],
)  # fmt: skip
def test_types_that_differ_by_layer_are_exact(tmp_path, name, mix):
    config = cases()[name]
    wanted = from_hf({key: value for key, value in config.items() if value is not None or key not in ("layer_types", "rope_scaling")})
    names = [tensor for tensor, shape in shapes(wanted, config).items() if len(shape) > 1]
    header = of_bytes(written(tmp_path / "x.gguf", config, wanted, Q4, mix(names, wanted.depth)))
    arch = from_gguf(header)
    size = sum(one.bytes for tensor, one in header.tensors.items() if not tensor.startswith("rope_"))
    found = core.cost(arch)
    assert found.weight_bytes == size, arch.unsized
    assert all(row.derivation["weight_bytes"] for row in found.rows if row.weight_bytes)
    assert core.decode(core.encode(arch)) == arch == core.spec.parse(yaml.safe_load(yaml.safe_dump(arch.model_dump(mode="json"))))


def test_a_medium_mix_is_said_by_layer_and_verified(tmp_path, capsys):
    config = llama(num_hidden_layers=32)
    arch = from_hf(config)
    names = [tensor for tensor, shape in shapes(arch, config).items() if len(shape) > 1]
    path = tmp_path / "medium.gguf"
    data = written(path, config, arch, Q4, medium(names, 32))
    path.write_bytes(data + bytes(sum(one.bytes for one in of_bytes(data).tensors.values()) + 4096))
    found = core.load(path)
    some = "0-3,6,9,12,15,18,21,24,27-31"
    assert found.precision == {
        "default": "fp32", "embedding": "q4_K", "head": "q6_K", "attention": "q4_K", f"attention.v@{some}": "q6_K", "dense": "q4_K",
        f"dense.down@{some}": "q6_K",
    }  # fmt: skip
    result = core.verify(path)
    assert result.exact and result.bytes == result.expected_bytes == core.cost(found).weight_bytes
    assert main(["show", str(path)]) == 0 and main(["verify", str(path)]) == 0
    assert "not known" not in capsys.readouterr().out


def test_formats_by_layer_follow_their_part_and_are_written_in_one_way():
    arch = core.load("llama-3-8b")
    mixed = core.spec.edited(arch, "precision", {"default": "bf16", "dense": "int4", "dense.down@1,0,3-4": "q8_0"})
    assert mixed.precision["dense.down@0-1,3-4"] == "q8_0"
    assert core.edits.renamed(mixed, "dense", "mlp").precision["mlp.down@0-1,3-4"] == "q8_0"
    rows = {row.component: row for row in core.cost(mixed).rows}
    matrix = 14_336 * 4_096
    narrow = matrix * 92 * 9 // 16  # int4 with a 16-bit scale for 32 values: 4.5 bits
    assert rows["feed-forward"].weight_bytes == narrow + 4 * matrix * 17 // 16
    assert core.cost(mixed, core.Workload(weights="bf16")).weight_bytes == core.cost(arch).weight_bytes
    with pytest.raises(core.Unsupported, match="can represent this architecture; export it as JSON or YAML"):
        core.to_hf(mixed)
    for wrong, words in (
        ("dense@3-1", "dense@3-1: give layers from 0, such as dense@0-3,7"), ("embedding@0", "precision.embedding@0: layers share"),
        ("dense@1--2", "precision"), ("other@0", "precision.other@0: give `default`"),
    ):  # fmt: skip
        with pytest.raises(core.Unsupported, match=words):
            core.spec.edited(arch, "precision", {wrong: "int4"})
    with pytest.raises(core.Unsupported, match=r"precision\.dense\.down: a layer has two formats"):
        core.spec.edited(arch, "precision", {"dense.down@0-3": "int4", "dense.down@3": "q8_0"})


def test_a_contradiction_is_named(tmp_path):
    arch = from_hf(llama())
    for change, words in (
        (llama(num_hidden_layers=5), "block_count: 5 is not supported: the file has no tensors of layer 4"),
        (llama(num_hidden_layers=3), "blk.3"),
        (llama(intermediate_size=512), r"blk\.0\.ffn_gate\.weight: has shape \(256, 256\); the architecture needs \(512, 256\)"),
        (llama(num_key_value_heads=4), r"blk\.0\.attn_k\.weight: has shape"),
        (llama(vocab_size=500), "vocab_size: 500 is not supported: only 512"),
    ):
        data = with_shapes_of(tmp_path, change, arch)
        if words == "blk.3":
            assert from_gguf(of_bytes(data)).depth == 3  # further blocks are those that predict ahead
        else:
            with pytest.raises(core.Unsupported, match=words):
                from_gguf(of_bytes(data))


def with_shapes_of(tmp_path, config: dict[str, Any], arch: core.Architecture) -> bytes:
    return written(tmp_path / "x.gguf", config, arch)


def test_files_of_another_kind_are_named(tmp_path):
    data = written(tmp_path / "x.gguf", llama(), from_hf(llama()))
    for version, words in (("<I", "it is of version 1; convert the model again"), (">I", "it is big-endian; turn it round")):
        with pytest.raises(core.Unsupported, match=words):
            of_bytes(data[:4] + struct.pack(version, 1 if version == "<I" else 3) + data[8:])
    with pytest.raises(core.Unsupported, match="is an importance matrix"):
        from_gguf(Header({"general.type": "imatrix"}, {}))


def test_what_the_header_does_not_say_is_listed_or_named(tmp_path):
    header = of_bytes(written(tmp_path / "x.gguf", llama(rope_theta=5e5), from_hf(llama())))

    def without(*keys: str) -> Header:
        return replace(header, said={key: value for key, value in header.said.items() if key.removeprefix("llama.") not in keys})

    assert from_gguf(without()).note is None
    left = from_gguf(without("context_length", "rope.freq_base"))
    assert left.note == "Not in the GGUF header, so defaults: llama.context_length 2,048, llama.rope.freq_base 10,000."
    assert (left.context, left.position.base) == (2_048, 10_000)
    with pytest.raises(core.Unsupported, match=r"^llama\.attention\.head_count: is missing from the header"):
        from_gguf(without("attention.head_count"))
    with pytest.raises(core.Unsupported, match=r"contradict each other.*Not in the GGUF header, so defaults: llama\.feed_forward_length"):
        from_gguf(without("feed_forward_length"))


def test_a_file_that_only_bears_the_name_is_named(tmp_path):
    (tmp_path / "x.gguf").write_text("hello")
    with pytest.raises(core.Unsupported, match=r"x\.gguf: is not a GGUF file, which begins with the letters GGUF"):
        core.load(tmp_path / "x.gguf")


def text(words: str) -> bytes:
    return struct.pack("<Q", len(words)) + words.encode()


def with_key(data: bytes, key: str, value: bytes) -> bytes:
    """The same header with one key more: its kind and value."""
    many = struct.unpack_from("<Q", data, 16)[0]
    return data[:16] + struct.pack("<Q", many + 1) + text(key) + value + data[24:]


def test_an_unknown_key_is_refused_and_others_say_what_would_do(tmp_path):
    data = written(tmp_path / "x.gguf", llama(), from_hf(llama()))
    one = struct.pack("<II", 4, 1)
    assert from_gguf(of_bytes(with_key(data, "other.key", one)))
    for key, value, words in (
        ("llama.hyper_connections", one, "llama.hyper_connections: 1 is not a key that Strata knows"),
        ("llama.attention.causal", struct.pack("<IB", 7, 0), "llama.attention.causal: False is not supported: only True"),
        ("llama.rope.scaling.type", struct.pack("<I", 8) + text("ntk"), "rope.scaling.type: 'ntk' is not supported: give none, linear"),
        ("general.type", struct.pack("<I", 8) + text("adapter"), "is of 'adapter', which stands beside a language model"),
        ("llama.rope.scaling.factor", struct.pack("<If", 6, math.nan), "rope.scaling.factor: nan is not supported: give a number"),
        (
            "llama.leading_dense_block_count",
            struct.pack("<I", 8) + text("x"),
            "llama.leading_dense_block_count: 'x' is not supported: give a number",
        ),
    ):
        with pytest.raises(core.Unsupported, match=words):
            from_gguf(of_bytes(with_key(data, key, value)))


def test_a_stretched_rope_needs_its_factors(tmp_path):
    config = llama(rope_scaling={"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
                                 "original_max_position_embeddings": 8_192})  # fmt: skip
    data = written(tmp_path / "x.gguf", config, from_hf(config))
    assert from_gguf(of_bytes(data)).position == from_hf(config).position
    with pytest.raises(core.Unsupported, match=r"rope_freqs\.weight: says how positions are stretched, and its values are not"):
        from_gguf(of_bytes(data.replace(b"strata.values.", b"strata.vallll.")))


@pytest.mark.parametrize(
    "key, value, words",
    [
        ("rope.dimension_count", 2**31 - 1, r"rope_freqs\.weight: has 32 factors, and a head of 2,147,483,647 turned"),
        ("rope.freq_base", 0.0, r"rope\.freq_base: 0\.0 is not supported: give a positive number"),
        ("attention.head_count_kv", [[1]], "head_count_kv: \\[\\[1\\]\\] is not supported: give a whole number for each"),
        ("expert_group_count", "x", r"llama\.expert_group_count: 'x' is not supported: give a number"),
        ("leading_dense_block_count", 2**31 - 1, "leading_dense_block_count: 2147483647 is not supported: give a whole number, 0 to 4"),
    ],
)
def test_a_hostile_value_is_refused_at_once(tmp_path, key, value, words):
    config = llama(rope_scaling={"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
                                 "original_max_position_embeddings": 8_192})  # fmt: skip
    header = of_bytes(written(tmp_path / "x.gguf", config, from_hf(config)))
    with within(0.1), pytest.raises(core.Unsupported, match=words):
        from_gguf(replace(header, said={**header.said, f"llama.{key}": value}))


def test_a_thousand_layers_are_read_soon(tmp_path):
    """A header of Qwen3-Next's kind with as many layers as the spec allows, each with its own tensors."""
    config = cases()["qwen3next, qwen3_next"]
    header = of_bytes(written(tmp_path / "x.gguf", config, from_hf(config)))
    layers = [(name.split(".", 2), one) for name, one in header.tensors.items() if name.startswith("blk.")]
    more = {f"blk.{layer}.{rest}": one for (_, first, rest), one in layers for layer in range(int(first), 1_024, 48)}
    with within(1):
        found = from_gguf(Header({**header.said, "qwen3next.block_count": 1_024}, {**header.tensors, **more}))
        assert found.depth == 1_024 and core.cost(found).weight_bytes == sum(one.bytes for one in {**header.tensors, **more}.values())


@pytest.fixture
def speaking(tmp_path) -> tuple[Any, Any]:
    """A small llama of transformers, and a GGUF file of it as its converter writes it, with a tokenizer of letters."""
    torch.manual_seed(0)
    model = reference(SMALL_LLAMA)
    perturb(model)
    known = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, 2)
    writer = gguf.GGUFWriter(path := tmp_path / "speaks.gguf", "llama")
    for key, value in metadata(SMALL_LLAMA).items():
        (writer.add_float32 if isinstance(value, float) else writer.add_uint32)(f"llama.{key}", value)
    letters = [chr(code) for code in range(33, 127)] + ["\u0120", "th", "<end>"]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(letters)
    writer.add_token_types([1] * 96 + [3])
    writer.add_token_merges(["t h"])
    writer.add_eos_token_id(96)
    for name, tensor in model.state_dict().items():
        if name.endswith(("q_proj.weight", "k_proj.weight")):
            heads = 4 if "q_proj" in name else 2
            tensor = tensor.reshape(heads, 2, -1, tensor.shape[1]).swapaxes(1, 2).reshape(tensor.shape)
        writer.add_tensor(known.get_name(name, try_suffixes=(".weight",)), tensor.float().numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return model, path


SMALL_LLAMA = {
    "model_type": "llama", "hidden_size": 32, "num_attention_heads": 4, "num_key_value_heads": 2, "num_hidden_layers": 2, "head_dim": 8,
    "intermediate_size": 64, "vocab_size": 97, "max_position_embeddings": 128, "rms_norm_eps": 1e-5, "rope_theta": 10_000.0,
    "tie_word_embeddings": False,
}  # fmt: skip


def test_a_file_speaks_as_the_model_that_it_was_made_of(speaking, capsys):
    model, path = speaking
    text = "the river"
    file = opened(read(path, WHOLE))
    ids = tokenizer(file.header).encode(text).ids
    assert ids[0] == 95 and len(ids) == 8 and tokenizer(file.header).decode(ids) == text
    prompt = torch.tensor([ids])
    with torch.inference_mode():
        assert torch.allclose(file.filled()(prompt), model(prompt).logits, atol=1e-5)
        expected = model.generate(
            prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=9, do_sample=False, eos_token_id=96, pad_token_id=0
        )
    words = tokenizer(file.header).decode(expected[0].tolist())[len(text) :]
    assert main(["generate", str(path), text, "--tokens", "9"]) == 0
    assert capsys.readouterr().out == words + "\n"
    assert main(["generate", str(path), "--prompt", text, "--weights", str(path), "--tokens", "9"]) == 0
    for wrong in (
        ["generate", str(path)],
        ["generate", str(path), text, "--prompt", text],
        ["generate", "gpt2", text, "--weights", str(path)],
    ):
        assert main(wrong) == 2
    assert "describes another architecture than GPT-2" in capsys.readouterr().err


def test_a_tokenizer_that_is_not_known_is_named():
    lists = {"tokenizer.ggml.tokens": ["a", "b"], "tokenizer.ggml.merges": [], "tokenizer.ggml.model": "gpt2"}
    for change, words in (
        ({"tokenizer.ggml.model": "bert"}, "'bert' is not supported; only gpt2 and llama"),
        ({"tokenizer.ggml.pre": "x"}, "'x' is not one that"),
        ({"tokenizer.ggml.tokens": ["a", "a"]}, "a token occurs twice"), ({"tokenizer.ggml.tokens": Long(9)}, "is missing from the header"),
        ({"tokenizer.ggml.merges": ["a c"]}, "the lists are no tokenizer"),
        ({"tokenizer.ggml.model": "llama"}, "give a score for each of the 2"),
        ({"tokenizer.ggml.token_type": [1]}, "give a type for each of the 2"),
    ):  # fmt: skip
        with pytest.raises(core.Unsupported, match=words):
            tokenizer(Header(lists | change, {}))


def test_sentencepiece_joins_by_score():
    pieces = ["<unk>", "<s>", *(f"<0x{byte:02X}>" for byte in range(256)), "\u2581", "a", "b", "ab", "\u2581a", "\u2581ab"]
    scores = [0.0] * 259 + [-9.0, -9.0, -1.0, -2.0, -3.0]
    said = {"tokens": pieces, "scores": scores, "token_type": [2, 3] + [6] * 256 + [1] * 6, "model": "llama", "bos_token_id": 1}
    made = tokenizer(Header({f"tokenizer.ggml.{key}": value for key, value in said.items()}, {}))
    assert [pieces[one] for one in made.encode("ab a\u00e9").ids] == ["<s>", "\u2581ab", "\u2581a", "<0xC3>", "<0xA9>"]
    assert made.decode(made.encode("ab a\u00e9").ids) == "ab a\u00e9"


def test_a_model_in_several_files_is_read_from_all_of_them(tmp_path):
    arch = from_hf(llama())
    data = written(tmp_path / "x.gguf", llama(), arch)
    size = max(one.at + one.bytes for one in of_bytes(data).tensors.values())
    whole = with_key(data, "split.count", struct.pack("<IH", 2, 2))
    (tmp_path / "m-00001-of-00002.gguf").write_bytes(whole + bytes(size + 64 - len(data)))  # the longer header moves the tensors on
    with pytest.raises(core.Unsupported, match=r"m-00002-of-00002\.gguf: is missing; the model is in 2 files"):
        core.load(tmp_path / "m-00001-of-00002.gguf")
    writer = gguf.GGUFWriter(tmp_path / "m-00002-of-00002.gguf", "llama")
    writer.add_uint16("split.count", 2)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    writer.close()
    assert core.load(tmp_path / "m-00001-of-00002.gguf").depth == 4
    assert core.verify(tmp_path / "m-00001-of-00002.gguf").exact
