"""A.X K2 (SK Telecom 2026): sparse latent attention whose queries bring a gate with them, and norms that gate themselves."""

from ...parts.joint_sparse import JointSparseAttention
from ...parts.norm import SelfGatedRMSNorm
from ...spec import Architecture, Unsupported
from ..reading import pieces, rotary
from ..reading.config import Config
from ..reading.pieces import unless
from ..weights import mtp, tensors
from ..weights.checkpoint import Sources
from ..weights.tensors import ignored as ignored
from ..weights.tensors import one
from . import deepseek_v3 as v3
from . import deepseek_v32 as v32

TYPES = ("axk2",)


def read(config: Config, model_type: str) -> dict:
    value = pieces.sizes(config, vocab_size=163_840, d_model=2_048, context=131_072, tied=False, eps=1e-6)
    depth = config.depth("num_hidden_layers", 48)
    gated = {"kind": "self_gated_rms", "eps": value["norm"]["eps"]} | unless(
        16, rank=config.count("gated_norm_rank", 16)
    )
    attention = v3.latent(config, 32, (384, 128), (64, 32, 64)) | v32.indexer(config, 16)
    attention |= {"kind": "joint_sparse_attention", "norm": gated}
    first, every = config.count("first_k_dense_replace", 1, least=0), config.count("moe_layer_freq", 1)
    sparse = pieces.sparse_layers(config, depth, first, every)
    config.expect("layer_types", ["indexed_attention"] * depth)
    config.expect("rope_interleave", True)
    config.ignore("ep_size")
    parts = {"attention": attention, "dense": v3.dense(config, 5_120)}
    parts["moe"] = v3.experts(config, count=128, top_k=8, d_ff=512, shared=1) | {
        "router": _router(config),
        "norm": gated,
    }
    value["position"] = v3.rope(config, value["context"]) | {"interleaved": True}
    count = v3.either(config, "num_nextn_predict_layers", "num_mtp_layers", 0, least=0, most=16)
    ahead = mtp.modules(count, ["attention", "moe"])
    return value | v3.blocks(config, parts, ["moe" if s else "dense" for s in sparse], ahead)


def _router(config: Config) -> dict:
    """Groups only where n_group says so; what lies outside the best of them scores zero."""
    if not config.has("n_group"):
        config.expect("topk_group", None)
    router = v3.noaux_router(config, 1, 1, 2.5)
    return router | ({"outside_zero": True} if router.get("groups", 1) > router.get("top_groups", 1) else {})


def write(arch: Architecture) -> dict:
    part, *_ = pieces.made_of(arch, {"attention": JointSparseAttention} | pieces.FEEDS)
    if not isinstance(part.norm, SelfGatedRMSNorm):
        raise Unsupported("parts.attention.norm: this family's gates itself")
    written = (
        {"architectures": ["AXK2ForCausalLM"], "model_type": "axk2"}
        | pieces.write_sizes(arch)
        | v3.write_latent(part)
        | v32.write_indexer(part)
        | v3.write_blocks(arch)
        | {"mlp_layer_types": pieces.write_sparse_layers(arch), "num_nextn_predict_layers": v3.write_mtp(arch)}
        | {"gated_norm_rank": part.norm.rank}
        | rotary.write_rope(arch.position, arch.context)
        | pieces.write_precision(arch)
    )
    if written.get("n_group") == 1:
        del written["n_group"], written["topk_group"]
    return written


def sources(arch: Architecture) -> Sources:
    """The gates of norms go by two names, the class's and the published files'; there, queries and their gate have the usual one."""

    def mixer(path, at, part):
        fused = {"q_b_proj": "q_gate_proj"}
        for (name, ways), (_, published) in zip(
            tensors.renamed(v32.sparse_sources(path, at, part), **fused),
            v32.sparse_sources(path, at, part),
            strict=True,
        ):
            yield name, ways + [way for way in published if way.names not in [w.names for w in ways]]
        yield from gate(f"{path}_norm", f"{at}.input_layernorm", part.norm)

    def ff(path, at, part):
        yield from tensors.part_sources(path, at, part)
        if part.kind == "experts":
            yield from gate(f"{path}_norm", f"{at}.post_attention_layernorm", part.norm)

    def gate(path, at, norm):
        for ours, inner, published in (("down", "fc1", "W_down"), ("up", "fc2", "W_up")):
            yield one(f"{path}.{ours}.weight", f"{at}.mlp.{inner}.weight", f"{at}.{published}.weight")

    for name, ways in tensors.llama_sources(arch, mixer, ff):
        if name.endswith(("attention_norm.weight", "moe_norm.weight")):  # below the norm that is gated
            own = ways[0].names[0]
            yield one(name, own.replace("layernorm.weight", "layernorm.norm.weight"), own)
        else:
            yield name, ways
