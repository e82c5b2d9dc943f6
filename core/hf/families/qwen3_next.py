"""Qwen3-Next and Qwen3.5 (Qwen 2025, 2026): three layers of gated delta net to one of gated attention, norms stored about one,
a quarter of each head turning; experts with a gated shared one, or a dense network."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from ...parts.attention import Attention
from ...parts.delta import GatedDeltaNet
from ...spec import Architecture, Unsupported
from ..reading import keys, pieces
from ..reading.config import Config, wrapped
from ..reading.keys import Always, Key, Keys, Only, Unread
from ..reading.pieces import unless
from ..reading.rotary import Turning
from ..weights import mtp, tensors
from ..weights.checkpoint import Source, Sources
from ..weights.tensors import one
from .like_llama_moe import stepped

AHEAD = mtp.APART
TEXT = ("qwen3_next", "qwen3_5_text", "qwen3_5_moe_text")
TYPES = (*TEXT, "qwen3_5", "qwen3_5_moe")  # the last two wrap a text model and one that sees images
DELTA = (
    Always("delta", kind="gated_delta_net"),
    Key("linear_num_value_heads", "delta.heads", 32),
    Key("linear_num_key_heads", "delta.key_heads", 16),
    Key("linear_key_head_dim", "delta.key_dim", 128),
    Key("linear_value_head_dim", "delta.value_dim", 128),
    Key("linear_conv_kernel_dim", "delta.kernel", 4),
    Key("hidden_act", "delta.activation", "silu", form=keys.PLAIN_ACTIVATION),
)


def experts(count: int, top_k: int, switch: bool) -> Keys:
    """Softmax over all, the chosen weights normalised (where a key may say otherwise, `switch`), a gated shared expert."""
    normalise = Key("norm_topk_prob", "moe.router.normalise", True)
    return (
        *keys.experts(count, top_k, 512, names="num_experts", router={"score": "softmax", "normalise": True}),
        normalise if switch else Unread("norm_topk_prob", written="moe.router.normalise"),
        Always("moe.shared", gate=True),
        Key("shared_expert_intermediate_size", "moe.shared.d_ff", 512),
    )


def _keys(vocab_size: int, d_model: int, depth: int, kv_heads: int, modules: str, feeds: Keys) -> Keys:
    return (
        *keys.sizes(vocab_size, d_model, 32_768, depth, unit_offset=True),
        *DELTA,
        *keys.attention(16, kv_heads, 256, qk_norm={}, gate=True),
        *feeds,
        keys.ahead(0, modules),
        Turning(fraction=0.25),
        Unread("attn_output_gate mamba_ssm_dtype"),
        Only("output_gate_type", "silu", "swish"),  # of the delta nets' norm; attention's gate is a sigmoid, always
        Only("mtp_use_dedicated_embeddings", False),
    )


NEXT = "num_nextn_predict_layers/mtp_num_hidden_layers"
OLD = "mtp_num_hidden_layers/num_nextn_predict_layers"
KEYS = {
    "qwen3_next": _keys(151_936, 2_048, 48, 2, NEXT, experts(512, 10, True)),
    "qwen3_5_text": _keys(248_320, 4_096, 32, 4, OLD, keys.feed_forward(12_288)),
    "qwen3_5_moe_text": _keys(248_320, 2_048, 40, 2, OLD, experts(256, 8, False)),
}
DENSE = keys.feed_forward(5_632)  # of Qwen3-Next's layers without experts


def read(config: Config, model_type: str) -> dict:
    if model_type not in TEXT:
        return wrapped(config, read, f"{model_type}_text")
    said = keys.read(plain_rope(config), KEYS[model_type])
    depth, every, feed = said["depth"], config.count("full_attention_interval", 4), "moe" if "moe" in said else "dense"
    usual = ["full_attention" if (layer + 1) % every == 0 else "linear_attention" for layer in range(depth)]
    types = pieces.layer_types(config, depth, usual, "full_attention", "linear_attention")
    sparse = stepped(config, depth) if model_type == "qwen3_next" else [feed == "moe"] * depth
    if not all(sparse):
        keys.read(config, DENSE if model_type == "qwen3_next" else (), said)
    config.ignore("intermediate_size")
    kinds = ["delta" if word == "linear_attention" else "attention" for word in types]
    blocks = [[kind, "moe" if routed else "dense"] for kind, routed in zip(kinds, sparse, strict=True)]
    modules = keys.get(said, "mtp.count") or 0
    return pieces.model(config, said, blocks, **mtp.foretold(said, ["attention", feed], **unless(False, one_join=modules > 1)))


def plain_rope(config: Config) -> Config:
    """Positions of images have three parts (`mrope`), those of text one."""
    rope = config.raw.get("rope_parameters") or config.raw.get("rope_scaling")
    if isinstance(rope, dict) and rope.keys() & {"mrope_section", "mrope_interleaved"}:
        key = "rope_parameters" if config.raw.get("rope_parameters") else "rope_scaling"
        config.raw = {**config.raw, key: {k: v for k, v in rope.items() if not k.startswith("mrope_")}}
    return config


def write(arch: Architecture) -> dict:
    kinds = {"delta": GatedDeltaNet | None, "attention": Attention | None} | pieces.FEEDS
    return write_layers(arch, *pieces.made_of(arch, kinds))


def write_layers(arch: Architecture, delta: GatedDeltaNet | None, attention: Attention | None, dense, moe) -> dict:
    """The same of the parts that its layers have."""
    if moe and not moe.shared:
        raise Unsupported("parts.moe.shared: this family has a shared expert; give one")
    sparse = [block[-1].parts == ("moe",) for block in arch.sequence]
    # Both have experts in every layer, and the same keys but that one of them has dense layers too.
    known = arch.model_type in ("qwen3_next", "qwen3_5_moe", "qwen3_5_moe_text")
    next_one = moe and (not all(sparse) or (arch.model_type == "qwen3_next" if known else arch.vocab_size < 200_000))
    model_type = "qwen3_next" if next_one else "qwen3_5_moe_text" if moe else "qwen3_5_text"
    names = {"qwen3_next": "Qwen3Next", "qwen3_5_moe_text": "Qwen3_5Moe", "qwen3_5_text": "Qwen3_5"}
    entries = DENSE + KEYS[model_type]
    parts = {"delta": delta, "attention": attention, "dense": dense, "moe": moe}
    written = pieces.write_model(arch, names[model_type], model_type, entries, **parts)
    written["layer_types"] = ["linear_attention" if b[0].parts == ("delta",) else "full_attention" for b in arch.sequence]
    if model_type == "qwen3_next":
        written |= {"decoder_sparse_step": 1, "mlp_only_layers": [n for n, routed in enumerate(sparse) if not routed]}
    return written


def sources(arch: Architecture, **others: Callable) -> Sources:
    """`others` are functions as `_delta`, by the kinds of what mixes positions otherwise."""

    def mixer(path, at, part):
        return ({"gated_delta_net": _delta} | others).get(part.kind, _attention)(path, at, part)

    def ff(path, at, part):
        if part.kind == "experts":
            yield from tensors.experts_sources(path, f"{at}.mlp", part, shared="shared_expert")
            yield one(f"{path}.shared_gate.weight", f"{at}.mlp.shared_expert_gate.weight")
        else:
            yield from tensors.dense_sources(path, f"{at}.mlp", part)

    return tensors.llama_sources(arch, mixer, ff)


def _attention(path: str, at: str, part: Attention) -> Sources:
    """Each head's query and gate stand one above the other in q_proj."""
    for kind in ("weight", "bias") if part.bias else ("weight",):
        for half, name in enumerate(("q", "gate")):

            def pick(both: Tensor, half: int = half) -> Tensor:
                return both.unflatten(0, (part.heads, 2, part.head_dim))[:, half].flatten(0, 1)

            yield one(f"{path}.{name}.{kind}", f"{at}.self_attn.q_proj.{kind}", make=pick)
    for name, ways in tensors.attention_sources(path, f"{at}.self_attn", part):
        if not name.startswith((f"{path}.q.", f"{path}.gate.")):
            yield name, ways


def _delta(path: str, at: str, part: GatedDeltaNet) -> Iterator[tuple[str, list[Source]]]:
    """Qwen3.5 has a matrix for each; Qwen3-Next groups query, key, value and gate, and beta and decay, by key head."""
    at, per = f"{at}.linear_attn", part.heads // part.key_heads
    widths = [part.key_dim, part.key_dim, per * part.value_dim, per * part.value_dim]

    def grouped(*which: int):
        def make(fused: Tensor) -> Tensor:
            pieces = fused.unflatten(0, (part.key_heads, sum(widths))).split(widths, dim=1)
            return torch.cat([pieces[i].flatten(0, 1) for i in which])

        return make

    def half(which: int):
        return lambda both: both.unflatten(0, (part.key_heads, 2, per))[:, which].flatten(0, 1)

    alone = {"qkv": "in_proj_qkv", "z": "in_proj_z", "beta": "in_proj_b", "decay": "in_proj_a"}
    fused = {
        "qkv": ("in_proj_qkvz", grouped(0, 1, 2)), "z": ("in_proj_qkvz", grouped(3)), "beta": ("in_proj_ba", half(0)),
        "decay": ("in_proj_ba", half(1)),
    }  # fmt: skip
    for name, theirs in alone.items():
        other, make = fused[name]
        yield f"{path}.{name}.weight", [Source((f"{at}.{theirs}.weight",)), Source((f"{at}.{other}.weight",), make)]
    yield one(f"{path}.convolve.weight", f"{at}.conv1d.weight")
    yield one(f"{path}.rule.A_log", f"{at}.A_log")
    yield one(f"{path}.rule.dt_bias", f"{at}.dt_bias")
    yield one(f"{path}.out_norm.weight", f"{at}.norm.weight")
    yield one(f"{path}.o.weight", f"{at}.out_proj.weight")


def ignored(name: str) -> bool:
    """Modules that predict further tokens are beside the model."""
    return name.startswith(("mtp.", "model.mtp.")) or tensors.ignored(name)
