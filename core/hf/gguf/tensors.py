"""Which of a GGUF file's tensors each of our parameters is made of, by llama.cpp's own names: the same for all families, for they
are names of parts and not of a family's modules. What the converters changed of the values is undone.
"""

from collections.abc import Callable, Collection
from typing import Any

import torch
from torch import Tensor

from ...parts.attention import Attention
from ...spec import Architecture, Step
from ..weights.checkpoint import Source, Sources, stack

Make = Callable[..., Tensor]
Ways = list[Source]

# Architectures whose converters put the two halves that turn together, of each query and key head, beside one another.
PAIRED = """llama mistral3 smollm3 arcee granite granitemoe granitehybrid olmo minicpm baichuan internlm2 xverse arctic deepseek
    bailingmoe deci""".split()
# Architectures in which converters changed values in ways that are not undone here: their files are read and compared, not run.
UNREADY = """qwen35 qwen35moe falcon-h1 plamo jais bailingmoe2 rwkv7 kimi-linear gemma3n grok llama4 nemotron_h nemotron_h_moe
    openelm deci mistral4 mimo2 step35""".split()
TABLES = ("rope_freqs", "rope_factors")  # of positions: they are computed, and no parameters


def same(tensor: Tensor) -> Tensor:
    return tensor


def ways(*names: str, make: Make = same) -> Ways:
    """A parameter that is one tensor, under the first of these names that the file has."""
    return [Source((name,), make) for name in names]


def both(ours: str, theirs: str, make: Make = same) -> dict[str, Ways]:
    return {f"{ours}.{kind}": ways(f"{theirs}.{kind}", make=make) for kind in ("weight", "bias")}


def piece(index: int, sizes: list[int]) -> Make:
    return lambda fused: fused.split(sizes)[index]


def halves(heads: int) -> Make:
    """Rows of queries or keys whose pairs are neighbours -> whose pairs are halves of a head."""
    return lambda rows: rows.unflatten(0, (heads, -1, 2)).transpose(1, 2).flatten(0, 2)


def then(first: Make, second: Make) -> Make:
    return lambda tensor: second(first(tensor))


def less_one(weight: Tensor) -> Tensor:
    return weight - 1.0


def logarithm(tensor: Tensor) -> Tensor:
    """A state's decay, which files hold as -exp(A)."""
    return torch.log(-tensor).flatten() if tensor.ndim == 2 and tensor.shape[1] == 1 else torch.log(-tensor)


# ---- parts: a parameter's path in the part -> the ways in which a layer's tensors hold it ----


def attention(part: Attention, paired: bool) -> dict[str, Ways]:
    sizes = [part.heads * part.head_dim, part.kv_heads * part.head_dim, part.kv_heads * part.v_dim]
    found: dict[str, Ways] = {}
    for index, name in enumerate("qkv"):
        make = halves(part.heads if name == "q" else part.kv_heads) if paired and name != "v" else same
        for kind in ("weight", "bias"):
            fused = Source((f"attn_qkv.{kind}",), then(piece(index, sizes), make))
            found[f"{name}.{kind}"] = [*ways(f"attn_{name}.{kind}", make=make), fused]
    if part.gate:
        for kind in ("weight", "bias"):
            for half, name in enumerate(("q", "gate")):

                def pick(rows: Tensor, half: int = half) -> Tensor:  # of one tensor, if it holds both
                    both = len(rows) == 2 * part.heads * part.head_dim
                    return rows.unflatten(0, (part.heads, 2, part.head_dim))[:, half].flatten(0, 1) if both else rows

                found[f"{name}.{kind}"] = ways(*[f"attn_gate.{kind}"] * half, f"attn_q.{kind}", make=pick)
    found |= both("o", "attn_output") | {f"{name}_norm.weight": ways(f"attn_{name}_norm.weight") for name in "qk"}
    return found | {"core.sinks": ways("attn_sinks.weight"), "sub_norm.weight": ways("attn_sub_norm.weight")}


def feed_forward(suffix: str = "") -> dict[str, Ways]:
    """gate, up and down; gate and up may be one above the other in a matrix."""
    found = both("up", f"ffn_up{suffix}") | both("down", f"ffn_down{suffix}") | both("gate", f"ffn_gate{suffix}")
    for half, name in enumerate(("gate", "up")):
        for kind in ("weight", "bias"):
            fused = Source((f"ffn_up{suffix}.{kind}",), lambda one, half=half: one.chunk(2)[half])
            found[f"{name}.{kind}"] = [*found[f"{name}.{kind}"], fused]
    return found | {"sub_norm.weight": ways("ffn_sub_norm.weight")}


def experts(part: Any) -> dict[str, Ways]:
    found = {f"shared.{path}": them + feed_forward()[path] for path, them in feed_forward("_shexp").items()}
    found["shared_gate.weight"] = ways("ffn_gate_inp_shexp.weight", make=lambda one: one.reshape(1, -1))
    found |= both("router", "ffn_gate_inp") | {"router.selection_bias": ways("exp_probs_b.bias", "exp_probs_b")}
    found |= {"router.scale": ways("ffn_gate_inp.scale"), "router.expert_scale": ways("ffn_down_exps.scale")}
    found |= {"shared_norm.weight": ways("ffn_norm.weight"), "shared_post_norm.weight": ways("post_ffw_norm_1.weight")}
    found |= {"experts_norm.weight": ways("pre_ffw_norm_2.weight"), "experts_post_norm.weight": ways("post_ffw_norm_2.weight")}
    for half, name in enumerate(("gate", "up", "down")):
        single = Source(tuple(f"ffn_{name}.{expert}.weight" for expert in range(part.count)), stack)
        found[f"experts.{name}"] = [*ways(f"ffn_{name}_exps.weight"), single]
        if name != "down":
            found[f"experts.{name}"] += ways("ffn_gate_up_exps.weight", make=lambda one, half=half: one.chunk(2, dim=1)[half])
        found[f"experts.{name}_bias"] = ways(f"ffn_{name}_exps.bias")
    return found | {"enter.weight": ways("ffn_latent_down.weight"), "leave.weight": ways("ffn_latent_up.weight")}


def latent(part: Any) -> dict[str, Ways]:
    def joined(keys: Tensor, values: Tensor) -> Tensor:  # (H, C, N), (H, V, C) -> (H (N + V), C)
        return torch.cat((keys.mT, values), dim=1).flatten(0, 1)

    whole = [Source(("attn_kv_b.weight",)), Source(("attn_k_b.weight", "attn_v_b.weight"), joined)]
    return {
        "q_down.weight": ways("attn_q_a.weight"), "q_norm.weight": ways("attn_q_a_norm.weight"),
        "q.weight": ways("attn_q_b.weight" if part.q_rank else "attn_q.weight"), "kv_down.weight": ways("attn_kv_a_mqa.weight"),
        "kv_norm.weight": ways("attn_kv_a_norm.weight"), "kv_up.weight": whole, "o.weight": ways("attn_output.weight"),
        "index_q.weight": ways("indexer.attn_q_b.weight"), "index_k.weight": ways("indexer.attn_k.weight"),
        "index_weights.weight": ways("indexer.proj.weight"),
    } | both("index_norm", "indexer.k_norm")  # fmt: skip


def mamba(part: Any) -> dict[str, Ways]:
    def one_more(tensor: Tensor) -> Tensor:
        return tensor.unsqueeze(0)

    return {
        "project.weight": ways("ssm_in.weight"), "convolve.weight": ways("ssm_conv1d.weight", make=lambda one: one.unsqueeze(1)),
        "convolve.bias": ways("ssm_conv1d.bias"), "select.weight": ways("ssm_x.weight", make=one_more),
        "step.weight": ways("ssm_dt.weight", make=one_more), "step.bias": ways("ssm_dt.bias", make=one_more),
        "scan.A_log": ways("ssm_a", make=logarithm), "scan.D": ways("ssm_d", make=Tensor.flatten), "scan.dt_bias": ways("ssm_dt.bias"),
        "out_norm.weight": ways("ssm_norm.weight", make=Tensor.flatten), "o.weight": ways("ssm_out.weight"),
        "step_norm.weight": ways("ssm_dt_norm.weight"), "b_norm.weight": ways("ssm_b_norm.weight"),
        "c_norm.weight": ways("ssm_c_norm.weight"),
    } | both("project", "ssm_in") | both("o", "ssm_out")  # fmt: skip


def delta_net(part: Any) -> dict[str, Ways]:
    per = part.heads // part.key_heads

    def grouped(half: int) -> Make:  # the rows of each key head's betas stand before those of its decays
        return lambda fused: fused.unflatten(0, (part.key_heads, 2, per))[:, half].flatten(0, 1)

    return {
        "qkv.weight": ways("attn_qkv.weight"), "z.weight": ways("attn_gate.weight"), "o.weight": ways("ssm_out.weight"),
        "convolve.weight": ways("ssm_conv1d.weight", make=lambda one: one.unsqueeze(1)), "out_norm.weight": ways("ssm_norm.weight"),
        "beta.weight": [*ways("ssm_beta.weight"), *ways("ssm_ba.weight", make=grouped(0))],
        "decay.weight": [*ways("ssm_alpha.weight"), *ways("ssm_ba.weight", make=grouped(1))],
        "rule.A_log": ways("ssm_a", make=logarithm), "rule.dt_bias": ways("ssm_dt.bias"),
    }  # fmt: skip


def kimi_delta(part: Any) -> dict[str, Ways]:
    def rows(*three: Tensor) -> Tensor:
        return torch.cat([one.reshape(-1, 1, one.shape[-1]) for one in three])

    return {
        "qkv.weight": [Source(tuple(f"attn_{name}.weight" for name in "qkv"), lambda *three: torch.cat(three))],
        "convolve.weight": [Source(tuple(f"ssm_conv1d_{name}.weight" for name in "qkv"), rows)],
        "beta.weight": ways("ssm_beta.weight"), "decay_down.weight": ways("ssm_f_a.weight"), "decay.weight": ways("ssm_f_b.weight"),
        "gate_down.weight": ways("ssm_g_a.weight"), "gate.weight": ways("ssm_g_b.weight"), "rule.A_log": ways("ssm_a", make=logarithm),
        "rule.dt_bias": ways("ssm_dt.bias"), "out_norm.weight": ways("ssm_norm.weight"), "o.weight": ways("attn_output.weight"),
    }  # fmt: skip


def short_convolution(part: Any) -> dict[str, Ways]:
    return {
        "project.weight": ways("shortconv.in_proj.weight"), "o.weight": ways("shortconv.out_proj.weight"),
        "convolve.weight": ways("shortconv.conv.weight", make=lambda one: one.unsqueeze(1)),
    }  # fmt: skip


def rwkv7(part: Any) -> dict[str, Ways]:
    def split(tensor: Tensor) -> Tensor:
        return tensor.unflatten(0, (part.heads, -1))

    found = {
        "shift.weight": ways("time_mix_lerp_fused.weight", make=lambda one: one.flatten(1) if one.ndim < 3 else one.flatten(0, 2)),
        "receptance.weight": ways("time_mix_receptance.weight"), "k.weight": ways("time_mix_key.weight"),
        "v.weight": ways("time_mix_value.weight"), "o.weight": ways("time_mix_output.weight"),
        "rule.remove": ways("time_mix_k_k.weight", make=split), "rule.write": ways("time_mix_k_a.weight", make=split),
        "rule.bonus": ways("time_mix_r_k.weight", make=split),
    }  # fmt: skip
    for ours, theirs in (("decay", "w"), ("rate", "a"), ("gate", "g"), ("value_weight", "v")):
        found[f"{ours}.down.weight"] = ways(f"time_mix_{theirs}1.weight")
        found[f"{ours}.up.weight"] = ways(f"time_mix_{theirs}2.weight")
        found[f"{ours}.up.bias"] = ways(f"time_mix_{theirs}0.weight")
    return found | both("out_norm", "time_mix_ln", make=split)


def rwkv7_channels(part: Any) -> dict[str, Ways]:
    return {
        "shift.weight": ways("channel_mix_lerp_k.weight", make=lambda one: one.reshape(1, -1)),
        "up.weight": ways("channel_mix_key.weight"), "down.weight": ways("channel_mix_value.weight"),
    }  # fmt: skip


PARTS: dict[str, Callable[[Any], dict[str, Ways]]] = {
    "feed_forward": lambda part: feed_forward(), "sparse_feed_forward": lambda part: feed_forward(), "experts": experts,
    "latent_attention": latent, "sparse_latent_attention": latent, "mamba": mamba, "mamba2": mamba, "gated_delta_net": delta_net,
    "kimi_delta": kimi_delta, "short_convolution": short_convolution, "rwkv7_time_mix": rwkv7, "rwkv7_channel_mix": rwkv7_channels,
    "laurel": lambda part: {
        "left.weight": ways("laurel_l.weight"), "right.weight": ways("laurel_r.weight"), "map_norm.weight": ways("laurel_post_norm.weight")
    },
    "per_layer_embedding": lambda part: {"gate.weight": ways("inp_gate.weight"), "project.weight": ways("proj.weight")},
}  # fmt: skip


# ---- a whole model ----


def sources(arch: Architecture, kind: str, parameters: Collection[str], found: Collection[str]) -> Sources:
    """For each of these parameters the ways in which a file of llama.cpp's architecture `kind` holds it, or the first of those that
    are known, if it does not; `found` are the file's tensors."""
    parts = {name: _part(part, kind) for name, part in arch.parts.items()}
    norms = {(steps, two): _norms(arch, steps, kind, two) for steps in arch.distinct() for two in (False, True)}
    shifted = getattr(arch.norm, "unit_offset", False)
    around = _around(arch)
    for path in parameters:
        if not path.startswith("layers."):
            them = around.get(path) or ways(path)
            if path == "norm.weight" and shifted:
                them = [Source(way.names, less_one) for way in them]
            yield path, _held(them, "", found)
            continue
        _, layer, module, rest = path.split(".", 3)
        if rest.startswith("activation."):  # xIELU's numbers, which files have in their metadata
            yield path, [Source((), lambda: torch.empty(1))]
            continue
        if module in parts:
            them = parts[module].get(rest, [])
            shift = shifted and rest in ("q_norm.weight", "k_norm.weight")
        else:
            two = f"blk.{layer}.attn_norm_2.weight" in found
            them = norms[arch.sequence[int(layer)], two].get(f"{module}.{rest}", [])
            shift = shifted and rest == "weight"
        if shift:
            them = [Source(way.names, less_one) for way in them]
        yield path, _held(them, f"blk.{layer}.", found) if them else ways(path)


def _held(them: Ways, begin: str, found: Collection[str]) -> Ways:
    """These ways below `begin`, if the file has all their tensors; otherwise the first way alone."""
    here = [way for way in them if all(begin + name in found for name in way.names)] or them[:1]
    return [Source(tuple(begin + name for name in way.names), way.make) for way in here]


def _part(part: Any, kind: str) -> dict[str, Ways]:
    if isinstance(part, Attention):
        return attention(part, kind in PAIRED)
    make = PARTS.get(part.kind)
    return make(part) if make else {}


def _around(arch: Architecture) -> dict[str, Ways]:
    head = ways("output.weight", *(["token_embd.weight"] if arch.tied_embeddings else []))
    found = {
        "embedding.weight": ways("token_embd.weight"), "positions.weight": ways("position_embd.weight"), "head.weight": head,
        "head.bias": ways("output.bias"), "beneath.table.weight": ways("per_layer_token_embd.weight"),
        "beneath.context.weight": ways("per_layer_model_proj.weight"), "beneath.context_norm.weight": ways("per_layer_proj_norm.weight"),
    } | both("norm", "output_norm") | both("embedding_norm", "token_embd_norm")  # fmt: skip
    if not arch.embedding_norm:  # LFM2's files call the last norm so
        found["norm.weight"] += ways("token_embd_norm.weight")
    for stream in range(arch.residual.streams - 1):
        for ours, theirs in (("split", "altup_proj"), ("merge", "altup_unembd_proj")):
            found[f"{ours}.projections.{stream}.weight"] = ways(f"{theirs}.weight", make=lambda three, stream=stream: three[stream])
    return found


def _norms(arch: Architecture, steps: tuple[Step, ...], kind: str, two: bool) -> dict[str, Ways]:
    """What stands between a block's parts: before the mixer, before the network, after each, and what reads several streams; `two`
    is whether its layer has two norms before parallel parts."""
    them: dict[str, Ways] = {"layer_scale.weight": ways("layer_output_scale.weight")}
    for place, name in ((step, name) for step in steps for name in step.parts):
        mixes = arch.parts[name].mixes and arch.parts[name].kind != "rwkv7_channel_mix"
        after = (place.residual or arch.residual).norm in ("post", "output", "sandwich")
        if kind == "falcon" and two:
            before = ["attn_norm_2" if mixes else "attn_norm"]
        elif kind == "arctic":
            before = ["attn_norm" if mixes else "ffn_norm_exps" if arch.parts[name].kind == "experts" else "ffn_norm"]
        elif mixes or name == steps[0].parts[0]:
            before = ["attn_norm", *([] if mixes else ["ffn_norm"])]
        else:
            before = ["ffn_norm", *([] if after else ["post_attention_norm", "attn_output_norm"]), "attn_norm_2"]
        behind = ["post_attention_norm", "attn_output_norm"] if mixes else ["post_ffw_norm", "layer_output_norm"]
        behind = ["post_norm"] if arch.parts[name].kind == "per_layer_embedding" else behind
        for suffix in ("weight", "bias"):
            bare = ["ffn_norm"] if suffix == "weight" and not mixes else []  # as Falcon-H1's files call it
            them[f"{name}_norm.{suffix}"] = ways(*(f"{one}.{suffix}" for one in before), *bare)
            them[f"{name}_post_norm.{suffix}"] = ways(*(f"{one}.{suffix}" for one in behind))
        them |= {
            f"{name}_read.router.norm": ways("altup_router_norm.weight"), f"{name}_read.router.weight": ways("altup_router.weight"),
            f"{name}_read.coefficients.weight": ways("altup_predict_coef.weight"), f"{name}_read.scale": ways("altup_correct_scale.weight"),
            f"{name}_add.coefficients.weight": ways("altup_correct_coef.weight"),
        }  # fmt: skip
    return them


def is_table(name: str) -> bool:
    return any(name.startswith(table) or f".{table}" in name for table in TABLES)
